"""`ModuleModel` -> bytes: the inverse of the decoder and of the reading of instructions.

The encoding is the shortest one. Function bodies, constant expressions, data and custom sections are taken as they are
from `model.data`; custom sections stay behind the section that they followed. The name section is written anew from
`model.names` where it says something else. Without a place of its own it stands right behind the last section.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from wasmark.binary.decoder import MAGIC, SECTION_ORDER, VERSION
from wasmark.binary.leb import write_s, write_u
from wasmark.binary.names import NAME_SECTION, read_names, write_name, write_names
from wasmark.binary.typecodes import (
    EMPTY_BLOCK,
    TABLE_WITH_INIT,
    write_global_type,
    write_heap_type,
    write_memory_type,
    write_rec_type,
    write_table_type,
    write_tag_type,
    write_value_type,
    write_value_types,
)
from wasmark.core.model import (
    EXTERN_KINDS,
    LAST_SECTION,
    ConstExpr,
    DataSegment,
    ElementSegment,
    Export,
    Function,
    Global,
    Import,
    ModuleModel,
    Table,
)
from wasmark.core.opcodes import BY_NAME, CATCH_ALL, Imm, Opcode
from wasmark.core.types import FUNCREF, FuncType, HeapType, RefType, ValType

_EXTERN_CODE: Final = {kind: bytes([code]) for code, kind in enumerate(EXTERN_KINDS)}
_FUNCTION_REF: Final = RefType.of(False, HeapType.FUNC)
_CUSTOM: Final = 0


def encode_module(model: ModuleModel) -> bytes:
    """The binary of a module; `decode_module` gives back an equal model but for offsets."""
    out = [MAGIC, VERSION]
    customs = _customs_by_place(model)
    out.extend(customs.get(_CUSTOM, ()))
    for section in SECTION_ORDER:
        contents = _SECTIONS[section](model)
        if contents is not None:
            out.append(_section(section, contents))
        out.extend(customs.get(section, ()))
    return b"".join(out)


def _section(section: int, contents: bytes) -> bytes:
    return bytes([section]) + write_u(len(contents)) + contents


def _customs_by_place(model: ModuleModel) -> dict[int, list[bytes]]:
    """Custom sections by the id of the section they follow, 0 at the beginning."""
    names = _names_to_write(model)
    customs: dict[int, list[bytes]] = {}
    for custom in model.customs:
        contents = model.data[custom.start : custom.end]
        if custom.name == NAME_SECTION and names:
            contents, names = names, b""
        customs.setdefault(custom.after, []).append(_custom(custom.name, contents))
    if names:
        customs.setdefault(LAST_SECTION, []).insert(0, _custom(NAME_SECTION, names))
    return customs


def _names_to_write(model: ModuleModel) -> bytes:
    """The contents of the name section; empty where there are no names, or they are what the section says already."""
    if not model.names_are_read:
        return b""
    said = next((custom for custom in model.customs if custom.name == NAME_SECTION), None)
    if said is not None and model.names == read_names(model.data[said.start : said.end]):
        return b""
    return write_names(model.names)


def _custom(name: str, contents: bytes) -> bytes:
    return _section(_CUSTOM, write_name(name) + contents)


def _vector(items: Iterable[bytes]) -> bytes | None:
    """A vector, None for an empty one: such a section is left out."""
    written = list(items)
    return write_u(len(written)) + b"".join(written) if written else None


def _types(model: ModuleModel) -> bytes | None:
    return _vector(write_rec_type(model.types[first : first + count]) for first, count in model.rec_groups)


_WRITE_IMPORT_DESC: Final[dict[str, Callable[[Any], bytes]]] = {
    "func": write_u,
    "table": write_table_type,
    "memory": write_memory_type,
    "global": write_global_type,
    "tag": write_tag_type,
}


def _import(import_: Import) -> bytes:
    kind = import_.kind
    head = write_name(import_.module) + write_name(import_.name) + _EXTERN_CODE[kind]
    return head + _WRITE_IMPORT_DESC[kind](import_.desc)


def _expr(model: ModuleModel, expr: ConstExpr) -> bytes:
    return model.data[expr.start : expr.end]


def _table(model: ModuleModel, table: Table) -> bytes:
    if table.init is None:
        return write_table_type(table.type)
    return TABLE_WITH_INIT + write_table_type(table.type) + _expr(model, table.init)


def _global(model: ModuleModel, global_: Global) -> bytes:
    return write_global_type(global_.type) + _expr(model, global_.init)


def _export(export: Export) -> bytes:
    return write_name(export.name) + _EXTERN_CODE[export.kind] + write_u(export.index)


def _element(model: ModuleModel, segment: ElementSegment) -> bytes:
    """The form with the least to say (core §5.5.12).

    Indices need the type `(ref func)`, and table 0 goes unsaid with the type that its form implies.
    """
    type_ = segment.type
    by_index = type_ is _FUNCTION_REF and all(isinstance(item, int) for item in segment.items)
    flags = 0 if by_index else 4
    if segment.mode == "active":
        implied = segment.table == 0 and type_ is (_FUNCTION_REF if by_index else FUNCREF)
        flags |= 0 if implied else 2
    else:
        flags |= 1 if segment.mode == "passive" else 3
    out = write_u(flags)
    if segment.mode == "active" and flags & 2:
        out += write_u(segment.table)
    if segment.offset_expr is not None:
        out += _expr(model, segment.offset_expr)
    if flags & 3:
        out += b"\x00" if by_index else write_value_type(type_)
    items = [_element_item(model, item, by_index) for item in segment.items]
    return out + write_u(len(items)) + b"".join(items)


def _element_item(model: ModuleModel, item: int | ConstExpr, by_index: bool) -> bytes:
    if isinstance(item, ConstExpr):
        return _expr(model, item)
    if by_index:
        return write_u(item)
    return encode_instruction(BY_NAME["ref.func"], item) + encode_instruction(BY_NAME["end"], None)


def encode_locals(runs: Sequence[tuple[int, ValType]]) -> bytes:
    """The declarations of locals, with which a function's code begins (core §5.5.13)."""
    return write_u(len(runs)) + b"".join(write_u(count) + write_value_type(type_) for count, type_ in runs)


