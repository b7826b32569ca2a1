"""Components that ask for too much, or say too little, get an error: quickly, and never one of Python's."""

from __future__ import annotations

import pytest

import wasmark
from wasmark.component.binary import decode_component, encode_component
from wasmark.component.binary.decoder import MAX_NESTING
from wasmark.component.text import parse_component
from wasmark.component.validate import CheckedComponent, validate_component
from wasmark.component.validate.rebuild import MAX_DEPTH, MAX_PARTS
from wasmark.validate import TypeRegistry

PREAMBLE = b"\0asm\x0d\0\x01\0"


def check(text: str) -> CheckedComponent:
    return validate_component(decode_component(encode_component(parse_component(text))), TypeRegistry())


def nested(depth: int) -> str:
    return "(component " * depth + ")" * depth


def leb(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def nested_binary(depth: int) -> bytes:
    binary = PREAMBLE
    for _ in range(depth - 1):
        binary = PREAMBLE + b"\x04" + leb(len(binary)) + binary
    return binary


def test_components_may_be_nested_as_deep_as_the_limit() -> None:
    assert encode_component(parse_component(nested(MAX_NESTING))) == nested_binary(MAX_NESTING)
    check(nested(MAX_NESTING))


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 100_000])
def test_components_nested_deeper_are_refused_in_text(depth: int) -> None:
    with pytest.raises(wasmark.UnsupportedError, match="nested more than 100 deep"):
        parse_component(nested(depth))


@pytest.mark.parametrize("depth", [MAX_NESTING + 1, 5_000])
def test_components_nested_deeper_are_refused_in_binary(depth: int) -> None:
    with pytest.raises(wasmark.UnsupportedError, match="nested more than 100 deep"):
        decode_component(nested_binary(depth))


@pytest.mark.parametrize("form", ["(list {})", "(component (type {}))", '(instance (export "a" {}))'])
def test_types_nested_deeper_are_refused_in_text(form: str) -> None:
    head, tail = form.split("{}")
    with pytest.raises(wasmark.UnsupportedError, match="nested more than 100 deep"):
        parse_component(f"(component (type {head * 100_000}u8{tail * 100_000}))")


def test_types_nested_deeper_are_refused_in_binary() -> None:
    types = b"\x41\x01\x01" * 5_000 + b"\x73"
    section = leb(len(types) + 1) + b"\x01" + types
    with pytest.raises(wasmark.UnsupportedError, match="nested more than 100 deep"):
        decode_component(PREAMBLE + b"\x07" + section)


def test_types_that_lead_to_each_other_have_a_limited_depth() -> None:
    def chain(count: int) -> str:
        return "(component (type u8)" + "".join(f"(type (list {index}))" for index in range(count)) + ")"

    check(chain(MAX_DEPTH - 1))
    with pytest.raises(wasmark.UnsupportedError, match="limits"):
        check(chain(5_000))


@pytest.mark.parametrize(
    "double",
    [
        "(type (tuple {0} {0}))",
        '(type (record (field "a" {0}) (field "b" {0})))',
        "(type (result {0} (error {0})))",
    ],
)
def test_types_that_double_at_each_step_are_refused_before_they_are_huge(double: str) -> None:
    text = "(component (type u8)" + "".join(double.format(index) for index in range(90)) + ")"
    with pytest.raises(wasmark.UnsupportedError, match=f"{MAX_PARTS} parts"):
        check(text)


def test_instances_that_double_at_each_step_are_refused_before_they_are_huge() -> None:
    step = (
        '(type (instance (alias outer 1 {0} (type)) (export "a" (instance (type 0))) (export "b" (instance (type 0)))))'
    )
    text = '(component (type (instance (export "r" (type (sub resource)))))'
    text += "".join(step.format(index) for index in range(40)) + ")"
    with pytest.raises(wasmark.UnsupportedError, match=r"limits|made by instantiation") as caught:
        check(text)
    assert caught.value.part == "huge types"


