"""`Instance`: a module that has been given its imports, memory, tables and globals in a store (core §4.7.5)."""

from __future__ import annotations

import ctypes
from struct import Struct

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import RefType
from wasmark.errors import Trap, TrapCode, wrong_type
from wasmark.globals import Global
from wasmark.imports import resolve_imports
from wasmark.instance_state import InstanceState
from wasmark.jit.stubs import stubs
from wasmark.memory import Memory
from wasmark.module import Module
from wasmark.runtime.late_import import late_import
from wasmark.store import Store
from wasmark.table import Table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from typing import Any, Final

    from wasmark.core.model import ElementSegment
    from wasmark.imports import Extern
    from wasmark.instance_plan import InstancePlan

_pair: Final = Struct("<QQ")


class Exports:
    """The exports of an instance by name: `exports.name`, `exports["name"]`, iteration over names.

    They are made when they are asked for, and then stay the same.
    """

    __slots__ = ("_externs", "_found", "_where")

    def __init__(self, externs: Externs) -> None:
        self._externs = externs
        self._where = externs.state.module.instance_plan().exports
        self._found: dict[str, Extern] = {}

    def __getitem__(self, name: str) -> Any:
        found = self._found.get(name)
        if found is None:
            if name not in self._where:
                raise KeyError(name)
            found = self._found[name] = self._externs.get(*self._where[name])
        return found

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the module exports no {name!r}") from None

    def __reduce__(self) -> tuple[type, tuple[Externs]]:
        """A copy is made of the instance: one without it would look for itself in vain."""
        return Exports, (self._externs,)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __dir__(self) -> list[str]:
        return [*self._where]

    def _ipython_key_completions_(self) -> list[str]:
        return [*self._where]

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import listed

        return f"<wasmark.Exports: {listed(self._where)}>"


class Externs:
    """The Python objects for what is in an instance: the ones that were given for its imports, and those that have been
    asked for. An instance and its exports share them."""

    __slots__ = ("_given", "_made", "state", "store")

    def __init__(self, state: InstanceState, store: Store, given: Sequence[Any]) -> None:
        self.state = state
        self.store = store
        self._given = given
        self._made: dict[tuple[str, int], Extern] = {}

    def get(self, kind: str, index: int) -> Extern:
        """The function, table, memory, global or tag with an index of the module."""
        if kind == "func":
            return self.store.func_at(self.state.funcref(index))
        if kind == "tag":
            return self.store.tag_at(self.state.tag(index))
        imported = self.state.module.instance_plan().imported[kind]
        if index < len(imported):
            found: Extern = self._given[imported[index]]
            return found
        made = self._made.get((kind, index))
        # Of two threads that ask for the same at once, both get that of the first.
        return made if made is not None else self._made.setdefault((kind, index), self._make(kind, index))

    def _make(self, kind: str, index: int) -> Extern:
        state, store = self.state, self.store
        plan = state.module.instance_plan()
        own = index - len(plan.imported[kind])
        if kind == "table":
            return Table(store, plan.table_types[own], elements=state.tables[index])
        if kind == "memory":
            return Memory(store, plan.model.memories[own], state.memories[index])
        return Global.at(store, plan.global_types[own], state.global_address(index))


