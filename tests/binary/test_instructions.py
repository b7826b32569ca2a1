from __future__ import annotations

from typing import Any

import pytest

from wasmark.binary import decode_body, encode_instruction
from wasmark.binary.leb import write_u
from wasmark.core.model import ModuleModel
from wasmark.core.opcodes import (
    BY_NAME,
    CATCH,
    CATCH_ALL,
    CATCH_ALL_REF,
    CATCH_REF,
    OPCODES,
    Imm,
    Opcode,
)
from wasmark.core.types import F64, FUNCREF, I32, I64, FuncType, HeapType, RefType, StructType, SubType
from wasmark.errors import InvalidError, MalformedError, UnsupportedError

from .build import function_module

TWO_TO_TWO = FuncType((I32, I64), (F64, FUNCREF))
TYPES = [SubType(StructType(())), SubType(TWO_TO_TWO)]
U32_VALUES = [0, 1, 0x7F, 0x80, 0x3FFF, 0x4000, 0xFFFF_FFFF]
PAIRS = [(0, 0), (1, 2), (0x80, 0xFFFF_FFFF)]

SAMPLES: dict[Imm, list[Any]] = {
    Imm.NONE: [None],
    Imm.ZERO: [None],
    Imm.BLOCK: [((), ()), ((), (I32,)), ((), (RefType.of(False, 1),)), (TWO_TO_TWO.params, TWO_TO_TWO.results)],
    Imm.LABEL: U32_VALUES,
    Imm.LABELS: [(0,), (1, 2, 3), (0x80, 1), tuple(range(300))],
    Imm.FUNC: U32_VALUES,
    Imm.TYPE: U32_VALUES,
    Imm.TYPE_TABLE: PAIRS,
    Imm.SELECT: [(), (I32,), (FUNCREF, RefType.of(True, 5), RefType.of(False, HeapType.ANY))],
    Imm.LOCAL: U32_VALUES,
    Imm.GLOBAL: U32_VALUES,
    Imm.TABLE: U32_VALUES,
    Imm.TABLE_TABLE: PAIRS,
    Imm.ELEM: U32_VALUES,
    Imm.ELEM_TABLE: PAIRS,
    Imm.MEMORY: U32_VALUES,
    Imm.MEMORY_MEMORY: PAIRS,
    Imm.DATA: U32_VALUES,
    Imm.DATA_MEMORY: PAIRS,
    Imm.MEMARG: [(0, 0, 0), (3, 0, 0x7F), (2, 0, 0x80), (1, 0, 0x4000), (0x3F, 1, 1), (2, 0xFFFF_FFFF, (1 << 64) - 1)],
    Imm.I32: [0, 1, -1, 63, 64, -64, -65, (1 << 31) - 1, -(1 << 31)],
    Imm.I64: [0, 1, -1, 63, 64, -64, -65, (1 << 63) - 1, -(1 << 63)],
    Imm.F32: [0, 0x7FA0_0001, 0xFFFF_FFFF],
    Imm.F64: [0, 0x7FF4_0000_0000_0001, (1 << 64) - 1],
    Imm.V128: [0, 1 << 127, (1 << 128) - 1],
    Imm.LANE: [0, 1, 0xFF],
    Imm.LANES: [tuple(range(16)), (0xFF,) * 16],
    Imm.MEMARG_LANE: [(0, 0, 0, 0), (2, 1, 0x80, 0xFF)],
    Imm.HEAP: [*HeapType, 0, 63, 64, 0x4000],
    Imm.TAG: U32_VALUES,
    Imm.TRY_TABLE: [
        (((), ()), ()),
        ((TWO_TO_TWO.params, TWO_TO_TWO.results), ((CATCH, 0x80, 0), (CATCH_ALL_REF, 0, 0x4000))),
        (((), (I32,)), ((CATCH_REF, 0xFFFF_FFFF, 1), (CATCH_ALL, 0, 2)) * 100),
    ],
    Imm.REF: [RefType.of(False, heap) for heap in (*HeapType, 0, 64)],
    Imm.REF_NULL: [RefType.of(True, heap) for heap in (*HeapType, 0, 64)],
    Imm.TYPE_FIELD: PAIRS,
    Imm.TYPE_COUNT: PAIRS,
    Imm.TYPE_DATA: PAIRS,
    Imm.TYPE_ELEM: PAIRS,
    Imm.TYPE_TYPE: PAIRS,
    Imm.CAST: [
        (label, RefType.of(first, HeapType.ANY), RefType.of(second, heap))
        for label in (0, 0x80)
        for first in (False, True)
        for second in (False, True)
        for heap in (HeapType.STRUCT, 3)
    ],
}

