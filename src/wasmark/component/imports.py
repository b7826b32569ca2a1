"""What Python offers for the imports of a component, as instances take it: functions, resources, and what another
instance exports."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.component import Component
from wasmark.component.instantiate import EXPORTED, ComponentValue, Exported, HostFunction
from wasmark.component.naming import compatible_version, parse_interface, parse_name, pascal, snake
from wasmark.component.resources import HostResource, ResourceObject
from wasmark.component.validate.core import type_of_module
from wasmark.component.validate.substitution import Work
from wasmark.component.validate.subtyping import Matcher
from wasmark.errors import InvalidError, LinkError
from wasmark.module import Module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from wasmark.component.abi.handles import Resource
    from wasmark.store import Store

MISSING = object()
"""What `look_up` finds where nothing is given."""


def resolve(component: Component, imports: Mapping[str, Any], store: Store) -> dict[str, Any]:
    """The value of each import. Raises LinkError."""
    resolver = _Resolver(component, store)
    return {
        name: resolver.value(name, extern, look_up(imports, name), name)
        for name, extern in component.checked.type.imports.items()
    }


class _Resolver:
    """The imports of one instance. What resource types stand for is decided where they are imported first."""

    def __init__(self, component: Component, store: Store) -> None:
        self._store = store
        self._registry = component.engine.types
        self._resources: dict[T.ResourceType, Resource] = {}
        self._imported = component.checked.type.imported

    def value(self, name: str, extern: T.ExternType, given: Any, path: str) -> Any:
        """What is imported as `name`; `path` is for people."""
        exported = _exported(given)
        if exported is not None:
            return self._linked(exported, extern, path)
        if isinstance(extern, T.InstanceType):
            if given is MISSING and any(not isinstance(each, T.TypeExtern) for each in extern.exports.values()):
                raise LinkError(f"unknown import: nothing is given for {path!r}")
            return self._instance(extern, None if given is MISSING else given, path)
        if isinstance(extern, T.TypeExtern):
            return self._type(name, extern.type, given)
        if given is MISSING:
            raise LinkError(f"unknown import: nothing is given for {path!r}")
        if isinstance(extern, T.FuncType):
            if not callable(given):
                raise LinkError(f"import {path!r}: a function is wanted, not {type(given).__name__}")
            return HostFunction(given, path)
        return self._other(extern, given, path)

    def _other(self, extern: T.ExternType, given: Any, path: str) -> Any:
        if isinstance(given, Module) and isinstance(extern, T.CoreModuleType):
            self._match(type_of_module(given.model, self._registry, 0), extern, path)
            return given
        if isinstance(given, Component) and isinstance(extern, T.ComponentType):
            self._match(given.checked.type, extern, path)
            return ComponentValue(given, given.checked, None)
        raise LinkError(f"import {path!r}: {type(given).__name__} is not what is wanted")

    def _match(self, actual: T.ExternType, wanted: T.ExternType, path: str) -> Matcher:
        matcher = Matcher(self._registry, Work(), self._imported)
        try:
            matcher.extern(actual, wanted, f"import {path!r}")
        except InvalidError as error:
            raise LinkError(error.message) from None
        return matcher

    def _linked(self, exported: Exported, extern: T.ExternType, path: str) -> Any:
        """What another instance exports."""
        if exported.frame.store is not self._store:
            raise LinkError(f"import {path!r}: what is given belongs to another store")
        self._match(exported.extern, extern, path)
        self._learn(extern, exported.value)
        return exported.value

    def _learn(self, extern: T.ExternType, value: Any) -> None:
        if isinstance(extern, T.TypeExtern):
            if isinstance(extern.type, T.ResourceType):
                self._resources.setdefault(extern.type, value)
        elif isinstance(extern, T.InstanceType):
            for name, each in extern.exports.items():
                self._learn(each, value.get(name))

    def _type(self, name: str, type_: T.DefinedType, given: Any) -> Any:
        if not isinstance(type_, T.ResourceType):
            return type_
        resource = self._resources.get(type_)
        if resource is None:
            class_ = given if isinstance(given, type) else None
            if class_ is not None and issubclass(class_, ResourceObject):
                resource = class_._resource
            else:
                resource = HostResource(name, class_)
            self._resources[type_] = resource
        return resource

    def _instance(self, extern: T.InstanceType, given: Any, path: str) -> dict[str, Any]:
        found = {}
        for name, each in extern.exports.items():
            where = f"{path}#{name}"
            if isinstance(each, T.FuncType):
                found[name] = HostFunction(self._function(name, given, where), where)
            elif isinstance(each, T.TypeExtern):
                found[name] = self._type(name, each.type, _find(given, name, pascal(name)))
            else:
                found[name] = self.value(name, each, _find(given, name, snake(name)), where)
        return found

    def _function(self, name: str, given: Any, path: str) -> Callable[..., Any]:
        """The function of an interface, which may be one of a class in it."""
        kind, resource, label = parse_name(name)
        found = _find(given, name, snake(label) if not kind else name)
        if found is MISSING and kind:
            class_ = _find(given, resource, pascal(resource))
            if class_ is not MISSING:
                found = _of_class(class_, kind, snake(label))
        if not callable(found):
            what = "has no such function" if found is MISSING else f"is {type(found).__name__}, not a function"
            raise LinkError(f"import {path!r}: what is given {what}")
        call: Callable[..., Any] = found
        return call


def _of_class(class_: Any, kind: str, name: str) -> Any:
    if kind == "constructor":
        return class_
    function = getattr(class_, name, MISSING)
    if kind == "static" or function is MISSING:
        return function

    def call(self: Any, *args: Any) -> Any:
        return getattr(self, name)(*args)

    return call


def _find(given: Any, *names: str) -> Any:
    """What a mapping or an object has by one of these names."""
    for name in names:
        if hasattr(given, "__getitem__") and hasattr(given, "keys"):
            if name in given.keys():  # noqa: SIM118 - it need not be a dictionary
                return given[name]
        elif hasattr(given, name):
            return getattr(given, name)
    return MISSING


def look_up(imports: Mapping[str, Any], name: str) -> Any:
    """What is given for an import, by its name or that of a version that can stand in for it."""
    if name in imports:
        return imports[name]
    wanted = parse_interface(name)
    if wanted is None:
        return _find(imports, snake(name)) if isinstance(imports, dict) else MISSING
    for each in imports:
        found = parse_interface(each)
        if found is None or found[:2] != wanted[:2]:
            continue
        if not found.version or compatible_version(found.version) == compatible_version(wanted.version):
            return imports[each]
    return MISSING


def _exported(given: Any) -> Exported | None:
    """What stands behind something that an instance exports; None for anything else."""
    found = getattr(given, EXPORTED, None)
    return found if isinstance(found, Exported) else None
