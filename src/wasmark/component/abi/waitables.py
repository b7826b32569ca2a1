"""What a component can wait for: subtasks, and the ends of streams and futures; and sets of them (CanonicalABI.md,
"Waitable State", "Subtask State")."""

from __future__ import annotations

from wasmark.component.abi.handles import Entry
from wasmark.component.abi.tasks import present
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.handles import InstanceState, Scope

EVENT_NONE: Final = 0
EVENT_SUBTASK: Final = 1
EVENT_STREAM_READ: Final = 2
EVENT_STREAM_WRITE: Final = 3
EVENT_FUTURE_READ: Final = 4
EVENT_FUTURE_WRITE: Final = 5
EVENT_CANCELLED: Final = 6

STARTING: Final = 0
STARTED: Final = 1
RETURNED: Final = 2
CANCELLED_BEFORE_STARTED: Final = 3
CANCELLED_BEFORE_RETURNED: Final = 4
"""How far a subtask has come."""

BLOCKED: Final = -1
"""The answer of what goes on in the background, as an i32."""

Event = tuple[int, int, int]


class Waitable(Entry):
    """Something that has an event to tell at times. `set` is the one that it is a member of, `is_awaited` whether a
    thread waits for it by itself."""

    __slots__ = ("event", "is_awaited", "set")
    what = "waitable"

    def __init__(self) -> None:
        self.event: Callable[[], Event] | None = None
        self.set: WaitableSet | None = None
        self.is_awaited = False

    @property
    def has_event(self) -> bool:
        """Whether there is something to tell."""
        return self.event is not None

    def take_event(self) -> Event:
        """What there is to tell."""
        event, self.event = self.event, None
        assert event is not None
        return event()

    def await_event(self, state: InstanceState) -> None:
        """Have the present thread wait until there is something to tell."""
        self.is_awaited = True
        present(state).wait_until(lambda: self.event is not None)
        self.is_awaited = False

    def join(self, set_: WaitableSet | None) -> None:
        """Be a member of this set, and of no other."""
        if self.set is not None:
            self.set.members.remove(self)
        self.set = set_
        if set_ is not None:
            set_.members.append(self)

    def refuse_in_set(self) -> None:
        """Trap where it is a member of a set: then it cannot be waited for by itself."""
        if self.set is not None:
            raise ComponentTrap(ComponentTrapCode.IN_WAITABLE_SET)


class WaitableSet(Entry):
    """Waitables that are waited for together; the one that joined first is heard first."""

    __slots__ = ("members", "waiters")
    what = "waitable set"

    def __init__(self) -> None:
        self.members: list[Waitable] = []
        self.waiters = 0

    @property
    def has_event(self) -> bool:
        """Whether a member has something to tell."""
        return any(member.event is not None for member in self.members)

    def take_event(self) -> Event:
        """What a member has to tell; it is the last to be heard the next time."""
        for member in self.members:
            if member.event is not None:
                self.members.remove(member)
                self.members.append(member)
                return member.take_event()
        raise AssertionError("nobody has anything to tell")

    def wait(self, state: InstanceState, *, cancellable: bool) -> Event:
        """Have the present thread wait for a member."""
        self.waiters += 1
        cancelled = present(state).wait_until(lambda: self.has_event, cancellable=cancellable)
        self.waiters -= 1
        return (EVENT_CANCELLED, 0, 0) if cancelled else self.take_event()

    def poll(self, state: InstanceState, *, cancellable: bool) -> Event:
        """What there is to tell just now."""
        if present(state).task.takes_cancellation(cancellable):
            return EVENT_CANCELLED, 0, 0
        return self.take_event() if self.has_event else (EVENT_NONE, 0, 0)

    def check_unused(self) -> None:
        """Trap where it has members or somebody waits."""
        if self.members or self.waiters:
            raise ComponentTrap(ComponentTrapCode.SET_IN_USE)


class Subtask(Waitable):
    """A call of another component's, as its caller sees it. `request_cancellation` asks for its end, `result` are its
    core results."""

    __slots__ = ("_scope", "index", "is_cancelled", "is_delivered", "phase", "request_cancellation", "result")
    what = "subtask"

    def __init__(self, scope: Scope) -> None:
        super().__init__()
        self._scope = scope
        self.index = 0
        self.phase = STARTING
        self.is_cancelled = False
        self.is_delivered = False
        self.result: Any = None
        self.request_cancellation: Callable[[InstanceState | None], None] | None = None

    @property
    def is_resolved(self) -> bool:
        """Whether it has a result, or was cancelled."""
        return self.phase >= RETURNED

    def advance(self, phase: int) -> None:
        """It has come so far."""
        self.phase = phase
        if self.index:
            self.event = self._tell

    def _tell(self) -> Event:
        if self.is_resolved:
            self.deliver()
        return EVENT_SUBTASK, self.index, self.phase

    def deliver(self) -> None:
        """The caller knows that it is over: what was lent is no longer."""
        self._scope.end()
        self.is_delivered = True

    def cancel(self, state: InstanceState, *, is_async: bool) -> int:
        """`subtask.cancel`, by the instance of the caller."""
        if self.is_delivered or self.is_cancelled:
            raise ComponentTrap(ComponentTrapCode.CANCELLED_TWICE)
        if not is_async:
            self.refuse_in_set()
        if not self.is_resolved:
            self.is_cancelled = True
            assert self.request_cancellation is not None
            self.request_cancellation(state)
            if not self.is_resolved:
                if is_async:
                    return BLOCKED
                while not self.is_resolved:
                    self.event = None
                    self.await_event(state)
        self.take_event()
        return self.phase

    def check_over(self) -> None:
        """Trap where the caller does not know of its end yet."""
        if not self.is_delivered:
            raise ComponentTrap(ComponentTrapCode.SUBTASK_UNRESOLVED)
