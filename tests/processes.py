"""What may crash, hang, or change the whole process, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE: Final = 120
"""Seconds after which a child that waits for something that does not come is ended."""


def run_alone(program: str, *, seconds: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """A program in a new Python, with the imports of this one: how it ended and what it wrote."""
    return subprocess.run(
        [
            sys.executable,
            "-Wignore:This process:DeprecationWarning",
            "-X",
            "faulthandler",
            "-c",
            textwrap.dedent(program),
        ],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **environment},
    )


def output_of(program: str) -> str:
    """What such a program prints; it has to succeed."""
    done = run_alone(program)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_child(job: Callable[[], None]) -> None:
    """Run a job in a forked child; whatever it raises fails the test, and so does waiting for ever."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(PATIENCE)
            job()
            status = 0
        except BaseException as error:
            print(f"in the child: {error!r}", file=sys.stderr)
        finally:
            sys.stderr.flush()
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
