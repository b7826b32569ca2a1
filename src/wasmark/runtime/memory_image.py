"""`MemoryImage`: the bytes that all memories of a module start with, mapped into each of them copy-on-write.

The bytes are in a file of their own in memory, sealed against change. A page of a memory is a page of the file until
wasm writes to it; when the pages of a memory are given back, it is as it was at first.
"""

from __future__ import annotations

import ctypes
import fcntl
import mmap
import os
import weakref
from collections.abc import Callable
from typing import Any, Final

from wasmark.errors import Error

LEAST_BYTES: Final = 4 * mmap.PAGESIZE
"""Below this, copying is cheaper than mapping."""

_MAP_FIXED: Final = 0x10
_MAP_FAILED: Final = (1 << 64) - 1

_libc = ctypes.CDLL(None, use_errno=True)
_map = _libc.mmap
_map.restype = ctypes.c_size_t
_map.argtypes = [ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]


class _Descriptor(int):
    """A file descriptor, closed with its last reference: the garbage collector does not know it (see
    `linear_memory`)."""

    __slots__ = ()

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self)


_images: weakref.WeakSet[MemoryImage] = weakref.WeakSet()


class MemoryImage:
    """`data` at `offset` of a memory, and zeros around it up to whole host pages.

    `idle`: ranges that have it and wait for a memory. It keeps a file descriptor open. Raises OSError where there is no
    memory or no descriptor left for the file.
    """

    __slots__ = ("__weakref__", "_descriptor", "_first", "_size", "idle")

    def __init__(self, offset: int, data: bytes) -> None:
        self.idle: list[Any] = []
        self._descriptor = _Descriptor(os.memfd_create("wasmark-memory", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING))
        self._first = offset & -mmap.PAGESIZE
        end = offset + len(data)
        self._size = ((end + mmap.PAGESIZE - 1) & -mmap.PAGESIZE) - self._first
        os.ftruncate(self._descriptor, self._size)
        done = 0
        with memoryview(data) as view:
            while done < len(data):
                done += os.pwrite(self._descriptor, view[done:], offset - self._first + done)
        fcntl.fcntl(
            self._descriptor,
            fcntl.F_ADD_SEALS,
            fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK,
        )
        _images.add(self)

    def map_into(self, base: int) -> None:
        """Put it into the memory at `base`, whose pages are accessible there. Raises Error where the system refuses."""
        protection, flags = mmap.PROT_READ | mmap.PROT_WRITE, mmap.MAP_PRIVATE | _MAP_FIXED
        if _map(base + self._first, self._size, protection, flags, self._descriptor, 0) == _MAP_FAILED:
            raise Error(f"cannot map the data of a memory: {os.strerror(ctypes.get_errno())}")


def forget_idle() -> None:
    """Give up all ranges that wait for a memory: address space has run out."""
    for image in tuple(_images):
        image.idle.clear()
