"""`Memory`: a linear memory. Python reads and writes the very bytes that wasm does."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any, Final

from wasmark.core.types import MemoryType
from wasmark.errors import Error
from wasmark.runtime.buffer import native_buffer, set_source
from wasmark.runtime.linear_memory import LinearMemory

if TYPE_CHECKING:
    from wasmark.store import Store

_REFUSED: Final = -1


def _flat(view: memoryview) -> memoryview:
    """The bytes of a view of any shape and item."""
    if view.nbytes and view.c_contiguous and len(view.format) == 1:
        return view.cast("B")
    return memoryview(view.tobytes())  # cast() wants none of these


@functools.cache
def _exporting(class_: type, get_buffer: int) -> type:
    """`class_` with the buffer protocol."""
    base = native_buffer(get_buffer)
    if issubclass(class_, base):
        return class_
    names = {"__slots__": (), "__module__": class_.__module__, "__qualname__": class_.__qualname__}
    return type(class_.__name__, (class_, base), {**names, "__doc__": class_.__doc__})


class Memory:
    """A linear memory of a store.

    It exports the buffer protocol: `memoryview(memory)` is writable, copies nothing, and stays valid when the memory
    grows (it keeps the length it had). `len(memory)` is in bytes, `size` in pages.
    """

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """For type checkers."""

    def __new__(cls, store: Store, type_: MemoryType) -> Memory:
        """An object that exports the buffer protocol."""
        exporting = _exporting(cls, store.runtime.get_buffer)  # type: ignore[arg-type]  # a class is hashable
        self: Memory = object.__new__(exporting)
        return self

    def __init__(self, store: Store, type_: MemoryType) -> None:
        """A new memory. Raises Error where there is no room for it, ValueError for limits that contradict each
        other."""
        self.store = store
        self.type = type_
        limits = type_.limits
        if limits.maximum is not None and limits.maximum < limits.minimum:
            raise ValueError(f"a memory of at least {limits.minimum} and at most {limits.maximum} pages")
        self._shift = type_.page_size_log2
        bound = store.engine.config.max_memory_bytes
        pages = bound >> self._shift
        if limits.maximum is not None:
            pages = min(pages, limits.maximum)
        if not limits.is64:
            pages = min(pages, (1 << 32) >> self._shift)
        self._max_pages = pages
        if limits.minimum > pages:
            raise Error(f"a memory of {limits.minimum} pages is more than the {pages} that are allowed")
        self._memory = LinearMemory(limits.minimum << self._shift, pages << self._shift, is64=limits.is64)
        self.definition = self._memory.definition
        set_source(self, self.definition)
        self._view = memoryview(self)  # for short reads; made anew when one goes beyond it
        store.memories[self.definition] = self

    @property
    def base(self) -> int:
        """The address of byte 0; it never changes."""
        return self._memory.base

    @property
    def size(self) -> int:
        """Present size in pages."""
        return self._memory.length >> self._shift

    @property
    def present_type(self) -> MemoryType:
        """The type with the present size as its minimum, which is what imports are matched with (core §4.5.2)."""
        limits = self.type.limits
        return MemoryType(type(limits)(self.size, limits.maximum, limits.is64, limits.shared), self._shift)

    def __len__(self) -> int:
        return self._memory.length

    def grow(self, pages: int) -> int:
        """Grow by `pages`; the old size in pages. Waits for another thread that runs in the store. Raises ValueError
        where the memory cannot get that large."""
        old = self.store.exclusively(self.grow_or_refuse, pages) if pages >= 0 else _REFUSED
        if old == _REFUSED:
            raise ValueError(f"cannot grow a memory of {self.size} pages by {pages} (at most {self._max_pages})")
        return old

    def grow_or_refuse(self, pages: int) -> int:
        """What `memory.grow` does: the old size in pages, or -1. For the owner of the store."""
        old = self.size
        if old + pages > self._max_pages or not self._memory.grow_to((old + pages) << self._shift):
            return _REFUSED
        return old

    def _range(self, offset: int, length: int) -> int:
        if offset < 0 or length < 0 or offset + length > self._memory.length:
            raise IndexError(f"bytes {offset} to {offset + length} of a memory of {self._memory.length} bytes")
        return self._memory.base + offset

    def read(self, offset: int, length: int) -> bytes:
        """A copy of `length` bytes. Raises IndexError."""
        if offset >= 0 <= length:
            found = self._view[offset : offset + length].tobytes()
            if len(found) == length and (length or offset <= self._memory.length):
                return found
            if offset + length <= self._memory.length:  # it has grown since the view was made
                self._view = memoryview(self)
                return self._view[offset : offset + length].tobytes()
        raise IndexError(f"bytes {offset} to {offset + length} of a memory of {self._memory.length} bytes")

    def write(self, offset: int, data: Any) -> None:
        """Store a bytes-like object at `offset`. Raises IndexError; then nothing is written."""
        with memoryview(data) as view, _flat(view) as flat, memoryview(self) as whole:
            self._range(offset, len(flat))
            whole[offset : offset + len(flat)] = flat

    def view(self, format_: str = "B") -> memoryview:
        """The present contents as items of a `struct` format ("i", "d", ...), writable, without copying. The length has
        to be a multiple of the item's; every memory with pages of 64 KiB has such a length."""
        whole = memoryview(self)
        return whole if format_ == "B" else whole.cast("B").cast(format_)  # type: ignore[call-overload]

    def __getitem__(self, key: int | slice) -> Any:
        with memoryview(self) as view:
            return bytes(view[key]) if isinstance(key, slice) else view[key]

    def __setitem__(self, key: int | slice, value: Any) -> None:
        with memoryview(self) as view:
            view[key] = value

    def __repr__(self) -> str:
        return f"<wasmark.Memory {self.size} pages of {1 << self._shift} bytes>"
