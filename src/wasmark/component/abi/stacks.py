"""`Stack`: a native stack of its own for a task that may have to wait in the middle of wasm code.

It is a Python thread that runs only while whoever let it run waits for it: the baton goes to and fro by locks, so one
thread of a store runs at a time, and the order is the same each time. With the baton goes what a store and its
collector know of the thread that runs in it (`Seat`), and the deadlines of whoever waits. What is raised on the stack
comes out of `resume`. A signal handler that raises while somebody waits for a stack has its exception come out of
there, once the stack has been stopped as a deadline would stop it.

What lies on other stacks the collector of a store does not see: it collects nothing while there are any.
"""

from __future__ import annotations

import _thread
import contextvars
import ctypes
import os

from wasmark.errors import Error
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.deadlines import deadlines
from wasmark.runtime.native import thread_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from wasmark.store import Store


class Abandoned(BaseException):
    """Raised where a stack waits that is given up: no component sees it, and nobody who waits for the stack."""


class Seat:
    """What of a store belongs to the thread that runs in it. `running` are the stacks that have been let run by one
    another, the innermost last."""

    __slots__ = ("_collector", "_limits", "_owner", "running")

    def __init__(self, store: Store) -> None:
        block = store.block_address
        assert L.STORE_ACTIVATION == L.STORE_STACK_LIMIT + 8
        self._limits = (ctypes.c_uint64 * 2).from_address(block + L.STORE_STACK_LIMIT)
        self._owner = ctypes.c_uint64.from_address(block + L.STORE_OWNER)
        self._collector = store.collector
        self.running: list[Stack] = []

    def add_stack(self, step: int) -> None:
        """Count the stacks."""
        self._collector.pauses += step

    def taken(self) -> tuple[Any, ...]:
        """All of it, for `give_back`."""
        return *self._limits, self._owner.value, self._collector.slots

    def give_back(self, taken: tuple[Any, ...]) -> None:
        """Make the thread that had this the one that runs."""
        self._limits[0], self._limits[1], self._owner.value, self._collector.slots = taken


def _closed_lock() -> _thread.LockType:
    lock = _thread.allocate_lock()
    lock.acquire()
    return lock


class Stack:
    """See the head of this file. `function` is what runs on it."""

    __slots__ = (
        "_back",
        "_block",
        "_deadlines",
        "_function",
        "_go",
        "_is_abandoned",
        "_is_running",
        "_is_stopped",
        "_owner",
        "_process",
        "_seat",
        "_timeout",
        "error",
        "is_done",
    )

    def __init__(self, seat: Seat, function: Callable[[], object]) -> None:
        self._seat = seat
        self._function: Callable[[], object] | None = function
        self._process = os.getpid()
        self._block: ctypes.Array[ctypes.c_uint64] | None = None
        self._go: _thread.LockType | None = None
        self._is_running = False
        self._is_abandoned = False
        self._is_stopped = False
        self.is_done = False
        self.error: BaseException | None = None

    # --- on the stack of whoever lets it run ----------------------------------------------------------

    def resume(self) -> None:
        """Let it run until it waits or ends. Raises what came out of it, and Error in a process that was forked since:
        threads do not come along."""
        if self._process != os.getpid():
            raise Error("a task that was waiting when this process was forked cannot go on in it")
        seat = self._seat
        taken = seat.taken()
        block = thread_state().block
        assert block is not None
        self._owner = ctypes.addressof(block)
        self._timeout = block[L.THREAD_TIMEOUT // 8]
        self._deadlines = deadlines().active
        self._is_stopped = False
        self._back = _closed_lock()
        depth = len(seat.running)
        try:
            seat.running.append(self)
            self._run_on()
        finally:
            # Each of these may be done again, and a signal handler may raise in the middle of it.
            try:
                self._come_back(taken, depth)
            finally:
                self._come_back(taken, depth)
        error, self.error = self.error, None
        if error is not None and not self._is_abandoned:
            raise error

    def _run_on(self) -> None:
        go = self._go
        # A signal handler runs after a call at the earliest, so what is said of the state is true.
        if go is None:
            run = contextvars.copy_context().run
            self._is_running = True
            try:
                _thread.start_new_thread(run, (self._start,))
            except RuntimeError:  # the process has no more threads
                self._is_running = False
                raise
        else:
            self._is_running = True
            go.release()
        self._wait()

    def _wait(self) -> None:
        back = self._back
        while self._is_running:
            back.acquire()

    def _come_back(self, taken: tuple[Any, ...], depth: int) -> None:
        """Where it still runs, that is because a signal handler has raised: it has to stop first."""
        seat = self._seat
        if self._is_running:
            for stack in [*seat.running]:
                stack._stop()
            self._wait()
        del seat.running[depth:]
        seat.give_back(taken)

    def _stop(self) -> None:
        """End the wasm code that runs on it as a deadline would."""
        self._is_stopped = True
        if self._block is not None:
            self._block[L.THREAD_DEADLINE // 8] = 1

    def abandon(self) -> None:
        """Unwind it, wherever it waits; one that has not begun never does."""
        self._is_abandoned = True
        if self._go is not None and self._process == os.getpid():
            self.resume()

    # --- on the stack itself ---------------------------------------------------------------------------

    def _start(self) -> None:
        self._seat.add_stack(1)
        try:
            self._block = thread_state().block
            self._take_over()
            function, self._function = self._function, None
            assert function is not None
            function()
        except BaseException as error:  # it is for whoever waits
            self.error = error
        self.is_done = True
        self._seat.add_stack(-1)
        self._hand_back()

    def wait(self) -> None:
        """Let whoever waits go on; returns when the stack is let run again. Raises Abandoned where it is given up."""
        taken = self._seat.taken()
        go = self._go = _closed_lock()
        self._hand_back()
        go.acquire()
        self._seat.give_back(taken)
        self._take_over()
        if self._is_abandoned:
            raise Abandoned

    def _take_over(self) -> None:
        """The store is this thread's, and so is the time that whoever waits has left."""
        block = self._block
        assert block is not None
        self._seat._owner.value = ctypes.addressof(block)
        limits = deadlines()
        limits.active = self._deadlines
        limits.publish()
        self.renew()
        if self._is_stopped:
            self._stop()

    def renew(self) -> None:
        """To be called when wasm code was left: it has put back the time limit that there was when it was entered."""
        assert self._block is not None
        self._block[L.THREAD_TIMEOUT // 8] = self._timeout

    def _hand_back(self) -> None:
        # The owner of a store is never a thread that may have ended.
        self._seat._owner.value = self._owner
        back = self._back
        self._is_running = False
        back.release()
