"""A lock for tables that the garbage collector also wants to change.

A finalizer may run in any thread, at any allocation, even inside the very block that holds the lock of the table it
has to change: waiting there would wait for ever, and a re-entrant lock would let it change a table that is half
changed. So finalizers leave their work in a queue, and whoever can take the lock, or gives it back, does it.

A Python signal handler may raise at any moment. What is in the queue stays there until it is done, and may then be
begun again; and the lock is taken by `with` alone, which nothing comes in between of. A handler may also make code, and
so want the lock that the code it interrupts holds: where there are handlers, `unbroken` keeps them out.
"""

from __future__ import annotations

import os
import threading
from collections import deque

from wasmark.runtime.apart import unbroken

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    _T = TypeVar("_T")


class Retirement:
    """`retirement.locked(function)`; finalizers call `retire` instead. What is given to that must do no harm where it
    is called twice."""

    __slots__ = ("_lock", "_work")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._work: deque[tuple[Callable[..., object], tuple[Any, ...]]] = deque()
        # A child process must not inherit a lock that a thread it does not have would give back.
        os.register_at_fork(
            before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._lock.release
        )

    def locked(self, function: Callable[[], _T]) -> _T:
        """What `function` returns or raises, called under the lock."""

        def call() -> _T:
            with self._lock:
                result = function()
            return result  # noqa: RET504 - an exception in between is still inside the block

        try:
            return unbroken(call)
        finally:
            self.drain()

    def retire(self, function: Callable[..., object], *arguments: Any) -> None:
        """Call `function` under the lock: now, or as soon as its present holder gives it back. Never waits."""
        self._work.append((function, arguments))
        self.drain()

    def drain(self) -> None:
        """Do the work that came in while the lock was held. To be called without it."""
        if self._work and not self._lock.locked():
            unbroken(self._drain)

    def _drain(self) -> None:
        work = self._work
        # The queue is looked at again after the release: an entry may have come between the last look and the release.
        # Where somebody else is faster at taking the lock, this waits for one who does the work: nobody holds it long.
        while work and not self._lock.locked():
            with self._lock:
                while work:
                    function, arguments = work[0]
                    function(*arguments)
                    work.popleft()
