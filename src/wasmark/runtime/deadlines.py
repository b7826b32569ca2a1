"""The deadlines of each thread: Python keeps all of them, native code knows the nearest one (THREAD_DEADLINE).

Moments are nanoseconds of CLOCK_MONOTONIC. A store's time limit is native code's own (THREAD_TIMEOUT): it begins and
ends with a call. Whoever blocks in the host on wasm's account asks `remaining` how long it may, and comes back then: on
the way back into wasm native code sees that the time is over, and stops.

A Python signal handler may raise at any step: each of these may be done again.
"""

from __future__ import annotations

import threading
import time

from wasmark.runtime.layout import THREAD_DEADLINE, THREAD_TIMEOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ctypes
    from typing import Any, Final
    from weakref import ref

_NANOSECONDS: Final = 1_000_000_000
_LONGEST: Final = 1 << 61  # some seventy years


class Deadlines:
    """Those of one thread: `active` has moment and owner of each by some number. `block` is the thread's ThreadBlock,
    None before it has one, and when it has given it back."""

    __slots__ = ("active", "block")

    def __init__(self) -> None:
        self.active: dict[int, tuple[int, ref[Any]]] = {}
        self.block: ctypes.Array[ctypes.c_uint64] | None = None

    def publish(self) -> None:
        """Tell native code."""
        if self.block is not None:
            self.block[THREAD_DEADLINE // 8] = min((end for end, _ in [*self.active.values()]), default=0)

    def add(self, number: int, end: int, owner: ref[Any]) -> None:
        """Another one, under a number of the caller's."""
        self.active[number] = end, owner
        self.publish()

    def remove(self, number: int) -> None:
        """It is no more; nothing happens where there is none."""
        self.active.pop(number, None)
        self.publish()

    def nearest(self) -> int | None:
        """The nearest moment, time limits of stores included."""
        ends = [end for end, _ in [*self.active.values()]]
        if self.block is not None and self.block[THREAD_TIMEOUT // 8]:
            ends.append(self.block[THREAD_TIMEOUT // 8])
        return min(ends, default=None)

    def owner(self, end: int) -> Any:
        """Whose moment this is; None if it is none of these."""
        for moment, owner in self.active.values():
            if moment == end:
                return owner()
        return None


class _Here(threading.local):
    def __init__(self) -> None:
        self.deadlines = Deadlines()


_here = _Here()


def deadlines() -> Deadlines:
    """The calling thread's."""
    return _here.deadlines


def remaining() -> int | None:
    """Nanoseconds that the calling thread has left, 0 if its time is over; None if it has all the time it wants."""
    nearest = _here.deadlines.nearest()
    return None if nearest is None else max(0, nearest - time.monotonic_ns())


def nanoseconds(seconds: float) -> int:
    """A duration, from 1 to some seventy years, whatever is asked for. Raises ValueError for what is not a number,
    TypeError for what is none."""
    if not isinstance(seconds, int | float):
        raise TypeError(f"expected a number of seconds, got {type(seconds).__name__}")
    if seconds != seconds:
        raise ValueError("a time limit is a number of seconds")
    return max(1, int(min(seconds, _LONGEST / _NANOSECONDS) * _NANOSECONDS)) if seconds > 0 else 1