class Instance(OfThisProcess):
    """An instance of `module` in `store`.

    imports: {module name: {name: value}}, where a value is a Func, Memory, Table, Global or Tag of the same store, or a
    plain callable where a function is wanted. `on_allocated` is called with the instance when it is whole but before
    any of its code has run (the start function may need it to be known). Raises LinkError, or Error where there is no
    memory (then nothing has happened), Trap where an active segment does not fit or the start function traps (then, as
    the standard wants it, earlier segments have been written, and what functions are in tables stays alive).
    """

    # Made when somebody asks for them.
    _externs: Externs | None = None
    _exports: Exports | None = None

    def __init__(
        self,
        module: Module,
        imports: Mapping[str, Mapping[str, Any]] | None = None,
        store: Store | None = None,
        *,
        on_allocated: Callable[[Instance], None] | None = None,
    ) -> None:
        if not isinstance(module, Module):
            raise wrong_type("a Module", module)
        if store is None:
            store = Store(module.engine)
        elif not isinstance(store, Store):
            raise wrong_type("a Store", store)
        elif store.engine is not module.engine:
            raise ValueError("the module and the store belong to different engines")
        plan = module.instance_plan()
        given: Sequence[Any] = ()
        callables = False
        if plan.names:
            given, callables = resolve_imports(plan, module, imports or {}, store)
        self.module = module
        self.store = store
        if plan.has_objects:
            store.use_objects()
            with store.owned(), store.collector.paused():
                self.state = InstanceState(plan, module, given, callables, store)
        else:
            self.state = InstanceState(plan, module, given, callables, store)
        self._given = given
        store.add_instance(self.state, module)
        if on_allocated is not None:
            on_allocated(self)
        if plan.has_work:
            self._initialize(plan)

    @property
    def exports(self) -> Exports:
        """What it exports, by name."""
        exports = self._exports
        if exports is None:
            exports = self._exports = Exports(self._all())
        return exports

    def _all(self) -> Externs:
        externs = self._externs
        if externs is None:
            externs = self._externs = Externs(self.state, self.store, self._given)
        return externs

    # --- initialisation (core §4.7.5) -------------------------------------------------------------

    def _initialize(self, plan: InstancePlan) -> None:
        if plan.has_elements:
            with self.store.owned(), self.store.collector.paused():
                self._write_elements(planned=plan.elements_are_planned)
        copies = self.state.copies
        if copies is None:
            self._write_data(plan.data)
        else:
            for index, offset, image in copies:
                ctypes.memmove(self.state.memories[index].base + offset, image, len(image))
        start = plan.model.start
        if start is not None:
            self._start(start)

    def _write_elements(self, *, planned: bool) -> None:
        segments, state, store = self.module.model.elements, self.state, self.store
        for index, segment in enumerate(segments):
            if segment.mode == "passive":
                bits = self._element_bits(segment)
                items = (ctypes.c_uint64 * len(bits))(*bits)
                store.keep(items)
                at = self.module.layout.element_segment(index)
                _pair.pack_into(state.block, at, ctypes.addressof(items), len(bits))
                types = store.engine.types
                element = types.canonical(segment.type, self.module.type_ids)
                assert isinstance(element, RefType)
                if types.is_collected(element):
                    store.collector.hold_segment(state.vmctx + at)
        if planned:
            return
        for segment in segments:
            if segment.offset_expr is not None:
                bits = self._element_bits(segment)
                table = state.tables[segment.table]
                start = state.evaluate(segment.offset_expr, self.store)
                if start + len(bits) > len(table):
                    raise Trap(TrapCode.TABLE_OUT_OF_BOUNDS, detail="an element segment does not fit its table")
                table.write(start, bits)

    def _element_bits(self, segment: ElementSegment) -> list[int]:
        state = self.state
        return [
            state.funcref(item) if isinstance(item, int) else state.evaluate(item, self.store) for item in segment.items
        ]

    def _write_data(self, data: int) -> None:
        state = self.state
        for segment in self.module.model.data_segments:
            if segment.offset_expr is not None:
                assert segment.memory is not None
                memory = state.memories[segment.memory]
                start = state.evaluate(segment.offset_expr, self.store)
                length = segment.end - segment.start
                if start + length > memory.length:
                    raise Trap(TrapCode.MEMORY_OUT_OF_BOUNDS, detail="a data segment does not fit its memory")
                ctypes.memmove(memory.base + start, data + segment.start, length)

    def _start(self, func_index: int) -> None:
        if func_index < self.module.model.imported["func"]:
            self.store.func_at(self.state.funcref(func_index))()
            return
        address = self.module.function_address(func_index)
        self.store.enter(stubs(":", self.store.engine.cache).trampoline, address, self.state.vmctx, 0)

    # --- what is in it ----------------------------------------------------------------------------

    def extern(self, kind: str, index: int) -> Extern:
        """The function, table, memory or global with an index of the module."""
        return self._all().get(kind, index)

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import counted, shown_name

        return f"<wasmark.Instance of {shown_name(self.module.name)}: {counted(len(self.exports), 'export')}>"
