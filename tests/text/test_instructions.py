"""Instructions in the text format (core §6.5): each immediate, folding, labels, type uses, and depth without limit."""

from __future__ import annotations

from typing import Any

import pytest

from tests.text.translate import body, instructions, model
from wasmark.binary import encode_module
from wasmark.core.opcodes import CATCH, CATCH_ALL_REF, OPCODES, Imm
from wasmark.core.types import EXTERNREF, F32, FUNCREF, I32, I64, HeapType, RefType
from wasmark.errors import Error, MalformedError, UnsupportedError
from wasmark.text import parse_module

FIELDS = """
  (type $t (func (param i32) (result i32)))
  (global $g (mut i32) (i32.const 0)) (memory $m 1) (memory $n 1) (table $a 1 funcref) (table $b 1 funcref)
  (elem $e funcref) (data $d "") (tag $e) (func $f)
  (type $s (struct (field i32) (field $x i64)))
"""

TEXT_AND_IMMEDIATE: dict[Imm, tuple[str, Any]] = {
    Imm.NONE: ("", None),
    Imm.ZERO: ("", None),
    Imm.BLOCK: ("(result i32)", ((), (I32,))),
    Imm.LABEL: ("0", 0),
    Imm.LABELS: ("0 0 0", (0, 0, 0)),
    Imm.FUNC: ("$f", 0),
    Imm.TYPE: ("$t", 0),
    Imm.TYPE_TABLE: ("$b (type $t)", (0, 1)),
    Imm.SELECT: ("(result i32) (result i64 f32)", (I32, I64, F32)),
    Imm.LOCAL: ("$x", 1),
    Imm.GLOBAL: ("$g", 0),
    Imm.TABLE: ("$b", 1),
    Imm.TABLE_TABLE: ("$a $b", (0, 1)),
    Imm.ELEM: ("$e", 0),
    Imm.ELEM_TABLE: ("$b $e", (0, 1)),
    Imm.MEMORY: ("$n", 1),
    Imm.MEMORY_MEMORY: ("$m $n", (0, 1)),
    Imm.DATA: ("$d", 0),
    Imm.DATA_MEMORY: ("$n $d", (0, 1)),
    Imm.MEMARG: ("$n offset=0x10 align=1", (0, 1, 16)),
    Imm.I32: ("-0x8000_0000", -(1 << 31)),
    Imm.I64: ("0xffff_ffff_ffff_ffff", -1),
    Imm.F32: ("-nan:0x1", 0xFF80_0001),
    Imm.F64: ("0x1.8p1", 0x4008_0000_0000_0000),
    Imm.V128: ("i64x2 0x8000_0000_0000_0000 -2", 0xFFFF_FFFF_FFFF_FFFE_8000_0000_0000_0000),
    Imm.LANE: ("1", 1),
    Imm.LANES: ("0 31 2 3 4 5 6 7 8 9 10 11 12 13 14 0xff", (0, 31, *range(2, 15), 255)),
    Imm.MEMARG_LANE: ("$n offset=0x10 align=1 3", (0, 1, 16, 3)),
    Imm.HEAP: ("extern", HeapType.EXTERN),
    Imm.TAG: ("$e", 0),
    Imm.TRY_TABLE: (
        "(result i32) (catch $e 0) (catch_all_ref 0)",
        (((), (I32,)), ((CATCH, 0, 0), (CATCH_ALL_REF, 0, 0))),
    ),
    Imm.REF: ("(ref eq)", RefType.of(False, HeapType.EQ)),
    Imm.REF_NULL: ("(ref null $s)", RefType.of(True, 1)),
    Imm.TYPE_FIELD: ("$s $x", (1, 1)),
    Imm.TYPE_COUNT: ("$s 0x10", (1, 16)),
    Imm.TYPE_DATA: ("$s $d", (1, 0)),
    Imm.TYPE_ELEM: ("$s $e", (1, 0)),
    Imm.TYPE_TYPE: ("$s $t", (1, 0)),
    Imm.CAST: ("0 anyref (ref $s)", (0, RefType.of(True, HeapType.ANY), RefType.of(False, 1))),
}

NOT_ALONE = ("else", "end", "catch", "catch_all", "delegate")


