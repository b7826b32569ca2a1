"""`Lowering`: writes the functions that put values into a guest's memory, or make core values of them (CanonicalABI.md,
"Storing", "Flat Lowering").

As in `lifting`, numbers at known distances are written by one `struct`. Strings and lists come first, as they ask the
guest for memory, which may move what `g.view` shows.
"""

from __future__ import annotations

import ctypes
import struct
from array import array

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.layout import (
    MAX_BYTES,
    SIZES,
    Layout,
    cases_of,
    discriminant,
    element_of,
    parts_of,
    scalar_format,
)
from wasmark.component.abi.lifting import BLOCKS
from wasmark.component.abi.source import Lines, Slots, Source

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.domains import Domain
    from wasmark.component.abi.layout import Cases

_MOST_INLINE: Final = 40
"""Numbers that one function writes; what comes behind so many has a function of its own."""

_f64, _u64 = struct.Struct("<d"), struct.Struct("<Q")
_ARRAYS: Final = {"I": "I", "i": "i", "f": "f", "H": "H", "h": "h", "Q": "Q", "q": "q", "b": "b", "B": "B", "d": "d"}
assert all(array(code).itemsize == SIZES[format_] for format_, code in _ARRAYS.items())


def bits_of_f32(number: float) -> int:
    """The bits of the nearest f32; beyond the largest one, those of infinity."""
    return ctypes.c_uint32.from_buffer(ctypes.c_float(number)).value


def bits_of_f64(number: float) -> int:
    """The bits of an f64."""
    return int(_u64.unpack(_f64.pack(number))[0])


