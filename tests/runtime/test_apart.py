"""What another thread does for the main one, and what is left of it."""

from __future__ import annotations

import sys
import weakref

import pytest

from wasmark.runtime.apart import run_apart

TIMES = 300


class Thing(Exception):  # noqa: N818 - it need not be one
    """What a function returns or raises."""


def test_what_was_made_apart_dies_with_the_callers_last_reference_to_it() -> None:
    """The other thread has told its answer, and may not have come to its end."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(TIMES):
            thing = run_apart(Thing)
            remembered = weakref.ref(thing)
            del thing
            assert remembered() is None
    finally:
        sys.setswitchinterval(before)


def test_what_is_raised_apart_comes_out() -> None:
    def fail() -> None:
        raise Thing(7)

    with pytest.raises(Thing, match="7") as caught:
        run_apart(fail)
    assert caught.traceback[-1].name == "fail"
