"""Linear memories in native memory: a reserved range whose accessible part grows in place.

The base never moves. A 32-bit memory reserves the 4 GiB that an address can reach and OFFSET_GUARD bytes behind them,
all inaccessible at first, so an access out of bounds faults. The signal handler tells such faults from others by a
table with a byte for each granule of the address space; reservations are aligned to granules.

Mapping and unmapping such a range costs more than all the rest of an instance. So ranges of 32-bit memories are used
again: when a memory goes, its pages are given back, and the range waits, as large as it was, for the next memory that
starts with the same contents (`MemoryImage`), or for any.
"""

from __future__ import annotations

import _thread
import ctypes
import mmap
import os
import sys
from collections.abc import Callable

from wasmark.errors import Error
from wasmark.runtime.apart import unbroken
from wasmark.runtime.code_memory import map_zeroed
from wasmark.runtime.layout import MEMORY_BASE, MEMORY_DEF_SIZE, MEMORY_LENGTH, OFFSET_GUARD
from wasmark.runtime.memory_image import MemoryImage, forget_idle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, NamedTuple
else:
    from wasmark.core.record import NamedTuple

GRANULE_SHIFT: Final = 26
GRANULE_SIZE: Final = 1 << GRANULE_SHIFT
GRANULE_COUNT: Final = 1 << (47 - GRANULE_SHIFT)
"""User space of x86-64 has 47 bits."""

MOST_IDLE: Final = 64
"""Ranges that wait for a memory without an image."""
MOST_IDLE_OF_AN_IMAGE: Final = 8

_HOST_PAGE: Final = mmap.PAGESIZE
_MAP_NORESERVE: Final = 0x4000
_PROT_NONE: Final = 0
_PROT_READ_WRITE: Final = mmap.PROT_READ | mmap.PROT_WRITE
_REACH: Final = 1 << 32
_BASE: Final = MEMORY_BASE // 8
_LENGTH: Final = MEMORY_LENGTH // 8

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]