def as_bytes(value: Any) -> Any:
    """What can be copied into memory as it is: the bytes of anything like bytes, or of integers."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, list | tuple):
        return bytes(value)
    view = memoryview(value)
    if view.itemsize != 1:
        raise TypeError("not bytes")
    return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()


def as_numbers(value: Any, format_: str) -> Any:
    """The bytes of numbers of a format: those of a buffer that has it, or of each number."""
    if not isinstance(value, list | tuple):
        try:
            view = memoryview(value)
        except TypeError:
            pass
        else:
            # "l" and "L" are what others call 8 bytes here.
            given = view.format.lstrip("@=<").replace("l", "q").replace("L", "Q")
            if given == format_ and view.itemsize == SIZES[format_]:
                return view.cast("B") if view.c_contiguous and view.nbytes else view.tobytes()
            try:
                value = view.tolist()
            except NotImplementedError:  # numbers of another byte order or size, which only their owner can read
                value = list(value)
    return array(format_, value).tobytes()


def in_place(value: Any, length: int) -> Any:
    """Elements that lie in place, so that there must be just as many of them. Raises ValueError."""
    if len(value) != length:
        raise ValueError("not as many elements as there have to be")
    return value


def no_room(count: int, size: int) -> None:
    """Raise ValueError: no component may have so much."""
    raise ValueError(f"a list of {count * size:,} bytes; {MAX_BYTES:,} are the most")


_HELPERS: Final = {
    "bits_of_f32": bits_of_f32,
    "bits_of_f64": bits_of_f64,
    "as_bytes": as_bytes,
    "as_numbers": as_numbers,
    "in_place": in_place,
    "no_room": no_room,
}


class Lowering:
    """Functions for the types of one signature. `guest` is the variable `g` of all of them.

    `layout` and `encoding` are the guest's, `domain` says what values are.
    """

    def __init__(self, source: Source, layout: Layout, encoding: str, domain: Domain) -> None:
        self.source = source
        self.layout = layout
        self.domain = domain
        self._string = source.constant(domain.string_storer(encoding), "string")
        source.constants.update({**_HELPERS, **domain.helpers})

    # --- core values ------------------------------------------------------------------------------

    def flat(self, lines: Lines, type_: T.ValType, value: str) -> list[str]:
        """Write what takes `value`, a variable, apart; expressions for its core values."""
        format_ = scalar_format(type_)
        if format_ is not None:
            return [self.domain.checked(lines, type(type_), self._scalar(lines, type_, value))]
        parts = parts_of(type_)
        if parts is not None:
            found = []
            for part, each in zip(parts, self._take_apart(lines, type_, value), strict=True):
                found += self.flat(lines, part, each)
            return found
        if isinstance(type_, T.FixedList):
            names = [self.source.fresh() for _ in range(type_.length)]
            listed = value if type(type_.element) in BLOCKS else self.domain.listed(value)
            lines.add(f"{', '.join(names)}, = {listed}")
            return [core for name in names for core in self.flat(lines, type_.element, name)]
        cases = cases_of(type_)
        if cases is not None:
            names = [self.source.fresh("x") for _ in self.layout.flat(type_)]
            lines.add(f"{', '.join(names)}, = {self._flat_cases(type_, cases)}(g, {value})")
            return names
        return list(self._elsewhere(lines, type_, value))

    def _flat_cases(self, type_: T.ValType, cases: Cases) -> str:
        core = self.layout.flat(type_)

        def write(lines: Lines) -> None:
            number, payload = self.domain.lower_cases(self.source, lines, type_, "v")
            for index, (_, case) in enumerate(cases):
                lines.add(f"if {number} == {index}:")
                lines.indent += 1
                found: list[str] = []
                if case is not None:
                    wanted = self.layout.flat(case)
                    found = [
                        _coerced(each, have, want)
                        for each, have, want in zip(self.flat(lines, case, payload), wanted, core[1:], strict=False)
                    ]
                zeros = ["0"] * (len(core) - 1 - len(found))
                lines.add(f"return {', '.join([str(index), *found, *zeros])},")
                lines.indent -= 1

        return self.source.function(("lower", id(type_), self._keep(type_)), "lower", "g, v", write)

    # --- memory -----------------------------------------------------------------------------------

    def store(self, type_: T.ValType) -> str:
        """The name of a function `(g, value, address)` of a type. The address must be right."""

        def write(lines: Lines) -> None:
            cases = cases_of(type_)
            if cases is not None:
                self._write_cases(lines, type_, cases)
            else:
                self._write_parts(lines, type_, "v", 0)

        return self.source.function(("store", id(type_), self._keep(type_)), "store", "g, v, p", write)

    def _write_parts(self, lines: Lines, type_: T.ValType, value: str, offset: int) -> None:
        slots = Slots()
        self.memory(lines, type_, value, offset, slots)
        self.write(lines, slots)

    def write(self, lines: Lines, slots: Slots) -> None:
        """Write the numbers."""
        for start, run in slots.runs():
            pack = self.source.constant(run.struct().pack_into, "pack")
            lines.add(f"{pack}(g.view, p + {start}, {run.expressions()})")

    def _write_cases(self, lines: Lines, type_: T.ValType, cases: Cases) -> None:
        number, payload = self.domain.lower_cases(self.source, lines, type_, "v")
        pack = self.source.constant(struct.Struct("<" + discriminant(len(cases))).pack_into, "pack")
        lines.add(f"{pack}(g.view, p, {number})")
        offset = self.layout.payload_offset(cases)
        for index, (_, case) in enumerate(cases):
            if case is not None:
                lines.add(f"if {number} == {index}:")
                lines.indent += 1
                self._write_parts(lines, case, payload, offset)
                lines.indent -= 1

    def memory(self, lines: Lines, type_: T.ValType, value: str, offset: int, slots: Slots) -> None:
        """Write what takes `value` apart, for `p + offset`; what is left to be written are the numbers in `slots`."""
        format_ = scalar_format(type_)
        if format_ is not None:
            number = self._scalar(lines, type_, value)
            slots.add(offset, format_, self.domain.float32(number) if format_ == "f" else number)
            return
        parts = parts_of(type_)
        if parts is not None and (not slots.entries or len(slots.entries) + len(parts) <= _MOST_INLINE):
            values = self._take_apart(lines, type_, value)
            for part, each, at in zip(parts, values, self.layout.offsets(parts), strict=True):
                self.memory(lines, part, each, offset + at, slots)
        elif isinstance(type_, T.FixedList):
            slots.cut()
            block = self._block(type(type_.element), value, fixed=True)
            if block is None:
                listed = f"in_place({self.domain.listed(value)}, {type_.length})"
                lines.add(f"{self.elements(type_.element)}(g, {listed}, p + {offset})")
            else:
                size = self.layout.size(type_)
                lines.add(f"g.view[p + {offset} : p + {offset + size}] = in_place({block}, {size})")
        elif isinstance(type_, T.String) or element_of(type_) is not None:
            start, count = self._elsewhere(lines, type_, value)
            slots.add(offset, self.layout.pointer_format, start)
            slots.add(offset + self.layout.pointer, self.layout.pointer_format, count)
        else:
            slots.cut()
            lines.add(f"{self.store(type_)}(g, {value}, p + {offset})")

    # --- both -------------------------------------------------------------------------------------

    def _scalar(self, lines: Lines, type_: T.ValType, value: str) -> str:
        lower = _DOMAIN_SCALARS.get(type(type_))
        if lower is None:
            return value
        name = self.source.fresh("x")
        lines.add(f"{name} = {lower(self.domain, self.source, type_, value)}")
        return name

    def _take_apart(self, lines: Lines, type_: T.ValType, value: str) -> list[str]:
        if isinstance(type_, T.Record):
            return self.domain.lower_record(self.source, lines, type_, value)
        assert isinstance(type_, T.Tuple)
        names = [self.source.fresh() for _ in type_.types]
        lines.add(f"{', '.join(names)}, = {value}")
        return names

    def _elsewhere(self, lines: Lines, type_: T.ValType, value: str) -> tuple[str, str]:
        start, count = self.source.fresh("x"), self.source.fresh("x")
        if isinstance(type_, T.String):
            lines.add(f"{start}, {count} = {self._string}(g, {value})")
            return start, count
        element = element_of(type_)
        assert element is not None
        if isinstance(type_, T.Map):
            value = self.domain.lower_map(value)
        lines.add(f"{start}, {count} = {self._list(element)}(g, {value})")
        return start, count

    def _list(self, element: T.ValType) -> str:
        """The name of a function `(g, values)` that answers where they are and how many."""
        size, alignment = self.layout.size_and_alignment(element)
        kind = type(element)

        def write(lines: Lines) -> None:
            block = self._block(kind, "v", fixed=False)
            if block is not None:
                lines.add(f"v = {block}")
                lines.add(f"n = len(v){'' if size == 1 else f' // {size}'}")
            else:
                # A copy: no one may add to it while there is room for so many.
                lines.add(f"v = {self.domain.listed('v')}")
                lines.add("n = len(v)")
            lines.add(f"if n > {MAX_BYTES // size}:")
            lines.add(f"    no_room(n, {size})")
            lines.add(f"p = g.allocate({alignment}, {'n' if size == 1 else f'{size} * n'})")
            if block is not None:
                lines.add(f"g.view[p : p + {'n' if size == 1 else f'{size} * n'}] = v")
            else:
                lines.add(f"{self.elements(element)}(g, v, p)")
            lines.add("return p, n")

        return self.source.function(("lower list", id(element), self._keep(element)), "list", "g, v", write)

    def _block(self, kind: type[T.ValType], value: str, *, fixed: bool) -> str | None:
        """An expression for the bytes of all values at once, where there is one."""
        if kind not in BLOCKS:
            return None
        if self.domain.has_blocks and not fixed:
            return value
        return f"as_bytes({value})" if kind is T.U8 else f"as_numbers({value}, {_format_of(kind)!r})"

    def elements(self, element: T.ValType) -> str:
        """The name of a function `(g, values, address)` that puts them one behind the other."""
        size = self.layout.size(element)
        kind = type(element)

        def write(lines: Lines) -> None:
            block = self._block(kind, "v", fixed=False)
            format_ = scalar_format(element)
            if block is not None:
                lines.add(f"v = {block}")
                lines.add("g.view[p : p + len(v)] = v")
            elif kind is T.Char:
                lines.add(f"v = {self.domain.characters('v')}.encode('utf-32-le')")
                lines.add("g.view[p : p + len(v)] = v")
            elif format_ is not None:
                lines.add("found = []")
                lines.add("for e in v:")
                lines.indent += 1
                lines.add(f"found.append({self._scalar(lines, element, 'e')})")
                lines.indent -= 1
                lines.add(f"v = as_numbers(found, {format_!r})")
                lines.add("g.view[p : p + len(v)] = v")
            else:
                lines.add("for e in v:")
                lines.add(f"    {self.store(element)}(g, e, p)")
                lines.add(f"    p += {size}")

        key = ("store elements", id(element), self._keep(element))
        return self.source.function(key, "elements", "g, v, p", write)

    def _keep(self, type_: T.ValType) -> str:
        """Keeps the type alive, so that its identity stays its own."""
        return self.source.constant(type_, "type")


_DOMAIN_SCALARS: Final[dict[type, Callable[[Domain, Source, T.ValType, str], str]]] = {
    T.Bool: lambda domain, source, type_, value: domain.lower_bool(value),
    T.Char: lambda domain, source, type_, value: domain.lower_char(value),
    T.Enum: lambda domain, source, type_, value: domain.lower_enum(source, type_, value),
    T.Flags: lambda domain, source, type_, value: domain.lower_flags(source, type_, value),
    T.Own: lambda domain, source, type_, value: domain.lower_own(source, type_, value),
    T.Borrow: lambda domain, source, type_, value: domain.lower_borrow(source, type_, value),
    T.Stream: lambda domain, source, type_, value: domain.lower_carrier(source, type_, value),
    T.Future: lambda domain, source, type_, value: domain.lower_carrier(source, type_, value),
    T.ErrorContext: lambda domain, source, type_, value: domain.lower_error(source, value),
}
"""Numbers that stand for something else."""


def _format_of(kind: type[T.ValType]) -> str:
    format_ = scalar_format(kind())
    assert format_ is not None
    return format_


def _coerced(value: str, have: str, want: str) -> str:
    """An expression for a core value of type `have` that travels as one of type `want`."""
    if have == want or (have, want) == ("i32", "i64"):
        return value if have == want else f"({value}) & 0xFFFFFFFF"
    return f"bits_of_{have}({value})"
