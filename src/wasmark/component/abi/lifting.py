"""`Lifting`: writes the functions that make values out of what a guest has in its memory or passes as core values
(CanonicalABI.md, "Loading", "Flat Lifting").

Of every type there is an expression over numbers. In memory, numbers at known distances are read by one `struct` each
for as many as there are; what depends on a discriminant, and the elements of lists, have functions of their own. Core
values come as Python has them, i32 and i64 signed.
"""

from __future__ import annotations

import struct

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.layout import (
    MAX_BYTES,
    SIZES,
    Layout,
    cases_of,
    discriminant,
    element_of,
    flags_format,
    parts_of,
    scalar_format,
)
from wasmark.component.abi.source import Lines, Slots, Source, joined
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final, NoReturn

    from wasmark.component.abi.domains import Domain
    from wasmark.component.abi.layout import Cases

_MOST_INLINE: Final = 40
"""Numbers that one function reads; what comes behind so many has a function of its own."""

_M32: Final = "0xFFFFFFFF"
_M64: Final = "0xFFFFFFFFFFFFFFFF"
_COERCED: Final = {
    ("i64", "i32"): f"((({{0}}) & {_M32} ^ 0x80000000) - 0x80000000)",
    ("i32", "f32"): f"f32_of(({{0}}) & {_M32})",
    ("i64", "f32"): f"f32_of(({{0}}) & {_M32})",
    ("i64", "f64"): f"f64_of(({{0}}) & {_M64})",
}
"""A core value of one type that travelled as one of another."""
_FROM_FLAT: Final[dict[str, str]] = {
    "B": "({0} & 0xFF)",
    "b": "(({0} & 0xFF ^ 0x80) - 0x80)",
    "H": "({0} & 0xFFFF)",
    "h": "(({0} & 0xFFFF ^ 0x8000) - 0x8000)",
    "I": f"({{0}} & {_M32})",
    "i": "{0}",
    "Q": f"({{0}} & {_M64})",
    "q": "{0}",
    "f": "{0}",
    "d": "{0}",
}
"""What memory would have had in this format, of a core value."""
BLOCKS: Final = frozenset({T.U8, T.S8, T.U16, T.S16, T.U32, T.S32, T.U64, T.S64, T.F32, T.F64})
"""Types all of whose bit patterns are values."""

_f32, _f64, _u32, _u64 = (struct.Struct(f"<{format_}") for format_ in "fdIQ")


def f32_of(bits: int) -> float:
    """The f32 with these bits."""
    return float(_f32.unpack(_u32.pack(bits))[0])


def f64_of(bits: int) -> float:
    """The f64 with these bits."""
    return float(_f64.unpack(_u64.pack(bits))[0])


def char(code_point: int) -> str:
    """The character, or a trap."""
    if code_point >= 0x110000 or 0xD800 <= code_point <= 0xDFFF:
        raise ComponentTrap(ComponentTrapCode.INVALID_CHAR)
    return chr(code_point)


def bad_discriminant() -> NoReturn:
    """Trap."""
    raise ComponentTrap(ComponentTrapCode.INVALID_DISCRIMINANT)


_HELPERS: Final = {
    "f32_of": f32_of,
    "f64_of": f64_of,
    "char": char,
    "bad_discriminant": bad_discriminant,
    "ComponentTrap": ComponentTrap,
    "INVALID_CHAR": ComponentTrapCode.INVALID_CHAR,
}


