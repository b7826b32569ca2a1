"""`Instance`: a module that has been given its imports, memory, tables and globals in a store (core §4.7.5)."""

from __future__ import annotations

import ctypes
from functools import partial
from typing import TYPE_CHECKING, Any

from wasmark.errors import Trap, TrapCode, UnsupportedError
from wasmark.func import Func
from wasmark.globals import Global
from wasmark.imports import Extern, resolve_imports
from wasmark.jit.stubs import stubs
from wasmark.memory import Memory
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.const_eval import evaluate
from wasmark.store import Store
from wasmark.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from wasmark.core.model import ConstExpr, ElementSegment, ModuleModel
    from wasmark.module import Module


class Exports:
    """The exports of an instance by name: `exports.name`, `exports["name"]`, iteration over names."""

    __slots__ = ("_found", "_instance", "_where")

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._where = {export.name: (export.kind, export.index) for export in instance.module.model.exports}
        self._found: dict[str, Extern] = {}

    def __getitem__(self, name: str) -> Any:
        found = self._found.get(name)
        if found is None:
            if name not in self._where:
                raise KeyError(name)
            found = self._found[name] = self._instance.extern(*self._where[name])
        return found

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"the module exports no {name!r}") from None

    def __reduce__(self) -> tuple[type, tuple[Instance]]:
        """A copy is made of the instance: one without it would look for itself in vain."""
        return Exports, (self._instance,)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)

    def __contains__(self, name: object) -> bool:
        return name in self._where

    def __dir__(self) -> list[str]:
        return [*self._where]

    def __repr__(self) -> str:
        return f"<exports: {', '.join(self._where)}>"


