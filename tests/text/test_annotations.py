"""Annotations: which ones mean something, where they may stand, and what is wrong with those that do not."""

from __future__ import annotations

import pytest

from wasmark.binary import decode_module, encode_module
from wasmark.binary.metadata import branch_hints
from wasmark.core.model import ModuleModel
from wasmark.errors import MalformedError
from wasmark.text import parse_module


def translated(wat: str) -> ModuleModel:
    return decode_module(encode_module(parse_module(wat)))


def customs(wat: str) -> list[tuple[str, bytes, int]]:
    model = translated(wat)
    return [(c.name, model.data[c.start : c.end], c.after) for c in model.customs if c.name != "name"]


def test_unknown_annotations_may_stand_anywhere() -> None:
    wat = '((@a) module (@b (@name 1)) ((@c) func (@d) ((@e) nop (@f)) (@metadata) (@names) (@g "x" ,;[]{})))'
    assert encode_module(parse_module(wat)) == encode_module(parse_module("(module (func (nop)))"))


def test_names_that_annotations_give_stand_in_the_name_section() -> None:
    names = translated(
        """(module $m (@name "M m")
          (type $t (@name "a type") (func (param (@name "of no consequence") i32)))
          (func $f (@name "g") (param $x (@name "an x") i32) (param (@name "y") i32)
            (local (@name "") i32) (local $z i32))
          (func (@name "g"))
          (memory (@name "mem") 0))"""
    ).names
    assert names.module == "M m"
    assert names.types == {0: "a type"}
    assert names.functions == {0: "g", 1: "g"}
    assert names.locals == {0: {0: "an x", 1: "y", 2: "", 3: "z"}}
    assert names.memories == {0: "mem"}


def test_an_identifier_is_looked_up_whatever_its_annotation_says() -> None:
    assert translated('(module (func $f (@name "g") (call $f)))').names.functions == {0: "g"}
    with pytest.raises(MalformedError, match=r"unknown func \$g"):
        parse_module('(module (func $f (@name "g") (call $g)))')


def test_custom_sections_stand_where_they_are_wanted() -> None:
    assert customs(
        """(module
          (@custom "d") (@custom "b" (after func) "1" "2") (@custom "a" (before first) "\\00") (func)
          (@custom "c" (before global)) (global i32 (i32.const 0)) (@custom "e" (after last) "x"))"""
    ) == [
        ("a", b"\0", 0),
        ("b", b"12", 3),
        ("c", b"", 3),
        ("d", b"", 10),
        ("e", b"x", 10),
    ]


def test_a_name_section_with_contents_stands_for_all_names() -> None:
    model = translated('(module $m (func $f) (@custom "name" "\\00\\02\\01n"))')
    assert [custom.name for custom in model.customs] == ["name"]
    assert model.names.module == "n"
    assert model.names.functions == {}


def test_hints_know_their_branch_flat_and_folded() -> None:
    flat = translated(
        """(module (func (param i32) (local i64 f64)
          (block local.get 0 (@metadata.code.branch_hint "\\01") br_if 0
            local.get 0 (@metadata.code.branch_hint "\\00") if nop else nop end)))"""
    )
    folded = translated(
        """(module (func (param i32) (local i64 f64)
          (block (@metadata.code.branch_hint "\\01") (br_if 0 (local.get 0))
            (@metadata.code.branch_hint "\\00") (if (local.get 0) (then nop) (else nop)))))"""
    )
    assert flat.functions[0].locals == ((1, folded.functions[0].locals[0][1]), folded.functions[0].locals[1])
    body = flat.functions[0]
    places = {"br_if": flat.data.index(b"\x0d\x00", body.start), "if": flat.data.index(b"\x04\x40", body.start)}
    expected = {0: {places["br_if"] - body.entry: b"\1", places["if"] - body.entry: b"\0"}}
    assert branch_hints(flat) == expected
    assert branch_hints(folded) == expected


