from __future__ import annotations

import tracemalloc

import pytest

from tests.counting import executed_lines
from wasmark.binary import decode_module
from wasmark.core.model import (
    ConstExpr,
    CustomSection,
    DataSegment,
    ElementSegment,
    Export,
    Global,
    Import,
    Table,
)
from wasmark.core.types import (
    EXTERNREF,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    ArrayType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    PackedType,
    RefType,
    StructType,
    SubType,
    TableType,
    TagType,
)
from wasmark.errors import InvalidError, MalformedError, UnsupportedError

from .build import (
    CODE,
    DATA,
    DATA_COUNT,
    ELEMENT,
    EXPORT,
    FUNCTION,
    GLOBAL,
    HEADER_SIZE,
    IMPORT,
    MEMORY,
    NO_TYPE,
    START,
    TABLE,
    TAG,
    TYPE,
    code_entry,
    custom,
    decode_function,
    function_module,
    module,
    section,
    vector,
)

FUNC_REF = RefType.of(False, HeapType.FUNC)
ONE_FUNCTION = (section(TYPE, vector(NO_TYPE)), section(FUNCTION, "01 00"))
ONE_BODY = section(CODE, vector(code_entry(b"\x0b")))
# A section's contents begin behind the header, its id and a size of one byte.
CONTENTS = HEADER_SIZE + 2


def test_an_empty_module() -> None:
    model = decode_module(module())
    assert model.sections == []
    assert model.imported == {"func": 0, "table": 0, "memory": 0, "global": 0, "tag": 0}


def test_function_types_keep_their_order() -> None:
    model = decode_module(module(section(TYPE, "02 60 05 7f 7e 7c 70 6f 02 7b 64 6d 60 00 00")))
    assert model.types == [
        SubType(FuncType((I32, I64, F64, FUNCREF, EXTERNREF), (V128, RefType.of(False, HeapType.EQ)))),
        SubType(FuncType((), ())),
    ]
    assert model.rec_groups == [(0, 1), (1, 1)]


def test_recursion_groups_with_structures_arrays_and_supertypes() -> None:
    model = decode_module(
        module(section(TYPE, "03 4e 02 50 00 5f 02 78 00 77 01 4f 01 00 5f 03 78 00 77 01 63 01 01 5e 64 6c 01 4e 00"))
    )
    base = (FieldType(PackedType.I8, False), FieldType(PackedType.I16, True))
    assert model.types == [
        SubType(StructType(base), (), False),
        SubType(StructType((*base, FieldType(RefType.of(True, 1), True))), (0,), True),
        SubType(ArrayType(FieldType(RefType.of(False, HeapType.I31), True))),
    ]
    assert model.rec_groups == [(0, 2), (2, 1), (3, 0)]


@pytest.mark.parametrize("heap", HeapType)
def test_every_abstract_heap_type_long_and_short(heap: HeapType) -> None:
    code = f"{heap.value:02x}"
    model = decode_module(module(section(TYPE, f"01 60 03 {code} 63 {code} 64 {code} 00")))
    nullable = RefType.of(True, heap)
    assert model.types[0].composite == FuncType((nullable, nullable, RefType.of(False, heap)), ())


