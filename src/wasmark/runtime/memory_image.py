"""`MemoryImage`: the bytes that all memories of a module start with, mapped into each of them copy-on-write.

The bytes are in a file in memory, which several images share: so a process needs few descriptors however many modules
it has. Nothing in such a file is ever changed or used again; it goes with the last of its images. A page of a memory is
a page of the file until wasm writes to it; when the pages of a memory are given back, it is as it was at first.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

FILE_SIZE: Final = 16 << 20
"""Bytes of images in a file before the next one is begun."""

_PAGE: Final = mmap.PAGESIZE
_MAP_FIXED: Final = 0x10
_MAP_FAILED: Final = (1 << 64) - 1

_libc = ctypes.CDLL(None, use_errno=True)
_map = _libc.mmap
_map.restype = ctypes.c_size_t
_map.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = [ctypes.py_object]


class _Descriptor(int):
    """A file descriptor, closed with its last reference: the garbage collector must not know it (see
    `linear_memory`)."""

    __slots__ = ()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self)


class _File:
    """A file for images, and where the next one goes. Only the process that made it writes to it."""

    __slots__ = ("descriptor", "end", "process")

    def __init__(self) -> None:
        self.descriptor = _Descriptor(os.memfd_create("wasmark-memories", os.MFD_CLOEXEC))
        _untrack(self.descriptor)
        self.process = os.getpid()
        self.end = 0

    def take(self, size: int) -> int:
        """Where there are `size` bytes, all zero."""
        start = self.end
        self.end += size
        return start


_images: weakref.WeakSet[MemoryImage] = weakref.WeakSet()
_file: _File | None = None


def _file_for_one_more() -> _File:
    global _file
    file = _file
    if file is None or file.end >= FILE_SIZE or file.process != os.getpid():
        file = _file = _File()
    return file


class MemoryImage:
    """`data` at `offset` of a memory, and zeros around it up to whole host pages.

    `idle`: ranges that have it and wait for a memory. Raises OSError where there is no memory or no descriptor left for
    it.
    """

    __slots__ = ("__weakref__", "_descriptor", "_first", "_size", "_start", "idle")

    def __init__(self, offset: int, data: bytes) -> None:
        self.idle: list[Any] = []
        self._first = offset & -_PAGE
        self._size = ((offset + len(data) + _PAGE - 1) & -_PAGE) - self._first
        file = _file_for_one_more()
        self._descriptor = file.descriptor
        self._start = file.take(self._size)
        os.posix_fallocate(self._descriptor, self._start, self._size)
        at, done = self._start + offset - self._first, 0
        with memoryview(data) as view:
            while done < len(data):
                done += os.pwrite(self._descriptor, view[done:], at + done)
        _images.add(self)

    def put_into(self, base: int) -> bool:
        """Put it into the memory at `base`, whose pages are accessible there. Whether it is mapped: where the system
        refuses (a process has so many mappings, and no more), it is copied."""
        protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
        place = base + self._first
        if _map(place, self._size, protection, flags, self._descriptor, self._start) != _MAP_FAILED:
            return True
        bytes_ = memoryview((ctypes.c_char * self._size).from_address(place)).cast("B")
        done = 0
        while done < self._size:
            done += os.preadv(self._descriptor, [bytes_[done:]], self._start + done)
        return False


def forget_idle() -> None:
    """Give up all ranges that wait for a memory: address space has run out."""
    for image in _images.copy():
        image.idle.clear()
