"""Rules about custom sections (core, appendix "Custom Sections").

A module that breaks them is still valid: they are for tools that write such sections, not for those that run a module.
"""

from __future__ import annotations

from wasmark.binary import decode_body
from wasmark.binary.metadata import BRANCH_HINT, LIKELY, UNLIKELY, branch_hints
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel

BRANCHES: Final = frozenset({"if", "br_if"})
"""The instructions that a branch hint may be about (branch-hinting proposal)."""


def check_branch_hints(model: ModuleModel) -> None:
    """Raise InvalidError where a branch hint is not about a branch, or says what none may say."""
    first = model.imported["func"]
    for func_index, hints in branch_hints(model).items():
        if not first <= func_index < len(model.func_types):
            raise InvalidError(f"@{BRANCH_HINT} annotation: invalid target: function {func_index} is not defined here")
        body = model.functions[func_index - first]
        rows = {offset: row for row, _, offset in decode_body(model, body.start, body.end)}
        for offset, hint in hints.items():
            place = body.entry + offset
            row = rows.get(place)
            if row is None or row.name not in BRANCHES:
                target = f"{row.name} is no branch" if row is not None else "no instruction begins there"
                message = f"@{BRANCH_HINT} annotation: invalid target: {target}"
                raise InvalidError(message, offset=place, func_index=func_index)
            if hint not in (UNLIKELY, LIKELY):
                message = f"@{BRANCH_HINT} annotation: malformed hint {hint.hex()}"
                raise InvalidError(message, offset=place, func_index=func_index)
