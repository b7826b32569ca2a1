"""Waiting in the host for no longer than the thread may take.

Who gives up here answers anything: the deadline has passed by then, and stops the program before it sees the answer
(`runtime.deadlines`).
"""

from __future__ import annotations

import math
import select

from wasmark.runtime.deadlines import remaining

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LONGEST: Final = 86_400_000
"""Milliseconds of a single wait: `poll` takes no more than an int."""


def at_most(nanoseconds: int | None) -> int | None:
    """A wait in nanoseconds, None for ever, as long as there is time for it."""
    limit = remaining()
    if limit is None:
        return nanoseconds
    return limit if nanoseconds is None else min(nanoseconds, limit)


def readable(fd: int) -> bool:
    """Wait until reading from a descriptor of the host would not block; False where there is no time for it."""
    limit = remaining()
    if limit is None:
        return True
    poller = select.poll()
    poller.register(fd, select.POLLIN)
    while limit:
        if poller.poll(min(math.ceil(limit / 1e6), _LONGEST)):
            return True
        limit = remaining()
    return False
