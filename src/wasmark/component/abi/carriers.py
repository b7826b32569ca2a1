"""Streams and futures: what carries values from one task to another (CanonicalABI.md, "Stream State", "Future State").

Both ends share a `Shared`. Whoever reads or writes brings a buffer (`abi.buffers`); the first to come waits with it,
the second copies. Each is told how it went: `done(result)` when it is over, `copied(reclaim)` when something has been
copied for the one that waits. That one waits on until it calls `reclaim`.
"""

from __future__ import annotations

from wasmark.component.abi.waitables import (
    BLOCKED,
    EVENT_FUTURE_READ,
    EVENT_FUTURE_WRITE,
    EVENT_STREAM_READ,
    EVENT_STREAM_WRITE,
    Event,
    Waitable,
)
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.buffers import Buffer
    from wasmark.component.abi.handles import InstanceState

COMPLETED: Final = 0
DROPPED: Final = 1
CANCELLED: Final = 2
"""How a copy went."""


NO_TYPE: Final = object()


class Waiting:
    """Who came first: its instance (None: Python), its buffer, and how it is told."""

    __slots__ = ("buffer", "copied", "done", "state")

    def __init__(
        self,
        state: InstanceState | None,
        buffer: Buffer,
        copied: Callable[[Callable[[], None]], None],
        done: Callable[[int], None],
    ) -> None:
        self.state = state
        self.buffer = buffer
        self.copied = copied
        self.done = done


class Shared:
    """What both ends have in common. `type` is the `CarrierType.key` of what it carries, NO_TYPE for what Python has
    made and no component has had yet, `is_dropped` whether one of them is gone."""

    __slots__ = ("is_dropped", "type", "waiting")
    is_stream = True

    def __init__(self, type_: object) -> None:
        self.type = type_
        self.is_dropped = False
        self.waiting: Waiting | None = None

    def _forget(self) -> None:
        self.waiting = None

    def _dismiss(self, result: int) -> None:
        waiting, self.waiting = self.waiting, None
        assert waiting is not None
        waiting.done(result)

    def cancel(self) -> None:
        """Whoever waits no longer wants to."""
        self._dismiss(CANCELLED)

    def drop(self) -> None:
        """One end is gone."""
        if not self.is_dropped:
            self.is_dropped = True
            if self.waiting is not None:
                self._dismiss(DROPPED)

    def copy(self, comer: Waiting, *, reads: bool) -> None:
        """Somebody reads or writes."""
        if self.is_dropped:
            comer.done(DROPPED)
        elif self.waiting is None:
            self.waiting = comer
        else:
            self._meet(self.waiting, comer, reads=reads)

    def _refuse_within_one(self, first: Waiting, comer: Waiting) -> None:
        if comer.state is first.state and comer.state is not None and not comer.buffer.is_plain:
            raise ComponentTrap(
                ComponentTrapCode.WITHIN_ONE_STREAM if self.is_stream else ComponentTrapCode.WITHIN_ONE_FUTURE
            )

    def _meet(self, first: Waiting, comer: Waiting, *, reads: bool) -> None:
        self._refuse_within_one(first, comer)
        ours, theirs = comer.buffer, first.buffer
        if theirs.remaining:
            if ours.remaining:
                source, target = (theirs, ours) if reads else (ours, theirs)
                source.copy_to(target, min(ours.remaining, theirs.remaining))
                first.copied(self._forget)
            comer.done(COMPLETED)
        elif not reads and not ours.length and not theirs.length:
            comer.done(COMPLETED)
        else:
            self._dismiss(COMPLETED)
            self.waiting = comer


class SharedFuture(Shared):
    """The same of a future: there is one value, once."""

    __slots__ = ()
    is_stream = False

    def _meet(self, first: Waiting, comer: Waiting, *, reads: bool) -> None:
        self._refuse_within_one(first, comer)
        source, target = (first.buffer, comer.buffer) if reads else (comer.buffer, first.buffer)
        source.copy_to(target, 1)
        self._dismiss(COMPLETED)
        comer.done(COMPLETED)


_IDLE: Final = 0
_COPYING: Final = 1
_CANCELLING: Final = 2
_DONE: Final = 3


