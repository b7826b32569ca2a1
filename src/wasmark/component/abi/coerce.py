"""Python values that do not have the class they are expected to have, but can only mean one thing: taken where that is
so, refused with TypeError, ValueError or OverflowError where it is not. `checking` says where in the arguments."""

from __future__ import annotations

import ctypes
import enum
import operator

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.values import Case, Some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

BOOLS: Final = {False: 0, True: 1}
LIMITS: Final[dict[type[T.ValType], tuple[int, int]]] = {
    T.U8: (0, (1 << 8) - 1),
    T.S8: (-(1 << 7), (1 << 7) - 1),
    T.U16: (0, (1 << 16) - 1),
    T.S16: (-(1 << 15), (1 << 15) - 1),
    T.U32: (0, (1 << 32) - 1),
    T.S32: (-(1 << 31), (1 << 31) - 1),
    T.U64: (0, (1 << 64) - 1),
    T.S64: (-(1 << 63), (1 << 63) - 1),
}
"""The smallest and the largest value."""


def is_nested(type_: T.Option) -> bool:
    """Whether what is there can be None, so that it needs to be told from nothing."""
    return isinstance(type_.some, T.Option)


def some(value: Any) -> Any:
    """What is in a `Some`."""
    if value.__class__ is not Some:
        raise TypeError("an option of an option is None or a Some")
    return value.value


def as_number(value: Any, low: int, high: int) -> int:
    """An integer within limits."""
    number = operator.index(value)
    if not low <= number <= high:
        raise OverflowError(number)
    return number


def as_float(value: Any) -> float:
    """A number; text is none."""
    if isinstance(value, str | bytes | bytearray):
        raise TypeError("not a number")
    return float(value)


def as_float32(value: Any) -> float:
    """The nearest f32; beyond the largest one, infinity."""
    return ctypes.c_float(value if value.__class__ is float else as_float(value)).value


def code_point(value: str) -> int:
    """The number of a character."""
    number = ord(value)
    if value.__class__ is not str and not isinstance(value, str):
        raise TypeError("not a string")
    if 0xD800 <= number <= 0xDFFF:
        raise ValueError("a surrogate is not a char")
    return number


def characters(values: list[str]) -> str:
    """A list of characters as one string."""
    text = "".join(values)
    if len(text) != len(values) or any(len(value) != 1 for value in values):
        raise ValueError("not single characters")
    return text


def as_list(values: Any) -> list[Any]:
    """A list of the elements of anything but text, bytes and mappings."""
    if isinstance(values, str | bytes | bytearray | dict):
        raise TypeError("not a list")
    return list(values)


def pairs_of(values: Mapping[Any, Any]) -> list[tuple[Any, Any]]:
    """The pairs of a mapping."""
    return list(values.items())


def as_record(value: Any, class_: Any) -> Any:
    """An object of a dataclass for a dictionary (its keys are labels or names of fields), a tuple, or an object with
    the same fields."""
    if isinstance(value, class_):
        return value
    names = class_.__match_args__
    if isinstance(value, dict):
        named = {class_._names_by_label.get(key, key): each for key, each in value.items()}
        return class_(**named)
    if isinstance(value, tuple | list):
        return class_(*value)
    return class_(*[getattr(value, name) for name in names])


class EnumNumbers(dict["Any", int]):
    """The number of a member of an enum, or of its label."""

    def __init__(self, class_: Any) -> None:
        super().__init__()
        for number, member in enumerate(class_):
            self[member] = self[member.value] = number

    def __missing__(self, other: Any) -> int:
        """A member of another class with the same label."""
        if not isinstance(other, enum.Enum):
            raise KeyError(other)
        return self[other.value]


def as_flags(value: Any, class_: Any) -> Any:
    """Flags of a set, list or tuple of labels and flags, or of one label."""
    if isinstance(value, class_):
        return value
    if isinstance(value, enum.Flag):
        value = [class_[flag.name] for flag in value]
    found = class_(0)
    for each in (value,) if isinstance(value, str) else value:
        found |= each if isinstance(each, class_) else class_[class_._names_by_label[each]]
    return found


def case_of(value: Any, numbers: Mapping[type, int]) -> Any:
    """A case of a variant, for a label, a pair of a label and the payload, or a dictionary with one such pair."""
    if isinstance(value, dict):
        ((label, payload),) = value.items()
    elif isinstance(value, Case):
        label, payload = value.label, value.value
    elif isinstance(value, tuple):
        label, payload = value
    else:
        label, payload = value, None
    for class_ in numbers:
        if class_.label == label:  # type: ignore[attr-defined]
            return class_(payload)
    raise TypeError("not a case of the variant")
