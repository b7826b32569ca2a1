"""What Python offers for the imports of a component, as instances take it: functions, resources, and what another
instance exports."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.component import Component
from wasmark.component.fitting import can_take, shape
from wasmark.component.instantiate import EXPORTED, ComponentValue, Exported, HostFunction
from wasmark.component.naming import compatible_version, parse_interface, parse_name, pascal, snake
from wasmark.component.resources import HostResource, ResourceObject
from wasmark.component.validate.core import type_of_module
from wasmark.component.validate.substitution import Work
from wasmark.component.validate.subtyping import Matcher
from wasmark.component.wit import sort_of, written_extern, written_function
from wasmark.errors import InvalidError, LinkError
from wasmark.module import Module
from wasmark.runtime.late_import import late_import

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
    wanted = component.checked.type.imports
    given = {name: look_up(imports, name) for name in wanted}
    missing = [name for name, extern in wanted.items() if given[name] is MISSING and _is_needed(extern)]
    if missing:
        raise LinkError(_what_is_missing(missing, wanted, imports))
    return {name: resolver.value(name, extern, given[name], name) for name, extern in wanted.items()}


def _is_needed(extern: T.ExternType) -> bool:
    """Whether something has to be given: types explain themselves."""
    if isinstance(extern, T.InstanceType):
        return any(not isinstance(each, T.TypeExtern) for each in extern.exports.values())
    return not isinstance(extern, T.TypeExtern)


def _what_is_missing(missing: list[str], wanted: Mapping[str, T.ExternType], imports: Mapping[str, Any]) -> str:
    first = missing[0]
    others = f", nor for {_listed([repr(name) for name in missing[1:]])}" if len(missing) > 1 else ""
    named = parse_interface(first)
    alike = [name for name in imports if named is not None and (parse_interface(name) or (None,))[:2] == named[:2]]
    hint = f"; given is {', '.join(alike)}" if alike else ""
    return f"unknown import: nothing is given for {first!r} ({written_extern(wanted[first])}){others}{hint}"


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
            return self._instance(extern, None if given is MISSING else given, path)
        if isinstance(extern, T.TypeExtern):
            return self._type(name, extern.type, given, path)
        if isinstance(extern, T.FuncType):
            _check_fits(given, given, extern, path)
            return HostFunction(given, path)
        return self._other(extern, given, path)

    def _other(self, extern: T.ExternType, given: Any, path: str) -> Any:
        if isinstance(given, Module) and isinstance(extern, T.CoreModuleType):
            self._match(type_of_module(given.model, self._registry, 0), extern, path)
            return given
        if isinstance(given, Component) and isinstance(extern, T.ComponentType):
            self._match(given.checked.type, extern, path)
            return ComponentValue(given, given.checked, None)
        found = "nothing" if given is MISSING else f"a {type(given).__name__}"
        raise LinkError(f"import {path!r}: a {sort_of(extern)} is wanted, and {found} is given")

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

    def _type(self, name: str, type_: T.DefinedType, given: Any, path: str) -> Any:
        if not isinstance(type_, T.ResourceType):
            return type_
        resource = self._resources.get(type_)
        if resource is None:
            if given is not MISSING and not callable(given):
                raise LinkError(f"import {path!r}: a class is wanted for a resource, not a {type(given).__name__}")
            # A function that makes objects can stand for the constructor alone.
            resource = self._resource(name, given if isinstance(given, type) else None, path)
            self._resources[type_] = resource
        return resource

    def _resource(self, name: str, class_: type | None, path: str) -> Resource:
        if class_ is None or not issubclass(class_, ResourceObject):
            return HostResource(name, class_)
        resource = class_._resource
        assert resource.owner is not None
        if resource.owner.store is not self._store:
            raise LinkError(f"import {path!r}: the class that is given belongs to another store")
        return resource

    def _instance(self, extern: T.InstanceType, given: Any, path: str) -> dict[str, Any]:
        found = {}
        for name, each in extern.exports.items():
            where = f"{path}#{name}"
            if isinstance(each, T.FuncType):
                found[name] = HostFunction(self._function(name, each, given, where), where)
            elif isinstance(each, T.TypeExtern):
                found[name] = self._type(name, each.type, _find(given, name, pascal(name)), where)
            else:
                found[name] = self.value(name, each, _find(given, name, snake(name)), where)
        return found

    def _function(self, name: str, type_: T.FuncType, given: Any, path: str) -> Callable[..., Any]:
        """The function of an interface, which may be one of a class in it."""
        kind, resource, label = parse_name(name)
        found = call = _find(given, name, snake(label) if not kind else name)
        if found is MISSING and kind:
            class_ = _find(given, resource, pascal(resource))
            if class_ is not MISSING:
                found = class_ if kind == "constructor" else getattr(class_, snake(label), MISSING)
                call = _by_name(snake(label)) if kind == "method" else found
                given = class_
        if found is MISSING:
            names = given.keys() if hasattr(given, "keys") else [each for each in dir(given) if each[0] != "_"]
            offered = _listed(sorted(map(str, names))) or "nothing"
            raise LinkError(
                f"import {path!r}: what is given has no such function: {written_function(type_)} is wanted, "
                f"and {_what(given)} has {offered}"
            )
        _check_fits(found, call, type_, path)
        function: Callable[..., Any] = call
        return function


def _listed(names: list[str]) -> str:
    text: str = late_import("wasmark.shown").listed(names)
    return text


def _by_name(name: str) -> Callable[..., Any]:
    """Calls a method of its first argument."""

    def call(self: Any, *args: Any) -> Any:
        return getattr(self, name)(*args)

    return call


def _what(given: Any) -> str:
    return given.__qualname__ if isinstance(given, type) else f"the {type(given).__name__}"


def _check_fits(found: Any, call: Any, type_: T.FuncType, path: str) -> None:
    """Raise LinkError unless `found`, which `call` calls, can be a function of this type."""
    if not callable(call) or not callable(found):
        raise LinkError(
            f"import {path!r}: what is given is {type(found).__name__}, not a function: "
            f"{written_function(type_)} is wanted"
        )
    count = len(type_.params)
    if not can_take(found, count):
        arguments = f"{count} argument{'' if count == 1 else 's'}"
        raise LinkError(
            f"import {path!r}: {written_function(type_)} is called with {arguments}, which {shape(found)} does not take"
        )


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
