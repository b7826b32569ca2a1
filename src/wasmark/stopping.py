"""Deadlines: how long the wasm calls of a thread may take. `docs/rationale.md` says what is not stopped."""

from __future__ import annotations

import math
import time
import weakref

from wasmark.runtime.deadlines import Deadlines, deadlines, nanoseconds

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final, Self

_NANOSECONDS: Final = 1_000_000_000


class Deadline:
    """A deadline of the thread that enters it, while it is entered: what `deadline` makes.

    `seconds` is how long it gives. It may be used again when it has been left.
    """

    __slots__ = ("__weakref__", "_end", "_thread", "seconds")

    def __init__(self, seconds: float | None) -> None:
        self._end: int | None = None
        self._thread: Deadlines | None = None
        if seconds is not None:
            nanoseconds(seconds)
        self.seconds = math.inf if seconds is None else seconds

    def __enter__(self) -> Self:
        """Raises RuntimeError where it has been entered and not left."""
        if self._thread is not None:
            raise RuntimeError("this deadline is in use")
        try:
            thread = self._thread = deadlines()
            if self.seconds != math.inf:
                self._end = time.monotonic_ns() + nanoseconds(self.seconds)
                thread.add(id(self), self._end, weakref.ref(self))
        except BaseException:
            self._leave()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave()
        finally:
            self._leave()

    def __del__(self) -> None:
        # A Python signal handler may raise before `__exit__` has done anything.
        self._leave()

    def _leave(self) -> None:
        thread = self._thread
        if thread is not None:
            thread.remove(id(self))
            self._thread = None

    @property
    def remaining(self) -> float:
        """Seconds left, counted from when it was entered last; 0 when they are over."""
        if self._end is None:
            return max(0.0, self.seconds)
        return max(0, self._end - time.monotonic_ns()) / _NANOSECONDS

    @property
    def expired(self) -> bool:
        """Whether they are over."""
        return self.remaining == 0

    def __repr__(self) -> str:
        return f"<wasmark.Deadline: {self.seconds} s, {self.remaining:.3g} s left>"


def deadline(seconds: float | None) -> Deadline:
    """Wasm code of this thread that is still running in the `with` block after so many seconds ends with a `Timeout`.

    None is no limit, nothing or less is no time at all: the first call ends at once. Of several, one in another, the
    nearest counts; `Timeout.deadline` says which it was. What the host does is not cut short: there the deadline takes
    effect on the way back into wasm, at the next call at the latest. Without wasm nothing happens. It is the thread's
    own, so a block must not contain an `await`. Raises TypeError or ValueError for what is no number.
    """
    return Deadline(seconds)
