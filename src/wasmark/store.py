"""`Store`: the state of running modules, and the way into their code.

One thread at a time runs in a store; another one that calls into it, or changes what its code relies on, waits until
the first has left. Everything that native code of the store points to is kept alive by it, as is every module that was
instantiated in it.

A store is full of cycles, so it is the garbage collector that ends it, and finalizers of other objects in the same
garbage may still call its functions: weak references to it are dead by then, so nothing here depends on one.
"""

from __future__ import annotations

import contextlib
import ctypes
import weakref
from typing import TYPE_CHECKING, Any, Final, TypeVar

from wasmark.core.types import HeapType, RefType
from wasmark.engine import Engine, default_engine
from wasmark.errors import Error, Trap, TrapCode, UnsupportedError
from wasmark.externs import ExternTable
from wasmark.jit import stubs
from wasmark.registry import FrameInfo, ModuleRegistry, continues, lookup_frame_info
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.native import futex_wait, thread_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from wasmark.core.types import ValType
    from wasmark.func import Func
    from wasmark.instance import Instance
    from wasmark.memory import Memory
    from wasmark.table import Table

_T = TypeVar("_T")
_EXTERN_HEAP: Final = (HeapType.EXTERN, HeapType.NOEXTERN)


class Store:
    """A place for instances. Functions, memories, tables and globals belong to one store and cannot be used in
    another."""

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine if engine is not None else default_engine()
        self.registry = ModuleRegistry()
        self.runtime = stubs.runtime(self.engine.cache)
        self.runtime.claim()
        self._block = (ctypes.c_uint64 * (L.STORE_BLOCK_SIZE // 8))()
        self.block_address = ctypes.addressof(self._block)
        self._block[L.STORE_BUDGET // 8] = self.engine.config.max_wasm_stack
        self._kept: list[object] = []  # native memory and callables that native code points to
        self._instances: dict[int, Instance] = {}  # by vmctx
        self._host_funcs: dict[int, Func] = {}  # by FuncRef
        self._funcs: weakref.WeakValueDictionary[int, Func] = weakref.WeakValueDictionary()  # by FuncRef
        self.memories: dict[int, Memory] = {}  # by MemoryDef
        self.tables: dict[int, Table] = {}  # by TableDef
        self.externs = ExternTable()
        self._extern_words: list[ctypes.Array[ctypes.c_uint64]] = []  # cells of externrefs that are not in tables
        self._under_way = 0  # externrefs may be on their way between Python and wasm
        self._add_builtins()

    def __repr__(self) -> str:
        return f"<wasmark.Store: {len(self._instances)} instances>"

    # --- native memory ----------------------------------------------------------------------------

    def keep(self, owner: object) -> None:
        """Keep an object alive as long as the store."""
        self._kept.append(owner)

    def allocate(self, size: int) -> int:
        """Zeroed native memory of `size` bytes, 16-aligned, for the life of the store; its address."""
        block = (ctypes.c_uint8 * (size + 16))()
        self.keep(block)
        return (ctypes.addressof(block) + 15) & -16

    def allocate_copy(self, contents: bytes) -> int:
        """Native memory like that of `allocate`, with these contents."""
        address = self.allocate(len(contents))
        ctypes.memmove(address, contents, len(contents))
        return address

    def host_context(self, callable_: Callable[..., Any], convert: Callable[[Any, int], None] | None = None) -> int:
        """The address of a host context.

        Its stub calls `callable_`: with the values, and then `convert(result, address of slots)` for a result that it
        cannot take apart itself; or, for signatures with references, with the address of the slots.
        """
        address = self.allocate(L.HOST_CONTEXT_SIZE)
        self.keep((callable_, convert))
        words = (ctypes.c_uint64 * (L.HOST_CONTEXT_SIZE // 8)).from_address(address)
        words[L.HOST_STORE // 8] = self.block_address
        words[L.HOST_CALLABLE // 8] = id(callable_)
        words[L.HOST_CONVERT // 8] = id(convert)
        return address

    def _add_builtins(self) -> None:
        stubs.prepare_stubs(stubs.BASIC_SIGNATURES, self.engine.cache)
        memories, tables = self.memories, self.tables

        def memory_grow(address: int) -> None:
            slots = (ctypes.c_int64 * 2).from_address(address)
            slots[0] = memories[slots[0]].grow_or_refuse(slots[1] & 0xFFFFFFFFFFFFFFFF)

        def table_grow(address: int) -> None:
            slots = (ctypes.c_int64 * 3).from_address(address)
            slots[0] = tables[slots[0]].grow_or_refuse(slots[1] & 0xFFFFFFFFFFFFFFFF, slots[2])

        types = self.engine.types

        def is_subtype(sub: int, super_: int) -> int:
            return int(types.is_subtype_id(sub, super_))

        instances = self._instances

        def compile_function(address: int) -> None:
            slots = (ctypes.c_int64 * 2).from_address(address)
            slots[0] = instances[slots[0]].module.compile_function(slots[1])

        def tier_up(address: int) -> None:
            slots = (ctypes.c_int64 * 3).from_address(address)
            slots[0] = instances[slots[0]].module.tier_up(slots[1], slots[2])

        builtins: dict[int, Callable[..., Any]] = {
            L.STORE_COMPILE: compile_function,
            L.STORE_TIER_UP: tier_up,
            L.STORE_MEMORY_GROW: memory_grow,
            L.STORE_TABLE_GROW: table_grow,
            L.STORE_IS_SUBTYPE: is_subtype,
        }
        for offset, builtin in builtins.items():
            self._block[offset // 8] = stubs.stubs(L.BUILTIN_SIGNATURES[offset], self.engine.cache).host
            self._block[offset // 8 + 1] = self.host_context(builtin)

    # --- into wasm --------------------------------------------------------------------------------

    def enter(self, trampoline: int, code: int, context: int, slots: int) -> None:
        """Run wasm code in this thread: `trampoline(context, code, slots)`.

        Raises Trap, or whatever a host function raised.
        """
        enter = self.runtime.enter
        report = ctypes.create_string_buffer(L.ACT_SIZE)
        while True:
            status = enter(self.block_address, trampoline, code, context, slots, ctypes.addressof(report))
            if status == L.STATUS_RETURNED:
                return
            if status == L.STATUS_TRAPPED:
                raise self.trap(report.raw)
            if status == L.STATUS_NEW_THREAD:
                thread_state()
            else:
                self._wait_for_owner()

    def _wait_for_owner(self) -> None:
        """Wait until the thread that runs in the store has left it, or for a moment: signals want to be handled.

        Raises Error where that thread did not come along into a forked process.
        """
        waiters = ctypes.c_uint64.from_address(self.block_address + L.STORE_WAITERS)
        releases = self.block_address + L.STORE_RELEASES
        seen = ctypes.c_uint32.from_address(releases).value
        waiters.value += 1
        try:
            owner = self._block[L.STORE_OWNER // 8]
            if owner and not ctypes.c_uint64.from_address(owner + L.THREAD_ID).value:
                raise Error("a thread that this process does not have was running in the store when it was forked")
            if owner:
                futex_wait(releases, seen)
        finally:
            waiters.value -= 1

    @contextlib.contextmanager
    def owned(self) -> Iterator[bool]:
        """Keep other threads from running in the store. Yields whether no wasm code of the store is active at all."""
        thread_state()
        answer = ctypes.c_int(0)  # what `own` said last, also where an exception comes between
        try:
            while self.runtime.own(self.block_address, ctypes.addressof(answer)) < 0:
                self._wait_for_owner()
            yield not self._block[L.STORE_ACTIVATION // 8]
        finally:
            if answer.value > 0:
                self.runtime.disown(self.block_address)

    def exclusively(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """`function(*arguments)`, while no other thread is in the store and no externref is let go of."""
        with self.owned():
            self._under_way += 1
            try:
                return function(*arguments)
            finally:
                self._under_way -= 1

    def after_call(self) -> None:
        """To be called when the results of an outermost call are Python values: the time to let go of externrefs."""
        if self.externs.wants_sweep:
            with self.owned() as idle:
                if idle and not self._under_way:
                    self.externs.sweep(self._held_externs())

    def hold_externs(self, address: int, count: int, type_: ValType) -> None:
        """Say that `count` words at `address` hold values of this type, for the life of the store."""
        if isinstance(type_, RefType) and type_.heap in _EXTERN_HEAP:
            self._extern_words.append((ctypes.c_uint64 * count).from_address(address))

    def _held_externs(self) -> list[int]:
        held = []
        for table in self.tables.values():
            if table.type.element.heap in _EXTERN_HEAP:
                held.extend(table.element_bits())
        for words in self._extern_words:
            held.extend(words)
        return held

    def trap(self, activation: bytes) -> Trap:
        """The trap that a copy of its activation tells of."""
        report = memoryview(activation).cast("Q")
        count = report[L.ACT_FRAME_COUNT // 8]
        first = L.ACT_FRAMES // 8
        kept = L.FRAMES_KEPT
        pcs = list(report[first : first + min(count, kept)])
        if count > kept:
            ring = list(report[first + kept : first + 2 * kept])
            if count < 2 * kept:
                pcs += ring[: count - kept]
            else:
                start = count % kept
                pcs += ring[start:] + ring[:start]
        frames: list[FrameInfo] = []
        for position, pc in enumerate(pcs):
            # All but the first are return addresses, which may lie behind the last instruction of the caller.
            at = pc if position == 0 else pc - 1
            if position and continues(at):
                continue
            frame = self.registry.lookup_frame_info(at) or lookup_frame_info(at)
            if frame is not None:
                frames.append(frame)
        return Trap(
            TrapCode(report[L.ACT_TRAP_CODE // 8]),
            pc=report[L.ACT_TRAP_PC // 8],
            frames=frames,
            omitted=max(0, count - 2 * kept),
        )

    # --- what addresses stand for -----------------------------------------------------------------

    def add_instance(self, vmctx: int, instance: Instance) -> None:
        """Remember whose vmctx this is."""
        self._instances[vmctx] = instance

    def discard(self, failed: Memory | Table) -> None:
        """Forget what was made for an instance that did not come to be."""
        self.memories.pop(failed.definition, None)
        self.tables.pop(failed.definition, None)

    def add_host_func(self, func: Func) -> None:
        """Keep a host function, whose address may end up anywhere in wasm."""
        self._host_funcs[func.address] = func
        self._funcs[func.address] = func

    def func_at(self, address: int) -> Func:
        """The function object of a FuncRef; the same one as long as it is in use."""
        func = self._funcs.get(address)
        if func is None:
            context = ctypes.c_uint64.from_address(address + L.FUNCREF_CONTEXT).value
            func = self._instances[context].make_func(address)
            self._funcs[address] = func
        return func

    def reference_bits(self, value: Any, type_: RefType) -> int:
        """The bits of a reference (`type_` in the engine's canonical types). Raises TypeError."""
        from wasmark.func import Func

        if value is None:
            if not type_.nullable:
                raise TypeError(f"None is not a {type_}")
            return 0
        if type_.heap is HeapType.EXTERN:
            return self.externs.handle(value)
        if isinstance(value, Func):
            if value.store is not self:
                raise TypeError("the function belongs to another store")
            if self.engine.types.is_subtype(RefType.of(False, value.type_id), type_):
                return value.address
            raise TypeError(f"{value!r} is not a {type_}")
        if self._is_func(type_):
            raise TypeError(f"expected a wasmark.Func or None for {type_}, got {type(value).__name__}")
        raise UnsupportedError(f"references of type {type_} are not supported yet", part="garbage collection")

    def reference_value(self, bits: int, type_: RefType) -> Any:
        """The Python value of a reference."""
        if not bits:
            return None
        if type_.heap in _EXTERN_HEAP:
            return self.externs.value(bits)
        if self._is_func(type_):
            return self.func_at(bits)
        raise UnsupportedError(f"references of type {type_} are not supported yet", part="garbage collection")

    def _is_func(self, type_: RefType) -> bool:
        if isinstance(type_.heap, HeapType):
            return type_.heap in (HeapType.FUNC, HeapType.NOFUNC)
        return self.engine.types.kind(type_.heap) is HeapType.FUNC
