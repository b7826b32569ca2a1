"""Streams: over files, over what the program was given, and what is forbidden with them."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.p2.guest import READ_WRITE, Guest, error_of
from wasmark import ComponentTrap, ComponentTrapCode, ResultError
from wasmark.wasi import Capture, Preopen
from wasmark.wasi.p2.streams import MOST_AT_ONCE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def pipe() -> Iterator[tuple[Any, Any]]:
    """Both ends of a pipe, the writing one non-blocking."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with open(reading, "rb", buffering=0) as first, open(writing, "wb", buffering=0) as second:
        yield first, second


@pytest.fixture
def inherited(pipe: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Guest]:
    """A component whose standard input is the reading end and whose standard output the writing end of one pipe."""
    from wasmark.wasi import host
    from wasmark.wasi.streams import InheritedInput, InheritedOutput

    reading, writing = pipe
    monkeypatch.setattr(host, "input_stream", lambda source: InheritedInput(reading.fileno()))
    monkeypatch.setattr(host, "output_stream", lambda sink, number, name: InheritedOutput(writing.fileno(), name))
    guest = Guest(preopens=[Preopen(root, "/")])
    with guest.wasi:
        yield guest


def read_all(guest: Guest, stream: Any, size: int = 1 << 16) -> bytes:
    pieces: list[bytes] = []
    while error_of(lambda: pieces.append(guest.input_stream_blocking_read(stream, size))) != "closed":
        guest.forget()
    return b"".join(pieces)


def write_all(guest: Guest, stream: Any, data: bytes) -> None:
    while data:
        permit = guest.output_stream_check_write(stream)
        guest.output_stream_write(stream, data[:permit])
        data = data[permit:]
        guest.forget()


def test_a_file_is_read_from_an_offset_to_its_end_and_is_closed_then(guest: Guest) -> None:
    stream = guest.descriptor_read_via_stream(guest.open("file"), 1)
    assert guest.input_stream_read(stream, 2) == b"el"
    assert guest.input_stream_read(stream, 0) == b""
    assert guest.input_stream_blocking_read(stream, 99) == b"lo"
    for _ in range(2):
        assert error_of(guest.input_stream_read, stream, 1) == "closed"
        assert error_of(guest.input_stream_blocking_skip, stream, 1) == "closed"


def test_skipping_moves_the_position(guest: Guest) -> None:
    stream = guest.descriptor_read_via_stream(guest.open("file"), 0)
    assert guest.input_stream_skip(stream, 1) == 1
    assert guest.input_stream_blocking_skip(stream, 2) == 2
    assert guest.input_stream_read(stream, 9) == b"lo"


def test_two_streams_of_a_file_have_positions_of_their_own(guest: Guest) -> None:
    file = guest.open("file")
    first, second = (guest.descriptor_read_via_stream(file, 0) for _ in range(2))
    assert guest.input_stream_read(first, 3) == b"hel"
    assert guest.input_stream_read(second, 5) == b"hello"
    assert guest.input_stream_read(first, 5) == b"lo"


def test_a_stream_outlives_its_descriptor(guest: Guest, root: Path) -> None:
    file = guest.open("file", mode=READ_WRITE)
    reading = guest.descriptor_read_via_stream(file, 0)
    writing = guest.descriptor_write_via_stream(file, 0)
    guest.drop_descriptor(file)
    guest.output_stream_blocking_write_and_flush(writing, b"J")
    assert guest.input_stream_read(reading, 9) == b"Jello"


def test_an_offset_that_no_file_has(guest: Guest) -> None:
    file = guest.open("file", mode=READ_WRITE)
    assert error_of(guest.descriptor_read_via_stream, file, 1 << 63) == "invalid"
    assert error_of(guest.descriptor_write_via_stream, file, 1 << 63) == "invalid"
    assert error_of(guest.input_stream_read, guest.descriptor_read_via_stream(file, 1 << 62), 1) == "closed"


def test_large_files_go_through(guest: Guest, root: Path) -> None:
    data = os.urandom(3 << 20)
    (root / "large").write_bytes(data)
    assert read_all(guest, guest.descriptor_read_via_stream(guest.open("large"), 0), 1 << 40) == data
    file = guest.open("copy", ["create"], READ_WRITE)
    write_all(guest, guest.descriptor_write_via_stream(file, 0), data)
    assert (root / "copy").read_bytes() == data


def test_writing_at_an_offset_and_at_the_end(guest: Guest, root: Path) -> None:
    file = guest.open("file", mode=READ_WRITE)
    at_two, at_end = guest.descriptor_write_via_stream(file, 2), guest.descriptor_append_via_stream(file)
    write_all(guest, at_two, b"L")
    write_all(guest, at_end, b"!")
    guest.descriptor_write(file, b"?", 6)
    write_all(guest, at_end, b"!")
    write_all(guest, at_two, b"L")
    assert (root / "file").read_bytes() == b"heLLo!?!"