def test_imports_of_every_kind() -> None:
    model = decode_module(
        module(
            section(IMPORT, "05 01 61 01 62 00 07 00 00 01 70 01 01 02 00 00 02 04 03 00 00 03 7e 01 00 00 04 00 09")
        )
    )
    table = TableType(FUNCREF, Limits(1, 2))
    memory = MemoryType(Limits(3, is64=True))
    global_ = GlobalType(I64, True)
    assert model.imports == [
        Import("a", "b", "func", 7, CONTENTS + 1),
        Import("", "", "table", table, CONTENTS + 7),
        Import("", "", "memory", memory, CONTENTS + 14),
        Import("", "", "global", global_, CONTENTS + 19),
        Import("", "", "tag", TagType(9), CONTENTS + 24),
    ]
    assert (model.func_types, model.table_types, model.memory_types) == ([7], [table], [memory])
    assert (model.global_types, model.tag_types) == ([global_], [TagType(9)])
    assert model.imported == dict.fromkeys(("func", "table", "memory", "global", "tag"), 1)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("00 01", MemoryType(Limits(1))),
        ("01 01 02", MemoryType(Limits(1, 2))),
        ("03 01 02", MemoryType(Limits(1, 2, shared=True))),
        ("04 80 80 80 80 80 80 80 80 80 01", MemoryType(Limits(1 << 63, is64=True))),
        ("05 01 02", MemoryType(Limits(1, 2, is64=True))),
        ("07 01 02", MemoryType(Limits(1, 2, is64=True, shared=True))),
        ("08 01 00", MemoryType(Limits(1), 0)),
        ("0d 01 02 10", MemoryType(Limits(1, 2, is64=True), 16)),
    ],
)
def test_limits_of_memories_are_read_as_their_flags_say(limits: str, expected: MemoryType) -> None:
    assert decode_module(module(section(MEMORY, "01" + limits))).memories == [expected]


def test_a_module_may_have_several_memories() -> None:
    model = decode_module(module(section(MEMORY, "02 00 01 00 02")))
    assert [memory.limits.minimum for memory in model.memory_types] == [1, 2]


def test_tables_with_and_without_an_initialiser() -> None:
    model = decode_module(module(section(TABLE, "03 70 00 01 40 00 64 70 05 01 02 d2 00 0b 6f 00 00")))
    assert model.tables == [
        Table(TableType(FUNCREF, Limits(1)), None, CONTENTS + 1),
        Table(TableType(FUNC_REF, Limits(1, 2, is64=True)), ConstExpr(CONTENTS + 11, CONTENTS + 14), CONTENTS + 4),
        Table(TableType(EXTERNREF, Limits(0)), None, CONTENTS + 14),
    ]


def test_tags_are_type_indices() -> None:
    assert decode_module(module(section(TAG, "02 00 00 00 03"))).tags == [TagType(0), TagType(3)]


def test_globals_keep_their_initialisers_as_positions() -> None:
    model = decode_module(module(section(GLOBAL, "02 7f 00 41 05 0b 7e 01 42 01 42 02 7c 0b")))
    assert model.globals == [
        Global(GlobalType(I32, False), ConstExpr(CONTENTS + 3, CONTENTS + 6), CONTENTS + 1),
        Global(GlobalType(I64, True), ConstExpr(CONTENTS + 8, CONTENTS + 14), CONTENTS + 6),
    ]
    init = model.globals[0].init
    assert model.data[init.start : init.end] == bytes.fromhex("41 05 0b")


def test_exports_and_start() -> None:
    model = decode_module(module(section(EXPORT, "03 01 66 00 00 00 03 05 02 c3 a9 04 02"), section(START, "81 01")))
    assert model.exports == [
        Export("f", "func", 0, CONTENTS + 1),
        Export("", "global", 5, CONTENTS + 5),
        Export("é", "tag", 2, CONTENTS + 8),
    ]
    assert model.start == 129


I32_0 = "41 00 0b"


@pytest.mark.parametrize(
    ("form", "mode", "type_", "items", "table"),
    [
        (f"00 {I32_0} 02 01 02", "active", FUNC_REF, [1, 2], 0),
        ("01 00 02 01 02", "passive", FUNC_REF, [1, 2], 0),
        (f"02 05 {I32_0} 00 02 01 02", "active", FUNC_REF, [1, 2], 5),
        ("03 00 02 01 02", "declarative", FUNC_REF, [1, 2], 0),
        (f"04 {I32_0} 01 d2 00 0b", "active", FUNCREF, ["d2 00 0b"], 0),
        ("05 6f 01 d0 6f 0b", "passive", EXTERNREF, ["d0 6f 0b"], 0),
        (f"06 05 {I32_0} 64 70 01 d2 00 0b", "active", FUNC_REF, ["d2 00 0b"], 5),
        ("07 70 02 d0 70 0b d2 01 0b", "declarative", FUNCREF, ["d0 70 0b", "d2 01 0b"], 0),
    ],
)
def test_all_forms_of_element_segments(
    form: str, mode: str, type_: RefType, items: list[int] | list[str], table: int
) -> None:
    model = decode_module(module(section(ELEMENT, "01" + form)))
    (segment,) = model.elements
    assert (segment.mode, segment.type, segment.table, segment.offset) == (mode, type_, table, CONTENTS + 1)
    found = [item if isinstance(item, int) else model.data[item.start : item.end].hex(" ") for item in segment.items]
    assert found == items
    if mode == "active":
        assert segment.offset_expr is not None
        assert model.data[segment.offset_expr.start : segment.offset_expr.end] == bytes.fromhex(I32_0)
    else:
        assert segment.offset_expr is None


