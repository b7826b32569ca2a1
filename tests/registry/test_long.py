"""The registry in the midst of change, in short; with WASMARK_LONG=1 for ten minutes, and a million times."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

LONG = os.environ.get("WASMARK_LONG") == "1"


def run(program: str, amount: int) -> str:
    """Run one of the programs, which must come to its end; the line that it prints."""
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", f"tests.registry.{program}", str(amount)],
        capture_output=True,
        text=True,
        timeout=3_600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(3_600)
def test_every_byte_is_walked_over_while_functions_get_better_code_and_modules_go() -> None:
    line = run("walk", 600 if LONG else 3)
    assert "bytes walked" in line, line


@pytest.mark.timeout(3_600)
def test_traps_interrupts_and_look_ups_in_eight_threads_leave_nothing() -> None:
    line = run("crowd", 1_000_000 if LONG else 15_000)
    assert "left: " in line, line
