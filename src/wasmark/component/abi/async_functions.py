"""Asynchronous functions, and how one guest calls another one's (CanonicalABI.md, `canon lift`, `canon lower`).

As in `functions`, what goes over is written for the signature and the options of both sides. The rest is the life of
a task: it waits until it may begin, takes its parameters over, runs its core function, and where that has a callback,
waits and is called back until it says that it has ended.
"""

from __future__ import annotations

from functools import partial

from wasmark.component.abi.domains import HostDomain, TransitDomain
from wasmark.component.abi.handles import Scope
from wasmark.component.abi.layout import MAX_FLAT_PARAMS, MAX_FLAT_RESULTS
from wasmark.component.abi.lifting import Lifting
from wasmark.component.abi.lowering import Lowering
from wasmark.component.abi.signatures import (
    has_pointer,
    lift_params,
    lift_tuple,
    lower_params,
    lower_result,
    param_count,
)
from wasmark.component.abi.source import Lines, Source
from wasmark.component.abi.tasks import CANCELLED, Returning, Task, check_may_block, present
from wasmark.component.abi.threads import Thread, scheduler_of
from wasmark.component.abi.waitables import (
    CANCELLED_BEFORE_RETURNED,
    CANCELLED_BEFORE_STARTED,
    EVENT_CANCELLED,
    EVENT_NONE,
    RETURNED,
    STARTED,
    STARTING,
    Subtask,
    WaitableSet,
)
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, Final, NamedTuple

    from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.abi.signatures import Options
    from wasmark.component.abi.tasks import Agreement
    from wasmark.component.classes import Namer
else:
    from wasmark.core.record import NamedTuple

_EXIT: Final = 0
_YIELD: Final = 1
_WAIT: Final = 2
"""What a callback asks for."""


class Passing(NamedTuple):
    """What was written for a call: functions of a guest and what there is to take over.

    `lift_params(caller, *core)` and `lower_params(callee, values)` for what goes in, `lift_result(callee, *core)` and
    `lower_result(caller, value, pointer)` for what comes out. `ours` and `theirs` are the types that the guests'
    `resources` have to have.
    """

    lift_params: Callable[..., Any]
    lower_params: Callable[..., Any]
    lift_result: Callable[..., Any]
    lower_result: Callable[..., Any]
    ours: tuple[Any, ...]
    theirs: tuple[Any, ...]


class Callee(NamedTuple):
    """An asynchronous function: its guest, its core function, and the one that comes after it. `accepts` is what
    `task.return` has to agree with."""

    guest: Guest
    core: Callable[..., Any]
    after: Callable[..., Any] | None
    options: Options
    accepts: Agreement


def _write_callee(source: Source, type_: T.FuncType, options: Options, domain: Any) -> list[str]:
    """Write the callee's side; the names of what lowers parameters and what lifts the result."""
    into = Lowering(source, options.layout, options.encoding, domain)
    back = Lifting(source, options.layout, options.encoding, domain)
    given = [part for _, part in type_.params]
    results = [] if type_.result is None else [type_.result]
    if options.is_async:
        most = MAX_FLAT_PARAMS
        core = [f"a{number}" for number in range(param_count(options.layout, results))]
    else:
        most = MAX_FLAT_RESULTS
        core = ["r"]

    def lower(lines: Lines) -> None:
        values = [source.fresh() for _ in given]
        if values:
            lines.add(f"{', '.join(values)}, = v")
        found = lower_params(lines, into, given, values)
        lines.add(f"return ({''.join(f'{each}, ' for each in found)})")

    def lift(lines: Lines) -> None:
        found = lift_tuple(lines, back, results[0], core, most) if results else "None"
        lines.add(f"return {found}")

    return [
        source.function("lower params", "lower", "g, v", lower),
        source.function("lift result", "lift", ", ".join(["g", *core]), lift),
    ]


