"""Modules in the text format (core §6.6): fields to a `ModuleModel`.

A field may use names that later ones bind. So the fields are walked over twice: first only their heads, where every
name gets its index and the types are read, then their contents, in order.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from wasmark.binary import encode_instruction
from wasmark.binary.decoder import SECTION_ORDER
from wasmark.binary.encoder import encode_locals
from wasmark.binary.metadata import CODE_METADATA, CodeMetadata, write_code_metadata
from wasmark.binary.names import NAME_SECTION, read_names
from wasmark.core.model import (
    EXTERN_KINDS,
    ConstExpr,
    CustomSection,
    DataSegment,
    ElementSegment,
    Export,
    Function,
    Global,
    Import,
    ModuleModel,
    Table,
)
from wasmark.core.opcodes import BY_NAME
from wasmark.core.types import (
    FUNCREF,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    RefType,
    SubType,
    TableType,
    TagType,
    ValType,
)
from wasmark.errors import MalformedError
from wasmark.text.annotations import CUSTOM, DATA_COUNT, NAME
from wasmark.text.instructions import InstructionParser
from wasmark.text.lexer import ANNOTATION, Tokens
from wasmark.text.types import Bind

_BEFORE_CODE: Final = SECTION_ORDER[SECTION_ORDER.index(10) - 1]
_RANK: Final = {section: rank for rank, section in enumerate((0, *SECTION_ORDER))}
_FUNCTION_REF: Final = RefType.of(False, HeapType.FUNC)


@dataclass(slots=True)
class _Field:
    """A field's head. `pos` is the token behind it, `index` its place in the index space of `kind`."""

    kind: str
    pos: int
    index: int
    exports: list[str]
    imported: tuple[str, str] | None = None
    wrapped: bool = False  # whether it stands in an `(import ...)`, with one more bracket to close


def parse_module(source: str | Tokens) -> ModuleModel:
    """A module in the text format; the `(module ...)` around the fields may be missing (§6.6.14).

    The model's `data` has the encoded expressions and the data segments' bytes; `binary.encode_module` makes a binary
    of it. Raises MalformedError with line and column, and UnsupportedError for instructions that are not there yet.
    """
    tokens = source if isinstance(source, Tokens) else Tokens(source)
    if is_component(tokens):
        raise MalformedError(
            "unexpected token (component: this is a component, which `wasmark.Component` takes", line=1, column=1
        )
    if tokens.list[:2] != ["(", "module"]:
        return parse_fields(tokens, 0, "")
    parser = ModuleParser(tokens, 2)
    name = parser.optional_id()
    model = parser.module(name, ")")
    if parser.toks[parser.pos]:
        raise parser.unexpected("the end of the text")
    return model


def is_component(tokens: Tokens) -> bool:
    """Whether a text is a component, and no module."""
    return tokens.list[:2] == ["(", "component"]


def parse_fields(tokens: Tokens, pos: int, end: str, name: str | None = None) -> ModuleModel:
    """A module's fields from the token `pos` to the token `end`, which is `)`, or empty for the end of the text."""
    return ModuleParser(tokens, pos).module(name, end)


