from __future__ import annotations

import pytest

from wasmark.binary import decode_body, decode_module, encode_instruction, encode_module
from wasmark.binary.names import write_names
from wasmark.core.model import (
    ConstExpr,
    CustomSection,
    DataSegment,
    ElementSegment,
    Function,
    ModuleModel,
    Names,
    Table,
)
from wasmark.core.opcodes import BY_NAME
from wasmark.core.record import Record
from wasmark.core.types import EXTERNREF, FUNCREF, I32, FuncType, HeapType, Limits, RefType, SubType, TableType

from .build import (
    CODE,
    DATA,
    DATA_COUNT,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    HEADER,
    IMPORT,
    MEMORY,
    START,
    TABLE,
    TAG,
    TYPE,
    code_entry,
    custom,
    module,
    section,
    vector,
)

FUNC_REF = RefType.of(False, HeapType.FUNC)
I32_0 = "41 00 0b"
TYPE_SECTION = section(TYPE, "04 60 01 7f 02 7e 63 02 4e 02 50 00 5f 02 78 00 77 01 4f 01 01 5f 00 5e 64 6c 01 4e 00")

EVERYTHING = module(
    custom(b"first", b"1"),
    TYPE_SECTION,
    custom(b"", b"between"),
    section(IMPORT, "05 01 61 01 62 00 00 00 00 01 70 01 01 02 00 00 02 04 03 00 00 03 7e 01 00 00 04 00 00"),
    section(FUNCTION, "02 00 00"),
    section(TABLE, "03 70 00 01 40 00 64 70 05 01 02 d2 00 0b 6f 00 00"),
    section(MEMORY, "05 00 01 01 01 02 07 01 02 08 01 00 0d 01 02 0c"),
    section(TAG, "01 00 00"),
    section(GLOBAL, "02 7f 00 41 05 0b 7e 01 42 01 42 02 7c 0b"),
    section(EXPORT, "03 01 66 00 00 00 03 01 02 c3 a9 04 00"),
    section(START, "01"),
    section(
        ELEMENT,
        f"08 00 {I32_0} 02 01 02 01 00 02 01 02 02 05 {I32_0} 00 02 01 02 03 00 02 01 02 04 {I32_0} 01 d2 00 0b"
        f" 05 6f 01 d0 6f 0b 06 05 {I32_0} 64 70 01 d2 00 0b 07 70 02 d0 70 0b d2 01 0b",
    ),
    section(DATA_COUNT, "03"),
    custom(b"metadata.code.x", b"2"),
    section(
        CODE,
        vector(
            code_entry(b"\x01\x0b", bytes.fromhex("02 03 7f 80 01 64 70")),
            code_entry(bytes.fromhex("02 40 fc 09 00 0b 0b")),
        ),
    ),
    section(DATA, f"03 00 {I32_0} 01 61 01 00 02 02 {I32_0} 02 62 63"),
    custom(b"name", write_names(Names("m", {1: "f"}, {1: {0: "x"}}))),
    custom(b"last", b"3"),
)


def contents(model: ModuleModel) -> object:
    """All that a model says, with what stands at a position instead of the position."""

    def at(value: object) -> object:
        match value:
            case ConstExpr() | DataSegment() | CustomSection():
                rest = {
                    name: at(getattr(value, name))
                    for name in value.field_names
                    if name not in ("start", "end", "offset")
                }
                return type(value), rest, model.data[value.start : value.end]
            case Function():
                body = [
                    (row, imm, place - value.start) for row, imm, place in decode_body(model, value.start, value.end)
                ]
                return value.type_index, value.locals, value.start - value.entry, body
            case list():
                return [at(item) for item in value]
            case Record():
                return type(value), {name: at(getattr(value, name)) for name in value.field_names if name != "offset"}
        return value

    return {
        name: [id_ for id_, _, _ in model.sections] if name == "sections" else at(getattr(model, name))
        for name in model.field_names
        if name != "data"
    }


def test_a_module_with_everything_comes_back_byte_by_byte() -> None:
    model = decode_module(EVERYTHING)
    assert {id_ for id_, _, _ in model.sections} == set(range(14))
    assert encode_module(model) == EVERYTHING


