"""`Collector`: which references of a store are in use, for the garbage collector of its objects (`runtime.heap`).

Roots are what tables, globals and passive element segments hold, the objects that Python holds (`held`), the slots of
calls between Python and wasm, and the native stack of this thread from here to its outermost call into wasm. The stack
is searched word for word: what looks like a reference keeps its object. Frames of wasm code, of either compiler, and of
host functions in between are all in it, so nothing has to be said about any of them.

While Python code turns values into references or back, there are some that only its own variables hold, as numbers:
then nothing is collected, and the heap grows instead (`paused`).

An object of the host that wasm holds is a handle in an `ExternTable`. It is let go of when a collection comes across no
such handle. So cycles within the store are freed, whatever they lead through. A cycle that leads from an object of
the store through one of the host back to the first is not, as long as the store is there: that is for two collectors
to agree on, of which Python's does not say what it knows.

All methods are for the thread that owns the store. Nothing here refers to the store.
"""

from __future__ import annotations

import contextlib
import ctypes
from array import array

from wasmark.core.object_layout import ARRAY_ELEMENTS
from wasmark.errors import Trap, TrapCode
from wasmark.externs import ExternTable
from wasmark.held import Held
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.heap import Heap
from wasmark.runtime.native import thread_state
from wasmark.runtime.type_descriptors import WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from wasmark.config import Config
    from wasmark.runtime.native import Runtime
    from wasmark.runtime.reference_table import ReferenceTable


class Collector:
    """See the head of this file. `block` is the address of the StoreBlock, `tables` are those of the store."""

    def __init__(self, runtime: Runtime, config: Config, block: int, tables: dict[int, ReferenceTable]) -> None:
        self._runtime = runtime
        self._config = config
        self._block = block
        self._tables = tables
        self._heap: Heap | None = None
        self._words: list[tuple[int, int]] = []
        self._segments: list[int] = []
        self.slots: tuple[Any, Any] | None = None
        """(the slots of the innermost call that is under way, the same of the calls around it)"""
        self.pauses = 0
        """How many there are who want nothing to be collected."""
        self.changes = ctypes.c_uint64()
        """Counts what may have changed the roots, but for entries into wasm."""
        self.externs = ExternTable()
        self.held = Held()

    @property
    def heap(self) -> Heap:
        """The objects; the heap is made when somebody asks for it."""
        heap = self._heap
        if heap is None:
            config, runtime = self._config, self._runtime
            natives = (runtime.allocate, runtime.collect)
            heap = self._heap = Heap(config.max_heap_bytes, natives)
            ctypes.c_uint64.from_address(self._block + L.STORE_GC_HEAP).value = heap.address
        return heap

    # --- roots ------------------------------------------------------------------------------------

    def hold(self, address: int, count: int) -> None:
        """Say that `count` words at `address` hold references, for the life of the store."""
        self._words.append((address, count))

    def hold_segment(self, address: int) -> None:
        """The same of the pair {address, number of words} at `address`, which may change."""
        self._segments.append(address)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Collect nothing."""
        self.pauses += 1
        self.changes.value += 1
        try:
            yield
        finally:
            self.pauses -= 1

    def _roots(self) -> Iterator[tuple[int, int]]:
        for table in self._tables.values():
            if table.is_collected:
                yield table.extent
        yield from self._words
        for address in self._segments:
            items, count = (ctypes.c_uint64 * 2).from_address(address)
            yield items, count
        rest = self.slots
        while rest is not None:
            slots, rest = rest
            yield ctypes.addressof(slots), len(slots)

    # --- collections ------------------------------------------------------------------------------

    def collect(self) -> bool:
        """Free what nobody can reach; False where that cannot be found out just now."""
        if self.pauses:
            return False
        heap = self.heap
        block = thread_state().block
        assert block is not None
        entries = ctypes.addressof(block) + L.THREAD_SEQUENCE
        changes = ctypes.addressof(self.changes)
        while True:
            # A finalizer, or a signal handler, may use the store in between: then look again.
            seen = (entries, ctypes.c_uint64.from_address(entries).value, changes, self.changes.value)
            handles = bytearray(self.externs.size)
            held = array("Q", self.held.addresses())
            roots = [*self._roots(), (held.buffer_info()[0], len(held))]
            if heap.collect(roots, _stack_end(block), handles, seen):
                break
        self.externs.sweep(handles)
        return True

    def make_room(self, size: int) -> int:
        """What native code calls before it makes an object of `size` bytes, where there is no room for it."""
        heap = self.heap
        if heap.collections or heap.used or self._config.collect_always:
            self.collect()
        heap.make_room(size)
        return 0

    # --- objects made by Python -------------------------------------------------------------------

    def allocate(self, descriptor: int, size: int, length: int = 0) -> int:
        """A new object with zeros in its fields; its address. Nobody holds it yet: to be called while `paused`.

        Raises Trap where there is no room.
        """
        assert self.pauses
        found = self.heap.allocate(descriptor, size, length)
        if not found:
            raise Trap(TrapCode.GC_HEAP_EXHAUSTED)
        return found

    def allocate_words(self, count: int) -> int:
        """A new object that is `count` words from ARRAY_ELEMENTS on, zeros at first; otherwise as `allocate`.

        Any of them may be a reference of any kind, or a number, and references in it keep what they refer to. It is not
        a value of any wasm type: a program sees it as an `exnref` at most. Native code makes one by calling what is at
        STORE_GC_NEW, with the descriptor at STORE_GC_WORDS, the size in bytes, and the number of words.
        """
        return self.allocate(WORDS[0], words_size(count), count)


def words_size(count: int) -> int:
    """Bytes of an object of `count` words (see `allocate_words`)."""
    return ARRAY_ELEMENTS + 8 * count


def _stack_end(block: Any) -> int:
    """The frame of this thread's outermost entry into wasm; 0 where it is not in wasm."""
    activation = block[L.THREAD_ACTIVATION // 8]
    end = 0
    while activation:
        end = ctypes.c_uint64.from_address(activation + L.ACT_ENTRY_FP).value
        activation = ctypes.c_uint64.from_address(activation + L.ACT_PREVIOUS).value
    return end
