"""Programs for the tools to look at, each in a process of its own, and the tools."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SPIN = """
(module $spin
  (func $inner (param i32) (result i32) (local i32)
    (loop $again
      (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 1664525)) (local.get 0)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $again (local.get 0)))
    (local.get 1))
  (func $middle (param i32) (result i32)
    (i32.add (call $inner (local.get 0)) (i32.const 1)))
  (func (export "outer") (param i32) (result i32)
    (i32.add (call $middle (local.get 0)) (i32.const 1))))
"""
"""A stack of three functions, of which the innermost takes all the time: some nanoseconds a turn."""


def tool(name: str) -> str:
    """Where a Debian tool is; the test is skipped where it is not installed."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def run(words: Sequence[str | Path], directory: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """A command that has to succeed, in a directory."""
    done = attempt(words, directory, environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def attempt(
    words: Sequence[str | Path], directory: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """A command."""
    env = {**os.environ, **(environment or {})}
    return subprocess.run(
        [str(word) for word in words],
        cwd=directory,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=300,
        check=False,
        env=env,
    )


def program(directory: Path, source: str, **values: Any) -> list[str]:
    """The words that run a Python program. It finds `SPIN` and the values among its names."""
    path = directory / "program.py"
    head = "".join(f"{name} = {value!r}\n" for name, value in {"SPIN": SPIN, **values}.items())
    path.write_text(head + textwrap.dedent(source))
    return [sys.executable, str(path)]
