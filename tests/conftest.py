"""The code cache of the tests: their own, and one for the whole session, so that a large program compiles once. And
what is said at the end: how many assertions of the official testsuite passed."""

from __future__ import annotations

import os
import signal
import tempfile
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

_VARIABLE = "XDG_CACHE_HOME"

ASSERTIONS = "assertions"
"""The property of a test that ran an official script: (way, how many of its assertions passed, how many it has)."""


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
