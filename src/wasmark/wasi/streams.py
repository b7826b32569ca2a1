"""Standard input, output and error: inherited from the process, or Python objects.

A stream of the process is read and written through its host descriptor, which stays open when the program closes its
own. Python objects get and give `bytes`, never a view of guest memory, and in pieces of at most `CHUNK`; they may
deliver less than was asked for. What the program has written has reached the object, flushed, when `fd_write`
returns. An exception that such an object raises passes through the program as itself, unless it is an `OSError`,
which becomes an error code.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys

from wasmark.wasi.abi import Errno, FileType, Rights, WasiError
from wasmark.wasi.descriptors import Descriptor, HostFd
from wasmark.wasi.patience import readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, Protocol
else:
    Protocol = object

CHUNK: Final = 1 << 20
"""Most bytes that one call of a Python object's `read` or `write` sees."""


class Readable(Protocol):
    """A binary file object to read from. `None` from `read` means that nothing is there yet."""

    def read(self, size: int, /) -> bytes | None: ...


class Writable(Protocol):
    """A binary file object to write to."""

    def write(self, data: bytes, /) -> Any: ...


class Capture:
    """Collects what a program writes: give it as `stdout` or `stderr` (or both, to have them interleaved).

    limit: the most bytes it takes; a program that writes more gets `NOSPC`.
    """

    def __init__(self, limit: int | None = None) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._limit = limit

    def write(self, data: bytes, /) -> int:
        """Append as much of `data` as the limit allows; the number of bytes taken."""
        if self._limit is not None:
            data = data[: self._limit - self._size] if data else data
            if not data:
                raise WasiError(Errno.NOSPC)
        self._parts.append(bytes(data))
        self._size += len(data)
        return len(data)

    def getvalue(self) -> bytes:
        """Everything written so far."""
        if len(self._parts) > 1:
            self._parts = [b"".join(self._parts)]
        return self._parts[0] if self._parts else b""

    def text(self) -> str:
        """`getvalue()` as UTF-8, with U+FFFD for what is not."""
        return self.getvalue().decode("utf-8", "replace")

    def clear(self) -> None:
        """Forget what was written."""
        self._parts.clear()
        self._size = 0

    def __bytes__(self) -> bytes:
        return self.getvalue()

    def __len__(self) -> int:
        return self._size


class Stream(Descriptor):
    """What input and output have in common: a terminal or not, and no position."""

    __slots__ = ()

    def __init__(self, *, tty: bool, rights: int) -> None:
        super().__init__(FileType.CHARACTER_DEVICE if tty else FileType.UNKNOWN, rights, rights)

    @property
    def is_terminal(self) -> bool:
        """Whether somebody sits at the other end."""
        return self.filetype == FileType.CHARACTER_DEVICE

    def seek(self, offset: int, whence: int) -> int:
        raise WasiError(Errno.SPIPE)


class InputStream(Stream):
    """A stream to read from."""

    __slots__ = ()

    def __init__(self, *, tty: bool) -> None:
        super().__init__(tty=tty, rights=Rights.FD_READ)

    def pread(self, buffers: Sequence[memoryview], offset: int) -> int:
        raise WasiError(Errno.SPIPE)


class OutputStream(Stream):
    """A stream to write to."""

    __slots__ = ()

    def __init__(self, *, tty: bool) -> None:
        super().__init__(tty=tty, rights=Rights.FD_WRITE)

    def pwrite(self, buffers: Sequence[memoryview], offset: int) -> int:
        raise WasiError(Errno.SPIPE)


class InheritedInput(InputStream):
    """A descriptor of the process. What Python has already buffered from it is not seen."""

    __slots__ = ("_host",)

    def __init__(self, number: int) -> None:
        super().__init__(tty=os.isatty(number))
        self._host = HostFd(number, owned=False)

    def read(self, buffers: Sequence[memoryview]) -> int:
        with self._host as fd:
            return os.readv(fd, buffers) if buffers and readable(fd) else 0

    def waitable(self, *, write: bool) -> HostFd:
        if write:
            raise WasiError(Errno.BADF)
        return self._host


