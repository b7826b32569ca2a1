"""The only place that maps executable memory.

All code and its read-only data lives in a few *arenas*: address ranges reserved once, at the first use, and never
given back. What is allocated inside is in whole pages and close together, so that PC-relative references reach, and
so that a small table over the arenas can tell what any address is (`registry.process_table`). No page is ever
writable and executable at once. A freed range is mapped inaccessible before it can be handed out again: stale code
does not run, it faults.

A Python signal handler may raise between any two steps here. So whether a page is taken is one byte, and a range
changes hands in one assignment that comes right beside the note of who has it; all else is derived, and made anew
where a change of it was cut short.
"""

from __future__ import annotations

import ctypes
import mmap as _mmap
import os
import weakref
from bisect import bisect_left, insort
from collections import OrderedDict

from wasmark.errors import OutOfCodeMemoryError
from wasmark.runtime.retirement import Retirement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

PAGE_SHIFT: Final = 12
PAGE_SIZE: Final = 1 << PAGE_SHIFT
MAX_ARENAS: Final = 8
ARENA_SIZES: Final = (1 << 30, 1 << 28, 1 << 26)
"""Bytes of an arena: the first size that the system grants. Below 2 GiB, so that a rel32 reaches all of an arena."""

_PROT_NONE: Final = 0
_PROT_READ: Final = _mmap.PROT_READ
_PROT_WRITE: Final = _mmap.PROT_WRITE
_PROT_EXEC: Final = _mmap.PROT_EXEC
_MAP_FIXED: Final = 0x10
_MAP_NORESERVE: Final = 0x4000
_RESERVE: Final = _mmap.MAP_PRIVATE | _mmap.MAP_ANONYMOUS | _MAP_NORESERVE
_MAP_FAILED: Final = (1 << 64) - 1

_libc = ctypes.CDLL(None, use_errno=True)
_map = _libc.mmap
_map.restype = ctypes.c_size_t
_map.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_protect = _libc.mprotect
_protect.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]


def map_zeroed(size: int) -> int:
    """The address of `size` zeroed, readable and writable bytes that stay mapped as long as the process lives.

    For tables that a signal handler reads: nothing may take them away, not even the end of the interpreter.
    """
    address: int = _map(0, size, _PROT_READ | _PROT_WRITE, _RESERVE, -1, 0)
    if address == _MAP_FAILED:
        raise OutOfCodeMemoryError(f"cannot map a table of {size} bytes: {os.strerror(ctypes.get_errno())}")
    return address


Grant = list[tuple[int, int]]
"""The range that somebody holds, as (first page, count), or nothing."""


class Arena:
    """A reserved address range and the free pages in it. Everything here is done under the lock of this file."""

    __slots__ = ("_by_size", "_ends", "_settled", "_sizes", "_starts", "_taken", "base", "number", "size")

    def __init__(self, number: int, base: int, size: int) -> None:
        self.number = number
        self.base = base
        self.size = size
        self._taken = bytearray(size >> PAGE_SHIFT)  # 1 for each page that is; the rest below follows from it
        self._settled = False  # whether it does so now
        # Free ranges, in pages, under four views: neighbours are found by start and end, the best fit by size.
        self._starts: dict[int, int] = {}  # first page -> count
        self._ends: dict[int, int] = {}  # page behind -> first page
        # count -> first pages, the longest free one first. A dict would search for its first key past all that went.
        self._by_size: dict[int, OrderedDict[int, None]] = {}
        self._sizes: list[int] = []  # the keys of `_by_size`, sorted

    @property
    def free_pages(self) -> int:
        """How many pages are free."""
        return self._taken.count(0)

    @property
    def free_ranges(self) -> list[tuple[int, int]]:
        """The free ranges as (first page, count), sorted; no two of them touch."""
        self._settle()
        return sorted(self._starts.items())

    def take(self, count: int, grant: Grant) -> bool:
        """Take `count` pages, which are then in `grant` (empty so far). False where no free range is long enough."""
        self._settle()
        position = bisect_left(self._sizes, count)
        if position == len(self._sizes):
            return False
        size = self._sizes[position]
        first = next(iter(self._by_size[size]))
        self._settled = False
        self._remove(first, size)
        if size > count:
            self._insert(first + count, size - count)
        ones = b"\1" * count
        row = (first, count)
        self._taken[first : first + count] = ones
        grant.append(row)
        self._settled = True
        return True

    def give_back(self, grant: Grant) -> None:
        """Free the pages of a grant, which is empty then, and join them with their free neighbours."""
        if not grant:
            return
        first, count = grant[0]
        self._settle()
        self._settled = False
        zeros = bytes(count)
        self._taken[first : first + count] = zeros
        grant.clear()
        behind = first + count
        if behind in self._starts:
            more = self._starts[behind]
            self._remove(behind, more)
            count += more
        before = self._ends.get(first)
        if before is not None:
            self._remove(before, first - before)
            count += first - before
            first = before
        self._insert(first, count)
        self._settled = True

    def _settle(self) -> None:
        if self._settled:
            return
        for view in (self._starts, self._ends, self._by_size, self._sizes):
            view.clear()
        behind = 0
        while (first := self._taken.find(0, behind)) >= 0:
            behind = self._taken.find(1, first)
            if behind < 0:
                behind = len(self._taken)
            self._insert(first, behind - first)
        self._settled = True

    def _insert(self, first: int, count: int) -> None:
        self._starts[first] = count
        self._ends[first + count] = first
        same = self._by_size.get(count)
        if same is None:
            same = self._by_size[count] = OrderedDict()
            insort(self._sizes, count)
        same[first] = None

    def _remove(self, first: int, count: int) -> None:
        del self._starts[first]
        del self._ends[first + count]
        same = self._by_size[count]
        del same[first]
        if not same:
            del self._by_size[count]
            del self._sizes[bisect_left(self._sizes, count)]


