r"""Values of components as text, in the notation of wasm-tools (WAVE), read and written by their types.

    bool, integers, floats      true    -9    0x1f    6.02e+23    nan    -inf
    char, string                'x'    "tab\t, \u{2603}"    and strings of several lines between three quotation marks
    list, map                   [1, 2]    [("key", 1), ("other", 2)]
    tuple, record               (1, "a")    {x: 1, y: 2}    where a field is left out, it is none
    variant, enum               circle(2.5)    empty    red
    option, result              some(1), or just 1    none    ok(1), or just 1    err("why")
    flags                       {read, write}

Between tokens there may be blanks, and comments from // to the end of a line; a comma may come last in a list. Labels
that are words of the notation have a % in front of them (`%none`). What is read is what Python would give for the type.
"""

from __future__ import annotations

import math
import re
import struct

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.coerce import LIMITS, as_float32, is_nested
from wasmark.component.naming import snake
from wasmark.component.values import Err, Ok, Some
from wasmark.component.wit import written
from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final

_BLANKS: Final = re.compile(r"(?:\s|//[^\n]*)*")
_INTEGER: Final = re.compile(r"-?(?:0x[0-9a-fA-F]+|[0-9]+)(?![\w.])")
_FLOAT: Final = re.compile(r"(?:-?(?:[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?|inf)|nan)(?![\w.])")
_LABEL: Final = re.compile(r"%?[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)*")
_PLAIN_CHARS: Final = {"'": re.compile(r"[^'\\\n]"), '"': re.compile(r'[^"\\\n]+')}
_PLAIN_LINE: Final = re.compile(r"[^\\\n]+")
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", re.DOTALL)
_LINES: Final = re.compile(r'"""\r?\n((?:(?!""").)*?)(?:(?<=\n)|\r?\n)( *)"""', re.DOTALL)
_TOKEN: Final = re.compile(r"[\w.%+-]+|.", re.DOTALL)
_KEYWORDS: Final = frozenset(("true", "false", "inf", "nan", "some", "none", "ok", "err"))
_ESCAPES: Final = {"'": "'", '"': '"', "\\": "\\", "t": "\t", "n": "\n", "r": "\r"}
_ESCAPED: Final = {char: f"\\{letter}" for letter, char in _ESCAPES.items() if char not in "'\""}


class NotationError(Error):
    """The text is no value of the type; the message says where in the value, and at which character of the text."""


def read(text: str, type_: T.ValType, path: str) -> Any:
    """The value that is written in `text`; `path` is what it is called in errors. Raises NotationError."""
    reader = _Reader(text, path)
    value = reader.value(type_)
    reader.blanks()
    if reader.at < len(text):
        raise reader.error(f"expected the end of the {written(type_)}")
    return value


def write(value: Any, type_: T.ValType) -> str:
    """A Python value of a component as text, in one line. Resources, which have no notation, are shown as Python shows
    them."""
    writer = _WRITERS.get(type(type_))
    return repr(value) if writer is None else writer(value, type_)


def _case_text(label: str) -> str:
    """A label of a case, as it has to be written."""
    return f"%{label}" if label in _KEYWORDS else label


