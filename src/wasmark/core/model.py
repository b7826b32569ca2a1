"""The decoded module: what the binary decoder and the text parser produce, and all later rooms read.

Function bodies stay bytes. `Function.start/end` and every `ConstExpr` point into `Module.data`, the whole binary, so an
instruction's position *is* its module offset everywhere: in errors, in the line table of compiled code, in tracebacks.
"""

from __future__ import annotations

from wasmark.core.record import Record

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

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

    ExternType = FuncType | TableType | MemoryType | GlobalType

EXTERN_KINDS = ("func", "table", "memory", "global", "tag")
"""External kinds by their binary code (core §5.5.5)."""


class Import(Record):
    """`kind` is one of EXTERN_KINDS. `desc` is a type index for functions, otherwise the type itself."""

    __slots__ = ("desc", "kind", "module", "name", "offset")

    def __init__(
        self,
        module: str,
        name: str,
        kind: str,
        desc: int | TableType | MemoryType | GlobalType | TagType,
        offset: int = 0,
    ) -> None:
        self.module = module
        self.name = name
        self.kind = kind
        self.desc = desc
        self.offset = offset


class Export(Record):
    """`index` is in the index space of `kind`."""

    __slots__ = ("index", "kind", "name", "offset")

    def __init__(self, name: str, kind: str, index: int, offset: int = 0) -> None:
        self.name = name
        self.kind = kind
        self.index = index
        self.offset = offset


class ConstExpr(Record):
    """A constant expression: `data[start:end]` of the module, the final `end` opcode included."""

    __slots__ = ("end", "start")

    def __init__(self, start: int, end: int) -> None:
        self.start = start
        self.end = end


class Function(Record):
    """A defined function. `start` is its first instruction (behind the locals), `end` lies behind its final `end`
    opcode; `entry` is the first byte of the code entry's contents (the local declarations, behind the size field):
    function offsets count from there. `locals` are the declared ones, as runs `(count, type)`; parameters are not among
    them."""

    __slots__ = ("end", "entry", "locals", "start", "type_index")

    def __init__(
        self, type_index: int, locals: Sequence[tuple[int, ValType]], start: int, end: int, entry: int = 0
    ) -> None:
        self.type_index = type_index
        self.locals = locals
        self.start = start
        self.end = end
        self.entry = entry


class Table(Record):
    """A defined table; `init` is None where elements start as null."""

    __slots__ = ("init", "offset", "type")

    def __init__(self, type: TableType, init: ConstExpr | None = None, offset: int = 0) -> None:
        self.type = type
        self.init = init
        self.offset = offset


class Global(Record):
    """A defined global."""

    __slots__ = ("init", "offset", "type")

    def __init__(self, type: GlobalType, init: ConstExpr, offset: int = 0) -> None:
        self.type = type
        self.init = init
        self.offset = offset


class ElementSegment(Record):
    """`mode` is "active", "passive" or "declarative". Items are function indices or constant expressions, never both
    kinds."""

    __slots__ = ("items", "mode", "offset", "offset_expr", "table", "type")

    def __init__(
        self,
        mode: str,
        type: RefType,
        items: list[int] | list[ConstExpr],
        table: int = 0,
        offset_expr: ConstExpr | None = None,
        offset: int = 0,
    ) -> None:
        self.mode = mode
        self.type = type
        self.items = items
        self.table = table
        self.offset_expr = offset_expr
        self.offset = offset


class DataSegment(Record):
    """Bytes `data[start:end]` of the module; `memory` and `offset_expr` are set for an active segment, None for a
    passive one."""

    __slots__ = ("end", "memory", "offset", "offset_expr", "start")

    def __init__(
        self, start: int, end: int, memory: int | None = None, offset_expr: ConstExpr | None = None, offset: int = 0
    ) -> None:
        self.start = start
        self.end = end
        self.memory = memory
        self.offset_expr = offset_expr
        self.offset = offset


LAST_SECTION = 11
"""The id of the section that stands last in a module, that of the data segments (core §5.5.2)."""


class CustomSection(Record):
    """Where a custom section's contents lie in the binary (behind its name). `after` is the id of the section that it
    follows, custom ones not counted: 0 at the beginning of the module."""

    __slots__ = ("after", "end", "name", "start")

    def __init__(self, name: str, start: int, end: int, after: int = LAST_SECTION) -> None:
        self.name = name
        self.start = start
        self.end = end
        self.after = after


