"""Matches imports with what is offered for them (core §4.5.2), before anything is allocated."""

from __future__ import annotations

from wasmark.core.types import GlobalType, MemoryType, TableType, TagType
from wasmark.errors import LinkError, wrong_type
from wasmark.func import Func
from wasmark.globals import Global
from wasmark.memory import Memory
from wasmark.table import Table
from wasmark.tag import Tag
from wasmark.validate.subtyping import limits_match

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

    from wasmark.core.model import Import
    from wasmark.instance_plan import InstancePlan
    from wasmark.module import Module
    from wasmark.store import Store

Extern = Func | Table | Memory | Global | Tag

_CLASSES: Final[dict[str, Any]] = {"func": Func, "table": Table, "memory": Memory, "global": Global, "tag": Tag}


def resolve_imports(
    plan: InstancePlan, module: Module, imports: Mapping[str, Mapping[str, Any]], store: Store
) -> tuple[list[Any], bool]:
    """What is offered for each import, in order: Func, Table, Memory, Global, Tag, or a plain callable for a function.
    And whether there are such callables.

    Raises LinkError that names the import, what is wanted and what was given; TypeError where there are no mappings.
    """
    if not hasattr(imports, "get"):
        raise wrong_type("imports as {module name: {name: value}}", imports)
    found = []
    for module_name, name in plan.names:
        space = imports.get(module_name)
        try:
            found.append(space[name])  # type: ignore[index]
        except (KeyError, TypeError):
            found.append(_find(module.model.imports[len(found)], space))
    callables = False
    for position, type_id in enumerate(plan.function_ids):
        value = found[position]
        if type_id is not None:
            if isinstance(value, Func):
                if value.type_id == type_id and value.store is store:
                    continue
            elif callable(value):
                callables = True
                continue
        complaint = _mismatch(module.model.imports[position], value, module, store)
        if complaint:
            raise LinkError("import {!r} {!r}: {}".format(*plan.names[position], complaint))
    return found, callables


def _find(import_: Import, space: Mapping[str, Any] | None) -> Any:
    module, kind, name = import_.module, import_.kind, import_.name
    if space is None:
        raise LinkError(f"unknown import: nothing is given for module {module!r} ({kind} {name!r})")
    if not hasattr(space, "__getitem__"):
        raise wrong_type(f"{{name: value}} for module {module!r}", space)
    try:
        return space[name]
    except KeyError:
        raise LinkError(f"unknown import: {module!r} has no {kind} {name!r}") from None


def _mismatch(import_: Import, value: Any, module: Module, store: Store) -> str | None:
    """What is wrong with `value`, or None."""
    if not isinstance(value, _CLASSES[import_.kind]):
        if import_.kind == "func" and callable(value):
            return None
        return f"incompatible import type: wants a {import_.kind}, got {type(value).__name__}"
    if value.store is not store and not (isinstance(value, Memory) and value.type.limits.shared):
        return f"the {import_.kind} belongs to another store"
    types, ids = store.engine.types, module.type_ids
    desc = import_.desc
    if isinstance(value, Func):
        assert isinstance(desc, int)
        if types.is_subtype_id(value.type_id, ids[desc]):
            return None
        return f"incompatible import type: wants {module.model.types[desc].composite}, got {value.type}"
    if isinstance(value, Tag):
        assert isinstance(desc, TagType)
        wanted = ids[desc.type_index]
        if types.is_subtype_id(value.type_id, wanted) and types.is_subtype_id(wanted, value.type_id):
            return None
        return f"incompatible import type: wants {module.model.types[desc.type_index].composite}, got {value.type}"
    if isinstance(value, Global):
        assert isinstance(desc, GlobalType)
        content = types.canonical(desc.value, ids)
        fits = value.type.mutable == desc.mutable and types.is_subtype(value.type.value, content)
        if fits and desc.mutable:
            fits = types.is_subtype(content, value.type.value)
        return None if fits else f"incompatible import type: wants {desc}, got {value.type}"
    present = value.present_type
    if isinstance(value, Table):
        assert isinstance(desc, TableType)
        element = types.canonical(desc.element, ids)
        same = types.is_subtype(value.type.element, element) and types.is_subtype(element, value.type.element)
        fits = same and limits_match(present.limits, desc.limits)
    else:
        assert isinstance(desc, MemoryType)
        fits = present.page_size_log2 == desc.page_size_log2 and limits_match(present.limits, desc.limits)
    return None if fits else f"incompatible import type: wants {desc}, got {present}"
