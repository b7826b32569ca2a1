"""`InstancePlan`: what all instances of a module have in common, made once, so that an instance is mostly copying.

A vmctx starts as a copy of a template: all of it that depends on no instance, with words that the address of the copy,
or that of the store, is added to. Where plain callables are given for imported functions, a host function for each
import stands behind the vmctx, in the same piece of native memory. Element segments with constant places in tables of
the module's own are put together to a template a table, data segments to one image a memory.
"""

from __future__ import annotations

import ctypes
from array import array

from wasmark.compile.abi import signature
from wasmark.const_eval import constant
from wasmark.core.model import EXTERN_KINDS
from wasmark.core.types import FuncType, GlobalType, RefType, TableType
from wasmark.func import converter, shape_of
from wasmark.jit.stubs import prepare_stubs
from wasmark.memory import memory_shape
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.memory_image import MemoryImage
from wasmark.segment_plan import memory_contents, table_elements
from wasmark.table import most_elements

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple

    from wasmark.func import Shape
    from wasmark.module import Module
    from wasmark.runtime.linear_memory import MemoryShape
else:
    from wasmark.core.record import NamedTuple


class Template(NamedTuple):
    """What `Runtime.stamp` makes a copy of."""

    words: bytes
    own: bytes
    base: bytes


class TablePlan(NamedTuple):
    """A table of the module's own: its elements where they are known (based on the vmctx), those of them that are
    imported functions as (element, function), and how many elements it may have."""

    type: TableType
    most: int
    elements: Template | None
    array: Any
    imported: tuple[tuple[int, int], ...]


class HostSite(NamedTuple):
    """The host function of an import: where in the template the callable goes, and what is known of the function."""

    at: int
    shape: Shape
    name: str


class MemoryPlan(NamedTuple):
    """The shapes of the module's own memories, and the (memory, offset, bytes) that have to be copied into them; None
    where data segments have to be taken one by one."""

    shapes: tuple[MemoryShape, ...]
    copies: tuple[tuple[int, int, bytes], ...] | None


