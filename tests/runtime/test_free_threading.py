"""Without the GIL there is a clear answer, and no crash later."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("gil", "answer"), [("False", "ImportError: Wasmark needs the GIL"), ("True", "fine")])
def test_importing_is_refused_where_the_gil_is_off(gil: str, answer: str) -> None:
    code = f"import sys; sys._is_gil_enabled = lambda: {gil}; import wasmark; print('fine')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert answer in (done.stdout + done.stderr).strip().splitlines()[-1]
