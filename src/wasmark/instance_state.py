"""`InstanceState`: what an instance is made of (core §4.7.3), as its store keeps it.

It refers neither to its store nor to the objects that Python sees: those are made when somebody asks for them, and
refer to it.
"""

from __future__ import annotations

import ctypes
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from wasmark.func import Func, dispatcher, shape_of
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.const_eval import evaluate
from wasmark.runtime.linear_memory import LinearMemory
from wasmark.runtime.reference_table import ReferenceTable
from wasmark.table import holds_externs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.core.model import ConstExpr
    from wasmark.instance_plan import InstancePlan, TablePlan
    from wasmark.module import Module
    from wasmark.store import Store

_word: Final = Struct("<Q")
_pair: Final = Struct("<QQ")
_triple: Final = Struct("<QQQ")


class InstanceState:
    """The native memory of an instance, whose first part is its vmctx, with the memories and tables of its index
    spaces, and the callables that its host functions call.

    `given` has what was found for each import, in order. Raises Error where there is no memory for it; then nothing has
    happened.
    """

    __slots__ = ("block", "callables", "copies", "memories", "module", "tables", "vmctx")

    def __init__(self, module: Module, given: Sequence[Any], store: Store) -> None:
        plan = module.instance_plan()
        layout = plan.layout
        imported = plan.imported
        self.module = module
        hosts = []
        for number, position in enumerate(imported["func"]):
            if not isinstance(given[position], Func):
                hosts.append((number, position))
        template = plan.with_hosts() if hosts else plan.plain

        shapes, self.copies = plan.memories()
        memories = [LinearMemory(shape) for shape in shapes]
        if imported["memory"]:
            self.memories = [*(given[position].linear for position in imported["memory"]), *memories]
        else:
            self.memories = memories
        block, vmctx = store.runtime.stamp(template.words, template.own, template.base, store.block_address)
        self.block, self.vmctx = block, vmctx

        if self.memories:
            _word.pack_into(block, layout.MEMORY0_BASE, self.memories[0].base)
            for index, memory in enumerate(self.memories):
                _pair.pack_into(block, layout.memory_def(index), memory.definition, memory.base)
        self.callables = [
            self._host_function(plan, number, position, given[position], store) for number, position in hosts
        ]
        for number, position in enumerate(imported["func"]):
            func = given[position]
            if isinstance(func, Func):
                _triple.pack_into(
                    block, layout.imported_function(number), func.code_address, func.context, func.address
                )
        for index, position in enumerate(imported["global"]):
            _word.pack_into(block, layout.global_pointers + 8 * index, given[position].address)
        for index in plan.unset_globals:
            bits = self.evaluate(plan.model.globals[index].init)
            _word.pack_into(block, layout.global_cells + 16 * index, bits)
        tables = [self._table(table, index, store) for index, table in enumerate(plan.tables)]
        self.tables = [*(given[position].elements for position in imported["table"]), *tables]
        for index, owned in enumerate(self.tables):
            _word.pack_into(block, layout.table_def(index), owned.definition)

        # Nothing can fail any more.
        for memory in memories:
            store.add_memory(memory)
        for own_table in tables:
            store.add_table(own_table)
        for offset in plan.extern_cells:
            store.hold_externs(vmctx + offset, 1)

    def _host_function(self, plan: InstancePlan, number: int, position: int, callable_: Any, store: Store) -> Any:
        """Complete the host function of an import; what it calls."""
        type_id = plan.function_ids[position]
        assert type_id is not None
        shape = shape_of(store.engine, type_id)
        if not shape.is_plain:
            callable_ = dispatcher(shape, plan.import_name(position), callable_, store)
        at = plan.layout.size + L.HOST_FUNCTION_SIZE * number + L.HOST_CALLABLE
        _word.pack_into(self.block, at, id(callable_))
        return callable_

    def _table(self, plan: TablePlan, index: int, store: Store) -> ReferenceTable:
        externs = holds_externs(plan.type)
        length = plan.type.limits.minimum
        if plan.elements is None:
            init = self.module.model.tables[index].init
            initial = self.evaluate(init) if init is not None else 0
            return ReferenceTable.filled(length, initial, plan.most, holds_externs=externs)
        block, _ = store.runtime.stamp(plan.elements.words, b"", plan.elements.base, self.vmctx)
        table = ReferenceTable(plan.array.from_buffer(block), length, plan.most, holds_externs=externs)
        for element, func_index in plan.imported:
            table[element] = self.funcref(func_index)
        return table

    # --- what is in it ----------------------------------------------------------------------------

    def evaluate(self, expr: ConstExpr) -> int:
        """The bits of a constant expression of the module."""
        return evaluate(self.module.model, expr, self._global_bits, self.funcref)

    def _global_bits(self, index: int) -> int:
        return ctypes.c_uint64.from_address(self.global_address(index)).value

    def global_address(self, index: int) -> int:
        """Where the cell of a global is."""
        layout = self.module.layout
        if index < layout.imported_globals:
            return int(_word.unpack_from(self.block, layout.global_pointers + 8 * index)[0])
        return self.vmctx + layout.global_cell(index)

    def funcref(self, func_index: int) -> int:
        """The address of a function's FuncRef."""
        model, layout = self.module.model, self.module.layout
        if func_index < model.imported["func"]:
            return int(_word.unpack_from(self.block, layout.imported_function(func_index) + 16)[0])
        return self.vmctx + layout.funcref(func_index)

    def function_name(self, address: int) -> str:
        """What the function is called that one of its own FuncRefs leads to."""
        model, layout = self.module.model, self.module.layout
        func_index = layout.escaping[(address - self.vmctx - layout.funcrefs) // L.FUNCREF_SIZE]
        name = model.names.functions.get(func_index)
        if name is None:
            exported = (e.name for e in model.exports if e.kind == "func" and e.index == func_index)
            name = next(exported, f"func[{func_index}]")
        return name

    def import_name(self, address: int) -> str:
        """What the callable is called that the FuncRef of one of its host functions leads to."""
        plan = self.module.instance_plan()
        number = (address - self.vmctx - plan.layout.size) // L.HOST_FUNCTION_SIZE
        return plan.import_name(plan.imported["func"][number])