_retirement: Final = Retirement()
_arenas: Final[list[Arena]] = []


def arenas() -> tuple[Arena, ...]:
    """The arenas there are by now."""
    return tuple(_arenas)


def _reserve_arena(least: int) -> Arena | None:
    if len(_arenas) == MAX_ARENAS:
        return None
    for size in ARENA_SIZES:
        if size < least:
            return None
        base = _map(0, size, _PROT_NONE, _RESERVE, -1, 0)
        if base != _MAP_FAILED:
            arena = Arena(len(_arenas), base, size)
            _arenas.append(arena)
            return arena
    return None


def _release(arena: Arena, grant: Grant) -> None:
    """Give back what a grant still holds; nothing where that has happened."""
    for first, count in grant:
        address = arena.base + (first << PAGE_SHIFT)
        # A new mapping over the old one drops the pages and their contents in one step.
        if _map(address, count << PAGE_SHIFT, _PROT_NONE, _RESERVE | _MAP_FIXED, -1, 0) != address:
            # The kernel could not split its list of mappings: the range stays as it is and is not handed out again.
            return
    arena.give_back(grant)


def _pages(size: int) -> int:
    return (size + PAGE_SIZE - 1) >> PAGE_SHIFT


class CodeMemory:
    """A range of an arena: pages of code, and behind them pages of read-only data.

    `base` = `text_start` is the first byte, `text_size` and `rodata_size` are the sizes asked for, `rodata_start` is
    the start of the page behind the code, `size` the whole range in bytes. It is writable until `publish`, executable
    afterwards. The memory is freed (`freed`) by `free`, or when the object is garbage collected.
    """

    __slots__ = (
        "__weakref__",
        "_grant",
        "arena",
        "base",
        "freed",
        "rodata_size",
        "rodata_start",
        "size",
        "text_size",
        "text_start",
        "writable",
        "writable_from",
    )

    @staticmethod
    def allocate(text_size: int, rodata_size: int = 0) -> CodeMemory:
        """Reserve room for `text_size` bytes of code and `rodata_size` bytes of constants, writable and filled with
        zeros.

        Raises OutOfCodeMemoryError where neither the arenas nor the system have that much left, ValueError for
        negative sizes.
        """
        if text_size < 0 or rodata_size < 0:
            raise ValueError("sizes of code memory are not negative")
        memory = CodeMemory._reserve(text_size, rodata_size)
        if _protect(memory.base, memory.size, _PROT_READ | _PROT_WRITE):
            error = ctypes.get_errno()
            memory.free()
            raise OutOfCodeMemoryError(f"cannot make {memory.size} bytes writable: {os.strerror(error)}")
        memory.writable = True
        return memory

    @staticmethod
    def map_file(descriptor: int, offset: int, text_size: int, rodata_size: int) -> CodeMemory | None:
        """The same, filled from a file: `text_size` bytes of code from `offset` on, and `rodata_size` bytes from the
        next page on. Code is executable from the start and its pages are shared with all who map that file; only the
        read-only data is writable until `publish`.

        None where the system does not map this file as code. Raises OutOfCodeMemoryError as `allocate` does,
        ValueError where `offset` is not that of a page.
        """
        if text_size < 0 or rodata_size < 0 or offset % PAGE_SIZE:
            raise ValueError("code is mapped from whole pages of a file")
        memory = CodeMemory._reserve(text_size, rodata_size)
        text = memory.rodata_start - memory.base
        rodata = memory.size - text
        fixed = _mmap.MAP_PRIVATE | _MAP_FIXED
        if (
            text_size and _map(memory.base, text, _PROT_READ | _PROT_EXEC, fixed, descriptor, offset) != memory.base
        ) or (
            rodata_size
            and _map(memory.rodata_start, rodata, _PROT_READ | _PROT_WRITE, fixed, descriptor, offset + text)
            != memory.rodata_start
        ):
            memory.free()
            return None
        memory.writable = True
        memory.writable_from = memory.rodata_start
        return memory

    @staticmethod
    def _reserve(text_size: int, rodata_size: int) -> CodeMemory:
        """An inaccessible range with room for that much."""
        text_pages = _pages(text_size)
        count = max(1, text_pages + _pages(rodata_size))
        memory = _retirement.locked(lambda: _take(text_size, text_pages, rodata_size, count))
        if memory is None:
            raise OutOfCodeMemoryError(f"no room for {count << PAGE_SHIFT} bytes of code in {len(_arenas)} arenas")
        return memory

    def __init__(self, arena: Arena, text_size: int, text_pages: int, rodata_size: int) -> None:
        """Not for use from outside: see `allocate`. It has no pages yet."""
        self.arena = arena
        self._grant: Grant = []
        self.text_size = text_size
        self.rodata_size = rodata_size
        self.base = self.text_start = self.writable_from = arena.base
        self.rodata_start = arena.base + (text_pages << PAGE_SHIFT)
        self.size = 0
        self.writable = self.freed = False
        # Other threads may still run wasm code while the interpreter ends.
        weakref.finalize(self, _retirement.retire, _release, arena, self._grant).atexit = False

    def take(self, count: int) -> bool:
        """Take its pages, under the lock; whether there were enough in the arena."""
        if not self.arena.take(count, self._grant):
            return False
        first, _ = self._grant[0]
        distance = first << PAGE_SHIFT
        self.base = self.text_start = self.writable_from = self.base + distance
        self.rodata_start += distance
        self.size = count << PAGE_SHIFT
        return True

    def write(self, address: int, data: bytes | bytearray | memoryview) -> None:
        """Copy `data` to an absolute address inside. Raises ValueError outside of the range or after `publish`."""
        length = len(data)
        if not self.writable:
            raise ValueError("code memory is written before it is published, not after")
        if address < self.writable_from or address + length > self.base + self.size:
            raise ValueError(f"write of {length} bytes at {address:#x} leaves the code memory")
        source = (ctypes.c_char * length).from_buffer(data) if isinstance(data, bytearray) else bytes(data)
        ctypes.memmove(address, source, length)

    def publish(self) -> None:
        """Make the code executable and everything read-only, once and for all. Doing it again changes nothing."""
        if not self.writable:
            if self.freed:
                raise ValueError("code memory was freed")
            return
        text = self.rodata_start - self.base
        rodata = self.size - text
        failed = (text and self.writable_from == self.base and _protect(self.base, text, _PROT_READ | _PROT_EXEC)) or (
            rodata and _protect(self.rodata_start, rodata, _PROT_READ)
        )
        if failed:
            error = ctypes.get_errno()
            self.free()
            raise OutOfCodeMemoryError(f"cannot publish {self.size} bytes of code: {os.strerror(error)}")
        self.writable = False

    def free(self) -> None:
        """Give the pages back to the arena; any later access or execution there faults. Doing it again changes
        nothing."""
        self.writable = False
        self.freed = True
        _retirement.retire(_release, self.arena, self._grant)


def _take(text_size: int, text_pages: int, rodata_size: int, count: int) -> CodeMemory | None:
    for arena in (*_arenas, None):
        there = arena if arena is not None else _reserve_arena(count << PAGE_SHIFT)
        if there is None:
            return None
        # The object first: whatever is granted is given back when it goes.
        memory = CodeMemory(there, text_size, text_pages, rodata_size)
        if memory.take(count):
            return memory
    return None
