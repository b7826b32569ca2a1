"""`Heap`: the garbage-collected objects of one store, in native memory (`runtime.layout`: HEAP_*).

Native code makes objects and collects (`compile/image/heap.ll`); here is when that happens, and how much memory there
may be. Objects never move, so a word that native code holds stays what it is.
"""

from __future__ import annotations

import ctypes
import mmap
from array import array

from wasmark.errors import Error
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

_FIRST_TRIGGER: Final = 64
"""Blocks that a heap has before there is a first collection."""

_MAP_NORESERVE: Final = 0x4000
_BLOCK: Final = L.HEAP_BLOCK_SIZE


def _cell_sizes() -> list[int]:
    """Multiples of 16, of which none wastes more than a fifth of a cell of more than 256 bytes."""
    sizes = [*range(16, 272, 16)]
    while sizes[-1] < L.HEAP_LARGEST_CELL:
        for quarter in (5, 6, 7, 8):
            sizes.append(sizes[-1] // (quarter - 1) * quarter)
    return sizes


CELL_SIZES: Final = _cell_sizes()


def _page_up(size: int) -> int:
    return (size + mmap.PAGESIZE - 1) & -mmap.PAGESIZE


class Heap:
    """A heap of at most `most` bytes of objects; the address space for it is reserved at once, memory as it is used.

    address: where its head is. `natives` are (allocate,
    collect), functions of the runtime image. Raises Error where there is no address space.
    """

    def __init__(self, most: int, natives: tuple[Any, Any]) -> None:
        self._allocate, self._collect = natives
        self._most = max(most // _BLOCK, 1)
        # The head, a byte for each block, the stack of a collection, and the blocks, which are aligned to their size.
        blocks_at = L.HEAP_HEAD_SIZE
        stack_at = _page_up(blocks_at + self._most)
        base_at = stack_at + _page_up(self._most * _BLOCK // 2)
        flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        try:
            self._memory = mmap.mmap(-1, base_at + (self._most + 1) * _BLOCK, flags=flags)
        except (OSError, OverflowError):
            raise Error(f"no address space for a heap of {most} bytes") from None
        self._view = (ctypes.c_char * len(self._memory)).from_buffer(self._memory)
        address = self.address = ctypes.addressof(self._view)
        self.base = (address + base_at + _BLOCK - 1) & -_BLOCK
        words = self._words = (ctypes.c_uint64 * (L.HEAP_FREE // 8)).from_address(address)
        words[L.HEAP_BASE // 8] = self.base
        words[L.HEAP_SIZE // 8] = self._most * _BLOCK
        words[L.HEAP_TRIGGER // 8] = min(_FIRST_TRIGGER, self._most)
        words[L.HEAP_BLOCKS // 8] = address + blocks_at
        words[L.HEAP_STACK // 8] = address + stack_at
        classes = bytearray()
        for number, size in enumerate(CELL_SIZES, 1):
            classes += bytes([number]) * (size // 16 + 1 - len(classes))
            ctypes.c_uint32.from_address(address + L.HEAP_CELLS + 4 * number).value = size
        ctypes.memmove(address + L.HEAP_CLASSES, bytes(classes), len(classes))

    def __contains__(self, bits: int) -> bool:
        """Whether a reference is to an object of this heap."""
        return 0 <= bits - self.base < self._most * _BLOCK

    @property
    def collections(self) -> int:
        """How often it has been collected."""
        return self._words[L.HEAP_COLLECTIONS // 8]

    @property
    def used(self) -> int:
        """Bytes of memory that are in use for objects."""
        return self._words[L.HEAP_USED // 8] * _BLOCK

    def make_room(self, size: int) -> None:
        """Let native code use as many blocks as an object of `size` bytes takes, within the limit."""
        words = self._words
        wanted = words[L.HEAP_USED // 8] + -(-size // _BLOCK)
        if wanted > words[L.HEAP_TRIGGER // 8]:
            words[L.HEAP_TRIGGER // 8] = min(max(wanted, _FIRST_TRIGGER), self._most)

    def allocate(self, descriptor: int, size: int, length: int) -> int:
        """A new object with zeros in its fields, without a collection; 0 where there is no room."""
        self.make_room(size)
        found: int | None = self._allocate(self.address, descriptor, size, length)
        return found or 0

    def collect(
        self,
        ranges: Iterable[tuple[int, int]],
        stack_end: int,
        handles: bytearray,
        unchanged: tuple[int, int, int, int],
    ) -> bool:
        """Free what cannot be reached; False, and nothing done, where somebody came between.

        unchanged: the addresses of two words, each with what it has been since before the ranges were put together.
        ranges: (address, number of words) of what may hold references. stack_end: what of this thread's stack lies
        below it is searched, too. handles: gets a 1 for each handle of an object of the host that was come across.
        """
        words = self._words
        flat = array("Q", [word for range_ in ranges for word in range_])
        marks = (ctypes.c_char * len(handles)).from_buffer(handles)
        words[L.HEAP_HANDLES // 8] = ctypes.addressof(marks)
        words[L.HEAP_HANDLE_COUNT // 8] = len(handles)
        late = self._collect(self.address, flat.buffer_info()[0], len(flat) // 2, stack_end, *unchanged)
        words[L.HEAP_HANDLE_COUNT // 8] = 0
        if late:
            return False
        words[L.HEAP_TRIGGER // 8] = min(max(2 * words[L.HEAP_USED // 8], _FIRST_TRIGGER), self._most)
        return True
