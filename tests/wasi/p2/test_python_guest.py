"""A Python guest in a Python host: CPython as a command component, made by componentize-py on the spot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.wasi.conftest import host_descriptors
from tests.wasi.p2.python_program.probe import probe
from wasmark import Component, ComponentLinker, Exit, ResultError, Trap
from wasmark.wasi import Capture, Preopen

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.xdist_group("componentize")

PROGRAM = Path(__file__).parent / "python_program"


@pytest.fixture(scope="module")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The component in a file."""
    directory = tmp_path_factory.mktemp("componentize")
    for name in ("app.py", "probe.py"):
        shutil.copy(PROGRAM / name, directory)
    tool = Path(sys.executable).with_name("componentize-py")
    words = [tool, "-d", PROGRAM / "wit", "-w", "program", "componentize", "app", "-o", "program.wasm"]
    subprocess.run(words, cwd=directory, check=True, capture_output=True, timeout=300)
    return directory / "program.wasm"


@pytest.fixture(scope="module")
def program(binary: Path) -> Component:
    return Component(binary.read_bytes(), name="program")


@pytest.fixture
def run(program: Component, tmp_path: Path) -> Callable[..., tuple[str, str]]:
    """Runs it with `tmp_path/inside` as `/`; what it wrote to standard output and error."""
    inside = tmp_path / "inside"
    inside.mkdir()

    def call(*args: str, stdin: bytes = b"") -> tuple[str, str]:
        out, err = Capture(), Capture()
        linker = ComponentLinker()
        with linker.define_wasi(
            args=["program", *args],
            env={"GREETING": "grüß"},
            stdin=stdin,
            stdout=out,
            stderr=err,
            preopens=[Preopen(inside, "/")],
        ):
            linker.instantiate(program).exports["wasi:cli/run@0.2.0"].run()
        return out.text(), err.text()

    return call


def test_words_variables_and_streams(run: Callable[..., tuple[str, str]]) -> None:
    out, err = run("echo", "a b", "ü", stdin="zwölf\nlines".encode())
    assert json.loads(out) == [["a b", "ü"], "grüß", "zwölf\nlines"]
    assert err == "to standard error\n"


def test_clocks_and_random_bytes(run: Callable[..., tuple[str, str]]) -> None:
    assert run("sleep") == ("True True True\n", "")


def test_files_are_to_it_what_they_are_to_python_here(run: Callable[..., tuple[str, str]], tmp_path: Path) -> None:
    before = host_descriptors(collect=True)
    out, err = run("files")
    assert err == ""
    here = tmp_path / "here"
    here.mkdir()
    assert json.loads(out) == json.loads(json.dumps(probe(str(here))))
    assert host_descriptors() == before
    inside = tmp_path / "inside"
    ours, theirs = ({str(path.relative_to(root)) for path in root.rglob("*")} for root in (inside, here))
    assert ours == theirs
    assert (inside / "large").read_bytes() == (here / "large").read_bytes()


def test_how_it_ends(run: Callable[..., tuple[str, str]]) -> None:
    with pytest.raises(ResultError):
        run("fail")
    with pytest.raises(Exit) as caught:
        run("exit")
    assert caught.value.code == 0
    with pytest.raises(Trap, match="unreachable") as trapped:
        run("raise")
    assert trapped.value.frames[-1].func_name == "wasi:cli/run@0.2.6#run"
    assert len(trapped.value.frames) > 8


def test_on_the_command_line(binary: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "wasmark", "run", binary, "raise"], capture_output=True, timeout=200, check=False
    )
    assert done.returncode == 134
    assert b"ValueError: nobody catches this" in done.stderr
    assert b"wasi:cli/run@0.2.6#run" in done.stderr
