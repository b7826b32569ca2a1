"""The command line: what it prints where, and with which status it ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from wasmark.cli import main

ADD = """
(module
  (func (export "add") (param i32 i64) (result i64)
    (i64.add (i64.extend_i32_s (local.get 0)) (local.get 1))))
"""
VALUES = """
(module
  (func (export "ints") (param i32 i64) (result i32 i64) (local.get 0) (local.get 1))
  (func (export "floats") (param f32 f64) (result f32 f64) (local.get 0) (local.get 1))
  (func (export "none"))
  (func (export "ref") (param externref) (result externref) (local.get 0))
  (func (export "vector") (param v128) (result v128) (i64x2.sub (local.get 0) (v128.const i64x2 1 0)))
  (memory (export "memory") 1))
"""
TRAP = """
(module $broken
  (func $inner (unreachable))
  (func $outer (export "_start") (call $inner)))
"""
HELLO = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "args_get" (func $args (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (drop (call $args (i32.const 16) (i32.const 1024)))
    (i32.store (i32.const 8) (i32.const 1024))
    (i32.store (i32.const 12) (i32.load (i32.const 4)))
    (drop (call $write (i32.const 1) (i32.const 8) (i32.const 1) (i32.const 0)))
    (call $exit (i32.const 42))))
"""
"""Writes its arguments, each with a NUL behind it, and ends with status 42."""
ENDLESS = r"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\01\00\00\00")
  (data (i32.const 16) "\n")
  (func (export "_start")
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
    (loop $l (br $l))))
"""
"""Writes a line and goes on for ever."""

WAITING = r"""
(module
  (import "wasi_snapshot_preview1" "fd_read" (func $read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\40\00\00\00\10\00\00\00")
  (data (i32.const 272) "\01")
  (data (i32.const 287) "\7f")
  (func (export "_start")
    (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 32)))
    (call $exit (i32.load (i32.const 32))))
  (func (export "sleep") (result i32) (call $poll (i32.const 256) (i32.const 512) (i32.const 1) (i32.const 32))))
