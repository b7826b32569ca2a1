"""What `wasmark objdump` says of a component: its definitions in their order, its core modules, and what it imports and
exports."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from wasmark.cli._tables import print_table
from wasmark.component.component import core_modules
from wasmark.component.model import (
    Canon,
    CoreInstantiate,
    CoreModule,
    CustomSection,
    Export,
    ExportAlias,
    Import,
    Instantiate,
    NestedComponent,
    OuterAlias,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from wasmark.component.model import ComponentModel, Definition


def print_definitions(model: ComponentModel) -> None:
    """Tables of the definitions, components in components indented, of the core modules by the numbers that `--module`
    takes, and of the imports and exports."""
    print_table("Definitions", (">offset", "definition", "what"), list(_rows(model, 0)))
    modules = [
        (number, definition.model.names.module, f"{definition.offset:#x}", len(definition.model.functions))
        for number, (definition, _) in enumerate(core_modules(model, None))
    ]
    print_table("Core modules", (">number", "name", ">offset", ">functions"), modules)
    definitions: list[Any] = [*model.definitions]
    rows = [
        (keyword, definition.name.name, kind) for definition in definitions for keyword, kind in _border(definition)
    ]
    print_table("Imports and exports", ("", "name", "what"), rows)


def _rows(model: ComponentModel, depth: int) -> Iterator[tuple[str, str, str]]:
    indent = "  " * depth
    for definition in model.definitions:
        what = _WHAT.get(definition.__class__, _nothing)(definition)
        yield f"{definition.offset:#x}", f"{indent}{_called(definition)}", what
        if isinstance(definition, NestedComponent):
            yield from _rows(definition.model, depth + 1)


def _called(definition: Definition) -> str:
    """The class of a definition in words: `core instantiate`, `export alias`."""
    name = definition.__class__.__name__.removesuffix("Def")
    return "".join(f" {char.lower()}" if char.isupper() else char for char in name).strip()


def _border(definition: Any) -> Iterator[tuple[str, str]]:
    if isinstance(definition, Import):
        yield "import", definition.desc.kind
    elif isinstance(definition, Export):
        yield "export", definition.sort


def _nothing(definition: Any) -> str:
    return ""


def _module(definition: CoreModule) -> str:
    model = definition.model
    return f"{len(model.data):,} bytes, {len(model.functions):,} functions"


def _nested(definition: NestedComponent) -> str:
    kinds = Counter(_called(each) for each in definition.model.definitions)
    return ", ".join(f"{count} {kind}" for kind, count in kinds.items())


_WHAT: Final[dict[type, Callable[[Any], str]]] = {
    CoreModule: _module,
    NestedComponent: _nested,
    CoreInstantiate: lambda each: f"core module {each.module}",
    Instantiate: lambda each: f"component {each.component}",
    ExportAlias: lambda each: f"{each.sort} {each.name!r} of instance {each.instance}",
    OuterAlias: lambda each: f"{each.sort} {each.index}, {each.count} outside",
    Canon: lambda each: each.name,
    Import: lambda each: each.name.name,
    Export: lambda each: each.name.name,
    CustomSection: lambda each: f"{each.name}, {len(each.contents):,} bytes",
}
"""What more there is to say of a definition."""
