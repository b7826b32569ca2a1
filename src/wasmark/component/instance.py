"""`ComponentInstance`: a component that has been given its imports, and what it exports as Python sees it."""

from __future__ import annotations

import functools

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.threads import scheduler_of
from wasmark.component.imports import resolve
from wasmark.component.instantiate import ComponentValue, Exported, Frame, LiftedFunction, callable_of
from wasmark.component.naming import compatible_version, module_name, parse_interface, parse_name, pascal, snake
from wasmark.component.resources import GuestResource, ResourceObject
from wasmark.runtime.late_import import late_import
from wasmark.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any

    from wasmark.component.abi.handles import Resource
    from wasmark.component.component import Component


class ComponentInstance:
    """An instance of `component` in `store`.

    imports: {name: value}. For an interface (`"ns:pkg/iface@1.0.0"`; a version that can stand in for it will do), the
    value is a mapping or an object with its functions, by their names or as Python writes them, and with the classes of
    its resources; or what another instance in the same store exports. For a function it is a callable. Functions take
    and return Python values (`wasmark.component.values`); exceptions come out of the call as they are.

    Raises LinkError where an import is missing or does not fit, and what starting its modules raises.
    """

    def __init__(
        self, component: Component, imports: Mapping[str, Any] | None = None, store: Store | None = None
    ) -> None:
        if store is None:
            store = Store(component.engine)
        elif store.engine is not component.engine:
            raise ValueError("the component and the store belong to different engines")
        self.component = component
        self.store = store
        store.registry.register_component(component)
        given = resolve(component, imports if imports is not None else {}, store)
        frame = Frame(ComponentValue(component, component.checked, None), store, given, None)
        self.exports = Exports(frame, component.checked.type.exports, frame.exports, "")

    def __repr__(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import counted, shown_name

        count = counted(len(self.exports), "export")
        return f"<wasmark.ComponentInstance of {shown_name(self.component.name)}: {count}>"

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import externs_html

        return externs_html(repr(self), {"export": self.component.checked.type.exports})


class Exports:
    """What a component, or an interface of it, exports: functions, classes, interfaces.

    `exports["ns:pkg/iface@1.0.0"]`, `exports["iface"]` and `exports.iface` are the same as long as there is one
    interface of that name; functions and types are found by their own names, and as Python writes them.
    """

    def __init__(
        self, frame: Frame, externs: Mapping[str, T.ExternType], values: Mapping[str, Any], interface: str
    ) -> None:
        self._lease = scheduler_of(frame.store).lease()
        self._frame = frame
        self._externs = externs
        self._values = values
        self._interface = interface
        self._found: dict[str, Any] = {}
        self._names: dict[str, str | None] = {}
        for name in externs:
            for other in _names_of(name, externs[name]):
                self._names[other] = name if self._names.get(other, name) == name else None
        self._names.update({name: name for name in externs})
        for name, extern in externs.items():
            if isinstance(extern, T.TypeExtern) and isinstance(extern.type, T.ResourceType):
                self._found[name] = self._resource_class(name, values[name])
            elif isinstance(extern, T.InstanceType):
                # Objects of its resources have their methods wherever they turn up.
                self._found[name] = Exports(frame, extern.exports, values[name], name)

    def __getitem__(self, name: str) -> Any:
        full = self._full(name)
        found = self._found.get(full)
        if found is None:
            found = self._found[full] = self._make(full)
        return found

    def _full(self, name: str) -> str:
        full = self._names.get(name) or _compatible(name, self._externs)
        if full is None:
            raise KeyError(name)
        return full

    @property
    def __wasmark_exported__(self) -> Exported:
        """For instances that import all of it."""
        return Exported(self._frame, T.InstanceType(dict(self._externs)), self._values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"{self._interface or 'the component'} exports no {name!r}") from None

    def type_of(self, name: str) -> T.ExternType:
        """The type of what is exported by a name. Raises KeyError."""
        return self._externs[self._full(name)]

    def get(self, name: str, default: Any = None) -> Any:
        """What is exported by a name, `default` where nothing is."""
        try:
            return self[name]
        except KeyError:
            return default

    def __iter__(self) -> Iterator[str]:
        return iter(self._externs)

    def __len__(self) -> int:
        return len(self._externs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and (self._names.get(name) or _compatible(name, self._externs)) is not None

    def __dir__(self) -> list[str]:
        return sorted({name for name, full in self._names.items() if full is not None and name.isidentifier()})

    def __repr__(self) -> str:
        listed = late_import("wasmark.shown").listed
        return f"<exports of {self._interface or 'a component'}: {listed(self._externs)}>"

    def _repr_html_(self) -> str:
        late_import("wasmark.shown")
        from wasmark.shown import externs_html

        return externs_html(repr(self), {"export": self._externs})

    def _maker(self, name: str) -> Callable[[], Any]:
        """What makes the Python function of an export. It does not know these exports, as what Python has of them must
        not be known to what they are made of (`Lease`)."""
        label = f"{self._interface}#{name}" if self._interface else name
        extern = self._externs[name]
        assert isinstance(extern, T.FuncType)
        return functools.partial(callable_of, self._values[name], extern, self._frame, label)

    def _make(self, name: str) -> Any:
        extern = self._externs[name]
        value = self._values[name]
        if isinstance(extern, T.FuncType):
            made = self._maker(name)()
            if isinstance(value, LiftedFunction):
                made.__wasmark_lease__ = self._lease
            return made
        if isinstance(extern, T.TypeExtern) and isinstance(extern.type, T.Record | T.Variant | T.Enum | T.Flags):
            return self._frame.component.namer.class_of(extern.type)
        return extern.type if isinstance(extern, T.TypeExtern) else value

    # --- resources --------------------------------------------------------------------------------

    def _resource_class(self, name: str, resource: Resource) -> Any:
        """The class of a resource's objects, with the functions of this interface that belong to it."""
        if not isinstance(resource, GuestResource) or resource.is_named:
            return resource.class_  # type: ignore[attr-defined]  # a host's
        space: dict[str, Any] = {
            "__slots__": (),
            "__doc__": f"resource {name}" + (f" of {self._interface}" if self._interface else ""),
            "__module__": module_name(self._interface),
            "_resource": resource,
        }
        for full in self._externs:
            kind, of, label = parse_name(full)
            if of != name or not kind:
                continue
            make = self._maker(full)
            if kind == "constructor":
                space["__new__"] = _constructor(make)
                space["__signature__"] = _Signature(make)
                space["__init__"] = _initialised
            else:
                space[snake(label)] = _Method(make, is_static=kind == "static")
        resource.class_ = type(pascal(name), (ResourceObject,), space)
        resource.is_named = True
        return resource.class_


def _initialised(self: ResourceObject, *_: Any, **__: Any) -> None:
    """What `__new__` returned is whole."""


def _constructor(make: Callable[[], Any]) -> Callable[..., Any]:
    made = functools.cache(make)

    def __new__(cls: type, *args: Any, **keywords: Any) -> Any:  # noqa: N807 - what it is going to be
        return made()(*args, **keywords)

    return __new__


class _Signature:
    """What a constructor takes, found out when somebody asks."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make

    def __get__(self, instance: Any, owner: type) -> Any:
        import inspect

        signature = inspect.signature(self._make())
        return signature.replace(return_annotation=inspect.Signature.empty)


class _Method:
    """A function of a resource's class that is written when somebody asks for it."""

    def __init__(self, make: Callable[[], Any], *, is_static: bool) -> None:
        self._make = make
        self._is_static = is_static

    def __set_name__(self, owner: type, name: str) -> None:
        self._attribute = name

    def __get__(self, instance: Any, owner: type) -> Any:
        function = self._make()
        setattr(owner, self._attribute, staticmethod(function) if self._is_static else function)
        return getattr(owner if instance is None else instance, self._attribute)


def _names_of(name: str, extern: T.ExternType) -> list[str]:
    """What else an export is called."""
    interface = parse_interface(name)
    if interface is not None:
        return [interface.interface, snake(interface.interface), f"{interface.package}/{interface.interface}"]
    return [pascal(name)] if isinstance(extern, T.TypeExtern) else [snake(name)]


def _compatible(name: str, names: Mapping[str, Any]) -> str | None:
    """The name of an interface whose version can stand in for that of `name`."""
    wanted = parse_interface(name)
    if wanted is None or not wanted.version:
        return None
    for each in names:
        found = parse_interface(each)
        if (
            found is not None
            and found[:2] == wanted[:2]
            and compatible_version(found.version) == compatible_version(wanted.version)
        ):
            return each
    return None
