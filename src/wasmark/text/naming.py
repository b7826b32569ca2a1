"""What a printed module calls things: identifiers for what has a name, numbers for everything else.

An identifier has to be unique in its space, and a name does not: what cannot be an identifier as it is gets another
one, and keeps its name in an annotation (`@name`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.core.model import Names
from wasmark.core.types import HeapType, NumType, PackedType
from wasmark.text.literals import identifier, name_string

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmark.core.types import StorageType

SPACES: Final = ("types", "functions", "tables", "memories", "globals", "tags", "elements", "data")
"""Index spaces of a module, as `Names` calls them."""


class Space:
    """An index space of that size: `ids` are identifiers by index. Names of what is not there are passed over."""

    __slots__ = ("_names", "ids", "said")

    def __init__(self, names: dict[int, str], size: int) -> None:
        self._names = names = {index: name for index, name in names.items() if index < size}
        self.said: dict[int, str] = {}  # the names of what has been declared so far
        self.ids: dict[int, str] = {}
        taken = set(names.values())
        used = set()
        for index in sorted(names):
            name = names[index]
            if name in used:
                name = f"{name}#{index}"
                if name in taken:
                    continue
            if name:
                used.add(name)
                self.ids[index] = identifier(name)

    def index(self, index: int) -> str:
        """How something is referred to."""
        found = self.ids.get(index)
        return found if found is not None else str(index)

    def is_named(self, index: int) -> bool:
        """Whether there is something to say in a declaration."""
        return index in self._names

    def declare(self, index: int) -> str:
        """What stands behind the keyword of a declaration, with a space before it. It is numbered in a comment where it
        has no name."""
        name = self._names.get(index)
        if name is None:
            return f" (;{index};)"
        self.said[index] = name
        id_ = self.ids.get(index)
        if id_ is None:
            return f" (;{index};) (@name {name_string(name)})"
        return f" {id_}" if id_ == identifier(name) else f" {id_} (@name {name_string(name)})"


class Naming:
    """The spaces of a module and, while a function is printed, its locals and labels. Made of no names, it calls
    everything by its number."""

    def __init__(self, names: Names | None = None, sizes: dict[str, int] | None = None) -> None:
        """The size of each of SPACES. Without names there are none."""
        names = Names() if names is None else names
        sizes = dict.fromkeys(SPACES, 0) if sizes is None else sizes
        self.types = Space(names.types, sizes["types"])
        self.functions = Space(names.functions, sizes["functions"])
        self.tables = Space(names.tables, sizes["tables"])
        self.memories = Space(names.memories, sizes["memories"])
        self.globals = Space(names.globals, sizes["globals"])
        self.tags = Space(names.tags, sizes["tags"])
        self.elements = Space(names.elements, sizes["elements"])
        self.data = Space(names.data, sizes["data"])
        self.fields: dict[int, Space] = {}
        """Those of the structures that have names, by the index of the type."""
        self.locals = Space({}, 0)
        self.labels: list[str | None] = []
        """Identifiers of the blocks around an instruction, the innermost last."""
        self._type_texts: dict[StorageType, str] = {}

    def label(self, depth: int) -> str:
        """How a branch to that label is written: by its identifier, if no inner block hides it."""
        labels = self.labels
        place = len(labels) - 1 - depth
        if place >= 0:
            id_ = labels[place]
            if id_ is not None and id_ not in labels[place + 1 :]:
                return id_
        return str(depth)

    def field(self, type_index: int, field: int) -> str:
        """How a field of a structure is referred to."""
        fields = self.fields.get(type_index)
        return str(field) if fields is None else fields.index(field)

    def heap_type(self, heap: HeapType | int) -> str:
        """An abstract heap type, or a type."""
        return self.types.index(heap) if isinstance(heap, int) else str(heap)

    def type(self, type_: StorageType) -> str:
        """A value type or packed type."""
        text = self._type_texts.get(type_)
        if text is None:
            if isinstance(type_, NumType | PackedType) or isinstance(type_.heap, HeapType):
                text = str(type_)
                if not isinstance(type_, NumType | PackedType) and not type_.nullable:
                    text = f"(ref {type_.heap})"
            else:
                text = f"(ref {'null ' if type_.nullable else ''}{self.types.index(type_.heap)})"
            self._type_texts[type_] = text
        return text

    def type_list(self, keyword: str, types: Iterable[StorageType]) -> str:
        """` (keyword type*)`, nothing for none."""
        listed = " ".join(map(self.type, types))
        return f" ({keyword} {listed})" if listed else ""