class Lifting:
    """Functions for the types of one signature. `guest` is the variable `g` of all of them.

    `layout` and `encoding` are the guest's, `domain` says what values are.
    """

    def __init__(self, source: Source, layout: Layout, encoding: str, domain: Domain) -> None:
        self.source = source
        self.layout = layout
        self.domain = domain
        self._string = source.constant(domain.string_loader(encoding), "string")
        source.constants.update(_HELPERS)

    # --- core values ------------------------------------------------------------------------------

    def flat(self, type_: T.ValType, values: Sequence[str]) -> str:
        """An expression for the value that these core values are (as many as the type has, each of its own type)."""
        format_ = _flat_format(type_)
        if format_ is not None:
            return self._scalar(type_, _FROM_FLAT[format_].format(values[0]), flat=True)
        parts = parts_of(type_) or ((type_.element,) * type_.length if isinstance(type_, T.FixedList) else None)
        if parts is not None:
            found = []
            at = 0
            for part in parts:
                count = len(self.layout.flat(part))
                found.append(self.flat(part, values[at : at + count]))
                at += count
            return self._sequence(type_, found)
        cases = cases_of(type_)
        if cases is not None:
            return f"{self._flat_cases(type_, cases)}(g, {', '.join(values)})"
        pointer = _FROM_FLAT[self.layout.pointer_format]
        return self._elsewhere(type_, *(pointer.format(value) for value in values))

    def _flat_cases(self, type_: T.ValType, cases: Cases) -> str:
        core = self.layout.flat(type_)
        names = [f"a{number}" for number in range(len(core))]

        def write(lines: Lines) -> None:
            lines.add(f"d = a0 & {_M32}")
            for number, (_, case) in enumerate(cases):
                lines.add(f"if d == {number}:")
                payload = None
                if case is not None:
                    wanted = self.layout.flat(case)
                    payload = self.flat(
                        case,
                        [
                            coerced(name, have, want)
                            for name, have, want in zip(names[1:], core[1:], wanted, strict=False)
                        ],
                    )
                lines.add(f"    return {self.domain.lift_case(self.source, type_, number, payload)}")
            lines.add("bad_discriminant()")

        return self.source.function(("flat", id(type_), self._keep(type_)), "lift", f"g, {', '.join(names)}", write)

    # --- memory -----------------------------------------------------------------------------------

    def load(self, type_: T.ValType) -> str:
        """The name of a function `(g, address)` of a type. The address must be right."""

        def write(lines: Lines) -> None:
            cases = cases_of(type_)
            if cases is not None:
                self._write_cases(lines, type_, cases)
            else:
                self._write_read(lines, type_, 0, "return {}")

        return self.source.function(("load", id(type_), self._keep(type_)), "load", "g, p", write)

    def _write_read(self, lines: Lines, type_: T.ValType, offset: int, then: str) -> None:
        slots = Slots()
        expression = self.memory(type_, offset, slots)
        if slots.entries:
            unpack = self.source.constant(slots.struct().unpack_from, "unpack")
            lines.add(f"{slots.expressions()}= {unpack}(g.view, p)")
        lines.add(then.format(expression))

    def _write_cases(self, lines: Lines, type_: T.ValType, cases: Cases) -> None:
        format_ = discriminant(len(cases))
        if format_ == "B":
            lines.add("d = g.view[p]")
        else:
            lines.add(f"d, = {self.source.constant(struct.Struct('<' + format_).unpack_from, 'unpack')}(g.view, p)")
        offset = self.layout.payload_offset(cases)
        for number, (_, case) in enumerate(cases):
            lines.add(f"if d == {number}:")
            lines.indent += 1
            if case is None:
                lines.add(f"return {self.domain.lift_case(self.source, type_, number, None)}")
            else:
                self._write_read(
                    lines, case, offset, "return " + self.domain.lift_case(self.source, type_, number, "{}")
                )
            lines.indent -= 1
        lines.add("bad_discriminant()")

    def memory(self, type_: T.ValType, offset: int, slots: Slots) -> str:
        """An expression for the value at `p + offset`, whose numbers `slots` reads."""
        format_ = scalar_format(type_)
        if format_ is not None:
            return self._scalar(type_, self._slot(slots, offset, format_))
        parts = parts_of(type_)
        if parts is not None and (not slots.entries or len(slots.entries) + len(parts) <= _MOST_INLINE):
            places = self.layout.offsets(parts)
            return self._sequence(
                type_, [self.memory(part, offset + at, slots) for part, at in zip(parts, places, strict=True)]
            )
        if isinstance(type_, T.FixedList):
            slots.has_address = True
            return f"{self.elements(type_.element, fixed=True)}(g, p + {offset}, {type_.length})"
        if isinstance(type_, T.String) or element_of(type_) is not None:
            pointer = self.layout.pointer
            start = self._slot(slots, offset, self.layout.pointer_format)
            return self._elsewhere(type_, start, self._slot(slots, offset + pointer, self.layout.pointer_format))
        slots.has_address = True
        return f"{self.load(type_)}(g, p + {offset})"

    def _slot(self, slots: Slots, offset: int, format_: str) -> str:
        name = self.source.fresh("r")
        slots.add(offset, format_, name)
        return name

    # --- both -------------------------------------------------------------------------------------

    def _scalar(self, type_: T.ValType, number: str, *, flat: bool = False) -> str:
        if isinstance(type_, T.Bool):
            return f"({number} != 0)"
        if isinstance(type_, T.Char):
            return f"char({number})"
        lift = _DOMAIN_SCALARS.get(type(type_))
        return number if lift is None else lift(self.domain, self.source, type_, number)

    def _sequence(self, type_: T.ValType, values: list[str]) -> str:
        if isinstance(type_, T.Record):
            return self.domain.lift_record(self.source, type_, values)
        if isinstance(type_, T.FixedList):
            listed = f"[{', '.join(values)}]"
            return f"bytes({listed})" if self._is_bytes(type(type_.element), fixed=True) else listed
        return joined(values)

    def _is_bytes(self, kind: type[T.ValType], *, fixed: bool) -> bool:
        """Whether elements are bytes in a row: in a list of fixed length, only those that Python programs see."""
        return kind is T.U8 if not self.domain.has_blocks else kind in BLOCKS and not fixed

    def _elsewhere(self, type_: T.ValType, start: str, count: str) -> str:
        if isinstance(type_, T.String):
            return f"{self._string}(g, {start}, {count})"
        element = element_of(type_)
        assert element is not None
        listed = f"{self._list(element)}(g, {start}, {count})"
        return self.domain.lift_map(listed) if isinstance(type_, T.Map) else listed

    def _list(self, element: T.ValType) -> str:
        """The name of a function `(g, address, length)` that checks both."""
        size, alignment = self.layout.size_and_alignment(element)

        def write(lines: Lines) -> None:
            if size == 1:
                lines.add(f"if p + n > g.length or n > {MAX_BYTES}:")
                lines.add("    g.reach_elements(p, n, 1, 1)")
            else:
                lines.add(f"g.reach_elements(p, n, {size}, {alignment})")
            lines.add(f"return {self.elements(element)}(g, p, n)")

        return self.source.function(("list", id(element), self._keep(element)), "list", "g, p, n", write)

    def elements(self, element: T.ValType, *, fixed: bool = False) -> str:
        """The name of a function `(g, address, length)` of elements that lie there."""
        size = self.layout.size(element)
        kind = type(element)

        def write(lines: Lines) -> None:
            view = f"g.view[p : p + {size} * n]" if size > 1 else "g.view[p : p + n]"
            if self._is_bytes(kind, fixed=fixed):
                lines.add(f"return {view}.tobytes()")
                return
            lines.add("if not n:")
            lines.add("    return []")
            format_ = scalar_format(element)
            if kind in BLOCKS:
                lines.add(f"return {view}.cast({format_!r}).tolist()")
            elif kind is T.Bool:
                lines.add(f"return list(map(bool, {view}))")
            elif kind is T.Char:
                lines.add("try:")
                lines.add(f"    return list(str({view}, 'utf-32-le'))")
                lines.add("except UnicodeDecodeError:")
                lines.add("    raise ComponentTrap(INVALID_CHAR) from None")
            elif format_ is not None:
                lines.add(f"return [{self._scalar(element, 'r')} for r in {view}.cast({format_!r})]")
            else:
                self._write_elements(lines, element, size, view)

        return self.source.function(("elements", fixed, id(element), self._keep(element)), "elements", "g, p, n", write)

    def _write_elements(self, lines: Lines, element: T.ValType, size: int, view: str) -> None:
        slots = Slots()
        expression = self.memory(element, 0, slots)
        if slots.has_address:
            lines.add(f"return [{self.load(element)}(g, a) for a in range(p, p + {size} * n, {size})]")
        else:
            unpack = self.source.constant(slots.struct(size).iter_unpack, "unpack")
            lines.add(f"return [{expression} for {slots.expressions()}in {unpack}({view})]")

    def _keep(self, type_: T.ValType) -> str:
        """Keeps the type alive, so that its identity stays its own."""
        return self.source.constant(type_, "type")


