"""Functions of components, put together from what `lifting` and `lowering` write (CanonicalABI.md, `canon lift`,
`canon lower`): a guest's for Python (`host_calls_guest`), Python's for a guest (`guest_calls_host`), and one guest's
for another (`guest_calls_guest`).

Each is written once for a signature and the options of both sides, as a maker: a function that binds it to the guests
of an instance. `inspect.signature` of a guest's function shows names and Python types.
"""

from __future__ import annotations

import ctypes
from functools import partial

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.builtins import drain
from wasmark.component.abi.checking import MISFITS, Checker
from wasmark.component.abi.domains import HostDomain, TransitDomain, take_back
from wasmark.component.abi.guest import UTF8, uncaught
from wasmark.component.abi.handles import Scope
from wasmark.component.abi.layout import LAYOUTS, MAX_FLAT_ASYNC_PARAMS, MAX_FLAT_PARAMS, MAX_FLAT_RESULTS, contains
from wasmark.component.abi.lifting import Lifting
from wasmark.component.abi.lowering import Lowering
from wasmark.component.abi.source import Lines, Slots, Source
from wasmark.component.abi.tasks import RETURNED, Task, run_callback
from wasmark.component.naming import snake
from wasmark.component.values import Err, Ok, ResultError
from wasmark.errors import WasmException
from wasmark.runtime.native import thread_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NamedTuple

    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.abi.layout import Layout
    from wasmark.component.classes import Namer
else:
    from wasmark.core.record import NamedTuple

