"""What values are, on either side of the ABI: a domain writes the expressions that make a value out of its parts, and
take one apart.

`HostDomain`: the objects that Python programs see, made of the classes that a `component.classes.Namer` gives.
`TransitDomain`: what a call from one guest to another carries: numbers, tuples and blocks of bytes. A variant is
`(number of the case, payload)`, a handle the representation of its resource.

In the functions that are written, `g` is the guest.
"""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi import coerce, strings
from wasmark.component.abi.error_contexts import put_error, take_error
from wasmark.component.abi.handles import Handle
from wasmark.component.abi.source import joined
from wasmark.component.streams import get_carrier, give_carrier
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.component.values import Some

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, Protocol

    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.handles import Resource
    from wasmark.component.abi.source import Lines, Source
    from wasmark.component.classes import Namer
else:
    Protocol = object


class Cases(dict[int, "Any"]):
    """What the number of a case stands for; a trap for others."""

    def __missing__(self, number: int) -> Any:
        raise ComponentTrap(ComponentTrapCode.INVALID_DISCRIMINANT)


class Domain(Protocol):
    """See the file."""

    has_blocks: bool
    """Whether a list of numbers is a block of bytes."""

    @property
    def helpers(self) -> dict[str, Any]:
        """What expressions name."""

    def string_loader(self, encoding: str) -> Callable[[Guest, int, int], Any]:
        """The function for strings in a guest of this encoding."""

    def string_storer(self, encoding: str) -> Callable[[Guest, Any], tuple[int, int]]:
        """The function for strings that go to a guest of this encoding."""

    def lift_record(self, source: Source, type_: T.Record, values: list[str]) -> str: ...

    def lift_case(self, source: Source, type_: T.ValType, number: int, payload: str | None) -> str: ...

    def lift_enum(self, source: Source, type_: T.ValType, number: str) -> str: ...

    def lift_flags(self, source: Source, type_: T.ValType, number: str) -> str: ...

    def lift_own(self, source: Source, type_: T.ValType, number: str) -> str: ...

    def lift_borrow(self, source: Source, type_: T.ValType, number: str) -> str: ...

    def lift_carrier(self, source: Source, type_: T.ValType, number: str) -> str:
        """A stream or future."""

    def lift_error(self, source: Source, number: str) -> str:
        """An error context."""

    def lift_map(self, pairs: str) -> str: ...

    def lower_record(self, source: Source, lines: Lines, type_: T.Record, value: str) -> list[str]:
        """Expressions for its fields."""

    def lower_cases(self, source: Source, lines: Lines, type_: T.ValType, value: str) -> tuple[str, str]:
        """Expressions for the number of the case and its payload."""

    def lower_bool(self, value: str) -> str: ...

    def lower_char(self, value: str) -> str: ...

    def lower_enum(self, source: Source, type_: T.ValType, value: str) -> str: ...

    def lower_flags(self, source: Source, type_: T.ValType, value: str) -> str: ...

    def lower_own(self, source: Source, type_: T.ValType, value: str) -> str: ...

    def lower_borrow(self, source: Source, type_: T.ValType, value: str) -> str: ...

    def lower_carrier(self, source: Source, type_: T.ValType, value: str) -> str: ...

    def lower_error(self, source: Source, value: str) -> str: ...

    def lower_map(self, value: str) -> str: ...

    def listed(self, value: str) -> str:
        """An expression for a list of the elements."""

    def characters(self, value: str) -> str:
        """An expression for a string of them."""

    def checked(self, lines: Lines, kind: type[T.ValType], value: str) -> str:
        """An expression for a number that fits its type: as a core value it could be any."""

    def float32(self, value: str) -> str:
        """An expression for a number that fits an f32."""