def test_zeroes_are_written(guest: Guest, root: Path) -> None:
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 1)
    guest.output_stream_check_write(stream)
    guest.output_stream_write_zeroes(stream, 2)
    guest.output_stream_blocking_write_zeroes_and_flush(stream, 1)
    assert (root / "file").read_bytes() == b"h\0\0\0o"


def test_splicing_takes_what_is_there(guest: Guest, root: Path) -> None:
    source = guest.descriptor_read_via_stream(guest.open("file"), 0)
    sink = guest.descriptor_write_via_stream(guest.open("new", ["create"], READ_WRITE), 0)
    assert guest.output_stream_splice(sink, source, 2) == 2
    assert guest.output_stream_blocking_splice(sink, source, 1 << 50) == 3
    assert (root / "new").read_bytes() == b"hello"
    assert error_of(guest.output_stream_splice, sink, source, 1) == "closed"


def test_flushing_succeeds(guest: Guest) -> None:
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 0)
    guest.output_stream_flush(stream)
    guest.output_stream_blocking_flush(stream)


@pytest.mark.parametrize(
    ("call", "args"),
    [
        ("output_stream_write", (b"x",)),
        ("output_stream_write_zeroes", (1,)),
        ("output_stream_write_zeroes", (1 << 63,)),
        ("output_stream_blocking_write_and_flush", (bytes(4097),)),
        ("output_stream_blocking_write_zeroes_and_flush", (4097,)),
        ("output_stream_blocking_write_zeroes_and_flush", (1 << 63,)),
    ],
)
def test_writing_more_than_is_permitted_traps(guest: Guest, root: Path, call: str, args: tuple[Any, ...]) -> None:
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 0)
    with pytest.raises(ComponentTrap, match=r"permitted|the most") as caught:
        getattr(guest, call)(stream, *args)
    assert caught.value.code is ComponentTrapCode.REFUSED_BY_HOST
    assert (root / "file").read_bytes() == b"hello"
    with pytest.raises(ComponentTrap, match="cannot enter"):
        guest.get_stdout()


def test_a_permit_is_used_up(guest: Guest) -> None:
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 0)
    permit = guest.output_stream_check_write(stream)
    assert permit == MOST_AT_ONCE
    guest.output_stream_write(stream, bytes(permit - 1))
    guest.output_stream_write(stream, b"x")
    with pytest.raises(ComponentTrap, match="1 bytes written, 0 permitted"):
        guest.output_stream_write(stream, b"x")


def test_a_failure_tells_what_it_was_once_and_closes_the_stream(guest: Guest) -> None:
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 1 << 62)
    with pytest.raises(ResultError) as caught:
        guest.output_stream_blocking_write_and_flush(stream, b"x")
    assert caught.value.payload.label == "last-operation-failed"
    error = caught.value.payload.value
    assert guest.filesystem_error_code(error).value == "file-too-large"
    assert "too large" in guest.error_to_debug_string(error)
    for call in (guest.output_stream_check_write, guest.output_stream_flush, guest.output_stream_blocking_flush):
        assert error_of(call, stream) == "closed"
    assert error_of(guest.output_stream_blocking_write_and_flush, stream, b"x") == "closed"
    assert guest.pollable_ready(guest.output_stream_subscribe(stream))


def test_standard_output_and_error(guest: Guest) -> None:
    out, error = Capture(), Capture()
    guest = Guest(stdout=out, stderr=error)
    guest.output_stream_blocking_write_and_flush(guest.get_stdout(), b"one ")
    stream = guest.get_stdout()
    write_all(guest, stream, b"two")
    guest.output_stream_blocking_write_and_flush(guest.get_stderr(), b"three")
    guest.drop_output_stream(stream)
    guest.output_stream_blocking_write_and_flush(guest.get_stdout(), b"!")
    assert (out.text(), error.text()) == ("one two!", "three")


def test_standard_input(guest: Guest) -> None:
    guest = Guest(stdin=b"what there is to read")
    stream = guest.get_stdin()
    assert guest.input_stream_read(stream, 4) == b"what"
    assert guest.input_stream_skip(stream, 1) == 1
    assert read_all(guest, guest.get_stdin()) == b"there is to read"


def test_a_full_capture_is_an_error_of_the_stream() -> None:
    guest = Guest(stdout=Capture(limit=3))
    stream = guest.get_stdout()
    with pytest.raises(ResultError) as caught:
        guest.output_stream_blocking_write_and_flush(stream, b"four")
    assert guest.filesystem_error_code(caught.value.payload.value).value == "insufficient-space"


class Slow(io.RawIOBase):
    """Has nothing at the first two attempts, and takes a byte at a time."""

    def __init__(self) -> None:
        self.attempts = 0
        self.written = b""

    def _is_late(self) -> bool:
        self.attempts += 1
        return self.attempts % 3 != 0

    def read(self, size: int = -1, /) -> Any:
        return None if self._is_late() else b"late"[:size]

    def write(self, data: Any, /) -> Any:
        if self._is_late():
            return None
        self.written += bytes(data)[:1]
        return 1