def test_all_forms_of_data_segments() -> None:
    model = decode_module(
        module(section(DATA_COUNT, "03"), section(DATA, f"03 00 {I32_0} 01 61 01 00 02 07 {I32_0} 02 62 63"))
    )
    at = HEADER_SIZE + 3 + 2
    assert model.data_count == 3
    assert model.data_segments == [
        DataSegment(at + 6, at + 7, 0, ConstExpr(at + 2, at + 5), at + 1),
        DataSegment(at + 9, at + 9, None, None, at + 7),
        DataSegment(at + 15, at + 17, 7, ConstExpr(at + 11, at + 14), at + 9),
    ]
    assert [model.data[segment.start : segment.end] for segment in model.data_segments] == [b"a", b"", b"bc"]


@pytest.mark.parametrize(
    ("segment", "message", "at"),
    [
        ("00 41 01 0b 05 61", "length out of bounds", 5),
        ("00 41 01 0b", "unexpected end", 5),
        ("00 41 01", "unexpected end", 4),
        ("00 41 80 80 80 80 70 0b 00", "integer too large", 7),
        ("00 41 ff ff ff ff ff 0f 0b 00", "integer representation too long", 8),
        ("03 41 01 0b 00", "malformed data segment kind 3", 1),
    ],
)
def test_data_segments_that_are_not_what_most_are(segment: str, message: str, at: int) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        decode_module(module(section(DATA, f"01 {segment}")))
    assert caught.value.offset == HEADER_SIZE + 2 + at


def test_functions_have_their_locals_and_positions() -> None:
    binary = module(
        *ONE_FUNCTION, section(CODE, vector(code_entry(b"\x01\x0b", bytes.fromhex("02 03 7f 80 01 64 70"))))
    )
    model, instrs = decode_function(binary)
    (function,) = model.functions
    assert function.locals == ((3, I32), (128, FUNC_REF))
    assert function.end == len(binary)
    assert function.start == len(binary) - 2
    assert function.entry == function.start - 7
    assert [row.name for row, _, _ in instrs] == ["nop", "end"]


def test_sections_are_listed_with_their_positions() -> None:
    binary = module(custom(b"x", b"abc"), section(MEMORY, "00"), custom(b"", b""))
    model = decode_module(binary)
    assert model.sections == [(0, 10, 15), (MEMORY, 17, 18), (0, 20, 21)]
    assert model.customs == [CustomSection("x", 12, 15, 0), CustomSection("", 21, 21, MEMORY)]
    assert [binary[c.start : c.end] for c in model.customs] == [b"abc", b""]


def test_bytearrays_and_memoryviews_are_copied() -> None:
    data = bytearray(module(section(MEMORY, "01 00 05")))
    model = decode_module(memoryview(data))  # type: ignore[arg-type]
    data[-1] = 6
    assert isinstance(model.data, bytes)
    assert model.data[-1] == 5


