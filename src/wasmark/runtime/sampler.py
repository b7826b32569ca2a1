"""The state that the sampler, the signal handler of its signal, and Python share: one block of native memory and a ring
of records, for the life of the process (`compile/image/profile.ll` is the native part).

The ring is bounded and takes no lock. Who writes a record takes a position with a compare-and-swap, fills the slot, and
says at last that it is ready; who finds no free slot counts one sample as dropped. Python alone reads.
"""

from __future__ import annotations

import ctypes
import os
import signal

from wasmark.runtime.code_memory import map_zeroed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

SAMPLER_ACTIVE: Final = 0  # 1 while there is a profile
SAMPLER_PERIOD: Final = 8  # nanoseconds
SAMPLER_TICK: Final = 16  # counts the rounds of the sampler
SAMPLER_NOW: Final = 24  # when the last one was, on the monotonic clock
SAMPLER_IDS: Final = 32  # the last id that an activation has got
SAMPLER_HEAD: Final = 40  # the next position to be written
SAMPLER_TAIL: Final = 48  # the next one to be read
SAMPLER_DROPPED: Final = 56  # samples for which there was no slot
SAMPLER_RING: Final = 64  # address of the ring
SAMPLER_CAPTURES: Final = 72  # PyObject *, the list that Python frames are put down in, or 0
_SAMPLER_SIZE: Final = 80

RECORD_READY: Final = 0  # its position + 1 when it is complete
RECORD_TICK: Final = 8
RECORD_TIME: Final = 16
RECORD_THREAD: Final = 24  # the kernel's thread id
RECORD_COUNT: Final = 32  # how many entries were noted
RECORD_FIRST: Final = 40  # the first tick that it stands for; RECORD_TICK is the last one
RECORD_ENTRIES: Final = 48  # the first ENTRIES_KEPT of them, then a ring of the last ENTRIES_KEPT
ENTRIES_KEPT: Final = 128
RECORD_SIZE: Final = RECORD_ENTRIES + 2 * ENTRIES_KEPT * 8
"""A record's entries are addresses, innermost first, the first one a pc and the others return addresses; where the
frames of an activation end there is its id, with ACTIVATION_MARK."""
ACTIVATION_MARK: Final = 1 << 63
SLOTS: Final = 1024

SAMPLER_SIGNAL: Final = int(signal.SIGPROF)

LOOK_NONE: Final = 0  # the thread runs wasm code, so only its own signal handler may look
LOOK_DONE: Final = 1

_address: Final = map_zeroed(_SAMPLER_SIZE)
_state: Final = (ctypes.c_uint64 * (_SAMPLER_SIZE // 8)).from_address(_address)
_ring: Final[list[ctypes.Array[ctypes.c_uint64]]] = []  # made at the first profile

_Record = ctypes.c_uint64 * (RECORD_SIZE // 8)


class Record:
    """One sample. truncated_at: where in `entries` some are missing, or None."""

    __slots__ = ("entries", "first", "position", "thread", "tick", "time", "truncated_at")

    def __init__(self, position: int, words: ctypes.Array[ctypes.c_uint64], start: int = 0) -> None:
        """Out of the words from `start` on, which may change afterwards."""
        first = start + RECORD_ENTRIES // 8
        head = words[start:first]
        self.position = position
        self.tick = head[RECORD_TICK // 8]
        self.time = head[RECORD_TIME // 8]
        self.first = head[RECORD_FIRST // 8]
        self.thread = head[RECORD_THREAD // 8]
        count, kept = head[RECORD_COUNT // 8], ENTRIES_KEPT
        entries = words[first : first + min(count, 2 * kept)]
        self.truncated_at: int | None = None
        if count > 2 * kept:  # the second half is a ring
            start = kept + count % kept
            entries[kept:] = entries[start:] + entries[kept:start]
            self.truncated_at = kept
        self.entries = entries


def sampler_address() -> int:
    """Where the state is."""
    return _address


def get(offset: int) -> int:
    """One word of the state."""
    return _state[offset // 8]


def set_(offset: int, value: int) -> None:
    """Store one word of the state."""
    _state[offset // 8] = value


def ensure_ring() -> None:
    """Make the ring unless it is there."""
    if not _ring:
        address = map_zeroed(SLOTS * RECORD_SIZE)
        _ring.append((ctypes.c_uint64 * (SLOTS * RECORD_SIZE // 8)).from_address(address))
        _state[SAMPLER_RING // 8] = address


def head() -> int:
    """The position that the next record will have."""
    return _state[SAMPLER_HEAD // 8]


def taken() -> Iterator[Record]:
    """Take the records that are ready out of the ring, in the order of their positions. One caller at a time."""
    (ring,) = _ring
    size = RECORD_SIZE // 8
    while True:
        position = _state[SAMPLER_TAIL // 8]
        start = position % SLOTS * size
        if ring[start] != position + 1:
            return
        record = Record(position, ring, start)
        _state[SAMPLER_TAIL // 8] = position + 1
        yield record


def new_record() -> ctypes.Array[ctypes.c_uint64]:
    """Room for one record that does not go through the ring."""
    return _Record()


def _after_fork_in_child() -> None:
    """The sampler's thread did not come along, and what the other threads were writing stays unfinished."""
    _state[SAMPLER_ACTIVE // 8] = 0
    _state[SAMPLER_CAPTURES // 8] = 0
    _state[SAMPLER_TAIL // 8] = _state[SAMPLER_HEAD // 8]


os.register_at_fork(after_in_child=_after_fork_in_child)
