"""Values as text: what is read, what is written, and what errors say of text that is no value of its type."""

from __future__ import annotations

import math
import random
import string
from typing import Any

import pytest

import wasmark
from wasmark.component import Err, Ok, Some
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.classes import Namer
from wasmark.component.naming import pascal, snake
from wasmark.component.notation import read, write

POINT = T.Record((("x", T.F64()), ("is-far", T.Option(T.Bool()))))
SHAPE = T.Variant((("empty", None), ("circle", T.F32()), ("none", T.U8())))
STATUS = T.Enum(("ok", "not-found", "HTTP3"))
SIDES = T.Flags(("top", "left-side", "err"))
UNSIGNED = T.List(T.U8())


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        (T.Bool(), "true", True),
        (T.U8(), " 255 ", 255),
        (T.S16(), "-0x8000", -32768),
        (T.U64(), "18446744073709551615", 2**64 - 1),
        (T.F64(), "-6.022e+23", -6.022e23),
        (T.F32(), "-inf", -math.inf),
        (T.Char(), r"'\''", "'"),
        (T.Char(), r"'\u{1F600}'", "😀"),
        (T.Char(), "'☃'", "☃"),
        (T.String(), r'"a\tb\\\"\u{2603}"', 'a\tb\\"☃'),
        (T.String(), '""', ""),
        (T.String(), '"""\n"""', ""),
        (T.String(), '"""\nA single line\n"""', "A single line"),
        (T.String(), '"""\r\n    one\r\n      two\r\n  """', "  one\n    two"),
        (T.String(), '"""\n  a\\n\\u{62}""\\""\n\n  """', 'a\nb"""\n'.replace('"""', '""""')),
        (UNSIGNED, "[1, 2, 255,]", b"\x01\x02\xff"),
        (T.List(T.String()), '["a" , "b"]', ["a", "b"]),
        (T.FixedList(T.U16(), 2), "[1, 2]", [1, 2]),
        (T.Map(T.String(), T.U8()), '[("a", 1), ("b", 2)]', {"a": 1, "b": 2}),
        (T.Tuple((T.U8(), T.String())), '(1, "a",)', (1, "a")),
        (POINT, "{x: 1, is-far: true}", {"x": 1.0, "is-far": True}),
        (POINT, "{is-far: none, %x: 1,}", {"x": 1.0, "is-far": None}),
        (POINT, "{x: 1}", {"x": 1.0, "is-far": None}),
        (T.Record((("a", T.Option(T.U8())),)), "{:}", {"a": None}),
        (SHAPE, "empty", ("empty", None)),
        (SHAPE, "circle(2.5)", ("circle", 2.5)),
        (SHAPE, "%none ( 3 )", ("none", 3)),
        (STATUS, "%ok", "ok"),
        (STATUS, "HTTP3", "HTTP3"),
        (SIDES, "{left-side, err}", ["left-side", "err"]),
        (SIDES, "{}", []),
        (T.Option(T.U8()), "7", 7),
        (T.Option(T.U8()), "some(7)", 7),
        (T.Option(STATUS), "none", None),
        (T.Option(T.Option(T.U8())), "some(none)", Some(None)),
        (T.Option(T.Option(T.U8())), "some(some(1))", Some(1)),
        (T.Result(T.U8(), T.String()), "7", Ok(7)),
        (T.Result(T.U8(), T.String()), "ok(7)", Ok(7)),
        (T.Result(T.U8(), T.String()), 'err("no")', Err("no")),
        (T.Result(), "ok", Ok(None)),
        (T.Result(None, T.U8()), "err(1)", Err(1)),
        (T.Tuple((T.U8(),)), "( // one\n 1 // and no more\n)", (1,)),
    ],
)
def test_what_is_written_is_read(type_: T.ValType, text: str, value: Any) -> None:
    assert read(text, type_, "arg") == value


