"""What is in a registry, as a table: what `ModuleRegistry.dump` answers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from itertools import islice

from wasmark.registry.names import printable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final, NamedTuple, overload

    from wasmark.core.model import ModuleModel
    from wasmark.registry.code_object import CodeObject, RegisteredModule
    from wasmark.registry.module_registry import ModuleRegistry
else:
    from wasmark.core.record import NamedTuple

_SHOWN: Final = 20
"""Rows that a person gets who did not ask for all of them."""

_HEAD: Final = ("module", "function", "tier", "start", "end", "bytes", "traps")
_TO_THE_RIGHT: Final = frozenset(("start", "end", "bytes", "traps"))


class Row(NamedTuple):
    """Code of a function. tier: "thunk", "first" or "optimised". start, end (exclusive): addresses. size: bytes. traps:
    how many places in it may trap. component: the name of the component that the module is part of, if there is one."""

    module: str | None
    function: str | None
    func_index: int
    tier: str
    start: int
    end: int
    size: int
    traps: int
    component: str | None


def function_names(model: ModuleModel) -> dict[int, str]:
    """The names of all functions that have one: of the name section, else of an export, else of the import."""
    imported = (import_ for import_ in model.imports if import_.kind == "func")
    names = {index: f"{import_.module}.{import_.name}" for index, import_ in enumerate(imported)}
    for export in reversed(model.exports):
        if export.kind == "func":
            names[export.index] = export.name
    names.update(model.names.functions)
    return names


class RegistryTable(Sequence[Row]):
    """Rows by address. `str` of it is the whole table, its `repr` the beginning of it. It keeps alive what it tells
    of."""

    def __init__(self, registry: ModuleRegistry) -> None:
        self._functions: list[tuple[int, int, int, str, CodeObject, RegisteredModule]] = [
            (start, end, func_index, part.tier, code, module)
            for module in registry.modules()
            for code, part in registry.code_of(module)
            for func_index, start, end in part.functions
        ]
        self._functions.sort(key=lambda row: row[0])
        self._names: dict[int, dict[int, str]] = {}  # by the id of the module

    def __len__(self) -> int:
        return len(self._functions)

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, index: int) -> Row: ...
        @overload
        def __getitem__(self, index: slice) -> list[Row]: ...

    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        start, end, func_index, tier, code, module = self._functions[index]
        names = self._names.get(id(module))
        if names is None:
            names = self._names[id(module)] = function_names(module.model)
        traps = code.trap_sites(start, end)
        module_name = module.model.names.module
        if module_name is None:
            module_name = module.name
        component: str | None = getattr(module, "component_name", None)
        return Row(module_name, names.get(func_index), func_index, tier, start, end, end - start, traps, component)

    def __str__(self) -> str:
        return "\n".join(self._lines(len(self)))

    def __repr__(self) -> str:
        lines = list(self._lines(_SHOWN))
        if len(self) > _SHOWN:
            lines.append(f"... and {len(self) - _SHOWN:,} more: print(...) shows all")
        return "\n".join(lines)

    def _cells(self, most: int) -> Iterator[tuple[str, ...]]:
        for row in islice(self, most):
            module = "<module>" if row.module is None else row.module
            if row.component is not None:
                module = f"{row.component}/{module}"
            function = f"func[{row.func_index}]" if row.function is None else row.function
            yield module, function, row.tier, f"{row.start:#x}", f"{row.end:#x}", f"{row.size:,}", f"{row.traps:,}"

    def _lines(self, most: int) -> Iterator[str]:
        rows = [_HEAD, *(tuple(map(printable, cells)) for cells in self._cells(most))]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        rows.insert(1, tuple("-" * width for width in widths))
        for row in rows:
            cells = (
                cell.rjust(width) if name in _TO_THE_RIGHT else cell.ljust(width)
                for cell, width, name in zip(row, widths, _HEAD, strict=True)
            )
            yield "  ".join(cells).rstrip()

    def _repr_html_(self) -> str:
        def row(cells: Sequence[str], tag: str) -> str:
            return "<tr>" + "".join(f"<{tag}>{html.escape(cell)}</{tag}>" for cell in cells) + "</tr>"

        body = "".join(row(cells, "td") for cells in self._cells(_SHOWN))
        more = f"<p>... and {len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return f"<table><thead>{row(_HEAD, 'th')}</thead><tbody>{body}</tbody></table>{more}"