def test_hints_inside_of_a_hinted_instruction() -> None:
    model = translated(
        """(module (func (param i32)
          (@metadata.code.branch_hint "\\00")
          (if (if (result i32) (local.get 0)
                (then (@metadata.code.branch_hint "\\01") (if (local.get 0) (then)) (i32.const 1))
                (else (i32.const 0)))
            (then))))"""
    )
    hints = branch_hints(model)[0]
    entry = model.functions[0].entry
    assert {model.data[entry + offset] for offset in hints} == {0x04}
    assert list(hints.values()) == [b"\1", b"\0"]  # the inner one is the first in the code


@pytest.mark.parametrize(
    ("wat", "message", "place"),
    [
        ("(module (@name))", "@name annotation: missing name", (1, 15)),
        ('(module (@name "a" "b"))', '@name annotation: unexpected token "b"', (1, 20)),
        ('(module\n (@name "\\ff"))', "@name annotation: malformed UTF-8 encoding", (2, 9)),
        ('(module (@name "a") (@name "b"))', "@name annotation: multiple module names", (1, 21)),
        ('(module (func) (@name "b"))', "misplaced @name annotation", (1, 16)),
        ('(module (func (@name "b") (@name "c")))', "misplaced @name annotation", (1, 27)),
        ('(module (func (nop) (@name "c")))', "misplaced @name annotation", (1, 21)),
        ('(module (func (block (@custom "c"))))', "misplaced @custom annotation", (1, 22)),
        ('(module (func (drop (@custom "c"))))', "misplaced @custom annotation", (1, 21)),
        ("(module (@custom 4))", "@custom annotation: missing section name", (1, 18)),
        ('(module (@custom "a" (over func)))', "@custom annotation: malformed placement 'over'", (1, 23)),
        ('(module (@custom "a" (after last last)))', "malformed placement: unexpected token last", (1, 34)),
        ('(module (@custom "a" (before last)))', "@custom annotation: malformed section kind 'last'", (1, 30)),
        ('(module (@custom "a" "\\u{d800}"))', "malformed UTF-8 encoding", (1, 22)),
        ('(@metadata.code.branch_hint "\\01")', "@metadata.code.branch_hint annotation: not in a function", (1, 1)),
        ('(func (@metadata.code.branch_hint "\\02") (if))', "malformed hint", (1, 35)),
        ('(func (@metadata.code.branch_hint "\\00"))', "misplaced @metadata.code.branch_hint annotation", (1, 7)),
        ('(func (block (@metadata.code.x "")))', "misplaced @metadata.code.x annotation", (1, 14)),
        ('(func block (@metadata.code.x "") end)', "misplaced @metadata.code.x annotation", (1, 13)),
        ('(func (if (i32.const 0) (@metadata.code.x "") (then)))', "misplaced @metadata.code.x", (1, 25)),
        ('(func (@metadata.code.x "") (@metadata.code.x "") nop)', "duplicate annotation", (1, 29)),
        ('(global i32 (@metadata.code.x "") (i32.const 0))', "not in a function", (1, 13)),
        ('(@name "a") \0', "illegal character '\\x00'", (1, 13)),
        ('(@custom "a" \0)', "illegal character '\\x00'", (1, 14)),
    ],
)
def test_what_is_wrong_with_an_annotation(wat: str, message: str, place: tuple[int, int]) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_module(wat)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == place


def test_annotations_inside_of_a_known_one_are_skipped() -> None:
    assert customs('(module (@custom (@x "b" (@y)) "a" (; c ;) "d" ;; e\n (@name) "f"))') == [("a", b"df", 0)]


def test_annotations_nest_without_end() -> None:
    depth = 100_000
    nested = "(@x " * depth + ")" * depth
    assert customs(f'(module (@custom "a" {nested}))') == [("a", b"", 0)]
    assert customs(f"(module {nested})") == []
