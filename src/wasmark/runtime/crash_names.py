"""The names that a report of a crash needs, in plain memory: who writes that report can ask nobody.

A table of slots, one a code object, in any order:

    u64 enabled                                 1 when crashes are to be reported
    u64 count                                   slots that were ever used
    SLOTS x { u64 start; u64 end; u64 rows; u64 length }     code, and its functions; start is 0 where it is free

and for each a table of its functions, `length` rows of { u64 start; u64 end; u64 name; u64 size }. A slot is filled
before its start is stored. The rows of code that has gone are kept for a while: somebody may be reading them.
"""

from __future__ import annotations

import ctypes
import struct
from collections import deque

from wasmark.runtime.code_memory import map_zeroed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

CRASH_ENABLED: Final = 0
CRASH_COUNT: Final = 8
CRASH_TABLE: Final = 16
CRASH_SLOT_SIZE: Final = 32
CRASH_SLOTS: Final = 1 << 16
"""Of more code than this, what comes last has no names in a report."""
CRASH_ROW_SIZE: Final = 32

_row: Final = struct.Struct("<QQQQ")
_KEPT: Final = 64
_address: Final = map_zeroed(CRASH_TABLE + CRASH_SLOTS * CRASH_SLOT_SIZE)
_words: Final = (ctypes.c_uint64 * (CRASH_TABLE // 8 + CRASH_SLOTS * CRASH_SLOT_SIZE // 8)).from_address(_address)
_free: Final[list[int]] = []
_contents: Final[dict[int, object]] = {}  # the rows and names of each slot, which native memory points into
_gone: Final[deque[object]] = deque(maxlen=_KEPT)


def crash_names_address() -> int:
    """Where the table is."""
    return _address


def enable() -> None:
    """Let crashes be reported."""
    _words[CRASH_ENABLED // 8] = 1


def publish(start: int, end: int, functions: Sequence[tuple[int, int, bytes]]) -> int:
    """Enter the code [start, end) with (start, end, name) of its functions; the number of its slot, -1 where there is
    none left."""
    if _free:
        number = _free.pop()
    elif _words[CRASH_COUNT // 8] < CRASH_SLOTS:
        number = _words[CRASH_COUNT // 8]
        _words[CRASH_COUNT // 8] = number + 1
    else:
        return -1
    names = b"".join(name for _, _, name in functions)
    buffer = ctypes.create_string_buffer(len(functions) * CRASH_ROW_SIZE + len(names))
    address = ctypes.addressof(buffer)
    at = address + len(functions) * CRASH_ROW_SIZE
    rows = bytearray()
    for function_start, function_end, name in functions:
        rows += _row.pack(function_start, function_end, at, len(name))
        at += len(name)
    ctypes.memmove(address, bytes(rows + names), len(rows) + len(names))
    _contents[number] = buffer
    slot = (CRASH_TABLE + number * CRASH_SLOT_SIZE) // 8
    _words[slot + 1], _words[slot + 2], _words[slot + 3] = end, address, len(functions)
    _words[slot] = start
    return number


def withdraw(number: int) -> None:
    """Free a slot; its code has gone."""
    _words[(CRASH_TABLE + number * CRASH_SLOT_SIZE) // 8] = 0
    _gone.append(_contents.pop(number, None))
    _free.append(number)
