"""Functions of components, put together from what `lifting` and `lowering` write (CanonicalABI.md, `canon lift`,
`canon lower`): a guest's for Python (`host_calls_guest`), Python's for a guest (`guest_calls_host`), and one guest's
for another (`guest_calls_guest`).

Each is written once for a signature and the options of both sides, as a maker: a function that binds it to the guests
of an instance. `inspect.signature` of a guest's function shows names and Python types.
"""

from __future__ import annotations

import ctypes

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.builtins import drain
from wasmark.component.abi.checking import MISFITS, Checker
from wasmark.component.abi.domains import HostDomain, TransitDomain, take_back
from wasmark.component.abi.dressing import Dress
from wasmark.component.abi.guest import uncaught
from wasmark.component.abi.handles import Scope
from wasmark.component.abi.layout import MAX_FLAT_RESULTS, contains
from wasmark.component.abi.lifting import Lifting
from wasmark.component.abi.lowering import Lowering
from wasmark.component.abi.signatures import (
    Options,
    has_borrows,
    has_pointer,
    lift_params,
    lift_tuple,
    lower_params,
    lower_result,
    param_count,
)
from wasmark.component.abi.source import Lines, Source
from wasmark.component.values import Err, Ok, ResultError
from wasmark.errors import Trap, WasmException
from wasmark.runtime.native import thread_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NamedTuple

    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.classes import Namer
else:
    from wasmark.core.record import NamedTuple

_HELPERS: Final = {
    "Err": Err,
    "MISFITS": MISFITS,
    "Ok": Ok,
    "Trap": Trap,
    "ResultError": ResultError,
    "Scope": Scope,
    "WasmException": WasmException,
    "addressof": ctypes.addressof,
    "c_int": ctypes.c_int,
    "drain": drain,
    "take_back": take_back,
    "thread_state": thread_state,
    "uncaught": uncaught,
}


class Maker(NamedTuple):
    """A written function: `make` binds it. `resources` are the types that the guests' `resources` have to have."""

    make: Callable[..., Any]
    resources: tuple[Any, ...]


def _write_enter(lines: Lines, states: int) -> None:
    for number in range(states):
        lines.add(f"if not s{number}.may_enter:")
        lines.add(f"    s{number}.cannot_enter()")
    for number in range(states):
        lines.add(f"s{number}.may_enter = False")


def _write_leave(lines: Lines, states: int, callee: str) -> None:
    lines.add(f"if {callee}.thread is not None:")
    lines.add(f"    {callee}.end_call()")
    for number in range(states):
        lines.add(f"s{number}.may_enter = True")


def _write_core_call(lines: Lines, result: str, callee: str, args: list[str]) -> None:
    lines.add("try:")
    lines.add(f"    {result}{callee}({', '.join(args)})")
    lines.add("except WasmException as error:")
    lines.add("    uncaught(error)")


def _write_post_return(lines: Lines, state: str, args: list[str]) -> None:
    lines.add(f"{state}.may_leave = False")
    _write_core_call(lines, "", "post_return", args)
    lines.add(f"{state}.may_leave = True")


def _write_end(lines: Lines) -> None:
    """Write the end of a scope, whatever strikes meanwhile, and leave `lines` in what comes behind it."""
    lines.add("try:")
    lines.indent += 1
    lines.add("if scope is not None:")
    lines.indent += 1
    lines.add("try:")
    lines.add("    scope.end()")
    lines.add("except BaseException:")
    lines.add("    scope.end()")
    lines.add("    raise")
    lines.indent -= 2
    lines.add("finally:")
    lines.indent += 1


def _compiled(source: Source, lines: Lines, name: str, *domains: HostDomain | TransitDomain) -> Maker:
    source.constants.update(_HELPERS)
    resources = domains[0].resources
    assert all(domain.resources == resources for domain in domains)
    return Maker(source.compile(lines, "make", f"<canonical ABI of {name}>"), tuple(resources))


# --- Python calls a guest -----------------------------------------------------------------------------


