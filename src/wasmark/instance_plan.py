"""`InstancePlan`: what all instances of a module have in common, made once, so that an instance is mostly copying.

A vmctx starts as a copy of `template`: everything in it that depends on no instance. Data segments with constant
offsets into memories of the module's own, which start as zeros, are put together to one image a memory.
"""

from __future__ import annotations

import ctypes
from array import array
from typing import TYPE_CHECKING, Final

from wasmark.core.types import GlobalType, RefType, TableType
from wasmark.runtime.const_eval import constant

if TYPE_CHECKING:
    from wasmark.core.model import ModuleModel
    from wasmark.module import Module

_FUNCREF_WORDS: Final = 4
_SPARE: Final = 1 << 20
"""An image may be larger than its segments together by their own size and this."""


class InstancePlan:
    """See the head of this file.

    funcref_contexts: the words of the vmctx that hold its own address. globals: (word of the cell, None where the
    template has its value) of each defined global. images: (memory, offset, bytes) to be copied, or None where segments
    have to be taken one by one. data: the address of the module's binary.
    """

    __slots__ = ("data", "funcref_contexts", "global_types", "images", "table_types", "template", "unset_globals")

    def __init__(self, module: Module) -> None:
        model, layout, ids = module.model, module.layout, module.type_ids
        types = module.engine.types
        self.data = ctypes.cast(ctypes.c_char_p(model.data), ctypes.c_void_p).value or 0
        words = array("Q", bytes(layout.size))
        words[layout.FUNCTION_TABLE // 8] = module.function_table
        words[layout.type_ids // 8 : layout.type_ids // 8 + len(ids)] = array("Q", ids)
        first = layout.funcrefs // 8
        for number, func_index in enumerate(layout.escaping):
            at = first + _FUNCREF_WORDS * number
            words[at] = module.function_address(func_index)
            words[at + 2] = ids[model.func_types[func_index]]
        self.funcref_contexts = slice(first + 1, first + 1 + _FUNCREF_WORDS * len(layout.escaping), _FUNCREF_WORDS)
        for index, segment in enumerate(model.data_segments):
            if segment.offset_expr is None:
                at = (layout.data_segments + 16 * index) // 8
                words[at], words[at + 1] = self.data + segment.start, segment.end - segment.start
        self.unset_globals: set[int] = set()
        for index, definition in enumerate(model.globals):
            value = constant(model.data, definition.init)
            if value is None:
                self.unset_globals.add(index)
            else:
                words[layout.global_cells // 8 + 2 * index] = value
        self.global_types = [
            GlobalType(types.canonical(definition.type.value, ids), definition.type.mutable)
            for definition in model.globals
        ]
        self.table_types = []
        for table in model.tables:
            element = types.canonical(table.type.element, ids)
            assert isinstance(element, RefType)
            self.table_types.append(TableType(element, table.type.limits))
        self.template = words.tobytes()
        self.images = _images(model)


def _images(model: ModuleModel) -> list[tuple[int, int, bytes]] | None:
    pieces: dict[int, list[tuple[int, int, int]]] = {}
    for segment in model.data_segments:
        if segment.offset_expr is None:
            continue
        assert segment.memory is not None
        start = constant(model.data, segment.offset_expr)
        if start is None or segment.memory < model.imported["memory"]:
            return None
        pieces.setdefault(segment.memory, []).append((start, segment.start, segment.end))
    images = []
    for memory, segments in pieces.items():
        type_ = model.memory_types[memory]
        low = min(start for start, _, _ in segments)
        high = max(start + end - begin for start, begin, end in segments)
        length = sum(end - begin for _, begin, end in segments)
        if high > type_.limits.minimum << type_.page_size_log2 or high - low > 2 * length + _SPARE:
            return None
        image = bytearray(high - low)
        for start, begin, end in segments:
            image[start - low : start - low + end - begin] = model.data[begin:end]
        images.append((memory, low, bytes(image)))
    return images