class InstancePlan:
    """See the head of this file.

    imported: the positions among the imports of each kind. function_ids: the type id of each import that is a function,
    else None. names: (module, name) of each import. exports: kind and index by name. unset_globals: the module's own
    globals that have no value in the template. reference_cells: offsets of cells of globals with references that a
    collection looks at. data: the address of the module's binary. elements_are_planned: whether tables start with all
    that active element segments say; has_elements: whether there are any segments to be seen to nevertheless.
    has_objects: whether it knows structures, arrays or tags. has_work: whether anything is left to do when all is
    allocated. tail_words: how many arguments on the stack a tail call of it may have at most.
    """

    __slots__ = (
        "_engine",
        "_hosts",
        "_kept",
        "_mapped",
        "_memories",
        "data",
        "elements_are_planned",
        "exports",
        "function_ids",
        "global_types",
        "has_elements",
        "has_objects",
        "has_work",
        "imported",
        "layout",
        "model",
        "names",
        "plain",
        "reference_cells",
        "table_types",
        "tables",
        "tail_words",
        "unset_globals",
    )

    def __init__(self, module: Module) -> None:
        model, layout, ids = module.model, module.layout, module.type_ids
        types = module.engine.types
        self._engine = module.engine
        self.model, self.layout = model, layout
        self._kept: list[object] = []
        self._hosts: tuple[Template, list[HostSite]] | None = None
        self._memories: MemoryPlan | None = None
        self._mapped = False
        self.names = [(import_.module, import_.name) for import_ in model.imports]
        self.function_ids = [ids[import_.desc] if isinstance(import_.desc, int) else None for import_ in model.imports]
        self.imported: dict[str, list[int]] = {kind: [] for kind in EXTERN_KINDS}
        for position, import_ in enumerate(model.imports):
            self.imported[import_.kind].append(position)
        self.exports = {export.name: (export.kind, export.index) for export in model.exports}
        self.data = ctypes.cast(ctypes.c_char_p(model.data), ctypes.c_void_p).value or 0
        self.has_objects = bool(model.tag_types) or any(
            not isinstance(type_.composite, FuncType) for type_ in model.types
        )
        # A bound is enough: of all parameters, vectors count twice.
        self.tail_words = 2 * max(
            (len(t.composite.params) for t in model.types if isinstance(t.composite, FuncType)), default=0
        )
        self.global_types = [
            GlobalType(types.canonical(definition.type.value, ids), definition.type.mutable)
            for definition in model.globals
        ]
        self.unset_globals: list[int] = []
        self.reference_cells: list[int] = []
        self.plain = self._plan_vmctx(module)

        self.table_types = []
        for table in model.tables:
            element = types.canonical(table.type.element, ids)
            assert isinstance(element, RefType)
            self.table_types.append(TableType(element, table.type.limits))
        elements = table_elements(model)
        self.has_elements = elements is None or any(segment.mode == "passive" for segment in model.elements)
        self.elements_are_planned = elements is not None
        self.has_work = self.has_elements or bool(model.data_segments) or model.start is not None
        self.tables = [
            self._plan_table(type_, known)
            for type_, known in zip(self.table_types, elements or [{} for _ in model.tables], strict=True)
        ]

    def _plan_vmctx(self, module: Module) -> Template:
        """The vmctx of an instance without imports."""
        model, layout, ids = self.model, self.layout, module.type_ids
        words = array("Q", bytes(layout.size))
        own = array("I")  # places of addresses that are relative to the vmctx
        words[layout.FUNCTION_TABLE // 8] = module.function_table
        words[layout.MODULE // 8] = id(module)
        words[layout.type_ids // 8 : layout.type_ids // 8 + len(ids)] = array("Q", ids)
        for index, type_id in enumerate(ids):
            words[layout.type_descriptor(index) // 8] = module.engine.descriptors.address(type_id)
        for func_index in layout.escaping:
            at = layout.funcref(func_index)
            words[(at + L.FUNCREF_CODE) // 8] = module.function_address(func_index)
            words[(at + L.FUNCREF_TYPE_ID) // 8] = ids[model.func_types[func_index]]
            own.append(at + L.FUNCREF_CONTEXT)
        first_tag = model.imported["tag"]
        for number, tag in enumerate(model.tags):
            at = layout.tag_defs + L.TAG_DEF_SIZE * number
            words[layout.tag(first_tag + number) // 8] = at
            own.append(layout.tag(first_tag + number))
            words[(at + L.TAG_TYPE_ID) // 8] = ids[tag.type_index]
        for index, segment in enumerate(model.data_segments):
            if segment.offset_expr is None:
                at = layout.data_segment(index) // 8
                words[at], words[at + 1] = self.data + segment.start, segment.end - segment.start
        self._plan_globals(words)
        return Template(words.tobytes(), own.tobytes(), array("I", [layout.STORE_BLOCK]).tobytes())

    def _plan_globals(self, words: array[int]) -> None:
        """The module's own globals, as far as their values are known."""
        model, types = self.model, self._engine.types
        for index, (definition, type_) in enumerate(zip(model.globals, self.global_types, strict=True)):
            cell = self.layout.global_cell(model.imported["global"] + index)
            value = constant(model.data, definition.init)
            if value is None:
                self.unset_globals.append(index)
            else:
                words[cell // 8] = value
            if isinstance(type_.value, RefType) and types.is_collected(type_.value):
                self.reference_cells.append(cell)

    def _plan_table(self, type_: TableType, elements: dict[int, int]) -> TablePlan:
        most = most_elements(type_, self._engine.config)
        length = type_.limits.minimum
        if not elements or length > most:
            return TablePlan(type_, most, None, None, ())
        first_own = self.model.imported["func"]
        words = array("Q", bytes(8 * length))
        base = array("I")
        for number, func_index in elements.items():
            if func_index >= first_own:
                words[number] = self.layout.funcref(func_index)
                base.append(8 * number)
        imported = tuple((number, func) for number, func in elements.items() if func < first_own)
        template = Template(words.tobytes(), b"", base.tobytes())
        return TablePlan(type_, most, template, ctypes.c_uint64 * length, imported)

    def with_hosts(self) -> tuple[Template, list[HostSite]]:
        """The template with host functions for all imported functions, to which only the callables are missing."""
        hosts = self._hosts
        if hosts is None:
            words = array("Q", self.plain.words)
            own, base = array("I", self.plain.own), array("I", self.plain.base)
            sites = []
            for number, (position, shape) in enumerate(zip(self.imported["func"], self._import_shapes(), strict=True)):
                name = ".".join(self.names[position])
                context = self.layout.size + L.HOST_FUNCTION_SIZE * number
                func_ref = context + L.HOST_CONTEXT_SIZE
                convert = converter(shape, name, None) if shape.is_plain else None
                self._kept.append(convert)
                sites.append(HostSite(context + L.HOST_CALLABLE, shape, name))
                host = shape.stubs.host
                words.extend((0, 0, id(convert), 0, host, context, self.function_ids[position] or 0, 0))
                base.append(context + L.HOST_STORE)
                own.extend((context + L.HOST_OWNER, func_ref + L.FUNCREF_CONTEXT))
                at = self.layout.imported_function(number)
                words[at // 8 : at // 8 + 3] = array("Q", (host, context, func_ref))
                own.extend((at + 8, at + 16))
            hosts = self._hosts = Template(words.tobytes(), own.tobytes(), base.tobytes()), sites
        return hosts

    def _import_shapes(self) -> list[Shape]:
        """Those of all imported functions; stubs that nobody has are compiled in one go."""
        ids = [id_ for id_ in self.function_ids if id_ is not None]
        types = [self._engine.types.func_type(id_) for id_ in ids]
        prepare_stubs([signature(type_) for type_ in types], self._engine.cache)
        return [shape_of(self._engine, id_) for id_ in ids]

    def memories(self) -> MemoryPlan:
        """The module's own memories. From the second time on their contents are mapped, not copied: who instantiates a
        module once should not pay for a file."""
        plan = self._memories
        if plan is None:
            contents = memory_contents(self.model)
            shapes = tuple(memory_shape(type_, self._engine.config) for type_ in self.model.memories)
            plan = self._memories = MemoryPlan(shapes, tuple(contents) if contents is not None else None)
            self._mapped = not contents
        elif not self._mapped:
            self._mapped = True
            plan = self._memories = self._with_images(plan)
        return plan

    def _with_images(self, plan: MemoryPlan) -> MemoryPlan:
        shapes = list(plan.shapes)
        first = self.model.imported["memory"]
        try:
            for memory, offset, data in plan.copies or ():
                shapes[memory - first] = shapes[memory - first]._replace(image=MemoryImage(offset, data))
        except OSError:
            return plan  # without a file, they are copied as before
        return MemoryPlan(tuple(shapes), ())