MALFORMED = {
    "no bytes": (b"", "unexpected end", 0),
    "half a magic number": (b"\0as", "unexpected end", 3),
    "wrong magic number": (b"asm\0\x01\0\0\0", "magic header not detected", 0),
    "half a version": (b"\0asm\x01\0", "unexpected end", 6),
    "wrong version": (b"\0asm\x0d\0\0\0", "unknown binary version", 4),
    "component": (b"\0asm\x0d\0\x01\0", "unknown binary version", 4),
    "section id beyond the last": (module(section(14, "00")), "malformed section id", 8),
    "section id of two bytes": (module(bytes.fromhex("80 01 00 01 01")), "malformed section id", 8),
    "section without a size": (module(b"\x01"), "unexpected end of section or function", 9),
    "section longer than the module": (module(b"\x01\x05\x00"), "length out of bounds", 9),
    "section one byte too long for the module": (module(b"\x01\x02\x00"), "unexpected end of section or function", 11),
    "section longer than its contents": (module(section(TYPE, "00 00")), "section size mismatch", CONTENTS),
    "section shorter than its contents": (
        module(bytes.fromhex("01 03 01 60 00"), b"\x00"),
        "section size mismatch",
        CONTENTS,
    ),
    "section twice": (module(section(TYPE, "00"), section(TYPE, "00")), "unexpected content after last section", 11),
    "section out of order": (
        module(section(GLOBAL, "00"), section(TAG, "00")),
        "unexpected content after last section",
        11,
    ),
    "custom section without a name": (module(b"\x00\x00"), "unexpected end of section or function", 10),
    "name beyond its custom section": (
        module(section(0, "05 61"), custom(b"abcdef", b"")),
        "unexpected end of section or function",
        10,
    ),
    "name not in UTF-8": (module(custom(b"\xff", b"")), "malformed UTF-8 encoding", 10),
    "name with a surrogate": (module(custom(b"\xed\xa0\x80", b"")), "malformed UTF-8 encoding", 10),
    "overlong UTF-8": (module(custom(b"\xc0\x80", b"")), "malformed UTF-8 encoding", 10),
    "import name not in UTF-8": (module(section(IMPORT, "01 00 01 80 00 00")), "malformed UTF-8 encoding", 12),
    "import kind": (module(section(IMPORT, "01 00 00 05 00")), "malformed import kind", 13),
    "export kind": (module(section(EXPORT, "01 00 05 00")), "malformed export kind", 12),
    "type definition": (module(section(TYPE, "01 40")), "malformed definition type", 11),
    "type definition of two bytes": (module(section(TYPE, "01 e0 7f 00 00")), "integer representation too long", 12),
    "value type": (module(section(TYPE, "01 60 01 40 00")), "malformed value type", 13),
    "packed type as a parameter": (module(section(TYPE, "01 60 01 78 00")), "malformed value type", 13),
    "storage type": (module(section(TYPE, "01 5e 40 00")), "malformed storage type", 12),
    "heap type": (module(section(TYPE, "01 60 01 63 7f 00")), "malformed heap type", 14),
    "mutability of a field": (module(section(TYPE, "01 5e 78 02")), "malformed mutability", 13),
    "mutability of a global": (module(section(GLOBAL, "01 7f 02 41 00 0b")), "malformed mutability", 12),
    "reference type of a table": (module(section(TABLE, "01 7f 00 00")), "malformed reference type", 11),
    "limits of a table": (module(section(TABLE, "01 70 08 00")), "malformed limits flags", 12),
    "shared table": (module(section(TABLE, "01 70 03 00 01")), "malformed limits flags", 12),
    "limits of a memory": (module(section(MEMORY, "01 10 00")), "malformed limits flags", 11),
    "limits of two bytes": (module(section(MEMORY, "01 81 00 00")), "malformed limits flags", 11),
    "limits with a page size and nothing else": (module(section(MEMORY, "01 08")), "malformed limits flags", 11),
    "page size": (module(section(MEMORY, "01 08 00 40")), "invalid custom page size", 13),
    "memory size of 11 bytes": (
        module(section(MEMORY, "01 00 82 80 80 80 80 80 80 80 80 80 00")),
        "integer representation too long",
        22,
    ),
    "table with an initialiser, reserved byte": (module(section(TABLE, "01 40 01 70 00 00")), "zero byte expected", 12),
    "attribute of a tag": (module(section(TAG, "01 01 00")), "zero byte expected", 11),
    "element segment": (module(section(ELEMENT, "01 08")), "malformed elements segment kind", 11),
    "element kind": (module(section(ELEMENT, "01 01 01 00")), "malformed element kind", 12),
    "element type": (module(section(ELEMENT, "01 05 7f 00")), "malformed reference type", 12),
    "data segment": (module(section(DATA, "01 03")), "malformed data segment kind", 11),
    "expression without an end": (
        module(section(GLOBAL, "01 7f 00 41 00")),
        "unexpected end of section or function",
        15,
    ),
    "expression without an end, then a section": (
        module(section(GLOBAL, "01 7f 00 41 00"), section(CODE, "00")),
        "unexpected end of section or function",
        18,
    ),
    "expression with an illegal opcode": (module(section(GLOBAL, "01 7f 00 ff 0b")), "illegal opcode ff", 13),
    "function without a body": (
        module(*ONE_FUNCTION),
        "function and code section have inconsistent lengths",
        len(module(*ONE_FUNCTION)),
    ),
    "body without a function": (
        module(ONE_BODY),
        "function and code section have inconsistent lengths",
        len(module(ONE_BODY)),
    ),
    "data count too large": (
        module(section(DATA_COUNT, "02"), section(DATA, "01 01 00")),
        "data count and data section have inconsistent lengths",
        16,
    ),
    "data count without data": (
        module(section(DATA_COUNT, "01")),
        "data count and data section have inconsistent lengths",
        11,
    ),
    "more than 2**32 locals": (
        module(*ONE_FUNCTION, section(CODE, vector(code_entry(b"\x0b", bytes.fromhex("02 ff ff ff ff 0f 7f 02 7e"))))),
        "too many locals",
        len(module(*ONE_FUNCTION)) + 4,
    ),
    "body shorter than its locals": (
        module(*ONE_FUNCTION, section(CODE, "01 02 02 01 7f 01 7e 0b")),
        "section size mismatch",
        len(module(*ONE_FUNCTION)) + 4,
    ),
    "size of a body": (
        module(*ONE_FUNCTION, section(CODE, "01 7f 00 0b")),
        "length out of bounds",
        len(module(*ONE_FUNCTION)) + 3,
    ),
}