@pytest.mark.parametrize("row", [row for row in OPCODES if row.name not in NOT_ALONE], ids=lambda row: row.name)
def test_each_row_of_the_table_can_be_written_flat_and_folded(row: Any) -> None:
    text, immediate = TEXT_AND_IMMEDIATE[row.imm]
    arm = {"if": "(then)", "try": "(do)"}.get(row.name, "")
    folded = f"({row.name} {text} {arm})"
    flat = f"{row.name} {text} end" if row.imm in (Imm.BLOCK, Imm.TRY_TABLE) else f"{row.name} {text}"
    for written in (folded, flat):
        first = instructions(f"(local i64) (local $x i32) {written}", FIELDS)[0]
        assert first == (row.name, immediate)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("table.get", ("table.get", 0)),
        ("memory.size", ("memory.size", 0)),
        ("table.copy", ("table.copy", (0, 0))),
        ("memory.copy", ("memory.copy", (0, 0))),
        ("table.init $e", ("table.init", (0, 0))),
        ("memory.init $d", ("memory.init", (0, 0))),
        ("call_indirect", ("call_indirect", (2, 0))),
        ("i32.load", ("i32.load", (2, 0, 0))),
        ("i64.load8_s align=1", ("i64.load8_s", (0, 0, 0))),
        ("i64.store offset=0xffff_ffff_ffff_ffff", ("i64.store", (3, 0, (1 << 64) - 1))),
        ("v128.load8_lane 3", ("v128.load8_lane", (0, 0, 0, 3))),
        ("v128.load8_lane 1 3", ("v128.load8_lane", (0, 1, 0, 3))),
        ("v128.load64_lane offset=8 1", ("v128.load64_lane", (3, 0, 8, 1))),
        ("v128.store16_lane 1 align=1 7", ("v128.store16_lane", (0, 1, 0, 7))),
        ("v128.store32_lane $n 2", ("v128.store32_lane", (2, 1, 0, 2))),
        ("select", ("select", None)),
        ("select (result)", ("select", ())),
        ("block", ("block", ((), ()))),
    ],
)
def test_what_may_be_left_out(text: str, expected: tuple[str, Any]) -> None:
    assert instructions(text + (" end" if text == "block" else ""), FIELDS)[0] == expected


def test_operands_of_a_folded_instruction_come_first() -> None:
    assert instructions("(i32.store offset=4 (i32.add (i32.const 1) (i32.const 2)) (call 0 (nop)))", "(memory 1)") == [
        ("i32.const", 1),
        ("i32.const", 2),
        ("i32.add", None),
        ("nop", None),
        ("call", 0),
        ("i32.store", (2, 0, 4)),
    ]


def test_a_folded_if_has_its_condition_before_it() -> None:
    text = "(if $l (result i32) (i32.const 1) (nop) (then (br $l (i32.const 2))) (else (i32.const 3) br 1))"
    assert instructions(text) == [
        ("i32.const", 1),
        ("nop", None),
        ("if", ((), (I32,))),
        ("i32.const", 2),
        ("br", 0),
        ("else", None),
        ("i32.const", 3),
        ("br", 1),
        ("end", None),
    ]


def test_flat_and_folded_instructions_mix() -> None:
    names = [name for name, _ in instructions("block (loop nop br 0) if (nop) end end")]
    assert names == ["block", "loop", "nop", "br", "end", "if", "nop", "end", "end"]


def test_labels_are_found_from_the_inside_and_may_be_shadowed() -> None:
    text = 'block $a block $b block $a br $a br $b (br_table $a $b 2 3) end $a br $a end br $"\\61" end'
    branches = [imm for name, imm in instructions(text) if name.startswith("br")]
    assert branches == [0, 1, (0, 1, 2, 3), 1, 0]


def test_labels_may_be_repeated_at_else_and_end() -> None:
    assert [name for name, _ in instructions("if $x else $x end $x")] == ["if", "else", "end"]


def test_block_types() -> None:
    module = model("""
      (module (type $t (func (param i32) (result i32))) (func
        (block (param i32) (result i32)) (block (type $t)) (block (type $t) (param i32) (result i32))
        (block (param i64) (param i32) (result i32) (result i64)) (block (result funcref)))
        (func (type 2)))""")
    types = [imm for name, imm in body(module, 0) if name == "block"]
    assert types == [((I32,), (I32,))] * 3 + [((I64, I32), (I32, I64)), ((), (FUNCREF,))]
    assert len(module.types) == 3


def test_locals_and_parameters_share_one_space() -> None:
    module = model("""
      (module (type $t (func (param f32 f32))) (func (type $t) (local $x i32) (local i64 i64) (local $y externref)
        local.get $x local.get $y local.get 0)
      (func (param $p i32) (param f32) (param $q i32) (local $r i32) local.get $q local.get $r))""")
    assert body(module, 0) == [("local.get", 2), ("local.get", 5), ("local.get", 0)]
    assert list(module.functions[0].locals) == [(1, I32), (2, I64), (1, EXTERNREF)]
    assert body(module, 1) == [("local.get", 2), ("local.get", 3)]
    assert module.names.locals == {0: {2: "x", 5: "y"}, 1: {0: "p", 2: "q", 3: "r"}}


