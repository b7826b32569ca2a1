"""`wasi:io`: streams over the descriptors of preview 1, errors, and waiting for the first of several things."""

from __future__ import annotations

import contextlib
import math
import os
import select

from wasmark.component.values import ResultError
from wasmark.wasi.abi import Errno, FileType, WasiError, from_os_error
from wasmark.wasi.patience import at_most

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.wasi.clock import Clocks
    from wasmark.wasi.descriptors import Descriptor, HostFd

CHUNK: Final = 1 << 20
"""Most bytes that one call moves."""
_LONGEST: Final = 86_400 * 10**9
"""Longest single wait in nanoseconds."""


class IoError:
    """`wasi:io/error`: what a stream failed with."""

    def __init__(self, code: Errno) -> None:
        self.code = code

    def to_debug_string(self) -> str:
        """For people."""
        return self.code.name.lower()


class StreamFailure:
    """A context manager that makes the errors of preview 1 those of a stream."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if isinstance(error, WasiError | OSError):
            code = error.code if isinstance(error, WasiError) else from_os_error(error)
            raise ResultError(("last-operation-failed", IoError(code))) from None


_failing: Final = StreamFailure()


class Pollable:
    """Something that can be waited for: a moment of the monotonic clock, a descriptor of the host, or nothing, which is
    always ready."""

    def __init__(
        self, polling: Polling, *, instant: int | None = None, host: HostFd | None = None, write: bool = False
    ) -> None:
        self._polling = polling
        self.instant = instant
        self.host = host
        self.events = select.POLLOUT if write else select.POLLIN

    def ready(self) -> bool:
        """Whether it is there."""
        return bool(self._polling.wait([self], block=False))

    def block(self) -> None:
        """Wait for it."""
        self._polling.wait([self], block=True)


class Polling:
    """Waits for pollables; `clocks` has the time."""

    def __init__(self, clocks: Clocks) -> None:
        self.clocks = clocks

    def poll(self, pollables: list[Pollable]) -> list[int]:
        """`wasi:io/poll`: the places of those that are ready, one at least."""
        if not pollables:
            raise ValueError("poll: there is nothing to wait for")
        return self.wait(pollables, block=True)

    def wait(self, pollables: list[Pollable], *, block: bool) -> list[int]:
        """The places of those that are ready; none only if that shall not take time, or there is none left."""
        with contextlib.ExitStack() as pins:
            numbers = [None if each.host is None else pins.enter_context(each.host) for each in pollables]
            while True:
                now = self.clocks.monotonic()
                soonest = min((each.instant for each in pollables if each.instant is not None), default=None)
                idle = any(each.instant is None and each.host is None for each in pollables)
                wait = 0 if idle or not block else None if soonest is None else max(0, soonest - now)
                fired = self._sleep(pollables, numbers, wait)
                now = self.clocks.monotonic()
                found = [
                    place
                    for place, each in enumerate(pollables)
                    if (each.host is None and each.instant is None)
                    or (each.instant is not None and each.instant <= now)
                    or place in fired
                ]
                if found or not block or at_most(None) == 0:
                    return found

    def _sleep(self, pollables: list[Pollable], numbers: list[int | None], wait: int | None) -> set[int]:
        """Wait so many nanoseconds (None: for ever); the places of the descriptors that are ready."""
        limited = at_most(_LONGEST if wait is None else min(wait, _LONGEST))
        assert limited is not None
        if all(number is None for number in numbers):
            if limited:
                self.clocks.sleep(limited / 1e9)
            return set()
        poller = select.poll()
        for each, number in zip(pollables, numbers, strict=True):
            if number is not None:
                poller.register(number, each.events)
        ready = {number for number, _ in poller.poll(math.ceil(limited / 1e6))}
        return {place for place, number in enumerate(numbers) if number in ready}


class InputStream:
    """`input-stream`: reads a descriptor, from its position or, with `offset`, from that place of a file on."""

    def __init__(self, polling: Polling, descriptor: Descriptor, offset: int | None = None) -> None:
        self._polling = polling
        self._descriptor = descriptor
        self._offset = offset

    def read(self, length: int) -> bytes:
        """What is there, at most so many bytes."""
        return self.blocking_read(length) if self.subscribe().ready() else b""

    def blocking_read(self, length: int) -> bytes:
        """At least one byte, unless none are wanted; the stream is closed at the end."""
        if not length:
            return b""
        buffer = bytearray(min(length, CHUNK))
        with _failing, memoryview(buffer) as view:
            if self._offset is None:
                count = self._descriptor.read([view])
            else:
                count = self._descriptor.pread([view], self._offset)
                self._offset += count
        if not count:
            raise ResultError("closed")
        return bytes(buffer[:count])

    def skip(self, length: int) -> int:
        """How many bytes were left out."""
        return len(self.read(length))

    def blocking_skip(self, length: int) -> int:
        """The same, waiting for one at least."""
        return len(self.blocking_read(length))

    def subscribe(self) -> Pollable:
        """Ready when there is something to read."""
        regular = self._descriptor.filetype == FileType.REGULAR_FILE
        host = None if self._offset is not None or regular else self._descriptor.waitable(write=False)
        return Pollable(self._polling, host=host)


class OutputStream:
    """`output-stream`: writes to a descriptor, at its position, from `offset` on, or at the end of a file."""

    def __init__(
        self, polling: Polling, descriptor: Descriptor, offset: int | None = None, *, append: bool = False
    ) -> None:
        self._polling = polling
        self._descriptor = descriptor
        self._offset = offset
        self._append = append

    def check_write(self) -> int:
        """How much can be written at once."""
        return CHUNK

    def write(self, contents: bytes) -> None:
        """Write all of it."""
        view = memoryview(contents)
        with _failing:
            while view:
                if self._append:
                    with self._descriptor.host() as number:
                        self._offset = os.fstat(number).st_size
                if self._offset is None:
                    count = self._descriptor.write([view])
                else:
                    count = self._descriptor.pwrite([view], self._offset)
                    self._offset += count
                view = view[count:]

    def flush(self) -> None:
        """Nothing is held back."""

    def write_zeroes(self, length: int) -> None:
        """Write so many zeros."""
        for start in range(0, length, CHUNK):
            self.write(bytes(min(length - start, CHUNK)))

    def splice(self, source: InputStream, length: int) -> int:
        """Move what is there from a stream to this one."""
        data = source.read(length)
        self.write(data)
        return len(data)

    def blocking_splice(self, source: InputStream, length: int) -> int:
        """The same, waiting for one byte at least."""
        data = source.blocking_read(length)
        self.write(data)
        return len(data)

    blocking_write_and_flush = write
    blocking_flush = flush
    blocking_write_zeroes_and_flush = write_zeroes

    def subscribe(self) -> Pollable:
        """Ready when something can be written: writing waits itself, so always."""
        return Pollable(self._polling)


def io_interfaces(polling: Polling) -> dict[str, Any]:
    """The interfaces of the package."""
    return {
        "wasi:io/error": {"Error": IoError},
        "wasi:io/poll": {"Pollable": Pollable, "poll": polling.poll},
        "wasi:io/streams": {"InputStream": InputStream, "OutputStream": OutputStream, "Error": IoError},
    }
