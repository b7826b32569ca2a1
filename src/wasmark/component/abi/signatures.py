"""What is written of a signature, for every kind of call: its parameters and its result, lifted and lowered
(CanonicalABI.md, "Lifting and Lowering Values"). `Options` are what of a `canon` definition decides about it."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.guest import UTF8
from wasmark.component.abi.layout import LAYOUTS, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, contains
from wasmark.component.abi.source import Lines, Slots
from wasmark.component.abi.waitables import RETURNED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NamedTuple

    from wasmark.component.abi.layout import Layout
    from wasmark.component.abi.lifting import Lifting
    from wasmark.component.abi.lowering import Lowering
else:
    from wasmark.core.record import NamedTuple

_MASKS: Final = {4: "0xFFFFFFFF", 8: "0xFFFFFFFFFFFFFFFF"}


class Options(NamedTuple):
    """What of a `canon` definition's options decides about code: the size of a pointer, the encoding of strings,
    whether there is a `post-return`, whether it is asynchronous, and has a callback then."""

    pointer: int = 4
    encoding: str = UTF8
    post_return: bool = False
    is_async: bool = False
    callback: bool = False

    @property
    def layout(self) -> Layout:
        """The layout for such pointers."""
        return LAYOUTS[self.pointer]

    @property
    def most_params(self) -> int:
        """How many core values the parameters of a lowered function may be."""
        return MAX_FLAT_ASYNC_PARAMS if self.is_async else MAX_FLAT_PARAMS


def has_borrows(type_: T.FuncType) -> bool:
    """Whether something is lent for a call."""
    return any(contains(part, T.Borrow) for _, part in type_.params)


def lift_params(lines: Lines, lifting: Lifting, types: Sequence[T.ValType], values: list[str], options: Options) -> str:
    """Write what lifts parameters out of core values; an expression for the tuple of them."""
    return lift_tuple(lines, lifting, T.Tuple(tuple(types)), values, options.most_params) if types else "()"


def lift_tuple(lines: Lines, lifting: Lifting, type_: T.ValType, values: list[str], most: int) -> str:
    layout = lifting.layout
    if len(layout.flat(type_)) <= most:
        return lifting.flat(type_, values)
    size, alignment = layout.size_and_alignment(type_)
    lines.add(f"p = {values[0]} & {_MASKS[layout.pointer]}")
    lines.add(f"g.reach_pointer(p, {size}, {alignment})")
    slots = Slots()
    expression = lifting.memory(type_, 0, slots)
    if slots.entries:
        unpack = lifting.source.constant(slots.struct().unpack_from, "unpack")
        lines.add(f"{slots.expressions()}= {unpack}(g.view, p)")
    return expression


def lower_params(lines: Lines, lowering: Lowering, types: Sequence[T.ValType], values: list[str]) -> list[str]:
    """Write what lowers parameters; expressions for their core values."""
    layout = lowering.layout
    if len(layout.flat_all(types)) <= MAX_FLAT_PARAMS:
        return [core for type_, value in zip(types, values, strict=True) for core in lowering.flat(lines, type_, value)]
    whole = T.Tuple(tuple(types))
    size, alignment = layout.size_and_alignment(whole)
    lines.add(f"p = g.allocate({alignment}, {size})")
    slots = Slots()
    for type_, value, at in zip(types, values, layout.offsets(types), strict=True):
        lowering.memory(lines, type_, value, at, slots)
    lowering.write(lines, slots)
    return ["p"]


def lower_result(
    lines: Lines, lowering: Lowering, type_: T.ValType | None, value: str, pointer: str, options: Options
) -> str:
    """Write what lowers a result; an expression for the core result. `pointer` is where a large one goes."""
    layout = lowering.layout
    # The core function of an asynchronous one answers how far its task has come: all the way.
    nothing = str(RETURNED) if options.is_async else "None"
    if type_ is None:
        return nothing
    if not options.is_async and len(layout.flat(type_)) <= MAX_FLAT_RESULTS:
        (found,) = lowering.flat(lines, type_, value)
        return found
    size, alignment = layout.size_and_alignment(type_)
    lines.add(f"p = {pointer} & {_MASKS[layout.pointer]}")
    lines.add(f"g.reach_pointer(p, {size}, {alignment})")
    lines.add(f"{lowering.store(type_)}(g, {value}, p)")
    return nothing


def has_pointer(options: Options, type_: T.FuncType) -> bool:
    """Whether a lowered function is told where to put its result."""
    if type_.result is None:
        return False
    return options.is_async or len(options.layout.flat(type_.result)) > MAX_FLAT_RESULTS


def param_count(layout: Layout, types: Sequence[T.ValType], most: int = MAX_FLAT_PARAMS) -> int:
    """How many core values parameters are, of which there may be `most`."""
    count = len(layout.flat_all(types))
    return 1 if count > most else count
