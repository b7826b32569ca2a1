"""Hundreds of deadlines that strike anywhere: in tight loops, in calls, in the host, in tail calls, in handlers, while
memories and tables grow and objects are made. After each of them the store gives right answers."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.stopping.machine import FEW, TEXT, TURNS, make
from tests.ways import WAYS, config

LONG = bool(os.environ.get("WASMARK_LONG"))
TIMES = 300 if LONG else 8
FOREVER = 1 << 60


def storm(module: wasmark.Module, seed: int, times: int) -> int:
    """Stop each function so many times, somewhere; how many times one was stopped."""
    rng = random.Random(seed)
    store = wasmark.Store(module.engine)
    exports = make(store, module)
    right = {name: getattr(exports, name)(FEW) for name in TURNS}
    stopped = 0
    for _ in range(times):
        for name in TURNS:
            try:
                with wasmark.deadline(rng.random() * 0.004):
                    getattr(exports, name)(FOREVER)
            except wasmark.Timeout:
                stopped += 1
            for other in rng.sample(list(TURNS), 3):
                assert getattr(exports, other)(FEW) == right[other], (seed, name, other)
        try:
            with wasmark.deadline(rng.random() * 0.004):
                while True:
                    exports.grow(3)
        except wasmark.Timeout:
            stopped += 1
        assert exports.grow(3) == 9
        store.collect()
    return stopped


@pytest.mark.parametrize("way", WAYS)
def test_a_stopped_store_gives_right_answers(way: str) -> None:
    module = wasmark.Module(TEXT, wasmark.Engine(config(way)))
    assert storm(module, 1, TIMES) == TIMES * (len(TURNS) + 1)


def test_eight_threads_are_stopped_at_once() -> None:
    module = wasmark.Module(TEXT)
    counts: list[int] = []
    errors: list[BaseException] = []

    def run(seed: int) -> None:
        try:
            counts.append(storm(module, seed, TIMES // 4))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors, errors
    assert counts == [TIMES // 4 * (len(TURNS) + 1)] * 8


PROGRAM = """
import random, signal, sys
import wasmark
from tests.stopping.machine import FEW, TEXT, TURNS, make

module = wasmark.Module(TEXT)
store = wasmark.Store()
exports = make(store, module)
right = {name: getattr(exports, name)(FEW) for name in TURNS}
signal.signal(signal.SIGALRM, signal.default_int_handler)
rng = random.Random(3)
for turn in range(int(sys.argv[1])):
    for name in TURNS:
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0005 + rng.random() * 0.003)
            getattr(exports, name)(1 << 60)
        except KeyboardInterrupt:
            pass
        for other in rng.sample(list(TURNS), 3):
            assert getattr(exports, other)(FEW) == right[other], (name, other)
print("right")
"""


def test_what_signal_handlers_raise_ends_calls_as_often_as_one_likes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(TIMES)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "right\n", "")


def test_an_exception_on_its_way_to_a_handler_does_not_turn_up_later() -> None:
    """The word of the store that an exception travels in is emptied when its way ends early."""
    module = wasmark.Module(TEXT)
    store: Any = wasmark.Store()
    exports = make(store, module)
    right = exports.throws(FEW)
    for _ in range(20 * TIMES):
        with pytest.raises(wasmark.Timeout), wasmark.deadline(0.0005):
            exports.swallow()
        assert exports.throws(FEW) == right
