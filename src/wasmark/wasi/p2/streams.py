"""`wasi:io/streams` and `wasi:io/error`: streams of bytes, over files and over what the program was given.

What is written has reached the host when `write` returns, so there is nothing to flush. A permit (`check-write`) is how
much can be written without waiting: writing more is a trap, as the interface has it.
"""

from __future__ import annotations

import os
import select

from wasmark.component.values import ResultError
from wasmark.wasi.abi import Errno, WasiError
from wasmark.wasi.descriptors import HostFd
from wasmark.wasi.p2.labels import errno_of, error_code
from wasmark.wasi.p2.pollables import Pollable
from wasmark.wasi.p2.refusal import refuse
from wasmark.wasi.patience import at_most
from wasmark.wasi.waiting import wait_for_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, TypeVar

    from wasmark.wasi.descriptors import Descriptor
    from wasmark.wasi.p2.world import World

    _T = TypeVar("_T")

MOST_AT_ONCE: Final = 1 << 20
"""Most bytes of one read, and the largest permit."""
MOST_OF_A_PIPE: Final = 4096
"""What a pipe that is ready takes without waiting (POSIX, `PIPE_BUF` on Linux)."""
MOST_BLOCKING: Final = 4096
"""Most bytes of `blocking-write-and-flush`."""
_PATIENCE: Final = 0.001
"""Seconds between two attempts at a Python object that has nothing yet."""


class StreamFailure:
    """Resource `error` of `wasi:io/error`."""

    __slots__ = ("_sentence", "code")

    def __init__(self, error: WasiError | OSError) -> None:
        self.code = errno_of(error)
        self._sentence = str(error)

    def to_debug_string(self) -> str:
        return self._sentence


def filesystem_error_code(error: StreamFailure) -> str:
    """`filesystem-error-code` of `wasi:filesystem/types`."""
    return error_code(error.code)


class _Stream:
    """What both directions have in common. `descriptor` is read or written; with a `position` it is a file, and of it
    alone. `number` is the descriptor's in the table, where the stream has one to close."""

    __slots__ = ("_clocks", "_descriptor", "_failed", "_number", "_position", "_table")

    def __init__(
        self, world: World, descriptor: Descriptor, number: int | None = None, *, position: int | None = None
    ) -> None:
        self._table = world.table
        self._clocks = world.clocks
        self._descriptor = descriptor
        self._position = position
        self._number = number
        self._failed = False

    def drop(self) -> None:
        """The program has no use for it any more."""
        if self._number is not None:
            number, self._number = self._number, None
            self._table.discard(number, self._descriptor)

    def _waitable(self, *, write: bool) -> HostFd | None:
        """What to wait for; None where it is always ready: files, Python objects, and what is over."""
        if self._failed or self._position is not None:
            return None
        return self._descriptor.waitable(write=write)

    def _is_ready(self, *, write: bool) -> bool:
        host = self._waitable(write=write)
        if host is None:
            return True
        with host as number:
            return bool(wait_for_descriptors([(number, select.POLLOUT if write else select.POLLIN)], 0))

    def _wait(self, *, write: bool) -> None:
        host = self._waitable(write=write)
        if host is not None:
            with host as number:
                wait_for_descriptors([(number, select.POLLOUT if write else select.POLLIN)], at_most(None))

    def _attempt(self, action: Callable[[], _T]) -> _T:
        """`action`, whose failure is that of the stream: it is closed afterwards."""
        if self._failed:
            raise ResultError("closed")
        try:
            return action()
        except (WasiError, OSError) as error:
            self._failed = True
            raise ResultError(("last-operation-failed", StreamFailure(error))) from None


