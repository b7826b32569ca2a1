"""The printer: what it prints is the same module again, down to what only annotations can say."""

from __future__ import annotations

import re

import pytest

from tests.binary.build import (
    CODE,
    DATA,
    DATA_COUNT,
    FUNCTION,
    MEMORY,
    TYPE,
    code_entry,
    custom,
    module,
    section,
    vector,
)
from tests.binary.test_encoder import EVERYTHING
from tests.counting import executed_lines
from wasmark.binary import decode_module, encode_module
from wasmark.binary.leb import write_u
from wasmark.binary.metadata import write_code_metadata
from wasmark.binary.names import write_names
from wasmark.core.model import ModuleModel, Names
from wasmark.core.opcodes import OPCODES, Imm
from wasmark.text import parse_module
from wasmark.text.instruction_printer import IMMEDIATES, format_instruction
from wasmark.text.printer import print_module

FUNC_TYPE = section(TYPE, "01 60 00 00")


def printed(binary: bytes) -> str:
    return "".join(print_module(decode_module(binary)))


def text_again(wat: str) -> str:
    """A text by way of a binary."""
    return printed(encode_module(parse_module(wat)))


def assert_same(binary: bytes) -> str:
    """The text of a module that comes back byte by byte."""
    text = printed(binary)
    assert encode_module(parse_module(text)) == binary, text
    return text


def with_names(names: Names, functions: int = 3) -> bytes:
    """A module with that many empty functions."""
    bodies = vector(*[code_entry(b"\x0b")] * functions)
    indices = section(FUNCTION, (write_u(functions) + bytes(functions)).hex())
    return module(FUNC_TYPE, indices, section(CODE, bodies), custom(b"name", write_names(names)))


def test_every_kind_of_immediate_is_printed() -> None:
    assert set(IMMEDIATES) == set(Imm)


def test_a_module_with_everything_comes_back_byte_by_byte() -> None:
    text = assert_same(EVERYTHING)
    assert '(@custom "first" (before first) "1")' in text
    assert '(@custom "metadata.code.x" (after datacount) "2")' in text
    assert '(@custom "last" "3")' in text
    assert "(func $f (type 0) (param $x i32)" in text


def test_instructions_name_what_they_are_about() -> None:
    text = """(module $m
  (type $t (func (param i32) (result i32)))
  (import "a" "b" (func $imported (type $t) (param $x i32) (result i32)))
  (table $table 1 funcref)
  (table $other 1 funcref)
  (memory $memory 1)
  (memory $far 1)
  (global $g (mut i32) (i32.const -1))
  (elem $e declare func $f)
  (func $f (type $t) (param $a i32) (result i32)
    (local $b i64) (local f32 f32)
    block $out (result i32)
      loop
        local.get $a
        br_table $out 0 $out $out 2
      end
      i32.const 0
    end
    call $imported
    i32.const 1
    call_indirect (type $t)
    i32.const 1
    call_indirect $other (type $t)
    i32.load offset=8
    i32.load8_u $far offset=4294967295
    i32.load align=1
    global.set $g
    f32.const nan:0x1
    f64.const -0.1
    drop
    drop
    i32.const 0
    i32.const 0
    i32.const 0
    memory.init $far $d
    local.get $a
  )
  (data $d "\\00\\ff")
)
"""
    assert text_again(text) == text


def test_a_label_that_an_inner_one_hides_is_a_number() -> None:
    wat = "(module (func (block $l (block $l (br $l) (br 1)) (br $l))))"
    lines = [line.strip() for line in text_again(wat).splitlines()]
    assert [line for line in lines if line.startswith("br")] == ["br $l", "br 1", "br $l"]


def test_names_that_come_twice_keep_what_they_say() -> None:
    text = assert_same(with_names(Names(functions={0: "f", 1: "f", 2: ""})))
    assert "(func $f (type 0)" in text
    assert '(func $f#1 (@name "f") (type 0)' in text
    assert '(func (;2;) (@name "") (type 0)' in text


def test_names_that_another_function_has_got_are_numbers() -> None:
    text = assert_same(with_names(Names(functions={0: "f", 1: "f", 2: "f#1"})))
    assert '(func (;1;) (@name "f") (type 0)' in text
    assert "(func $f#1 (type 0)" in text


def test_names_of_nothing_are_kept_in_the_section_itself() -> None:
    text = assert_same(with_names(Names(functions={0: "f", 7: "nothing"})))
    assert '(@custom "name"' in text
    assert "nothing" in text


@pytest.mark.parametrize(
    "contents",
    [
        b"",
        b"\x01\xff",
        write_names(Names(functions={1: "f"})) + b"\x7f\x01\x00",
        write_names(Names(functions={0: "f"}, locals={0: {}})),
        write_names(Names("m", locals={0: {3: "x"}})),
        b"\x01\x81\x00\x00",
    ],
)
def test_a_name_section_that_says_more_than_names_is_kept(contents: bytes) -> None:
    body = section(CODE, vector(code_entry(b"\x0b"), code_entry(b"\x0b")))
    assert_same(module(FUNC_TYPE, section(FUNCTION, "02 00 00"), body, custom(b"name", contents)))