"""
"""Reads up to 16 bytes of standard input and ends with their number, or sleeps for three hundred years."""


def command(*args: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "wasmark", *map(str, args)], input=stdin, capture_output=True, timeout=120, check=False
    )


Wat = Callable[..., str]
Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def wat(tmp_path: Path) -> Wat:
    """Writes a text under a name and answers the path."""

    def write(source: str, name: str = "module.wat") -> str:
        (tmp_path / name).write_text(source)
        return str(tmp_path / name)

    return write


@pytest.mark.parametrize("strategy", ["eager", "baseline", "lazy"])
def test_run_compiles_as_it_is_told(wat: Wat, strategy: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--strategy", strategy, str(wat(ADD)), "--invoke", "add", "40", "2"]) == 0
    assert capsys.readouterr().out == "42\n"


def test_run_knows_no_other_strategy(wat: Wat, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["run", "--strategy", "slow", str(wat(ADD))])
    assert "invalid choice: 'slow'" in capsys.readouterr().err


def test_run_passes_arguments_output_and_status(wat: Wat, tmp_path: Path) -> None:
    done = command("run", wat(HELLO), "--invoked", "a b", "--dir", "x")
    assert done.stdout == b"module.wat\0--invoked\0a b\0--dir\0x\0"
    assert (done.returncode, done.stderr) == (42, b"")


@pytest.mark.parametrize(
    ("args", "program"),
    [
        (["--env", "A=1", "FILE", "x"], ["x"]),
        (["FILE", "--env", "A=1", "x", "--env", "B=2"], ["x", "--env", "B=2"]),
        (["FILE", "--env=A=1", "--", "--env", "B=2"], ["--env", "B=2"]),
        (["FILE", "--", "--"], ["--"]),
        (["FILE", "-"], ["-"]),
        (["--", "FILE", "-x"], ["-x"]),
    ],
)
def test_words_are_divided_between_us_and_the_program(args: list[str], program: list[str], wat: Wat) -> None:
    file = wat(HELLO)
    done = command("run", *(file if arg == "FILE" else arg for arg in args))
    assert done.stdout.split(b"\0")[1:-1] == [word.encode() for word in program], done.stderr


@pytest.mark.parametrize(
    ("name", "args", "lines"),
    [
        ("ints", ["-1", "0xffffffffffffffff"], ["-1", "-1"]),
        ("ints", ["4294967295", "-9223372036854775808"], ["-1", "-9223372036854775808"]),
        ("floats", ["0x1p-3", "nan"], ["0.125", "nan"]),
        ("floats", ["-inf", "1e300"], ["-inf", "1e+300"]),
        ("vector", ["0x00000000000000020000000000000011"], ["0x00000000000000020000000000000010"]),
        ("vector", ["1"], ["0x" + "0" * 32]),
        ("none", [], []),
    ],
)
def test_invoke_parses_arguments_by_type_and_prints_results(
    name: str, args: list[str], lines: list[str], wat: Wat, capsys: Capsys
) -> None:
    assert main(["run", "--invoke", name, wat(VALUES), *args]) == 0
    assert capsys.readouterr().out.splitlines() == lines


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--invoke", "nothing"], r"no exported function 'nothing'; exported functions: ints, floats, none, ref"),
        (["--invoke", "memory"], r"no exported function 'memory'"),
        (["--invoke", "ints", "1"], r"module\.wat: ints: it takes 2 arguments \[i32 i64\] -> \[i32 i64\], not 1"),
        (["--invoke", "ints", "1", "x"], r"argument 2: 'x' is not an i64"),
        (["--invoke", "ints", "4294967296", "1"], r"argument 1: '4294967296' is not an i32"),
        (["--invoke", "vector", "-1"], r"argument 1: '-1' is not a v128"),
        (["--invoke", "vector", "0x1" + "0" * 32], r"is not a v128"),
        (["--invoke", "ref", "1"], r"ref: argument 1: no externref can be given"),
        ([], r"no _start to run; exported functions: ints"),
        (["--dir", "::x"], r"--dir wants HOST::GUEST"),
        (["--dir", "/no/such/place::/"], r"No such file or directory"),
        (["--env", "=x"], r"--env wants K=V"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_status_1(args: list[str], message: str, wat: Wat, capsys: Capsys) -> None:
    assert main(["run", wat(VALUES), *args]) == 1
    err = capsys.readouterr().err
    assert re.search(message, err), err
    assert err.count("\n") == 1
    assert err.startswith("wasmark: ")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"(module\n  (func (i32.frob)))", r"wasmark: \S+bad:2:\d+: "),
        (b"(module (func (result i32)))", r"wasmark: \S+bad:1:9: .*function 0"),
        (b"\0asm\x01\0\0\0\x01\x7f", r"wasmark: \S+bad: .*at offset 0x"),
        (b"\x7fELF\x02\x01\x01", r"wasmark: \S+bad: .*at offset 0x0"),
        (b"", r"wasmark: \S+bad: "),
        (b'(module (import "no" "where" (func)) (func (export "_start")))', r"wasmark: \S+bad: .*no.*where"),
        (b"( \xff", r"wasmark: \S+bad:1:3: malformed UTF-8 encoding: ff"),
    ],
)
def test_a_bad_module_is_one_line_and_status_1(contents: bytes, message: str, tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "bad").write_bytes(contents)
    assert main(["run", str(tmp_path / "bad")]) == 1
    err = capsys.readouterr().err
    assert re.match(message, err), err
    assert err.count("\n") == 1


def test_a_missing_file_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("run", "validate", "wat2wasm", "wasm2wat", "objdump", "wast"):
        assert main([name, "/no/such/file"]) == 1
        assert capsys.readouterr().err == "wasmark: /no/such/file: No such file or directory\n"


def test_a_trap_prints_its_traceback_and_ends_with_134(wat: Wat) -> None:
    done = command("run", wat(TRAP))
    assert done.returncode == 134
    assert done.stdout == b""
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "wasm trap: unreachable executed"
    assert [name for line in lines for name in ("inner", "outer") if name in line] == ["inner", "outer"]


THROWING = """
(module $m
  (tag $boom (export "boom") (param i32 f64)) (tag $other (param externref))
  (func $inner (throw $boom (i32.const 7) (f64.const 1.5)))
  (func $outer (export "_start") (call $inner))
  (func $quiet (export "quiet") (throw $other (ref.null extern)))
  (func $caught (export "caught") (result i32)
    (block $h (try_table (catch_all $h) (call $outer)) unreachable)
    (i32.const 42)))