class _Resources:
    """Handles: what a type of resources, streams or futures stands for is known when the function is bound to an
    instance."""

    def __init__(self) -> None:
        self.resources: list[T.ResourceType | T.ChannelType] = []
        """What `resources` of the guest has to have, in this order."""

    def _resource(self, type_: T.ValType) -> str:
        assert isinstance(type_, T.HandleType | T.ChannelType)
        resource = type_.resource if isinstance(type_, T.HandleType) else type_
        if resource not in self.resources:
            self.resources.append(resource)
        return f"g.resources[{self.resources.index(resource)}]"


def lift_rep(guest: Guest, index: int, resource: Resource) -> int:
    """The representation of a resource that is lent for the present call (`lift_borrow`)."""
    handle = guest.state.handles.get(index, resource)
    assert guest.scope is not None
    guest.scope.lend(handle)
    return handle.rep


def lower_rep(guest: Guest, rep: int, resource: Resource) -> int:
    """What stands for a resource that the guest may use for the present call (`lower_borrow`)."""
    if resource.owner is guest.state:
        return rep
    scope = guest.scope
    assert scope is not None
    scope.borrows += 1
    index = guest.state.handles.add(Handle(resource, rep, scope))
    if guest.moved is not None:
        guest.moved.append((index, resource, None, rep))
    return index


def give(guest: Guest, resource: Any, value: Any) -> int:
    """The handle of a resource that Python gives away (`lower_own`)."""
    rep = resource.given(value)
    index = guest.state.handles.add(Handle(resource, rep))
    if guest.moved is not None:
        guest.moved.append((index, resource, value, rep))
    return index


def take_back(guest: Guest) -> None:
    """Undo what was given away or lent for a call that does not come about."""
    assert guest.moved is not None
    for index, resource, value, rep in reversed(guest.moved):
        if guest.state.handles.remove(index, resource).scope is None:
            resource.take_back(value, rep)
    guest.moved = None


class TransitDomain(_Resources):
    """From one guest to another."""

    has_blocks = True
    helpers: Final[dict[str, Any]] = {}

    def string_loader(self, encoding: str) -> Callable[[Guest, int, int], Any]:
        return strings.load_transit

    def string_storer(self, encoding: str) -> Callable[[Guest, Any], tuple[int, int]]:
        return strings.store_transit

    def lift_record(self, source: Source, type_: T.Record, values: list[str]) -> str:
        return joined(values)

    def lift_case(self, source: Source, type_: T.ValType, number: int, payload: str | None) -> str:
        return f"({number}, {payload})"

    def lift_enum(self, source: Source, type_: T.ValType, number: str) -> str:
        assert isinstance(type_, T.Enum)
        return f"{source.constant(Cases({n: n for n in range(len(type_.labels))}), 'cases')}[{number}]"

    def lift_flags(self, source: Source, type_: T.ValType, number: str) -> str:
        assert isinstance(type_, T.Flags)
        return f"({number} & {(1 << len(type_.labels)) - 1})"

    def lift_own(self, source: Source, type_: T.ValType, number: str) -> str:
        return f"g.state.handles.take({number}, {self._resource(type_)})"

    def lift_borrow(self, source: Source, type_: T.ValType, number: str) -> str:
        return f"{source.constant(lift_rep, 'lift_rep')}(g, {number}, {self._resource(type_)})"

    def lift_carrier(self, source: Source, type_: T.ValType, number: str) -> str:
        return f"{self._resource(type_)}.take(g.state, {number})"

    def lift_error(self, source: Source, number: str) -> str:
        return f"{source.constant(take_error, 'take_error')}(g, {number})"

    def lift_map(self, pairs: str) -> str:
        return pairs

    def lower_record(self, source: Source, lines: Lines, type_: T.Record, value: str) -> list[str]:
        names = [source.fresh() for _ in type_.fields]
        lines.add(f"{', '.join(names)}, = {value}")
        return names

    def lower_cases(self, source: Source, lines: Lines, type_: T.ValType, value: str) -> tuple[str, str]:
        number, payload = source.fresh("d"), source.fresh("w")
        lines.add(f"{number}, {payload} = {value}")
        return number, payload

    def lower_bool(self, value: str) -> str:
        return f"{value} & 1"

    def lower_char(self, value: str) -> str:
        return f"ord({value})"

    def lower_enum(self, source: Source, type_: T.ValType, value: str) -> str:
        return value

    def lower_flags(self, source: Source, type_: T.ValType, value: str) -> str:
        return value

    def lower_own(self, source: Source, type_: T.ValType, value: str) -> str:
        handle = source.constant(Handle, "Handle")
        return f"g.state.handles.add({handle}({self._resource(type_)}, {value}))"

    def lower_borrow(self, source: Source, type_: T.ValType, value: str) -> str:
        return f"{source.constant(lower_rep, 'lower_rep')}(g, {value}, {self._resource(type_)})"

    def lower_carrier(self, source: Source, type_: T.ValType, value: str) -> str:
        return f"{self._resource(type_)}.put(g.state, {value})"

    def lower_error(self, source: Source, value: str) -> str:
        return f"{source.constant(put_error, 'put_error')}(g, {value})"

    def lower_map(self, value: str) -> str:
        return value

    def listed(self, value: str) -> str:
        return value

    def characters(self, value: str) -> str:
        return f"''.join({value})"

    def checked(self, lines: Lines, kind: type[T.ValType], value: str) -> str:
        return value

    def float32(self, value: str) -> str:
        return value


