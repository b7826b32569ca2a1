"""What validation knows about a module while it goes through it (core §3.1.6): the index spaces and their lookups.

Errors raised here have no offset; who runs over the instructions or sections adds it.
"""

from __future__ import annotations

from wasmark.core.types import I32, I64, FuncType, GlobalType, MemoryType, NumType, RefType, TableType
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeVar

    from wasmark.core.features import Feature
    from wasmark.validate.type_section import ModuleTypes

    _T = TypeVar("_T")


def lookup(space: Sequence[_T], index: int, what: str) -> _T:
    """The element of an index space, or the error of `unknown`."""
    if index >= len(space):
        raise unknown(what, index, len(space))
    return space[index]


def unknown(what: str, index: int, size: int) -> InvalidError:
    """The error for an index beyond a space of that size."""
    there = "there is none" if not size else "there is one" if size == 1 else f"there are {size}"
    return InvalidError(f"unknown {what} {index}: {there}")


def address_type(type_: MemoryType | TableType) -> NumType:
    """What a memory or a table is indexed with (core §2.3.11)."""
    return I64 if type_.limits.is64 else I32


class Context:
    """The index spaces as far as they are known: `globals` grows while the globals are validated one after the other.

    `func_types` holds type indices, `signatures` the same functions' signatures; `declared` the functions that the
    module mentions outside of function bodies, which `ref.func` may name (core §3.4.6).
    """

    __slots__ = (
        "data_count",
        "declared",
        "elements",
        "features",
        "func_types",
        "globals",
        "memories",
        "signatures",
        "tables",
        "tags",
        "types",
    )

    def __init__(self, types: ModuleTypes, features: frozenset[Feature]) -> None:
        self.types = types
        self.features = features
        self.func_types: list[int] = []
        self.signatures: list[FuncType] = []
        self.tables: list[TableType] = []
        self.memories: list[MemoryType] = []
        self.globals: list[GlobalType] = []
        self.tags: list[FuncType] = []
        self.elements: list[RefType] = []
        self.data_count = 0
        self.declared: set[int] = set()

    def function_reference(self, index: int) -> RefType:
        """The type of `ref.func index` (core §3.4.6): the function's own type, not null."""
        return RefType.of(False, lookup(self.func_types, index, "function"))

    def check_data(self, index: int) -> None:
        """InvalidError unless there is such a data segment."""
        if index >= self.data_count:
            raise unknown("data segment", index, self.data_count)
