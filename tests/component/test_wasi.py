"""WASI 0.2: what its interfaces do, that nobody gets out of a directory, and that a command runs from a shell."""

from __future__ import annotations

import enum
import os
from pathlib import Path
from typing import Any

import pytest

from tests.component.test_instances import LIBC
from wasmark import Component, ComponentLinker, Exit, ResultError
from wasmark.cli import main
from wasmark.component.values import Case, Err, Ok
from wasmark.component.wasi import interfaces
from wasmark.component.wasi.io import InputStream, OutputStream
from wasmark.wasi import Capture, Clocks, Preopen, Wasi

COMMAND = f"""(component $echo {LIBC}
  (import "wasi:io/error@0.2.3" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error-type))
  (import "wasi:io/streams@0.2.3" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (alias outer 1 $error-type (type $e'))
    (export "error" (type $e (eq $e')))
    (type $failure' (variant (case "last-operation-failed" (own $e)) (case "closed")))
    (export "stream-error" (type $failure (eq $failure')))
    (export "[method]output-stream.blocking-write-and-flush"
      (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $failure)))))))
  (alias export $streams "output-stream" (type $stream))
  (import "wasi:cli/stdout@0.2.3" (instance $stdout
    (alias outer 1 $stream (type $o'))
    (export "output-stream" (type $o (eq $o')))
    (export "get-stdout" (func (result (own $o))))))
  (import "wasi:cli/environment@0.2.3" (instance $environment
    (export "get-arguments" (func (result (list string))))))
  (import "wasi:cli/exit@0.2.3" (instance $exit (export "exit" (func (param "status" (result))))))
  (core func $arguments (canon lower (func $environment "get-arguments")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core func $get (canon lower (func $stdout "get-stdout")))
  (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush")
    (memory (core memory $libc "memory"))))
  (core func $leave (canon lower (func $exit "exit")))
  (core module $Main
    (import "libc" "memory" (memory 1))
    (import "wasi" "arguments" (func $arguments (param i32)))
    (import "wasi" "get" (func $get (result i32)))
    (import "wasi" "write" (func $write (param i32 i32 i32 i32)))
    (import "wasi" "exit" (func $exit (param i32)))
    (func (export "run") (result i32) (local $list i32)
      (call $arguments (i32.const 16))
      (if (i32.lt_u (i32.load (i32.const 20)) (i32.const 2)) (then (return (i32.const 1))))
      (local.set $list (i32.load (i32.const 16)))
      (call $write (call $get)
        (i32.load (i32.add (local.get $list) (i32.const 8)))
        (i32.load (i32.add (local.get $list) (i32.const 12)))
        (i32.const 32))
      (if (i32.eq (i32.load (i32.const 20)) (i32.const 3)) (then (call $exit (i32.const 1))))
      (if (i32.eq (i32.load (i32.const 20)) (i32.const 4)) (then (unreachable)))
      (i32.load8_u (i32.const 32))))
  (core instance $main (instantiate $Main (with "libc" (instance $libc)) (with "wasi" (instance
    (export "arguments" (func $arguments)) (export "get" (func $get)) (export "write" (func $write))
    (export "exit" (func $leave))))))
  (func $run (result (result)) (canon lift (core func $main "run")))
  (instance $api (export "run" (func $run)))
  (export "wasi:cli/run@0.2.3" (instance $api)))"""


class PathFlags(enum.Flag):
    SYMLINK_FOLLOW = 1


class OpenFlags(enum.Flag):
    CREATE = 1
    DIRECTORY = 2
    EXCLUSIVE = 4
    TRUNCATE = 8


class Access(enum.Flag):
    READ = 1
    WRITE = 2
    MUTATE_DIRECTORY = 4


FOLLOW, NO_FOLLOW, PLAIN = PathFlags.SYMLINK_FOLLOW, PathFlags(0), OpenFlags(0)


class Now(Case):
    label = "now"


class NoChange(Case):
    label = "no-change"


def root(directory: Path, *, readonly: bool = False) -> Any:
    """The descriptor of a preopened directory."""
    world = interfaces(Wasi(preopens=[Preopen(directory, "/data", readonly)]))
    ((descriptor, name),) = world["wasi:filesystem/preopens"]["get_directories"]()
    assert name == "/data"
    return descriptor