def _compiled(source: Source, names: Sequence[str], name: str) -> list[Callable[..., Any]]:
    lines = Lines("def passing():")
    lines.add(f"return [{', '.join(names)}]")
    found: list[Callable[..., Any]] = source.compile(lines, "passing", f"<canonical ABI of {name}>")()
    return found


def guest_to_guest(lowered: T.FuncType, options: Options, lifted: T.FuncType, theirs: Options) -> Passing:
    """What goes over from one guest to another."""
    source = Source()
    ours, other = TransitDomain(), TransitDomain()
    out = Lifting(source, options.layout, options.encoding, ours)
    home = Lowering(source, options.layout, options.encoding, ours)
    taken = [part for _, part in lowered.params]
    names = [f"a{number}" for number in range(param_count(options.layout, taken, options.most_params))]

    def lift(lines: Lines) -> None:
        args = lift_params(lines, out, taken, names, options)
        lines.add(f"return {args}")

    def lower(lines: Lines) -> None:
        result = lower_result(lines, home, lowered.result, "v", "result", options)
        lines.add(f"return {result}")

    functions = [
        source.function("lift params", "lift", ", ".join(["g", *names]), lift),
        *_write_callee(source, lifted, theirs, other),
        source.function("lower result", "lower", "g, v, result", lower),
    ]
    lift_in, lower_in, lift_out, lower_out = _compiled(source, functions, "an asynchronous function")
    return Passing(lift_in, lower_in, lift_out, lower_out, tuple(ours.resources), tuple(other.resources))


def host_to_guest(type_: T.FuncType, options: Options, namer: Namer, name: str) -> Passing:
    """What goes over from Python to a guest and back."""
    source, domain = Source(), HostDomain(namer)
    lower_in, lift_out = _compiled(source, _write_callee(source, type_, options, domain), name)
    return Passing(lambda *_: None, lower_in, lift_out, lambda *_: None, (), tuple(domain.resources))


# --- the life of a task -------------------------------------------------------------------------------


def _life(task: Task, callee: Callee, start: Callable[[], tuple[Any, ...] | None]) -> Iterator[None]:
    """What the first thread of a task does; `start` answers the core parameters, None for what does not
    fit."""
    state, thread = task.state, task.first
    assert thread is not None
    turns = task.takes_turns

    def may_begin() -> bool:
        return state.backpressure == 0 and not (turns and state.exclusive is not None)

    if not may_begin() or state.waits_to_enter:
        state.waits_to_enter += 1
        thread.wait_for(may_begin, cancellable=True)
        yield
        state.waits_to_enter -= 1
        if thread.cancelled:
            task.end_unstarted()
            return
    if turns:
        state.exclusive = thread
    task.add(thread)
    task.begin()
    core = start()
    del start  # it knows what Python gave, which may be held for nothing else
    if core is None:  # what Python gave does not fit: nothing comes of it
        task.end_unstarted()
    elif not callee.options.is_async:
        _run_synchronous(task, thread, callee, core)
    else:
        packed = thread.call(callee.core, *core)
        if callee.after is not None:
            yield from _call_back(task, thread, callee.after, packed)
    thread.end()
    if turns:
        state.exclusive = None


def _run_synchronous(task: Task, thread: Thread, callee: Callee, core: tuple[Any, ...]) -> None:
    """A function that is asynchronous by its type alone."""
    state = task.state
    result = thread.call(callee.core, *core)
    returning = task.synchronous
    assert returning is not None
    task.give(returning(result))
    if callee.after is not None:
        state.may_leave = False
        thread.call(callee.after, *([] if result is None else [result]))
        state.may_leave = True