class ModuleParser(InstructionParser):
    """Reads one module."""

    def __init__(self, tokens: Tokens, pos: int = 0) -> None:
        super().__init__(tokens, pos)
        self.model = ModuleModel()
        self._spaces: dict[str, dict[str, int]] = {
            "func": self.funcs,
            "table": self.tables,
            "memory": self.memories,
            "global": self.globals,
            "tag": self.tags,
            "elem": self.elems,
            "data": self.datas,
        }
        self._counts = dict.fromkeys(self._spaces, 0)
        self._type_count = 0
        self._first_definition: str | None = None
        self._fields: list[_Field] = []
        self._customs: list[tuple[str, bytes, int]] = []  # name, contents, the section before
        self._metadata: dict[str, CodeMetadata] = {}  # by section
        self._has_data_count = False

    def module(self, name: str | None, end: str) -> ModuleModel:
        """The fields up to the token `end`, which is passed."""
        model = self.model
        type_positions: list[tuple[int, ...]] = []
        names = model.names
        annotated = self.name_annotation()
        if annotated is not None or name is not None:
            names.module = annotated if name is None or annotated is not None else name[1:]
        while (token := self.toks[self.pos]) == "(" or token == ANNOTATION:
            if token == ANNOTATION:
                self._annotation(is_first=self.pos > 0 and self.toks[self.pos - 1] == ANNOTATION)
            else:
                self._head(type_positions)
        if self.toks[self.pos] != end:
            raise self.unexpected("a module field" + (" or ')'" if end else " or the end of the text"))
        behind = self.pos + 1
        for positions in type_positions:
            self.types.define([self._type_definition(pos) for pos in positions])
        for field in self._fields:
            self.pos = field.pos
            _CONTENTS[field.kind](self, field)
            self.expect(")")
            if field.wrapped:
                self.expect(")")
        names.fields = self.types.field_names
        model.types = self.types.types
        model.rec_groups = self.types.groups
        if self.names_data or self._has_data_count:
            model.data_count = len(model.data_segments)
        self._add_customs()
        model.data = bytes(self.out)
        model.index()
        self.pos = behind
        return model

    def _annotation(self, *, is_first: bool) -> None:
        """An annotation that stands among the fields."""
        annotation = self.tokens.annotations[self.pos]
        if annotation.kind == CUSTOM:
            self._customs.append((annotation.text, annotation.data, annotation.after))
        elif annotation.kind == DATA_COUNT:
            self._has_data_count = True
        elif annotation.kind == NAME and is_first and self.model.names.module is not None:
            raise self.error("@name annotation: multiple module names")
        elif annotation.kind.startswith(CODE_METADATA):
            raise self.error(f"@{annotation.kind} annotation: not in a function")
        else:
            raise self.unexpected("a module field")
        self.pos += 1

    def _add_customs(self) -> None:
        """The custom sections in their order. A name section that is given with contents stands for all names."""
        customs = sorted(self._customs, key=lambda custom: _RANK[custom[2]])
        customs += [(kind, write_code_metadata(self._metadata[kind]), _BEFORE_CODE) for kind in sorted(self._metadata)]
        for name, contents, after in customs:
            start = len(self.out)
            self.out += contents
            self.model.customs.append(CustomSection(name, start, len(self.out), after))
        given = next((contents for name, contents, _ in customs if name == NAME_SECTION), b"")
        if given:
            self.model.names = read_names(given)

    # Heads

    def _head(self, type_positions: list[tuple[int, ...]]) -> None:
        kind = self.toks[self.pos + 1]
        start = self.pos + 1
        self.pos += 2
        if kind == "type":
            type_positions.append((self._type_head(),))
        elif kind == "rec":
            type_positions.append(self._rec_heads())
            self.expect(")", " or a type definition")
            return
        elif kind in self._spaces:
            self._fields.append(self._definition_head(kind))
        elif kind == "import":
            self._fields.append(self._import_head())
            self.skip_form(start - 1)
        elif kind == "export" or kind == "start":
            self._fields.append(_Field(kind, self.pos, 0, []))
        else:
            raise self.unexpected("a module field", start)
        self.skip_form(start - 1)

    def _type_head(self) -> int:
        self.named(self.binder(self.types.names, self.model.names.types, "type"), self._type_count)
        self._type_count += 1
        return self.pos

    def _rec_heads(self) -> tuple[int, ...]:
        positions = []
        while self.at_form("type"):
            self.pos += 2
            start = self.pos - 2
            positions.append(self._type_head())
            self.skip_form(start)
        return tuple(positions)

    def _bind_next(self, kind: str) -> int:
        index = self._counts[kind]
        self._counts[kind] = index + 1
        names: dict[int, str] = getattr(self.model.names, _NAMED[kind])
        self.named(self.binder(self._spaces[kind], names, kind), index)
        return index

    def _definition_head(self, kind: str) -> _Field:
        """Name, inline exports and inline import (§6.6.5 to §6.6.9)."""
        field = _Field(kind, 0, self._bind_next(kind), [])
        if kind not in ("elem", "data"):
            while self.at_form("export"):
                self.pos += 2
                field.exports.append(self.name())
                self.expect(")")
            if self.at_form("import"):
                self._check_import_order(self.pos + 1)
                self.pos += 2
                field.imported = self.name("a module name"), self.name("a name")
                self.expect(")")
            elif self._first_definition is None:
                self._first_definition = kind
        field.pos = self.pos
        self._count_inline_segment(kind)
        return field

    def _count_inline_segment(self, kind: str) -> None:
        """A segment inside a table or memory (§6.6.6, §6.6.7) has the next index of its space."""
        if kind == "memory":
            self.address_type()
            self.page_size()
            self._counts["data"] += self.at_form("data")
        elif kind == "table":
            self.address_type()
            if self.toks[self.pos] == "(":  # the element type, without limits before it
                self.pos += 1
                self.skip_form(self.pos - 1)
            elif self.toks[self.pos + 1] == "(":
                self.pos += 1
            self._counts["elem"] += self.at_form("elem")

    def _import_head(self) -> _Field:
        self._check_import_order(self.pos - 1)
        imported = self.name("a module name"), self.name("a name")
        self.expect("(", " and what is imported")
        kind = self.toks[self.pos]
        if kind not in EXTERN_KINDS:
            raise self.unexpected("'func', 'table', 'memory', 'global' or 'tag'")
        self.pos += 1
        index = self._bind_next(kind)
        return _Field(kind, self.pos, index, [], imported, wrapped=True)

    def _check_import_order(self, at: int) -> None:
        if self._first_definition is not None:
            kind = "function" if self._first_definition == "func" else self._first_definition
            raise self.error(f"import after {kind}: imports come before all definitions", at)

    def _type_definition(self, pos: int) -> SubType:
        self.pos = pos
        type_ = self.sub_type()
        self.expect(")")
        return type_

    # Contents

    def _export(self, field: _Field) -> None:
        self.model.exports += [Export(name, field.kind, field.index) for name in field.exports]

    def _imported(self, field: _Field, desc: int | TableType | MemoryType | GlobalType | TagType) -> bool:
        """Note the inline exports, and the import if this is one; whether it is."""
        self._export(field)
        if field.imported is not None:
            self.model.imports.append(Import(*field.imported, field.kind, desc))
        return field.imported is not None

    def _const(self, write: Callable[[], None]) -> ConstExpr:
        """A constant expression; nothing of the function before may be seen in it."""
        self.locals = {}
        start = len(self.out)
        write()
        for _, at in self.code_metadata:
            raise self.error(f"@{self.tokens.annotations[at].kind} annotation: not in a function", at)
        return ConstExpr(start, len(self.out))

    def _made(self, *instructions: tuple[str, int]) -> ConstExpr:
        """A constant expression that the text only implies."""
        start = len(self.out)
        for name, imm in instructions:
            self.out += encode_instruction(BY_NAME[name], imm)
        self.out += encode_instruction(BY_NAME["end"], None)
        return ConstExpr(start, len(self.out))

    def func(self, field: _Field) -> None:
        """§6.6.5."""
        ids: dict[str, int] = {}
        names: dict[int, str] = {}
        bind = self.binder(ids, names, "local")
        type_index = self.type_use(bind)
        if not self._imported(field, type_index):
            runs = self._locals(bind, type_index)
            self.locals = ids
            start = len(self.out)
            self.expression()
            self.model.functions.append(Function(type_index, runs, start, len(self.out)))
            if self.label_names:
                self.model.names.labels[field.index] = self.label_names
            for place, at in self.code_metadata:
                annotation = self.tokens.annotations[at]
                said = self._metadata.setdefault(annotation.kind, {}).setdefault(field.index, {})
                said[place - start + len(encode_locals(runs))] = annotation.data
        if names:
            self.model.names.locals[field.index] = names

    def _locals(self, bind: Bind, type_index: int) -> list[tuple[int, ValType]]:
        """`(local ...)*` as runs; their names go to those of the parameters."""
        types: list[ValType] = []
        first: int | None = None
        while self.at_form("local"):
            self.pos += 2
            if self.toks[self.pos][:1] not in ("$", ANNOTATION):
                types += self.value_types()
                continue
            if first is None:
                first = self._param_count(type_index)
            self.named(bind, first + len(types))
            types.append(self.value_type())
            self.expect(")")
        runs: list[tuple[int, ValType]] = []
        for type_ in types:
            if runs and runs[-1][1] is type_:
                runs[-1] = runs[-1][0] + 1, type_
            else:
                runs.append((1, type_))
        return runs

    def _param_count(self, type_index: int) -> int:
        composite = self.types.types[type_index].composite if type_index < len(self.types.types) else None
        if not isinstance(composite, FuncType):
            raise self.error(f"unknown type {type_index}: it is no function type")
        return len(composite.params)

    def table(self, field: _Field) -> None:
        """§6.6.6."""
        start = self.pos
        is64 = self.address_type()
        if field.imported is None and not self.toks[self.pos][:1].isdecimal():
            self._table_with_elements(field, is64)
            return
        self.pos = start
        type_ = self.table_type()
        if self._imported(field, type_):
            return
        init = self._const(self.expression) if self.toks[self.pos] != ")" else None
        self.model.tables.append(Table(type_, init))

    def _table_with_elements(self, field: _Field, is64: bool) -> None:
        element = self.ref_type()
        if not self.at_form("elem"):
            raise self.unexpected("'(elem'")
        self.pos += 2
        items: list[int] | list[ConstExpr]
        if self.toks[self.pos] == "(":
            items, type_ = self._element_expressions(), element
        else:
            items, type_ = self._function_indices(), _FUNCTION_REF
            if element is not FUNCREF:
                items, type_ = [self._made(("ref.func", index)) for index in items], element
        self.expect(")")
        size = len(items)
        self._export(field)
        self.model.tables.append(Table(TableType(element, Limits(size, size, is64))))
        offset = self._made(("i64.const" if is64 else "i32.const", 0))
        self.model.elements.append(ElementSegment("active", type_, items, field.index, offset))

    def memory(self, field: _Field) -> None:
        """§6.6.7."""
        start = self.pos
        is64 = self.address_type()
        page_size_log2 = self.page_size()
        if field.imported is None and self.at_form("data"):
            self.pos += 2
            data = self.strings()
            self.expect(")", " or a string")
            pages = -(-len(data) >> page_size_log2)
            self._export(field)
            self.model.memories.append(MemoryType(Limits(pages, pages, is64), page_size_log2))
            offset = self._made(("i64.const" if is64 else "i32.const", 0))
            self._add_data(data, field.index, offset)
            return
        self.pos = start
        type_ = self.memory_type()
        if not self._imported(field, type_):
            self.model.memories.append(type_)

    def global_(self, field: _Field) -> None:
        """§6.6.8."""
        type_ = self.global_type()
        if not self._imported(field, type_):
            self.model.globals.append(Global(type_, self._const(self.expression)))

    def tag(self, field: _Field) -> None:
        """§6.6.9."""
        type_ = TagType(self.type_use(self.binder({}, {}, "param")))
        if not self._imported(field, type_):
            self.model.tags.append(type_)

    def export(self, field: _Field) -> None:
        """§6.6.10."""
        name = self.name()
        self.expect("(", " and what is exported")
        kind = self.toks[self.pos]
        if kind not in EXTERN_KINDS:
            raise self.unexpected("'func', 'table', 'memory', 'global' or 'tag'")
        self.pos += 1
        self.model.exports.append(Export(name, kind, self.index(self._spaces[kind], kind)))
        self.expect(")")

    def start(self, field: _Field) -> None:
        """§6.6.11."""
        if self.model.start is not None:
            raise self.error("multiple start sections: there is one already", self.pos - 1)
        self.model.start = self.index(self.funcs, "func")

    def _offset(self) -> ConstExpr:
        if not self.at_form("offset"):
            return self._const(self.folded_expression)
        self.pos += 2
        offset = self._const(self.expression)
        self.expect(")")
        return offset

    def _use(self, keyword: str) -> int | None:
        """`(table index)` or `(memory index)`, if it is here. Before version 2.0 a bare index was enough, if an offset
        followed it."""
        if self.at_index() and self.toks[self.pos + 1] == "(":
            return self.index(self._spaces[keyword], keyword)
        if not self.at_form(keyword):
            return None
        self.pos += 2
        index = self.index(self._spaces[keyword], keyword)
        self.expect(")")
        return index

    def _function_indices(self) -> list[int]:
        indices = []
        while self.at_index():
            indices.append(self.index(self.funcs, "func"))
        return indices

    def _element_expressions(self) -> list[ConstExpr]:
        items = []
        while self.toks[self.pos] == "(":
            if self.at_form("item"):
                self.pos += 2
                items.append(self._const(self.expression))
                self.expect(")")
            else:
                items.append(self._const(self.folded_expression))
        return items

    def elem(self, field: _Field) -> None:
        """§6.6.12."""
        mode = "passive"
        table: int | None = None
        offset: ConstExpr | None = None
        if self.toks[self.pos] == "declare":
            self.pos += 1
            mode = "declarative"
        else:
            bare = self.at_index()
            table = self._use("table")
            if table is not None or (self.toks[self.pos] == "(" and not self.at_form("ref")):
                mode = "active"
                offset = self._offset()
        type_ = _FUNCTION_REF
        items: list[int] | list[ConstExpr]
        if self.toks[self.pos] == "func":
            self.pos += 1
            items = self._function_indices()
        elif mode == "active" and (table is None or bare) and (self.at_index() or self.toks[self.pos] == ")"):
            items = self._function_indices()
        else:
            type_ = self.ref_type()
            items = self._element_expressions()
        self.model.elements.append(ElementSegment(mode, type_, items, table or 0, offset))

    def data(self, field: _Field) -> None:
        """§6.6.13."""
        memory = self._use("memory")
        offset = None
        if memory is not None or self.toks[self.pos] == "(":
            offset = self._offset()
        self._add_data(self.strings(), None if offset is None else memory or 0, offset)

    def _add_data(self, data: bytes, memory: int | None, offset: ConstExpr | None) -> None:
        start = len(self.out)
        self.out += data
        self.model.data_segments.append(DataSegment(start, len(self.out), memory, offset))


_NAMED: Final = {
    "func": "functions",
    "table": "tables",
    "memory": "memories",
    "global": "globals",
    "tag": "tags",
    "elem": "elements",
    "data": "data",
}
"""What `Names` calls the index spaces."""

_CONTENTS: Final[dict[str, Callable[[ModuleParser, _Field], None]]] = {
    "func": ModuleParser.func,
    "table": ModuleParser.table,
    "memory": ModuleParser.memory,
    "global": ModuleParser.global_,
    "tag": ModuleParser.tag,
    "export": ModuleParser.export,
    "start": ModuleParser.start,
    "elem": ModuleParser.elem,
    "data": ModuleParser.data,
}