def refused(call: Any, *args: Any) -> Any:
    with pytest.raises(ResultError) as caught:
        call(*args)
    return caught.value.payload


# --- files --------------------------------------------------------------------------------------------


def test_a_file_is_made_written_read_and_removed(tmp_path: Path) -> None:
    top = root(tmp_path)
    file = top.open_at(NO_FOLLOW, "a.txt", OpenFlags.CREATE | OpenFlags.EXCLUSIVE, Access.READ | Access.WRITE)
    assert file.write(b"hello world", 0) == 11
    assert file.read(5, 6) == (b"world", False)
    assert file.read(5, 11) == (b"", True)
    assert (tmp_path / "a.txt").read_bytes() == b"hello world"
    type_, links, size, *times = file.stat()
    assert (type_, links, size) == ("regular-file", 1, 11)
    assert divmod((tmp_path / "a.txt").stat().st_mtime_ns, 10**9) == times[1]
    assert file.get_type() == "regular-file"
    assert file.get_flags() == ["read", "write"]
    file.set_size(5)
    assert top.stat_at(NO_FOLLOW, "a.txt")[2] == 5
    assert file.is_same_object(top.open_at(NO_FOLLOW, "a.txt", PLAIN, Access.READ))
    assert not file.is_same_object(top)
    assert file.metadata_hash() == top.metadata_hash_at(NO_FOLLOW, "a.txt") != top.metadata_hash()
    assert refused(top.open_at, NO_FOLLOW, "a.txt", OpenFlags.CREATE | OpenFlags.EXCLUSIVE, Access.READ) == "exist"
    top.unlink_file_at("a.txt")
    assert refused(top.stat_at, NO_FOLLOW, "a.txt") == "no-entry"


def test_streams_read_and_write_from_a_place_on(tmp_path: Path) -> None:
    top = root(tmp_path)
    file = top.open_at(NO_FOLLOW, "log", OpenFlags.CREATE, Access.READ | Access.WRITE)
    file.write_via_stream(2).write(b"cdef")
    file.write_via_stream(0).blocking_write_and_flush(b"ab")
    end = file.append_via_stream()
    end.write(b"gh")
    end.write_zeroes(2)
    assert (tmp_path / "log").read_bytes() == b"abcdefgh\0\0"
    stream = file.read_via_stream(1)
    assert stream.read(3) == b"bcd"
    assert stream.skip(2) == 2
    assert stream.blocking_read(100) == b"gh\0\0"
    assert refused(stream.read, 1) == "closed"
    assert stream.read(0) == b""
    source = file.read_via_stream(0)
    assert end.splice(source, 3) == 3
    assert (tmp_path / "log").read_bytes()[-3:] == b"abc"
    only = top.open_at(NO_FOLLOW, "log", PLAIN, Access.READ)
    assert refused(only.write_via_stream, 0) == "bad-descriptor"
    # A stream that no function of the interface gives fails as streams do.
    label, error = refused(OutputStream(only._polling, only._it, 0).write, b"x")
    assert (label, error.to_debug_string()) == ("last-operation-failed", "badf")


def test_directories(tmp_path: Path) -> None:
    top = root(tmp_path)
    top.create_directory_at("d")
    top.open_at(NO_FOLLOW, "d/x", OpenFlags.CREATE, Access.WRITE)
    top.symlink_at("x", "d/link")
    assert top.readlink_at("d/link") == "x"
    inner = top.open_at(NO_FOLLOW, "d", OpenFlags.DIRECTORY, Access.READ)
    assert inner.get_flags() == ["read", "mutate-directory"]
    entries = inner.read_directory()
    found = sorted(entry for _ in range(3) if (entry := entries.read_directory_entry()) is not None)
    assert found == [("regular-file", "x"), ("symbolic-link", "link")]
    assert inner.stat_at(FOLLOW, "link")[0] == "regular-file"
    assert inner.stat_at(NO_FOLLOW, "link")[0] == "symbolic-link"
    inner.rename_at("x", top, "moved")
    top.link_at(NO_FOLLOW, "moved", inner, "again")
    assert top.stat_at(NO_FOLLOW, "moved")[1] == 2
    assert refused(top.remove_directory_at, "d") == "not-empty"
    assert refused(top.unlink_file_at, "d") == "is-directory"
    assert refused(inner.read_via_stream, 0) == "bad-descriptor"
    assert refused(top.open_at(NO_FOLLOW, "moved", PLAIN, Access.READ).read_directory) == "not-directory"


