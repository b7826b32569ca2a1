"""Says what is wrong with a Python value: where in it, what was expected there, and what is there. Only asked when
lowering has failed, so it may take its time."""

from __future__ import annotations

import struct

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi import coerce
from wasmark.component.naming import snake
from wasmark.component.values import Case

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.component.classes import Namer

MISFITS: Final = (
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    NotImplementedError,
    OverflowError,
    struct.error,
)
"""What lowering raises for a value that does not fit."""

_LONGEST: Final = 60


class _RefusedError(Exception):
    """What is wrong, in words."""


class Checker:
    """Looks at the values of one call. `namer` has the classes."""

    def __init__(self, namer: Namer) -> None:
        self.namer = namer

    def check_all(self, params: Sequence[tuple[str, T.ValType]], values: Sequence[Any]) -> None:
        """Raise TypeError for the first argument that does not fit."""
        for (label, type_), value in zip(params, values, strict=True):
            self.check(type_, value, f"arg {snake(label)!r}")

    def check(self, type_: T.ValType, value: Any, path: str) -> None:
        """Raise TypeError where a value does not fit."""
        try:
            self.look_at(type_, value, path)
        except _RefusedError as refused:
            raise TypeError(str(refused)) from None

    def look_at(self, type_: T.ValType, value: Any, path: str) -> None:
        """For the parts of a value: the same, by an exception of this file's."""
        limits = coerce.LIMITS.get(type(type_))
        try:
            if limits is not None:
                coerce.as_number(value, *limits)
                return
            check = _CHECKS.get(type(type_))
            if check is not None:
                check(self, type_, value, path)
        except MISFITS:
            raise _RefusedError(f"{path}: expected {self._expected(type_)}, got {_shown(value)}") from None

    def _expected(self, type_: T.ValType) -> str:
        if isinstance(type_, T.Primitive):
            return type_.name
        if isinstance(type_, T.Enum | T.Flags):
            return f"{self.namer.annotation(type_)} (one of {', '.join(type_.labels)})"
        return self.namer.annotation(type_)


def _shown(value: Any) -> str:
    shown = repr(value)
    if len(shown) > _LONGEST:
        return f"{shown[:_LONGEST]}… ({type(value).__name__})"
    return shown


def _string(checker: Checker, type_: T.ValType, value: Any, path: str) -> None:
    if not isinstance(value, str):
        raise TypeError
    value.encode()


def _elements(checker: Checker, type_: T.List | T.FixedList, value: Any, path: str) -> None:
    elements = coerce.as_list(memoryview(value) if isinstance(value, bytes | bytearray) else value)
    for number, element in enumerate(elements):
        checker.look_at(type_.element, element, f"{path}[{number}]")
    if isinstance(type_, T.FixedList) and len(elements) != type_.length:
        raise TypeError


def _map(checker: Checker, type_: T.Map, value: Any, path: str) -> None:
    for key, each in coerce.pairs_of(value):
        checker.look_at(type_.key, key, f"{path} key")
        checker.look_at(type_.value, each, f"{path}[{key!r}]")


def _tuple(checker: Checker, type_: T.Tuple, value: Any, path: str) -> None:
    for number, (part, each) in enumerate(zip(type_.types, value, strict=True)):
        checker.look_at(part, each, f"{path}[{number}]")


def _record(checker: Checker, type_: T.Record, value: Any, path: str) -> None:
    record = coerce.as_record(value, checker.namer.class_of(type_))
    for label, part in type_.fields:
        checker.look_at(part, getattr(record, snake(label)), f"{path}.{snake(label)}")


def _option(checker: Checker, type_: T.Option, value: Any, path: str) -> None:
    if value is not None:
        checker.look_at(type_.some, coerce.some(value) if coerce.is_nested(type_) else value, path)


def _cases(checker: Checker, type_: T.Variant | T.Result, value: Any, path: str) -> None:
    classes = checker.namer.cases_of(type_)
    payloads = [each for _, each in type_.cases] if isinstance(type_, T.Variant) else [type_.ok, type_.error]
    numbers = {class_: number for number, class_ in enumerate(classes)}
    case = value if value.__class__ in numbers else coerce.case_of(value, numbers)
    assert isinstance(case, Case)
    payload = payloads[numbers[case.__class__]]
    if payload is not None:
        checker.look_at(payload, case.value, f"{path}.{case.label}")


_CHECKS: Final[dict[type[T.ValType], Callable[[Checker, Any, Any, str], object]]] = {
    T.Bool: lambda checker, type_, value, path: coerce.BOOLS[value],
    T.F32: lambda checker, type_, value, path: coerce.as_float(value),
    T.F64: lambda checker, type_, value, path: coerce.as_float(value),
    T.Char: lambda checker, type_, value, path: coerce.code_point(value),
    T.String: _string,
    T.List: _elements,
    T.FixedList: _elements,
    T.Map: _map,
    T.Tuple: _tuple,
    T.Record: _record,
    T.Option: _option,
    T.Variant: _cases,
    T.Result: _cases,
    T.Enum: lambda checker, type_, value, path: coerce.EnumNumbers(checker.namer.class_of(type_))[value],
    T.Flags: lambda checker, type_, value, path: coerce.as_flags(value, checker.namer.class_of(type_)),
}
