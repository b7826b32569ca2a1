"""Damaged modules and components are valid here where they are valid under wasmtime-py, and nowhere else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = 60_000 if os.environ.get("WASMARK_LONG") else 1600
"""A failure names its seed: `python -m tests.differential.verdicts SEED SEED+1` shows it again."""


def test_the_engines_agree_about_what_is_valid() -> None:
    pytest.importorskip("wasmtime", reason="wasmtime is not installed: there is nothing to compare with")
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.differential.verdicts", "0", str(COUNT)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=900,
    )
    assert run.returncode == 0, run.stderr
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert [line["difference"] for line in lines if "difference" in line] == []
    counts = lines[-1]["counts"]
    assert counts["valid"] > COUNT // 40, "much of what was changed should still be valid"
    assert counts["refused"] > COUNT // 3
