"""`InstanceState`: what an instance is made of (core §4.7.3), as its store keeps it.

It refers neither to its store nor to the objects that Python sees: those are made when somebody asks for them, and
refer to it.
"""

from __future__ import annotations

import ctypes
from struct import Struct

from wasmark.const_eval import ConstantContext, evaluate
from wasmark.func import Func, dispatcher
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.linear_memory import LinearMemory
from wasmark.runtime.reference_table import ReferenceTable
from wasmark.values import value_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any, Final

    from wasmark.core.model import ConstExpr
    from wasmark.instance_plan import InstancePlan, TablePlan
    from wasmark.module import Module
    from wasmark.store import Store

_word: Final = Struct("<Q")
_pair: Final = Struct("<QQ")
_triple: Final = Struct("<QQQ")
_WORD: Final = (1 << 64) - 1


class InstanceState:
    """The native memory of an instance, whose first part is its vmctx, with the memories and tables of its index
    spaces, and the callables that its host functions call.

    `given` has what was found for each import, in order; `callables` says whether there are plain ones among the
    functions. Raises Error where there is no memory for it; then nothing has happened.
    """

    __slots__ = ("block", "callables", "copies", "memories", "module", "tables", "vmctx")

    def __init__(self, plan: InstancePlan, module: Module, given: Sequence[Any], callables: bool, store: Store) -> None:
        layout, imported = plan.layout, plan.imported
        self.module: Module = module
        template, sites = plan.with_hosts() if callables else (plan.plain, ())
        model = plan.model
        self.copies: Sequence[tuple[int, int, bytes]] | None = ()
        memories: Sequence[LinearMemory] = ()
        if model.memory_types:
            shapes, self.copies = plan.memories()
            memories = [LinearMemory(shape) for shape in shapes]
        block, vmctx = store.runtime.stamp(*template, store.block_address)
        self.block, self.vmctx = block, vmctx

        self.callables: Sequence[Any] = ()
        if imported["func"]:
            called = self.callables = []
            for number, position in enumerate(imported["func"]):
                value = given[position]
                if isinstance(value, Func):
                    at = layout.imported_function(number)
                    _triple.pack_into(block, at, value.code_address, value.context, value.address)
                else:
                    at, shape, name = sites[number]
                    if not shape.is_plain:
                        value = dispatcher(shape, name, value, store)
                    called.append(value)
                    _word.pack_into(block, at, id(value))
        self.memories = memories
        if imported["memory"]:
            self.memories = [*(given[position].linear for position in imported["memory"]), *memories]
        if self.memories:
            _word.pack_into(block, layout.MEMORY0_BASE, self.memories[0].base)
            for index, memory in enumerate(self.memories):
                _pair.pack_into(block, layout.memory_def(index), memory.definition, memory.base)
        if model.global_types:
            for index, position in enumerate(imported["global"]):
                _word.pack_into(block, layout.global_pointer(index), given[position].address)
            for index in plan.unset_globals:
                bits = self.evaluate(model.globals[index].init, store)
                _pair.pack_into(block, layout.global_cells + 16 * index, bits & _WORD, bits >> 64)
        for number, position in enumerate(imported["tag"]):
            _word.pack_into(block, layout.tag(number), given[position].address)
        self.tables: Sequence[ReferenceTable] = ()
        own_tables: Sequence[ReferenceTable] = ()
        if model.table_types:
            own_tables = [self._table(table, index, store) for index, table in enumerate(plan.tables)]
            self.tables = [*(given[position].elements for position in imported["table"]), *own_tables]
            for index, table in enumerate(self.tables):
                _word.pack_into(block, layout.table_def(index), table.definition)

        # Nothing can fail any more.
        for memory in self.memories if imported["memory"] else memories:
            store.add_memory(memory)  # an imported one may be shared, and of another store
        for table in own_tables:
            store.add_table(table)
        if model.globals:
            for offset in plan.reference_cells:
                store.collector.hold(vmctx + offset, 1)

    def _table(self, plan: TablePlan, index: int, store: Store) -> ReferenceTable:
        collected = store.engine.types.is_collected(plan.type.element)
        length = plan.type.limits.minimum
        if plan.elements is None:
            init = self.module.model.tables[index].init
            initial = self.evaluate(init, store) if init is not None else 0
            return ReferenceTable.filled(length, initial, plan.most, is_collected=collected)
        block, _ = store.runtime.stamp(plan.elements.words, b"", plan.elements.base, self.vmctx)
        table = ReferenceTable(plan.array.from_buffer(block), length, plan.most, is_collected=collected)
        for element, func_index in plan.imported:
            table[element] = self.funcref(func_index)
        return table

    # --- what is in it ----------------------------------------------------------------------------

    def evaluate(self, expr: ConstExpr, store: Store) -> int:
        """The bits of a constant expression of the module; to be called while nothing is collected."""
        return evaluate(expr, ConstantContext(self.module, store, self._global_bits, self.funcref))

    def _global_bits(self, index: int) -> int:
        type_ = self.module.model.global_types[index].value
        return int.from_bytes(ctypes.string_at(self.global_address(index), value_size(type_)), "little")

    def global_address(self, index: int) -> int:
        """Where the cell of a global is."""
        layout = self.module.layout
        if index < layout.imported_globals:
            return int(_word.unpack_from(self.block, layout.global_pointer(index))[0])
        return self.vmctx + layout.global_cell(index)

    def funcref(self, func_index: int) -> int:
        """The address of a function's FuncRef."""
        model, layout = self.module.model, self.module.layout
        if func_index < model.imported["func"]:
            return int(_word.unpack_from(self.block, layout.imported_function(func_index) + 16)[0])
        return self.vmctx + layout.funcref(func_index)

    def tag(self, index: int) -> int:
        """The address of a tag's TagDef."""
        return int(_word.unpack_from(self.block, self.module.layout.tag(index))[0])

    def tag_name(self, address: int) -> str:
        """What a tag of the module's own is called: as it is exported, or else by its number."""
        model, layout = self.module.model, self.module.layout
        index = model.imported["tag"] + (address - self.vmctx - layout.tag_defs) // L.TAG_DEF_SIZE
        exported = (e.name for e in model.exports if e.kind == "tag" and e.index == index)
        return next(exported, f"tag[{index}]")

    def function_name(self, address: int) -> str:
        """What the function is called that one of its own FuncRefs leads to."""
        model = self.module.model
        func_index = self._func_index(address)
        name = model.names.functions.get(func_index)
        if name is None:
            exported = (e.name for e in model.exports if e.kind == "func" and e.index == func_index)
            name = next(exported, f"func[{func_index}]")
        return name

    def local_names(self, address: int) -> Mapping[int, str]:
        """What the locals, and the parameters, of that function are called, by their indices."""
        return self.module.model.names.locals.get(self._func_index(address), {})

    def _func_index(self, address: int) -> int:
        layout = self.module.layout
        return layout.escaping[(address - self.vmctx - layout.funcrefs) // L.FUNCREF_SIZE]

    def import_name(self, address: int) -> str:
        """What the callable is called that the FuncRef of one of its host functions leads to."""
        number = (address - self.vmctx - self.module.layout.size) // L.HOST_FUNCTION_SIZE
        _, sites = self.module.instance_plan().with_hosts()
        return sites[number].name