@pytest.mark.parametrize(
    ("text", "message", "column"),
    [
        ("i32.addd", "unknown operator i32.addd, expected an instruction; perhaps i32.add is meant", 7),
        ("(i32.addd)", "unknown operator i32.addd, expected an instruction; perhaps i32.add is meant", 8),
        ("i32.nothing", "unknown operator i32.nothing, expected an instruction", 7),
        ("get_local 0", "unknown operator get_local, expected an instruction; perhaps local.get is meant", 7),
        ("i32.wrap/i64", "unknown operator i32.wrap/i64, expected an instruction; perhaps i32.wrap_i64 is meant", 7),
        (
            "(i64.trunc_s/f32)",
            "unknown operator i64.trunc_s/f32, expected an instruction; perhaps i64.trunc_f32_s is meant",
            8,
        ),
        ("unreachabel", "unknown operator unreachabel, expected an instruction; perhaps unreachable is meant", 7),
        (
            "i8x16.extract_lane 1",
            "unknown operator i8x16.extract_lane, expected an instruction; perhaps i8x16.extract_lane_u is meant",
            7,
        ),
        ("loop lop end", "unknown operator lop, expected an instruction; perhaps loop is meant", 12),
        ("func", "unexpected token func, expected an instruction", 7),
        ("(param i32) (result i32) (param i32)", "unexpected token param, expected an instruction", 33),
        ("0", "unexpected token 0, expected an instruction", 7),
        ("end", "unexpected token end, expected an instruction", 7),
        ("block else end", "unexpected token else, expected an instruction", 13),
        ("block", "unexpected token ), expected 'end'", 12),
        ("(block end)", "unexpected token end, expected an instruction", 14),
        ("if else else end", "unexpected token else", 15),
        ("(drop nop)", "unexpected token nop, expected a folded instruction or ')'", 13),
        ("(if (nop))", "unexpected token ), expected '(then'", 16),
        ("(if nop (then))", "unexpected token nop", 11),
        ("(if (then) (nop))", "unexpected token (nop, expected '(else' or ')'", 18),
        ("(if (then) (else) (nop))", "unexpected token (nop, expected ')'", 25),
        ("(then)", "unexpected token then", 8),
        ("block $a end $b", "mismatching label $b, expected $a", 20),
        ("if end $b", "mismatching label $b, expected none", 14),
        ("if $a else $b end", "mismatching label", 18),
        ("br $l", "unknown label $l", 10),
        ("block $l end br $l", "unknown label $l", 23),
        ("br", "unexpected token ), expected a label index", 9),
        ("br 4294967296", "i32 constant out of range", 10),
        ("br_table", "unexpected token ), expected a label index", 15),
        ("local.get $l", "unknown local $l", 17),
        ("call $l", "unknown func $l", 12),
        ("global.get $l", "unknown global $l", 18),
        ("table.get $l", "unknown table $l", 17),
        ("memory.size $l", "unknown memory $l", 19),
        ("elem.drop $l", "unknown elem segment $l", 17),
        ("data.drop $l", "unknown data segment $l", 17),
        ("call_ref $l", "unknown type $l", 16),
        ("(local $x i32) (local $x i32)", "duplicate local $x", 29),
        ("(param $x i32) (local $x i32)", "duplicate local $x", 29),
        ("(local $x i32 i32)", "unexpected token i32, expected ')'", 21),
        ("block (param $x i32) end", "unexpected token $x", 20),
        ("i32.const 4294967296", "constant out of range of i32: 4294967296", 17),
        ("i32.const 1.0", "unexpected token 1.0, expected an integer", 17),
        ("i32.const nan:canonical", "unexpected token nan:canonical", 17),
        ("f32.const 1e39", "constant out of range: 1e39", 17),
        ("i32.load align=3", "alignment must be a power of two: 3", 16),
        ("i32.load align=0", "alignment must be a power of two: 0", 16),
        ("i32.load align=1 offset=1", "unexpected token offset=1", 24),
        ("i32.load offset=-1", "unknown operator offset=-1", 16),
        ("i32.load offset=0x1_0000_0000_0000_0000", "i64 constant out of range", 16),
        ("ref.null", "unexpected token ), expected a heap type", 15),
        ("ref.null i32", "unexpected token i32, expected a heap type", 16),
        ('call "x"', 'unexpected token "x", expected a func index', 12),
        ("call $", "empty identifier", 12),
        ('call $"a"b', 'unknown operator $"a"b', 12),
        ('call $"\\ff"', "malformed UTF-8 encoding", 12),
    ],
)
def test_errors_name_what_was_found_and_where(text: str, message: str, column: int) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module(f"(func {text})")
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == (1, column)


