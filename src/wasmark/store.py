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

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import HeapType, RefType
from wasmark.debug.python_frames import frames_of, passes
from wasmark.engine import Engine, default_engine
from wasmark.errors import Error, Timeout, Trap, TrapCode, WasmException, wrong_type
from wasmark.registry import ModuleRegistry
from wasmark.registry.frames import frames_at
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime import parking
from wasmark.runtime.deadlines import deadlines, nanoseconds, remaining
from wasmark.runtime.late_import import late_import
from wasmark.runtime.native import futex_wait, thread_state
from wasmark.store_plan import CALLABLES
from wasmark.values import bits_value, value_bits, value_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Final, TypeVar

    from wasmark.collector import Collector
    from wasmark.func import Func
    from wasmark.instance_state import InstanceState
    from wasmark.module import Module
    from wasmark.objects import HeapObject
    from wasmark.registry.frames import FrameInfo
    from wasmark.runtime.linear_memory import LinearMemory
    from wasmark.runtime.reference_table import ReferenceTable
    from wasmark.tag import Tag

    _T = TypeVar("_T")

_word: Final = struct.Struct("<Q")
# From ACT_TRAP_CODE on: that, ACT_TRAP_PC, ACT_EXCEPTION, ACT_FRAME_COUNT, ACT_OWN_COUNT
_report: Final = struct.Struct("<QQ32xQQQ")
_NANOSECONDS: Final = 1_000_000_000
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