def test_values_that_are_imported_are_a_part_that_is_missing() -> None:
    with pytest.raises(wasmark.UnsupportedError) as caught:
        parse_component('(component (import "v" (value string)))')
    assert caught.value.part == "component values"
    for section in (b"\x09\x00", b"\x0c\x01\x00"):
        with pytest.raises(wasmark.UnsupportedError) as caught:
            decode_component(PREAMBLE + section)
        assert caught.value.part == "component values"


def test_threads_that_run_at_the_same_time_are_a_part_that_is_missing() -> None:
    with pytest.raises(wasmark.UnsupportedError) as caught:
        check("(component (canon thread.available-parallelism (core func)))")
    assert caught.value.part == "shared-everything threads"


def test_a_module_refuses_a_component_and_names_what_takes_it() -> None:
    for source in (PREAMBLE, "(component)"):
        with pytest.raises(wasmark.MalformedError, match=r"this is a component, which `wasmark\.Component` takes"):
            wasmark.Module(source)
    with pytest.raises(wasmark.MalformedError, match="expected a version header for a component"):
        wasmark.Component(b"\0asm\1\0\0\0")


def test_an_invalid_definition_is_found_where_it_stands() -> None:
    binary = encode_component(parse_component("(component (type u8) (component (type (list 5))) (type string))"))
    with pytest.raises(wasmark.InvalidError, match="type index out of bounds: 5 of 0") as caught:
        validate_component(decode_component(binary), TypeRegistry())
    assert caught.value.offset == binary.index(b"\x70\x05")


def test_an_invalid_body_is_found_where_it_stands() -> None:
    text = "(component (core module (func (result i32) (i64.const 77))))"
    binary = encode_component(parse_component(text))
    with pytest.raises(wasmark.InvalidError, match="type mismatch") as caught:
        validate_component(decode_component(binary), TypeRegistry())
    assert caught.value.func_index == 0
    assert caught.value.offset is not None
    assert binary[caught.value.offset] in (0x42, 0x0B)


@pytest.mark.parametrize(
    ("text", "line", "column", "message"),
    [
        ("(component\n  (type (list $x)))", 2, 15, r"unknown type \$x"),
        ('(component\n  (func (export "f") (canon lift)))', 2, 33, "core func index"),
        ("(component (core module $m) (core module $m))", 1, 42, r"duplicate core module \$m"),
        ('(component (import "a" (func)) (frobnicate))', 1, 32, "a definition of a component"),
        ("(component (type (record (field))))", 1, 32, "a label"),
        ("(component (core module (func (i32.frob))))", 1, 32, "unknown operator"),
    ],
)
def test_broken_text_is_found_where_it_stands(text: str, line: int, column: int, message: str) -> None:
    with pytest.raises(wasmark.MalformedError, match=message) as caught:
        parse_component(text)
    assert (caught.value.line, caught.value.column) == (line, column)


def test_versions_that_differ_by_case_are_different_ones() -> None:
    """A pre-release is compared as it is; the names before it are not."""
    check('(component (import "a:b/c@1.0.0-aB" (func)) (import "a:b/c@1.0.0-ab" (func)))')
    with pytest.raises(wasmark.InvalidError, match="conflicts with previous name"):
        check('(component (import "a:b/C@1.0.0" (func)) (import "a:b/c@1.0.0" (func)))')


def test_a_type_of_a_module_has_no_type_before_it_is_defined() -> None:
    check('(component (core type (module (type (func)) (import "a" "b" (func (type 0))))))')
    for early in (
        '(import "a" "b" (func (type 0)))',
        '(export "b" (func (type 0)))',
        '(import "a" "b" (tag (type 0)))',
    ):
        with pytest.raises(wasmark.InvalidError, match="type index out of bounds"):
            check(f"(component (core type (module {early} (type (func)))))")


def test_a_constructor_is_not_async() -> None:
    text = '(component (import "a" (type $a (sub resource))) (import "[constructor]a" (func {} (result (own $a)))))'
    check(text.format(""))
    with pytest.raises(wasmark.InvalidError, match="a constructor cannot be async"):
        check(text.format("async"))