# Only the pages of granules that are ever marked take memory.
_granules_address: Final = map_zeroed(GRANULE_COUNT)
_Definition: Final = ctypes.c_uint64 * (MEMORY_DEF_SIZE // 8)


def granules_address() -> int:
    """The table that the signal handler reads: one byte a granule, not 0 where a linear memory is reserved."""
    return _granules_address


class MemoryShape(NamedTuple):
    """What a memory is to be: its pages at first and at most, the logarithm of the size of a page in bytes, whether its
    addresses have 64 bits, whether threads share it, and what it holds at first, None for zeros.

    Every page that it starts with has to hold the image, if there is one.
    """

    minimum: int
    maximum: int
    page_shift: int
    is64: bool
    shared: bool = False
    image: MemoryImage | None = None


class _Range:
    """A reserved range, its MemoryDef, and how many bytes of it are accessible.

    `image` is what is mapped into it, while it is in use: one that waits for a memory must not keep its image alive.
    """

    __slots__ = ("_mapping", "accessible", "base", "definition", "image", "reserved", "words")

    def __init__(self, reserved: int) -> None:
        self.reserved = reserved
        self._mapping, self.base = _reserve(reserved)
        self.accessible = 0
        self.words = _Definition()
        self.words[_BASE] = self.base
        self.definition = ctypes.addressof(self.words)
        self.image: MemoryImage | None = None

    def resize(self, length: int) -> bool:
        """Make the first `length` bytes accessible, in whole host pages, and no others; False, and nothing changed,
        where the system refuses."""
        end = (length + _HOST_PAGE - 1) & -_HOST_PAGE
        start = self.accessible
        if end != start:
            if end > self.reserved - OFFSET_GUARD:
                return False
            protection = _PROT_READ_WRITE if end > start else _PROT_NONE
            if _libc.mprotect(self.base + min(start, end), abs(end - start), protection) != 0:
                return False
            self.accessible = end
        return True


_RESERVED_32: Final = _REACH + OFFSET_GUARD
_growing = _thread.allocate_lock()
"""Threads of several stores may grow a memory that they share."""
_idle: list[_Range] = []
_leased: dict[int, _Range] = {}  # by the base
_natives: list[Callable[..., Any]] = []


def set_natives(discard: Callable[[int, int], bool], untrack: Callable[[object], object]) -> None:
    """For the runtime image, which brings them along: `discard(address, size)` gives pages back, and answers whether
    that could be done; `untrack(object)` hides an object from the garbage collector, and answers it."""
    _natives[:] = [discard, untrack]


class _Lease(int):
    """The base of a range that is in use: when it goes, the range may be used again.

    The garbage collector must not know it: in a cycle that it takes apart, this finalizer would run before others that
    may still call into wasm. So it runs when the last reference goes.
    """

    __slots__ = ()

    def __del__(
        self,
        take: Callable[[int, None], _Range | None] = _leased.pop,
        is_finalizing: Callable[[], bool] = sys.is_finalizing,
    ) -> None:
        if is_finalizing():
            return
        range_ = take(self, None)
        if range_ is None or range_.reserved != _RESERVED_32:
            return
        image, range_.image = range_.image, None
        idle, most = (_idle, MOST_IDLE) if image is None else (image.idle, MOST_IDLE_OF_AN_IMAGE)
        if len(idle) < most and _natives[0](range_.base, range_.accessible):
            idle.append(range_)


class LinearMemory:
    """One memory: a range in use. It is given back when the last reference to the object goes, not by a finalizer.

    Raises Error where the address space or the memory for the initial size cannot be had, or the shape starts with more
    than it may have.
    """

    __slots__ = ("_lease", "_range", "_shared", "base", "definition", "maximum", "page_shift")

    def __init__(self, shape: MemoryShape) -> None:
        minimum, maximum, shift, is64, self._shared, image = shape
        if minimum > maximum:
            raise Error(f"a memory of {minimum} pages is more than the {maximum} that are allowed")
        has_image = False
        if is64:
            range_ = _Range(_align(maximum << shift) + OFFSET_GUARD)
        else:
            range_, has_image = _take(image)
        base = self.base = range_.base
        self._lease = _natives[1](_Lease(base))
        _leased[base] = self._range = range_
        self.maximum = maximum
        self.page_shift = shift
        self.definition = range_.definition
        length = minimum << shift
        if range_.accessible != length and not range_.resize(length):
            raise Error(f"no memory for a linear memory of {length} bytes")
        range_.words[_LENGTH] = length
        if image is not None and (has_image or image.put_into(base)):
            range_.image = image

    @property
    def length(self) -> int:
        """The size in bytes."""
        return self._range.words[_LENGTH]

    @property
    def size(self) -> int:
        """The size in pages."""
        return self._range.words[_LENGTH] >> self.page_shift

    def grow(self, pages: int) -> int:
        """What `memory.grow` does: the old size in pages, or -1, and nothing changed, where it cannot get that large.

        Only whole host pages can be made accessible. Where the length is not a multiple of them, the rest of the last
        page does not fault, which is why memories with smaller pages are accessed with explicit checks.
        """
        if not self._shared:
            return self._grow(pages)

        def grow() -> int:
            with _growing:
                return self._grow(pages)

        return unbroken(grow)

    def _grow(self, pages: int) -> int:
        old = self.size
        length = (old + pages) << self.page_shift
        if old + pages > self.maximum or not self._range.resize(length):
            return -1
        self._range.words[_LENGTH] = length
        return old


def _take(image: MemoryImage | None) -> tuple[_Range, bool]:
    """A range for a 32-bit memory: an idle one with this image, or without any, or a new one. And whether it has the
    image."""
    if image is not None:
        try:
            return image.idle.pop(), True
        except IndexError:
            pass
    try:
        return _idle.pop(), False
    except IndexError:
        pass
    try:
        return _Range(_RESERVED_32), False
    except Error:
        # Others keep what is not needed.
        forget_idle()
        _idle.clear()
        return _Range(_RESERVED_32), False


def _align(size: int) -> int:
    return (size + GRANULE_SIZE - 1) & -GRANULE_SIZE


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


def _after_fork_in_child() -> None:
    global _growing
    _growing = _thread.allocate_lock()


os.register_at_fork(after_in_child=_after_fork_in_child)
