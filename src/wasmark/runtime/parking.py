"""Where threads wait at an address of a shared memory until another one notifies them (threads proposal).

A thread that waits has let the GIL go; a Python signal handler of its own runs meanwhile, and what that raises ends the
wait; so does a deadline of the thread. The value is compared, and the queue changed, under one lock: who stores first
and notifies then wakes everybody who still saw the old value.
"""

from __future__ import annotations

import _thread
import ctypes
import os
from collections import deque

from wasmark.runtime.apart import unbroken
from wasmark.runtime.deadlines import remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

WOKEN: Final = 0
NOT_EQUAL: Final = 1
TIMED_OUT: Final = 2

_WORDS: Final = {4: ctypes.c_uint32, 8: ctypes.c_uint64}
_LONGEST: Final = int(_thread.TIMEOUT_MAX)
_NANOSECONDS: Final = 1_000_000_000

_lock = _thread.allocate_lock()
_queues: dict[int, deque[_thread.LockType]] = {}


def wait(address: int, expected: int, timeout: int, size: int) -> int:
    """Wait at `address` if the `size` bytes there are `expected` (unsigned), for `timeout` nanoseconds, or for ever
    where that is negative; in any case not longer than the thread may take. WOKEN, NOT_EQUAL or TIMED_OUT."""
    parked = _thread.allocate_lock()
    parked.acquire()

    def park() -> bool:
        with _lock:
            equal = bool(_WORDS[size].from_address(address).value == expected)
            if equal:
                _queues.setdefault(address, deque()).append(parked)
        return equal

    def leave() -> bool:
        with _lock:
            queue = _queues.get(address, ())
            there = parked in queue
            if there:
                queue.remove(parked)  # type: ignore[union-attr]  # the empty tuple has nothing in it
                if not queue:
                    del _queues[address]
        return there

    if not unbroken(park):
        return NOT_EQUAL
    limit = remaining()
    if limit is not None:
        timeout = limit if timeout < 0 else min(timeout, limit)
    woken = False
    try:
        woken = parked.acquire(timeout=-1 if timeout < 0 else min(timeout / _NANOSECONDS, _LONGEST))
    finally:
        # One that somebody counts as woken was, even if its time was up a moment before.
        woken = woken or not unbroken(leave)
    return WOKEN if woken else TIMED_OUT


def notify(address: int, count: int) -> int:
    """Wake up to `count` of the threads that wait at `address`, the first that came first; how many."""

    def wake() -> int:
        woken = 0
        with _lock:
            queue = _queues.get(address)
            while queue and woken < count:
                queue.popleft().release()
                woken += 1
            if queue is not None and not queue:
                del _queues[address]
        return woken

    return unbroken(wake) if _queues else 0


def _after_fork_in_child() -> None:
    global _lock
    _lock = _thread.allocate_lock()
    _queues.clear()


os.register_at_fork(after_in_child=_after_fork_in_child)