class InheritedOutput(OutputStream):
    """A descriptor of the process; Python's own stream for it is flushed first, so that the order stays right."""

    __slots__ = ("_host", "_name")

    def __init__(self, number: int, name: str) -> None:
        super().__init__(tty=os.isatty(number))
        self._host = HostFd(number, owned=False)
        self._name = name

    def write(self, buffers: Sequence[memoryview]) -> int:
        ours = getattr(sys, self._name, None)
        if ours is not None:
            # Its error would be that of the Python program, which will see it itself.
            with contextlib.suppress(OSError, ValueError):
                ours.flush()
        with self._host as fd:
            return os.writev(fd, buffers) if buffers else 0

    def waitable(self, *, write: bool) -> HostFd:
        if not write:
            raise WasiError(Errno.BADF)
        return self._host


class ObjectInput(InputStream):
    """A Python object to read from; one that can deliver what it has (`read1`) is not asked to wait for more."""

    __slots__ = ("_object", "_read")

    def __init__(self, source: Readable) -> None:
        super().__init__(tty=_is_tty(source))
        self._object = source
        self._read = getattr(source, "read1", source.read)

    def read(self, buffers: Sequence[memoryview]) -> int:
        _check_open(self._object)
        if not buffers:
            return 0
        buffer = buffers[0]
        size = min(len(buffer), CHUNK)
        data: bytes | None = self._read(size)
        if data is None:
            raise WasiError(Errno.AGAIN)
        if len(data) > size:
            raise ValueError(f"{self._object!r}.read({size}) returned {len(data)} bytes")
        buffer[: len(data)] = data
        return len(data)

    def waitable(self, *, write: bool) -> None:
        if write:
            raise WasiError(Errno.BADF)


class ObjectOutput(OutputStream):
    """A Python object to write to."""

    __slots__ = ("_object", "_raw")

    def __init__(self, sink: Writable) -> None:
        super().__init__(tty=_is_tty(sink))
        self._object = sink
        self._raw = isinstance(sink, io.RawIOBase)

    def write(self, buffers: Sequence[memoryview]) -> int:
        _check_open(self._object)
        done = 0
        try:
            for buffer in buffers:
                for start in range(0, len(buffer), CHUNK):
                    size = min(CHUNK, len(buffer) - start)
                    taken: int | None = self._object.write(bytes(buffer[start : start + size]))
                    if taken is None:
                        if self._raw:
                            raise WasiError(Errno.AGAIN)
                        taken = size
                    done += taken
                    if taken < size:
                        return done
        except (WasiError, OSError):
            if not done:
                raise
        finally:
            flush = getattr(self._object, "flush", None)
            if flush is not None:
                flush()
        return done

    def waitable(self, *, write: bool) -> None:
        if not write:
            raise WasiError(Errno.BADF)


def _is_tty(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty()) if isatty is not None else False


def _check_open(stream: object) -> None:
    if getattr(stream, "closed", False):
        raise WasiError(Errno.BADF)


def _binary(stream: object, name: str) -> object:
    """The binary stream under a text stream such as `sys.stdout`; anything else as it is."""
    if isinstance(stream, io.TextIOBase):
        below = getattr(stream, "buffer", None)
        if below is None:
            raise TypeError(f"{name} must be a binary file object, not {type(stream).__name__}")
        stream.flush()
        return below
    return stream


def input_stream(source: Readable | bytes | bytearray | None) -> InputStream:
    """Standard input: None inherits that of the process, bytes are what there is to read, else a binary file object."""
    if source is None:
        return InheritedInput(0)
    if isinstance(source, (bytes, bytearray)):
        return ObjectInput(io.BytesIO(source))
    source = _binary(source, "stdin")  # type: ignore[assignment]
    if not hasattr(source, "read"):
        raise TypeError(f"stdin must be None, bytes or a binary file object, not {type(source).__name__}")
    return ObjectInput(source)


def output_stream(sink: Writable | None, number: int, name: str) -> OutputStream:
    """Standard output or error: None inherits that of the process, else a binary file object or `Capture`."""
    if sink is None:
        return InheritedOutput(number, name)
    sink = _binary(sink, name)  # type: ignore[assignment]
    if not hasattr(sink, "write"):
        raise TypeError(f"{name} must be None, a Capture or a binary file object, not {type(sink).__name__}")
    return ObjectOutput(sink)
