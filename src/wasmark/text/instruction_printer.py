"""Instructions as text (core §6.5), flat, each from its row and its immediate: the inverse of `text.instructions`.

`IMMEDIATES` has one writer for each kind of immediate of the opcode table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.binary.typecodes import read_type_index
from wasmark.core.opcodes import CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF, OPCODES, Imm
from wasmark.text.literals import f32_literal, f64_literal
from wasmark.text.naming import Naming

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from wasmark.binary import Instr
    from wasmark.core.opcodes import Opcode
    from wasmark.core.types import RefType
    from wasmark.text.naming import Space

_MOST_INDENTED: Final = 20
"""Blocks nested more deeply than this are not indented further: a text stays linear in its instructions."""

_INDENTS: Final = tuple("  " * depth for depth in range(_MOST_INDENTED + 1))

_PLAIN: Final = 0
_OPENS: Final = 1
_CONTINUES: Final = 2  # closes one arm of a block and opens another
_CLOSES: Final = 3


def _two(space: Space, indices: tuple[int, int]) -> str:
    """Both or none."""
    return f" {space.index(indices[0])} {space.index(indices[1])}" if any(indices) else ""


def _optional(text: str, index: int) -> str:
    """An index, or nothing where it is the first of its space and goes without saying."""
    return f" {text}" if index else ""


def block_type(naming: Naming, imm: tuple[Any, Any], type_index: int | None) -> str:
    """A block type, with the type index that stands for it in the binary, if one does."""
    params, results = imm
    use = "" if type_index is None else f" (type {naming.types.index(type_index)})"
    return use + naming.type_list("param", params) + naming.type_list("result", results)


def _memarg(naming: Naming, op: Opcode, imm: tuple[int, int, int]) -> str:
    align, memory, offset = imm
    text = _optional(naming.memories.index(memory), memory)
    if offset:
        text += f" offset={offset}"
    return text if 1 << align == op.access else f"{text} align={1 << align}"


def _memarg_lane(naming: Naming, op: Opcode, imm: tuple[int, int, int, int]) -> str:
    align, memory, offset, lane = imm
    return f"{_memarg(naming, op, (align, memory, offset))} {lane}"


def _v128(naming: Naming, op: Opcode, imm: int) -> str:
    return " i32x4" + "".join(f" {imm >> shift & 0xFFFFFFFF:#010x}" for shift in range(0, 128, 32))


def _type_table(naming: Naming, op: Opcode, imm: tuple[int, int]) -> str:
    type_, table = imm
    return f"{_optional(naming.tables.index(table), table)} (type {naming.types.index(type_)})"


def _elem_table(naming: Naming, op: Opcode, imm: tuple[int, int]) -> str:
    segment, table = imm
    return f"{_optional(naming.tables.index(table), table)} {naming.elements.index(segment)}"


def _data_memory(naming: Naming, op: Opcode, imm: tuple[int, int]) -> str:
    segment, memory = imm
    return f"{_optional(naming.memories.index(memory), memory)} {naming.data.index(segment)}"


_CLAUSES: Final = {CATCH: "catch", CATCH_REF: "catch_ref", CATCH_ALL: "catch_all", CATCH_ALL_REF: "catch_all_ref"}


def _clauses(naming: Naming, clauses: Iterable[tuple[int, int, int]]) -> str:
    text = ""
    for kind, tag, label in clauses:
        of = f" {naming.tags.index(tag)}" if kind < CATCH_ALL else ""
        text += f" ({_CLAUSES[kind]}{of} {naming.label(label)})"
    return text


def _cast(naming: Naming, op: Opcode, imm: tuple[int, RefType, RefType]) -> str:
    label, source, target = imm
    return f" {naming.label(label)} {naming.type(source)} {naming.type(target)}"


IMMEDIATES: Final[dict[Imm, Callable[[Naming, Opcode, Any], str]]] = {
    Imm.NONE: lambda naming, op, imm: "",
    Imm.ZERO: lambda naming, op, imm: "",
    Imm.BLOCK: lambda naming, op, imm: block_type(naming, imm, None),
    Imm.LABEL: lambda naming, op, imm: f" {naming.label(imm)}",
    Imm.LABELS: lambda naming, op, imm: f" {' '.join(map(naming.label, imm))}",
    Imm.FUNC: lambda naming, op, imm: f" {naming.functions.index(imm)}",
    Imm.TYPE: lambda naming, op, imm: f" {naming.types.index(imm)}",
    Imm.TYPE_TABLE: _type_table,
    Imm.SELECT: lambda naming, op, imm: naming.type_list("result", imm) or " (result)",
    Imm.LOCAL: lambda naming, op, imm: f" {naming.locals.index(imm)}",
    Imm.GLOBAL: lambda naming, op, imm: f" {naming.globals.index(imm)}",
    Imm.TABLE: lambda naming, op, imm: _optional(naming.tables.index(imm), imm),
    Imm.TABLE_TABLE: lambda naming, op, imm: _two(naming.tables, imm),
    Imm.ELEM: lambda naming, op, imm: f" {naming.elements.index(imm)}",
    Imm.ELEM_TABLE: _elem_table,
    Imm.MEMORY: lambda naming, op, imm: _optional(naming.memories.index(imm), imm),
    Imm.MEMORY_MEMORY: lambda naming, op, imm: _two(naming.memories, imm),
    Imm.DATA: lambda naming, op, imm: f" {naming.data.index(imm)}",
    Imm.DATA_MEMORY: _data_memory,
    Imm.MEMARG: _memarg,
    Imm.I32: lambda naming, op, imm: f" {imm}",
    Imm.I64: lambda naming, op, imm: f" {imm}",
    Imm.F32: lambda naming, op, imm: f" {f32_literal(imm)}",
    Imm.F64: lambda naming, op, imm: f" {f64_literal(imm)}",
    Imm.V128: _v128,
    Imm.LANE: lambda naming, op, imm: f" {imm}",
    Imm.LANES: lambda naming, op, imm: f" {' '.join(map(str, imm))}",
    Imm.MEMARG_LANE: _memarg_lane,
    Imm.TAG: lambda naming, op, imm: f" {naming.tags.index(imm)}",
    Imm.TRY_TABLE: lambda naming, op, imm: block_type(naming, imm[0], None) + _clauses(naming, imm[1]),
    Imm.HEAP: lambda naming, op, imm: f" {naming.heap_type(imm)}",
    Imm.REF: lambda naming, op, imm: f" {naming.type(imm)}",
    Imm.REF_NULL: lambda naming, op, imm: f" {naming.type(imm)}",
    Imm.TYPE_FIELD: lambda naming, op, imm: f" {naming.types.index(imm[0])} {naming.field(*imm)}",
    Imm.TYPE_COUNT: lambda naming, op, imm: f" {naming.types.index(imm[0])} {imm[1]}",
    Imm.TYPE_DATA: lambda naming, op, imm: f" {naming.types.index(imm[0])} {naming.data.index(imm[1])}",
    Imm.TYPE_ELEM: lambda naming, op, imm: f" {naming.types.index(imm[0])} {naming.elements.index(imm[1])}",
    Imm.TYPE_TYPE: lambda naming, op, imm: f" {naming.types.index(imm[0])} {naming.types.index(imm[1])}",
    Imm.CAST: _cast,
}
"""What writes an immediate, with a space before it: from (naming, row, what the row's `Imm` says)."""

_DELEGATES: Final = 4  # closes a block, and has an immediate that counts from outside

_ROLES: Final = {
    "else": _CONTINUES,
    "catch": _CONTINUES,
    "catch_all": _CONTINUES,
    "end": _CLOSES,
    "delegate": _DELEGATES,
}


def _role(op: Opcode) -> int:
    return _OPENS if op.imm in (Imm.BLOCK, Imm.TRY_TABLE) else _ROLES.get(op.name, _PLAIN)


def opens_block(op: Opcode) -> bool:
    """Whether this instruction opens a block."""
    return _ENTRIES[op][2] == _OPENS


_ENTRIES: Final = {op: (op.name, None if op.imm is Imm.NONE else IMMEDIATES[op.imm], _role(op)) for op in OPCODES}

_NUMBERS: Final = Naming()


def format_instruction(op: Opcode, imm: Any, naming: Naming = _NUMBERS) -> str:
    """`i32.load offset=8 align=1`, `br_table 0 1 2`, ..."""
    return op.name + IMMEDIATES[op.imm](naming, op, imm)


def print_body(
    instrs: Iterable[Instr],
    data: bytes,
    naming: Naming,
    labels: Mapping[int, str],
    annotations: Mapping[int, list[str]],
) -> Iterator[str]:
    """The lines of a function body without its final `end`, the outermost instructions indented twice.

    data: the module, in which block types are looked up. labels: identifiers by the number of a block; annotations:
    what stands before an instruction, by its offset in the module.
    """
    entries = _ENTRIES
    open_labels = naming.labels
    blocks = 0
    depth = 2
    indent = _INDENTS[depth]
    for op, imm, offset in instrs:
        name, write, role = entries[op]
        if annotations and offset in annotations:
            for annotation in annotations[offset]:
                yield f"{indent}{annotation}"
        if not role:
            yield f"{indent}{name}" if write is None else f"{indent}{name}{write(naming, op, imm)}"
        elif role == _OPENS:
            label = labels.get(blocks)
            blocks += 1
            index = read_type_index(data, offset + 1)
            block, clauses = imm if op.imm is Imm.TRY_TABLE else (imm, ())
            type_ = block_type(naming, block, None if index is None else index[0]) + _clauses(naming, clauses)
            yield f"{indent}{name}{'' if label is None else ' ' + label}{type_}"
            open_labels.append(label)
            depth += 1
            indent = _INDENTS[min(depth, _MOST_INDENTED)]
        elif role == _CONTINUES:
            text = "" if write is None else write(naming, op, imm)
            yield f"{_INDENTS[min(depth - 1, _MOST_INDENTED)]}{name}{text}"
        elif role == _DELEGATES:
            depth -= 1
            indent = _INDENTS[min(depth, _MOST_INDENTED)]
            open_labels.pop()
            yield f"{indent}{name}{IMMEDIATES[op.imm](naming, op, imm)}"
        else:
            depth -= 1
            indent = _INDENTS[min(depth, _MOST_INDENTED)]
            if open_labels:
                open_labels.pop()
                yield f"{indent}{name}"
