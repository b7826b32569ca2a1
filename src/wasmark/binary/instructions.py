"""Instructions in the binary format (core §5.4): bytes of one expression -> a flat list, nesting checked.

`READERS` has one reader for each kind of immediate. The loop in `_decode` repeats inline what most instructions need
of them (no immediate; numbers of one or two bytes), because it runs for every instruction of every module.

As in the grammar of the specification, bytes are taken as they come and compared with the announced size at the end.
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from wasmark.binary.leb import UNEXPECTED_END, read_count, read_s, read_u, read_u32, read_u32_items, unexpected_end
from wasmark.binary.typecodes import EMPTY_BLOCK, read_heap_type, read_type_index, read_value_type, read_value_types
from wasmark.binary.unsupported import PREFIXES, no_such_instruction
from wasmark.core.checked import Any
from wasmark.core.model import ModuleModel
from wasmark.core.opcodes import BY_BYTE, BY_PREFIX, CATCH_ALL, CATCH_ALL_REF, Imm, Opcode
from wasmark.core.types import FuncType, RefType, ValType
from wasmark.errors import InvalidError, MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

BlockType = tuple[tuple[ValType, ...], tuple[ValType, ...]]
Instr = tuple[Opcode, Any, int]
"""(row, immediate, module offset). The immediate is what the row's `Imm` says."""

Reader = Callable[[bytes, int, ModuleModel], tuple[Any, int]]

Clause = tuple[int, int, int]
"""A catch clause of a `try_table`: (kind, tag, label)."""

_IF: Final = 0x04
_ELSE: Final = 0x05
_TRY: Final = 0x06
_CATCH: Final = 0x07
_END: Final = 0x0B
_I32_CONST: Final = b"\x41"
_BODY: Final = 0x00
_CAST_FLAGS: Final = 3


def decode_body(model: ModuleModel, start: int, end: int) -> list[Instr]:
    """The instructions of a function body at `model.data[start:end]`, the final `end` included.

    Raises MalformedError, UnsupportedError for instructions that have no row yet, and InvalidError where a block names
    a type that is none (its immediate could not be given).
    """
    return _decode_all(model, start, end, needs_data_count=model.data_count is None)


def decode_constant(model: ModuleModel, start: int, end: int) -> list[Instr]:
    """The same for a constant expression. It may stand before the data count section, which is then not missing."""
    return _decode_all(model, start, end, needs_data_count=False)


def _decode_all(model: ModuleModel, start: int, end: int, *, needs_data_count: bool) -> list[Instr]:
    instrs, behind = _decode(model, start, end, needs_data_count=needs_data_count)
    if behind != end:
        message = f"section size mismatch: a function of {end - start} bytes ends after {behind - start}"
        raise MalformedError(message, offset=min(behind, end))
    return instrs


def skip_expression(model: ModuleModel, start: int, limit: int) -> int:
    """Where the expression that begins at `start`, in a section that ends at `limit`, ends. Raises as `decode_body`."""
    data = model.data
    # Nearly all are `i32.const n; end`; up to four bytes of an n are right, whatever they are.
    if data[start : start + 1] == _I32_CONST:
        for pos in range(start + 1, min(start + 5, limit - 1)):
            if data[pos] < 0x80:
                if data[pos + 1] == _END:
                    return pos + 2
                break
    return _decode(model, start, limit, needs_data_count=False)[1]


def is_short_i32_const(data: bytes, start: int, end: int) -> bool:
    """Whether the expression at `data[start:end]` (whose end `skip_expression` found) is one `i32.const`, of at most
    four bytes. False says nothing."""
    if data[start] != _I32_CONST[0] or end - start > 6:
        return False
    last = end - 2
    return data[last] < 0x80 and (last == start + 1 or min(data[start + 1 : last]) >= 0x80)


def _read_block_type(data: bytes, pos: int, model: ModuleModel) -> tuple[BlockType, int]:
    index = read_type_index(data, pos)
    if index is not None:
        number, behind = index
        if number >= len(model.types):
            raise InvalidError(f"unknown type {number}: a block names it, and there are {len(model.types)}", offset=pos)
        composite = model.types[number].composite
        if not isinstance(composite, FuncType):
            raise InvalidError(f"type mismatch: type {number} is no function type", offset=pos)
        return (composite.params, composite.results), behind
    if data[pos] == EMPTY_BLOCK:
        return ((), ()), pos + 1
    type_, behind = read_value_type(data, pos)
    return ((), (type_,)), behind


