"""What runs in the middle of wasm code leaves no trace in it: registers, flags, vectors, and what the store keeps."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import wasmark
from tests.stopping.machine import FEW, TEXT, TURNS, make, pestered
from tests.ways import WAYS, config, run_cached

TIMES = 400 if os.environ.get("WASMARK_LONG") else 20
STATEFUL = ("tails", "throws")
"""Code that keeps something in its store from one instruction to the next is hit there only now and then."""


def disturbed(chosen: wasmark.Config) -> None:
    """All functions with and without signal handlers in the middle of them; the handlers use the same store."""
    engine = wasmark.Engine(chosen)
    module = wasmark.Module(TEXT, engine)
    store = wasmark.Store(engine)
    exports, others = make(store, module), make(store, module)
    few = {name: getattr(others, name)(FEW) for name in TURNS}
    turn = 0
    runs = 0
    depth = 0

    def handler(number: int, frame: Any) -> None:
        nonlocal turn, runs, depth
        if depth == 3:  # one handler in the middle of another is enough
            return
        depth += 1
        for name in ("tails", "throws", list(TURNS)[turn % len(TURNS)]):
            assert getattr(others, name)(FEW) == few[name], name
        turn += 1
        if turn % 16 == 0:
            store.collect()
        runs += 1
        depth -= 1

    main = threading.main_thread().ident
    assert main is not None
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        for name, turns in TURNS.items():
            alone = getattr(make(wasmark.Store(engine), module), name)(turns)
            before = runs
            with pestered(lambda: signal.pthread_kill(main, signal.SIGUSR1)):
                while runs < before + (TIMES if name in STATEFUL else 2):
                    assert getattr(exports, name)(turns) == alone, name
    finally:
        signal.signal(signal.SIGUSR1, old)


@pytest.mark.parametrize("way", WAYS)
def test_handlers_in_the_middle_change_nothing(way: str) -> None:
    disturbed(config(way))


def test_handlers_in_the_middle_of_cached_code_change_nothing(tmp_path: Any) -> None:
    run_cached(disturbed, str(tmp_path))
