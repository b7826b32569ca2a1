"""20,000 damaged modules each end in a `wasmark.Error`, or run: no crash, no hang, no other exception, memory flat."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.fuzz.worker import COMPILE, EXECUTE, STATE

ROOT = Path(__file__).parents[2]
WORKERS = 8
MODULES_OF_EACH = 2_500
SECONDS_TO_COMPILE = 240.0
"""More than the slowest module takes on a busy machine; a hang takes more than any number."""
SECONDS_TO_RUN = 3.0
"""Damage makes endless loops, which are the module's right. Whatever runs longer than this is taken for one."""
MOST_GROWTH = 48 << 20


class Supervisor:
    """Runs workers over a range of seeds, and starts a new one behind a seed whose execution did not end."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.counts: Counter[str] = Counter()
        self.endless: list[int] = []
        self.grown = 0

    def run(self, first: int, count: int, *, execute: bool) -> None:
        end = first + count
        while first < end:
            self.state.write_bytes(STATE.pack(first, COMPILE))
            command = [sys.executable, "-m", "tests.fuzz.worker", str(first), str(end - first), str(self.state)]
            with subprocess.Popen(
                command + ["--execute"] * execute, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
            ) as process:
                try:
                    stuck_at = self.watch(process)
                    out, err = process.communicate()
                finally:
                    process.kill()
            seed, _ = STATE.unpack_from(self.state.read_bytes())
            if stuck_at is not None:
                self.endless.append(stuck_at)
                self.count()
                first = stuck_at + 1
                continue
            if process.returncode < 0:
                name = signal.Signals(-process.returncode).name
                pytest.fail(f"seed {seed}: the process died of {name}\n{err.decode()[-4000:]}")
            if process.returncode:
                pytest.fail(f"seed {seed}:\n{err.decode()[-4000:]}")
            self.count()
            self.grown = max(self.grown, int(out))
            return

    def count(self) -> None:
        """Add what a worker that is no more has counted."""
        self.counts.update(json.loads(self.state.read_bytes()[STATE.size :]))

    def watch(self, process: subprocess.Popen[bytes]) -> int | None:
        """Wait for the end of the process; the seed that was executing for too long, if one was."""
        last, since = None, time.monotonic()
        while process.poll() is None:
            state = STATE.unpack_from(self.state.read_bytes())
            now = time.monotonic()
            if state != last:
                last, since = state, now
            elif now - since > (SECONDS_TO_RUN if state[1] == EXECUTE else SECONDS_TO_COMPILE):
                process.kill()
                process.wait()
                if state[1] == EXECUTE:
                    return state[0]
                pytest.fail(f"seed {state[0]}: no answer after {SECONDS_TO_COMPILE:.0f} seconds of compiling")
            try:
                process.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        return None


@pytest.mark.parametrize("batch", range(WORKERS))
def test_damaged_modules_end_in_an_error_or_run(batch: int, tmp_path: Path) -> None:
    supervisor = Supervisor(tmp_path / "state")
    supervisor.run(batch * MODULES_OF_EACH, MODULES_OF_EACH, execute=True)
    # The damage has to reach every stage, or the test proves little.
    assert {"MalformedError", "InvalidError", "compiled", "returned"} <= supervisor.counts.keys()
    assert supervisor.counts["compiled"] > MODULES_OF_EACH // 50
    assert len(supervisor.endless) < MODULES_OF_EACH // 50
    assert supervisor.grown < MOST_GROWTH


def test_the_supervisor_notices_a_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def crash(*_: object, **__: object) -> subprocess.Popen[bytes]:
        code = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
        return popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    popen = subprocess.Popen
    monkeypatch.setattr(subprocess, "Popen", crash)
    with pytest.raises(pytest.fail.Exception, match=r"seed 77: the process died of SIGSEGV"):
        Supervisor(tmp_path / "state").run(77, 1, execute=False)