@pytest.mark.parametrize(("binary", "message", "offset"), MALFORMED.values(), ids=MALFORMED.keys())
def test_what_is_malformed_is_told_with_its_offset(binary: bytes, message: str, offset: int) -> None:
    with pytest.raises(MalformedError) as caught:
        decode_module(binary)
    assert caught.value.message.startswith(message)
    assert caught.value.offset == offset


def test_the_first_error_of_a_module_counts_even_if_it_lies_in_a_body() -> None:
    # The body says that it is one byte shorter than it is; what follows is then no section.
    binary = module(*ONE_FUNCTION, bytes.fromhex("0a 06 01 04 00 20 80 80"), bytes.fromhex("80 80 80 00"))
    with pytest.raises(MalformedError, match="integer representation too long") as caught:
        decode_module(binary)
    assert caught.value.offset is not None
    assert caught.value.offset < len(binary)


def test_a_good_body_before_an_error_does_not_hide_it() -> None:
    with pytest.raises(MalformedError, match="malformed section id"):
        decode_module(module(*ONE_FUNCTION, ONE_BODY, b"\x0f\x00"))


HUGE = "ff ff ff ff 0f"


@pytest.mark.parametrize(
    "contents",
    [
        (TYPE, HUGE),
        (TYPE, f"01 60 {HUGE} 00"),
        (TYPE, f"01 5f {HUGE}"),
        (TYPE, f"01 4e {HUGE}"),
        (TYPE, f"01 50 {HUGE}"),
        (IMPORT, HUGE),
        (IMPORT, f"01 {HUGE} 61"),
        (FUNCTION, HUGE),
        (TABLE, HUGE),
        (MEMORY, HUGE),
        (TAG, HUGE),
        (GLOBAL, HUGE),
        (EXPORT, HUGE),
        (ELEMENT, HUGE),
        (ELEMENT, f"01 01 00 {HUGE}"),
        (ELEMENT, f"01 05 70 {HUGE}"),
        (CODE, HUGE),
        (CODE, f"01 {HUGE}"),
        (CODE, f"01 08 {HUGE} 00 00 00"),
        (DATA, HUGE),
        (DATA, f"01 01 {HUGE}"),
        (0, HUGE),
    ],
    ids=str,
)
def test_huge_counts_end_at_once_and_without_memory(contents: tuple[int, str]) -> None:
    binary = module(section(*contents))
    peaks = []
    for _ in range(5):  # what other threads make meanwhile is counted, too
        tracemalloc.start()
        try:
            with pytest.raises(MalformedError, match="length out of bounds"):
                decode_module(binary)
            peaks.append(tracemalloc.get_traced_memory()[1])
        finally:
            tracemalloc.stop()
    assert min(peaks) < 1 << 20
    with pytest.raises(MalformedError):
        executed_lines(lambda: decode_module(binary), at_most=10_000)


