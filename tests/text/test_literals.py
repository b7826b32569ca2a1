"""Printed strings, identifiers and numbers are read back as what they were."""

from __future__ import annotations

import pytest
from hypothesis import example, given, strategies

from wasmark.text.lexer import Tokens, decode_string
from wasmark.text.literals import byte_strings, f32_literal, f64_literal, identifier, name_string
from wasmark.text.numbers import parse_f32, parse_f64
from wasmark.text.types import TypeParser

CHARS = strategies.characters(exclude_categories=("Cs",))


@given(strategies.integers(0, (1 << 32) - 1))
@example(0x7F7F_FFFF)
@example(0x0000_0001)
@example(0x8000_0000)
@example(0x7FC0_0000)
@example(0xFF80_0001)
@example(0x7F80_0000)
def test_f32_literals_are_exact(bits: int) -> None:
    assert parse_f32(f32_literal(bits)) == bits


@given(strategies.integers(0, (1 << 64) - 1))
@example(0x7FEF_FFFF_FFFF_FFFF)
@example(0x0000_0000_0000_0001)
@example(0x8000_0000_0000_0000)
@example(0x7FF8_0000_0000_0000)
@example(0xFFF0_0000_0000_0001)
@example(0xFFF0_0000_0000_0000)
def test_f64_literals_are_exact(bits: int) -> None:
    assert parse_f64(f64_literal(bits)) == bits


@pytest.mark.parametrize(
    ("bits", "text"),
    [
        (0x3DCC_CCCD, "0.1"),
        (0x3F80_0000, "1"),
        (0x8000_0000, "-0"),
        (0x7F80_0000, "inf"),
        (0xFFC0_0000, "-nan"),
        (0x7F80_0001, "nan:0x1"),
    ],
)
def test_f32_literals_are_short(bits: int, text: str) -> None:
    assert f32_literal(bits) == text


@given(strategies.binary(max_size=300))
def test_byte_strings_join_to_what_they_were(data: bytes) -> None:
    strings = byte_strings(data)
    assert b"".join(map(decode_string, strings)) == data
    assert [token for token in Tokens(" ".join(strings)).list if token] == strings


@given(strategies.text(CHARS))
@example('a"b\\c\n\x7f\u202e')
def test_names_are_read_back(name: str) -> None:
    text = name_string(name)
    assert Tokens(text).list[:1] == [text]
    assert decode_string(text).decode() == name


def test_what_cannot_be_seen_in_a_name_is_escaped() -> None:
    assert name_string("größe\u202e\n") == '"größe\\u{202e}\\0a"'


@given(strategies.text(CHARS, min_size=1))
@example("a b")
@example("$")
def test_identifiers_are_read_back(name: str) -> None:
    assert TypeParser(Tokens(identifier(name))).optional_id() == f"${name}"


def test_identifiers_are_quoted_only_where_they_must_be() -> None:
    assert identifier("a.b<c>") == "$a.b<c>"
    assert identifier("operator()(int)") == '$"operator()(int)"'
