"""Streams and futures as Python sees them: the ends that read and write (`StreamReader`, `StreamWriter`,
`FutureReader`, `FutureWriter`).

What a component gives Python is an end that reads. What Python gives a component can be that, or for a stream anything
that can be iterated over, which is asked for values when the component reads them, and for a future the value itself.
`stream()` and `future()` make both ends of a new one, of which the one that reads is to be given away.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from wasmark.component.abi.buffers import Buffer
from wasmark.component.abi.carriers import (
    COMPLETED,
    DROPPED,
    NO_TYPE,
    CarrierType,
    ReadableFuture,
    ReadableStream,
    Shared,
    SharedFuture,
    Waiting,
    WritableFuture,
    WritableStream,
)
from wasmark.component.abi.threads import scheduler_of
from wasmark.component.abi.waitables import BLOCKED
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.core.generic import Generic, TypeVar

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator
    from types import TracebackType
    from typing import Any, Final, Self

    from wasmark.component.abi.carriers import End
    from wasmark.component.abi.guest import Guest
    from wasmark.store import Store

_T = TypeVar("_T")
_CHUNK: Final = 1 << 16
"""How many values are read at once where nobody says how many."""


class _Source(Buffer):
    """Values of Python's that are read."""

    __slots__ = ("_values",)
    is_host = True

    def __init__(self, values: Any) -> None:
        super().__init__(len(values), is_plain=True)
        self._values = values

    def read(self, count: int, *, with_host: bool) -> Any:
        return self._values[self.progress : self.progress + count]


class _Sink(Buffer):
    """Room for values that Python gets."""

    __slots__ = ("values",)
    is_host = True

    def __init__(self, length: int) -> None:
        super().__init__(length, is_plain=True)
        self.values: Any = None

    def write(self, values: Any, count: int, *, with_host: bool) -> None:
        self.values = values if self.values is None else self.values + values


class _Pulled(Shared):
    """A stream whose values come out of an iterator when a component reads."""

    __slots__ = ("_values",)

    def __init__(self, values: Iterator[Any]) -> None:
        super().__init__(NO_TYPE)
        self._values = values

    def copy(self, comer: Waiting, *, reads: bool) -> None:
        if not self.is_dropped and comer.buffer.remaining:
            values = list(islice(self._values, comer.buffer.remaining))
            if not values:
                self.is_dropped = True
            else:
                _Source(values).copy_to(comer.buffer, len(values))
        comer.done(DROPPED if self.is_dropped else COMPLETED)


class _Known(SharedFuture):
    """A future whose value is there."""

    __slots__ = ("_value",)

    def __init__(self, value: Any) -> None:
        super().__init__(NO_TYPE)
        self._value = value

    def copy(self, comer: Waiting, *, reads: bool) -> None:
        _Source([self._value]).copy_to(comer.buffer, 1)
        comer.done(COMPLETED)


class _Place:
    """What both ends of one stream or future know of the store that it is used in, once a component has had it."""

    __slots__ = ("_lease", "store")

    def __init__(self, store: Store | None = None) -> None:
        self.store: Store | None = None
        if store is not None:
            self.be_in(store)

    def be_in(self, store: Store) -> None:
        """From now on it is used there."""
        self.store = store
        self._lease = scheduler_of(store).lease()

    def lose(self, end: End) -> None:
        """Python has let go of an end. What follows from that waits until nobody else is in the store."""
        if self.store is None:
            end.let_go()
        else:
            scheduler = scheduler_of(self.store)
            scheduler.let_go.append(end.let_go)
            scheduler.jobs.wake()


class _HostEnd:
    """An end in the hands of Python."""

    __slots__ = ("_end", "_place")

    def __init__(self, end: End, place: _Place) -> None:
        self._end: End | None = end
        self._place = place

    def _used(self) -> End:
        if self._end is None:
            raise ValueError(f"the {type(self).__name__} is closed or was given away")
        return self._end

    def _copy(self, buffer: Buffer) -> int:
        """Read or write, and let components run until that is over; how it went."""
        end, store = self._used(), self._place.store
        if store is None:
            return _copy_alone(end, buffer)
        scheduler = scheduler_of(store)
        with scheduler.entered(store):
            answer = _begin(end, buffer)
            scheduler.jobs.wake()
            if answer == BLOCKED:
                try:
                    scheduler.run_until(store, lambda: end.event is not None)
                except BaseException:
                    end.give_up()
                    raise
                answer = end.take_event()[2]
        return answer & 0xF

    async def _copy_async(self, buffer: Buffer) -> int:
        """The same for an event loop."""
        end, store = self._used(), self._place.store
        if store is None:
            return _copy_alone(end, buffer)
        scheduler = scheduler_of(store)
        with scheduler.entered(store):
            answer = _begin(end, buffer)
        scheduler.jobs.wake()
        if answer == BLOCKED:
            try:
                await scheduler.run_until_async(store, lambda: end.event is not None)
            finally:
                with scheduler.entered(store):
                    if end.event is None:
                        end.give_up()
                    else:
                        answer = end.take_event()[2]
        return answer & 0xF

    def close(self) -> None:
        """Let go of it; whoever has the other end sees that when it runs next. Again, nothing happens."""
        end, self._end = self._end, None
        if end is not None:
            self._place.lose(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def __del__(self) -> None:
        end = getattr(self, "_end", None)
        if end is not None:
            self._place.lose(end)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}{', closed' if self._end is None else ''}>"


def _begin(end: End, buffer: Buffer) -> int:
    end.check_idle()
    return end.copy(None, buffer, is_async=True)


