"""`wasmark compile` and `wasmark cache`: machine code in files, and who may run it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import wasmark
from wasmark.cli import cache as cache_command
from wasmark.cli import main

SQUARE = '(module (func (export "square") (param i32) (result i32) (i32.mul (local.get 0) (local.get 0))))'
Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "square.wat"
    path.write_text(SQUARE)
    return path


def test_a_compiled_module_runs(module: Path, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["compile", str(module)]) == 0
    assert main(["compile", str(module), "-o", str(tmp_path / "other.wasmark")]) == 0
    for name in ("square.wasmark", "other.wasmark"):
        assert main(["run", "--invoke", "square", str(tmp_path / name), "-12"]) == 0
        assert capsys.readouterr().out == "144\n"


def test_machine_code_under_the_name_of_a_module_does_not_run(module: Path, tmp_path: Path, capsys: Capsys) -> None:
    disguised = tmp_path / "square.wasm"
    assert main(["compile", str(module), "-o", str(disguised)]) == 0
    assert main(["run", "--invoke", "square", str(disguised), "2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert re.fullmatch(r"wasmark: \S+square\.wasm: this is machine code, .*\n", captured.err)


@pytest.mark.parametrize("position", [0, 9, 30, 100, -1])
def test_damaged_machine_code_does_not_run(position: int, module: Path, tmp_path: Path, capsys: Capsys) -> None:
    assert main(["compile", str(module)]) == 0
    file = tmp_path / "square.wasmark"
    data = bytearray(file.read_bytes())
    data[position] ^= 1
    file.write_bytes(data)
    assert main(["run", "--invoke", "square", str(file), "2"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("wasmark: ")
    assert captured.err.count("\n") == 1


def test_a_bad_module_is_not_compiled(tmp_path: Path, capsys: Capsys) -> None:
    (tmp_path / "bad.wat").write_text("(module (func (result i32)))")
    assert main(["compile", str(tmp_path / "bad.wat")]) == 1
    assert re.match(r"wasmark: \S+bad\.wat:1:9: type mismatch: end expected i32", capsys.readouterr().err)
    assert not (tmp_path / "bad.wasmark").exists()


def test_the_cache_is_shown_and_cleared(
    module: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = tmp_path / "xdg"
    monkeypatch.setenv("XDG_CACHE_HOME", str(directory))
    wasmark.Module.from_file(module, wasmark.Engine(wasmark.Config(strategy="eager")))
    assert main(["cache"]) == 0
    shown = capsys.readouterr().out
    files = list((directory / "wasmark").glob("*.wasmark"))
    assert files
    assert f"{directory}/wasmark: {len(files)} files, " in shown
    assert main(["cache", "clear", "--dir", str(directory / "wasmark")]) == 0
    assert main(["cache", "show"]) == 0
    assert ": 0 files, " in capsys.readouterr().out
    assert not list((directory / "wasmark").glob("*.wasmark"))


def test_of_a_large_cache_what_was_used_last_is_listed(
    module: Path, tmp_path: Path, capsys: Capsys, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_command, "_SHOWN", 1)
    for number in range(3):
        path = tmp_path / f"{number:064x}.wasmark"
        path.touch()
        os.utime(path, (number, number))
    assert main(["cache", "--dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert out.count("(cannot be used)") == 1
    assert "... and 2 more (--all lists them)\n" in out
    assert ": 3 files, " in out
    assert main(["cache", "--all", "--dir", str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("(cannot be used)") == 3


def test_a_directory_that_is_none_has_no_cache(module: Path, capsys: Capsys) -> None:
    assert main(["cache", "clear", "--dir", str(module)]) == 1
    assert capsys.readouterr().err == f"wasmark: {module}: this is no directory\n"