def test_a_clumsy_encoding_comes_back_as_an_equal_model() -> None:
    clumsy = module(
        section(TYPE, "82 00 60 81 00 7f 00 4e 01 4f 00 5f 00"),
        section(IMPORT, "00"),
        section(FUNCTION, "81 80 00 80 00"),
        section(TABLE, "01 63 70 00 00"),
        section(MEMORY, "01 08 01 10"),
        section(ELEMENT, f"02 02 00 {I32_0} 00 00 06 00 {I32_0} 70 00"),
        section(CODE, "81 00 83 00 80 00 0b"),
        section(DATA, f"01 02 00 {I32_0} 00"),
    )
    model = decode_module(clumsy)
    binary = encode_module(model)
    assert len(binary) < len(clumsy)
    again = decode_module(binary)
    # Empty sections are left out, and the number of bytes of locals is not kept.
    model.sections = [entry for entry in model.sections if entry[0] != IMPORT]
    model.functions[0].entry += 1
    assert contents(again) == contents(model)
    assert encode_module(again) == binary


def test_an_empty_model_is_a_header() -> None:
    assert encode_module(ModuleModel()) == HEADER


def test_a_model_that_was_never_decoded_is_encoded_from_its_buffer() -> None:
    end = encode_instruction(BY_NAME["end"], None)
    body = encode_instruction(BY_NAME["local.get"], 0) + end
    model = ModuleModel(
        data=b"payload" + body,
        types=[SubType(FuncType((I32,), (I32,)))],
        rec_groups=[(0, 1)],
        functions=[Function(0, [], 7, 7 + len(body))],
        data_segments=[DataSegment(0, 7)],
        customs=[CustomSection("c", 0, 3)],
        names=Names(functions={0: "identity"}),
    )
    model.index()
    again = decode_module(encode_module(model))
    assert [name for name in ("c", "name") if name in [custom_.name for custom_ in again.customs]] == ["c", "name"]
    assert again.names == model.names
    assert again.func_type(0) == FuncType((I32,), (I32,))
    (segment,) = again.data_segments
    assert again.data[segment.start : segment.end] == b"payload"
    function = again.functions[0]
    assert [row.name for row, _, _ in decode_body(again, function.start, function.end)] == ["local.get", "end"]


def test_a_broken_name_section_is_kept_as_it_is() -> None:
    binary = module(custom(b"name", b"\x01\xff"))
    assert encode_module(decode_module(binary)) == binary


def test_changed_names_replace_the_name_section_in_its_place() -> None:
    model = decode_module(module(custom(b"name", write_names(Names("old"))), custom(b"z", b"")))
    model.names = Names("new")
    assert encode_module(model) == module(custom(b"name", write_names(Names("new"))), custom(b"z", b""))


@pytest.mark.parametrize(
    ("type_", "table", "items", "expected"),
    [
        (FUNC_REF, 0, [3], f"00 {I32_0} 01 03"),
        (FUNC_REF, 1, [3], f"02 01 {I32_0} 00 01 03"),
        (FUNCREF, 0, [3], f"04 {I32_0} 01 d2 03 0b"),
        (FUNCREF, 1, [3], f"06 01 {I32_0} 70 01 d2 03 0b"),
        (FUNCREF, 0, [], f"04 {I32_0} 00"),
        (EXTERNREF, 0, [], f"06 00 {I32_0} 6f 00"),
        (FUNC_REF, 0, [ConstExpr(0, 3)], f"06 00 {I32_0} 64 70 01 {I32_0}"),
    ],
)
def test_element_segments_take_the_shortest_form_that_says_their_type(
    type_: RefType, table: int, items: list[int] | list[ConstExpr], expected: str
) -> None:
    segment = ElementSegment("active", type_, items, table, ConstExpr(0, 3))
    model = ModuleModel(data=bytes.fromhex(I32_0), elements=[segment])
    assert encode_module(model) == module(section(ELEMENT, "01" + expected))


def test_a_table_with_an_initialiser_is_marked() -> None:
    table = Table(TableType(FUNCREF, Limits(1)), ConstExpr(0, 3))
    model = ModuleModel(data=bytes.fromhex("d0 70 0b"), tables=[table])
    assert encode_module(model) == module(section(TABLE, "01 40 00 70 00 01 d0 70 0b"))
