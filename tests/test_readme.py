"""What the README shows is true: its Python example runs and prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[1] / "README.md"


def test_the_python_example_of_the_readme_prints_what_the_readme_says() -> None:
    code, output = re.findall(r"```(?:python|text)\n(.*?)```", README.read_text(), re.DOTALL)[:2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == output


def test_the_readme_has_two_lines_to_paste() -> None:
    block = re.search(r"<!-- lines -->(.*?)<!-- end of lines -->", README.read_text(), re.DOTALL)
    assert block is not None
    assert len(re.findall(r"^python3 -m venv .*$", block[1], re.MULTILINE)) == 2