def _code(model: ModuleModel, function: Function) -> bytes:
    body = encode_locals(function.locals) + model.data[function.start : function.end]
    return write_u(len(body)) + body


def _data(model: ModuleModel, segment: DataSegment) -> bytes:
    contents = write_u(segment.end - segment.start) + model.data[segment.start : segment.end]
    if segment.memory is None or segment.offset_expr is None:
        return b"\x01" + contents
    head = b"\x02" + write_u(segment.memory) if segment.memory else b"\x00"
    return head + _expr(model, segment.offset_expr) + contents


_SECTIONS: Final[dict[int, Callable[[ModuleModel], bytes | None]]] = {
    1: _types,
    2: lambda model: _vector(map(_import, model.imports)),
    3: lambda model: _vector(write_u(function.type_index) for function in model.functions),
    4: lambda model: _vector(_table(model, table) for table in model.tables),
    5: lambda model: _vector(map(write_memory_type, model.memories)),
    6: lambda model: _vector(_global(model, global_) for global_ in model.globals),
    7: lambda model: _vector(map(_export, model.exports)),
    8: lambda model: None if model.start is None else write_u(model.start),
    9: lambda model: _vector(_element(model, segment) for segment in model.elements),
    10: lambda model: _vector(_code(model, function) for function in model.functions),
    11: lambda model: _vector(_data(model, segment) for segment in model.data_segments),
    12: lambda model: None if model.data_count is None else write_u(model.data_count),
    13: lambda model: _vector(map(write_tag_type, model.tags)),
}


def encode_instruction(row: Opcode, imm: Any, func_types: Mapping[FuncType, int] | None = None) -> bytes:
    """The bytes of one instruction.

    `imm` is what decoding gives (`Imm` says it for each kind). A block type may also be a type index; one that has
    parameters or several results is looked up in `func_types`, the type indices of a module's function types. Raises
    ValueError where that does not have it, and where a number is out of range.
    """
    opcode = bytes([row.prefix]) + write_u(row.code) if row.prefix else bytes([row.code])
    if row.imm is Imm.BLOCK:
        return opcode + _write_block_type(imm, func_types or {})
    if row.imm is Imm.TRY_TABLE:
        block, clauses = imm
        return opcode + _write_block_type(block, func_types or {}) + _write_clauses(clauses)
    return opcode + _WRITERS[row.imm](imm)