class InputStream(_Stream):
    """Resource `input-stream`."""

    __slots__ = ()

    def read(self, length: int) -> memoryview:
        return self._attempt(lambda: self._read(length) if self._is_ready(write=False) else memoryview(b""))

    def blocking_read(self, length: int) -> memoryview:
        return self._attempt(lambda: self._blocking_read(length))

    def skip(self, length: int) -> int:
        return len(self.read(length))

    def blocking_skip(self, length: int) -> int:
        return len(self.blocking_read(length))

    def subscribe(self) -> Pollable:
        return Pollable(self._clocks, host=self._waitable(write=False))

    def _read(self, length: int) -> memoryview:
        """What is there, at most `length` bytes. The end of it closes the stream."""
        if not length:
            return memoryview(b"")
        buffer = memoryview(bytearray(min(length, MOST_AT_ONCE)))
        if self._position is None:
            try:
                count = self._descriptor.read([buffer])
            except WasiError as error:
                if error.code is not Errno.AGAIN:
                    raise
                return buffer[:0]
        else:
            count = self._descriptor.pread([buffer], self._position)
            self._position += count
        if not count:
            raise ResultError("closed")
        return buffer[:count]

    def _blocking_read(self, length: int) -> memoryview:
        while True:
            self._wait(write=False)
            data = self._read(length)
            if data or not length or at_most(None) == 0:
                return data
            self._clocks.sleep(_PATIENCE)


class OutputStream(_Stream):
    """Resource `output-stream`. A file is written at `position`, or at its end where `append` is set."""

    __slots__ = ("_append", "_permit")

    def __init__(
        self,
        world: World,
        descriptor: Descriptor,
        number: int | None = None,
        *,
        position: int | None = None,
        append: bool = False,
    ) -> None:
        super().__init__(world, descriptor, number, position=position)
        self._append = append
        self._permit = 0

    def check_write(self) -> int:
        self._permit = self._attempt(self._room)
        return self._permit

    def write(self, contents: bytes) -> None:
        if len(contents) > self._permit:
            refuse(f"wasi:io/streams: {len(contents)} bytes written, {self._permit} permitted")
        self._permit -= len(contents)
        self._attempt(lambda: self._write(contents))

    def blocking_write_and_flush(self, contents: bytes) -> None:
        if len(contents) > MOST_BLOCKING:
            refuse(f"wasi:io/streams: {len(contents)} bytes in a blocking write, {MOST_BLOCKING} are the most")
        self._attempt(lambda: self._write(contents))

    def flush(self) -> None:
        self._attempt(lambda: None)

    def blocking_flush(self) -> None:
        self._attempt(lambda: None)

    def write_zeroes(self, length: int) -> None:
        if length > self._permit:
            refuse(f"wasi:io/streams: {length} zeroes written, {self._permit} permitted")
        self.write(bytes(length))

    def blocking_write_zeroes_and_flush(self, length: int) -> None:
        if length > MOST_BLOCKING:
            refuse(f"wasi:io/streams: {length} zeroes in a blocking write, {MOST_BLOCKING} are the most")
        self.blocking_write_and_flush(bytes(length))

    def splice(self, source: InputStream, length: int) -> int:
        permit = self._attempt(self._room)
        data = source.read(min(length, permit))
        self._attempt(lambda: self._write(data))
        return len(data)

    def blocking_splice(self, source: InputStream, length: int) -> int:
        self._attempt(lambda: self._wait(write=True))
        permit = self._attempt(self._room)
        data = source.blocking_read(min(length, permit))
        self._attempt(lambda: self._write(data))
        return len(data)

    def subscribe(self) -> Pollable:
        return Pollable(self._clocks, host=self._waitable(write=True), write=True)

    def _room(self) -> int:
        if self._waitable(write=True) is None:
            return MOST_AT_ONCE
        return MOST_OF_A_PIPE if self._is_ready(write=True) else 0

    def _write(self, contents: bytes | memoryview) -> None:
        """All of it, however long it takes, unless the thread has no more time."""
        left = memoryview(contents)
        while left:
            try:
                count = self._put(left)
            except WasiError as error:
                if error.code is not Errno.AGAIN:
                    raise
                count = 0
            except BlockingIOError:
                count = 0
            left = left[count:]
            if not count:
                if at_most(None) == 0:
                    return
                self._wait(write=True)
                self._clocks.sleep(_PATIENCE)

    def _put(self, contents: memoryview) -> int:
        if self._position is None:
            return self._descriptor.write([contents])
        if self._append:
            with self._descriptor.host() as number:
                return os.pwritev(number, [contents], 0, os.RWF_APPEND)
        count = self._descriptor.pwrite([contents], self._position)
        self._position += count
        return count