_DOMAIN_SCALARS: Final[dict[type, Callable[[Domain, Source, T.ValType, str], str]]] = {
    T.Enum: lambda domain, source, type_, number: domain.lift_enum(source, type_, number),
    T.Flags: lambda domain, source, type_, number: domain.lift_flags(source, type_, number),
    T.Own: lambda domain, source, type_, number: domain.lift_own(source, type_, number),
    T.Borrow: lambda domain, source, type_, number: domain.lift_borrow(source, type_, number),
    T.Stream: lambda domain, source, type_, number: domain.lift_carrier(source, type_, number),
    T.Future: lambda domain, source, type_, number: domain.lift_carrier(source, type_, number),
    T.ErrorContext: lambda domain, source, type_, number: domain.lift_error(source, number),
}
"""Numbers that stand for something else."""


def _flat_format(type_: T.ValType) -> str | None:
    """The bits of a core value that count. (Of enums, chars and handles all do, and of bool.)"""
    if isinstance(type_, T.Enum | T.Bool):
        return "I"
    if isinstance(type_, T.Flags):
        return flags_format(len(type_.labels))
    return scalar_format(type_)


def coerced(value: str, have: str, want: str) -> str:
    """An expression for a core value of type `want` that travelled as one of type `have`."""
    return value if have == want else _COERCED[have, want].format(value)


assert set(_FROM_FLAT) == set(SIZES)
