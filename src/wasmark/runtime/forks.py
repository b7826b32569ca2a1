"""What a forked child must not inherit: of its parent's threads it has the forking one only, so a lock that another one
held would be held for ever.

Where things are whole after every step, as a Python signal handler may raise at any, a new lock is enough there
(`RenewedLock`). Others are not to be cut short, and a fork waits until nobody is at it (`Passage`).
"""

from __future__ import annotations

import os
import threading

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

_PATIENCE: Final = 10.0
"""Seconds that a fork waits at most: what it waits for may wait for the forking thread."""


class RenewedLock:
    """`with lock.held:` is a block for one thread at a time, which may enter it again where `make` makes such locks. A
    forked child has a new one: it is made when it is wanted there, so nobody needs to know of all locks that there
    are."""

    __slots__ = ("_forks", "_held", "make")

    def __init__(self, make: Callable[[], Any] = threading.RLock) -> None:
        self.make = make
        self._held = make()
        self._forks = _forks[0]

    @property
    def held(self) -> Any:
        """The lock of this process."""
        if self._forks != _forks[0]:
            self._renew()
        return self._held

    def _renew(self) -> None:
        with _renewing[0]:
            if self._forks != _forks[0]:
                self._held = self.make()
                self._forks = _forks[0]  # last: who finds it so takes the lock without asking


_forks: Final = [0]
"""How many forks there were on the way from the first process to this one."""
_renewing: Final = [threading.RLock()]  # entered again by a signal handler that wants a lock, too


def _after_fork_in_child() -> None:
    _renewing[0] = threading.RLock()
    _forks[0] += 1


os.register_at_fork(after_in_child=_after_fork_in_child)


class Passage:
    """`with passage:` is a block for any number of threads, in which no other one forks. Not for a main thread with
    signal handlers."""

    __slots__ = ("_count", "_counting", "_gate", "_shut")

    def __init__(self) -> None:
        self._reset()
        os.register_at_fork(before=self._shut_gate, after_in_parent=self._open_gate, after_in_child=self._reset)

    def _reset(self) -> None:
        self._counting = threading.Lock()
        self._gate = threading.Lock()  # held while somebody is inside, and while a process is forked
        self._count = 0
        self._shut = False

    def __enter__(self) -> None:
        with self._counting:
            if self._count == 0:
                self._gate.acquire()
            self._count += 1

    def __exit__(self, *_: Any) -> None:
        with self._counting:
            self._count -= 1
            if self._count == 0:
                self._gate.release()

    def _shut_gate(self) -> None:
        self._shut = self._gate.acquire(timeout=_PATIENCE)

    def _open_gate(self) -> None:
        if self._shut:
            self._shut = False
            self._gate.release()
