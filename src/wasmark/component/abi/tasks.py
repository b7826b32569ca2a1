"""Tasks: what belongs to one call of a lifted function (CanonicalABI.md, "Tasks"). A task has threads, of which the
first comes with it, and ends with the last of them; by then it has given its result, or has been cancelled.
"""

from __future__ import annotations

from wasmark.component.abi.threads import Thread, scheduler_of
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NamedTuple

    from wasmark.component.abi.handles import InstanceState, Scope
else:
    from wasmark.core.record import NamedTuple

_INITIAL: Final = 1
_STARTED: Final = 2
_PENDING_CANCEL: Final = 3
_CANCEL_DELIVERED: Final = 4
_RESOLVED: Final = 5


class Agreement(NamedTuple):
    """The type and the options of a result: `memory` is None where none is named."""

    type: object
    encoding: str
    memory: int | None

    def accepts(self, given: Agreement) -> bool:
        """Whether a `task.return` of that kind can give the result of a function of this one."""
        same = self.type == given.type and self.encoding == given.encoding
        return same and given.memory in (None, self.memory)


class Returning:
    """How an asynchronous function gives its result: `accepts` is what its `task.return` has to agree with, `lift`
    makes a value of what that is given."""

    __slots__ = ("accepts", "lift")

    def __init__(self, accepts: Agreement, lift: Callable[..., Any]) -> None:
        self.accepts = accepts
        self.lift = lift


class Task:
    """A call in the instance `state`. `returning` is how it gives its result, None where it does so as core functions
    do: then `synchronous` makes a value of that. `scope` is what is lent for it. `takes_turns`: it runs only while it
    is the `exclusive` one.

    `resolve(value)` is called with its result, `resolve(CANCELLED)` when it was cancelled.
    """

    __slots__ = ("_phase", "_resolve", "first", "returning", "scope", "state", "synchronous", "takes_turns", "threads")

    def __init__(
        self,
        state: InstanceState,
        returning: Returning | None = None,
        scope: Scope | None = None,
        resolve: Callable[[Any], None] | None = None,
        *,
        takes_turns: bool = False,
        synchronous: Callable[[Any], Any] | None = None,
    ) -> None:
        self.state = state
        self.returning = returning
        self.scope = scope
        self.takes_turns = takes_turns
        self.synchronous = synchronous
        self.threads: list[Thread] = []
        self.first: Thread | None = None
        self._resolve = resolve
        self._phase = _INITIAL if resolve is not None else _STARTED

    # --- its threads ------------------------------------------------------------------------------

    def add(self, thread: Thread) -> None:
        """A thread of it that has an index from now on."""
        self.threads.append(thread)
        thread.index = self.state.threads.add(thread)

    def remove(self, thread: Thread) -> None:
        """A thread of it has ended."""
        self.threads.remove(thread)
        self.state.threads.forget(thread.index)
        if not self.threads and self._resolve is not None:
            raise ComponentTrap(ComponentTrapCode.NO_RESULT)

    # --- how far it is ----------------------------------------------------------------------------

    def begin(self) -> None:
        """Its parameters are taken over."""
        self._phase = _STARTED

    def give(self, value: Any) -> None:
        """Its result."""
        self._end(value)

    def return_(self, given: Agreement, core: tuple[Any, ...]) -> None:
        """`task.return`."""
        returning = self.returning
        if returning is None or not returning.accepts.accepts(given) or self._phase == _RESOLVED:
            raise ComponentTrap(ComponentTrapCode.UNEXPECTED_RETURN)
        self._end(returning.lift(*core))

    def cancel(self) -> None:
        """`task.cancel`."""
        if self.returning is None or self._phase != _CANCEL_DELIVERED:
            raise ComponentTrap(ComponentTrapCode.UNEXPECTED_CANCEL)
        self._end(CANCELLED)

    def end_unstarted(self) -> None:
        """It was cancelled before it began."""
        self._end(CANCELLED)

    def _end(self, value: Any) -> None:
        if self.scope is not None:
            self.scope.check_returned()
        assert self._resolve is not None
        self._resolve(value)
        self._phase = _RESOLVED
        self._resolve = None

    # --- cancellation -------------------------------------------------------------------------------

    def takes_cancellation(self, cancellable: bool) -> bool:
        """Whether somebody wants it to be cancelled, who has not been heard yet; a thread that asks has heard it."""
        if cancellable and self._phase == _PENDING_CANCEL:
            self._phase = _CANCEL_DELIVERED
            return True
        return False

    def request_cancellation(self, caller: InstanceState | None) -> None:
        """Have one of its threads told as soon as one can be. `caller` is whose wish it is (None: the host's)."""
        scheduler = scheduler_of(self.state.store)
        if self._phase == _INITIAL:
            self._phase = _CANCEL_DELIVERED
            assert self.first is not None
            scheduler.resume(self.first, cancelled=True)
            return
        state = self.state
        entered = state.entered_from(caller)
        thread = self._to_be_told()
        if thread is None or not all(each.may_enter for each in entered):
            self._phase = _PENDING_CANCEL
            return
        self._phase = _CANCEL_DELIVERED
        for each in entered:
            each.may_enter = False
        scheduler.resume(thread, cancelled=True)
        for each in entered:
            each.may_enter = True

    def _to_be_told(self) -> Thread | None:
        for thread in self.threads:
            if thread.is_blocked and thread.is_cancellable and self._can_tell(thread):
                return thread
        return None

    def _can_tell(self, thread: Thread) -> bool:
        """Whether it can be the turn of a thread."""
        takes_turns = thread is self.first and self.takes_turns
        return not takes_turns or self.state.exclusive in (None, thread)

    def has_to_tell(self, thread: Thread) -> bool:
        """Whether a thread, which can be told, is to be told that somebody wants the task to be cancelled."""
        return self._phase == _PENDING_CANCEL and self._can_tell(thread)


CANCELLED: Final = object()
"""What a task that was cancelled has for a result."""


def present(state: InstanceState) -> Thread:
    """The thread that runs in an instance; that of a synchronous call is made when somebody asks for it."""
    thread = state.thread
    if thread is None:
        task = Task(state)
        thread = state.thread = task.first = Thread(task, None)
        task.add(thread)
    return thread


def check_may_block(state: InstanceState) -> None:
    """Trap where the present thread could not wait, whether it has to or not: in a synchronous call while no other
    thread of the instance could run."""
    present(state).check_may_block()
