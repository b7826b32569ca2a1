"""Python calls asynchronous functions of guests: waiting for them (`HostCaller.call`), or awaiting them
(`HostCaller.call_async`)."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.async_functions import begin
from wasmark.component.abi.builtins import drain
from wasmark.component.abi.checking import MISFITS, Checker
from wasmark.component.abi.domains import take_back
from wasmark.component.abi.handles import Scope
from wasmark.component.abi.threads import scheduler_of
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.component.values import Err, ResultError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wasmark.component.abi.async_functions import Callee, Passing
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.abi.tasks import Task
    from wasmark.component.classes import Namer


class HostCaller:
    """An asynchronous function. `states` are the instances that are entered. While it runs, all that can run in its
    store does. What its task does after it has returned, it does during later calls, each of which first gives a turn
    to all who wait."""

    def __init__(
        self, callee: Callee, passing: Passing, states: Sequence[InstanceState], type_: T.FuncType, namer: Namer
    ) -> None:
        self._callee = callee
        self._passing = passing
        self._states = states
        self._type = type_
        self._checker = Checker(namer)
        self._store = callee.guest.state.store
        self._scheduler = scheduler_of(self._store)

    def call(self, *values: Any) -> Any:
        """Run it until it has returned."""
        running = _Call(self, values)
        with self._scheduler.entered(self._store):
            try:
                running.begin()
                self._scheduler.run_until(self._store, lambda: bool(running.results))
            except BaseException as error:
                running.fail(error)
                raise
            finally:
                running.scope.end()
        return running.result()

    async def call_async(self, *values: Any) -> Any:
        """The same for an event loop, which runs on. Where whoever awaits it is cancelled, the task is asked to end."""
        running = _Call(self, values)
        scheduler = self._scheduler
        try:
            with scheduler.entered(self._store):
                running.begin()
            await scheduler.run_until_async(self._store, lambda: bool(running.results))
        except BaseException as error:
            with scheduler.entered(self._store):
                running.fail(error)
            raise
        finally:
            running.scope.end()
        return running.result()


class _Call:
    """One call. `results` gets its result."""

    def __init__(self, caller: HostCaller, values: tuple[Any, ...]) -> None:
        self._caller = caller
        self._values = values
        self._refused: BaseException | None = None
        self._task: Task | None = None
        self.scope = Scope()
        self.results: list[Any] = []

    def begin(self) -> None:
        """In the store: give a turn to who waits, then start the task."""
        caller = self._caller
        guest = caller._callee.guest
        if guest.state.doomed and guest.state.may_enter:
            drain(guest.state)
        caller._scheduler.round()
        self._task = begin(
            caller._callee, caller._passing, caller._states, self.scope, self._start, self.results.append
        )

    def _start(self) -> tuple[Any, ...] | None:
        guest = self._caller._callee.guest
        guest.scope = self.scope
        guest.moved = []
        try:
            core: tuple[Any, ...] = self._caller._passing.lower_params(guest, self._values)
        except MISFITS as error:
            take_back(guest)
            self._refused = error
            return None
        guest.moved = None
        return core

    def fail(self, error: BaseException) -> None:
        """In the store: nobody waits for it any more."""
        if isinstance(error, ComponentTrap) and error.code is ComponentTrapCode.DEADLOCK:
            self._caller._callee.guest.state.may_enter = False  # it never comes to an end
        elif self._task is not None and self._caller._callee.guest.state.can_be_entered and not self.results:
            self._task.request_cancellation(None)

    def result(self) -> Any:
        """What it returned. Raises ResultError for the error of a result, TypeError where its arguments did not fit."""
        value = self.results.pop()
        if self._refused is not None:
            self._caller._checker.check_all(self._caller._type.params, self._values)
            raise self._refused
        if not isinstance(self._caller._type.result, T.Result):
            return value
        if value.__class__ is Err:
            raise ResultError(value.value)
        return value.value
