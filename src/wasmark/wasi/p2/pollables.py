"""`wasi:io/poll`: waiting for the first of several moments and descriptors."""

from __future__ import annotations

import select

from wasmark.wasi.abi import WasiError
from wasmark.wasi.p2.refusal import refuse
from wasmark.wasi.patience import at_most
from wasmark.wasi.waiting import sleep, wait_for_descriptors

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.wasi.clock import Clocks
    from wasmark.wasi.descriptors import HostFd


class Pollable:
    """Resource `pollable`: ready when `moment` (of the monotonic clock, in nanoseconds) has come, or when `host` can be
    read from, or written to where `write` is set. With neither of them it is always ready."""

    __slots__ = ("_clocks", "host", "mask", "moment")

    def __init__(
        self, clocks: Clocks, *, moment: int | None = None, host: HostFd | None = None, write: bool = False
    ) -> None:
        self._clocks = clocks
        self.moment = moment
        self.host = host
        self.mask = select.POLLOUT if write else select.POLLIN

    def ready(self) -> bool:
        return bool(_ready(self._clocks, [self], wait=False))

    def block(self) -> None:
        _ready(self._clocks, [self], wait=True)


def poll(clocks: Clocks, pollables: Sequence[Pollable]) -> list[int]:
    """Wait until something is ready; the places of all that are, none where the thread has no more time."""
    if not pollables:
        refuse("wasi:io/poll: an empty list would never be ready")
    return _ready(clocks, pollables, wait=True)


def _ready(clocks: Clocks, pollables: Sequence[Pollable], *, wait: bool) -> list[int]:
    found: set[int] = set()
    waits: dict[int, int] = {}
    entered: dict[int, HostFd] = {}
    watches: dict[int, tuple[int, int]] = {}
    try:
        start = clocks.monotonic()
        for place, pollable in enumerate(pollables):
            if pollable.moment is not None:
                waits[place] = max(0, pollable.moment - start)
            elif pollable.host is None:
                found.add(place)
            else:
                try:
                    watches[place] = pollable.host.__enter__(), pollable.mask
                    entered[place] = pollable.host
                except WasiError:
                    found.add(place)  # what is closed has nothing to wait for
        longest = at_most(0 if found or not wait else min(waits.values(), default=None))
        states: dict[int, int] = {}
        passed = 0
        if watches:
            states = wait_for_descriptors(watches.values(), longest)
            passed = clocks.monotonic() - start
        elif longest:
            sleep(clocks, longest)
            passed = clocks.monotonic() - start
        if longest is not None and not states:
            passed = max(passed, longest)
        found.update(place for place, each in waits.items() if each <= passed)
        # Errors and hang-ups count: reading or writing will tell.
        found.update(place for place, (number, _) in watches.items() if states.get(number, 0) & _of(watches[place][1]))
    finally:
        for host in entered.values():
            host.__exit__(None, None, None)
    return sorted(found)


def _of(mask: int) -> int:
    return mask | select.POLLERR | select.POLLHUP | select.POLLNVAL
