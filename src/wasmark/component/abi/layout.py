"""How values lie in memory and how they are passed: sizes, alignments, core types (CanonicalABI.md, "Alignment",
"Element Size", "Flattening")."""

from __future__ import annotations

import functools

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

MAX_FLAT_PARAMS: Final = 16
MAX_FLAT_ASYNC_PARAMS: Final = 4
MAX_FLAT_RESULTS: Final = 1
_ENOUGH: Final = MAX_FLAT_PARAMS + 1
MAX_BYTES: Final = (1 << 28) - 1
"""The most bytes that a string or the elements of a list may have."""

SCALARS: Final[dict[type[T.ValType], tuple[str, str]]] = {
    T.Bool: ("B", "i32"),
    T.S8: ("b", "i32"),
    T.U8: ("B", "i32"),
    T.S16: ("h", "i32"),
    T.U16: ("H", "i32"),
    T.S32: ("i", "i32"),
    T.U32: ("I", "i32"),
    T.S64: ("q", "i64"),
    T.U64: ("Q", "i64"),
    T.F32: ("f", "f32"),
    T.F64: ("d", "f64"),
    T.Char: ("I", "i32"),
    T.Own: ("I", "i32"),
    T.Borrow: ("I", "i32"),
    T.ErrorContext: ("I", "i32"),
    T.Stream: ("I", "i32"),
    T.Future: ("I", "i32"),
}
"""The types that are one number: its `struct` format in memory, and its core type."""
SIZES: Final = {"B": 1, "b": 1, "H": 2, "h": 2, "I": 4, "i": 4, "Q": 8, "q": 8, "f": 4, "d": 8}
"""Bytes of a format."""
_POINTER_FORMATS: Final = {4: "I", 8: "Q"}
_POINTER_TYPES: Final = {4: "i32", 8: "i64"}

Cases = tuple[tuple[str, T.ValType | None], ...]


def cases_of(type_: T.ValType) -> Cases | None:
    """The cases of a variant, or of what is a special one; None for other types. Enums have a number only."""
    if isinstance(type_, T.Variant):
        return type_.cases
    if isinstance(type_, T.Option):
        return ("none", None), ("some", type_.some)
    if isinstance(type_, T.Result):
        return ("ok", type_.ok), ("error", type_.error)
    return None


def parts_of(type_: T.ValType) -> tuple[T.ValType, ...] | None:
    """The types of what lies one behind the other; None for types that are not such a sequence."""
    if isinstance(type_, T.Record):
        return tuple(part for _, part in type_.fields)
    if isinstance(type_, T.Tuple):
        return type_.types
    return None


def element_of(type_: T.ValType) -> T.ValType | None:
    """The type of the elements of a list that lies elsewhere; None for other types."""
    if isinstance(type_, T.List):
        return type_.element
    if isinstance(type_, T.Map):
        return T.Tuple((type_.key, type_.value))
    return None


def discriminant(count: int) -> str:
    """The format of the number of one of so many cases."""
    return "B" if count <= 1 << 8 else "H" if count <= 1 << 16 else "I"


def flags_format(count: int) -> str:
    """The format of so many flags."""
    return "B" if count <= 8 else "H" if count <= 16 else "I"


def scalar_format(type_: T.ValType) -> str | None:
    """The format of a type that is one number in memory, enums and flags included; None for other types."""
    found = SCALARS.get(type(type_))
    if found is not None:
        return found[0]
    if isinstance(type_, T.Enum):
        return discriminant(len(type_.labels))
    if isinstance(type_, T.Flags):
        return flags_format(len(type_.labels))
    return None


def align_to(offset: int, alignment: int) -> int:
    """The first multiple of `alignment` (a power of 2) that is no less."""
    return (offset + alignment - 1) & -alignment


