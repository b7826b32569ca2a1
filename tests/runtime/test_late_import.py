"""An import that a signal handler cuts short is no import that everybody waits for."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmark.runtime.late_import import late_import


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    name = "late_import_of_a_slow_module"
    monkeypatch.setattr(sys, "go_on", threading.Event(), raising=False)
    (tmp_path / f"{name}.py").write_text("import sys\nsys.go_on.wait(120)\nanswer = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_module_is_imported_once_and_then_found(slow: str) -> None:
    sys.go_on.set()  # type: ignore[attr-defined]
    assert late_import(slow).answer == 42
    assert late_import(slow) is sys.modules[slow]


def test_what_importing_raises_comes_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "late_import_that_fails.py").write_text("1 / 0\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        late_import("late_import_that_fails")


def test_it_is_done_in_another_thread_and_goes_on_when_this_one_is_interrupted(slow: str) -> None:
    class Interrupted(BaseException):
        pass

    def interrupt(*_: object) -> None:
        raise Interrupted

    def interrupted_import() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        late_import(slow)

    old = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(Interrupted):
            interrupted_import()
    finally:
        signal.signal(signal.SIGALRM, old)
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(late_import(slow).answer)) for _ in range(2)]
    for thread in threads:
        thread.start()
    sys.go_on.set()  # type: ignore[attr-defined]
    for thread in threads:
        thread.join(60)
    assert found == [42, 42]


def test_an_import_at_the_very_end_of_the_process_fails_and_does_not_wait_for_a_thread() -> None:
    source = """
import sys, wasmark
from wasmark.runtime.late_import import late_import
class Late:
    def __del__(self, late_import=late_import, sys=sys):
        try:
            late_import("wasmark.baseline.translator")
        except ImportError:
            sys.stdout.write("refused")
late = Late()
late.itself = late
"""
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout == "refused", done.stderr
