"""The code cache of the tests: their own, and one for the whole session, so that a large program compiles once. Tests
that need a process of their own. And what is said at the end: how many assertions of the official testsuite passed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from typing import Any

import pytest

_VARIABLE = "XDG_CACHE_HOME"

ASSERTIONS = "assertions"
"""The property of a test that ran an official script: (way, how many of its assertions passed, how many it has)."""

_ALONE = "WASMARK_TEST_ALONE"
"""Set in the process that a test has for itself."""


def pytest_configure(config: pytest.Config) -> None:
    # A shell has what it starts in the background ignore Ctrl-C, and with it all processes that the tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The workers of pytest-xdist inherit the environment of the process that started them, and so its directory.
    if not hasattr(config, "workerinput"):
        directory = tempfile.TemporaryDirectory(prefix="wasmark-tests-")
        before = os.environ.get(_VARIABLE)
        os.environ[_VARIABLE] = directory.name

        def restore() -> None:
            if before is None:
                del os.environ[_VARIABLE]
            else:
                os.environ[_VARIABLE] = before
            directory.cleanup()

        config.add_cleanup(restore)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test with the mark `alone` in a new process: what it counts (pages of code, mappings, objects of the whole
    process) is changed at any time by what earlier tests left, such as code that is still being optimised."""
    if pyfuncitem.get_closest_marker("alone") is None or _ALONE in os.environ:
        return None
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-p", "no:xdist"]
    child = subprocess.run(
        [*command, pyfuncitem.nodeid],
        cwd=pyfuncitem.config.rootpath,
        env={**{k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}, _ALONE: "1"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if child.returncode:
        pytest.fail(child.stdout, pytrace=False)
    return True


def pytest_terminal_summary(terminalreporter: Any) -> None:
    passed: Counter[str] = Counter()
    total: Counter[str] = Counter()
    for report in terminalreporter.getreports("passed") + terminalreporter.getreports("failed"):
        for name, value in report.user_properties:
            if name == ASSERTIONS:
                way, good, all_ = value
                passed[way] += good
                total[way] += all_
    if total:
        terminalreporter.section("official testsuite")
        for way, count in total.items():
            terminalreporter.line(f"{way}: {passed[way]:,} of {count:,} assertions pass")
