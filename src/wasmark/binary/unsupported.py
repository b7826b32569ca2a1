"""Opcodes that are known to the standard or to a proposal, but have no row in `core/opcodes.py` yet.

They tell a module that asks for too much from one that is broken. A new row in the table wins over a range here by
itself; the range may stay.
"""

from __future__ import annotations

from wasmark.core.opcodes import PREFIXES as OPCODE_PREFIXES
from wasmark.errors import MalformedError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, NoReturn

_RANGES: Final[dict[int, tuple[tuple[int, int, str], ...]]] = {
    0xFC: ((0x12, 0x12, "memory control"),),
}
"""Prefix (0 for one-byte opcodes) -> (first code, last code, proposal)."""

PREFIXES: Final[frozenset[int]] = OPCODE_PREFIXES | (frozenset(_RANGES) - {0})
"""Bytes that are followed by the opcode proper."""


def no_such_instruction(prefix: int, code: int, offset: int) -> NoReturn:
    """Raise what is right for an opcode without a row: UnsupportedError for a known one, otherwise MalformedError."""
    name = f"{prefix:02x} {code:02x}" if prefix else f"{code:02x}"
    for first, last, proposal in _RANGES.get(prefix, ()):
        if first <= code <= last:
            raise UnsupportedError(
                f"opcode {name} at offset {offset:#x} belongs to {proposal}, which is not supported yet", part=proposal
            )
    raise MalformedError(f"illegal opcode {name}: no instruction has this number", offset=offset)
