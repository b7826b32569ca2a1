"""What validation knows about a module while it goes through it (core §3.1.6): the index spaces and their lookups.

Errors raised here have no offset; who runs over the instructions or sections adds it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from wasmark.core.types import I32, I64, FuncType, GlobalType, MemoryType, NumType, RefType, TableType
from wasmark.errors import InvalidError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.core.features import Feature
    from wasmark.validate.type_section import ModuleTypes

_T = TypeVar("_T")


def lookup(space: Sequence[_T], index: int, what: str) -> _T:
    """The element of an index space, or InvalidError "unknown <what> <index>"."""
    if index >= len(space):
        raise InvalidError(f"unknown {what} {index}")
    return space[index]


def address_type(type_: MemoryType | TableType) -> NumType:
    """What a memory or a table is indexed with (core §2.3.11)."""
    return I64 if type_.limits.is64 else I32


@dataclass(slots=True)
class Context:
    """The index spaces as far as they are known: `globals` grows while the globals are validated one after the other.

    `func_types` holds type indices, `signatures` the same functions' signatures; `declared` the functions that the
    module mentions outside of function bodies, which `ref.func` may name (core §3.4.6).
    """

    types: ModuleTypes
    features: frozenset[Feature]
    func_types: list[int] = field(default_factory=list)
    signatures: list[FuncType] = field(default_factory=list)
    tables: list[TableType] = field(default_factory=list)
    memories: list[MemoryType] = field(default_factory=list)
    globals: list[GlobalType] = field(default_factory=list)
    elements: list[RefType] = field(default_factory=list)
    data_count: int = 0
    declared: set[int] = field(default_factory=set)

    def function_reference(self, index: int) -> RefType:
        """The type of `ref.func index` (core §3.4.6): the function's own type, not null."""
        return RefType.of(False, lookup(self.func_types, index, "function"))

    def check_data(self, index: int) -> None:
        """InvalidError unless there is such a data segment."""
        if index >= self.data_count:
            raise InvalidError(f"unknown data segment {index}")
