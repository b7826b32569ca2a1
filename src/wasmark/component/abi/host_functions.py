"""Guests call asynchronous functions of Python's, which return the result, or a coroutine whose result that is."""

from __future__ import annotations

from collections.abc import Awaitable

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.async_functions import answer
from wasmark.component.abi.checking import MISFITS, Checker
from wasmark.component.abi.domains import HostDomain
from wasmark.component.abi.handles import Scope
from wasmark.component.abi.lifting import Lifting
from wasmark.component.abi.lowering import Lowering
from wasmark.component.abi.signatures import has_pointer, lift_params, lower_result, param_count
from wasmark.component.abi.source import Lines, Source
from wasmark.component.abi.tasks import Task, check_may_block
from wasmark.component.abi.threads import Thread, scheduler_of
from wasmark.component.abi.waitables import CANCELLED_BEFORE_RETURNED, RETURNED, STARTED, Subtask
from wasmark.component.values import Err, Ok, ResultError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, NamedTuple

    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.jobs import Job
    from wasmark.component.abi.signatures import Options
    from wasmark.component.classes import Namer
else:
    from wasmark.core.record import NamedTuple


class HostPassing(NamedTuple):
    """What was written for a signature: `lift_params(caller, *core)` and `lower_result(caller, value, pointer)`.
    `resources` are the types that the guest's `resources` have to have."""

    lift_params: Callable[..., Any]
    lower_result: Callable[..., Any]
    resources: tuple[Any, ...]


def guest_to_host(type_: T.FuncType, options: Options, namer: Namer, name: str) -> HostPassing:
    """What goes over from a guest to Python and back."""
    source, domain = Source(), HostDomain(namer)
    out = Lifting(source, options.layout, options.encoding, domain)
    home = Lowering(source, options.layout, options.encoding, domain)
    taken = [part for _, part in type_.params]
    names = [f"a{number}" for number in range(param_count(options.layout, taken, options.most_params))]

    def lift(lines: Lines) -> None:
        args = lift_params(lines, out, taken, names, options)
        lines.add(f"return {args}")

    def lower(lines: Lines) -> None:
        result = lower_result(lines, home, type_.result, "v", "result", options)
        lines.add(f"return {result}")

    lines = Lines("def passing():")
    lift_name = source.function("lift params", "lift", ", ".join(["g", *names]), lift)
    lower_name = source.function("lower result", "lower", "g, v, result", lower)
    lines.add(f"return {lift_name}, {lower_name}")
    lift_in, lower_out = source.compile(lines, "passing", f"<canonical ABI of {name}>")()
    return HostPassing(lift_in, lower_out, tuple(domain.resources))


def guest_calls_host_async(
    caller: Guest,
    passing: HostPassing,
    host: Callable[..., Any],
    type_: T.FuncType,
    options: Options,
    namer: Namer,
    name: str,
) -> Callable[..., Any]:
    """The core function of an asynchronous function of Python's."""
    state = caller.state
    scheduler = scheduler_of(state.store)
    has_result, is_async = has_pointer(options, type_), options.is_async
    has_error = isinstance(type_.result, T.Result)
    checker = Checker(namer)

    def outcome(get: Callable[[], Any]) -> Any:
        """What `get` answers as a value of the result's type."""
        if not has_error:
            return get()
        try:
            value = get()
        except ResultError as error:
            return Err(error.payload)
        return value if value.__class__ is Ok or value.__class__ is Err else Ok(value)

    def give(value: Any, pointer: int) -> Any:
        if type_.result is None:
            if value is not None:
                raise TypeError(f"{name} returned {type(value).__name__}, but it has no result")
            return None
        try:
            return passing.lower_result(caller, value, pointer)
        except MISFITS:
            checker.check(type_.result, value, f"{name} returned")
            raise

    def wait_for(job: Job, subtask: Subtask, thread: Thread, pointer: int) -> Iterator[None]:
        thread.wait_for(lambda: job.is_over)
        yield
        if job.is_cancelled and subtask.is_cancelled:
            subtask.advance(CANCELLED_BEFORE_RETURNED)
        else:
            subtask.result = give(outcome(job.result), pointer)
            subtask.advance(RETURNED)

    def call(*core: Any) -> Any:
        if not state.may_leave:
            state.cannot_leave()
        params, pointer = (core[:-1], core[-1]) if has_result else (core, 0)
        scope = caller.scope = Scope()
        subtask = Subtask(scope)
        subtask.phase = STARTED
        args = passing.lift_params(caller, *params)
        pending: list[Any] = []

        def run() -> Any:
            found = host(*args)
            if isinstance(found, Awaitable):
                pending.append(found)
                return None
            return found

        value = outcome(run)
        if not pending:
            scope.end()
            result = give(value, pointer)
            return RETURNED if is_async else result
        job = scheduler.jobs.add(pending[0])
        if not is_async:
            try:
                check_may_block(state)
            except BaseException:
                job.cancel()
                raise
        task = Task(state)
        thread = task.first = Thread(task, None, needs_stack=False)
        thread.start(wait_for(job, subtask, thread, pointer))
        subtask.request_cancellation = lambda _: job.cancel()
        return answer(state, subtask, is_async=is_async)

    return call
