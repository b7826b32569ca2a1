"""`Store`: the state of running modules, and the way into their code.

One thread at a time runs in a store; another one that calls into it, or changes what its code relies on, waits until
the first has left. Everything that native code of the store points to is kept alive by it, as is every module that was
instantiated in it.

Nothing that a store keeps refers to it: it ends with the last instance, function, memory, table or global of it that
somebody holds. Where it is part of a cycle (a host function that knows an instance makes one), it is the garbage
collector that ends it, and finalizers of other objects in the same garbage may still call its functions: weak
references to it are dead by then, so nothing here depends on one.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import struct
import weakref

from wasmark.core.types import EXTERN_HEAP, HeapType, RefType
from wasmark.engine import Engine, default_engine
from wasmark.errors import Error, Trap, TrapCode, UnsupportedError
from wasmark.externs import ExternTable
from wasmark.jit.late_import import late_import
from wasmark.registry import ModuleRegistry
from wasmark.registry.frames import frames_at
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime import parking
from wasmark.runtime.native import futex_wait, thread_state
from wasmark.store_plan import CALLABLES

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any, Final, TypeVar

    from wasmark.func import Func
    from wasmark.instance_state import InstanceState
    from wasmark.module import Module
    from wasmark.runtime.linear_memory import LinearMemory
    from wasmark.runtime.reference_table import ReferenceTable

    _T = TypeVar("_T")

_word: Final = struct.Struct("<Q")
_report: Final = struct.Struct("<QQ32xQ")  # from ACT_TRAP_CODE on: that, ACT_TRAP_PC, ACT_FRAME_COUNT
_TRAP_CODES: Final = {code.value: code for code in TrapCode}


def _memory_grow(memories: dict[int, LinearMemory], address: int) -> None:
    slots = (ctypes.c_int64 * 2).from_address(address)
    slots[0] = memories[slots[0]].grow(slots[1] & 0xFFFFFFFFFFFFFFFF)


def _wait(address: int) -> None:
    slots = (ctypes.c_int64 * 4).from_address(address)
    at, expected, timeout, size = slots
    slots[0] = parking.wait(at, expected & 0xFFFFFFFFFFFFFFFF, timeout, size)


def _notify(address: int) -> None:
    slots = (ctypes.c_int64 * 2).from_address(address)
    slots[0] = parking.notify(slots[0], slots[1])


def _table_grow(tables: dict[int, ReferenceTable], address: int) -> None:
    slots = (ctypes.c_int64 * 3).from_address(address)
    slots[0] = tables[slots[0]].grow(slots[1] & 0xFFFFFFFFFFFFFFFF, slots[2])


class Store:
    """A place for instances. Functions, memories, tables and globals belong to one store and cannot be used in
    another."""

    # What a new store starts with. The first two are made when somebody asks for them.
    _registry: ModuleRegistry | None = None
    _externs: ExternTable | None = None
    _registry_is_whole = False
    _under_way = 0  # externrefs may be on their way between Python and wasm

    def __init__(self, engine: Engine | None = None) -> None:
        self.engine = engine = engine if engine is not None else default_engine()
        plan = engine.store_plan()
        runtime = self.runtime = plan.runtime
        runtime.claim()
        self._block, self.block_address = runtime.stamp(plan.template, plan.own, b"", 0)
        self._builtins: dict[int, Callable[..., Any]] = {}
        self._kept: list[object] = []  # native memory and callables that native code points to
        self._instances: dict[int, InstanceState] = {}  # by vmctx
        self._names: dict[int, str] = {}  # of host functions that belong to no instance, by FuncRef
        self._funcs: dict[int, weakref.ref[Func]] = {}  # by FuncRef
        self.memories: dict[int, LinearMemory] = {}  # by MemoryDef
        self.tables: dict[int, ReferenceTable] = {}  # by TableDef
        self._extern_words: list[ctypes.Array[ctypes.c_uint64]] = []  # cells of externrefs that are not in tables

    def __repr__(self) -> str:
        return f"<wasmark.Store: {len(self._instances)} instances>"

    @property
    def registry(self) -> ModuleRegistry:
        """The modules of the store by the addresses of their code."""
        if not self._registry_is_whole:
            # First it can be found, then all that has come so far is entered: what comes later enters itself. Threads
            # that do this at once do it to the same one; there is no lock that a forked process could find taken.
            registry: ModuleRegistry = vars(self).setdefault("_registry", ModuleRegistry())
            for state in self._instances.copy().values():
                registry.register_module(state.module)
            self._registry_is_whole = True
        assert self._registry is not None
        return self._registry

    @property
    def externs(self) -> ExternTable:
        """The Python objects that wasm holds."""
        if self._externs is None:
            self._externs = ExternTable()
        return self._externs

    # --- native memory ----------------------------------------------------------------------------

    def keep(self, owner: object) -> None:
        """Keep an object alive as long as the store."""
        self._kept.append(owner)

    def allocate(self, size: int) -> int:
        """Zeroed native memory of `size` bytes, 16-aligned, for the life of the store; its address."""
        block, address = self.runtime.stamp(bytes(size), b"", b"", 0)
        self.keep(block)
        return address

    def _word(self, offset: int) -> int:
        """A word of the StoreBlock."""
        return int(_word.unpack_from(self._block, offset)[0])

    def _offer(self, builtin: int, callable_: Callable[..., Any]) -> None:
        """Let wasm code call this one."""
        self._builtins[builtin] = callable_
        _word.pack_into(self._block, CALLABLES[builtin], id(callable_))

    def add_memory(self, memory: LinearMemory) -> None:
        """Take a memory in."""
        if L.STORE_MEMORY_GROW not in self._builtins:
            self._offer(L.STORE_MEMORY_GROW, functools.partial(_memory_grow, self.memories))
            self._offer(L.STORE_WAIT, _wait)
            self._offer(L.STORE_NOTIFY, _notify)
        self.memories[memory.definition] = memory

    def add_table(self, table: ReferenceTable) -> None:
        """Take a table in."""
        if L.STORE_TABLE_GROW not in self._builtins:
            self._offer(L.STORE_TABLE_GROW, functools.partial(_table_grow, self.tables))
        self.tables[table.definition] = table

    def add_instance(self, state: InstanceState, module: Module) -> None:
        """Take an instance in, and its module with it."""
        module.ensure_registered()
        self._instances[state.vmctx] = state
        if self._registry is not None:
            self._registry.register_module(module)

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
            owner = self._word(L.STORE_OWNER)
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
            yield not self._word(L.STORE_ACTIVATION)
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
        externs = self._externs
        if externs is not None and externs.wants_sweep:
            with self.owned() as idle:
                if idle and not self._under_way:
                    externs.sweep(self._held_externs())

    def hold_externs(self, address: int, count: int) -> None:
        """Say that `count` words at `address` hold externrefs, for the life of the store."""
        self._extern_words.append((ctypes.c_uint64 * count).from_address(address))

    def _held_externs(self) -> list[int]:
        held = []
        for table in self.tables.values():
            if table.holds_externs:
                held.extend(table.bits())
        for words in self._extern_words:
            held.extend(words)
        return held

    def trap(self, activation: bytes) -> Trap:
        """The trap that a copy of its activation tells of."""
        code, pc, count = _report.unpack_from(activation, L.ACT_TRAP_CODE)
        kept = L.FRAMES_KEPT
        pcs = list(struct.unpack_from(f"<{min(count, 2 * kept)}Q", activation, L.ACT_FRAMES))
        if count > 2 * kept:  # the second half is a ring
            start = kept + count % kept
            pcs[kept:] = pcs[start:] + pcs[kept:start]
        sites = self.registry.locate_frames(pcs)
        omitted = max(0, count - 2 * kept)
        return Trap(_TRAP_CODES[code], pc=pc, frames=functools.partial(frames_at, sites), omitted=omitted)

    # --- what addresses stand for -----------------------------------------------------------------

    def add_host_func(self, func: Func, name: str) -> None:
        """Remember a host function, whose address may end up anywhere in wasm."""
        self._names[func.address] = name
        self._funcs[func.address] = weakref.ref(func)

    def func_at(self, address: int) -> Func:
        """The function object of a FuncRef; the same one as long as it is in use."""
        late_import("wasmark.func")
        from wasmark.func import Func

        found = self._funcs.get(address)
        func = found() if found is not None else None
        if func is None:
            func = Func(self, address, self._function_name(address))
            self._funcs[address] = weakref.ref(func)
        return func

    def _function_name(self, address: int) -> str:
        name = self._names.get(address)
        if name is not None:
            return name
        context = ctypes.c_uint64.from_address(address + L.FUNCREF_CONTEXT).value
        state = self._instances.get(context)
        if state is None:
            return self._instances[ctypes.c_uint64.from_address(context + L.HOST_OWNER).value].import_name(address)
        return state.function_name(address)

    def reference_bits(self, value: Any, type_: RefType) -> int:
        """The bits of a reference (`type_` in the engine's canonical types). Raises TypeError."""
        late_import("wasmark.func")
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
        if type_.heap in EXTERN_HEAP:
            return self.externs.value(bits)
        if self._is_func(type_):
            return self.func_at(bits)
        raise UnsupportedError(f"references of type {type_} are not supported yet", part="garbage collection")

    def _is_func(self, type_: RefType) -> bool:
        if isinstance(type_.heap, HeapType):
            return type_.heap in (HeapType.FUNC, HeapType.NOFUNC)
        return self.engine.types.kind(type_.heap) is HeapType.FUNC
