"""What Python does meanwhile: the coroutines that host functions have returned (`Jobs`). They run on the event loop of
whoever awaits a function of a component, or where nobody does, on one of their own while a call waits for them.

`asyncio` is imported when the first of them comes.
"""

from __future__ import annotations

from functools import partial

from wasmark.runtime.apart import run_apart
from wasmark.runtime.deadlines import remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable
    from typing import Any, Final

_NANOSECONDS: Final = 1_000_000_000


class Job:
    """One coroutine. `is_over` where it has ended, one way or another."""

    __slots__ = ("awaitable", "future", "is_cancelled", "is_over")

    def __init__(self, awaitable: Awaitable[Any]) -> None:
        self.awaitable = awaitable
        self.future: asyncio.Future[Any] | None = None
        self.is_cancelled = False
        self.is_over = False

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run it on a loop."""
        import asyncio

        self.future = asyncio.ensure_future(self.awaitable, loop=loop)
        self.future.add_done_callback(self._ended)

    def _ended(self, future: asyncio.Future[Any]) -> None:
        self.is_cancelled = future.cancelled()
        self.is_over = True

    def cancel(self) -> None:
        """Ask for its end. One that has not begun never does."""
        if self.future is not None:
            self.future.get_loop().call_soon_threadsafe(self.future.cancel)
            return
        close: Callable[[], None] | None = getattr(self.awaitable, "close", None)
        if close is not None:
            close()
        self.is_cancelled = self.is_over = True

    def result(self) -> Any:
        """What it returned. Raises what it raised."""
        assert self.future is not None
        return self.future.result()


class Jobs:
    """Those of one store. `_wakers` are for calls that are awaited and wait for something to happen."""

    __slots__ = ("_all", "_loop", "_wakers")

    def __init__(self) -> None:
        self._all: list[Job] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wakers: list[asyncio.Future[None]] = []

    def add(self, awaitable: Awaitable[Any]) -> Job:
        """Another one, which starts when somebody waits."""
        job = Job(awaitable)
        self._all.append(job)
        return job

    def on(self, loop: asyncio.AbstractEventLoop) -> list[asyncio.Future[Any]]:
        """Those that run on a loop; all that have not begun do so there."""
        self._all = [job for job in self._all if not job.is_over]
        for job in self._all:
            if job.future is None:
                job.start(loop)
        futures = [job.future for job in self._all if job.future is not None]
        return [future for future in futures if future.get_loop() is loop]

    def wait(self) -> bool:
        """Wait, in a thread without an event loop, until one of them has ended or the time is over; whether there was
        one that could."""
        if all(job.is_over for job in self._all):
            return False
        import asyncio

        if self._loop is None:
            self._loop = asyncio.new_event_loop()
        futures = self.on(self._loop)
        if futures:
            left = remaining()
            timeout = None if left is None else left / _NANOSECONDS
            waiting = asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            self._loop.run_until_complete(waiting)
        self._close_if_idle()
        return bool(futures)

    def _close_if_idle(self) -> None:
        """Let go of the loop where nothing runs on it."""
        if self._loop is not None and not self.on(self._loop):
            loop, self._loop = self._loop, None
            loop.close()

    def abandon(self) -> None:
        """Nobody waits for them any more."""
        for job in self._all:
            if not job.is_over:
                job.cancel()
        loop, self._loop = self._loop, None
        if loop is not None:
            # In a thread of its own: in this one another loop may be running.
            run_apart(partial(_end, loop, self.on(loop)))

    async def happening(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait until one that runs on this loop has ended, or components have run for somebody else."""
        import asyncio

        waker = loop.create_future()
        self._wakers.append(waker)
        try:
            await asyncio.wait([waker, *self.on(loop)], return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._wakers.remove(waker)

    def wake(self) -> None:
        """Something has happened."""
        for waker in [*self._wakers]:
            waker.get_loop().call_soon_threadsafe(_wake, waker)


def _end(loop: asyncio.AbstractEventLoop, futures: list[asyncio.Future[Any]]) -> None:
    """Close a loop, on which coroutines have been cancelled: they get a turn to see that."""
    import asyncio

    if futures:
        loop.run_until_complete(asyncio.wait(futures, timeout=0))
    loop.close()


def _wake(waker: asyncio.Future[None]) -> None:
    if not waker.done():
        waker.set_result(None)
