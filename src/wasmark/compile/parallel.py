"""Compiles batches on all processors: large modules go to worker processes, everything else stays in this one.

A worker is another Python that reads IR and answers object code through its pipes (see `worker`); LLVM itself, as
llvmlite has it, compiles one thing at a time. Each worker has a thread here, which translates a batch and then waits
for its code: so the translation, too, keeps no processor waiting. Where no worker can be started, nothing is lost but
time. Results are in the order of the tasks, whoever did them.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import tempfile
import threading
from typing import IO, TYPE_CHECKING, Final, NamedTuple

from wasmark.compile.llvm import compile_ir
from wasmark.compile.worker import GREETING, read_block, write_block
from wasmark.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORTH_WORKERS: Final = 400 << 10
"""Bytes of wasm from which on starting workers pays."""

_MOST_WORKERS: Final = 8
_STDERR_KEPT: Final = 2000


class Task(NamedTuple):
    """A batch: what makes its IR, and how many bytes of wasm it is."""

    ir: Callable[[], str]
    size: int


def compile_all(
    tasks: Sequence[Task], processes: int | None, progress: Callable[[int, int], None] | None
) -> list[bytes]:
    """The object code of each task.

    Raises Error where a worker dies, and whatever making the IR raises.
    """
    total = sum(task.size for task in tasks)
    done = 0

    def step(number: int) -> None:
        nonlocal done
        done += tasks[number].size
        if progress is not None:
            progress(done, total)

    wanted = min(processes or min(len(os.sched_getaffinity(0)), _MOST_WORKERS), len(tasks))
    # A frozen application is its own `sys.executable`: starting that would start the application again.
    if wanted > 1 and total >= WORTH_WORKERS and sys.executable and not getattr(sys, "frozen", False):
        workers = _start(wanted)
        if workers:
            return _Crew(workers, tasks).run(step)
    objects = []
    for number, task in enumerate(tasks):
        objects.append(compile_ir(task.ir()))
        step(number)
    return objects


class _Worker:
    """A worker process. It does not see Ctrl-C: this process does, and ends it."""

    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        # -P: what lies in the working directory is not to be imported.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "wasmark.compile.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    def ready(self) -> bool:
        """Whether it is there and answers."""
        try:
            return read_block(self._out) == GREETING
        except (EOFError, OSError):
            return False

    def compile(self, ir: str) -> bytes:
        """The object code of a batch. Raises Error where the worker dies of it."""
        try:
            write_block(self._in, ir.encode())
            return read_block(self._out)
        except (EOFError, OSError):
            raise Error(f"a compiler process has died ({self._last_words()})") from None

    def _last_words(self) -> str:
        status = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_KEPT))
        words = " ".join(self._stderr.read().decode("utf-8", "replace").split())
        return f"status {status}: {words}" if words else f"status {status}"

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close what belongs to an ended one; nobody may be using it any more."""
        self._in.close()
        self._out.close()
        self._stderr.close()


def _start(count: int) -> list[_Worker]:
    """Up to `count` workers that answer."""
    workers: list[_Worker] = []
    try:
        for _ in range(count):
            worker = _Worker()
            workers.append(worker)
    except OSError:
        pass  # no more processes to be had: with fewer it takes longer
    except BaseException:
        _end(workers)
        raise
    return workers


def _end(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.close()


class _Crew:
    """Workers, their threads, and what there is to do."""

    def __init__(self, workers: Sequence[_Worker], tasks: Sequence[Task]) -> None:
        self._workers = workers
        self._tasks = tasks
        # The largest first: else all might wait for one that was begun last.
        self._todo = sorted(range(len(tasks)), key=lambda number: tasks[number].size)
        self._results: queue.SimpleQueue[tuple[int, bytes | BaseException]] = queue.SimpleQueue()
        self._lock = threading.Lock()

    def run(self, step: Callable[[int], None]) -> list[bytes]:
        """Do everything; `step` is called in this thread with the number of each task that is done."""
        objects = [b""] * len(self._tasks)
        threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self._workers]
        try:
            for thread in threads:
                thread.start()
            for _ in self._tasks:
                number, result = self._results.get()
                if isinstance(result, BaseException):
                    raise result
                objects[number] = result
                step(number)
        finally:
            with self._lock:
                self._todo.clear()
            for worker in self._workers:
                worker.end()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            for worker in self._workers:
                worker.close()
        return objects

    def _serve(self, worker: _Worker) -> None:
        """A worker's thread: one task after the other. Without its worker it compiles by itself."""
        try:
            compile_ = worker.compile if worker.ready() else compile_ir
            while True:
                with self._lock:
                    if not self._todo:
                        return
                    number = self._todo.pop()
                self._results.put((number, compile_(self._tasks[number].ir())))
        except BaseException as error:
            self._results.put((-1, error))