def test_a_name_section_keeps_its_place() -> None:
    names = custom(b"name", write_names(Names("m")))
    assert "(@custom" not in assert_same(module(FUNC_TYPE, names))
    assert '(@custom "name" (before first) "")' in assert_same(module(names, FUNC_TYPE))
    assert '(@custom "name" "")' in assert_same(module(FUNC_TYPE, custom(b"x", b""), names))
    assert "name" not in assert_same(module(FUNC_TYPE, names, custom(b"x", b"")))
    assert_same(module(FUNC_TYPE, names, custom(b"name", write_names(Names("n")))))


def test_names_of_every_kind_come_back() -> None:
    wat = """(module $m
  (type $t (func))
  (type $s (struct (field $x i32) (field (mut i64)) (field $x#2 (@name "x") f32)))
  (import "" "" (func $i (type $t)))
  (table $tab 1 funcref)
  (memory $mem 1)
  (tag $tag (type $t))
  (global $g i32 (i32.const 0))
  (elem $e func $f)
  (func $f (type $t)
    (local $l i32) (local i32) (local $l#2 (@name "l") i32)
    block $label
    end
    ref.null $s
    struct.get $s $x#2
    ref.null $s
    struct.get $s 1
  )
  (data $d "")
)
"""
    model = decode_module(encode_module(parse_module(wat)))
    names = model.names
    assert {name: getattr(names, name) for name in names.field_names} == {
        "module": "m",
        "functions": {0: "i", 1: "f"},
        "locals": {1: {0: "l", 2: "l"}},
        "labels": {1: {0: "label"}},
        "types": {0: "t", 1: "s"},
        "tables": {0: "tab"},
        "memories": {0: "mem"},
        "globals": {0: "g"},
        "elements": {0: "e"},
        "data": {0: "d"},
        "tags": {0: "tag"},
        "fields": {1: {0: "x", 2: "x"}},
    }
    assert "".join(print_module(model)) == wat


def test_a_data_count_that_nobody_needs_is_kept() -> None:
    text = assert_same(module(section(MEMORY, "01 00 01"), section(DATA_COUNT, "01"), section(DATA, "01 01 00")))
    assert "(@datacount)" in text
    body = section(CODE, vector(code_entry(bytes.fromhex("fc 09 00 0b"))))
    needed = module(FUNC_TYPE, section(FUNCTION, "01 00"), section(DATA_COUNT, "01"), body, section(DATA, "01 01 00"))
    assert "datacount" not in assert_same(needed)


def metadata_module(contents: bytes, name: bytes = b"metadata.code.x") -> bytes:
    bodies = section(CODE, vector(code_entry(b"\x01\x41\x00\x1a\x0b"), code_entry(b"\x01\x0b")))
    return module(FUNC_TYPE, section(FUNCTION, "02 00 00"), custom(name, contents), bodies)


def test_code_metadata_stand_before_their_instructions() -> None:
    text = assert_same(metadata_module(write_code_metadata({0: {1: b"a", 2: b"b"}, 1: {1: b""}})))
    found = re.findall(r'\(@metadata\.code\.x "(.*)"\)\n +(.*)', text)
    assert found == [("a", "nop"), ("b", "i32.const 0"), ("", "nop")]
    assert "(@custom" not in text


@pytest.mark.parametrize(
    "contents",
    [
        write_code_metadata({0: {3: b"in the middle of an instruction"}}),
        write_code_metadata({0: {5: b"at the final end"}}),
        write_code_metadata({2: {1: b"no such function"}}),
        write_code_metadata({0: {}}),
        write_code_metadata({0: {1: b"x"}}) + b"more",
        b"\xff",
    ],
)
def test_code_metadata_of_no_instruction_are_a_custom_section(contents: bytes) -> None:
    assert '(@custom "metadata.code.x" (after func)' in assert_same(metadata_module(contents))


def test_code_metadata_elsewhere_are_a_custom_section() -> None:
    contents = write_code_metadata({0: {1: b"a"}})
    bodies = section(CODE, vector(code_entry(b"\x01\x0b")))
    binary = module(FUNC_TYPE, section(FUNCTION, "01 00"), bodies, custom(b"metadata.code.x", contents))
    assert '(@custom "metadata.code.x"' in assert_same(binary)


def test_deep_nesting_takes_no_recursion_and_no_more_space_than_its_lines() -> None:
    depth = 100_000
    wat = f"(module (func {'block ' * depth}{'end ' * depth}))"
    text = text_again(wat)
    assert len(text) < depth * 2 * 100
    assert encode_module(parse_module(text)) == encode_module(parse_module(wat))


def test_a_large_module_is_printed_a_piece_at_a_time() -> None:
    functions = 2000
    pieces = print_module(decode_module(with_names(Names(), functions)))
    lines = executed_lines(lambda: [next(pieces) for _ in range(10)])
    whole = executed_lines(lambda: list(pieces))
    assert lines * 20 < whole


def test_instructions_alone_have_numbers() -> None:
    rows = {row.name: row for row in OPCODES}
    assert format_instruction(rows["i32.load"], (2, 0, 8)) == "i32.load offset=8"
    assert format_instruction(rows["i64.store32"], (0, 1, 0)) == "i64.store32 1 align=1"
    assert format_instruction(rows["table.copy"], (0, 1)) == "table.copy 0 1"
    assert format_instruction(rows["br_table"], (0, 2, 1)) == "br_table 0 2 1"


def test_an_empty_module_is_printed() -> None:
    assert text_again("(module)") == "(module\n)\n"
    model = ModuleModel()
    model.index()
    assert encode_module(model) == encode_module(parse_module("(module)"))