def _read_index(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    return read_u32(data, pos)


def _read_two_indices(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, int], int]:
    first, pos = read_u32(data, pos)
    second, pos = read_u32(data, pos)
    return (first, second), pos


def _read_labels(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, ...], int]:
    count, pos = read_count(data, pos)
    return read_u32_items(data, pos, count + 1)


def _read_memarg(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, int, int], int]:
    """Bit 6 of the alignment says that a memory index follows. That an offset fits its memory's address type is for the
    validator (core §3.3.7)."""
    flags, behind = read_u32(data, pos)
    if flags >= 0x80:
        raise MalformedError(f"malformed memop flags {flags:#x}", offset=pos)
    memory = 0
    if flags & 0x40:
        memory, behind = read_u32(data, behind)
    offset, behind = read_u(data, behind, 64)
    return (flags & 0x3F, memory, offset), behind


def _read_types(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[ValType, ...], int]:
    return read_value_types(data, pos)


def _read_try_table(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[BlockType, tuple[Clause, ...]], int]:
    block, pos = _read_block_type(data, pos, model)
    count, pos = read_count(data, pos)
    clauses = []
    for _ in range(count):
        if pos >= len(data):
            unexpected_end(data)
        kind = data[pos]
        if kind > CATCH_ALL_REF:
            raise MalformedError("malformed catch clause", offset=pos)
        pos += 1
        tag = 0
        if kind < CATCH_ALL:
            tag, pos = read_u32(data, pos)
        label, pos = read_u32(data, pos)
        clauses.append((kind, tag, label))
    return (block, tuple(clauses)), pos


def _read_heap(data: bytes, pos: int, model: ModuleModel) -> tuple[Any, int]:
    return read_heap_type(data, pos)


def _read_ref(data: bytes, pos: int, model: ModuleModel) -> tuple[RefType, int]:
    heap, pos = read_heap_type(data, pos)
    return RefType.of(False, heap), pos


def _read_ref_null(data: bytes, pos: int, model: ModuleModel) -> tuple[RefType, int]:
    heap, pos = read_heap_type(data, pos)
    return RefType.of(True, heap), pos


def _read_cast(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, RefType, RefType], int]:
    """Bit 0 of the flags is the nullability of the first type, bit 1 that of the second (core §5.4.2)."""
    flags = data[pos]
    if flags > _CAST_FLAGS:
        raise MalformedError("malformed br_on_cast flags", offset=pos)
    label, pos = read_u32(data, pos + 1)
    source, pos = read_heap_type(data, pos)
    target, pos = read_heap_type(data, pos)
    return (label, RefType.of(bool(flags & 1), source), RefType.of(bool(flags & 2), target)), pos