class Store(OfThisProcess):
    """A place for instances. Functions, memories, tables and globals belong to one store and cannot be used in
    another."""

    # What a new store starts with. The first two are made when somebody asks for them.
    _registry: ModuleRegistry | None = None
    _collector: Collector | None = None
    _registry_is_whole = False
    scheduler: Any = None
    """Whose turn it is, of the threads of components (`component.abi.threads.Scheduler`)."""
    _tail_words = 0  # room for so many words of tail calls

    def __init__(self, engine: Engine | None = None, *, timeout: float | None = None) -> None:
        """timeout: see the property of this name."""
        if engine is None:
            engine = default_engine()
        elif not isinstance(engine, Engine):
            raise wrong_type("an Engine", engine)
        self.engine = engine
        plan = engine.store_plan()
        runtime = self.runtime = plan.runtime
        runtime.claim()
        self._block, self.block_address = runtime.stamp(plan.template, plan.own, b"", 0)
        self._builtins: dict[int, Callable[..., Any]] = {}
        self._kept: list[object] = []  # native memory and callables that native code points to
        self._instances: dict[int, InstanceState] = {}  # by vmctx
        self._names: dict[int, str] = {}  # of host functions that belong to no instance, by FuncRef
        self._funcs: dict[int, weakref.ref[Func]] = {}  # by FuncRef
        self._tags: dict[int, weakref.ref[Tag]] = {}  # by TagDef
        self.memories: dict[int, LinearMemory] = {}  # by MemoryDef
        self.tables: dict[int, ReferenceTable] = {}  # by TableDef
        self._objects: weakref.WeakValueDictionary[int, HeapObject] = weakref.WeakValueDictionary()  # by address
        if timeout is not None:
            self.timeout = timeout

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import counted

        return f"<wasmark.Store: {counted(len(self._instances), 'instance')}>"

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
    def collector(self) -> Collector:
        """Who knows the references that are in use."""
        collector = self._collector
        if collector is None:
            late_import("wasmark.collector")
            from wasmark.collector import Collector

            made = Collector(self.runtime, self.engine.config, self.block_address, self.tables)
            made.hold(self.block_address + L.STORE_EXCEPTION, 2)  # and STORE_UNCAUGHT
            collector = vars(self).setdefault("_collector", made)
            assert collector is not None
        return collector

    @property
    def timeout(self) -> float | None:
        """Seconds that each outermost call into the store may take, before it ends with a `Timeout`; None for no limit.

        What is set counts from the next such call on. Raises TypeError or ValueError for what is no number.
        """
        limit = self._word(L.STORE_TIMEOUT)
        return limit / _NANOSECONDS if limit else None

    @timeout.setter
    def timeout(self, seconds: float | None) -> None:
        _word.pack_into(self._block, L.STORE_TIMEOUT, 0 if seconds is None else nanoseconds(seconds))

    @property
    def fuel(self) -> int:
        """How many instructions wasm code of the store may execute yet, none at first; it traps (OUT_OF_FUEL) before it
        would execute more. What costs how much, `docs/rationale.md` says.

        A host function may look at it, and set it. Raises Error where the engine's configuration has no `fuel`,
        ValueError for a number that is negative, or not below 2**63.
        """
        self._check_fuel()
        return self._word(L.STORE_FUEL)

    @fuel.setter
    def fuel(self, amount: int) -> None:
        self._check_fuel()
        if not 0 <= amount < 1 << 63:
            raise ValueError("fuel is from 0 to 2**63 - 1")
        _word.pack_into(self._block, L.STORE_FUEL, amount)

    def _check_fuel(self) -> None:
        if not self.engine.config.fuel:
            raise Error("this engine's code needs no fuel: Config(fuel=True) has it")

    def collect(self) -> None:
        """Free the objects, and let go of the Python objects, that nobody can reach any more.

        It happens by itself, too, before a store has twice as many as after the last time.
        """
        with self.owned():
            self.collector.collect()

    # --- native memory ----------------------------------------------------------------------------

    def keep(self, owner: object) -> None:
        """Keep an object alive as long as the store."""
        self._kept.append(owner)

    def allocate(self, size: int) -> int:
        """Zeroed native memory of `size` bytes, 16-aligned, for the life of the store; its address."""
        block, address = self.runtime.stamp(bytes(size), b"", b"", 0)
        self.keep(block)
        return address

    def reserve_tail_words(self, count: int) -> None:
        """Let tail calls have so many arguments on the stack."""
        if count > self._tail_words:
            address = self.allocate(L.TAIL_FIRST + L.SLOT_SIZE * count)
            _word.pack_into(self._block, L.STORE_TAIL_WORDS, address)
            _word.pack_into(self._block, L.STORE_TAIL_CAPACITY, count)
            self._tail_words = count

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

    def use_objects(self) -> None:
        """Let wasm code make objects."""
        if L.STORE_GC_COLLECT not in self._builtins:
            self._offer(L.STORE_GC_COLLECT, self.collector.make_room)

    def instances(self) -> list[InstanceState]:
        """What the instances of the store are made of, the oldest first."""
        return list(self._instances.copy().values())

    def add_instance(self, state: InstanceState, module: Module) -> None:
        """Take an instance in, and its module with it."""
        module.ensure_registered()
        self.reserve_tail_words(module.instance_plan().tail_words)
        self._instances[state.vmctx] = state
        if self._registry is not None:
            self._registry.register_module(module)

    # --- into wasm --------------------------------------------------------------------------------

    @passes
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
                self.runtime.raise_with(self.trap(report.raw), frames_of(report.raw, L.ACT_FRAME_COUNT))
            if status == L.STATUS_NEW_THREAD:
                thread_state()
            else:
                self.wait_for_owner()

    def check_time(self) -> None:
        """Raise Timeout where a deadline of this thread has passed."""
        if remaining() == 0:
            raise self._timeout(deadlines().nearest() or 0)

    def wait_for_owner(self) -> None:
        """Wait until the thread that runs in the store has left it, or for a moment: signals want to be handled.

        Raises Error where that thread did not come along into a forked process, Timeout where a deadline of this
        thread has passed.
        """
        self.check_time()
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
                self.wait_for_owner()
            yield not self._word(L.STORE_ACTIVATION)
        finally:
            if answer.value > 0:
                self.runtime.disown(self.block_address)

    def exclusively(self, function: Callable[..., _T], *arguments: Any) -> _T:
        """`function(*arguments)`, while no other thread is in the store and nothing is collected."""
        with self.owned(), self.collector.paused():
            return function(*arguments)

    def after_call(self) -> None:
        """To be called when the results of an outermost call are Python values: the time to let go of externrefs."""
        collector = self._collector
        if collector is not None and collector.externs.wants_sweep:
            with self.owned() as idle:
                if idle:
                    collector.collect()

    def trap(self, activation: bytes) -> Trap | WasmException:
        """The trap, or the exception that nobody caught, that a copy of its activation tells of."""
        code, pc, exception, count, own = _report.unpack_from(activation, L.ACT_TRAP_CODE)
        kept = L.FRAMES_KEPT
        pcs: tuple[int, ...] = struct.unpack_from(f"<{min(count, 2 * kept)}Q", activation, L.ACT_FRAMES)
        omitted = 0
        if count > 2 * kept:  # the second half is a ring
            omitted = count - 2 * kept
            start = kept + count % kept
            pcs = pcs[:kept] + pcs[start:] + pcs[kept:start]
        if code == L.THROWN:
            return self._arrived(exception, list(pcs), omitted)
        frames = self._frames(pcs, own == count)
        if code == TrapCode.INTERRUPT:
            return self._timeout(exception, pc=pc, frames=frames, omitted=omitted)
        return Trap(_TRAP_CODES[code], pc=pc, frames=frames, omitted=omitted)

    def _frames(self, pcs: Sequence[int], here: bool) -> Callable[[], list[FrameInfo]]:
        """What finds the frames of a stack, of this store alone or of others as well: those may be gone by then, so it
        keeps what it takes of them."""
        registry = self.registry
        if here:
            return functools.partial(registry.frames, pcs)
        return functools.partial(frames_at, registry.locate_frames(pcs))

    def _timeout(self, end: int, **where: Any) -> Timeout:
        """The error for a deadline that has passed, given by its moment."""
        owner = deadlines().owner(end)
        seconds = self.timeout if owner is None else owner.seconds
        error = Timeout(detail=f"it took longer than {seconds} s", **where)
        error.deadline = owner
        return error

    # --- exceptions -------------------------------------------------------------------------------

    def _arrived(self, address: int, pcs: list[int], omitted: int) -> WasmException:
        """The Python exception for one of wasm's that nobody caught; `pcs` as `trap` has them."""
        try:
            thrown = self._frames_of(address)
            if thrown[1:] != pcs[1 : len(thrown)]:  # it was thrown first from elsewhere
                pcs, omitted = thrown, 0
            return self._exception_object(address, pcs, omitted)
        finally:
            self.runtime.arrived(self.block_address, address)

    def _frames_of(self, address: int) -> list[int]:
        """The innermost frames that were active when an exception was made, as `trap` has them."""
        count = ctypes.c_uint32.from_address(address + L.EXCEPTION_FRAME_COUNT).value
        thrown = list((ctypes.c_uint64 * count).from_address(address + L.EXCEPTION_FRAMES))
        return [thrown[0] - 1, *thrown[1:]] if thrown else []

    def _exception_object(self, address: int, pcs: list[int], omitted: int) -> WasmException:
        """The Python exception that stands for one of wasm's, as long as wasm has that."""
        externs = self.collector.externs
        place = ctypes.c_uint64.from_address(address + L.EXCEPTION_OBJECT)
        with self.owned(), self.collector.paused():
            if place.value:
                known: WasmException = externs.value(place.value)
                return known
            tag = self.tag_at(ctypes.c_uint64.from_address(address + L.EXCEPTION_TAG).value)
            values = []
            at = address + L.EXCEPTION_VALUES
            for type_ in tag.type.params:
                bits = int.from_bytes(ctypes.string_at(at, value_size(type_)), "little")
                values.append(bits_value(bits, type_, self))
                at += L.EXCEPTION_VALUE_SIZE
            found = WasmException(tag, values, frames=self._frames(pcs, False), omitted=omitted)
            place.value = externs.handle(found)
        return found

    def exception_address(self, error: WasmException) -> int:
        """A new exception of wasm's for a Python exception of a tag of this store; its address. To be called while
        nothing is collected.

        Raises TypeError or OverflowError for values that do not fit, Trap where there is no room.
        """
        assert error.tag is not None
        types = error.tag.type.params
        bits = [value_bits(value, type_, self) for value, type_ in zip(error.values, types, strict=True)]
        address = self.collector.allocate_words(L.EXCEPTION_WORDS + 2 * len(bits))
        words = ctypes.c_uint64
        words.from_address(address + L.EXCEPTION_TAG).value = error.tag.address
        words.from_address(address + L.EXCEPTION_OBJECT).value = self.collector.externs.handle(error)
        at = address + L.EXCEPTION_VALUES
        for value in bits:
            ctypes.memmove(at, value.to_bytes(L.EXCEPTION_VALUE_SIZE, "little"), L.EXCEPTION_VALUE_SIZE)
            at += L.EXCEPTION_VALUE_SIZE
        return address

    def throw_in(self, error: WasmException, word: int) -> None:
        """The same; the address goes into a word of the native stack, where the exception is safe from collections."""
        with self.owned(), self.collector.paused():
            ctypes.c_uint64.from_address(word).value = self.exception_address(error)

    def add_tag(self, tag: Tag) -> None:
        """Take a tag in that belongs to no instance."""
        self._names[tag.address] = tag.name
        self._tags[tag.address] = weakref.ref(tag)

    def tag_at(self, address: int) -> Tag:
        """The tag with a TagDef; the same object as long as it is in use."""
        late_import("wasmark.tag")
        from wasmark.tag import Tag

        found = self._tags.get(address)
        tag = found() if found is not None else None
        if tag is None:
            type_id = ctypes.c_uint64.from_address(address + L.TAG_TYPE_ID).value
            tag = Tag.at(self, address, type_id, self._tag_name(address))
            self._tags[address] = weakref.ref(tag)
        return tag

    def _tag_name(self, address: int) -> str:
        name = self._names.get(address)
        if name is not None:
            return name
        for vmctx, state in self._instances.items():
            if 0 <= address - vmctx < state.module.layout.size:
                return state.tag_name(address)
        raise KeyError(address)

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
            # Names are decoded when somebody asks: a start needs none.
            func = Func(self, address, functools.partial(self._function_name, address))
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

    def parameter_names(self, address: int) -> Mapping[int, str]:
        """What the name section calls the locals of the function of a FuncRef; nothing for a host function."""
        state = self._instances.get(ctypes.c_uint64.from_address(address + L.FUNCREF_CONTEXT).value)
        return {} if state is None else state.local_names(address)

    def reference_bits(self, value: Any, type_: RefType) -> int:
        """The bits of a reference (`type_` in the engine's canonical types).

        Raises TypeError, and OverflowError for an int that does not fit an i31.
        """
        if value is None:
            if not type_.nullable:
                raise TypeError(f"None is not a {type_}")
            return 0
        return _TO_BITS[self.engine.types.top(type_)](self, value, type_)

    def _func_bits(self, value: Any, type_: RefType) -> int:
        late_import("wasmark.func")
        from wasmark.func import Func

        if not isinstance(value, Func):
            raise TypeError(f"expected a wasmark.Func or None for {type_}, got {type(value).__name__}")
        if value.store is not self:
            raise TypeError("the function belongs to another store")
        self._check(value, value.type_id, type_)
        return value.address

    def _check(self, value: Any, heap: int | HeapType, type_: RefType) -> None:
        if not self.engine.types.is_subtype(RefType.of(False, heap), type_):
            raise TypeError(f"{value!r} is not a {type_}")

    def _extern_bits(self, value: Any, type_: RefType) -> int:
        late_import("wasmark.objects")
        from wasmark.objects import HeapObject

        if type_.heap is not HeapType.EXTERN:
            raise TypeError(f"{value!r} is not a {type_}")
        if isinstance(value, HeapObject) and value.store is self:
            return value.address
        return self.collector.externs.handle(value)

    def _any_bits(self, value: Any, type_: RefType) -> int:
        late_import("wasmark.objects")
        from wasmark.objects import HeapObject

        if isinstance(value, HeapObject):
            if value.store is not self:
                raise TypeError("the object belongs to another store")
            self._check(value, value.type_id, type_)
            return value.address
        if isinstance(value, int):
            self._check(value, HeapType.I31, type_)
            if not -(1 << 30) <= value < 1 << 31:
                raise OverflowError(f"{value} does not fit i31")
            return (value << 1 | 1) & 0xFFFFFFFF
        if type_.heap is not HeapType.ANY:
            raise TypeError(
                f"expected a wasmark.Struct, wasmark.Array, int or None for {type_}, got {type(value).__name__}"
            )
        return self.collector.externs.handle(value)

    def _exn_bits(self, value: Any, type_: RefType) -> int:
        if not isinstance(value, WasmException) or type_.heap is HeapType.NOEXN:
            raise TypeError(f"expected a wasmark.WasmException for {type_}, got {type(value).__name__}")
        if value.tag is None or value.tag.store is not self:
            raise TypeError("the exception belongs to another store")
        return self.exception_address(value)

    def reference_value(self, bits: int, type_: RefType) -> Any:
        """The Python value of a reference."""
        if not bits:
            return None
        top = self.engine.types.top(type_)
        if top is HeapType.FUNC:
            return self.func_at(bits)
        if top is HeapType.EXN:
            return self._exception_object(bits, self._frames_of(bits), 0)
        if bits & 1:
            return (bits >> 1) - (bits >> 31 << 31)
        if bits & 7 == L.HOST_TAG:
            return self.collector.externs.value(bits)
        return self.object_at(bits)

    def object_at(self, address: int) -> HeapObject:
        """The Python object of an object in the heap; the same one as long as it is in use."""
        found = self._objects.get(address)
        if found is None:
            late_import("wasmark.objects")
            from wasmark.objects import object_of

            found = self._objects[address] = object_of(self, address)
        return found


_TO_BITS: Final = {
    HeapType.FUNC: Store._func_bits,
    HeapType.EXTERN: Store._extern_bits,
    HeapType.ANY: Store._any_bits,
    HeapType.EXN: Store._exn_bits,
}
"""How a Python value becomes a reference, by the top of the type's hierarchy."""
