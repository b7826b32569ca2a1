"""Worker processes: the same code as without them, clear errors, and nobody left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path

import pytest

import wasmark
from tests.jit.support import REPOSITORY, environment_for
from wasmark.compile import llvm, parallel
from wasmark.compile.parallel import Task, compile_all
from wasmark.errors import Error


def ir(number: int, instructions: int = 0) -> str:
    body = "".join(
        f"%v{i + 1} = xor i64 %v{i}, {i * 7919}\n%w{i} = call i64 @h(i64 %v{i})\n" for i in range(instructions)
    )
    return f"declare i64 @h(i64)\ndefine i64 @f{number}(i64 %v0) {{\n{body}ret i64 {number}\n}}\n"


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "WORTH_WORKERS", 0)


def tasks(count: int) -> list[Task]:
    return [Task(lambda number=number: ir(number), 10 + number * 7 % 5) for number in range(count)]


@pytest.mark.usefixtures("always")
def test_results_are_in_order_and_those_of_this_process() -> None:
    expected = compile_all(tasks(12), 1, None)
    assert len(set(expected)) == 12
    for processes in (2, 3):
        steps: list[tuple[int, int]] = []
        assert compile_all(tasks(12), processes, lambda *step, steps=steps: steps.append(step)) == expected
        assert [done for done, _ in steps] == sorted({done for done, _ in steps})
        assert steps[-1][0] == steps[-1][1] == sum(task.size for task in tasks(12))
        assert len(steps) == 12


def test_small_modules_start_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "_start", lambda count: pytest.fail("a worker was started"))
    assert len(compile_all(tasks(3), 2, None)) == 3


@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("executable", ["", "/nonexistent/python", "/bin/true"])
def test_where_there_are_no_workers_this_process_does_it(monkeypatch: pytest.MonkeyPatch, executable: str) -> None:
    expected = compile_all(tasks(3), 1, None)
    monkeypatch.setattr(sys, "executable", executable)
    assert compile_all(tasks(3), 2, None) == expected


@pytest.mark.usefixtures("always")
def test_a_frozen_application_is_not_started_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(parallel, "_start", lambda count: pytest.fail("a worker was started"))
    assert len(compile_all(tasks(3), 2, None)) == 3


@pytest.mark.usefixtures("always")
def test_a_worker_that_dies_is_a_clear_error_and_ends_the_others() -> None:
    marker = uuid.uuid4().hex
    os.environ["WASMARK_TEST_MARKER"] = marker
    try:
        with pytest.raises(Error, match=r"a compiler process has died \(status 1: .*parsing error"):
            compile_all([*tasks(5), Task(lambda: "this is no IR", 1)], 2, None)
    finally:
        del os.environ["WASMARK_TEST_MARKER"]
    assert workers(marker) == []


@pytest.mark.usefixtures("always")
def test_what_making_the_ir_raises_comes_out() -> None:
    def fail() -> str:
        raise wasmark.UnsupportedError("not this")

    with pytest.raises(wasmark.UnsupportedError, match="not this"):
        compile_all([*tasks(2), Task(fail, 5)], 2, None)


@pytest.mark.usefixtures("always")
def test_what_lies_in_the_working_directory_is_not_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "wasmark").mkdir()
    (tmp_path / "wasmark" / "__init__.py").write_text("raise SystemExit(99)")
    (tmp_path / "signal.py").write_text("raise SystemExit(99)")
    started: list[parallel.CompilerProcess] = []
    start = parallel._start

    def watched(count: int) -> list[parallel.CompilerProcess]:
        started.extend(start(count))
        assert all(worker.ready() for worker in started)
        monkeypatch.setattr(parallel.CompilerProcess, "ready", lambda self: True)
        return started

    monkeypatch.setattr(parallel, "_start", watched)
    monkeypatch.chdir(tmp_path)
    assert len(compile_all(tasks(4), 2, None)) == 4
    assert len(started) == 2


# --- the end ---

_ENDLESS = """
import sys
from wasmark.compile import llvm, parallel
from tests.compile.test_parallel import ir
parallel.WORTH_WORKERS = 0
ready = []
def make(number):
    if number in (30, 31):  # the second one of each worker: both are there, and busy
        print("busy", flush=True)
    return ir(number, 1500)
parallel.compile_all([parallel.Task(lambda number=number: make(number), number) for number in range(34)], 2, None)
"""


def workers(marker: str) -> list[int]:
    """Processes of workers that inherited the marker in their environment."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                if (
                    marker.encode() in (directory / "environ").read_bytes()
                    and b"wasmark.compile.worker" in (directory / "cmdline").read_bytes()
                ):
                    found.append(int(directory.name))
            except OSError:
                continue
    return found


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_the_process_ends_its_workers_end_too(how: signal.Signals, tmp_path: Path) -> None:
    marker = uuid.uuid4().hex
    process = subprocess.Popen(
        [sys.executable, "-c", _ENDLESS],
        env={**environment_for(tmp_path), "WASMARK_TEST_MARKER": marker},
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "busy\n"
    assert len(workers(marker)) == 2
    if how == signal.SIGINT:
        os.killpg(process.pid, how)  # as a terminal does: to all of the group
    else:
        process.send_signal(how)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -how or (how == signal.SIGINT and "KeyboardInterrupt" in errors)
    assert errors.count("Traceback") == (how == signal.SIGINT)
    # Who was killed could not end anybody: its workers notice when they want to answer.
    deadline = time.monotonic() + (0 if how == signal.SIGINT else 60)
    while workers(marker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert workers(marker) == []


def test_llvm_never_runs_where_a_signal_handler_may_raise(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    optimize = llvm._optimize

    def watched(*arguments: object) -> None:
        seen.append(threading.current_thread())
        optimize(*arguments)

    monkeypatch.setattr(llvm, "_optimize", watched)
    assert threading.current_thread() is threading.main_thread()
    assert llvm.compile_ir("define void @f() { ret void }")
    assert len(seen) == 1
    assert seen[0] is not threading.main_thread()