END = b"\x0b"


def expression(code: bytes, *, data_count: int | None = 1, lead: bytes = b"") -> ModuleModel:
    return ModuleModel(data=lead + code, types=TYPES, data_count=data_count)


def decode(code: bytes, *, data_count: int | None = 1) -> list[tuple[str, Any, int]]:
    model = expression(code, data_count=data_count)
    return [(row.name, imm, offset) for row, imm, offset in decode_body(model, 0, len(code))]


def malformed(code: bytes, *, data_count: int | None = 1) -> MalformedError:
    model = expression(code, data_count=data_count)
    with pytest.raises(MalformedError) as caught:
        decode_body(model, 0, len(code))
    return caught.value


@pytest.mark.parametrize("row", OPCODES, ids=lambda row: f"{row.prefix:02x}{row.code:02x}-{row.name}")
def test_every_row_decodes_to_what_was_encoded(row: Opcode) -> None:
    samples = SAMPLES[row.imm]
    assert samples
    for imm in samples:
        code = encode_instruction(row, imm, {TWO_TO_TWO: 1})
        before, after = b"", END
        if row.name in ("block", "loop", "if", "try_table", "try"):
            after = END + END
        elif row.name in ("catch", "catch_all", "delegate"):
            before, after = b"\x06\x40", END + (END if row.name != "delegate" else b"")
        elif row.name == "else":
            before, after = b"\x04\x40", END + END
        elif row.name == "end":
            after = b""
        lead = b"\x01" * 3
        model = expression(before + code + after, lead=lead)
        instrs = decode_body(model, len(lead), len(model.data))
        position = 1 if before else 0
        assert instrs[position][0] is row
        assert instrs[position][1:] == (imm, len(lead) + len(before))
        assert instrs[-1] == (BY_NAME["end"], None, len(model.data) - 1)


def test_every_kind_of_immediate_has_samples() -> None:
    assert set(SAMPLES) == set(Imm)


def test_offsets_count_from_the_start_of_the_module() -> None:
    binary = function_module(bytes.fromhex("41 80 01 1a 02 40 01 0b 0b"))
    start = len(binary) - 9
    model = ModuleModel(data=binary)
    instrs = decode_body(model, start, len(binary))
    assert [(row.name, offset - start) for row, _, offset in instrs] == [
        ("i32.const", 0),
        ("drop", 3),
        ("block", 4),
        ("nop", 6),
        ("end", 7),
        ("end", 8),
    ]


def test_overlong_integers_are_read_in_every_place_of_the_quick_paths() -> None:
    assert decode(bytes.fromhex("20 81 80 00 41 ff 80 00 28 82 00 83 80 80 80 00 0b")) == [
        ("local.get", 1, 0),
        ("i32.const", 127, 4),
        ("i32.load", (2, 0, 3), 8),
        ("end", None, 16),
    ]


def test_a_memory_index_follows_where_bit_6_of_the_alignment_is_set() -> None:
    assert decode(bytes.fromhex("28 42 07 09 28 40 00 09 0b"))[:2] == [
        ("i32.load", (2, 7, 9), 0),
        ("i32.load", (0, 0, 9), 4),
    ]


