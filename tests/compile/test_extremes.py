"""Functions of extreme shapes compile, and do what they should."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compile.extremes import EXTREMES

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", EXTREMES)
def test_the_largest_of_its_kind_compiles_and_runs(name: str) -> None:
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.compile.extremes", name],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=200,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout) == EXTREMES[name]().results
