"""`ModuleModel` -> the text format (core §6.6): the inverse of `text.module`, a piece at a time.

Whatever a text can say comes back as it was: indices, the order of exports and custom sections, the exact bits of
numbers. What only its annotations can say (names that cannot be identifiers, custom sections, code metadata) stands in
annotations. A name section is printed as the names it gives; where it is more than that, or has another place than
right behind the last section, it is printed as the custom section that it is, and what the names say does not count.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.binary import decode_body, decode_constant
from wasmark.binary.decoder import SECTION_ORDER
from wasmark.binary.instructions import NAMES_DATA
from wasmark.binary.metadata import CODE_METADATA, read_code_metadata, write_code_metadata
from wasmark.binary.names import NAME_SECTION, write_names
from wasmark.core.model import EXTERN_KINDS, ModuleModel, Names
from wasmark.core.types import FuncType, HeapType, RefType, StructType
from wasmark.errors import MalformedError
from wasmark.text.annotations import DATA_COUNT, place_text
from wasmark.text.instruction_printer import format_instruction, opens_block, print_body
from wasmark.text.literals import byte_strings, identifier, name_string
from wasmark.text.naming import SPACES, Naming, Space

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any

    from wasmark.core.model import (
        ConstExpr,
        CustomSection,
        DataSegment,
        ElementSegment,
        Function,
        Global,
        Import,
        Table,
    )
    from wasmark.core.types import (
        CompositeType,
        FieldType,
        GlobalType,
        MemoryType,
        SubType,
        TableType,
        TagType,
        ValType,
    )

_CODE: Final = 10
_FUNCTION_REF: Final = RefType.of(False, HeapType.FUNC)
_PAGE_SIZE_LOG2: Final = 16
_NO_NAMES: Final = Space({}, 0)


def print_module(model: ModuleModel, head: str | None = None, *, says_name: bool = True) -> Iterator[str]:
    """The text of a decoded module in pieces, which are lines or more.

    head: its first line, where that is not for the module alone to say; `says_name` is whether it gives the module its
    name. Raises as `decode_body` does where a body cannot be decoded.
    """
    return _Printer(model).module(head, says_name=says_name)


def sub_type_text(type_: SubType) -> str:
    """The text of a defined type, which refers to others by number."""
    return _Printer(ModuleModel())._sub_type(0, type_)


def external_text(kind: str, desc: Any) -> str:
    """What stands behind the kind of an import or export in the type of a module, with a space before it."""
    if kind == "func":
        return f" (type {desc})"
    return _IMPORT_TYPES[kind](_Printer(ModuleModel()), desc)


def print_function(model: ModuleModel, index: int) -> list[str]:
    """The lines of a defined function: its head, its locals if it has any, its instructions one a line, the bracket.

    Raises as `print_module` does.
    """
    printer = _Printer(model)
    printer.counts["func"] = index
    function = model.functions[index - model.imported["func"]]
    return [line.removesuffix("\n").removeprefix("  ") for line in printer.function(function)]


class _Printer:
    """Prints one module. `said` are the names that the text gives, as far as it goes."""

    def __init__(self, model: ModuleModel) -> None:
        self.model = model
        sizes = {
            "types": len(model.types),
            "functions": len(model.func_types),
            "tables": len(model.table_types),
            "memories": len(model.memory_types),
            "globals": len(model.global_types),
            "tags": len(model.tag_types),
            "elements": len(model.elements),
            "data": len(model.data_segments),
        }
        self.naming = Naming(model.names, sizes)
        for index, names in model.names.fields.items():
            if index < len(model.types) and isinstance(composite := model.types[index].composite, StructType):
                self.naming.fields[index] = Space(names, len(composite.fields))
        self.said = Names()
        self.metadata: dict[int, dict[int, list[str]]] = {}  # function -> module offset -> annotations
        self.spaces = {
            "func": self.naming.functions,
            "table": self.naming.tables,
            "memory": self.naming.memories,
            "global": self.naming.globals,
            "tag": self.naming.tags,
        }
        self.counts = dict.fromkeys(EXTERN_KINDS, 0)
        self.needs_data_count = model.data_count is not None
        self.customs = self._customs_to_print()

    def module(self, head: str | None, *, says_name: bool) -> Iterator[str]:
        model = self.model
        if head is None:
            head = self._head()
        if says_name:
            self.said.module = model.names.module
        yield head
        for first, count in model.rec_groups:
            yield self._rec_group(first, model.types[first : first + count])
        for import_ in model.imports:
            yield self._import(import_)
        for table in model.tables:
            yield f"  (table{self._declare('table')}{self._table(table)})\n"
        for memory in model.memories:
            yield f"  (memory{self._declare('memory')} {self._memory_type(memory)})\n"
        for tag in model.tags:
            yield f"  (tag{self._declare('tag')}{self._tag_type(tag)})\n"
        for global_ in model.globals:
            yield f"  (global{self._declare('global')}{self._global(global_)})\n"
        for export in model.exports:
            index = self.spaces[export.kind].index(export.index)
            yield f"  (export {name_string(export.name)} ({export.kind} {index}))\n"
        if model.start is not None:
            yield f"  (start {self.naming.functions.index(model.start)})\n"
        for number, segment in enumerate(model.elements):
            yield f"  (elem{self.naming.elements.declare(number)}{self._element(segment)})\n"
        for function in model.functions:
            yield from self.function(function)
        for number, data in enumerate(model.data_segments):
            yield from self._data(number, data)
        if self.needs_data_count:
            yield f"  (@{DATA_COUNT})\n"
        for custom, place in self.customs:
            yield from self._custom(custom, place)
        yield ")\n"

    def _head(self) -> str:
        name = self.model.names.module
        if name is None:
            return "(module\n"
        return f"(module {identifier(name)}\n" if name else '(module (@name "")\n'

    def _declare(self, kind: str) -> str:
        index = self.counts[kind]
        self.counts[kind] = index + 1
        return self.spaces[kind].declare(index)

    # Types

    def _rec_group(self, first: int, types: Sequence[SubType]) -> str:
        lines = [
            f"(type{self.naming.types.declare(index)} {self._sub_type(index, type_)})"
            for index, type_ in enumerate(types, first)
        ]
        if len(lines) == 1:
            return f"  {lines[0]}\n"
        return "  (rec\n" + "".join(f"    {line}\n" for line in lines) + "  )\n"

    def _sub_type(self, index: int, type_: SubType) -> str:
        text = self._composite_type(index, type_.composite)
        if type_.final and not type_.supertypes:
            return text
        supertypes = "".join(f" {self.naming.types.index(index)}" for index in type_.supertypes)
        return f"(sub{' final' if type_.final else ''}{supertypes} {text})"

    def _composite_type(self, index: int, type_: CompositeType) -> str:
        if isinstance(type_, FuncType):
            return f"(func{self._signature(type_)})"
        if isinstance(type_, StructType):
            return f"(struct{self._fields(index, type_.fields)})"
        return f"(array {self._field(type_.field)})"

    def _fields(self, type_index: int, fields: Sequence[FieldType]) -> str:
        names = self.naming.fields.get(type_index, _NO_NAMES)
        texts = [
            f" (field{names.declare(index) if names.is_named(index) else ''} {self._field(field)})"
            for index, field in enumerate(fields)
        ]
        if names.said:
            self.said.fields[type_index] = names.said
        return "".join(texts)

    def _signature(self, type_: FuncType) -> str:
        return self.naming.type_list("param", type_.params) + self.naming.type_list("result", type_.results)

    def _field(self, field: FieldType) -> str:
        storage = self.naming.type(field.storage)
        return f"(mut {storage})" if field.mutable else storage

    def _table_type(self, type_: TableType) -> str:
        return f"{type_.limits} {self.naming.type(type_.element)}"

    def _memory_type(self, type_: MemoryType) -> str:
        if type_.page_size_log2 == _PAGE_SIZE_LOG2:
            return str(type_.limits)
        return f"{type_.limits} (pagesize {1 << type_.page_size_log2})"

    def _global_type(self, type_: GlobalType) -> str:
        value = self.naming.type(type_.value)
        return f" (mut {value})" if type_.mutable else f" {value}"

    def _tag_type(self, type_: TagType) -> str:
        return self._type_use(type_.type_index)

    def _type_use(self, type_index: int) -> str:
        type_ = self._func_type(type_index)
        use = f" (type {self.naming.types.index(type_index)})"
        return use + self._signature(type_) if type_ is not None else use

    def _func_type(self, type_index: int) -> FuncType | None:
        """The function type at an index; None where an invalid module has none there."""
        types = self.model.types
        composite = types[type_index].composite if type_index < len(types) else None
        return composite if isinstance(composite, FuncType) else None

    # Fields

    def _import(self, import_: Import) -> str:
        kind = import_.kind
        index = self.counts[kind]
        head = f"{name_string(import_.module)} {name_string(import_.name)} ({kind}{self._declare(kind)}"
        desc = import_.desc
        if kind == "func":
            assert isinstance(desc, int)
            text, _ = self._head_of_function(index, desc)
        else:
            text = _IMPORT_TYPES[kind](self, desc)
        return f"  (import {head}{text}))\n"

    def _head_of_function(self, index: int, type_index: int, declared: Sequence[ValType] = ()) -> tuple[str, str]:
        """The type use of a function, with the names of its parameters, and the declarations of its locals."""
        naming = self.naming
        type_ = self._func_type(type_index)
        params = type_.params if type_ is not None else ()
        # Only where there are parameters, or none for certain, can a text say which locals have names.
        locals_ = naming.locals = Space(
            self.model.names.locals.get(index, {}), len(params) + len(declared) if type_ is not None else 0
        )
        text = f" (type {naming.types.index(type_index)}){self._variables('param', 0, params)}"
        if type_ is not None:
            text += naming.type_list("result", type_.results)
        locals_text = self._variables("local", len(params), declared)
        if locals_.said:
            self.said.locals[index] = locals_.said
        return text, locals_text

    def _variables(self, keyword: str, first: int, types: Sequence[ValType]) -> str:
        """Parameters or locals: each that has a name for itself, others together."""
        locals_ = self.naming.locals
        parts = []
        unnamed: list[ValType] = []
        for index, type_ in enumerate(types, first):
            if locals_.is_named(index):
                parts.append(self.naming.type_list(keyword, unnamed))
                unnamed = []
                parts.append(f" ({keyword}{locals_.declare(index)} {self.naming.type(type_)})")
            else:
                unnamed.append(type_)
        parts.append(self.naming.type_list(keyword, unnamed))
        return "".join(parts)

    def _const(self, expr: ConstExpr, keyword: str = "") -> str:
        """A constant expression, in brackets: behind the keyword where it is not a single instruction."""
        instrs = decode_constant(self.model, expr.start, expr.end)[:-1]
        text = " ".join(format_instruction(op, imm, self.naming) for op, imm, _ in instrs)
        if len(instrs) == 1:
            return f" ({text})"
        return f" ({keyword} {text})" if keyword else f" {text}"

    def _table(self, table: Table) -> str:
        text = f" {self._table_type(table.type)}"
        return text if table.init is None else text + self._const(table.init)

    def _global(self, global_: Global) -> str:
        return self._global_type(global_.type) + self._const(global_.init)

    def _element(self, segment: ElementSegment) -> str:
        text = ""
        if segment.mode == "declarative":
            text = " declare"
        elif segment.offset_expr is not None:
            if segment.table:
                text = f" (table {self.naming.tables.index(segment.table)})"
            text += self._const(segment.offset_expr, "offset")
        if segment.type is _FUNCTION_REF and all(isinstance(item, int) for item in segment.items):
            return " ".join([f"{text} func", *map(self.naming.functions.index, segment.items)])  # type: ignore[arg-type]
        parts = [text, " ", self.naming.type(segment.type)]
        for item in segment.items:
            assert not isinstance(item, int), "a binary has indices only where the type goes without saying"
            parts.append(self._const(item, "item"))
        return "".join(parts)

    def function(self, function: Function) -> Iterator[str]:
        model = self.model
        index = self.counts["func"]
        naming = self.naming
        types = [type_ for count, type_ in function.locals for _ in range(count)]
        head, locals_ = self._head_of_function(index, function.type_index, types)
        yield f"  (func{self._declare('func')}{head}\n"
        if locals_:
            yield f"   {locals_}\n"
        instrs = decode_body(model, function.start, function.end)
        if self.needs_data_count and any(op.imm in NAMES_DATA for op, _, _ in instrs):
            self.needs_data_count = False
        labels: dict[int, str] = {}
        if index in model.names.labels:
            blocks = sum(opens_block(op) for op, _, _ in instrs)
            said = {label: name for label, name in model.names.labels[index].items() if name and label < blocks}
            self.said.labels[index] = said
            labels = {label: identifier(name) for label, name in said.items()}
        for line in print_body(instrs, model.data, naming, labels, self.metadata.get(index, {})):
            yield f"{line}\n"
        yield "  )\n"

    def _data(self, number: int, segment: DataSegment) -> Iterator[str]:
        text = f"  (data{self.naming.data.declare(number)}"
        if segment.offset_expr is not None:
            if segment.memory:
                text += f" (memory {self.naming.memories.index(segment.memory)})"
            text += self._const(segment.offset_expr, "offset")
        yield text
        yield from _strings(self.model.data[segment.start : segment.end])
        yield ")\n"

    # Custom sections

    def _customs_to_print(self) -> list[tuple[CustomSection, str]]:
        """The custom sections, each with its place; those of code metadata become annotations, if they can."""
        model = self.model
        present = {section for section, _, _ in model.sections}
        last = max((rank for rank, section in enumerate(SECTION_ORDER) if section in present), default=-1)
        before_code = []
        customs = []
        for custom in model.customs:
            rank = SECTION_ORDER.index(custom.after) if custom.after else -1
            behind = next((section for section in SECTION_ORDER[rank + 1 :] if section in present), None)
            if behind == _CODE:
                before_code.append(custom)
            customs.append((custom, "" if rank == last else place_text(custom.after)))
        annotated = self._code_metadata(before_code)
        return [(custom, place) for custom, place in customs if not any(custom is other for other in annotated)]

    def _code_metadata(self, customs: list[CustomSection]) -> list[CustomSection]:
        """Of the custom sections before the code, the last ones that annotations can say; they are put into
        `metadata`."""
        said: list[CustomSection] = []
        for custom in reversed(customs):
            if not custom.name.startswith(CODE_METADATA) or (said and custom.name >= said[-1].name):
                break
            annotations = self._annotations(custom)
            if annotations is None:
                break
            said.append(custom)
            for function, offset, text in annotations:
                self.metadata.setdefault(function, {}).setdefault(offset, []).append(text)
        return said

    def _annotations(self, custom: CustomSection) -> list[tuple[int, int, str]] | None:
        """(function, module offset, annotation) of a section of code metadata; None where it says more than that."""
        model = self.model
        contents = model.data[custom.start : custom.end]
        try:
            metadata = read_code_metadata(contents)
        except MalformedError:
            return None
        if write_code_metadata(metadata) != contents:
            return None
        imported = model.imported["func"]
        annotations = []
        for function, said in metadata.items():
            if not imported <= function < len(model.func_types) or not said:
                return None
            body = model.functions[function - imported]
            starts = {offset for _, _, offset in decode_body(model, body.start, body.end)[:-1]}
            for offset, data in said.items():
                if body.entry + offset not in starts:
                    return None
                text = f"(@{custom.name} {' '.join(byte_strings(data))})"
                annotations.append((function, body.entry + offset, text))
        return annotations

    def _custom(self, custom: CustomSection, place: str) -> Iterator[str]:
        contents = self.model.data[custom.start : custom.end]
        if custom.name == NAME_SECTION and self._is_said(contents):
            # It stands where it stands in every module, or an empty section keeps its place.
            if not place and self._is_first_behind_all(custom):
                return
            contents = b""
        yield f"  (@custom {name_string(custom.name)}{place}"
        yield from _strings(contents)
        yield ")\n"

    def _is_said(self, contents: bytes) -> bool:
        """Whether the text gives exactly the names of this, the only name section."""
        if sum(custom.name == NAME_SECTION for custom in self.model.customs) > 1:
            return False
        said = self.said
        for space in SPACES:
            setattr(said, space, getattr(self.naming, space).said)
        return bool(contents) and write_names(said) == contents

    def _is_first_behind_all(self, custom: CustomSection) -> bool:
        return next(custom for custom, place in self.customs if not place) is custom


def _strings(data: bytes) -> Iterator[str]:
    strings = byte_strings(data)
    if len(strings) == 1:
        yield f" {strings[0]}"
    else:
        for string in strings:
            yield f"\n    {string}"


_IMPORT_TYPES: Final[dict[str, Callable[[_Printer, Any], str]]] = {
    "table": lambda printer, type_: f" {printer._table_type(type_)}",
    "memory": lambda printer, type_: f" {printer._memory_type(type_)}",
    "global": _Printer._global_type,
    "tag": _Printer._tag_type,
}


def print_functions(model: ModuleModel) -> Iterator[list[str]]:
    """Each function that the module defines, without annotations, as lines: its head, its locals if it declares any,
    its instructions one a line, the bracket.

    Raises as `print_module` does.
    """
    printer = _Printer(model)
    printer.metadata.clear()
    printer.counts["func"] = model.imported["func"]
    for function in model.functions:
        yield "".join(printer.function(function)).split("\n")[:-1]
