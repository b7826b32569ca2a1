"""What the text format knows of one component, or type, while it reads it: which index each identifier has.

Definitions may only refer to earlier ones, so one walk is enough. A name that is not found here is looked for outside:
an alias of it is put in (Explainer.md, "Alias Definitions").
"""

from __future__ import annotations

from wasmark.component.model import INDEX_SPACES, ComponentNames
from wasmark.core.types import FuncType, SubType
from wasmark.text.types import TypeSpace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_NO_FUNCTION: Final = SubType(FuncType((), ()))
"""Has the place of the type of a module among core types, where no identifier of a core function type leads."""


class TextScope:
    """`definitions` grows as the text is read; it may be those of a component, or the declarations of a type."""

    def __init__(self, parent: TextScope | None, name: str | None) -> None:
        self.parent = parent
        self.name = name
        self.definitions: list[Any] = []
        self.core_types = TypeSpace()
        self.ids: dict[str, dict[str, int]] = {sort: {} for sort in INDEX_SPACES}
        self.ids["core type"] = self.core_types.names
        self.counts = dict.fromkeys(INDEX_SPACES, 0)
        self.names = ComponentNames(None if name is None else name[1:])

    def add(self, definition: Any, sort: str, count: int = 1) -> int:
        """Put a definition behind the others; the index that it gets, or the first of `count`."""
        self.definitions.append(definition)
        index = self.counts[sort]
        self.counts[sort] += count
        if sort == "core type":
            missing = self.counts[sort] - len(self.core_types.types)
            self.core_types.types += [_NO_FUNCTION] * missing
        return index
