"""`wasmark addr2line`: where a byte of a module comes from."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.debug.support import dinner
from wasmark.binary import decode_module
from wasmark.cli import main


@pytest.fixture
def module(tmp_path: Path) -> Path:
    path = tmp_path / "dinner.wasm"
    path.write_bytes(dinner())
    return path


def test_function_and_line_with_what_was_inlined(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pay, split = decode_module(dinner()).functions
    assert main(["addr2line", str(module), hex(split.start + 4), str(pay.start), "8"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "divide",
        "/src/dinner/include/share.hpp:2:14",
        " (inlined by) dinner::share(int, int)",
        "/src/dinner/include/share.hpp:4:9",
        " (inlined by) dinner::split(int, int)",
        "/src/dinner/dinner.cpp:12:7",
        "dinner::pay(int, int)",
        "/src/dinner/dinner.cpp:22:5",
        "??",
        "??",
    ]


def test_without_debug_information_the_function_is_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "names.wat"
    path.write_text('(module (func $one (nop)) (func (nop)) (func (export "three") (nop)))')
    assert main(["wat2wasm", str(path), "-o", str(tmp_path / "names.wasm")]) == 0
    functions = decode_module((tmp_path / "names.wasm").read_bytes()).functions
    for file in (path, tmp_path / "names.wasm"):
        capsys.readouterr()
        assert main(["addr2line", str(file), *(str(function.start) for function in functions)]) == 0
        assert capsys.readouterr().out.split() == ["one", "??", "func[1]", "??", "three", "??"]


@pytest.mark.parametrize(
    ("offset", "message"),
    [
        ("here", "'here' is not an offset: a number, decimal or 0x..."),
        ("0x100000", "dinner.wasm: 0x100000 is not in the module"),
        ("99999999", "dinner.wasm: 99999999 is not in the module"),
    ],
)
def test_wrong_offsets_are_one_line(
    module: Path, offset: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["addr2line", str(module), "8", offset]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("wasmark: ")
    assert message in err
    assert err.count("\n") == 1


def test_without_the_extra_it_says_which_one(module: Path) -> None:
    program = f"""
import sys
sys.modules["elftools"] = None
from wasmark.cli import main
raise SystemExit(main(["addr2line", {str(module)!r}, "8"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stderr == "wasmark: reading DWARF needs pyelftools; install it with: pip install 'wasmark[debug]'\n"


def test_a_trap_on_the_command_line_shows_source_lines(module: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(module), "--invoke", "pay", "1", "0"]) == 134
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if " at " in line] == [
        "           divide at /src/dinner/include/share.hpp:2:14",
        "           dinner::share(int, int) at /src/dinner/include/share.hpp:4:9",
        "           dinner::split(int, int) at /src/dinner/dinner.cpp:12:7",
        "           dinner::pay(int, int) at /src/dinner/dinner.cpp:22:5",
    ]
    assert len(lines) == 7