@pytest.mark.parametrize(("count", "fits"), [("d0 86 03", True), ("d1 86 03", False)])
def test_the_limit_of_50000_locals(count: str, fits: bool) -> None:
    binary = module(*ONE_FUNCTION, section(CODE, vector(code_entry(b"\x0b", bytes.fromhex(f"01 {count} 7f")))))
    if fits:
        assert decode_module(binary).functions[0].locals == ((50_000, I32),)
    else:
        with pytest.raises(UnsupportedError, match="50001, and the limit is 50000"):
            decode_module(binary)


def test_a_constant_expression_with_an_instruction_without_a_row_is_unsupported() -> None:
    with pytest.raises(UnsupportedError, match="opcode fc 12"):
        decode_module(module(section(GLOBAL, "01 7f 00 fc 12 0b")))


def test_a_type_index_beyond_any_module_is_invalid() -> None:
    with pytest.raises(InvalidError, match="unknown type"):
        decode_module(module(section(TYPE, "01 60 01 63 80 80 80 80 01 00")))


def test_nested_blocks_in_a_constant_expression_do_not_recurse() -> None:
    depth = 100_000
    contents = b"\x01\x7f\x00" + b"\x02\x40" * depth + b"\x0b" * (depth + 1)
    model = decode_module(module(section(GLOBAL, contents)))
    assert model.globals[0].init.end == len(model.data)


def test_the_order_of_segments_is_kept() -> None:
    model = decode_module(module(section(ELEMENT, "02 01 00 01 00 03 00 00")))
    assert model.elements == [
        ElementSegment("passive", FUNC_REF, [0], offset=CONTENTS + 1),
        ElementSegment("declarative", FUNC_REF, [], offset=CONTENTS + 5),
    ]


def test_data_drop_in_a_body_needs_the_data_count_section() -> None:
    body = bytes.fromhex("fc 09 00 0b")
    data = section(DATA, "01 01 00")
    counted = section(DATA_COUNT, "01")
    assert len(decode_function(function_module(body, before=(counted,)) + data)[1]) == 2
    with pytest.raises(MalformedError, match="data count section required"):
        decode_function(function_module(body) + data)


def test_a_constant_expression_does_not_wait_for_the_data_count_section() -> None:
    model = decode_module(module(section(GLOBAL, "01 7f 00 fc 09 00 0b"), section(DATA_COUNT, "00")))
    assert model.globals[0].init == ConstExpr(CONTENTS + 3, CONTENTS + 7)


def test_many_bodies_without_an_end_are_given_up_at_the_first() -> None:
    # Their sizes and local declarations are instructions too, so each on its own would be read up to the unknown block
    # type behind them all.
    count = 3000
    bodies = section(CODE, vector(*[code_entry(b"\x01" * 0x44)] * count))
    binary = module(
        section(TYPE, vector(NO_TYPE)),
        section(FUNCTION, vector(*[b"\x00"] * count)),
        bodies,
        custom(b"\x02\x05", b""),
        b"\x7f",
    )
    with pytest.raises(MalformedError):
        executed_lines(lambda: decode_module(binary), at_most=2_000_000)
