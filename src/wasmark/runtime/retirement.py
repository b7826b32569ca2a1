"""A lock for tables that the garbage collector also wants to change.

A finalizer may run in any thread, at any allocation, even inside the very block that holds the lock of the table it
has to change: waiting there would wait for ever, and a re-entrant lock would let it change a table that is half
changed. So finalizers leave their work in a queue, and whoever can take the lock, or gives it back, does it.

A Python signal handler may raise at any moment. What is in the queue stays there until it is done, and may then be
begun again; and the lock is taken by `with` alone, which nothing comes in between of.
"""

from __future__ import annotations

import os
import threading
from collections import deque

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Retirement:
    """`with retirement.lock: ...` then `retirement.drain()`; finalizers call `retire` instead. What is given to that
    must do no harm where it is called twice."""

    __slots__ = ("_work", "lock")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._work: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # A child process must not inherit a lock that a thread it does not have would give back.
        os.register_at_fork(
            before=self.lock.acquire, after_in_parent=self.lock.release, after_in_child=self.lock.release
        )

    def retire(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` under the lock: now, or as soon as its present holder gives it back. Never waits."""
        self._work.append((function, arguments))
        self.drain()

    def drain(self) -> None:
        """Do the work that came in while the lock was held. To be called without it."""
        work = self._work
        # The queue is looked at again after the release: an entry may have come between the last look and the release.
        # Where somebody else is faster at taking the lock, this waits for one who does the work: nobody holds it long.
        while work and not self.lock.locked():
            with self.lock:
                while work:
                    function, arguments = work[0]
                    function(*arguments)
                    work.popleft()
