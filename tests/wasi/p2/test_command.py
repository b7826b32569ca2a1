"""`wasmark run` of command components, and the same from Python."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli import command as wasmark
from tests.wasi.p2.commands import ECHO, HELLO, command
from wasmark import Component, ComponentLinker, Exit, ResultError, Trap
from wasmark.component.binary import encode_component
from wasmark.component.text import parse_component
from wasmark.wasi import Capture

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("body", "status", "out"),
    [
        (HELLO, 0, b"hello from a component\n"),
        ("(i32.const 1)", 1, b""),
        ("(call $exit (i32.const 0)) unreachable", 0, b""),
        ("(call $exit (i32.const 1)) unreachable", 1, b""),
        (ECHO, 0, b"--dir=x"),
    ],
)
def test_status_and_output(tmp_path: Path, body: str, status: int, out: bytes) -> None:
    file = tmp_path / "program.wasm"
    file.write_bytes(command(body))
    done = wasmark("run", file, "--", "--dir=x")
    assert (done.returncode, done.stdout, done.stderr) == (status, out, b"")


def test_a_trap_prints_its_traceback(tmp_path: Path) -> None:
    file = tmp_path / "broken.wasm"
    file.write_bytes(command("(call $deeper) (i32.const 0)"))
    done = wasmark("run", file)
    assert done.returncode == 134
    assert b"unreachable" in done.stderr
    assert b"deeper" in done.stderr
    assert b"run" in done.stderr


def test_a_component_from_standard_input() -> None:
    done = wasmark("run", "-", stdin=command(HELLO))
    assert (done.returncode, done.stdout) == (0, b"hello from a component\n")


@pytest.mark.parametrize("strategy", ["eager", "baseline", "lazy"])
def test_every_strategy_runs_it(tmp_path: Path, strategy: str) -> None:
    file = tmp_path / "program.wasm"
    file.write_bytes(command(HELLO))
    done = wasmark("run", "--strategy", strategy, file)
    assert (done.returncode, done.stdout) == (0, b"hello from a component\n")


def test_a_program_that_never_ends_is_stopped_in_time(tmp_path: Path) -> None:
    file = tmp_path / "endless.wasm"
    file.write_bytes(command("(loop $l (br $l)) (i32.const 0)"))
    done = wasmark("run", "--timeout", "0.2", file)
    assert done.returncode == 124


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(component)", b"no wasi:cli/run@0.2.0 to run; it exports nothing"),
        ('(component (import "a" (func)))', b"nothing is given for 'a'"),
    ],
)
def test_what_is_no_command_is_one_line(tmp_path: Path, text: str, message: bytes) -> None:
    file = tmp_path / "odd.wasm"
    file.write_bytes(encode_component(parse_component(text)))
    done = wasmark("run", file)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_invoke_calls_the_run_of_a_command_as_any_function(tmp_path: Path) -> None:
    file = tmp_path / "program.wasm"
    file.write_bytes(command(HELLO))
    done = wasmark("run", "--invoke", "run", file)
    assert (done.returncode, done.stdout) == (0, b"hello from a component\nok\n")


def test_a_damaged_component_is_one_line(tmp_path: Path) -> None:
    file = tmp_path / "damaged.wasm"
    file.write_bytes(command(HELLO)[:-7])
    done = wasmark("run", file)
    assert done.returncode == 1
    assert done.stderr.startswith(b"wasmark: " + str(file).encode())
    assert done.stderr.count(b"\n") == 1


def test_from_python() -> None:
    out = Capture()
    linker = ComponentLinker()
    with linker.define_wasi(args=["x", "said"], stdout=out):
        for body in (HELLO, ECHO):
            assert linker.instantiate(Component(command(body))).exports["wasi:cli/run@0.2.0"].run() is None
        with pytest.raises(ResultError):
            linker.instantiate(Component(command("(i32.const 1)"))).exports.run.run()
        with pytest.raises(Exit) as caught:
            linker.instantiate(Component(command("(call $exit (i32.const 1)) unreachable"))).exports.run.run()
        with pytest.raises(Trap):
            linker.instantiate(Component(command("(call $deeper) (i32.const 0)"))).exports.run.run()
    assert caught.value.code == 1
    assert out.text() == "hello from a component\nsaid"