def host_calls_guest(type_: T.FuncType, options: Options, namer: Namer, name: str, states: int = 1) -> Maker:
    """`make(guest, core function, post-return function, states)`: a Python function of a guest's. `states` are the
    instances that are entered, so many of them, the guest's first.
    """
    source, domain = Source(), HostDomain(namer)
    lowering = Lowering(source, options.layout, options.encoding, domain)
    lifting = Lifting(source, options.layout, options.encoding, domain)
    checker = Checker(namer)
    borrows = has_borrows(type_)
    moves = any(contains(part, (T.Own, T.Borrow)) for _, part in type_.params)
    names = [f"a{number}" for number in range(len(type_.params))]

    def explain(error: BaseException, *args: Any) -> None:
        if isinstance(error, MISFITS):
            checker.check_all(type_.params, args)
            if not isinstance(error, (TypeError, ValueError)):  # of an iterator that is at its end now
                raise TypeError(f"{name}: an argument does not fit: {error}") from error
        raise error

    source.constants["explain"] = explain
    lines = Lines("def make(g, core, post_return, states, own, disown, block, wait):")
    lines.add(f"{', '.join(f's{number}' for number in range(states))}, = states")
    lines.add("doomed = s0.doomed")
    lines.add(f"def call({', '.join(names)}):")
    lines.indent = 2
    lines.add("thread_state()")
    lines.add("owning = c_int(0)")
    if borrows:
        lines.add("scope = None")
    lines.add("try:")
    lines.indent = 3
    lines.add("if own(block, addressof(owning)) < 0:")
    lines.add("    wait(owning)")
    lines.add("if doomed and s0.may_enter:")
    lines.add("    drain(s0)")
    _write_enter(lines, states)
    lines.add("try:")
    lines.indent = 4
    if borrows:
        lines.add("scope = g.scope = Scope()")
    if moves:
        lines.add("g.moved = []")
    core = lower_params(lines, lowering, [part for _, part in type_.params], names)
    lines.add("g.moved = None" if moves else "pass")
    lines.indent = 3
    lines.add("except Trap:")
    lines.add("    raise")
    lines.add("except BaseException as error:")
    lines.indent = 4
    lines.add("if not s0.may_leave:")  # the guest was making room
    lines.add("    raise")
    if moves:
        lines.add("if g.moved is not None:")
        lines.add("    take_back(g)")
    _write_leave(lines, states, "s0")
    lines.add(f"explain({', '.join(['error', *names])})")
    lines.indent = 3
    results = [] if type_.result is None else ["r"]
    _write_core_call(lines, "r = ", "core", core)
    value = None if type_.result is None else lift_tuple(lines, lifting, type_.result, results, MAX_FLAT_RESULTS)
    lines.add(f"value = {value}")
    if borrows:
        lines.add("scope.check_returned()")
    if options.post_return:
        _write_post_return(lines, "s0", results)
    _write_leave(lines, states, "s0")
    lines.indent = 2
    lines.add("finally:")
    lines.indent = 3
    if borrows:
        _write_end(lines)
    lines.add("if owning.value > 0:")
    lines.add("    disown(block)")
    lines.indent = 2
    if isinstance(type_.result, T.Result):
        lines.add("if value.__class__ is Err:")
        lines.add("    raise ResultError(value.value)")
        lines.add("return value.value")
    else:
        lines.add("return value")
    lines.indent = 1
    lines.add("return call")
    made = _compiled(source, lines, name, domain)
    dress = Dress(type_, namer, name)

    def make(guest: Guest, core: Any, post_return: Any, states: Sequence[InstanceState]) -> Any:
        store = guest.state.store

        def wait(owning: ctypes.c_int) -> None:
            while store.runtime.own(store.block_address, ctypes.addressof(owning)) < 0:
                store.wait_for_owner()

        own, disown = store.runtime.own, store.runtime.disown
        return dress.put_on(made.make(guest, core, post_return, states, own, disown, store.block_address, wait))

    return Maker(make, made.resources)


# --- a guest calls Python -----------------------------------------------------------------------------


def guest_calls_host(type_: T.FuncType, options: Options, namer: Namer, name: str) -> Maker:
    """`make(guest, callable)`: the core function of a Python function, for a guest."""
    source, domain = Source(), HostDomain(namer)
    lifting = Lifting(source, options.layout, options.encoding, domain)
    lowering = Lowering(source, options.layout, options.encoding, domain)
    checker = Checker(namer)
    borrows = has_borrows(type_)
    types = [part for _, part in type_.params]
    names = [f"a{number}" for number in range(param_count(options.layout, types, options.most_params))]
    pointer = ["result"] if has_pointer(options, type_) else []

    def explain(error: BaseException, value: Any) -> None:
        if type_.result is None:
            raise TypeError(f"{name} returned {type(value).__name__}, but it has no result")
        checker.check(type_.result, value, f"{name} returned")
        raise error

    source.constants["explain"] = explain
    lines = Lines("def make(g, host):")
    lines.add("state = g.state")
    lines.add(f"def call({', '.join(names + pointer)}):")
    lines.indent = 2
    lines.add("if not state.may_leave:")
    lines.add("    state.cannot_leave()")
    if borrows:
        lines.add("scope = g.scope = Scope()")
    args = lift_params(lines, lifting, types, names, options)
    if borrows:
        lines.add("try:")
        lines.indent += 1
    if isinstance(type_.result, T.Result):
        lines.add("try:")
        lines.add(f"    value = host(*{args})")
        lines.add("    if value.__class__ is not Ok and value.__class__ is not Err:")
        lines.add("        value = Ok(value)")
        lines.add("except ResultError as error:")
        lines.add("    value = Err(error.payload)")
    else:
        lines.add("try:")
        lines.add(f"    value = host(*{args})")
    lines.add("except WasmException as error:")  # which the guest could catch
    lines.add("    uncaught(error)")
    if borrows:
        lines.indent -= 1
        lines.add("finally:")
        lines.add("    scope.end()")
    if type_.result is None:
        lines.add("if value is not None:")
        lines.add("    explain(None, value)")
    else:
        lines.add("given = value")
        lines.add("try:")
        lines.indent += 1
        returned = lower_result(lines, lowering, type_.result, "value", "result", options)
        lines.add(f"return {returned}")
        lines.indent -= 1
        lines.add("except MISFITS as error:")
        lines.add("    explain(error, given)")
    lines.indent = 1
    lines.add("return call")
    return _compiled(source, lines, name, domain)