class Names(Record):
    """The name section (core, appendix "Custom Sections", and the proposal of extended names); empty where there is
    none. All but `module` are by index; `locals`, `labels` and `fields` by the index of the function or type before.
    Labels are numbered in the order in which a function opens blocks."""

    __slots__ = (
        "data",
        "elements",
        "fields",
        "functions",
        "globals",
        "labels",
        "locals",
        "memories",
        "module",
        "tables",
        "tags",
        "types",
    )

    def __init__(
        self,
        module: str | None = None,
        functions: dict[int, str] | None = None,
        locals: dict[int, dict[int, str]] | None = None,
    ) -> None:
        self.module = module
        self.functions = {} if functions is None else functions
        self.locals = {} if locals is None else locals
        self.labels: dict[int, dict[int, str]] = {}
        self.types: dict[int, str] = {}
        self.tables: dict[int, str] = {}
        self.memories: dict[int, str] = {}
        self.globals: dict[int, str] = {}
        self.elements: dict[int, str] = {}
        self.data: dict[int, str] = {}
        self.fields: dict[int, dict[int, str]] = {}
        self.tags: dict[int, str] = {}


class ModuleModel(Record):
    """A whole module. The index spaces list imports first, as the specification does (core §2.5.1)."""

    __slots__ = (
        "_names",
        "customs",
        "data",
        "data_count",
        "data_segments",
        "elements",
        "exports",
        "func_types",
        "functions",
        "global_types",
        "globals",
        "imported",
        "imports",
        "memories",
        "memory_types",
        "rec_groups",
        "sections",
        "start",
        "table_types",
        "tables",
        "tag_types",
        "tags",
        "types",
    )

    def __init__(self, data: bytes = b"", **fields: Any) -> None:
        """An empty module, but for the fields that are given by name."""
        self.data = data
        self.types: list[SubType] = []
        self.rec_groups: list[tuple[int, int]] = []  # (first type index, count), covering `types`
        self.imports: list[Import] = []
        self.functions: list[Function] = []  # defined ones only, as the next four
        self.tables: list[Table] = []
        self.memories: list[MemoryType] = []
        self.globals: list[Global] = []
        self.tags: list[TagType] = []
        self.exports: list[Export] = []
        self.start: int | None = None
        self.elements: list[ElementSegment] = []
        self.data_count: int | None = None
        self.data_segments: list[DataSegment] = []
        self.customs: list[CustomSection] = []
        self._names: Names | Callable[[], Names] = Names()
        self.sections: list[tuple[int, int, int]] = []  # (id, start, end) of each section's contents

        # The index spaces, imports included; filled by `index()`.
        self.func_types: list[int] = []  # type index of every function
        self.table_types: list[TableType] = []
        self.memory_types: list[MemoryType] = []
        self.global_types: list[GlobalType] = []
        self.tag_types: list[TagType] = []
        self.imported: dict[str, int] = {}  # how many of each kind are imported
        for name, value in fields.items():
            setattr(self, name, value)

    @property
    def names(self) -> Names:
        """What the name section says. It is often large and seldom asked for, so it may be read only now."""
        if not isinstance(self._names, Names):
            self._names = self._names()
        return self._names

    @names.setter
    def names(self, names: Names | Callable[[], Names]) -> None:
        self._names = names

    @property
    def names_are_read(self) -> bool:
        """Whether somebody has asked for the names, and so might have changed them."""
        return isinstance(self._names, Names)

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

    def import_type(self, import_: Import) -> ExternType:
        """What an import has to be; of a tag, the function type of its values. The module is valid."""
        return self._extern_type(import_.kind, import_.desc)

    def export_type(self, export: Export) -> ExternType:
        """The same of what is exported."""
        spaces: dict[str, Sequence[Any]] = {
            "func": self.func_types,
            "table": self.table_types,
            "memory": self.memory_types,
            "global": self.global_types,
            "tag": self.tag_types,
        }
        return self._extern_type(export.kind, spaces[export.kind][export.index])

    def _extern_type(self, kind: str, desc: Any) -> ExternType:
        index = desc if kind == "func" else desc.type_index if kind == "tag" else None
        found: ExternType = desc if index is None else self.types[index].composite
        return found

    def func_type(self, func_index: int) -> FuncType:
        """The signature of a function of a validated module."""
        return self.types[self.func_types[func_index]].composite  # type: ignore[return-value]
