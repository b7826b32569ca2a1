"""What the README shows is true: its examples run and print what it says, and its figures are those of a run."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def section(title: str) -> str:
    found = re.search(rf"^## {title}\n(.*?)(?=^## )", README, re.DOTALL | re.MULTILINE)
    assert found is not None
    return found[1]


def block(title: str, language: str) -> str:
    """The one block of code in a language under a title."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```", section(title), re.DOTALL | re.MULTILINE)
    return str(text)


def test_the_python_example_of_the_readme_prints_what_the_readme_says() -> None:
    code, output = block("In Python", "python"), block("In Python", "text")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


@pytest.mark.skipif(importlib.util.find_spec("ziglang") is None, reason="needs ziglang, of the extra `bench`")
def test_the_traceback_of_the_readme_is_what_its_two_files_print(tmp_path: Path) -> None:
    (tmp_path / "dinner.c").write_text(block("A traceback", "c"))
    (tmp_path / "evening.py").write_text(block("A traceback", "python"))
    _, compile_ = block("A traceback", "sh").splitlines()
    words = compile_.split()
    assert words[0] == "python"
    subprocess.run([sys.executable, *words[1:]], cwd=tmp_path, check=True, timeout=300)
    script = [sys.executable, str(tmp_path / "evening.py")]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout == "9004\n"
    printed = done.stderr.replace(str(tmp_path), "/home/you")
    assert without_marks(printed) == without_marks(block("A traceback", "text"))


def without_marks(traceback: str) -> str:
    """A traceback without the lines of `^`, which not every version of Python prints alike."""
    return "\n".join(line for line in traceback.splitlines() if line.strip(" ^~"))


def test_the_first_example_of_components_runs() -> None:
    pytest.importorskip("numcodecs_wasm_zlib")
    code = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "components.md").read_text(), re.DOTALL)[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"\d+ \[\d+\]\n", done.stdout)


def test_the_figures_of_the_readme_are_those_of_the_benchmarks() -> None:
    rows = re.findall(r"^\| \S.*? \| (.+?) \| (.+?) \| (\S+) \|$", section("In figures"), re.MULTILINE)
    assert len(rows) == 7
    measured = (ROOT / "docs" / "benchmarks.md").read_text()
    for row in rows:
        assert f"| {' | '.join(row)} |" in measured


def test_the_readme_has_two_lines_to_paste() -> None:
    lines = re.search(r"<!-- lines -->(.*?)<!-- end of lines -->", README, re.DOTALL)
    assert lines is not None
    assert len(re.findall(r"^python3 -m venv .*$", lines[1], re.MULTILINE)) == 2


def test_every_file_that_the_documents_link_to_is_there() -> None:
    documents = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "src").rglob("README.md")]
    assert len(documents) > 10
    for document in documents:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_command_that_the_readme_names_is_there() -> None:
    from wasmark.cli import COMMANDS

    shown = set(re.findall(r"^    .*?wasmark (\w+)", section("On the command line"), re.MULTILINE))
    assert shown == set(COMMANDS)
