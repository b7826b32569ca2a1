"""Linear memories in native memory: a reserved range whose accessible part grows in place.

The base never moves. A 32-bit memory reserves the 4 GiB that an address can reach and OFFSET_GUARD bytes behind them,
all inaccessible at first, so an access out of bounds faults. The signal handler tells such faults from others by a
table with a byte for each granule of the address space; reservations are aligned to granules.
"""

from __future__ import annotations

import ctypes
import mmap
from typing import Final

from wasmark.errors import Error
from wasmark.runtime.code_memory import map_zeroed
from wasmark.runtime.layout import MEMORY_BASE, MEMORY_DEF_SIZE, MEMORY_LENGTH, OFFSET_GUARD

GRANULE_SHIFT: Final = 26
GRANULE_SIZE: Final = 1 << GRANULE_SHIFT
GRANULE_COUNT: Final = 1 << (47 - GRANULE_SHIFT)
"""User space of x86-64 has 47 bits."""

_HOST_PAGE: Final = mmap.PAGESIZE
_MAP_NORESERVE: Final = 0x4000
_PROT_NONE: Final = 0

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

# Only the pages of granules that are ever marked take memory.
_granules_address: Final = map_zeroed(GRANULE_COUNT)


def granules_address() -> int:
    """The table that the signal handler reads: one byte a granule, not 0 where a linear memory is reserved."""
    return _granules_address


class LinearMemory:
    """One reservation and its MemoryDef. `maximum` bytes is the most it may ever be asked to grow to.

    The range is given back when the last reference to the object goes, not by a finalizer: one that runs while the
    garbage collector takes a cycle apart would come before other finalizers that may still call into wasm. Raises Error
    where the address space or the memory for the initial size cannot be had.
    """

    __slots__ = ("_definition", "_range", "base", "definition", "reserved")

    def __init__(self, length: int, maximum: int, *, is64: bool) -> None:
        reach = maximum if is64 else 1 << 32
        self.reserved = (reach + OFFSET_GUARD + GRANULE_SIZE - 1) & -GRANULE_SIZE
        self._range, self.base = _reserve(self.reserved)
        self._definition = (ctypes.c_uint64 * (MEMORY_DEF_SIZE // 8))()
        self._definition[MEMORY_BASE // 8] = self.base
        self.definition = ctypes.addressof(self._definition)
        if not self.grow_to(length):
            raise Error(f"no memory for a linear memory of {length} bytes")

    @property
    def length(self) -> int:
        """Accessible bytes."""
        return self._definition[MEMORY_LENGTH // 8]

    def grow_to(self, length: int) -> bool:
        """Make `length` bytes accessible; False, and nothing changed, where the system refuses.

        Only whole host pages can be made accessible. Where the length is not a multiple of them, the rest of the last
        page does not fault, which is why memories with smaller pages are accessed with explicit checks.
        """
        start = (self.length + _HOST_PAGE - 1) & -_HOST_PAGE
        end = (length + _HOST_PAGE - 1) & -_HOST_PAGE
        if end > self.reserved - OFFSET_GUARD:
            return False
        if end > start and _libc.mprotect(self.base + start, end - start, mmap.PROT_READ | mmap.PROT_WRITE) != 0:
            return False
        self._definition[MEMORY_LENGTH // 8] = length
        return True


def _reserve(size: int) -> tuple[mmap.mmap, int]:
    """An inaccessible mapping with a granule-aligned range in it, marked in the table; and where that range begins.

    Marks stay when the mapping goes: wasm code reaches no address outside of the memories that live and of its stack,
    and a fault next to the stack pointer is not looked up here.
    """
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    try:
        mapping = mmap.mmap(-1, size + GRANULE_SIZE, flags=flags)
    except (OSError, OverflowError) as error:
        raise Error(f"no address space for a linear memory ({size} bytes): {error}") from error
    address = ctypes.addressof(ctypes.c_char.from_buffer(mapping))
    _libc.mprotect(address, size + GRANULE_SIZE, _PROT_NONE)
    base = (address + GRANULE_SIZE - 1) & -GRANULE_SIZE
    first = base >> GRANULE_SHIFT
    count = size >> GRANULE_SHIFT
    ctypes.memset(_granules_address + first, 1, count)
    return mapping, base
