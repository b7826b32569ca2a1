"""Script values to the bits of calls, and the bits of results against the patterns of `assert_return`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.component.text.values import ComponentValue
from wasmark.core.types import HeapType, NumType, RefType, ValType
from wasmark.objects import Array, HeapObject, Struct
from wasmark.text.script import Const, Either, HostRef, LanesPattern, NanPattern, NullRef, Pattern, RefPattern, Value

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.store import Store

_LANE_BITS: Final = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "f32": 32, "f64": 64}
_QUIET_NAN: Final = {"f32": 0x7FC0_0000, "f64": 0x7FF8_0000_0000_0000}


class Host:
    """What an object of the host in a script stands for; one for each number."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"(ref.host {self.number})"


class Matcher:
    """Knows the store that references belong to, and keeps the host objects that it has handed out."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._hosts: dict[int, Host] = {}

    def bits(self, value: Value, type_: ValType) -> int:
        """An argument for a parameter of `type_`. Raises TypeError."""
        if isinstance(value, Const):
            if value.type != str(type_):
                raise TypeError(f"{value.type} for a parameter of type {type_}")
            return value.bits
        if not isinstance(type_, RefType) or isinstance(value, ComponentValue):
            raise TypeError(f"a reference for a parameter of type {type_}")
        if isinstance(value, NullRef):
            return self._store.reference_bits(None, type_)
        return self._store.reference_bits(self._hosts.setdefault(value.number, Host(value.number)), type_)

    def matches(self, pattern: Pattern, bits: int, type_: ValType) -> bool:
        """Whether a result of `type_` is what the pattern says."""
        if isinstance(pattern, ComponentValue):
            return False
        if isinstance(pattern, Const):
            return pattern.type == str(type_) and pattern.bits == bits
        if isinstance(pattern, NanPattern):
            return pattern.type == str(type_) and _is_nan(pattern, bits)
        if isinstance(pattern, LanesPattern):
            return str(type_) == "v128" and _lanes_match(pattern, bits)
        if isinstance(pattern, Either):
            return any(self.matches(option, bits, type_) for option in pattern.options)
        if not isinstance(type_, RefType):
            return False
        if isinstance(pattern, NullRef):
            return bits == 0
        return bits != 0 and self._reference_matches(pattern, bits, type_)

    def _reference_matches(self, pattern: HostRef | RefPattern, bits: int, type_: RefType) -> bool:
        value = self._store.reference_value(bits, type_)
        if isinstance(pattern, HostRef):
            return value is self._hosts.get(pattern.number)
        return self._store.engine.types.top(type_) is _HIERARCHIES[pattern.kind] and _CLASSES[pattern.kind](value)


_HIERARCHIES: Final = {
    "func": HeapType.FUNC,
    "extern": HeapType.EXTERN,
    "exn": HeapType.EXN,
    **dict.fromkeys(("any", "eq", "i31", "struct", "array"), HeapType.ANY),
}
"""The top of the types that a value can have which is of the kind of a pattern."""

_CLASSES: Final[dict[str, Callable[[Any], bool]]] = {
    "func": lambda value: True,
    "extern": lambda value: True,
    "exn": lambda value: True,
    "any": lambda value: True,
    "eq": lambda value: isinstance(value, int | HeapObject),
    "i31": lambda value: isinstance(value, int),
    "struct": lambda value: isinstance(value, Struct),
    "array": lambda value: isinstance(value, Array),
}
"""Whether the Python value of a reference in the right hierarchy is of the kind of a pattern."""


def _is_nan(pattern: NanPattern, bits: int) -> bool:
    """Core §2.2.3: canonical is the quiet NaN without further payload, arithmetic any NaN with the quiet bit."""
    quiet = _QUIET_NAN[pattern.type]
    if pattern.kind == "canonical":
        sign = 1 << (_LANE_BITS[pattern.type] - 1)
        return bits & (sign - 1) == quiet
    return bits & quiet == quiet


def _lanes_match(pattern: LanesPattern, bits: int) -> bool:
    for lane in pattern.lanes:
        width = _LANE_BITS[lane.type]
        low = bits & ((1 << width) - 1)
        bits >>= width
        if not (_is_nan(lane, low) if isinstance(lane, NanPattern) else lane.bits == low):
            return False
    return True


def describe(values: Any) -> str:
    """Patterns or typed bits as a script would write them, numbers in hexadecimal."""
    return " ".join(map(_describe, values)) or "nothing"


def _describe(value: Any) -> str:
    known = _DESCRIPTIONS.get(type(value))
    if known is not None:
        return known(value)
    bits, type_ = value
    # What a component returns is a Python value.
    return f"({type_} {bits:#x})" if isinstance(type_, NumType | RefType) else repr(bits)


_DESCRIPTIONS: Final[dict[type, Callable[[Any], str]]] = {
    Const: lambda value: f"({value.type}.const {value.bits:#x})",
    NanPattern: lambda value: f"({value.type}.const nan:{value.kind})",
    LanesPattern: lambda value: f"(v128 {' '.join(map(_describe, value.lanes))})",
    NullRef: lambda value: "(ref.null)",
    HostRef: lambda value: f"(ref.{value.kind} {value.number})",
    RefPattern: lambda value: f"(ref.{value.kind})",
    Either: lambda value: f"(either {describe(value.options)})",
    ComponentValue: str,
}