def _write_block_type(type_: Any, func_types: Mapping[FuncType, int]) -> bytes:
    if isinstance(type_, int):
        return write_s(type_)
    params, results = type_
    if not params and not results:
        return bytes([EMPTY_BLOCK])
    if not params and len(results) == 1:
        return write_value_type(results[0])
    func_type = FuncType(tuple(params), tuple(results))
    if func_type not in func_types:
        raise ValueError(f"the block type {func_type} has no type index")
    return write_s(func_types[func_type])


def _write_clauses(clauses: tuple[tuple[int, int, int], ...]) -> bytes:
    written = write_u(len(clauses))
    for kind, tag, label in clauses:
        written += bytes([kind]) + (write_u(tag) if kind < CATCH_ALL else b"") + write_u(label)
    return written


def _write_nothing(imm: None) -> bytes:
    return b""


def _write_two_indices(imm: tuple[int, int]) -> bytes:
    return write_u(imm[0]) + write_u(imm[1])


def _write_labels(labels: tuple[int, ...]) -> bytes:
    return write_u(len(labels) - 1) + b"".join(map(write_u, labels))


def _write_ref_heap(type_: RefType) -> bytes:
    return write_heap_type(type_.heap)


def _write_cast(imm: tuple[int, RefType, RefType]) -> bytes:
    label, source, target = imm
    flags = bytes([source.nullable | target.nullable << 1])
    return flags + write_u(label) + write_heap_type(source.heap) + write_heap_type(target.heap)


def _write_memarg(imm: tuple[int, int, int]) -> bytes:
    align, memory, offset = imm
    if not 0 <= align < 0x40:
        raise ValueError(f"no such alignment: 2**{align}")
    return (bytes([align | 0x40]) + write_u(memory) if memory else bytes([align])) + write_u(offset)


def _write_signed(value: int, bits: int) -> bytes:
    if not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
        raise ValueError(f"{value} is no signed {bits}-bit integer")
    return write_s(value)


def _write_bits(value: int, size: int) -> bytes:
    if value < 0 or value >> (8 * size):
        raise ValueError(f"{value:#x} does not fit {size} bytes")
    return value.to_bytes(size, "little")


def _write_lanes(lanes: tuple[int, ...]) -> bytes:
    if len(lanes) != 16:
        raise ValueError(f"{len(lanes)} lane indices, not 16")
    return bytes(lanes)


_WRITERS: Final[dict[Imm, Callable[[Any], bytes]]] = {
    Imm.NONE: _write_nothing,
    Imm.ZERO: lambda imm: b"\x00",
    Imm.LABEL: write_u,
    Imm.LABELS: _write_labels,
    Imm.FUNC: write_u,
    Imm.TYPE: write_u,
    Imm.TYPE_TABLE: _write_two_indices,
    Imm.SELECT: write_value_types,
    Imm.LOCAL: write_u,
    Imm.GLOBAL: write_u,
    Imm.TABLE: write_u,
    Imm.TABLE_TABLE: _write_two_indices,
    Imm.ELEM: write_u,
    Imm.ELEM_TABLE: _write_two_indices,
    Imm.MEMORY: write_u,
    Imm.MEMORY_MEMORY: _write_two_indices,
    Imm.DATA: write_u,
    Imm.DATA_MEMORY: _write_two_indices,
    Imm.MEMARG: _write_memarg,
    Imm.I32: lambda value: _write_signed(value, 32),
    Imm.I64: lambda value: _write_signed(value, 64),
    Imm.F32: lambda value: _write_bits(value, 4),
    Imm.F64: lambda value: _write_bits(value, 8),
    Imm.TAG: write_u,
    Imm.V128: lambda value: _write_bits(value, 16),
    Imm.LANE: lambda value: _write_bits(value, 1),
    Imm.LANES: _write_lanes,
    Imm.MEMARG_LANE: lambda imm: _write_memarg(imm[:3]) + _write_bits(imm[3], 1),
    Imm.HEAP: write_heap_type,
    Imm.REF: _write_ref_heap,
    Imm.REF_NULL: _write_ref_heap,
    Imm.TYPE_FIELD: _write_two_indices,
    Imm.TYPE_COUNT: _write_two_indices,
    Imm.TYPE_DATA: _write_two_indices,
    Imm.TYPE_ELEM: _write_two_indices,
    Imm.TYPE_TYPE: _write_two_indices,
    Imm.CAST: _write_cast,
}