@pytest.mark.parametrize(
    ("type_", "text", "message"),
    [
        (T.U8(), "300", "arg: expected a number from 0 to 255 (u8), got '300' (at character 1)"),
        (T.U8(), "1.5", "arg: expected a number of type u8, got '1.5' (at character 1)"),
        (T.U8(), "1 2", "arg: expected the end of the u8, got '2' (at character 3)"),
        (T.F64(), "1.", "arg: expected a number of type f64, got '1.' (at character 1)"),
        (T.Bool(), "True", "arg: expected true or false, got 'True' (at character 1)"),
        (T.Char(), "'ab'", "arg: expected ' behind one character, got 'b' (at character 3)"),
        (T.Char(), "''", 'arg: expected one character, got "\'" (at character 2)'),
        (T.String(), r'"\x"', "arg: expected an escape (\\n, \\t, \\r, \\\\, \\', \\\", \\u{...}), got '\\\\'"),
        (T.String(), r'"\u{d800}"', "arg: expected the number of a Unicode scalar value, got 'd800' (at character 5)"),
        (T.String(), '"""\n a\n  """', "arg: expected 2 blanks, as the last line has them, got ' ' (at character 5)"),
        (T.String(), '"a', "arg: the string that starts at character 1 does not end in this line: expected '\"'"),
        (T.List(T.U8()), "[1, 256]", "arg[1]: expected a number from 0 to 255 (u8), got '256' (at character 5)"),
        (T.List(T.U8()), "[1 2]", "arg: expected ',' or ']' in the list, got '2' (at character 4)"),
        (T.List(T.U8()), "[1", "arg: expected ',' or ']' in the list, got nothing (at character 3)"),
        (T.FixedList(T.U8(), 2), "[1]", "arg: expected 2 elements, not 1, got '[' (at character 1)"),
        (T.Tuple((T.U8(),)), "(1, 2)", "arg: expected no more than 1 values, got '2' (at character 5)"),
        (T.Tuple((T.U8(), T.U8())), "(1)", "arg: expected 2 values, not 1, got ')' (at character 3)"),
        (POINT, "{y: 1}", "arg: expected a field (x, is-far), got 'y' (at character 2)"),
        (POINT, "{x: 1, x: 2}", "arg: expected each field once, got 'x' (at character 8)"),
        (POINT, "{:}", "arg: the field x is missing: expected it before this, got '}' (at character 3)"),
        (POINT, "{x: a}", "arg.x: expected a number of type f64, got 'a' (at character 5)"),
        (SHAPE, "square", "arg: expected a case (empty, circle, %none), got 'square' (at character 1)"),
        (SHAPE, "none(1)", "arg: expected a case (empty, circle, %none), got 'none' (at character 1)"),
        (SHAPE, "circle", "arg: expected '(' behind circle, got nothing (at character 7)"),
        (SHAPE, "circle(x)", "arg.circle: expected a number of type f32, got 'x' (at character 8)"),
        (SIDES, "{bottom}", "arg: expected a flag (top, left-side, err), got 'bottom' (at character 2)"),
        (T.Option(T.Option(T.U8())), "1", "arg: expected some(...) or none, got '1' (at character 1)"),
        (T.Result(), "7", "arg: expected ok or err, got '7' (at character 1)"),
        (T.Own(T.ResourceType("file")), "1", "arg: a file cannot be written as text, got '1' (at character 1)"),
        (T.Stream(T.U8()), "1", "arg: a stream<u8> cannot be written as text, got '1' (at character 1)"),
    ],
)
def test_errors_say_what_is_wrong_and_where(type_: T.ValType, text: str, message: str) -> None:
    with pytest.raises(wasmark.Error) as caught:
        read(text, type_, "arg")
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("type_", "value", "text"),
    [
        (T.F32(), 0.10000000149011612, "0.1"),
        (T.F32(), 16777216.0, "16777216.0"),
        (T.F64(), 0.1, "0.1"),
        (T.F64(), math.nan, "nan"),
        (T.String(), "a\"'\n\x1b\u202e☃", '"a\\"\'\\n\\u{1b}\\u{202e}☃"'),
        (T.Char(), "'", "'\\''"),
        (UNSIGNED, b"\x00\xff", "[0, 255]"),
        (T.Option(T.U8()), 1, "some(1)"),
        (T.Result(None, T.U8()), Ok(None), "ok"),
    ],
)
def test_values_are_written_so_that_people_can_read_them(type_: T.ValType, value: Any, text: str) -> None:
    assert write(value, type_) == text