def test_a_python_object_that_has_nothing_yet_is_asked_again() -> None:
    slow = Slow()
    guest = Guest(stdin=slow)
    stream = guest.get_stdin()
    assert guest.input_stream_read(stream, 9) == b""
    assert guest.input_stream_blocking_read(stream, 9) == b"late"


def test_a_python_object_that_takes_little_gets_all_of_it() -> None:
    slow = Slow()
    guest = Guest(stdout=slow)
    guest.output_stream_blocking_write_and_flush(guest.get_stdout(), b"bit by bit")
    assert slow.written == b"bit by bit"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
def test_what_a_python_object_raises_comes_out_as_itself(error: type[BaseException]) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1, /) -> bytes:
            raise error

        def write(self, data: Any, /) -> int:
            raise error

    for call in (
        lambda guest: guest.input_stream_read(guest.get_stdin(), 1),
        lambda guest: guest.output_stream_blocking_write_and_flush(guest.get_stdout(), b"x"),
    ):
        guest = Guest(stdin=Broken(), stdout=Broken())
        with pytest.raises(error):
            call(guest)


def test_an_os_error_of_a_python_object_is_one_of_the_stream() -> None:
    class Broken(io.RawIOBase):
        def write(self, data: Any, /) -> int:
            raise PermissionError(13, "no")

    guest = Guest(stdout=Broken())
    with pytest.raises(ResultError) as caught:
        guest.output_stream_blocking_write_and_flush(guest.get_stdout(), b"x")
    assert guest.filesystem_error_code(caught.value.payload.value).value == "access"


def test_a_named_pipe_has_no_places(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "fifo")
    end = os.open(root / "fifo", os.O_RDWR | os.O_NONBLOCK)
    file = guest.open("fifo", mode=READ_WRITE)
    reading, writing = guest.descriptor_read_via_stream(file, 7), guest.descriptor_append_via_stream(file)
    ready = guest.input_stream_subscribe(reading)
    assert guest.input_stream_read(reading, 9) == b""
    assert not guest.pollable_ready(ready)
    assert guest.output_stream_check_write(writing) == 4096
    guest.output_stream_write(writing, b"through")
    assert guest.poll([ready]) == [0]
    assert guest.input_stream_blocking_read(reading, 9) == b"through"
    os.close(end)


def test_reading_a_pipe_does_not_wait_unless_it_is_asked_to(inherited: Guest, pipe: tuple[Any, Any]) -> None:
    stream = inherited.get_stdin()
    assert inherited.input_stream_read(stream, 9) == b""
    pipe[1].write(b"now")
    assert inherited.input_stream_read(stream, 2) == b"no"
    assert inherited.input_stream_blocking_read(stream, 9) == b"w"
    assert inherited.input_stream_read(stream, 9) == b""


def test_the_end_of_a_pipe_closes_the_stream(inherited: Guest, pipe: tuple[Any, Any]) -> None:
    stream = inherited.get_stdin()
    pipe[1].write(b"x")
    pipe[1].close()
    assert inherited.input_stream_blocking_read(stream, 9) == b"x"
    assert error_of(inherited.input_stream_blocking_read, stream, 9) == "closed"
    assert error_of(inherited.input_stream_read, stream, 9) == "closed"


def test_a_full_pipe_permits_nothing(inherited: Guest, pipe: tuple[Any, Any]) -> None:
    stream = inherited.get_stdout()
    written = 0
    while permit := inherited.output_stream_check_write(stream):
        inherited.output_stream_write(stream, bytes(permit))
        written += permit
    assert written >= 4096
    assert not inherited.pollable_ready(inherited.output_stream_subscribe(stream))
    assert (
        inherited.output_stream_splice(stream, inherited.descriptor_read_via_stream(inherited.open("file"), 0), 9) == 0
    )
    os.read(pipe[0].fileno(), 1 << 20)
    assert inherited.output_stream_check_write(stream) == 4096
    assert inherited.pollable_ready(inherited.output_stream_subscribe(stream))


def test_a_reader_that_has_gone_is_an_error(inherited: Guest, pipe: tuple[Any, Any]) -> None:
    stream = inherited.get_stdout()
    pipe[0].close()
    with pytest.raises(ResultError) as caught:
        inherited.output_stream_blocking_write_and_flush(stream, b"x")
    assert inherited.filesystem_error_code(caught.value.payload.value).value == "pipe"


CALLS: list[Callable[[Guest, Any], Any]] = [
    lambda guest, it: guest.output_stream_check_write(it),
    lambda guest, it: guest.output_stream_blocking_write_and_flush(it, b"x"),
]


@pytest.mark.parametrize("call", CALLS)
def test_a_stream_is_of_no_use_after_its_world(root: Path, call: Callable[[Guest, Any], Any]) -> None:
    guest = Guest(preopens=[Preopen(root, "/")])
    stream = guest.descriptor_write_via_stream(guest.open("file", mode=READ_WRITE), 0)
    guest.wasi.close()
    error_of(call, guest, stream)
    assert error_of(guest.output_stream_blocking_write_and_flush, stream, b"x") is not None
    assert (root / "file").read_bytes() == b"hello"
