"""`Memory`: a linear memory. Python reads and writes the very bytes that wasm does."""

from __future__ import annotations

import functools
import operator

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import MemoryType
from wasmark.errors import wrong_type
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.buffer import native_buffer, source_address
from wasmark.runtime.late_import import late_import
from wasmark.runtime.linear_memory import LinearMemory, MemoryShape
from wasmark.runtime.native import set_python_hook

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.config import Config
    from wasmark.runtime.native import Runtime
    from wasmark.store import Store


def _flat(view: memoryview) -> memoryview:
    """The bytes of a view of any shape and item."""
    if view.nbytes and view.c_contiguous and len(view.format) == 1:
        return view.cast("B")
    return memoryview(view.tobytes())  # cast() wants none of these


@functools.cache
def _exporting(class_: type, get_buffer: int, read: int) -> type:
    """`class_` with the buffer protocol and a native `read`."""
    base = native_buffer(get_buffer, read)
    if issubclass(class_, base):
        return class_
    names: dict[str, Any] = {name: getattr(class_, name) for name in ("__module__", "__qualname__", "__doc__")}
    if getattr(class_, "read", None) is Memory.read:
        names["read"] = base.__dict__["read"]
    return type(class_.__name__, (class_, base), {**names, "__slots__": ()})


class _Bytes:
    """Only the buffer of a memory, for those who may not keep its store alive."""

    def __init__(self, memory: LinearMemory) -> None:
        self._memory = memory


def exported_bytes(memory: LinearMemory, runtime: Runtime) -> Any:
    """An object that exports the present bytes of a memory whenever it is asked, and keeps it alive."""
    found = _exporting(_Bytes, runtime.get_buffer, runtime.read)(memory)
    runtime.poke(source_address(found), memory.definition)
    return found


def memory_shape(type_: MemoryType, config: Config) -> MemoryShape:
    """What a memory of this type is to be in an engine with this configuration.

    Raises ValueError for limits that contradict each other.
    """
    limits = type_.limits
    if limits.maximum is not None and limits.maximum < limits.minimum:
        raise ValueError(f"a memory of at least {limits.minimum} and at most {limits.maximum} pages")
    pages = config.max_memory_bytes >> type_.page_size_log2
    if limits.maximum is not None:
        pages = min(pages, limits.maximum)
    if not limits.is64:
        pages = min(pages, (1 << 32) >> type_.page_size_log2)
    return MemoryShape(limits.minimum, pages, type_.page_size_log2, limits.is64, limits.shared)


class Memory(OfThisProcess):
    """A linear memory of a store.

    It exports the buffer protocol: `memoryview(memory)` is writable, copies nothing, and stays valid when the memory
    grows (it keeps the length it had). `len(memory)` is in bytes, `size` in pages.
    """

    if TYPE_CHECKING:

        def __buffer__(self, flags: int, /) -> memoryview:
            """For type checkers."""

    def __new__(cls, store: Store, type_: MemoryType, memory: LinearMemory | None = None) -> Memory:
        """An object that exports the buffer protocol."""
        if not isinstance(type_, MemoryType):
            raise wrong_type("a MemoryType", type_)
        runtime = store.runtime
        exporting = _exporting(cls, runtime.get_buffer, runtime.read)  # type: ignore[arg-type]  # a class is hashable
        self: Memory = object.__new__(exporting)
        return self

    def __init__(self, store: Store, type_: MemoryType, memory: LinearMemory | None = None) -> None:
        """A new memory, or, for instances, the one that `memory` is. Raises Error where there is no room for it,
        ValueError for limits that contradict each other."""
        self.store = store
        self.type = type_
        if memory is None:
            memory = LinearMemory(memory_shape(type_, store.engine.config))
            store.add_memory(memory)
        self.linear = memory
        store.runtime.poke(source_address(self), memory.definition)

    @property
    def definition(self) -> int:
        """The address of its MemoryDef."""
        return self.linear.definition

    @property
    def base(self) -> int:
        """The address of byte 0; it never changes."""
        return self.linear.base

    @property
    def size(self) -> int:
        """Present size in pages."""
        return self.linear.size

    @property
    def present_type(self) -> MemoryType:
        """The type with the present size as its minimum, which is what imports are matched with (core §4.5.2)."""
        limits = self.type.limits
        return MemoryType(type(limits)(self.size, limits.maximum, limits.is64, limits.shared), self.type.page_size_log2)

    def __len__(self) -> int:
        return self.linear.length

    def grow(self, pages: int) -> int:
        """Grow by `pages`; the old size in pages. Waits for another thread that runs in the store. Raises ValueError
        where the memory cannot get that large."""
        count = operator.index(pages)
        old = self.store.exclusively(self.linear.grow, count) if count >= 0 else -1
        if old < 0:
            raise ValueError(f"cannot grow a memory of {self.size} pages by {pages} (at most {self.linear.maximum})")
        return old

    def _range(self, offset: int, length: int) -> int:
        if offset < 0 or length < 0 or offset + length > self.linear.length:
            raise IndexError(f"bytes {offset} to {offset + length} of a memory of {self.linear.length} bytes")
        return self.linear.base + offset

    def read(self, offset: int, length: int) -> bytes:
        """A copy of `length` bytes. Raises IndexError."""
        # Native code does this (`wasmark_read`), and comes here with what is no `int`, or out of bounds.
        start, size = operator.index(offset), operator.index(length)
        self._range(start, size)
        with memoryview(self) as view:
            return bytes(view[start : start + size])

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
        late_import("wasmark.shown")
        from wasmark.shown import counted

        limits = self.type.limits
        size = f"{counted(self.size, 'page')} of {counted(1 << self.type.page_size_log2, 'byte')}"
        most = "" if limits.maximum is None else f", at most {limits.maximum:,}"
        return f"<wasmark.Memory: {size}{most}{', shared' if limits.shared else ''}>"

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import memory_html

        return memory_html(self)


set_python_hook(L.HOOK_READ, Memory.read)
