"""How the host waits for a moment, or for the first of several descriptors and a moment."""

from __future__ import annotations

import math
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

    from wasmark.wasi.clock import Clocks

_LONGEST: Final = 86_400 * 10**9
"""Longest single wait in nanoseconds: the host's functions cannot take all that a program may ask for."""


def wait_for_descriptors(watches: Iterable[tuple[int, int]], wait: int | None) -> dict[int, int]:
    """Wait until one of the host's descriptors, each with its mask for poll(2), is ready, or `wait` nanoseconds are
    over; None waits as long as it takes. The state of each that is ready, by number."""
    masks: dict[int, int] = {}
    for number, mask in watches:
        masks[number] = masks.get(number, 0) | mask
    poller = select.poll()
    for number, mask in masks.items():
        poller.register(number, mask)
    left = wait
    while True:
        piece = None if left is None else min(left, _LONGEST)
        ready = dict(poller.poll(None if piece is None else math.ceil(piece / 1e6)))
        if ready:
            return ready
        if left is not None and piece is not None:
            left -= piece
            if not left:
                return {}


def sleep(clocks: Clocks, nanoseconds: int) -> None:
    """Wait for a time."""
    while nanoseconds:
        piece = min(nanoseconds, _LONGEST)
        clocks.sleep(piece / 1e9)
        nanoseconds -= piece
