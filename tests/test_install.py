"""A wheel that was just built, in an environment with nothing else: a first program runs without LLVM."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
SHIPPED = "wasmark/shipped/x86_64.wasmark"
LARGEST = 2 << 20

PROGRAM = """
    import json, sys, threading
    sys.modules["llvmlite"] = None
    import wasmark

    module = wasmark.Module('''(module
        (import "env" "note" (func $note (param i32 f64) (result i64)))
        (memory (export "memory") 1) (data (i32.const 4) "data") (table 2 funcref) (elem (i32.const 0) $fib $mix)
        (type $unary (func (param i32) (result i32)))
        (func $fib (export "fib") (type $unary) (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
            (then (local.get 0))
            (else (i32.add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                           (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
        (func $mix (param i32 f32 i64 f64 i32 i32 i32 i64 f32 f64 i32) (result f64)
            (f64.add (f64.promote_f32 (local.get 8)) (f64.convert_i64_s (local.get 7))))
        (func (export "through") (param i32) (result i32) (call_indirect (type $unary) (local.get 0) (i32.const 0)))
        (func (export "mixed") (result f64) (call $mix (i32.const 1) (f32.const 2) (i64.const 3) (f64.const 4)
            (i32.const 5) (i32.const 6) (i32.const 7) (i64.const 8) (f32.const 9.5) (f64.const 10) (i32.const 11)))
        (func (export "host") (result i64) (call $note (i32.const 7) (f64.const 0.5)))
        (func (export "fall") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
        (func (export "load") (result i32) (i32.load (i32.const 4))))''',
        wasmark.Engine(wasmark.Config(strategy="lazy", cache=sys.argv[1])))
    exports = wasmark.Instance(module, {"env": {"note": lambda a, b: int(a / b)}}).exports
    try:
        exports.fall(0)
    except wasmark.Trap as trap:
        fallen = str(trap).splitlines()[0]
    print(json.dumps({
        "where": wasmark.__file__,
        "answers": [exports.fib(15), exports.through(10), exports.mixed(), exports.host(), exports.load(), fallen],
        "llvm": [name for name in sys.modules if name.startswith("llvmlite.")],
    }))
"""


def run(*command: object, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def installed(tmp_path: Path, **environment: str) -> tuple[Path, Path]:
    """A wheel that is built of a copy of the sources, and the Python of an environment with nothing else in it."""
    pytest.importorskip("hatchling", reason="the `test` extra brings hatchling")
    source = tmp_path / "source"
    hidden = shutil.ignore_patterns("__pycache__", "shipped")
    shutil.copytree(REPOSITORY / "src", source / "src", ignore=hidden)
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    quiet = ("--quiet", "--no-deps", "--no-index", "--disable-pip-version-check")
    wheel_command = (sys.executable, "-m", "pip", "wheel", *quiet, "--no-build-isolation", "-w", tmp_path, source)
    run(*wheel_command, **environment)
    (wheel,) = tmp_path.glob("*.whl")
    run(sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv")
    python = tmp_path / "venv" / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", *quiet, wheel)
    return wheel, python


def test_a_fresh_wheel_runs_its_first_program_without_llvm(tmp_path: Path) -> None:
    wheel, python = installed(tmp_path)
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as contents:
        assert 0 < contents.getinfo(SHIPPED).file_size < LARGEST
    said = json.loads(run(python, "-c", textwrap.dedent(PROGRAM), tmp_path / "cache", PYTHONPATH=""))
    assert Path(said["where"]).is_relative_to(tmp_path / "venv")
    assert said["answers"] == [610, 55, 17.5, 14, 0x61746164, "wasm trap: integer divide by zero"]
    assert said["llvm"] == []
    # Without what was shipped there is nothing that could make code: that is what the answers came from.
    for file in (tmp_path / "venv").rglob("*.wasmark"):
        file.unlink()
    shutil.rmtree(tmp_path / "cache", ignore_errors=True)
    with pytest.raises(AssertionError, match="llvmlite"):
        run(python, "-c", textwrap.dedent(PROGRAM), tmp_path / "cache", PYTHONPATH="")


COMPILED = """
    import json
    import wasmark
    from wasmark.binary import decode_module, encode_module, leb
    from wasmark.validate import body, quick

    def refusal(text):
        try:
            wasmark.Module.validate(text)
        except wasmark.InvalidError as error:
            return str(error)

    print(json.dumps({
        "files": [module.__file__ for module in (leb, body, quick)],
        "refusals": [
            refusal("(module (func (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))"),
            refusal("(module (func (param i32) (result i32) (i64.eqz (local.get 0))))"),
        ],
    }))
"""


def test_a_wheel_with_compiled_modules_judges_as_every_other(tmp_path: Path) -> None:
    pytest.importorskip("mypyc", reason="the `dev` extra brings mypyc")
    if shutil.which("cc") is None and shutil.which("gcc") is None:
        pytest.skip("there is no C compiler")
    wheel, python = installed(tmp_path, WASMARK_MYPYC="1")
    assert "none-any" not in wheel.name
    said = json.loads(run(python, "-c", textwrap.dedent(COMPILED), PYTHONPATH=""))
    assert all(file.endswith(".so") for file in said["files"])
    assert said["refusals"] == [
        None,
        "1:40: type mismatch: i64.eqz expected i64, found i32 (in function 0 at offset 0x1b)",
    ]
