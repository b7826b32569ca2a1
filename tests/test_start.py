"""What a start loads: not what takes long to load and is for something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
HEAVY = ("ast", "dataclasses", "hashlib", "inspect", "json", "llvmlite", "logging", "re", "rich", "typing")


def loaded(program: str, *arguments: object) -> set[str]:
    """Which of HEAVY a fresh interpreter has loaded after a program."""
    end = f"import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    command = [sys.executable, "-c", f"{program}\n{end}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("program", ["import wasmark", "import wasmark.wasi, wasmark.wasi_binding"])
def test_importing_loads_nothing_heavy(program: str) -> None:
    assert loaded(program) == loaded("pass")