"""


@pytest.mark.parametrize("strategy", ["eager", "baseline", "lazy"])
def test_an_exception_that_nobody_catches_prints_its_traceback_and_ends_with_134(wat: Wat, strategy: str) -> None:
    done = command("run", "--strategy", strategy, wat(THROWING))
    lines = done.stderr.decode().splitlines()
    assert (done.returncode, done.stdout, len(lines)) == (134, b"", 3), done.stderr
    assert lines[0] == "wasm exception: boom(7, 1.5)"
    assert re.fullmatch(r" +0: m!inner @ \+0x[0-9a-f]+ \(wasm offset 0x[0-9a-f]+\)", lines[1])
    assert re.fullmatch(r" +1: m!outer @ \+0x[0-9a-f]+ \(wasm offset 0x[0-9a-f]+\)", lines[2])


def test_so_does_one_out_of_a_function_that_is_invoked_and_out_of_a_start_function(wat: Wat, capsys: Capsys) -> None:
    assert main(["run", "--invoke", "quiet", wat(THROWING)]) == 134
    assert capsys.readouterr().err.splitlines()[0] == "wasm exception: tag[1](None)"
    started = THROWING.strip().removesuffix(")") + "(start $outer))"
    assert main(["run", wat(started)]) == 134
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "wasm exception: boom(7, 1.5)"
    assert len(lines) == 3


def test_one_that_is_caught_is_nothing_to_tell(wat: Wat, capsys: Capsys) -> None:
    assert main(["run", "--invoke", "caught", wat(THROWING)]) == 0
    assert capsys.readouterr() == ("42\n", "")


def test_an_endless_loop_ends_at_ctrl_c(wat: Wat) -> None:
    words = [sys.executable, "-m", "wasmark", "run", wat(ENDLESS)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
            time.sleep(0.3)
            assert process.poll() is None
            process.send_signal(signal.SIGINT)
            status = process.wait(60)
        finally:
            process.kill()
    assert status == 130


def test_a_program_whose_time_is_over_shows_where_it_was_and_ends_with_124(wat: Wat) -> None:
    for seconds in (1, 4, 16, 64):
        done = command("run", "--timeout", str(seconds), wat(ENDLESS))
        assert done.returncode == 124
        lines = done.stderr.decode().splitlines()
        assert lines[0] == f"wasm trap: interrupted: it took longer than {seconds}.0 s"
        if done.stdout:  # else the time was over before it was there
            break
    assert "_start" in lines[1]
    assert command("run", "--timeout", "60", wat(TRAP)).returncode == 134


@pytest.mark.parametrize("more", [[], ["--invoke", "sleep"]])
def test_a_program_that_waits_for_input_or_time_is_stopped_as_well(wat: Wat, more: list[str]) -> None:
    words = [sys.executable, "-m", "wasmark", "run", "--timeout", "1", *more, wat(WAITING)]
    pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(words, **pipes) as process:  # type: ignore[call-overload]
        try:
            assert process.wait(60) == 124
        finally:
            process.kill()
        assert b"interrupted" in process.stderr.read()
    assert command("run", "--timeout", "60", wat(WAITING), stdin=b"ab").returncode == 2


def test_usage_errors_end_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    for args in ([], ["frobnicate"], ["run"], ["run", "--frobnicate"], ["wat2wasm"]):
        with pytest.raises(SystemExit) as caught:
            main(args)
        assert caught.value.code == 2
        assert "usage: wasmark" in capsys.readouterr().err


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    assert all(f"    {name} " in out for name in ("run", "validate", "wat2wasm", "objdump", "wast"))


def test_validate_looks_at_every_file(wat: Wat, capsys: Capsys) -> None:
    good, bad, text = wat(ADD, "good.wat"), wat("(module (func (drop)))", "bad.wat"), wat("(module", "text.wat")
    assert main(["validate", good]) == 0
    assert capsys.readouterr().out == f"{good}: valid\n"
    assert main(["validate", bad, good, "/no/such/file", text]) == 1
    captured = capsys.readouterr()
    assert captured.out == f"{good}: valid\n"
    lines = captured.err.splitlines()
    assert len(lines) == 3
    assert [line.split(": ")[1].split(":")[0] for line in lines] == [bad, "/no/such/file", text]


def test_wat2wasm_writes_a_module_that_runs(wat: Wat, tmp_path: Path, capsys: Capsys) -> None:
    file = wat(ADD)
    assert main(["wat2wasm", file]) == 0
    assert (tmp_path / "module.wasm").read_bytes()[:8] == b"\0asm\x01\0\0\0"
    assert main(["wat2wasm", file, "-o", str(tmp_path / "other")]) == 0
    assert (tmp_path / "other").read_bytes() == (tmp_path / "module.wasm").read_bytes()
    assert main(["run", "--invoke", "add", str(tmp_path / "other"), "-3", "45"]) == 0
    assert capsys.readouterr().out == "42\n"


def test_wasm2wat_prints_what_wat2wasm_reads(wat: Wat, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["wat2wasm", wat(ADD)]) == 0
    binary = tmp_path / "module.wasm"
    assert main(["wasm2wat", str(binary)]) == 0
    text = capsys.readouterr().out
    assert text.startswith("(module\n  (type (;0;) (func")
    assert main(["wasm2wat", str(binary), "-o", str(tmp_path / "again.wat")]) == 0
    assert (tmp_path / "again.wat").read_text() == text
    assert main(["wat2wasm", str(tmp_path / "again.wat")]) == 0
    assert (tmp_path / "again.wasm").read_bytes() == binary.read_bytes()


def test_wat2wasm_from_and_to_a_pipe(tmp_path: Path) -> None:
    done = command("wat2wasm", "-", stdin=ADD.encode())
    assert done.returncode == 0
    assert done.stdout[:8] == b"\0asm\x01\0\0\0"
    assert command("validate", "-", stdin=done.stdout).stdout == b"-: valid\n"


def test_wat2wasm_writes_nothing_for_an_invalid_module_unless_told_to(wat: Wat, tmp_path: Path, capsys: Capsys) -> None:
    file = wat("(module (func (drop)))")
    assert main(["wat2wasm", file]) == 1
    assert not (tmp_path / "module.wasm").exists()
    assert main(["wat2wasm", "--no-check", file]) == 0
    assert (tmp_path / "module.wasm").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("wat2wasm", "module.wasm"),
        ("wat2wasm", "module.wat", "-o", "./module.wat"),
        ("wasm2wat", "module.wat", "-o", "./module.wat"),
        ("compile", "module.wasmark"),
        ("compile", "module.wat", "-o", "./module.wat"),
        ("explore", "module.wat", "-o", "./module.wat"),
        ("bindgen", "module.wat", "-o", "./module.wat"),
    ],
)
def test_no_command_writes_over_the_file_that_it_reads(
    words: tuple[str, ...], wat: Wat, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = words[1]
    wat(ADD, file)
    assert main(words) == 1
    assert Path(file).read_text() == ADD
    assert capsys.readouterr().err == f"wasmark: {file}: this file would be overwritten; name another one with -o\n"


def test_objdump_shows_sections_and_functions(wat: Wat, capsys: Capsys) -> None:
    assert main(["objdump", wat(TRAP)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^\s*10\s+code\s+2\s+0x[0-9a-f]+\s+\d+", out, re.MULTILINE), out
    assert re.search(r"^\s*0\s+inner\s+\[\] -> \[\]\s+0x", out, re.MULTILINE), out
    assert re.search(r"^\s*1\s+outer\s+\[\] -> \[\]\s+0x", out, re.MULTILINE), out


def test_objdump_shows_machine_code_beside_wasm(wat: Wat, capsys: Capsys) -> None:
    assert main(["objdump", "--function", "add", wat(ADD)]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^\s*0x[0-9a-f]+  ret\b", out, re.MULTILINE), out
    assert re.search(r"^\s*0x[0-9a-f]+  \w+ .*  0x[0-9a-f]+  i64\.(add|extend_i32_s)$", out, re.MULTILINE), out
    assert main(["objdump", "-d", wat(TRAP)]) == 0
    out = capsys.readouterr().out
    assert "function 0 inner" in out
    assert "; may trap: unreachable executed" in out
    assert re.search(r"  call 0$", out, re.MULTILINE), out


def test_objdump_without_capstone_says_what_to_install(
    wat: Wat, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "capstone", None)
    assert main(["objdump", "-d", wat(ADD)]) == 1
    assert "pip install 'wasmark[objdump]'" in capsys.readouterr().err


def test_objdump_of_an_unknown_function(wat: Wat, capsys: Capsys) -> None:
    file = wat(ADD)
    assert main(["objdump", "--function", "nope", file]) == 1
    assert capsys.readouterr().err == f"wasmark: {file}: no function 'nope' is defined in the module\n"


def test_a_reader_that_goes_away_is_no_traceback(wat: Wat) -> None:
    functions = "".join(f'(func (export "f{n}") (result i32) (i32.const {n}))' for n in range(300))
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "wasmark", "objdump", "-d", wat(f"(module {functions})")],
        stdout=write,
        stderr=subprocess.PIPE,
        timeout=120,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (1, b"")


WAST = """
(module (func (export "two") (result i32) (i32.const 2)) (func (export "trap") (unreachable)))
(assert_return (invoke "two") (i32.const 2))
(assert_trap (invoke "trap") "unreachable")
(assert_invalid (module (func (result i32))) "type mismatch")
"""


def test_wast_counts_assertions(wat: Wat, capsys: Capsys) -> None:
    assert main(["wast", wat(WAST, "good.wast")]) == 0
    out = capsys.readouterr().out
    assert re.search(r"good\.wast\s+3\s+0", out), out


def test_wast_fails_with_a_failing_assertion(wat: Wat, capsys: Capsys) -> None:
    good, bad = wat(WAST, "good.wast"), wat(WAST.replace("(i32.const 2))\n", "(i32.const 3))\n"), "bad.wast")
    assert main(["wast", good, bad]) == 1
    out = capsys.readouterr().out
    assert re.search(r"bad\.wast\s+2\s+1", out), out
    assert re.search(r"bad\.wast:3", out), out


def test_wast_of_a_directory_without_scripts_says_so(tmp_path: Path, capsys: Capsys) -> None:
    assert main(["wast", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"wasmark: {tmp_path}: no .wast file is in this directory\n"


def test_a_title_is_one_line_above_a_narrow_table(wat: Wat, capsys: Capsys) -> None:
    assert main(["objdump", wat("(component)")]) == 0
    assert "Imports and exports\n" in capsys.readouterr().out


def test_a_trap_is_told_where_its_core_dump_cannot_be_written(wat: Wat, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["run", "--coredump", str(tmp_path / "no" / "core"), wat(TRAP)]) == 134
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [
        f"wasmark: no core dump: {tmp_path}/no/core: No such file or directory",
        "wasm trap: unreachable executed",
    ]


def test_a_program_does_not_run_where_its_profile_cannot_be_written(wat: Wat, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["run", "--profile", str(tmp_path / "no" / "profile.json"), wat(TRAP)]) == 1
    assert capsys.readouterr().err == f"wasmark: {tmp_path}/no/profile.json: No such file or directory\n"