def _type(rng: random.Random, depth: int) -> T.ValType:
    leaves = [T.Bool, T.S8, T.U32, T.S64, T.F32, T.F64, T.Char, T.String]
    if depth == 0:
        return rng.choice(leaves)()

    def part() -> T.ValType:
        return _type(rng, depth - 1)

    def maybe() -> T.ValType | None:
        return part() if rng.random() < 0.7 else None

    labels = rng.sample(["a", "none", "ok", "long-name", "HTTP-x", "inf"], 3)
    return rng.choice(
        [
            lambda: T.List(part()),
            lambda: T.FixedList(part(), 2),
            lambda: T.Map(rng.choice([T.U8(), T.String()]), part()),
            lambda: T.Tuple((part(), part())),
            lambda: T.Record(tuple((label, part()) for label in labels)),
            lambda: T.Variant(tuple((label, maybe()) for label in labels)),
            lambda: T.Enum(tuple(labels)),
            lambda: T.Flags(tuple(labels)),
            lambda: T.Option(part()),
            lambda: T.Result(maybe(), maybe()),
        ]
    )()


def _value(rng: random.Random, type_: Any, namer: Namer) -> tuple[Any, Any]:
    """A value as a component returns it, and the same as `read` says it."""
    count = rng.randrange(3)
    match type_:
        case T.Bool():
            value: Any = rng.random() < 0.5
        case T.S8() | T.S64() | T.U8() | T.U32():
            value = rng.randrange(128)
        case T.F32():
            value = rng.choice([0.5, -math.inf, 3.0517578125e-05])
        case T.F64():
            value = rng.uniform(-1e9, 1e9)
        case T.Char():
            value = rng.choice(string.printable + "é☃😀")
        case T.String():
            value = "".join(rng.choices(string.printable + "é☃😀", k=count * 3))
        case T.List(element=element):
            pairs = [_value(rng, element, namer) for _ in range(count)]
            return [each for each, _ in pairs], [each for _, each in pairs]
        case T.FixedList(element=element):
            pairs = [_value(rng, element, namer) for _ in range(2)]
            return [each for each, _ in pairs], [each for _, each in pairs]
        case T.Map(key=key, value=part):
            keys = [_value(rng, key, namer)[0] for _ in range(count)]
            found = {each: _value(rng, part, namer) for each in keys}
            return {key: pair[0] for key, pair in found.items()}, {key: pair[1] for key, pair in found.items()}
        case T.Tuple(types=types):
            pairs = [_value(rng, part, namer) for part in types]
            return tuple(each for each, _ in pairs), tuple(each for _, each in pairs)
        case T.Record(fields=fields):
            named = {label: _value(rng, part, namer) for label, part in fields}
            made = namer.class_of(type_)(**{snake(label): pair[0] for label, pair in named.items()})
            return made, {label: pair[1] for label, pair in named.items()}
        case T.Variant(cases=cases):
            label, payload = rng.choice(cases)
            given, said = (None, None) if payload is None else _value(rng, payload, namer)
            return getattr(namer.class_of(type_), pascal(label))(given), (label, said)
        case T.Enum(labels=labels):
            label = rng.choice(labels)
            return namer.class_of(type_)(label), label
        case T.Flags(labels=labels):
            chosen = [label for label in labels if rng.random() < 0.5]
            bits = sum(1 << bit for bit, label in enumerate(labels) if label in chosen)
            return namer.class_of(type_)(bits), chosen
        case T.Option(some=some):
            if count == 0:
                return None, None
            given, said = _value(rng, some, namer)
            return (Some(given), Some(said)) if isinstance(some, T.Option) else (given, said)
        case T.Result(ok=ok, error=error):
            class_, payload = rng.choice([(Ok, ok), (Err, error)])
            given, said = (None, None) if payload is None else _value(rng, payload, namer)
            return class_(given), class_(said)
    return value, value


@pytest.mark.parametrize("seed", range(100))
def test_what_is_written_of_any_value_reads_as_the_same(seed: int) -> None:
    rng = random.Random(seed)
    type_ = _type(rng, 3)
    value, said = _value(rng, type_, Namer())
    text = write(value, type_)
    assert "\n" not in text
    assert read(text, type_, "arg") == said