def _call_back(task: Task, thread: Thread, callback: Callable[..., int], packed: int) -> Iterator[None]:
    """What comes after the core function has returned with `packed`."""
    state = task.state
    while True:
        code = packed & 0xF
        if code == _EXIT:
            return
        state.exclusive = None
        set_ = None
        if code == _WAIT:
            set_ = state.handles.entry((packed & 0xFFFFFFFF) >> 4, WaitableSet)
            set_.waiters += 1
        elif code != _YIELD:
            raise ComponentTrap(ComponentTrapCode.BAD_CALLBACK_CODE)
        cancelled = task.takes_cancellation(True)
        if not cancelled:
            thread.wait_for(partial(_can_go_on, state, set_), cancellable=True)
            yield
            cancelled = thread.cancelled
        event = (EVENT_CANCELLED, 0, 0) if cancelled else (EVENT_NONE, 0, 0)
        if set_ is not None:
            set_.waiters -= 1
            if not cancelled:
                event = set_.take_event()
        state.exclusive = thread
        packed = thread.call(callback, *event)


def _can_go_on(state: InstanceState, set_: WaitableSet | None) -> bool:
    return state.exclusive is None and (set_ is None or set_.has_event)


def begin(
    callee: Callee,
    passing: Passing,
    states: Sequence[InstanceState],
    scope: Scope,
    start: Callable[[], tuple[Any, ...] | None],
    resolve: Callable[[Any], None],
) -> Task:
    """Start a task and let it run until it waits. `states` are the instances that are entered."""
    for state in states:
        if not state.may_enter:
            state.cannot_enter()
    for state in states:
        state.may_enter = False
    guest, options = callee.guest, callee.options
    lift = partial(passing.lift_result, guest)
    task = Task(
        guest.state,
        Returning(callee.accepts, lift) if options.is_async else None,
        scope,
        resolve,
        takes_turns=not options.is_async or callee.after is not None,
        synchronous=None if options.is_async else lift,
    )
    task.first = Thread(task, _life(task, callee, start))
    scheduler = scheduler_of(guest.state.store)
    holder = guest.state.exclusive
    if task.takes_turns and holder is not None and holder.is_ready:
        # Whose turn it is goes on first, if it can: then this one may not have to wait.
        scheduler.resume(holder)
    scheduler.resume(task.first)
    for state in states:
        state.may_enter = True
    return task


# --- a guest calls another one ------------------------------------------------------------------------


def guest_calls_async(
    caller: Guest,
    callee: Callee,
    passing: Passing,
    states: Sequence[InstanceState],
    type_: T.FuncType,
    options: Options,
) -> Callable[..., Any]:
    """The core function of an asynchronous function of another guest's. `states` are the instances that are entered."""
    state = caller.state
    has_result = has_pointer(options, type_)
    is_async = options.is_async

    def call(*core: Any) -> Any:
        if not state.may_leave:
            state.cannot_leave()
        if not is_async:
            check_may_block(state)
        params, pointer = (core[:-1], core[-1]) if has_result else (core, 0)
        scope = Scope()
        subtask = Subtask(scope)

        def start() -> tuple[Any, ...]:
            caller.scope = scope
            values = passing.lift_params(caller, *params)
            subtask.advance(STARTED)
            callee.guest.scope = scope
            found: tuple[Any, ...] = passing.lower_params(callee.guest, values)
            return found

        def resolve(value: Any) -> None:
            if value is not CANCELLED:
                subtask.result = passing.lower_result(caller, value, pointer)
                subtask.advance(RETURNED)
            elif subtask.phase == STARTING:
                subtask.advance(CANCELLED_BEFORE_STARTED)
            else:
                subtask.advance(CANCELLED_BEFORE_RETURNED)

        subtask.request_cancellation = begin(callee, passing, states, scope, start, resolve).request_cancellation
        return answer(state, subtask, is_async=is_async)

    return call


def answer(state: InstanceState, subtask: Subtask, *, is_async: bool) -> Any:
    """What a lowered function answers whose subtask has begun: its result, for which the present thread waits, or how
    far it has come."""
    if not is_async:
        present(state).wait_until(lambda: subtask.is_resolved)
        subtask.deliver()
        return subtask.result
    if subtask.is_resolved:
        subtask.deliver()
        return RETURNED
    subtask.index = state.handles.add(subtask)
    bits = subtask.phase | subtask.index << 4
    return bits - 0x100000000 if bits & 0x80000000 else bits