def _copy_alone(end: End, buffer: Buffer) -> int:
    """Read or write where no component has had the other end yet."""
    answer = _begin(end, buffer)
    if answer == BLOCKED:
        end.give_up()
        raise ComponentTrap(ComponentTrapCode.DEADLOCK)
    return answer & 0xF


class StreamReader(_HostEnd, Generic[_T]):
    """The end of a stream that reads. Iterating over it, with `for` or `async for`, gives its values one by one, until
    the other end is closed."""

    __slots__ = ()

    def read(self, count: int = _CHUNK) -> Any:
        """The next values, at least one and at most `count`, as a list; for a `stream<u8>` as bytes. None are left once
        the other end is closed. Components run meanwhile; what they raise comes out of here. Raises ComponentTrap where
        nobody would ever write."""
        sink = _sink(count)
        while sink.values is None and self._used().can_copy:
            self._copy(sink)
        return [] if sink.values is None else sink.values

    async def read_async(self, count: int = _CHUNK) -> Any:
        """The same for an event loop, which runs on."""
        sink = _sink(count)
        while sink.values is None and self._used().can_copy:
            await self._copy_async(sink)
        return [] if sink.values is None else sink.values

    def __iter__(self) -> Iterator[_T]:
        while values := self.read():
            yield from values

    async def __aiter__(self) -> AsyncIterator[_T]:
        while values := await self.read_async():
            for value in values:
                yield value


class StreamWriter(_HostEnd, Generic[_T]):
    """The end of a stream that writes. The other one learns from `close` that there is nothing more to come."""

    __slots__ = ()

    def write(self, values: Iterable[_T]) -> int:
        """Write values, and let components run until they have read all of them, or have closed their end; how many
        were read. Raises what components raise, TypeError for values that do not fit, and ComponentTrap where nobody
        would ever read."""
        source = _source(values)
        while source.remaining and self._used().can_copy:
            self._copy(source)
        return source.progress

    async def write_async(self, values: Iterable[_T]) -> int:
        """The same for an event loop, which runs on."""
        source = _source(values)
        while source.remaining and self._used().can_copy:
            await self._copy_async(source)
        return source.progress


def _sink(count: int) -> _Sink:
    if count < 1:
        raise ValueError("at least one value is read at once")
    return _Sink(count)


def _source(values: Iterable[Any]) -> _Source:
    return _Source(values if isinstance(values, Sequence | bytearray | memoryview) else list(values))


class FutureReader(_HostEnd, Generic[_T]):
    """The end of a future that reads."""

    __slots__ = ()

    def read(self) -> _T:
        """The value; components run until it is there. Raises what they raise, and ComponentTrap where nobody would
        ever write it."""
        sink = _Sink(1)
        self._copy(sink)
        return self._taken(sink)

    async def read_async(self) -> _T:
        """The same for an event loop, which runs on."""
        sink = _Sink(1)
        await self._copy_async(sink)
        return self._taken(sink)

    def _taken(self, sink: _Sink) -> _T:
        self.close()
        value: _T = sink.values[0]
        return value


class FutureWriter(_HostEnd, Generic[_T]):
    """The end of a future that writes."""

    __slots__ = ()

    def write(self, value: _T) -> bool:
        """Write the value, and let components run until it is read; whether anybody wanted it. Raises what they raise,
        TypeError for a value that does not fit, and ComponentTrap where nobody would ever read it."""
        source = _Source([value])
        self._copy(source)
        self.close()
        return bool(source.progress)

    async def write_async(self, value: _T) -> bool:
        """The same for an event loop, which runs on."""
        source = _Source([value])
        await self._copy_async(source)
        self.close()
        return bool(source.progress)


def stream() -> tuple[StreamReader[Any], StreamWriter[Any]]:
    """Both ends of a new stream, of the type of the parameter or result that the first is given for."""
    shared, place = Shared(NO_TYPE), _Place()
    return StreamReader(ReadableStream(shared), place), StreamWriter(WritableStream(shared), place)


def future() -> tuple[FutureReader[Any], FutureWriter[Any]]:
    """Both ends of a new future, in the same way."""
    shared, place = SharedFuture(NO_TYPE), _Place()
    return FutureReader(ReadableFuture(shared), place), FutureWriter(WritableFuture(shared), place)


def get_carrier(guest: Guest, carrier: CarrierType, index: int) -> StreamReader[Any] | FutureReader[Any]:
    """What Python gets for the readable end of a component's."""
    kind = StreamReader if carrier.is_stream else FutureReader
    return kind(carrier.readable(carrier.take(guest.state, index)), _Place(guest.state.store))


def give_carrier(guest: Guest, carrier: CarrierType, value: Any) -> int:
    """A handle for what Python gives. Raises TypeError, ValueError."""
    kind = StreamReader if carrier.is_stream else FutureReader
    if isinstance(value, kind):
        return _give_end(guest, carrier, value)
    if isinstance(value, _HostEnd):
        raise TypeError(f"expected a {kind.__name__}, got {value!r}")
    shared = _Pulled(iter(value)) if carrier.is_stream else _Known(value)
    shared.type = carrier.key
    return carrier.put(guest.state, shared)


def _give_end(guest: Guest, carrier: CarrierType, value: StreamReader[Any] | FutureReader[Any]) -> int:
    end = value._used()
    shared = end.shared
    place = value._place
    if shared.type is not NO_TYPE and shared.type != carrier.key:
        raise TypeError("a stream or future of another type is expected")
    if place.store is not None and place.store is not guest.state.store:
        raise ValueError("the stream or future belongs to another store")
    assert isinstance(end, ReadableStream)
    shared = end.taken()
    value._end = None
    if shared.type is NO_TYPE:
        shared.type = carrier.key
        place.be_in(guest.state.store)
    return carrier.put(guest.state, shared)
