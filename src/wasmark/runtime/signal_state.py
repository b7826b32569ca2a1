"""The state that the signal handler reads: the key of the thread's activation and the handlers that were there before.

One block of native memory, for the life of the process.
"""

from __future__ import annotations

import ctypes

from wasmark.runtime.code_memory import map_zeroed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

STATE_KEY: Final = 0  # pthread key of the innermost activation of a thread
STATE_LAST: Final = 8  # digest of the registers at the last signal that was passed on
STATE_COUNT: Final = 16  # how often it has been the same one since
STATE_DYING: Final = 24  # not 0 when a default action is about to end the process
STATE_ACTIONS: Final = 32  # previous handler by signal number
_STATE_SIZE: Final = STATE_ACTIONS + 8 * 65

CHAINED_LIMIT: Final = 1000
"""How often a handler before us is asked about one and the same fault before the default action is taken."""

_address: Final = map_zeroed(_STATE_SIZE)


def signal_state_address() -> int:
    """Where the block is."""
    return _address


def set_word(offset: int, value: int) -> None:
    """Store one 8-byte word of the block."""
    ctypes.c_uint64.from_address(_address + offset).value = value


def word(offset: int) -> int:
    """One 8-byte word of the block."""
    return ctypes.c_uint64.from_address(_address + offset).value
