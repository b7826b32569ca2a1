"""What the unwinder has learned: which return addresses belong to calls that have a handler for exceptions.

A table of words in native memory, each of which holds the last address that was asked for of those with its number, and
the answer in bit 0. The registry is asked at a miss (HOOK_CATCHES). Both happen with the GIL.
"""

from __future__ import annotations

import ctypes

from wasmark.runtime.code_memory import map_zeroed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_SITES_LOG2: Final = 14
CATCH_SITE_SHIFT: Final = 64 - _SITES_LOG2
"""A number is made of the upper bits of a product."""

_SIZE: Final = 8 << _SITES_LOG2
_address: Final = map_zeroed(_SIZE)
_used = False


def catch_sites_address() -> int:
    """Where the table is."""
    return _address


def note_use() -> None:
    """Somebody was asked: there is going to be something in the table."""
    global _used
    _used = True


def forget_catch_sites() -> None:
    """Code is gone, and others may come to be at its addresses."""
    global _used
    if _used:
        _used = False
        ctypes.memset(_address, 0, _SIZE)
