"""What active segments with constant places make of memories and tables that are the module's own, and so start as
zeros: it is the same for every instance, so it is found out once."""

from __future__ import annotations

from wasmark.const_eval import constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel

_SPARE_BYTES: Final = 1 << 20
_SPARE_ELEMENTS: Final = 1 << 10
"""What is put together may be larger than its segments together by their own size and this."""


def table_elements(model: ModuleModel) -> list[dict[int, int]] | None:
    """{element: function index} of each of the module's own tables; None where segments have to be taken one by one."""
    first = model.imported["table"]
    tables: list[dict[int, int]] = [{} for _ in model.tables]
    for segment in model.elements:
        if segment.offset_expr is None:
            continue
        start = constant(model.data, segment.offset_expr)
        if start is None or segment.table < first:
            return None
        if start + len(segment.items) > model.table_types[segment.table].limits.minimum:
            return None
        for element, item in enumerate(segment.items, start):
            if not isinstance(item, int):
                return None
            tables[segment.table - first][element] = item
    for table, elements in zip(model.tables, tables, strict=True):
        if elements and (table.init or table.type.limits.minimum > 2 * len(elements) + _SPARE_ELEMENTS):
            return None
    return tables


def memory_contents(model: ModuleModel) -> list[tuple[int, int, bytes]] | None:
    """(memory, offset, bytes) for each memory that has segments; None where they have to be taken one by one."""
    pieces: dict[int, list[tuple[int, int, int]]] = {}
    for segment in model.data_segments:
        if segment.offset_expr is None:
            continue
        assert segment.memory is not None
        start = constant(model.data, segment.offset_expr)
        if start is None or segment.memory < model.imported["memory"]:
            return None
        pieces.setdefault(segment.memory, []).append((start, segment.start, segment.end))
    contents = []
    for memory, segments in pieces.items():
        type_ = model.memory_types[memory]
        low = min(start for start, _, _ in segments)
        high = max(start + end - begin for start, begin, end in segments)
        length = sum(end - begin for _, begin, end in segments)
        if high > type_.limits.minimum << type_.page_size_log2 or high - low > 2 * length + _SPARE_BYTES:
            return None
        if high == low:
            continue
        image = bytearray(high - low)
        for start, begin, end in segments:
            image[start - low : start - low + end - begin] = model.data[begin:end]
        contents.append((memory, low, bytes(image)))
    return contents
