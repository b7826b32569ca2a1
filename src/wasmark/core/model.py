"""The decoded module: what the binary decoder and the text parser produce, and all later rooms read.

Function bodies stay bytes. `Function.start/end` and every `ConstExpr` point into `Module.data`, the whole binary, so an
instruction's position *is* its module offset everywhere: in errors, in the line table of compiled code, in tracebacks.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wasmark.core.types import (
        FuncType,
        GlobalType,
        MemoryType,
        RefType,
        SubType,
        TableType,
        TagType,
        ValType,
    )

EXTERN_KINDS = ("func", "table", "memory", "global", "tag")
"""External kinds by their binary code (core §5.5.5)."""


@dataclass(slots=True)
class Import:
    """`kind` is one of EXTERN_KINDS. `desc` is a type index for functions, otherwise the type itself."""

    module: str
    name: str
    kind: str
    desc: int | TableType | MemoryType | GlobalType | TagType
    offset: int = 0


@dataclass(slots=True)
class Export:
    """`index` is in the index space of `kind`."""

    name: str
    kind: str
    index: int
    offset: int = 0


@dataclass(slots=True)
class ConstExpr:
    """A constant expression: `data[start:end]` of the module, the final `end` opcode included."""

    start: int
    end: int


@dataclass(slots=True)
class Function:
    """A defined function. `start` is its first instruction (behind the locals), `end` lies behind its final `end`
    opcode; `entry` is the first byte of the code entry's contents (the local declarations, behind the size field):
    function offsets count from there. `locals` are the declared ones, as runs `(count, type)`; parameters are not among
    them."""

    type_index: int
    locals: list[tuple[int, ValType]]
    start: int
    end: int
    entry: int = 0


@dataclass(slots=True)
class Table:
    """A defined table; `init` is None where elements start as null."""

    type: TableType
    init: ConstExpr | None = None
    offset: int = 0


@dataclass(slots=True)
class Global:
    """A defined global."""

    type: GlobalType
    init: ConstExpr
    offset: int = 0


@dataclass(slots=True)
class ElementSegment:
    """`mode` is "active", "passive" or "declarative". Items are function indices or constant expressions, never both
    kinds."""

    mode: str
    type: RefType
    items: list[int] | list[ConstExpr]
    table: int = 0
    offset_expr: ConstExpr | None = None
    offset: int = 0


@dataclass(slots=True)
class DataSegment:
    """Bytes `data[start:end]` of the module; `memory` and `offset_expr` are set for an active segment, None for a
    passive one."""

    start: int
    end: int
    memory: int | None = None
    offset_expr: ConstExpr | None = None
    offset: int = 0


@dataclass(slots=True)
class CustomSection:
    """Where a custom section's contents lie in the binary (behind its name)."""

    name: str
    start: int
    end: int


@dataclass(slots=True)
class Names:
    """The name section (tool conventions in core, appendix "Custom Sections"); empty where there is none."""

    module: str | None = None
    functions: dict[int, str] = field(default_factory=dict)
    locals: dict[int, dict[int, str]] = field(default_factory=dict)


@dataclass(slots=True)
class ModuleModel:
    """A whole module. The index spaces list imports first, as the specification does (core §2.5.1)."""

    data: bytes = b""
    types: list[SubType] = field(default_factory=list)
    rec_groups: list[tuple[int, int]] = field(default_factory=list)  # (first type index, count), covering `types`
    imports: list[Import] = field(default_factory=list)
    functions: list[Function] = field(default_factory=list)  # defined ones only, as the next four
    tables: list[Table] = field(default_factory=list)
    memories: list[MemoryType] = field(default_factory=list)
    globals: list[Global] = field(default_factory=list)
    tags: list[TagType] = field(default_factory=list)
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    elements: list[ElementSegment] = field(default_factory=list)
    data_count: int | None = None
    data_segments: list[DataSegment] = field(default_factory=list)
    customs: list[CustomSection] = field(default_factory=list)
    names: Names = field(default_factory=Names)
    sections: list[tuple[int, int, int]] = field(default_factory=list)  # (id, start, end) of each section's contents

    # The index spaces, imports included; filled by `index()`.
    func_types: list[int] = field(default_factory=list)  # type index of every function
    table_types: list[TableType] = field(default_factory=list)
    memory_types: list[MemoryType] = field(default_factory=list)
    global_types: list[GlobalType] = field(default_factory=list)
    tag_types: list[TagType] = field(default_factory=list)
    imported: dict[str, int] = field(default_factory=dict)  # how many of each kind are imported

    def index(self) -> None:
        """Fill the index spaces from the imports and the definitions. Called once, by who made the model."""
        spaces: dict[str, list[object]] = {kind: [] for kind in EXTERN_KINDS}
        for import_ in self.imports:
            spaces[import_.kind].append(import_.desc)
        self.imported = {kind: len(space) for kind, space in spaces.items()}
        self.func_types = [*spaces["func"], *(f.type_index for f in self.functions)]  # type: ignore[list-item]
        self.table_types = [*spaces["table"], *(t.type for t in self.tables)]  # type: ignore[list-item]
        self.memory_types = [*spaces["memory"], *self.memories]  # type: ignore[list-item]
        self.global_types = [*spaces["global"], *(g.type for g in self.globals)]  # type: ignore[list-item]
        self.tag_types = [*spaces["tag"], *self.tags]  # type: ignore[list-item]

    def func_type(self, func_index: int) -> FuncType:
        """The signature of a function of a validated module."""
        return self.types[self.func_types[func_index]].composite  # type: ignore[return-value]