_MASKS: Final = {4: "0xFFFFFFFF", 8: "0xFFFFFFFFFFFFFFFF"}
_HELPERS: Final = {
    "Err": Err,
    "MISFITS": MISFITS,
    "Ok": Ok,
    "Task": Task,
    "partial": partial,
    "run_callback": run_callback,
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


class Maker(NamedTuple):
    """A written function: `make` binds it. `resources` are the types that the guests' `resources` have to have."""

    make: Callable[..., Any]
    resources: tuple[T.ResourceType, ...]


def has_borrows(type_: T.FuncType) -> bool:
    """Whether something is lent for a call."""
    return any(contains(part, T.Borrow) for _, part in type_.params)


# --- what is the same for all of them -----------------------------------------------------------------


def _lift_params(
    lines: Lines, lifting: Lifting, types: Sequence[T.ValType], values: list[str], options: Options
) -> str:
    """Write what lifts parameters out of core values; an expression for the tuple of them."""
    return _lift_tuple(lines, lifting, T.Tuple(tuple(types)), values, options.most_params) if types else "()"


def _lift_tuple(lines: Lines, lifting: Lifting, type_: T.ValType, values: list[str], most: int) -> str:
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


def _lower_params(lines: Lines, lowering: Lowering, types: Sequence[T.ValType], values: list[str]) -> list[str]:
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


def _lower_result(
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


def _has_pointer(options: Options, type_: T.FuncType) -> bool:
    """Whether a lowered function is told where to put its result."""
    if type_.result is None:
        return False
    return options.is_async or len(options.layout.flat(type_.result)) > MAX_FLAT_RESULTS


def _param_count(layout: Layout, types: Sequence[T.ValType], most: int = MAX_FLAT_PARAMS) -> int:
    """How many core values parameters are, of which there may be `most`."""
    count = len(layout.flat_all(types))
    return 1 if count > most else count


def _write_enter(lines: Lines, states: int, callee: str) -> None:
    for number in range(states):
        lines.add(f"if not s{number}.may_enter:")
        lines.add(f"    s{number}.cannot_enter()")
    for number in range(states):
        lines.add(f"s{number}.may_enter = False")
    lines.add(f"outer, {callee}.task = {callee}.task, None")


def _write_leave(lines: Lines, states: int, callee: str) -> None:
    lines.add(f"{callee}.task = outer")
    for number in range(states):
        lines.add(f"s{number}.may_enter = True")


def _write_core_call(lines: Lines, result: str, callee: str, args: list[str]) -> None:
    lines.add("try:")
    lines.add(f"    {result}{callee}({', '.join(args)})")
    lines.add("except WasmException as error:")
    lines.add("    uncaught(error)")


def _write_task(
    lines: Lines,
    lifting: Lifting,
    type_: T.ValType | None,
    options: Options,
    state: str,
    guest: str,
    core: list[str],
) -> str | None:
    """Write the call of the core function; an expression for the result of an asynchronous one, lifted already, None
    for others."""
    if not options.is_async:
        _write_core_call(lines, "r = ", "core", core)
        return None
    types = [] if type_ is None else [type_]
    names = [f"a{number}" for number in range(_param_count(lifting.layout, types))]

    def lift(inner: Lines) -> None:
        expression = _lift_tuple(inner, lifting, types[0], names, MAX_FLAT_PARAMS) if types else "None"
        inner.add(f"return {expression}")

    name = lifting.source.function("task return", "lift", ", ".join(["g", *names]), lift)
    lines.add(f"task = {state}.task = Task(partial({name}, {guest}))")
    _write_core_call(lines, "r = ", "core", core)
    if options.callback:
        _write_core_call(lines, "", "run_callback", ["post_return", "r"])
    return "task.result()"


def _write_post_return(lines: Lines, state: str, args: list[str]) -> None:
    lines.add(f"{state}.may_leave = False")
    _write_core_call(lines, "", "post_return", args)
    lines.add(f"{state}.may_leave = True")


def _compiled(source: Source, lines: Lines, name: str, *domains: HostDomain | TransitDomain) -> Maker:
    source.constants.update(_HELPERS)
    resources = domains[0].resources
    assert all(domain.resources == resources for domain in domains)
    return Maker(source.compile(lines, "make", f"<canonical ABI of {name}>"), tuple(resources))


# --- Python calls a guest -----------------------------------------------------------------------------


def host_calls_guest(type_: T.FuncType, options: Options, namer: Namer, name: str, states: int = 1) -> Maker:
    """`make(guest, core function, post-return function, states)`: a Python function of a guest's. `states` are the
    instances that are entered, so many of them, the guest's first. (An asynchronous function has no post-return
    function, but can have a callback in its place.)
    """
    source, domain = Source(), HostDomain(namer)
    lowering = Lowering(source, options.layout, options.encoding, domain)
    lifting = Lifting(source, options.layout, options.encoding, domain)
    checker = Checker(namer)
    borrows = has_borrows(type_)
    gives = any(contains(part, T.Own) for _, part in type_.params)
    names = [f"a{number}" for number in range(len(type_.params))]

    def explain(error: BaseException, *args: Any) -> None:
        checker.check_all(type_.params, args)
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
    _write_enter(lines, states, "s0")
    lines.add("try:")
    lines.indent = 4
    if borrows:
        lines.add("scope = g.scope = Scope()")
    if gives:
        lines.add("g.moved = []")
    core = _lower_params(lines, lowering, [part for _, part in type_.params], names)
    lines.add("pass")
    lines.indent = 3
    lines.add("except MISFITS as error:")
    lines.indent = 4
    if gives:
        lines.add("take_back(g)")
    _write_leave(lines, states, "s0")
    lines.add(f"explain({', '.join(['error', *names])})")
    lines.indent = 3
    results = [] if type_.result is None else ["r"]
    value = _write_task(lines, lifting, type_.result, options, "s0", "g", core)
    if value is None and type_.result is not None:
        value = _lift_tuple(lines, lifting, type_.result, results, MAX_FLAT_RESULTS)
    lines.add(f"value = {value}")
    if borrows:
        lines.add("scope.check_returned()")
    if options.post_return:
        _write_post_return(lines, "s0", results)
    _write_leave(lines, states, "s0")
    lines.indent = 2
    lines.add("finally:")
    if borrows:
        lines.add("    if scope is not None:")
        lines.add("        scope.end()")
    lines.add("    if owning.value > 0:")
    lines.add("        disown(block)")
    if isinstance(type_.result, T.Result):
        lines.add("if value.__class__ is Err:")
        lines.add("    raise ResultError(value.value)")
        lines.add("return value.value")
    else:
        lines.add("return value")
    lines.indent = 1
    lines.add("return call")
    made = _compiled(source, lines, name, domain)
    return Maker(_dressed(made.make, type_, namer, name), made.resources)


def _dressed(make: Callable[..., Any], type_: T.FuncType, namer: Namer, name: str) -> Callable[..., Any]:
    """With the names of its parameters, and what it takes and returns."""
    params = [snake(label) for label, _ in type_.params]
    annotations = {param: namer.annotation(part) for param, (_, part) in zip(params, type_.params, strict=True)}
    result = type_.result
    doc = None
    if isinstance(result, T.Result):
        annotations["return"] = namer.annotation(result.ok)
        doc = f"Raises ResultError with {namer.annotation(result.error)}."
    else:
        annotations["return"] = namer.annotation(result)

    def dressed(guest: Guest, core: Any, post_return: Any, states: Sequence[InstanceState]) -> Any:
        store = guest.state.store

        def wait(owning: ctypes.c_int) -> None:
            while store.runtime.own(store.block_address, ctypes.addressof(owning)) < 0:
                store.wait_for_owner()

        call = make(
            guest, core, post_return, states, store.runtime.own, store.runtime.disown, store.block_address, wait
        )
        code = call.__code__
        # Keywords are matched with the names of the code; in the text they could be anybody's.
        call.__code__ = code.replace(co_varnames=(*params, *code.co_varnames[len(params) :]), co_name=snake_name)
        call.__annotations__ = annotations
        call.__doc__ = doc
        call.__name__ = call.__qualname__ = snake_name
        call.__module__ = "wasmark.component"
        return call

    snake_name = snake(name.rpartition("#")[2].rpartition(".")[2].rpartition("]")[2])
    return dressed


# --- a guest calls Python -----------------------------------------------------------------------------


def guest_calls_host(type_: T.FuncType, options: Options, namer: Namer, name: str) -> Maker:
    """`make(guest, callable)`: the core function of a Python function, for a guest."""
    source, domain = Source(), HostDomain(namer)
    lifting = Lifting(source, options.layout, options.encoding, domain)
    lowering = Lowering(source, options.layout, options.encoding, domain)
    checker = Checker(namer)
    borrows = has_borrows(type_)
    types = [part for _, part in type_.params]
    names = [f"a{number}" for number in range(_param_count(options.layout, types, options.most_params))]
    pointer = ["result"] if _has_pointer(options, type_) else []

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
    args = _lift_params(lines, lifting, types, names, options)
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
        lines.add(f"value = host(*{args})")
    if borrows:
        lines.indent -= 1
        lines.add("finally:")
        lines.add("    scope.end()")
    if type_.result is None:
        lines.add("if value is not None:")
        lines.add("    explain(None, value)")
        if options.is_async:
            lines.add(f"return {RETURNED}")
    else:
        lines.add("given = value")
        lines.add("try:")
        lines.indent += 1
        returned = _lower_result(lines, lowering, type_.result, "value", "result", options)
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
) -> tuple[Maker, tuple[T.ResourceType, ...]]:
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
    names = [f"a{number}" for number in range(_param_count(lowered_options.layout, taken, lowered_options.most_params))]
    pointer = ["result"] if _has_pointer(lowered_options, lowered) else []

    def lift(lines: Lines) -> None:
        args = _lift_params(lines, out, taken, names, lowered_options)
        lines.add(f"return {args}")

    def lower(lines: Lines) -> None:
        values = [source.fresh() for _ in given]
        if values:
            lines.add(f"{', '.join(values)}, = v")
        core = _lower_params(lines, into, given, values)
        lines.add(f"return ({''.join(f'{each}, ' for each in core)})")

    def lift_result(lines: Lines) -> None:
        assert lifted.result is not None
        result = _lift_tuple(lines, back, lifted.result, ["r"], MAX_FLAT_RESULTS)
        lines.add(f"return {result}")

    def lower_result(lines: Lines) -> None:
        result = _lower_result(lines, home, lowered.result, "v", "result", lowered_options)
        lines.add(f"return {result}")

    lines = Lines("def make(caller, callee, core, post_return, states):")
    lines.add("state = caller.state")
    lines.add("target = callee.state")
    if states:
        lines.add(f"{', '.join(f's{number}' for number in range(states))}, = states")
    lines.add(f"def call({', '.join(names + pointer)}):")
    lines.indent = 2
    lines.add("if not state.may_leave:")
    lines.add("    state.cannot_leave()")
    _write_enter(lines, states, "target")
    if borrows:
        lines.add("scope = caller.scope = callee.scope = Scope()")
    lift_name = source.function("lift params", "lift", ", ".join(["g", *names]), lift)
    lower_name = source.function("lower params", "lower", "g, v", lower)
    lines.add(f"args = {lower_name}(callee, {lift_name}({', '.join(['caller', *names])}))")
    value = _write_task(lines, back, lifted.result, lifted_options, "target", "callee", ["*args"])
    returned = "None"
    if value is not None:
        lines.add(f"value = {value}")
    elif lifted.result is not None:
        name_of_lift = source.function("lift result", "lift", "g, r", lift_result)
        lines.add(f"value = {name_of_lift}(callee, r)")
    elif lowered_options.is_async:
        lines.add("value = None")
    if borrows:
        lines.add("scope.check_returned()")
    if lowered.result is not None or lowered_options.is_async:
        name_of_lower = source.function("lower result", "lower", ", ".join(["g", "v", *pointer]), lower_result)
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
