"""A Python signal handler that raises while frames are added to a traceback: its exception counts, and the next
traceback is whole."""

from __future__ import annotations

import contextlib
import gc

import pytest

import wasmark
from tests.debug.test_tracebacks import Host, fail, shape
from tests.interruption import interrupt
from wasmark.debug import listing, python_frames

FILES = ("wasmark/debug/", "wasmark/registry/", "wasmark/store.py", "wasmark/func.py")


@pytest.mark.parametrize(
    ("people", "expected"), [(2, ["pay", "say", "fail"]), (0, ["pay", "split"])], ids=["host exception", "trap"]
)
def test_at_every_step(people: int, expected: list[str]) -> None:
    host = Host()
    host.does = fail

    def call() -> None:
        with contextlib.suppress(ValueError, wasmark.Trap):
            host.exports.pay(4, people)

    def forget() -> None:
        python_frames._forget()
        listing._modules.clear()

    gc.collect()
    gc.disable()  # what is raised in a finalizer is lost
    try:
        step = 0
        reached = True
        while reached:
            step += 1
            forget()
            reached = interrupt(call, step, FILES)
            with pytest.raises((ValueError, wasmark.Trap)) as caught:
                host.exports.pay(4, people)
            assert shape(caught.value) == expected, step
        assert step > 20
    finally:
        gc.enable()