def test_times_are_set(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"")
    os.utime(tmp_path / "f", ns=(5, 7))
    clocks = Clocks(realtime=lambda: 3 * 10**9 + 1)
    with Wasi(preopens={"/": tmp_path}, clocks=clocks) as wasi:
        ((top, _),) = interfaces(wasi)["wasi:filesystem/preopens"]["get_directories"]()
        top.set_times_at(NO_FOLLOW, "f", NoChange(), Now())
    status = (tmp_path / "f").stat()
    assert (status.st_atime_ns, status.st_mtime_ns) == (5, 3 * 10**9 + 1)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "d/../../secret", "out", "absolute"])
def test_nobody_gets_out_of_a_directory(tmp_path: Path, path: str) -> None:
    inside = tmp_path / "inside"
    (inside / "d").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    (inside / "out").symlink_to("../secret")
    (inside / "absolute").symlink_to(tmp_path / "secret")
    top = root(inside)
    assert refused(top.open_at, FOLLOW, path, PLAIN, Access.READ) == "not-permitted"
    assert refused(top.stat_at, FOLLOW, path) == "not-permitted"


def test_a_read_only_directory_stays_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    top = root(tmp_path, readonly=True)
    assert top.get_flags() == ["read"]
    assert top.open_at(NO_FOLLOW, "f", PLAIN, Access.READ).read(9, 0) == (b"x", False)
    for call in (
        lambda: top.open_at(NO_FOLLOW, "f", PLAIN, Access.WRITE),
        lambda: top.open_at(NO_FOLLOW, "g", OpenFlags.CREATE, Access.READ),
        lambda: top.open_at(NO_FOLLOW, "f", OpenFlags.TRUNCATE, Access.READ),
        lambda: top.create_directory_at("d"),
        lambda: top.unlink_file_at("f"),
        lambda: top.rename_at("f", top, "g"),
        lambda: top.symlink_at("f", "g"),
        lambda: top.set_times_at(NO_FOLLOW, "f", Now(), Now()),
    ):
        assert refused(call) == "not-permitted"
    assert os.listdir(tmp_path) == ["f"]


# --- streams, time, chance ------------------------------------------------------------------------------


def test_standard_streams_are_those_of_the_context() -> None:
    out, err = Capture(), Capture()
    with Wasi(stdin=b"in", stdout=out, stderr=err) as wasi:
        world = interfaces(wasi)
        stdin = world["wasi:cli/stdin"]["get_stdin"]()
        assert stdin.subscribe().ready()
        assert stdin.blocking_read(10) == b"in"
        assert refused(stdin.blocking_read, 10) == "closed"
        stdout = world["wasi:cli/stdout"]["get_stdout"]()
        assert stdout.check_write() > 0
        stdout.blocking_write_and_flush(b"out")
        world["wasi:cli/stderr"]["get_stderr"]().write(b"err")
        assert world["wasi:cli/terminal-stdout"]["get_terminal_stdout"]() is None
    assert (out.getvalue(), err.getvalue()) == (b"out", b"err")


def test_waiting_takes_the_first_that_is_there() -> None:
    time = [10]
    clocks = Clocks(
        monotonic=lambda: time[0], sleep=lambda seconds: time.__setitem__(0, time[0] + round(seconds * 1e9))
    )
    reader, writer = os.pipe()
    with Wasi(stdin=os.fdopen(reader, "rb", buffering=0), clocks=clocks) as wasi:
        world = interfaces(wasi)
        clock, poll = world["wasi:clocks/monotonic-clock"], world["wasi:io/poll"]["poll"]
        assert clock["now"]() == 10
        soon, late, past = (
            clock["subscribe_duration"](5),
            clock["subscribe_instant"](100),
            clock["subscribe_instant"](3),
        )
        assert poll([late, past, soon]) == [1]
        assert not soon.ready()
        assert poll([late, soon]) == [1]
        assert time == [15]
        late.block()
        assert time == [100]
        assert poll([soon, late]) == [0, 1]
        with pytest.raises(ValueError, match="nothing to wait for"):
            poll([])
    os.close(writer)