class _Reader:
    """Reads one value. `at` is the place of the next character, `path` leads to the part of the value that is read."""

    def __init__(self, text: str, path: str) -> None:
        self._text = text
        self._path = [path]
        self.at = 0

    def error(self, what: str, at: int | None = None) -> NotationError:
        """Something is not what it should be; here, if it is not said where."""
        at = self.at if at is None else at
        token = _TOKEN.match(self._text, at)
        got = repr(token[0]) if token else "nothing"
        return NotationError(f"{''.join(self._path)}: {what}, got {got} (at character {at + 1})")

    def blanks(self) -> None:
        """Go on to the next token."""
        found = _BLANKS.match(self._text, self.at)
        assert found is not None
        self.at = found.end()

    def take(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        """What matches here, which is behind us then."""
        found = pattern.match(self._text, self.at)
        if found is not None:
            self.at = found.end()
        return found

    def is_next(self, char: str) -> bool:
        """Whether the next token is this one, which is behind us then."""
        self.blanks()
        if not self._text.startswith(char, self.at):
            return False
        self.at += len(char)
        return True

    def want(self, char: str, what: str) -> None:
        """Read a token that has to be there."""
        if not self.is_next(char):
            raise self.error(f"expected {what}")

    def word(self) -> str:
        """The label that is next, as it is written; it is not read yet. "" where there is none."""
        self.blanks()
        found = _LABEL.match(self._text, self.at)
        return "" if found is None else found[0]

    def value(self, type_: T.ValType, part: str = "") -> Any:
        """A value; `part` is its place in the one around it."""
        self._path.append(part)
        self.blanks()
        read_it = _READERS.get(type(type_))
        if read_it is None:
            raise self.error(f"a {written(type_)} cannot be written as text")
        value = read_it(self, type_)
        self._path.pop()
        return value

    def items(self, end: str, what: str) -> Iterator[int]:
        """For each element, its number, until the list has ended."""
        number = 0
        while not self.is_next(end):
            if number:
                self.want(",", f"',' or {end!r} in the {what}")
                if self.is_next(end):
                    return
            yield number
            number += 1

    def label(self, labels: Sequence[str], what: str) -> str:
        """A label that is one of these, behind a % or not."""
        word = self.word()
        label = word.removeprefix("%")
        if not word or label not in labels:
            raise self.error(f"expected {what} ({', '.join(labels)})")
        self.at += len(word)
        return label

    def case(self, labels: Sequence[str], what: str) -> str:
        """A label that is one of these; one that is a word of the notation has to have its %."""
        word = self.word()
        if word in _KEYWORDS or word.removeprefix("%") not in labels:
            raise self.error(f"expected {what} ({', '.join(map(_case_text, labels))})")
        return self.label(labels, what)

    def payload(self, type_: T.ValType, label: str) -> Any:
        """What stands in brackets behind a case."""
        self.want("(", f"'(' behind {label}")
        value = self.value(type_, f".{label}")
        self.want(")", f"')' behind the value of {label}")
        return value

    def character(self, quote: str) -> str | None:
        """One char, or several, of a string; None where there is a quotation mark or nothing legal."""
        plain = self.take(_PLAIN_CHARS[quote])
        if plain is not None:
            return plain[0]
        return self.escape() if self._text.startswith("\\", self.at) else None

    def line(self, end: int) -> str:
        """What stands from here to `end`, without a line break in it."""
        parts = []
        while self.at < end:
            plain = _PLAIN_LINE.match(self._text, self.at, end)
            if plain is None:
                parts.append(self.escape())
            else:
                parts.append(plain[0])
                self.at = plain.end()
        return "".join(parts)

    def escape(self) -> str:
        """The character that a backslash and what is behind it stand for."""
        at = self.at
        escape = self.take(_ESCAPE)
        number, letter = (None, "") if escape is None else escape.groups()
        if number is None:
            if letter not in _ESCAPES:
                raise self.error("expected an escape (\\n, \\t, \\r, \\\\, \\', \\\", \\u{...})", at)
            return _ESCAPES[letter]
        code = int(number, 16)
        if code > 0x10FFFF or 0xD800 <= code < 0xE000:
            raise self.error("expected the number of a Unicode scalar value", at + 3)
        return chr(code)


def _bool(reader: _Reader, type_: T.ValType) -> bool:
    word = reader.word()
    if word not in ("true", "false"):
        raise reader.error("expected true or false")
    reader.at += len(word)
    return word == "true"


def _integer(reader: _Reader, type_: T.ValType) -> int:
    at = reader.at
    found = reader.take(_INTEGER)
    if found is None:
        raise reader.error(f"expected a number of type {written(type_)}")
    value = int(found[0], 16 if "x" in found[0] else 10)
    low, high = LIMITS[type(type_)]
    if not low <= value <= high:
        raise reader.error(f"expected a number from {low} to {high} ({written(type_)})", at)
    return value


def _float(reader: _Reader, type_: T.ValType) -> float:
    found = reader.take(_FLOAT)
    if found is None:
        raise reader.error(f"expected a number of type {written(type_)}")
    return float(found[0])


def _char(reader: _Reader, type_: T.ValType) -> str:
    reader.want("'", "a char between ' and '")
    char = reader.character("'")
    if char is None:
        raise reader.error("expected one character")
    if not reader.take(re.compile("'")):
        raise reader.error("expected ' behind one character")
    return char


def _string(reader: _Reader, type_: T.ValType) -> str:
    if reader.is_next('"""'):
        reader.at -= 3
        return _string_of_lines(reader)
    start = reader.at
    reader.want('"', 'a string between " and "')
    parts = []
    while (part := reader.character('"')) is not None:
        parts.append(part)
    if not reader.take(re.compile('"')):
        raise reader.error(f"the string that starts at character {start + 1} does not end in this line: expected '\"'")
    return "".join(parts)


def _string_of_lines(reader: _Reader) -> str:
    """A string between three quotation marks. Its last line says by how much all lines are indented."""
    found = reader.take(_LINES)
    if found is None:
        raise reader.error('expected lines between """ and a line of its own with """')
    behind, indent = reader.at, found[2]
    at = found.start(1)
    lines = []
    for line in found[1].split("\n"):
        end = at + len(line.removesuffix("\r"))
        if line.strip(" \r") and not line.startswith(indent):
            raise reader.error(f"expected {len(indent)} blanks, as the last line has them", at)
        reader.at = min(at + len(indent), end)
        lines.append(reader.line(end))
        at += len(line) + 1
    reader.at = behind
    return "\n".join(lines)


def _elements(reader: _Reader, type_: T.List) -> Any:
    element = type_.element
    reader.want("[", f"'[' for a {written(type_)}")
    values = [reader.value(element, f"[{number}]") for number in reader.items("]", "list")]
    return bytes(values) if isinstance(element, T.U8) else values


def _fixed(reader: _Reader, type_: T.FixedList) -> Any:
    at = reader.at
    values = _elements(reader, type_)  # type: ignore[arg-type]  # it has an element, too
    if len(values) != type_.length:
        raise reader.error(f"expected {type_.length} elements, not {len(values)}", at)
    return values


def _map(reader: _Reader, type_: T.Map) -> dict[Any, Any]:
    reader.want("[", f"'[' for a {written(type_)}, which is written as a list of pairs")
    pair = T.Tuple((type_.key, type_.value))
    return dict(reader.value(pair, f"[{number}]") for number in reader.items("]", "map"))


def _tuple(reader: _Reader, type_: T.Tuple) -> tuple[Any, ...]:
    types = type_.types
    reader.want("(", f"'(' for a {written(type_)}")
    values = []
    for number in reader.items(")", "tuple"):
        if number == len(types):
            raise reader.error(f"expected no more than {len(types)} values")
        values.append(reader.value(types[number], f"[{number}]"))
    if len(values) < len(types):
        raise reader.error(f"expected {len(types)} values, not {len(values)}", reader.at - 1)
    return tuple(values)


def _record(reader: _Reader, type_: T.Record) -> dict[str, Any]:
    reader.want("{", f"'{{' for a {written(type_)}")
    fields = dict(type_.fields)
    values: dict[str, Any] = {}
    if reader.is_next(":"):
        reader.want("}", "'}' behind '{:'")
    else:
        for _ in reader.items("}", "record"):
            at = reader.at
            label = reader.label(list(fields), "a field")
            if label in values:
                raise reader.error("expected each field once", at)
            reader.want(":", f"':' behind {label}")
            values[label] = reader.value(fields[label], f".{label}")
    for label, part in type_.fields:
        if label not in values:
            if not isinstance(part, T.Option):
                raise reader.error(f"the field {label} is missing: expected it before this", reader.at - 1)
            values[label] = None
    return values


def _variant(reader: _Reader, type_: T.Variant) -> tuple[str, Any]:
    cases = dict(type_.cases)
    label = reader.case(list(cases), "a case")
    payload = cases[label]
    return label, None if payload is None else reader.payload(payload, label)


def _enum(reader: _Reader, type_: T.Enum) -> str:
    return reader.case(type_.labels, "one")


def _flags(reader: _Reader, type_: T.Flags) -> list[str]:
    reader.want("{", f"'{{' for {written(type_)}")
    return [reader.label(type_.labels, "a flag") for _ in reader.items("}", "flags")]


def _option(reader: _Reader, type_: T.Option) -> Any:
    some, word = type_.some, reader.word()
    if word == "none":
        reader.at += len(word)
        return None
    if word == "some":
        reader.at += len(word)
        value = reader.payload(some, word)
    elif isinstance(some, T.Option | T.Result):
        raise reader.error("expected some(...) or none")
    else:
        value = reader.value(some)
    return Some(value) if is_nested(type_) else value


def _result(reader: _Reader, type_: T.Result) -> Any:
    word = reader.word()
    if word in ("ok", "err"):
        reader.at += len(word)
        class_, payload = (Ok, type_.ok) if word == "ok" else (Err, type_.error)
        return class_(None if payload is None else reader.payload(payload, word))
    if type_.ok is None or isinstance(type_.ok, T.Option | T.Result):
        raise reader.error("expected ok or err")
    return Ok(reader.value(type_.ok))


_READERS: Final[dict[type, Callable[[_Reader, Any], Any]]] = {
    T.Bool: _bool,
    **dict.fromkeys(LIMITS, _integer),
    T.F32: lambda reader, type_: as_float32(_float(reader, type_)),
    T.F64: _float,
    T.Char: _char,
    T.String: _string,
    T.List: _elements,
    T.FixedList: _fixed,
    T.Map: _map,
    T.Tuple: _tuple,
    T.Record: _record,
    T.Variant: _variant,
    T.Enum: _enum,
    T.Flags: _flags,
    T.Option: _option,
    T.Result: _result,
}


# --- writing --------------------------------------------------------------------------------------------


def _float_text(value: float, type_: T.F64) -> str:
    return repr(value) if math.isfinite(value) else str(value)


def _float32_text(value: float, type_: T.F32) -> str:
    """As few digits as tell it from its neighbours."""
    if not math.isfinite(value):
        return str(value)
    for digits in range(1, 9):
        text = f"{value:.{digits}g}"
        if struct.pack("<f", float(text)) == struct.pack("<f", value):
            return repr(float(text))
    return repr(float(f"{value:.9g}"))


def _quoted(value: str, quote: str) -> str:
    def escaped(char: str) -> str:
        if char == quote:
            return f"\\{char}"
        return _ESCAPED.get(char) or (char if char.isprintable() else f"\\u{{{ord(char):x}}}")

    return f"{quote}{''.join(map(escaped, value))}{quote}"


def _with_payload(label: str, value: Any, type_: T.ValType | None) -> str:
    return label if type_ is None else f"{label}({write(value, type_)})"


def _record_text(value: Any, type_: T.Record) -> str:
    parts = (f"{label}: {write(getattr(value, snake(label)), part)}" for label, part in type_.fields)
    return f"{{{', '.join(parts)}}}"


def _flags_text(value: Any, type_: T.Flags) -> str:
    return f"{{{', '.join(label for bit, label in enumerate(type_.labels) if value.value >> bit & 1)}}}"


def _option_text(value: Any, type_: T.Option) -> str:
    if value is None:
        return "none"
    return f"some({write(value.value if is_nested(type_) else value, type_.some)})"


def _result_text(value: Any, type_: T.Result) -> str:
    if isinstance(value, Ok):
        return _with_payload("ok", value.value, type_.ok)
    return _with_payload("err", value.value, type_.error)


def _list_text(value: Any, type_: T.List | T.FixedList) -> str:
    return f"[{', '.join(write(each, type_.element) for each in value)}]"


_WRITERS: Final[dict[type, Callable[..., str]]] = {
    T.Bool: lambda value, type_: "true" if value else "false",
    **dict.fromkeys(LIMITS, lambda value, type_: str(value)),
    T.F32: _float32_text,
    T.F64: _float_text,
    T.Char: lambda value, type_: _quoted(value, "'"),
    T.String: lambda value, type_: _quoted(value, '"'),
    T.List: _list_text,
    T.FixedList: _list_text,
    T.Map: lambda value, type_: _list_text(value.items(), T.List(T.Tuple((type_.key, type_.value)))),
    T.Tuple: lambda value, type_: f"({', '.join(map(write, value, type_.types))})",
    T.Record: _record_text,
    T.Variant: lambda value, type_: _with_payload(_case_text(value.label), value.value, dict(type_.cases)[value.label]),
    T.Enum: lambda value, type_: _case_text(value.value),
    T.Flags: _flags_text,
    T.Option: _option_text,
    T.Result: _result_text,
}