class Instance:
    """An instance of `module` in `store`.

    imports: {module name: {name: value}}, where a value is a Func, Memory, Table or Global of the same store, or a
    plain callable where a function is wanted. `on_allocated` is called with the instance when it is whole but before
    any of its code has run (the start function may need it to be known). Raises LinkError, or Error where there is no
    memory (then nothing has happened), Trap where an active segment does not fit or the start function traps (then, as
    the standard wants it, earlier segments have been written, and what functions are in tables stays alive).
    """

    def __init__(
        self,
        module: Module,
        imports: Mapping[str, Mapping[str, Any]] | None = None,
        store: Store | None = None,
        *,
        on_allocated: Callable[[Instance], None] | None = None,
    ) -> None:
        store = store if store is not None else Store(module.engine)
        if store.engine is not module.engine:
            raise ValueError("the module and the store belong to different engines")
        self.module = module
        self.store = store
        externs = resolve_imports(module, imports or {}, store)
        made: list[Memory | Table] = []
        try:
            self._allocate(externs, made)
        except BaseException:
            for failed in made:
                store.discard(failed)
            raise
        self.exports = Exports(self)
        if on_allocated is not None:
            on_allocated(self)
        self._initialize()

    # --- allocation (core §4.7.3) -----------------------------------------------------------------

    def _allocate(self, externs: list[Extern], made: list[Memory | Table]) -> None:
        """`made` gets what the store would keep."""
        module, store = self.module, self.store
        model, plan = module.model, module.instance_plan()
        by_kind: dict[type, list[Any]] = {Func: [], Table: [], Memory: [], Global: []}
        for extern in externs:
            next(found for class_, found in by_kind.items() if isinstance(extern, class_)).append(extern)
        self._functions: list[Func] = by_kind[Func]
        self._memories: list[Memory] = by_kind[Memory]
        self._tables: list[Table] = by_kind[Table]
        self._globals: list[Global] = by_kind[Global]
        for type_ in model.memories:
            memory = Memory(store, type_)
            made.append(memory)
            self._memories.append(memory)

        layout = self._layout = module.layout
        self.vmctx = store.allocate_copy(plan.template)
        words = self._words = (ctypes.c_uint64 * (layout.size // 8)).from_address(self.vmctx)
        words[layout.STORE_BLOCK // 8] = store.block_address
        for index, memory in enumerate(self._memories):
            words[layout.memory_def(index) // 8] = memory.definition
            words[layout.memory_def(index) // 8 + 1] = memory.base
        if self._memories:
            words[layout.MEMORY0_BASE // 8] = self._memories[0].base
        for index, func in enumerate(self._functions):
            at = layout.imported_function(index) // 8
            words[at], words[at + 1], words[at + 2] = func.code_address, func.context, func.address
        words[plan.funcref_contexts] = [self.vmctx] * len(layout.escaping)
        for index, global_ in enumerate(self._globals):
            words[layout.global_pointers // 8 + index] = global_.address

        for index, global_type in enumerate(plan.global_types):
            cell = self.vmctx + layout.global_cells + 16 * index
            if index in plan.unset_globals:
                ctypes.c_uint64.from_address(cell).value = self._evaluate(model.globals[index].init)
            self._globals.append(Global(store, global_type, cell))
        for table, table_type in zip(model.tables, plan.table_types, strict=True):
            initial = self._evaluate(table.init) if table.init is not None else 0
            own_table = Table(store, table_type, initial)
            made.append(own_table)
            self._tables.append(own_table)
        for index, owned in enumerate(self._tables):
            words[layout.table_def(index) // 8] = owned.definition
        store.registry.register_module(module)
        store.add_instance(self.vmctx, self)

    def _evaluate(self, expr: ConstExpr) -> int:
        return evaluate(self.module.model, expr, lambda index: self._globals[index].bits, self._funcref)

    def _funcref(self, func_index: int) -> int:
        """The address of a function's FuncRef."""
        if func_index < len(self._functions):
            return self._functions[func_index].address
        return self.vmctx + self._layout.funcref(func_index)

    # --- initialisation (core §4.7.5) -------------------------------------------------------------

    def _initialize(self) -> None:
        model, layout, words = self.module.model, self._layout, self._words
        elements = [self._element_bits(segment) for segment in model.elements]
        for index, bits in enumerate(elements):
            if model.elements[index].mode == "passive":
                items = (ctypes.c_uint64 * len(bits))(*bits)
                self.store.keep(items)
                element = self.store.engine.types.canonical(model.elements[index].type, self.module.type_ids)
                self.store.hold_externs(ctypes.addressof(items), len(bits), element)
                at = (layout.element_segments + 16 * index) // 8
                words[at], words[at + 1] = ctypes.addressof(items), len(bits)
        for bits, segment in zip(elements, model.elements, strict=True):
            if segment.offset_expr is not None:
                table = self._tables[segment.table]
                start = self._evaluate(segment.offset_expr)
                if start + len(bits) > len(table):
                    raise Trap(TrapCode.TABLE_OUT_OF_BOUNDS, detail="an element segment does not fit its table")
                table.write_bits(start, bits)
        self._write_data()
        if model.start is not None:
            self._start(model.start)

    def _write_data(self) -> None:
        plan = self.module.instance_plan()
        if plan.images is not None:
            for index, offset, image in plan.images:
                ctypes.memmove(self._memories[index].base + offset, image, len(image))
            return
        for segment in self.module.model.data_segments:
            if segment.offset_expr is not None:
                assert segment.memory is not None
                memory = self._memories[segment.memory]
                start = self._evaluate(segment.offset_expr)
                length = segment.end - segment.start
                if start + length > len(memory):
                    raise Trap(TrapCode.MEMORY_OUT_OF_BOUNDS, detail="a data segment does not fit its memory")
                ctypes.memmove(memory.base + start, plan.data + segment.start, length)

    def _element_bits(self, segment: ElementSegment) -> list[int]:
        own, first = len(self._functions), self.vmctx + self._layout.funcrefs
        numbers = self._layout.funcref_index
        return [
            self._evaluate(item)
            if not isinstance(item, int)
            else first + L.FUNCREF_SIZE * numbers[item]
            if item >= own
            else self._functions[item].address
            for item in segment.items
        ]

    def _start(self, func_index: int) -> None:
        if func_index < len(self._functions):
            self._functions[func_index]()
            return
        address = self.module.function_address(func_index)
        self.store.enter(stubs(":", self.store.engine.cache).trampoline, address, self.vmctx, 0)

    # --- what is in it ----------------------------------------------------------------------------

    def extern(self, kind: str, index: int) -> Extern:
        """The function, table, memory or global with an index of the module."""
        if kind == "func":
            return self.store.func_at(self._funcref(index))
        if kind == "table":
            return self._tables[index]
        if kind == "memory":
            return self._memories[index]
        if kind == "tag":
            raise UnsupportedError("exported tags are not supported yet", part="exception handling")
        return self._globals[index]

    def make_func(self, address: int) -> Func:
        """For the store: the object for one of this instance's own FuncRefs."""
        func_index = self._layout.escaping[(address - self.vmctx - self._layout.funcrefs) // L.FUNCREF_SIZE]
        return Func(self.store, address, partial(_function_name, self.module.model, func_index))

    def __repr__(self) -> str:
        return f"<wasmark.Instance of {self.module.name or '(unnamed)'}>"


def _function_name(model: ModuleModel, func_index: int) -> str:
    name = model.names.functions.get(func_index)
    if name is None:
        exported = (e.name for e in model.exports if e.kind == "func" and e.index == func_index)
        name = next(exported, f"func[{func_index}]")
    return name