def test_a_descriptor_of_the_host_is_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK)
    top = root(tmp_path)
    pipe = top.open_at(NO_FOLLOW, "pipe", PLAIN, Access.READ)
    stream = InputStream(pipe._polling, pipe._it)
    assert not stream.subscribe().ready()
    assert stream.read(5) == b""
    os.write(reader, b"now")
    assert pipe._polling.poll([stream.subscribe()]) == [0]
    assert stream.read(5) == b"now"
    os.close(reader)


def test_arguments_environment_chance_and_the_end() -> None:
    with Wasi(args=["p", "ü"], env={"A": "b=c"}, random=lambda count: b"\1" * count) as wasi:
        world = interfaces(wasi)
        environment = world["wasi:cli/environment"]
        assert environment["get_arguments"]() == ["p", "ü"]
        assert environment["get_environment"]() == [("A", "b=c")]
        assert environment["initial_cwd"]() is None
        assert world["wasi:random/random"]["get_random_bytes"](3) == b"\1\1\1"
        assert world["wasi:random/insecure"]["get_insecure_random_u64"]() == 0x0101010101010101
        assert world["wasi:random/insecure-seed"]["insecure_seed"]() == (0x0101010101010101,) * 2
        for status, code in ((Ok(), 0), (Err(), 1)):
            with pytest.raises(Exit) as caught:
                world["wasi:cli/exit"]["exit"](status)
            assert caught.value.code == code


def test_sockets_are_refused() -> None:
    with Wasi() as wasi:
        world = interfaces(wasi)
        assert refused(world["wasi:sockets/tcp-create-socket"].create_tcp_socket, "ipv4") == "access-denied"
        assert world["wasi:sockets/instance-network"]["instance_network"]() is not None


# --- a command ------------------------------------------------------------------------------------------


def test_a_command_runs_in_python() -> None:
    component = Component(COMMAND)
    for args, status in ((["echo", "hello"], None), (["echo"], ResultError), (["echo", "bye", "now"], Exit)):
        out = Capture()
        linker = ComponentLinker()
        linker.define_wasi(args=args, stdout=out)
        run = linker.instantiate(component).exports["wasi:cli/run@0.2.0"].run
        if status is None:
            run()
        else:
            with pytest.raises(status):
                run()
        assert out.text() == (args[1] if len(args) > 1 else "")


def test_what_is_defined_otherwise_comes_first() -> None:
    linker = ComponentLinker()
    linker.define_wasi(args=["echo", "hello"])
    written: list[bytes] = []

    class Stream:
        def blocking_write_and_flush(self, contents: bytes) -> None:
            written.append(contents)

    linker.define("wasi:cli/stdout", {"get_stdout": Stream})
    linker.define("wasi:io/streams", {"OutputStream": Stream})
    linker.instantiate(Component(COMMAND)).exports.run.run()
    assert written == [b"hello"]


@pytest.mark.parametrize(
    ("args", "status", "out", "err"),
    [
        (["hello"], 0, "hello", ""),
        ([], 1, "", ""),
        (["bye", "2"], 1, "bye", ""),
        (["x", "2", "3"], 134, "x", "wasm trap: unreachable executed\n    0: echo/Main!run @ +"),
    ],
)
def test_a_command_runs_from_the_command_line(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], args: list[str], status: int, out: str, err: str
) -> None:
    source = tmp_path / "echo.wat"
    source.write_text(COMMAND)
    assert main(["run", str(source), *args]) == status
    said = capfd.readouterr()
    assert said.out == out
    assert said.err.startswith(err)


def test_a_component_that_is_no_command_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "nothing.wat"
    source.write_text("(component)")
    assert main(["run", str(source)]) == 1
    assert "no wasi:cli/run to run" in capsys.readouterr().err
    assert main(["run", str(source), "--invoke", "f"]) == 1
    assert "--invoke is for modules" in capsys.readouterr().err