def test_block_types_of_a_type_index_give_its_parameters_and_results() -> None:
    assert decode(bytes.fromhex("02 01 0b 0b"))[0] == ("block", (TWO_TO_TWO.params, TWO_TO_TWO.results), 0)


@pytest.mark.parametrize(("code", "offset"), [("02 02 0b 0b", 1), ("01 03 ff ff 03 0b 0b", 2)])
def test_a_block_type_that_does_not_exist_is_invalid(code: str, offset: int) -> None:
    data = bytes.fromhex(code)
    with pytest.raises(InvalidError, match="unknown type") as caught:
        decode_body(expression(data), 0, len(data))
    assert caught.value.offset == offset


def test_a_block_type_that_is_no_function_type_is_invalid() -> None:
    data = bytes.fromhex("02 00 0b 0b")
    with pytest.raises(InvalidError, match="no function type"):
        decode_body(expression(data), 0, len(data))


def test_absurd_type_indices_do_not_pile_up_among_the_interned_types() -> None:
    before = len(RefType._interned)
    for index in range(1 << 30, (1 << 30) + 50):
        code = b"\x1c\x01\x63" + write_u(index) + END
        with pytest.raises(InvalidError, match="unknown type"):
            decode_body(expression(code), 0, len(code))
    assert len(RefType._interned) == before


@pytest.mark.parametrize(
    ("code", "message", "offset"),
    [
        ("05 0b", "END opcode expected", 0),
        ("02 40 05 0b 0b", "END opcode expected", 2),
        ("03 40 05 0b 0b", "END opcode expected", 2),
        ("04 40 05 05 0b 0b", "END opcode expected", 3),
        ("04 40 02 40 05 0b 0b 0b", "END opcode expected", 4),
        ("0b 0b", "section size mismatch", 1),
        ("02 40 0b", "unexpected end of section or function", 3),
        ("", "unexpected end of section or function", 0),
        ("20", "unexpected end of section or function", 1),
        ("20 80", "unexpected end of section or function", 2),
        ("41", "unexpected end of section or function", 1),
        ("28 02", "unexpected end of section or function", 2),
        ("28 02 80", "unexpected end of section or function", 3),
        ("02", "unexpected end of section or function", 1),
        ("43 00 00 00", "unexpected end of section or function", 4),
        ("44 00 00 00 00 00 00 00", "unexpected end of section or function", 8),
        ("fc", "unexpected end of section or function", 1),
        ("0e 02 00 01", "unexpected end of section or function", 4),
        ("0e ff ff ff ff 0f 00 0b", "length out of bounds", 1),
        ("1c ff ff ff ff 0f 7f 0b", "length out of bounds", 1),
        ("28 80 01 00 0b", "malformed memop flags", 1),
        ("28 80 02 00 0b", "malformed memop flags", 1),
        ("28 82 80 80 80 10 00 0b", "integer too large", 5),
        ("28 02 82 80 80 80 80 80 80 80 80 10 0b", "integer too large", 11),
        ("28 02 82 80 80 80 80 80 80 80 80 80 00 0b", "integer representation too long", 12),
        ("20 80 80 80 80 80 00 0b", "integer representation too long", 6),
        ("41 80 80 80 80 70 0b", "integer too large", 5),
        ("42 80 80 80 80 80 80 80 80 80 7e 0b", "integer too large", 10),
        ("02 41 0b 0b", "malformed value type", 1),
        ("02 ff 7f 0b 0b", "integer representation too long", 2),
        ("1c 01 40 0b", "malformed value type", 2),
        ("d0 7f 0b", "malformed heap type", 1),
        ("fc 87 80 80 80 80 00 00 0b", "integer representation too long", 6),
    ],
)
def test_malformed_expressions(code: str, message: str, offset: int) -> None:
    error = malformed(bytes.fromhex(code))
    assert error.message.startswith(message)
    assert error.offset == offset