LATER = {"ref.get_desc": "custom descriptors", "br_on_cast_desc_eq": "custom descriptors"}


@pytest.mark.parametrize("name", LATER)
@pytest.mark.parametrize("form", ["(func \n {} 0 0)", "(func \n({}))", "(global i32 \n({}))"])
def test_instructions_without_a_row_say_what_they_wait_for(name: str, form: str) -> None:
    with pytest.raises(UnsupportedError) as caught:
        parse_module(form.format(name))
    assert str(caught.value) == f"2:2: {LATER[name]} is not supported yet: {name}"
    assert caught.value.part == LATER[name]


@pytest.mark.parametrize("name", ["f32x4.convert_s/i32x4", "i8x17.add", "struct", "v128.", "thrown", "get_local"])
def test_words_that_only_look_like_instructions_are_malformed(name: str) -> None:
    with pytest.raises(MalformedError):
        parse_module(f"(func {name})")


DEPTH = 100_000


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "(func " + "(block " * DEPTH + ")" * DEPTH + ")",
        "(func " + "block " * DEPTH + "end " * DEPTH + ")",
        "(func " + "loop $x " * DEPTH + "br $x " + "end " * DEPTH + ")",
        "(func (drop " + "(i32.eqz " * DEPTH + "(i32.const 1)" + ")" * DEPTH + "))",
        "(func " + "(if " * DEPTH + "(i32.const 1)" + "(then))" * DEPTH + ")",
        "(func " + "(if (i32.const 1) (then " * DEPTH + "))" * DEPTH + ")",
        "(global i32 " + "(i32.eqz " * DEPTH + "(i32.const 1)" + ")" * DEPTH + ")",
    ],
    ids=["folded blocks", "flat blocks", "named loops", "operands", "conditions", "arms", "constant expression"],
)
def test_depth_is_bounded_by_memory_only(text: str) -> None:
    assert len(encode_module(parse_module(text))) > DEPTH


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    [
        "(" * DEPTH,
        "(" * DEPTH + ")" * DEPTH,
        "(func " + "(block " * DEPTH,
        "(func " + "block " * DEPTH,
        "(type (func (param " + "(ref " * DEPTH + "func" + ")" * DEPTH + ")))",
        "(module " * DEPTH + ")" * DEPTH,
        "(rec " * DEPTH + ")" * DEPTH,
        "(func (drop " + "(" * DEPTH + ")" * DEPTH + "))",
    ],
)
def test_deep_nonsense_is_an_error(text: str) -> None:
    with pytest.raises(Error):
        parse_module(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("try catch $e end", ["try", "catch", "end", "end"]),
        ("(try (do) (catch $e))", ["try", "catch", "end", "end"]),
        ("try catch $e catch $e catch_all end", ["try", "catch", "catch", "catch_all", "end", "end"]),
        ("(try (do nop) (catch $e nop) (catch_all))", ["try", "nop", "catch", "nop", "catch_all", "end", "end"]),
        ("(try (do) (delegate 0))", ["try", "delegate", "end"]),
        ("block $l try delegate $l end", ["block", "try", "delegate", "end", "end"]),
        ("(block $l (try (do (nop)) (delegate $l)))", ["block", "try", "nop", "delegate", "end", "end"]),
        ("(try (do (try (do) (delegate 0))) (catch_all))", ["try", "try", "delegate", "catch_all", "end", "end"]),
    ],
)
def test_legacy_handlers_flat_and_folded(text: str, expected: list[str]) -> None:
    assert [*(name for name, _ in instructions(text, FIELDS)), "end"] == expected


@pytest.mark.parametrize(
    "text",
    [
        "(try)",
        "(try (nop))",
        "(try (do) (nop))",
        "(try (do) nop)",
        "(try (do) (do))",
        "(try (do) (catch_all) (catch $e))",
        "(try (catch $e))",
        "try catch_all catch $e end",
        "try catch $e delegate 0",
        "catch_all",
        "(catch $e)",
        "block catch_all end",
        "(try_table (catch $e 0) (catch_all 0)",
        "(try_table (catch 0))",
    ],
)
def test_handlers_out_of_place_are_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        instructions(text, FIELDS)


def test_the_clauses_of_a_try_table_count_from_outside() -> None:
    text = "(block $l (try_table $l (catch $e $l) (catch_all_ref 1) (br $l)))"
    found = instructions(text, FIELDS)
    assert found[1] == ("try_table", (((), ()), ((CATCH, 0, 0), (CATCH_ALL_REF, 0, 1))))
    assert found[2] == ("br", 0)