class End(Waitable):
    """One end in the hands of a component. The four kinds differ by what they do, and in the traps for what they do not
    do; `event_code` is what the end of a copy is told by."""

    __slots__ = ("_buffer", "index", "phase", "shared")
    reads = True
    event_code = EVENT_STREAM_READ
    ended = ComponentTrapCode.READ_ENDED_STREAM
    busy_drop = ComponentTrapCode.DROP_BUSY_STREAM

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self.shared = shared
        self.phase = _IDLE
        self.index = 0
        self._buffer: Buffer | None = None

    def check_idle(self) -> None:
        """Trap where it cannot read or write."""
        if self.phase == _DONE:
            raise ComponentTrap(self.ended)
        if self.phase != _IDLE:
            raise ComponentTrap(ComponentTrapCode.BUSY)

    def copy(self, state: InstanceState | None, buffer: Buffer, *, is_async: bool) -> int:
        """Read or write, for an instance or for Python (None): how it went, or BLOCKED where it goes on in the
        background."""

        def copied(reclaim: Callable[[], None]) -> None:
            self.event = lambda: self._told(COMPLETED, buffer, reclaim)

        def done(result: int) -> None:
            self.event = lambda: self._told(result, buffer, None)

        self.phase = _COPYING
        self._buffer = buffer
        self.shared.copy(Waiting(state, buffer, copied, done), reads=self.reads)
        return self._answer(state, is_async=is_async)

    def _answer(self, state: InstanceState | None, *, is_async: bool) -> int:
        if self.event is None:
            if is_async:
                return BLOCKED
            assert state is not None
            self.await_event(state)
        return self.take_event()[2]

    def _told(self, result: int, buffer: Buffer, reclaim: Callable[[], None] | None) -> Event:
        if reclaim is not None:
            reclaim()
        self.phase = _DONE if self._is_over(result) else _IDLE
        return self.event_code, self.index, result | buffer.progress << 4

    def _is_over(self, result: int) -> bool:
        return result == DROPPED

    def cancel(self, state: InstanceState, *, is_async: bool) -> int:
        """Stop reading or writing: how far it came, or BLOCKED."""
        if self.phase != _COPYING or self.is_awaited:
            raise ComponentTrap(ComponentTrapCode.NOT_COPYING)
        if not is_async:
            self.refuse_in_set()
        self.phase = _CANCELLING
        self._stop_copying()
        return self._answer(state, is_async=is_async)

    def _stop_copying(self) -> None:
        waiting = self.shared.waiting
        if waiting is not None and waiting.buffer is self._buffer and waiting.buffer.remaining:
            self.shared.cancel()

    @property
    def can_copy(self) -> bool:
        """Whether the other end has not been seen to be gone."""
        return self.phase != _DONE

    def give_up(self) -> None:
        """For Python, whom an exception has come to: stop reading or writing."""
        self._stop_copying()
        if self.event is not None:
            self.take_event()

    def let_go(self) -> None:
        """For Python: it is gone, whatever it did."""
        self._stop_copying()
        self.shared.drop()

    def drop(self) -> None:
        """It is gone."""
        if self.phase in (_COPYING, _CANCELLING):
            raise ComponentTrap(self.busy_drop)
        self.shared.drop()
        self.join(None)


class ReadableStream(End):
    """The end of a stream that reads."""

    __slots__ = ()
    what = "readable end of a stream"
    busy_drop = ComponentTrapCode.REMOVE_BUSY_STREAM
    ended_lift = ComponentTrapCode.LIFT_ENDED_STREAM
    joined_lift = ComponentTrapCode.LIFT_JOINED_STREAM

    def taken(self) -> Shared:
        """What it reads from, for another component."""
        if self.phase == _DONE:
            raise ComponentTrap(self.ended_lift)
        if self.phase != _IDLE:
            raise ComponentTrap(self.busy_drop)
        if self.set is not None:
            raise ComponentTrap(self.joined_lift)
        return self.shared


class WritableStream(End):
    """The end of a stream that writes."""

    __slots__ = ()
    what = "writable end of a stream"
    reads = False
    event_code = EVENT_STREAM_WRITE
    ended = ComponentTrapCode.WRITE_ENDED_STREAM


class _FutureEnd(End):
    """What both ends of a future have in common."""

    __slots__ = ()
    busy_drop = ComponentTrapCode.DROP_BUSY_FUTURE

    def _told(self, result: int, buffer: Buffer, reclaim: Callable[[], None] | None) -> Event:
        code, index, _ = super()._told(result, buffer, reclaim)
        return code, index, result

    def _is_over(self, result: int) -> bool:
        return result != CANCELLED


class ReadableFuture(_FutureEnd, ReadableStream):
    """The end of a future that reads."""

    __slots__ = ()
    what = "readable end of a future"
    busy_drop = ComponentTrapCode.REMOVE_BUSY_FUTURE
    event_code = EVENT_FUTURE_READ
    ended = ComponentTrapCode.READ_ENDED_FUTURE
    ended_lift = ComponentTrapCode.LIFT_ENDED_FUTURE
    joined_lift = ComponentTrapCode.LIFT_JOINED_FUTURE


class WritableFuture(_FutureEnd, WritableStream):
    """The end of a future that writes."""

    __slots__ = ()
    what = "writable end of a future"
    event_code = EVENT_FUTURE_WRITE
    ended = ComponentTrapCode.WRITE_ENDED_FUTURE

    def drop(self) -> None:
        if self.phase == _IDLE:
            raise ComponentTrap(ComponentTrapCode.DROP_UNWRITTEN_FUTURE)
        super().drop()


class CarrierType:
    """A type `stream<T>` or `future<T>` as an instance has it. `element` is what it carries, `key` the same with the
    resources that its types stand for: two are one type where their keys are the same."""

    __slots__ = ("element", "is_stream", "key")

    def __init__(self, element: Any, key: object, *, is_stream: bool) -> None:
        self.element = element
        self.key = key
        self.is_stream = is_stream

    @property
    def readable(self) -> type[ReadableStream]:
        """The class of its readable ends."""
        return ReadableStream if self.is_stream else ReadableFuture

    @property
    def writable(self) -> type[WritableStream]:
        """The class of its writable ends."""
        return WritableStream if self.is_stream else WritableFuture

    def new(self) -> Shared:
        """A stream or future with nothing in it."""
        return Shared(self.key) if self.is_stream else SharedFuture(self.key)

    def end(self, state: InstanceState, index: int, kind: type[End]) -> Any:
        """The end with an index, which must be of this type and kind."""
        found = state.handles.entry(index, kind)
        # The ends of streams and futures have a class in common.
        if type(found) is not kind or found.shared.type != self.key:
            raise ComponentTrap(
                ComponentTrapCode.WRONG_HANDLE_TYPE,
                f"handle index {index} used with the wrong type, expected another {kind.what}",
            )
        return found

    def take(self, state: InstanceState, index: int) -> Shared:
        """What a readable end reads from that is given away."""
        found: ReadableStream = self.end(state, index, self.readable)
        shared = found.taken()
        state.handles.forget(index)
        return shared

    def put(self, state: InstanceState, shared: Shared) -> int:
        """The index of a new readable end."""
        end = self.readable(shared)
        end.index = state.handles.add(end)
        return end.index