def _read_i32(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    return read_s(data, pos, 32)


def _read_i64(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    return read_s(data, pos, 64)


def _read_f32(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    if pos + 4 > len(data):
        unexpected_end(data)
    return int.from_bytes(data[pos : pos + 4], "little"), pos + 4


def _read_f64(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    if pos + 8 > len(data):
        unexpected_end(data)
    return int.from_bytes(data[pos : pos + 8], "little"), pos + 8


def _read_v128(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    if pos + 16 > len(data):
        unexpected_end(data)
    return int.from_bytes(data[pos : pos + 16], "little"), pos + 16


def _read_lane(data: bytes, pos: int, model: ModuleModel) -> tuple[int, int]:
    return data[pos], pos + 1


def _read_lanes(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, ...], int]:
    if pos + 16 > len(data):
        unexpected_end(data)
    return tuple(data[pos : pos + 16]), pos + 16


def _read_memarg_lane(data: bytes, pos: int, model: ModuleModel) -> tuple[tuple[int, int, int, int], int]:
    memarg, behind = _read_memarg(data, pos, model)
    return (*memarg, data[behind]), behind + 1


def _read_nothing(data: bytes, pos: int, model: ModuleModel) -> tuple[None, int]:
    return None, pos


def _read_zero(data: bytes, pos: int, model: ModuleModel) -> tuple[None, int]:
    if data[pos]:
        raise MalformedError("zero byte expected", offset=pos)
    return None, pos + 1


READERS: Final[dict[Imm, Reader]] = {
    Imm.NONE: _read_nothing,
    Imm.ZERO: _read_zero,
    Imm.BLOCK: _read_block_type,
    Imm.LABEL: _read_index,
    Imm.LABELS: _read_labels,
    Imm.FUNC: _read_index,
    Imm.TYPE: _read_index,
    Imm.TYPE_TABLE: _read_two_indices,
    Imm.SELECT: _read_types,
    Imm.LOCAL: _read_index,
    Imm.GLOBAL: _read_index,
    Imm.TABLE: _read_index,
    Imm.TABLE_TABLE: _read_two_indices,
    Imm.ELEM: _read_index,
    Imm.ELEM_TABLE: _read_two_indices,
    Imm.MEMORY: _read_index,
    Imm.MEMORY_MEMORY: _read_two_indices,
    Imm.DATA: _read_index,
    Imm.DATA_MEMORY: _read_two_indices,
    Imm.MEMARG: _read_memarg,
    Imm.I32: _read_i32,
    Imm.I64: _read_i64,
    Imm.F32: _read_f32,
    Imm.F64: _read_f64,
    Imm.TAG: _read_index,
    Imm.TRY_TABLE: _read_try_table,
    Imm.V128: _read_v128,
    Imm.LANE: _read_lane,
    Imm.LANES: _read_lanes,
    Imm.MEMARG_LANE: _read_memarg_lane,
    Imm.HEAP: _read_heap,
    Imm.REF: _read_ref,
    Imm.REF_NULL: _read_ref_null,
    Imm.TYPE_FIELD: _read_two_indices,
    Imm.TYPE_COUNT: _read_two_indices,
    Imm.TYPE_DATA: _read_two_indices,
    Imm.TYPE_ELEM: _read_two_indices,
    Imm.TYPE_TYPE: _read_two_indices,
    Imm.CAST: _read_cast,
}
"""What reads an immediate: from (data, position, model) to (what the row's `Imm` says, position behind it)."""


NAMES_DATA: Final = frozenset({Imm.DATA, Imm.DATA_MEMORY, Imm.TYPE_DATA})
"""Immediates with a data segment in them: a body that has one needs the data count section (core §5.5.17)."""


class _Shape(enum.IntEnum):
    """What the loop does about an opcode, the commonest first."""

    INDEX = 0  # a u32
    PLAIN = 1  # no immediate
    SIGNED = 2  # an s32 or s64
    MEMARG = 3
    END = 4
    BLOCK = 5
    READER = 6  # whatever the table of readers says
    ELSE = 7
    PREFIX = 8
    TRY_TABLE = 9
    CATCH = 10  # `catch` or `catch_all`
    DELEGATE = 11
    MISSING = 12


_SHAPE_OF_IMM: Final = {
    Imm.NONE: _Shape.PLAIN,
    Imm.BLOCK: _Shape.BLOCK,
    Imm.I32: _Shape.SIGNED,
    Imm.I64: _Shape.SIGNED,
    Imm.MEMARG: _Shape.MEMARG,
} | {imm: _Shape.INDEX for imm, reader in READERS.items() if reader is _read_index}

_SHAPE_OF_NAME: Final = {
    "end": _Shape.END,
    "else": _Shape.ELSE,
    "try_table": _Shape.TRY_TABLE,
    "catch": _Shape.CATCH,
    "catch_all": _Shape.CATCH,
    "delegate": _Shape.DELEGATE,
}


def _entry(byte: int) -> tuple[int, Any, Reader]:
    """Plain ints instead of `_Shape` members: comparing those is quicker."""
    row = BY_BYTE[byte]
    if row is None:
        return int(_Shape.PREFIX if byte in PREFIXES else _Shape.MISSING), None, _read_nothing
    shape = _SHAPE_OF_NAME.get(row.name) or _SHAPE_OF_IMM.get(row.imm, _Shape.READER)
    return int(shape), row, READERS[row.imm]


_ENTRIES: Final = tuple(_entry(byte) for byte in range(256))


def _short_block_types() -> dict[int, BlockType]:
    short: dict[int, BlockType] = {EMPTY_BLOCK: ((), ())}
    for byte in range(0x40, 0x80):
        try:
            short[byte] = ((), (read_value_type(bytes([byte]), 0)[0],))
        except MalformedError:
            continue
    return short


SHORT_BLOCK_TYPES: Final = _short_block_types()
"""Block types by their byte, where it is one and they are the same in every module."""


def _decode(model: ModuleModel, pos: int, limit: int, *, needs_data_count: bool) -> tuple[list[Instr], int]:
    """Decode until the `end` that closes what began at `pos`; also the position behind it.

    What stands at or behind `limit` is never blamed: the `end` before it is missing. (So a body that runs on ends the
    decoding of a module, and reading many of them stays linear.) `needs_data_count` says that the data count section is
    missing where it is needed; constant expressions stand before it.
    """
    data = model.data
    entries = _ENTRIES
    instrs: list[Instr] = []
    append = instrs.append
    openers = [_BODY]  # the opcode that opened each block
    index, plain, signed, memarg = map(int, (_Shape.INDEX, _Shape.PLAIN, _Shape.SIGNED, _Shape.MEMARG))
    end, block, by_reader, else_ = map(int, (_Shape.END, _Shape.BLOCK, _Shape.READER, _Shape.ELSE))
    prefixed = int(_Shape.PREFIX)
    try_table, catch, delegate = map(int, (_Shape.TRY_TABLE, _Shape.CATCH, _Shape.DELEGATE))
    imm: Any
    try:
        while True:
            shape, row, read = entries[data[pos]]
            if shape == index:
                imm = data[pos + 1]
                if imm < 0x80:
                    append((row, imm, pos))
                    pos += 2
                    continue
                high = data[pos + 2]
                if high < 0x80:
                    append((row, imm & 0x7F | high << 7, pos))
                    pos += 3
                    continue
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape == plain:
                append((row, None, pos))
                pos += 1
            elif shape == signed:
                imm = data[pos + 1]
                if imm < 0x80:
                    append((row, imm if imm < 0x40 else imm - 0x80, pos))
                    pos += 2
                    continue
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape == memarg:
                imm = data[pos + 1]
                if imm < 0x40:
                    low = data[pos + 2]
                    if low < 0x80:
                        append((row, (imm, 0, low), pos))
                        pos += 3
                        continue
                    high = data[pos + 3]
                    if high < 0x80:
                        append((row, (imm, 0, low & 0x7F | high << 7), pos))
                        pos += 4
                        continue
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape == end:
                append((row, None, pos))
                pos += 1
                openers.pop()
                if not openers:
                    return instrs, pos
            elif shape == block:
                openers.append(data[pos])
                imm = SHORT_BLOCK_TYPES.get(data[pos + 1])
                if imm is not None:
                    append((row, imm, pos))
                    pos += 2
                else:
                    imm, behind = read(data, pos + 1, model)
                    append((row, imm, pos))
                    pos = behind
            elif shape == by_reader:
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape == try_table:
                openers.append(data[pos])
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape in (catch, delegate):
                allowed = (_TRY,) if shape == delegate else (_TRY, _CATCH)
                if openers.pop() not in allowed:
                    raise MalformedError("END opcode expected", offset=pos)
                if shape == catch:
                    openers.append(data[pos])
                imm, behind = read(data, pos + 1, model)
                append((row, imm, pos))
                pos = behind
            elif shape == else_:
                if openers[-1] != _IF:
                    raise MalformedError("END opcode expected, found else without if", offset=pos)
                openers[-1] = _ELSE
                append((row, None, pos))
                pos += 1
            elif shape == prefixed:
                prefix = data[pos]
                code, behind = read_u32(data, pos + 1)
                row = BY_PREFIX.get(prefix, {}).get(code)
                if row is None:
                    if pos >= limit:
                        unexpected_end(data)
                    no_such_instruction(prefix, code, pos)
                if needs_data_count and row.imm in NAMES_DATA:
                    message = f"data count section required: {row.name} names a data segment"
                    raise MalformedError(message, offset=pos)
                imm, behind = READERS[row.imm](data, behind, model)
                append((row, imm, pos))
                pos = behind
            else:
                if pos >= limit:
                    unexpected_end(data)
                no_such_instruction(0, data[pos], pos)
    except IndexError:
        raise MalformedError(UNEXPECTED_END, offset=len(data)) from None
    except InvalidError:
        if pos >= limit:
            unexpected_end(data)
        raise
