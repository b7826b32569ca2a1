"""Standard input, output and error: of the process, captured, and Python objects that read and write as they please."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.guest import DATA, OUT, Failed, Guest, quiet
from wasmark.wasi import Capture, Errno, Wasi
from wasmark.wasi.abi import FileType
from wasmark.wasi.streams import CHUNK

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_captured_output_is_what_was_written() -> None:
    out, err = Capture(), Capture()
    with quiet(stdout=out, stderr=err) as wasi:
        guest = Guest(wasi)
        guest.write(1, b"one ")
        guest.write(2, b"error")
        guest.put(DATA, "two ¾".encode())
        guest.do("fd_write", 1, *guest.iovecs(2, 4), OUT)
        assert guest.u32() == 6
    assert out.getvalue() == bytes(out) == "one two ¾".encode()
    assert out.text() == "one two ¾"
    assert len(out) == 10
    assert err.text() == "error"
    out.clear()
    assert (out.getvalue(), len(out)) == (b"", 0)


def test_one_capture_for_both_streams_keeps_the_order() -> None:
    both = Capture()
    with quiet(stdout=both, stderr=both) as wasi:
        guest = Guest(wasi)
        for fd, text in ((1, b"a"), (2, b"b"), (1, b"c")):
            guest.write(fd, text)
    assert both.text() == "abc"


def test_a_capture_may_have_a_limit() -> None:
    out = Capture(limit=5)
    with quiet(stdout=out) as wasi:
        guest = Guest(wasi)
        assert guest.write(1, b"abc") == 3
        assert guest.write(1, b"defg") == 2
        with pytest.raises(Failed, match="NOSPC"):
            guest.write(1, b"h")
    assert out.text() == "abcde"


def test_text_that_is_none_is_still_shown() -> None:
    out = Capture()
    out.write(b"\xff!")
    assert out.text() == "\ufffd!"


def test_bytes_as_input_are_read_to_their_end() -> None:
    with quiet(stdin=b"hello") as wasi:
        guest = Guest(wasi)
        assert guest.read(0, 3) == b"hel"
        assert guest.read(0, 1, 9) == b"l", "one buffer at a time is enough"
        assert guest.read(0, 9) == b"o"
        assert guest.read(0, 9) == b""
        assert guest.read(0) == b""


class Dribble(io.RawIOBase):
    """Delivers what it is told to, whatever is asked for; takes at most two bytes at a time."""

    def __init__(self, *parts: bytes | None) -> None:
        self.parts = list(parts)
        self.taken: list[bytes] = []

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes | None:
        return self.parts.pop(0) if self.parts else b""

    def write(self, data: Any, /) -> int | None:
        if len(self.taken) == 3:
            return None
        self.taken.append(bytes(data[:2]))
        return len(data[:2])


def test_an_input_may_deliver_less_than_asked_for_and_nothing_yet() -> None:
    with quiet(stdin=Dribble(b"a", None, b"bc")) as wasi:
        guest = Guest(wasi)
        assert guest.read(0, 100) == b"a"
        with pytest.raises(Failed, match="AGAIN"):
            guest.read(0, 100)
        assert guest.read(0, 100) == b"bc"
        assert guest.read(0, 100) == b""


def test_an_input_that_delivers_more_than_asked_for_is_a_mistake_of_the_embedder() -> None:
    with quiet(stdin=Dribble(b"too much")) as wasi, pytest.raises(ValueError, match="returned 8 bytes"):
        Guest(wasi).read(0, 3)


def test_an_output_may_take_less_than_it_is_given() -> None:
    sink = Dribble()
    with quiet(stdout=sink) as wasi:
        guest = Guest(wasi)
        assert [guest.write(1, b"hello"), guest.write(1, b"llo"), guest.write(1, b"o")] == [2, 2, 1]
        with pytest.raises(Failed, match="AGAIN"):
            guest.write(1, b"x")
    assert sink.taken == [b"he", b"ll", b"o"]


def test_a_buffered_input_is_not_waited_for_until_it_is_full() -> None:
    reader, writer = os.pipe()
    with open(reader, "rb") as source, open(writer, "wb", buffering=0) as sink, quiet(stdin=source) as wasi:
        sink.write(b"some")
        assert Guest(wasi).read(0, 4096) == b"some"


def test_a_buffered_output_is_flushed_with_every_write(tmp_path: Path) -> None:
    with open(tmp_path / "out", "wb") as sink, quiet(stdout=sink) as wasi:
        Guest(wasi).write(1, b"now")
        assert (tmp_path / "out").read_bytes() == b"now"


def test_an_object_that_only_has_write_will_do() -> None:
    class Sink:
        def __init__(self) -> None:
            self.data = b""

        def write(self, data: bytes) -> None:
            self.data += data

    sink = Sink()
    with quiet(stdout=sink) as wasi:
        assert Guest(wasi).write(1, b"all of it") == 9
    assert sink.data == b"all of it"


def test_large_transfers_reach_objects_in_pieces() -> None:
    sizes = []

    class Sink(io.BytesIO):
        def write(self, data: Any, /) -> int:
            sizes.append(len(data))
            return super().write(data)

    sink = Sink()
    data = os.urandom(2 * CHUNK + 5)
    with quiet(stdin=data, stdout=sink) as wasi:
        guest = Guest(wasi, size=4 * CHUNK)
        assert guest.write(1, data) == len(data)
        assert sizes == [CHUNK, CHUNK, 5]
        assert sink.getvalue() == data
        assert guest.read(0, 3 * CHUNK) == data[:CHUNK]


class Failing(io.RawIOBase):
    """Raises what it is told to."""

    def __init__(self, error: BaseException) -> None:
        self.error = error

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        raise self.error

    def write(self, data: Any, /) -> int:
        raise self.error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (BrokenPipeError(32, "gone"), Errno.PIPE),
        (InterruptedError(4, "interrupted"), Errno.INTR),
        (OSError(28, "full"), Errno.NOSPC),
        (OSError("no number"), Errno.IO),
        (io.UnsupportedOperation("read"), Errno.NOTSUP),
    ],
)
def test_an_error_of_the_system_becomes_a_code(error: OSError, code: Errno) -> None:
    with quiet(stdin=Failing(error), stdout=Failing(error)) as wasi:
        guest = Guest(wasi)
        assert guest.call("fd_read", 0, *guest.iovecs(1), OUT) == code
        assert guest.call("fd_write", 1, *guest.iovecs(1), OUT) == code


@pytest.mark.parametrize("kind", [KeyboardInterrupt, RuntimeError, SystemExit, ZeroDivisionError])
def test_any_other_exception_passes_through_as_itself(kind: type[BaseException]) -> None:
    error = kind("mine")
    with quiet(stdin=Failing(error), stdout=Failing(error)) as wasi:
        guest = Guest(wasi)
        for call in (lambda: guest.read(0, 1), lambda: guest.write(1, b"x")):
            with pytest.raises(kind) as caught:
                call()
            assert caught.value is error


def test_an_error_after_some_bytes_were_taken_is_a_short_write() -> None:
    class Sink(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() >= 3:
                raise OSError(28, "full")
            return super().write(data)

    sink = Sink()
    with quiet(stdout=sink) as wasi:
        guest = Guest(wasi)
        guest.put(DATA, b"abcdef")
        guest.do("fd_write", 1, *guest.iovecs(3, 3), OUT)
        assert guest.u32() == 3
        assert guest.call("fd_write", 1, *guest.iovecs(3), OUT) == Errno.NOSPC


def test_a_closed_object_is_a_bad_descriptor() -> None:
    source, sink = io.BytesIO(b"x"), io.BytesIO()
    with quiet(stdin=source, stdout=sink) as wasi:
        guest = Guest(wasi)
        source.close()
        sink.close()
        assert guest.call("fd_read", 0, *guest.iovecs(1), OUT) == Errno.BADF
        assert guest.call("fd_write", 1, *guest.iovecs(1), OUT) == Errno.BADF


def test_objects_are_left_open() -> None:
    source, sink = io.BytesIO(b"x"), io.BytesIO()
    with quiet(stdin=source, stdout=sink) as wasi:
        guest = Guest(wasi)
        guest.close(0)
        guest.close(1)
    assert not source.closed
    assert not sink.closed


def test_a_text_stream_is_used_through_its_binary_buffer() -> None:
    below = io.BytesIO()
    text = io.TextIOWrapper(below, encoding="utf-8")
    text.write("first ")
    with quiet(stdout=text) as wasi:
        Guest(wasi).write(1, b"second")
    assert below.getvalue() == b"first second"


@pytest.mark.parametrize(
    "options",
    [
        {"stdin": io.StringIO()},
        {"stdin": 5},
        {"stdin": "text"},
        {"stdout": io.StringIO()},
        {"stderr": io.StringIO()},
        {"stdout": b""},
    ],
)
def test_what_is_no_binary_stream_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TypeError, match=rf"{next(iter(options))} must be"):
        quiet(**options)


@pytest.mark.parametrize(
    ("fd", "name"), [(0, "fd_write"), (1, "fd_read"), (2, "fd_read"), (0, "fd_pwrite"), (1, "fd_pread")]
)
def test_a_stream_goes_one_way(guest: Guest, fd: int, name: str) -> None:
    extra = (0,) if name.startswith("fd_p") else ()
    assert guest.call(name, fd, *guest.iovecs(1), *extra, OUT) == Errno.BADF


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_stream_has_no_position(guest: Guest, fd: int) -> None:
    assert guest.call("fd_seek", fd, 0, 1, OUT) == Errno.SPIPE
    assert guest.call("fd_tell", fd, OUT) == Errno.SPIPE
    name = "fd_pwrite" if fd else "fd_pread"
    assert guest.call(name, fd, *guest.iovecs(1), 0, OUT) == Errno.SPIPE


@pytest.mark.parametrize("fd", [0, 1, 2])
def test_a_stream_is_no_file(guest: Guest, fd: int) -> None:
    for name, args in (
        ("fd_advise", (0, 0, 0)),
        ("fd_allocate", (0, 1)),
        ("fd_datasync", ()),
        ("fd_sync", ()),
        ("fd_fdstat_set_flags", (4,)),
        ("fd_filestat_set_size", (0,)),
        ("fd_filestat_set_times", (0, 0, 5)),
        ("fd_readdir", (DATA, 9, 0, OUT)),
    ):
        assert guest.call(name, fd, *args) == Errno.BADF, name


def run(code: str, **options: Any) -> subprocess.CompletedProcess[bytes]:
    """Run Python code in a process of its own, where the streams of the process can be played with."""
    prelude = "import sys; sys.path[:0] = " + repr(sys.path) + "\nfrom tests.wasi.guest import *\n"
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    command = [sys.executable, "-c", prelude + textwrap.dedent(code)]
    return subprocess.run(command, check=True, timeout=60, env=environment, **options)


def test_streams_of_the_process() -> None:
    done = run(
        """
        guest = Guest(Wasi())
        print("python", end=" ")             # still in Python's buffer when the program writes
        guest.write(1, b"program ")
        guest.write(1, guest.read(0, 3) + guest.read(0, 100))
        guest.write(2, b"errors")
        assert guest.read(0, 100) == b""
        """,
        input=b"input",
        capture_output=True,
    )
    assert done.stdout == b"python program input"
    assert done.stderr == b"errors"


def test_streams_that_the_process_does_not_have_are_bad_descriptors() -> None:
    run(
        """
        import os
        os.close(0); os.close(1)
        guest = Guest(Wasi())
        assert guest.call("fd_read", 0, *guest.iovecs(1), OUT) == Errno.BADF
        assert guest.call("fd_write", 1, *guest.iovecs(1), OUT) == Errno.BADF
        """
    )


def test_a_reader_that_went_away_is_a_broken_pipe() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        run(
            """
            guest = Guest(Wasi())
            assert guest.call("fd_write", 1, *guest.iovecs(1), OUT) == Errno.PIPE
            """,
            stdout=writer,
        )
    finally:
        os.close(writer)


def test_a_terminal_is_a_character_device() -> None:
    master, slave = pty.openpty()
    try:
        with open(slave, "r+b", buffering=0, closefd=False) as terminal, quiet(stdin=terminal, stdout=terminal) as wasi:
            guest = Guest(wasi)
            for fd in (0, 1):
                assert guest.fdstat(fd).filetype == FileType.CHARACTER_DEVICE
                assert guest.filestat(fd).filetype == FileType.CHARACTER_DEVICE
        run(
            """
            guest = Guest(Wasi(stdout=Capture()))
            assert [guest.fdstat(fd).filetype for fd in range(3)] == [2, 0, 2]
            """,
            stdin=slave,
            stderr=slave,
        )
    finally:
        os.close(master)
        os.close(slave)


def test_opening_a_terminal_does_not_make_it_that_of_the_process() -> None:
    master, slave = pty.openpty()
    try:
        run(
            f"""
            import os
            directory, name = os.path.split({os.ttyname(slave)!r})
            guest = Guest(quiet(preopens={{"/": directory}}))
            assert guest.fdstat(guest.open(name, 0, READ_WRITE)).filetype == 2
            try:
                os.open("/dev/tty", os.O_RDWR)
            except OSError:
                pass  # there is none
            else:
                raise AssertionError
            """,
            start_new_session=True,
        )
    finally:
        os.close(master)
        os.close(slave)


def test_an_interrupt_ends_a_blocking_read() -> None:
    reader, writer = os.pipe()
    try:
        run(
            """
            import os, signal, threading, time
            guest = Guest(Wasi())
            try:
                threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
                guest.read(0, 10)
            except KeyboardInterrupt:
                guest.memory.append(0)
            else:
                raise AssertionError
            """,
            stdin=reader,
        )
    finally:
        os.close(reader)
        os.close(writer)


@pytest.mark.parametrize("make", [lambda: Wasi(), lambda: Wasi(stdin=b"", stdout=Capture())])
def test_making_a_world_touches_no_stream(make: Callable[[], Wasi]) -> None:
    with make():
        pass
