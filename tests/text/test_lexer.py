"""Tokens (core §6.3): what separates them, what is skipped between them, what is none."""

from __future__ import annotations

import pytest

from wasmark.errors import MalformedError
from wasmark.text.lexer import Tokens, decode_string


def tokens(source: str) -> list[str]:
    return [token for token in Tokens(source).list if token]


def test_brackets_and_white_space_separate_tokens() -> None:
    assert tokens("(func\t$x(nop)\r\nnop)") == ["(", "func", "$x", "(", "nop", ")", "nop", ")"]


def test_runs_of_identifier_characters_and_strings_are_one_token() -> None:
    assert tokens('0$x "a""b" x"y"') == ["0$x", '"a""b"', 'x"y"']


@pytest.mark.parametrize("newline", ["\n", "\r", "\r\n"])
def test_line_comments_end_at_each_kind_of_newline(newline: str) -> None:
    assert tokens(f"a ;; b ;) (; {newline}c") == ["a", "c"]


def test_block_comments_nest_and_separate() -> None:
    assert tokens('a(; ( "; (;;) ;; ;)b(;;)c') == ["a", "b", "c"]


def test_comment_marks_inside_strings_are_text() -> None:
    assert tokens('"(;" ";)" ";;" "(@a"') == ['"(;"', '";)"', '";;"', '"(@a"']


def test_annotations_are_skipped_with_all_that_is_balanced_in_them() -> None:
    assert tokens('a (@x (y) [,;] ")" (@z) (; ) ;) ;; )\n (@ q)) b (@"q r" 0x) c') == ["a", "b", "c"]


def test_positions_count_lines_and_columns_from_one() -> None:
    found = Tokens("a\n  (; x\n ;) b\r\nc\rd")
    assert [found.position(index) for index in range(4)] == [(1, 1), (3, 5), (4, 1), (5, 1)]


def test_the_end_has_a_position() -> None:
    found = Tokens("a\nb ")
    assert found.position(2) == (2, 3)


@pytest.mark.parametrize(
    ("source", "message", "line", "column"),
    [
        ('a "b', "unclosed string", 1, 3),
        ('a\n "b\n"', "unclosed string", 2, 2),
        ('"\t"', "illegal character", 1, 2),
        (r'"a\q"', "illegal escape", 1, 3),
        (r'"\u{}"', "illegal escape", 1, 2),
        (r'"\u{1_}"', "illegal escape", 1, 2),
        (r'"\1"', "illegal escape", 1, 2),
        ("a\x00", "illegal character", 1, 2),
        ("a\n é", "illegal character", 2, 2),
        ("\ud800", "malformed UTF-8 encoding", 1, 1),
        ("x [y]", "unknown operator", 1, 3),
        ("x ; y", "unknown operator", 1, 3),
        ("x\n (; (; ;)", "unclosed comment", 2, 2),
        ("(@)", "empty annotation id", 1, 1),
        ('(@"")', "empty annotation id", 1, 1),
        (r'(@"\ff")', "malformed UTF-8 encoding", 1, 1),
        ("x (@a (b)", "unclosed annotation", 1, 3),
        ("(@a é)", "illegal character", 1, 5),
        ('(@a "b)', "unclosed string", 1, 5),
        ("(@a (; )", "unclosed comment", 1, 5),
    ],
)
def test_characters_that_form_no_token(source: str, message: str, line: int, column: int) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        Tokens(source)
    assert (caught.value.line, caught.value.column) == (line, column)


@pytest.mark.parametrize(
    ("token", "value"),
    [
        ('""', b""),
        ('"Käse"', "Käse".encode()),
        (r'"\t\n\r\"\'\\"', b"\t\n\r\"'\\"),
        (r'"\00\ff\C3"', b"\x00\xff\xc3"),
        (r'"\u{41}\u{20_AC}\u{10ffff}"', "A\u20ac\U0010ffff".encode()),
        (r'"\\41"', rb"\41"),
    ],
)
def test_escapes_in_strings(token: str, value: bytes) -> None:
    assert decode_string(token) == value


@pytest.mark.parametrize("token", [r'"\u{d800}"', r'"\u{dfff}"', r'"\u{110000}"', r'"\u{ffffffffffffffffff}"'])
def test_escapes_that_are_no_unicode_scalar_values(token: str) -> None:
    with pytest.raises(ValueError, match="not a Unicode scalar value"):
        decode_string(token)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "source",
    [" " * 2_000_000, ";" * 2_000_000, "(;" * 300_000 + ";)" * 300_000, "(@a " * 100_000 + ")" * 100_000],
    ids=["spaces", "semicolons", "comments", "annotations"],
)
def test_long_or_deeply_nested_nothing_takes_linear_time(source: str) -> None:
    assert tokens(source) == []


@pytest.mark.timeout(20)
@pytest.mark.parametrize("source", ['"' * 1_000_001, '"' + "\\" * 1_000_001, "(;" * 300_000, "(@a " * 100_000])
def test_long_broken_input_is_refused_in_linear_time(source: str) -> None:
    with pytest.raises(MalformedError):
        Tokens(source)