class Layout:
    """Layouts for pointers of `pointer` bytes, 4 or 8.

    What is asked for a type is remembered: types are immutable.
    """

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        self.pointer_format = _POINTER_FORMATS[pointer]
        self.pointer_type = _POINTER_TYPES[pointer]
        self.size_and_alignment = functools.lru_cache(maxsize=1 << 14)(self._size_and_alignment)
        self.flat = functools.lru_cache(maxsize=1 << 12)(self._flat)

    def size(self, type_: T.ValType) -> int:
        """Bytes in memory."""
        return self.size_and_alignment(type_)[0]

    def alignment(self, type_: T.ValType) -> int:
        """What the address is a multiple of."""
        return self.size_and_alignment(type_)[1]

    def payload_offset(self, cases: Cases) -> int:
        """Where the payload of a variant lies."""
        alignments = [self.alignment(case) for _, case in cases if case is not None]
        return align_to(SIZES[discriminant(len(cases))], max(alignments, default=1))

    def offsets(self, parts: Iterable[T.ValType]) -> list[int]:
        """Where each of a sequence lies."""
        found = []
        at = 0
        for part in parts:
            size, alignment = self.size_and_alignment(part)
            at = align_to(at, alignment)
            found.append(at)
            at += size
        return found

    def _size_and_alignment(self, type_: T.ValType) -> tuple[int, int]:
        format_ = scalar_format(type_)
        if format_ is not None:
            return SIZES[format_], SIZES[format_]
        if isinstance(type_, T.FixedList):
            size, alignment = self.size_and_alignment(type_.element)
            return size * type_.length, alignment
        parts = parts_of(type_)
        if parts is not None:
            alignment = max(self.alignment(part) for part in parts)
            return align_to(self.offsets(parts)[-1] + self.size(parts[-1]), alignment), alignment
        cases = cases_of(type_)
        if cases is not None:
            payloads = [self.size_and_alignment(case) for _, case in cases if case is not None]
            alignment = max([SIZES[discriminant(len(cases))], *(each for _, each in payloads)])
            size = self.payload_offset(cases) + max((each for each, _ in payloads), default=0)
            return align_to(size, alignment), alignment
        return 2 * self.pointer, self.pointer  # a string or a list

    def _flat(self, type_: T.ValType) -> tuple[str, ...]:
        """Its core types, no more of them than it takes to see that they are too many."""
        found = SCALARS.get(type(type_))
        if found is not None:
            return (found[1],)
        if isinstance(type_, T.Enum | T.Flags):
            return ("i32",)
        if isinstance(type_, T.FixedList):
            return (self.flat(type_.element) * min(type_.length, _ENOUGH))[:_ENOUGH]
        parts = parts_of(type_)
        if parts is not None:
            return self.flat_all(parts)
        cases = cases_of(type_)
        if cases is None:
            return (self.pointer_type,) * 2
        joined: list[str] = []
        for _, case in cases:
            for position, core in enumerate(self.flat(case) if case is not None else ()):
                if position < len(joined):
                    joined[position] = join(joined[position], core)
                else:
                    joined.append(core)
        return ("i32", *joined)[:_ENOUGH]

    def flat_all(self, types: Iterable[T.ValType]) -> tuple[str, ...]:
        """The core types of a sequence, no more of them than it takes to see that they are too many."""
        found: list[str] = []
        for type_ in types:
            found += self.flat(type_)
            if len(found) > MAX_FLAT_PARAMS:
                break
        return tuple(found[:_ENOUGH])


def join(one: str, other: str) -> str:
    """The core type that has room for either."""
    if one == other:
        return one
    return "i32" if {one, other} == {"i32", "f32"} else "i64"


LAYOUTS: Final = {4: Layout(4), 8: Layout(8)}
"""By the size of a pointer."""


def core_signature(type_: T.FuncType, layout: Layout, *, lowered: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The core types of the parameters and results of a synchronous function, as it is lifted from or lowered to."""
    params = layout.flat_all(part for _, part in type_.params)
    results = layout.flat(type_.result) if type_.result is not None else ()
    if len(params) > MAX_FLAT_PARAMS:
        params = (layout.pointer_type,)
    if len(results) > MAX_FLAT_RESULTS:
        if lowered:
            return (*params, layout.pointer_type), ()
        results = (layout.pointer_type,)
    return params, results


def contains(type_: T.ValType, classes: type | tuple[type, ...]) -> bool:
    """Whether a type, or one that it is made of, is of one of these classes."""
    waiting = [type_]
    seen: set[T.ValType] = set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, classes):
            return True
        if each not in seen:
            seen.add(each)
            waiting += each.children()
    return False