@pytest.mark.parametrize("opcode", ["fc 08 00 00", "fc 09 00"])
def test_instructions_on_data_segments_need_the_data_count(opcode: str) -> None:
    code = bytes.fromhex(opcode) + END
    assert len(decode(code, data_count=0)) == 2
    error = malformed(code, data_count=None)
    assert error.message.startswith("data count section required")
    assert error.offset == 0


def test_an_expression_may_not_run_on_behind_its_end() -> None:
    data = bytes.fromhex("01 01 0b 01 0b")
    with pytest.raises(MalformedError, match="section size mismatch"):
        decode_body(expression(data), 0, 2)


def test_what_stands_behind_the_end_is_not_blamed_for_a_missing_end() -> None:
    for behind in ("ff 0b", "02 7f 0b 0b", "02 ff ff 03 0b 0b", "fe 10 0b"):
        data = bytes.fromhex("01 01" + behind)
        with pytest.raises(MalformedError, match=r"unexpected end|size mismatch"):
            decode_body(expression(data), 0, 2)


def test_instructions_of_a_proposal_without_a_row_are_unsupported_by_name() -> None:
    data = b"\xfc\x12" + END * 4
    with pytest.raises(UnsupportedError, match=r"opcode fc 12 .* offset 0x0 belongs to memory control"):
        decode_body(expression(data), 0, len(data))


ILLEGAL = [(0x00, code) for code in (0x16, 0x17, 0x1D, 0x1E, 0x27, 0xC5, 0xCF, 0xD7, 0xF3, 0xFA, 0xFF)] + [
    (0xFB, 0x1F),
    (0xFC, 0x17),
    (0xFC, 0xFFFF_FFFF),
    (0xFD, 0x9A),
    (0xFD, 0x114),
    (0xFE, 0x04),
    (0xFE, 0x4F),
]


@pytest.mark.parametrize(("prefix", "code"), ILLEGAL)
def test_bytes_that_are_no_instruction_are_illegal(prefix: int, code: int) -> None:
    name = f"{prefix:02x} {code:02x}" if prefix else f"{code:02x}"
    error = malformed(b"\x01" + (bytes([prefix]) + write_u(code) if prefix else bytes([code])) + END)
    assert error.message.startswith(f"illegal opcode {name}:")
    assert error.offset == 1


def test_every_byte_is_an_instruction_a_prefix_or_an_error_of_ours() -> None:
    for byte in range(256):
        data = bytes([byte]) + b"\x00" * 16
        with pytest.raises((MalformedError, UnsupportedError, InvalidError)):
            decode_body(expression(data), 0, len(data))


@pytest.mark.parametrize("opener", [b"\x02\x40", b"\x03\x40", b"\x41\x00\x04\x40"])
def test_100000_nested_blocks_are_decoded(opener: bytes) -> None:
    depth = 100_000
    code = opener * depth + END * (depth + 1)
    instrs = decode_body(expression(code), 0, len(code))
    assert sum(row.name == "end" for row, _, _ in instrs) == depth + 1
    with pytest.raises(MalformedError, match="unexpected end"):
        decode_body(expression(code[:-1]), 0, len(code) - 1)


@pytest.mark.parametrize(
    ("name", "imm"),
    [
        ("i32.const", 1 << 31),
        ("i32.const", -(1 << 31) - 1),
        ("i64.const", 1 << 63),
        ("f32.const", 1 << 32),
        ("f64.const", -1),
        ("local.get", -1),
        ("i32.load", (64, 0, 0)),
        ("block", ((I32,), ())),
    ],
)
def test_an_immediate_that_cannot_be_written_is_a_value_error(name: str, imm: Any) -> None:
    with pytest.raises(ValueError, match=r".+"):
        encode_instruction(BY_NAME[name], imm)


def test_a_block_type_may_be_given_as_a_type_index() -> None:
    assert encode_instruction(BY_NAME["block"], 64) == bytes.fromhex("02 c0 00")
