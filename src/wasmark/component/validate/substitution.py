"""Types with other resource types put in the place of some: what makes an instance of a component of its type, and each
import of an instance type an instance of its own (Explainer.md, "Type Checking")."""

from __future__ import annotations

from wasmark.component.types import (
    Borrow,
    ComponentType,
    FuncType,
    InstanceType,
    Own,
    ResourceType,
    TypeExtern,
    ValType,
)
from wasmark.component.validate.rebuild import func_with_parts, with_parts
from wasmark.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Final

MAX_WORK: Final = 1_000_000
"""How many types the validation of a component may make by substitution."""


class Work:
    """Counts what is done for one component and all that is nested in it."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = MAX_WORK

    def spend(self) -> None:
        """Raises UnsupportedError where there is too much of it."""
        self.left -= 1
        if self.left < 0:
            raise UnsupportedError(f"more than {MAX_WORK} types made by instantiation", part="huge types")


class Substitution:
    """Puts resource types in the place of others, and value types that are equal to them but other objects in the place
    of value types. What was one object before is one object behind it, too; what mentions nothing that is replaced
    stays the same object."""

    def __init__(
        self,
        mapping: Mapping[ResourceType, ResourceType],
        work: Work,
        values: Mapping[int, tuple[ValType, ValType]] | None = None,
    ) -> None:
        """values: by the id of a value type, this type and the one in its place."""
        self._mapping = mapping
        self._work = work
        self._known: dict[int, tuple[Any, Any]] = {}  # by id: what it was, what it is now
        if values is not None:
            self._known.update(values)

    def __call__(self, type_: Any) -> Any:
        """A type of any kind, or what is imported or exported."""
        known = self._known.get(id(type_))
        if known is not None:
            return known[1]
        self._work.spend()
        new = self._replaced(type_)
        self._known[id(type_)] = type_, new
        return new

    def _replaced(self, type_: Any) -> Any:
        match type_:
            case ResourceType():
                target = self._mapping.get(type_)
                return type_ if target is None else ResourceType(type_.name, target)
            case Own(resource=resource) | Borrow(resource=resource):
                new = self(resource)
                return type_ if new is resource else type_.__class__(new)
            case ValType():
                if all(self(part) is part for part in type_.children()):
                    return type_
                return with_parts(type_, self)
            case FuncType(params=params, result=result):
                if all(self(part) is part for _, part in params) and (result is None or self(result) is result):
                    return type_
                return func_with_parts(type_, self)
            case TypeExtern(type=inner):
                new = self(inner)
                return type_ if new is inner else TypeExtern(new)
            case InstanceType(exports=exports, resources=resources):
                made = self._externs(exports)
                return type_ if made is exports else InstanceType(made, resources)
            case ComponentType(imports=imports, exports=exports):
                new_imports, new_exports = self._externs(imports), self._externs(exports)
                if new_imports is imports and new_exports is exports:
                    return type_
                return ComponentType(new_imports, new_exports, type_.imported, type_.exported)
        return type_  # of a core module

    def _externs(self, externs: dict[str, Any]) -> dict[str, Any]:
        made = {name: self(extern) for name, extern in externs.items()}
        return externs if all(made[name] is extern for name, extern in externs.items()) else made


def fresh(resources: Iterable[ResourceType]) -> dict[ResourceType, ResourceType]:
    """A new resource type for each."""
    return {resource: ResourceType(resource.name) for resource in resources}


def opened(type_: InstanceType, work: Work) -> tuple[InstanceType, tuple[ResourceType, ...]]:
    """An instance of that type: with resource types of its own, which are the second result."""
    if not type_.resources:
        return type_, ()
    mapping = fresh(type_.resources)
    new: InstanceType = Substitution(mapping, work)(type_)
    return InstanceType(new.exports), tuple(mapping.values())


def freshened(type_: ComponentType, work: Work) -> ComponentType:
    """An equal type that shares none of the resource types that it introduces."""
    mapping = fresh((*type_.imported, *type_.exported))
    if not mapping:
        return type_
    new: ComponentType = Substitution(mapping, work)(type_)
    imported = tuple(mapping[resource] for resource in type_.imported)
    return ComponentType(new.imports, new.exports, imported, tuple(mapping[each] for each in type_.exported))
