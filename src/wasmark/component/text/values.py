"""Values of components in scripts (`(record.const (field "n" u32.const 7))`): as arguments, and against results.

What stands for them in Python is `component.values`'s.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.values import Err, Ok, ResultError, Some
from wasmark.text.numbers import parse_f32, parse_f64, parse_int

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.component.instance import ComponentInstance
    from wasmark.text.cursor import Cursor

INTEGERS: Final = {f"{sign}{bits}": (sign, bits) for sign in "us" for bits in (8, 16, 32, 64)}
_FLOATS: Final[dict[str, tuple[Callable[[str], int], str, str]]] = {
    "f32": (parse_f32, "<I", "<f"),
    "f64": (parse_f64, "<Q", "<d"),
}


@dataclass(frozen=True, slots=True)
class ComponentValue:
    """`kind` is the word before `.const`, or "option.some" and the like; `value` what it is made of: a bool, number,
    string or None, a `ComponentValue`, a tuple of them, labels, or pairs of a label and a value."""

    kind: str
    value: Any

    def __str__(self) -> str:
        """As a script would write it, but for what it is made of."""
        return self.kind if self.value is None else f"{self.kind} {_shown(self.value)}"


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return f"({', '.join(map(_shown, value))})"
    return str(value) if isinstance(value, ComponentValue) else repr(value)


def is_component_value(word: str) -> bool:
    """Whether a value of components starts with this word."""
    return word in _READ


def read_value(cursor: Cursor) -> ComponentValue:
    """A value, behind its opening bracket. Raises MalformedError."""
    word = cursor.toks[cursor.pos]
    read = _READ.get(word)
    if read is None:
        raise cursor.unexpected("a value of a component")
    cursor.pos += 1
    return ComponentValue(word.removesuffix(".const"), read(cursor, word.partition(".")[0]))


def _bracketed(cursor: Cursor) -> ComponentValue:
    cursor.expect("(")
    value = read_value(cursor)
    cursor.expect(")")
    return value


def _read_bool(cursor: Cursor, kind: str) -> bool:
    word = cursor.toks[cursor.pos]
    if word not in ("true", "false"):
        raise cursor.unexpected("'true' or 'false'")
    cursor.pos += 1
    return word == "true"


def _read_integer(cursor: Cursor, kind: str) -> int:
    sign, bits = INTEGERS[kind]
    token = cursor.toks[cursor.pos]
    try:
        value = parse_int(token, bits) & ((1 << bits) - 1)
    except ValueError as error:
        raise cursor.error(f"{error}: {token}") from None
    cursor.pos += 1
    return value - (1 << bits) if sign == "s" and value >> (bits - 1) else value


def _read_float(cursor: Cursor, kind: str) -> float:
    parse, integer, real = _FLOATS[kind]
    token = cursor.toks[cursor.pos]
    try:
        (value,) = struct.unpack(real, struct.pack(integer, parse(token)))
    except ValueError as error:
        raise cursor.error(f"{error}: {token}") from None
    cursor.pos += 1
    number: float = value
    return number


def _read_text(cursor: Cursor, kind: str) -> str:
    return cursor.name("a string")


def _read_values(cursor: Cursor, kind: str) -> tuple[ComponentValue, ...]:
    values = []
    while cursor.toks[cursor.pos] == "(":
        values.append(_bracketed(cursor))
    return tuple(values)


def _read_fields(cursor: Cursor, kind: str) -> tuple[tuple[str, ComponentValue], ...]:
    fields = []
    while cursor.at_form("field"):
        cursor.pos += 2
        fields.append((cursor.name("a label"), read_value(cursor)))
        cursor.expect(")")
    return tuple(fields)


def _read_case(cursor: Cursor, kind: str) -> tuple[str, ComponentValue | None]:
    return cursor.name("a label"), _read_optional(cursor, kind)


def _read_labels(cursor: Cursor, kind: str) -> tuple[str, ...]:
    labels = []
    while cursor.toks[cursor.pos] != ")":
        labels.append(cursor.name("a label"))
    return tuple(labels)


def _read_nothing(cursor: Cursor, kind: str) -> None:
    return None


def _read_optional(cursor: Cursor, kind: str) -> ComponentValue | None:
    return _bracketed(cursor) if cursor.toks[cursor.pos] == "(" else None


_READ: Final[dict[str, Callable[[Cursor, str], Any]]] = {
    "bool.const": _read_bool,
    **{f"{kind}.const": _read_integer for kind in INTEGERS},
    **{f"{kind}.const": _read_float for kind in _FLOATS},
    "char.const": _read_text,
    "str.const": _read_text,
    "list.const": _read_values,
    "tuple.const": _read_values,
    "record.const": _read_fields,
    "variant.const": _read_case,
    "enum.const": _read_text,
    "flags.const": _read_labels,
    "option.none": _read_nothing,
    "option.some": _read_optional,
    "result.ok": _read_optional,
    "result.err": _read_optional,
}


def call(instance: ComponentInstance, name: str, args: Sequence[Any]) -> list[tuple[Any, T.ValType]]:
    """Call a function that a component exports; its result and the type of it, if it has one.

    Raises TypeError where arguments are missing or of another type, and what the call raises.
    """
    type_ = instance.component.checked.type.exports[name]
    if not isinstance(type_, T.FuncType):
        raise TypeError(f"the export {name!r} is no function")
    params = [part for _, part in type_.params]
    if len(params) != len(args):
        raise TypeError(f"{name!r} takes {len(params)} arguments, not {len(args)}")
    given = [as_argument(_of_component(arg), part) for arg, part in zip(args, params, strict=True)]
    try:
        result = instance.exports[name](*given)
    except ResultError as error:
        if type_.result is None:  # it is not this function's
            raise
        return [(Err(error.payload), type_.result)]
    if type_.result is None:
        return []
    if isinstance(type_.result, T.Result):
        result = Ok(result)
    return [(result, type_.result)]


def matches_result(pattern: Any, found: Any, type_: Any) -> bool:
    """Whether a result is one of a component, and what a script says."""
    return isinstance(type_, T.ValType) and matches(_of_component(pattern), found, type_)


def _of_component(written: Any) -> ComponentValue:
    """A value as it stands in a script: numbers of core wasm are written in the same way as those of components."""
    if isinstance(written, ComponentValue):
        return written
    if getattr(written, "type", None) in _FLOATS:
        _, integer, real = _FLOATS[written.type]
        return ComponentValue(written.type, struct.unpack(real, struct.pack(integer, written.bits))[0])
    raise TypeError(f"{written} for a value of a component")


def as_argument(written: ComponentValue, type_: T.ValType) -> Any:
    """What Python gives for a parameter of this type. Raises TypeError where the value is of another type."""
    convert = _ARGUMENTS.get(written.kind)
    if convert is None:
        return written.value
    wanted, make = convert
    if not isinstance(type_, wanted):
        raise TypeError(f"{written.kind} for a parameter of type {type_}")
    return make(written.value, type_)


def _given(written: ComponentValue | None, type_: T.ValType | None) -> Any:
    return None if written is None or type_ is None else as_argument(written, type_)


def _list(values: tuple[ComponentValue, ...], type_: T.List | T.FixedList) -> Any:
    elements = [as_argument(value, type_.element) for value in values]
    return bytes(elements) if isinstance(type_, T.List) and isinstance(type_.element, T.U8) else elements


def _variant(value: tuple[str, ComponentValue | None], type_: T.Variant) -> Any:
    label, payload = value
    return label, _given(payload, dict(type_.cases)[label])


def _some(value: ComponentValue, type_: T.Option) -> Any:
    inner = as_argument(value, type_.some)
    return Some(inner) if isinstance(type_.some, T.Option) else inner


_ARGUMENTS: Final[dict[str, tuple[type[T.ValType] | tuple[type[T.ValType], ...], Callable[[Any, Any], Any]]]] = {
    "list": ((T.List, T.FixedList), _list),
    "tuple": (T.Tuple, lambda values, type_: tuple(map(as_argument, values, type_.types))),
    "record": (
        T.Record,
        lambda fields, type_: {label: as_argument(value, dict(type_.fields)[label]) for label, value in fields},
    ),
    "variant": (T.Variant, _variant),
    "flags": (T.Flags, lambda labels, type_: list(labels)),
    "option.some": (T.Option, _some),
    "result.ok": (T.Result, lambda value, type_: Ok(_given(value, type_.ok))),
    "result.err": (T.Result, lambda value, type_: Err(_given(value, type_.error))),
}
"""The types of the values that are not simply what they are, and what makes them."""


def matches(written: ComponentValue, found: Any, type_: T.ValType) -> bool:
    """Whether a result of this type is what a script says."""
    match type_:
        case T.List(element=element) | T.FixedList(element=element):
            return _all_match(written.value, list(found), [element] * len(found))
        case T.Tuple(types=types):
            return _all_match(written.value, found, types)
        case T.Record(fields=fields):
            values = [getattr(found, name) for name in type(found).__match_args__]
            same = [label for label, _ in written.value] == [label for label, _ in fields]
            return same and _all_match([value for _, value in written.value], values, [part for _, part in fields])
        case T.Variant(cases=cases):
            label, payload = written.value
            return bool(found.label == label) and _payload_matches(payload, found.value, dict(cases)[label])
        case T.Result(ok=ok, error=error):
            is_ok = written.kind == "result.ok"
            return isinstance(found, Ok) == is_ok and _payload_matches(
                written.value, found.value, ok if is_ok else error
            )
        case T.Enum():
            return bool(found.value == written.value)
        case T.Flags(labels=labels):
            return [label for bit, label in enumerate(labels) if found.value >> bit & 1] == list(written.value)
        case T.Option(some=some):
            if found is None or written.kind == "option.none":
                return found is None and written.kind == "option.none"
            return matches(written.value, found.value if isinstance(found, Some) else found, some)
    return bool(written.value == found and isinstance(found, bool) == isinstance(type_, T.Bool))


def _all_match(written: Any, found: Any, types: Any) -> bool:
    return len(written) == len(found) and all(map(matches, written, found, types))


def _payload_matches(written: ComponentValue | None, found: Any, type_: T.ValType | None) -> bool:
    if written is None or type_ is None:
        return written is None and found is None and type_ is None
    return matches(written, found, type_)
