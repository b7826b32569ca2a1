"""Compiles batches on all processors: large modules go to worker processes, everything else stays in this one.

A worker is another Python (see `process`). Each has a thread here, which translates a batch and then waits
for its code: so the translation, too, keeps no processor waiting. Where no worker can be started, nothing is lost but
time. Results are in the order of the tasks, whoever did them.
"""

from __future__ import annotations

import os
import queue
import threading
from typing import TYPE_CHECKING, Final, NamedTuple

from wasmark.compile.llvm import compile_ir
from wasmark.compile.process import CompilerProcess, can_start

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORTH_WORKERS: Final = 400 << 10
"""Bytes of wasm from which on starting workers pays."""

_MOST_WORKERS: Final = 8


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
    if wanted > 1 and total >= WORTH_WORKERS and can_start():
        workers = _start(wanted)
        if workers:
            return _Crew(workers, tasks).run(step)
    objects = []
    for number, task in enumerate(tasks):
        objects.append(compile_ir(task.ir()))
        step(number)
    return objects


def _start(count: int) -> list[CompilerProcess]:
    """Up to `count` workers that answer."""
    workers: list[CompilerProcess] = []
    try:
        for _ in range(count):
            worker = CompilerProcess()
            workers.append(worker)
    except OSError:
        pass  # no more processes to be had: with fewer it takes longer
    except BaseException:
        _end(workers)
        raise
    return workers


def _end(workers: Sequence[CompilerProcess]) -> None:
    for worker in workers:
        worker.end()
    for worker in workers:
        worker.close()


class _Crew:
    """Workers, their threads, and what there is to do."""

    def __init__(self, workers: Sequence[CompilerProcess], tasks: Sequence[Task]) -> None:
        self._workers = workers
        self._tasks = tasks
        # The largest first: else all might wait for one that was begun last.
        self._todo = sorted(range(len(tasks)), key=lambda number: tasks[number].size)
        self._results: queue.SimpleQueue[tuple[int, bytes | BaseException]] = queue.SimpleQueue()

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
            self._todo.clear()
            for worker in self._workers:
                worker.end()
            for thread in threads:
                if thread.ident is not None:
                    thread.join()
            for worker in self._workers:
                worker.close()
        return objects

    def _serve(self, worker: CompilerProcess) -> None:
        """A worker's thread: one task after the other. Without its worker it compiles by itself."""
        try:
            compile_ = worker.compile if worker.ready() else compile_ir
            while True:
                try:
                    number = self._todo.pop()
                except IndexError:
                    return
                self._results.put((number, compile_(self._tasks[number].ir())))
        except BaseException as error:
            self._results.put((-1, error))