# --- a guest calls another one ------------------------------------------------------------------------


def guest_calls_guest(
    lowered: T.FuncType, lowered_options: Options, lifted: T.FuncType, lifted_options: Options, name: str, states: int
) -> tuple[Maker, tuple[Any, ...]]:
    """`make(caller, callee, core function, post-return function, states)`: the core function of one guest's function,
    for another. `states` are the instances that are entered, so many of them. And the resource types of the callee's
    side: both see the same type, each with resources of its own.
    """
    source = Source()
    ours, theirs = TransitDomain(), TransitDomain()
    out = Lifting(source, lowered_options.layout, lowered_options.encoding, ours)
    into = Lowering(source, lifted_options.layout, lifted_options.encoding, theirs)
    back = Lifting(source, lifted_options.layout, lifted_options.encoding, theirs)
    home = Lowering(source, lowered_options.layout, lowered_options.encoding, ours)
    borrows = has_borrows(lowered)
    taken = [part for _, part in lowered.params]
    given = [part for _, part in lifted.params]
    names = [f"a{number}" for number in range(param_count(lowered_options.layout, taken, lowered_options.most_params))]
    pointer = ["result"] if has_pointer(lowered_options, lowered) else []

    def lift(lines: Lines) -> None:
        args = lift_params(lines, out, taken, names, lowered_options)
        lines.add(f"return {args}")

    def lower(lines: Lines) -> None:
        values = [source.fresh() for _ in given]
        if values:
            lines.add(f"{', '.join(values)}, = v")
        core = lower_params(lines, into, given, values)
        lines.add(f"return ({''.join(f'{each}, ' for each in core)})")

    def lift_result(lines: Lines) -> None:
        assert lifted.result is not None
        result = lift_tuple(lines, back, lifted.result, ["r"], MAX_FLAT_RESULTS)
        lines.add(f"return {result}")

    def home_result(lines: Lines) -> None:
        result = lower_result(lines, home, lowered.result, "v", "result", lowered_options)
        lines.add(f"return {result}")

    lines = Lines("def make(caller, callee, core, post_return, states):")
    lines.add("state = caller.state")
    lines.add("target = callee.state")
    lines.add(f"{', '.join(f's{number}' for number in range(states))}, = states")
    lines.add(f"def call({', '.join(names + pointer)}):")
    lines.indent = 2
    lines.add("if not state.may_leave:")
    lines.add("    state.cannot_leave()")
    _write_enter(lines, states)
    if borrows:
        lines.add("scope = caller.scope = callee.scope = Scope()")
    lift_name = source.function("lift params", "lift", ", ".join(["g", *names]), lift)
    lower_name = source.function("lower params", "lower", "g, v", lower)
    lines.add(f"args = {lower_name}(callee, {lift_name}({', '.join(['caller', *names])}))")
    _write_core_call(lines, "r = ", "core", ["*args"])
    returned = "None"
    if lifted.result is not None:
        name_of_lift = source.function("lift result", "lift", "g, r", lift_result)
        lines.add(f"value = {name_of_lift}(callee, r)")
    if borrows:
        lines.add("scope.check_returned()")
    if lowered.result is not None:
        name_of_lower = source.function("lower result", "lower", ", ".join(["g", "v", *pointer]), home_result)
        lines.add(f"value = {name_of_lower}({', '.join(['caller', 'value', *pointer])})")
        returned = "value"
    if lifted_options.post_return:
        _write_post_return(lines, "target", [] if lifted.result is None else ["r"])
    if borrows:
        lines.add("scope.end()")
    _write_leave(lines, states, "target")
    lines.add(f"return {returned}")
    lines.indent = 1
    lines.add("return call")
    made = _compiled(source, lines, name, ours)
    return made, tuple(theirs.resources)
