"""The state that the signal handler reads: the key of the thread's activation and the handlers that were there before.

One block of native memory, for the life of the process.
"""

from __future__ import annotations

import ctypes
from typing import Final

STATE_KEY: Final = 0  # pthread key of the innermost activation of a thread
STATE_PC: Final = 8  # of the last signal that was passed on
STATE_ADDRESS: Final = 16  # its fault address
STATE_COUNT: Final = 24  # how often the same one came again
STATE_ACTIONS: Final = 32  # previous handler by signal number
_STATE_SIZE: Final = STATE_ACTIONS + 8 * 65

CHAINED_LIMIT: Final = 3
"""How often a handler before us is asked about one and the same fault before the default action is taken."""

_state = (ctypes.c_uint8 * _STATE_SIZE)()


def signal_state_address() -> int:
    """Where the block is."""
    return ctypes.addressof(_state)


def set_word(offset: int, value: int) -> None:
    """Store one 8-byte word of the block."""
    ctypes.c_uint64.from_address(ctypes.addressof(_state) + offset).value = value


def word(offset: int) -> int:
    """One 8-byte word of the block."""
    return ctypes.c_uint64.from_address(ctypes.addressof(_state) + offset).value