_HELPERS: Final = {
    name: getattr(coerce, name)
    for name in (
        "BOOLS",
        "as_float",
        "as_float32",
        "as_list",
        "as_number",
        "case_of",
        "characters",
        "code_point",
        "pairs_of",
    )
}


class HostDomain(_Resources):
    """What Python programs see. `namer` has the classes."""

    has_blocks = False
    helpers = _HELPERS

    def __init__(self, namer: Namer) -> None:
        super().__init__()
        self.namer = namer

    def string_loader(self, encoding: str) -> Callable[[Guest, int, int], Any]:
        return strings.LOADERS[encoding]

    def string_storer(self, encoding: str) -> Callable[[Guest, Any], tuple[int, int]]:
        return strings.STORERS[encoding]

    def lift_record(self, source: Source, type_: T.Record, values: list[str]) -> str:
        return f"{source.constant(self.namer.class_of(type_), 'class')}({', '.join(values)})"

    def lift_case(self, source: Source, type_: T.ValType, number: int, payload: str | None) -> str:
        if isinstance(type_, T.Option):
            if not number:
                return "None"
            assert payload is not None
            return f"{source.constant(Some, 'Some')}({payload})" if coerce.is_nested(type_) else payload
        cases = self.namer.cases_of(type_)
        return f"{source.constant(cases[number], 'case')}({payload or ''})"

    def lift_enum(self, source: Source, type_: T.ValType, number: str) -> str:
        members = Cases(enumerate(self.namer.class_of(type_)))
        return f"{source.constant(members, 'members')}[{number}]"

    def lift_flags(self, source: Source, type_: T.ValType, number: str) -> str:
        assert isinstance(type_, T.Flags)
        class_ = source.constant(self.namer.class_of(type_), "flags")
        return f"{class_}({number} & {(1 << len(type_.labels)) - 1})"

    def lift_own(self, source: Source, type_: T.ValType, number: str) -> str:
        return f"{self._resource(type_)}.owned(g.state.handles.take({number}, {self._resource(type_)}))"

    def lift_borrow(self, source: Source, type_: T.ValType, number: str) -> str:
        lift = source.constant(lift_rep, "lift_rep")
        return f"{self._resource(type_)}.borrowed({lift}(g, {number}, {self._resource(type_)}), g.scope)"

    def lift_carrier(self, source: Source, type_: T.ValType, number: str) -> str:
        return f"{source.constant(get_carrier, 'get_carrier')}(g, {self._resource(type_)}, {number})"

    def lift_error(self, source: Source, number: str) -> str:
        return f"{source.constant(take_error, 'take_error')}(g, {number})"

    def lift_map(self, pairs: str) -> str:
        return f"dict({pairs})"

    def lower_record(self, source: Source, lines: Lines, type_: T.Record, value: str) -> list[str]:
        class_ = self.namer.class_of(type_)
        name = source.constant(class_, "class")
        as_record = source.constant(coerce.as_record, "as_record")
        lines.add(f"if {value}.__class__ is not {name}:")
        lines.add(f"    {value} = {as_record}({value}, {name})")
        names = [source.fresh() for _ in type_.fields]
        for field, label in zip(names, class_.__match_args__, strict=True):
            lines.add(f"{field} = {value}.{label}")
        return names

    def lower_cases(self, source: Source, lines: Lines, type_: T.ValType, value: str) -> tuple[str, str]:
        number, payload = source.fresh("d"), source.fresh("w")
        if isinstance(type_, T.Option):
            lines.add(f"{number} = 0 if {value} is None else 1")
            lines.add(f"{payload} = {value}")
            if coerce.is_nested(type_):
                lines.add(f"if {number}:")
                lines.add(f"    {payload} = {source.constant(coerce.some, 'some')}({value})")
            return number, payload
        numbers = source.constant({class_: n for n, class_ in enumerate(self.namer.cases_of(type_))}, "cases")
        lines.add(f"{number} = {numbers}.get({value}.__class__)")
        lines.add(f"if {number} is None:")
        case_of = source.constant(coerce.case_of, "case_of")
        lines.add(f"    {value} = {case_of}({value}, {numbers})")
        lines.add(f"    {number} = {numbers}[{value}.__class__]")
        lines.add(f"{payload} = {value}.value")
        return number, payload

    def lower_bool(self, value: str) -> str:
        return f"BOOLS[{value}]"

    def lower_char(self, value: str) -> str:
        return f"code_point({value})"

    def lower_enum(self, source: Source, type_: T.ValType, value: str) -> str:
        return f"{source.constant(coerce.EnumNumbers(self.namer.class_of(type_)), 'numbers')}[{value}]"

    def lower_flags(self, source: Source, type_: T.ValType, value: str) -> str:
        class_ = source.constant(self.namer.class_of(type_), "flags")
        as_flags = source.constant(coerce.as_flags, "as_flags")
        return f"({value} if {value}.__class__ is {class_} else {as_flags}({value}, {class_})).value"

    def lower_own(self, source: Source, type_: T.ValType, value: str) -> str:
        return f"{source.constant(give, 'give')}(g, {self._resource(type_)}, {value})"

    def lower_borrow(self, source: Source, type_: T.ValType, value: str) -> str:
        lower = source.constant(lower_rep, "lower_rep")
        return f"{lower}(g, {self._resource(type_)}.lent({value}, g.scope), {self._resource(type_)})"

    def lower_carrier(self, source: Source, type_: T.ValType, value: str) -> str:
        return f"{source.constant(give_carrier, 'give_carrier')}(g, {self._resource(type_)}, {value})"

    def lower_error(self, source: Source, value: str) -> str:
        return f"{source.constant(put_error, 'put_error')}(g, {value})"

    def lower_map(self, value: str) -> str:
        return f"pairs_of({value})"

    def listed(self, value: str) -> str:
        return f"as_list({value})"

    def characters(self, value: str) -> str:
        return f"characters({value})"

    def checked(self, lines: Lines, kind: type[T.ValType], value: str) -> str:
        limits = coerce.LIMITS.get(kind)
        if limits is not None:
            low, high = limits
            lines.add(f"if {value}.__class__ is not int or not {low} <= {value} <= {high}:")
            lines.add(f"    {value} = as_number({value}, {low}, {high})")
        elif kind is T.F32 or kind is T.F64:
            lines.add(f"if {value}.__class__ is not float:")
            lines.add(f"    {value} = as_float({value})")
        return value

    def float32(self, value: str) -> str:
        return f"as_float32({value})"
