"""Instances of components: each definition is carried out in order, and what it makes is appended to its index space
(Explainer.md, "Instance Definitions").

What validation found out of types is used as it is: a `Frame` adds what the resource types among them stand for in this
instance. A value of a component is one of the classes here, a `Module`, a core instance (anything that has exports by
name), or a mapping for an instance.
"""

from __future__ import annotations

from functools import partial

from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.async_functions import (
    Callee,
    guest_calls_async,
    guest_to_guest,
    host_to_guest,
)
from wasmark.component.abi.carriers import CarrierType
from wasmark.component.abi.dressing import Dress
from wasmark.component.abi.functions import guest_calls_guest, guest_calls_host, host_calls_guest
from wasmark.component.abi.handles import InstanceState
from wasmark.component.abi.host_calls import HostCaller
from wasmark.component.abi.host_functions import guest_calls_host_async, guest_to_host
from wasmark.component.builtin_table import BUILTINS
from wasmark.component.canon_options import CanonOptions
from wasmark.component.resources import GuestResource
from wasmark.component.validate.rebuild import resources_in, with_stand_ins
from wasmark.func import host_func, late_host_func
from wasmark.instance import Instance

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any, Final

    from wasmark.component.abi.handles import Resource
    from wasmark.component.component import Component
    from wasmark.component.validate import CheckedComponent
    from wasmark.func import Func
    from wasmark.store import Store


class HostFunction:
    """A Python callable that is imported. `name` is for people."""

    __slots__ = ("callable", "name")

    def __init__(self, callable_: Callable[..., Any], name: str) -> None:
        self.callable = callable_
        self.name = name


class LiftedFunction:
    """A core function as a function of the component that `frame` instantiates."""

    __slots__ = ("core", "frame", "options", "type")

    def __init__(self, frame: Frame, type_: T.FuncType, core: Func, options: CanonOptions) -> None:
        self.frame = frame
        self.type = type_
        self.core = core
        self.options = options

    def bound(self, types: Sequence[Any], frame: Frame | None = None) -> Callee:
        """For an asynchronous call: the function, with a guest whose `resources` are what `types` stand for, in its own
        frame or in that of whoever exports it."""
        options, own = self.options, self.frame
        guest = options.guest(own.state, (frame if frame is not None else own).stands_for(types))
        after = options.post_return if options.callback is None else options.callback
        return Callee(guest, self.core, after, options.key(), options.returning(own, self.type.result))


class ComponentValue:
    """A component that can be instantiated, with the frame in which it stands."""

    __slots__ = ("checked", "component", "outer")

    def __init__(self, component: Component, checked: CheckedComponent, outer: Frame | None) -> None:
        self.component = component
        self.checked = checked
        self.outer = outer


class Frame:
    """One instance of a component while it is made, and what it consists of afterwards.

    `spaces` are the index spaces with values in them; `resources` is what resource types stand for here.
    """

    def __init__(
        self, value: ComponentValue, store: Store, given: Mapping[str, Any], parent: InstanceState | None
    ) -> None:
        self.component = value.component
        self.checked = value.checked
        self.outer = value.outer
        self.store = store
        self.given = given
        self.state: InstanceState = InstanceState(store, parent)
        self.spaces: dict[str, list[Any]] = {sort: [] for sort in M.INDEX_SPACES}
        self.resources: dict[T.ResourceType, Resource] = {}
        self._carriers: dict[T.Stream | T.Future, CarrierType] = {}
        self.exports: dict[str, Any] = {}
        self._inner = iter(self.checked.nested)
        self._task_results = iter(self.checked.task_results)
        for definition in self.checked.model.definitions:
            _CARRY_OUT[type(definition)](self, definition)

    def bind(self, extern: Any, value: Any) -> None:
        """Learn what the resource types of an import, or of an instance, stand for."""
        if isinstance(extern, T.TypeExtern):
            if isinstance(extern.type, T.ResourceType):
                self.resources.setdefault(extern.type, value)
        elif isinstance(extern, T.InstanceType):
            for name, each in extern.exports.items():
                if isinstance(each, T.TypeExtern | T.InstanceType):
                    self.bind(each, value.get(name))

    def stands_for(self, types: Sequence[T.ResourceType | T.Stream | T.Future]) -> tuple[Resource | CarrierType, ...]:
        """What types of resources, streams and futures stand for here."""
        return tuple(
            self.resources[type_] if isinstance(type_, T.ResourceType) else self.carrier(type_) for type_ in types
        )

    def carrier(self, type_: T.Stream | T.Future) -> CarrierType:
        """The same for a type of streams or futures."""
        found = self._carriers.get(type_)
        if found is None:
            element = type_.element
            key = None if element is None else self.key_of(element)
            found = self._carriers[type_] = CarrierType(element, key, is_stream=isinstance(type_, T.Stream))
        return found

    def key_of(self, type_: T.ValType) -> object:
        """What is equal for types that are the same at run time: the type, and what its resource types stand for."""
        resources = [self.resources[each] for each in resources_in(type_)]
        return (type_, ()) if not resources else (with_stand_ins(type_), tuple(resources))

    def next_task_result(self) -> T.ValType | None:
        """The type of what the next `task.return` takes."""
        return next(self._task_results)

    def next_type(self, sort: str) -> Any:
        """What validation has at the place that is filled next."""
        return self.checked.spaces[sort][len(self.spaces[sort])]

    # --- core -------------------------------------------------------------------------------------

    def _core_module(self, definition: M.CoreModule) -> None:
        self.spaces["core module"].append(self.component.module_of(definition))

    def _core_instantiate(self, definition: M.CoreInstantiate) -> None:
        instances = self.spaces["core instance"]
        imports = {name: instances[index] for name, index in definition.args}
        made = Instance(self.spaces["core module"][definition.module], imports, self.store)
        instances.append(made.exports)

    def _core_exports(self, definition: M.CoreExports) -> None:
        self.spaces["core instance"].append(
            {name: self.spaces[sort][index] for name, sort, index in definition.exports}
        )

    def _core_type(self, definition: M.CoreTypeDef) -> None:
        count = len(definition.type) if isinstance(definition.type, tuple) else 1
        self.spaces["core type"] += [None] * count

    # --- components -------------------------------------------------------------------------------

    def _nested(self, definition: M.NestedComponent) -> None:
        self.spaces["component"].append(ComponentValue(self.component, next(self._inner), self))

    def _instantiate(self, definition: M.Instantiate) -> None:
        value = self.spaces["component"][definition.component]
        given = {name: self._of(sort, index) for name, sort, index in definition.args}
        extern = self.next_type("instance")
        made = Frame(value, self.store, given, self.state)
        self._add_instance(extern, made.exports)

    def _inline(self, definition: M.InlineExports) -> None:
        extern = self.next_type("instance")
        self._add_instance(extern, {name.name: self._of(sort, index) for name, sort, index in definition.exports})

    def _add_instance(self, extern: Any, exports: Mapping[str, Any]) -> None:
        self.bind(extern, exports)
        self.spaces["instance"].append(exports)

    def _of(self, sort: str, index: int) -> Any:
        """What has an index; of a type that is a resource, what it stands for here."""
        if sort != "type":
            return self.spaces[sort][index]
        type_ = self.checked.spaces["type"][index]
        return self.resources[type_] if isinstance(type_, T.ResourceType) else type_

    def _export_alias(self, definition: M.ExportAlias) -> None:
        of = self.spaces["core instance" if definition.core else "instance"][definition.instance]
        value = of[definition.name]
        sort = definition.sort
        if sort == "instance":
            self.bind(self.next_type(sort), value)
        self.spaces[sort].append(value)

    def _outer_alias(self, definition: M.OuterAlias) -> None:
        sort = definition.sort
        frame: Frame | None = self
        for _ in range(definition.count):
            assert frame is not None
            frame = frame.outer
        assert frame is not None
        self.spaces[sort].append(None if sort == "core type" else frame._of(sort, definition.index))

    def _type(self, definition: M.TypeDef) -> None:
        type_ = self.next_type("type")
        if isinstance(definition.type, M.ResourceDef):
            dtor = None if definition.type.dtor is None else self.spaces["core func"][definition.type.dtor]
            self.resources[type_] = GuestResource(type_.name, self.state, dtor)
        self.spaces["type"].append(type_)

    def _import(self, definition: M.Import) -> None:
        sort = definition.desc.kind
        extern = self.checked.type.imports[definition.name.name]
        value = self.given.get(definition.name.name)
        self.bind(extern, value)
        self.spaces[sort].append(value)

    def _export(self, definition: M.Export) -> None:
        sort = definition.sort
        value = self._of(sort, definition.index)
        extern = self.checked.type.exports[definition.name.name]
        self.bind(extern, value)
        self.exports[definition.name.name] = value
        self.spaces[sort].append(value)

    # --- canonical definitions --------------------------------------------------------------------

    def _canon(self, definition: M.Canon) -> None:
        if definition.name == "lift":
            self._lift(definition)
        elif definition.name == "lower":
            self.spaces["core func"].append(self._lower(definition))
        else:
            self.spaces["core func"].append(self._builtin(definition))

    def _lift(self, definition: M.Canon) -> None:
        type_ = self.next_type("func")
        core_index = definition.operands[0]
        assert isinstance(core_index, int)
        core = self.spaces["core func"][core_index]
        self.spaces["func"].append(LiftedFunction(self, type_, core, CanonOptions(self, definition)))

    def _lower(self, definition: M.Canon) -> Func:
        (index,) = definition.operands
        assert isinstance(index, int)
        callee = self.spaces["func"][index]
        type_ = self.checked.spaces["func"][index]
        options = CanonOptions(self, definition)
        if not isinstance(callee, HostFunction):
            return self._core_func(self._lower_lifted(callee, type_, options), definition.name)
        if type_.is_async:
            return self._core_func(self._lower_host_async(callee, type_, options), callee.name)
        # Most of what a component imports is not called: what calls it is written when it is.
        type_id = self.next_type("core func").type_id
        return late_host_func(self.store, type_id, lambda: self._lower_host(callee, type_, options), callee.name)

    def _core_func(self, call: Callable[..., Any], name: str) -> Func:
        """A core function of the type that validation found."""
        return host_func(self.store, self.next_type("core func").type_id, call, name)

    def _lower_host(self, callee: HostFunction, type_: T.FuncType, options: CanonOptions) -> Any:
        component = self.component
        maker = component.made(
            (type_, options.key(), callee.name),
            lambda: guest_calls_host(type_, options.key(), component.namer, callee.name),
        )
        return maker.make(options.guest(self.state, self.stands_for(maker.resources)), callee.callable)

    def _lower_host_async(self, callee: HostFunction, type_: T.FuncType, options: CanonOptions) -> Any:
        component, key, name = self.component, options.key(), callee.name
        if not key.is_async:
            self.state.can_block = True
        passing = component.made((type_, key, name, "async"), lambda: guest_to_host(type_, key, component.namer, name))
        caller = options.guest(self.state, self.stands_for(passing.resources))
        return guest_calls_host_async(caller, passing, callee.callable, type_, key, component.namer, name)

    def _lower_lifted(self, callee: LiftedFunction, type_: T.FuncType, options: CanonOptions) -> Any:
        ours, theirs_state = self.state, callee.frame.state
        if ours in theirs_state.chain or theirs_state in ours.chain:
            return partial(InstanceState.refuse_kin, ours)
        states = theirs_state.entered_from(ours)
        if type_.is_async:
            return self._lower_async(callee, type_, options, states)
        maker, theirs = self.component.made(
            (type_, options.key(), callee.type, callee.options.key(), len(states)),
            lambda: guest_calls_guest(
                type_, options.key(), callee.type, callee.options.key(), "a component", len(states)
            ),
        )
        return maker.make(
            options.guest(self.state, self.stands_for(maker.resources)),
            callee.options.guest(callee.frame.state, callee.frame.stands_for(theirs)),
            callee.core,
            callee.options.post_return,
            states,
        )

    def _lower_async(
        self, callee: LiftedFunction, type_: T.FuncType, options: CanonOptions, states: tuple[InstanceState, ...]
    ) -> Any:
        ours = options.key()
        if not ours.is_async:
            self.state.can_block = True
        passing = self.component.made(
            (type_, ours, callee.type, callee.options.key()),
            lambda: guest_to_guest(type_, ours, callee.type, callee.options.key()),
        )
        caller = options.guest(self.state, self.stands_for(passing.ours))
        return guest_calls_async(caller, callee.bound(passing.theirs), passing, states, type_, ours)

    def _builtin(self, definition: M.Canon) -> Func:
        return self._core_func(BUILTINS[definition.name](self, definition), definition.name)


_CARRY_OUT: Final[dict[type, Callable[[Frame, Any], None]]] = {
    M.CoreModule: Frame._core_module,
    M.CoreInstantiate: Frame._core_instantiate,
    M.CoreExports: Frame._core_exports,
    M.CoreTypeDef: Frame._core_type,
    M.NestedComponent: Frame._nested,
    M.Instantiate: Frame._instantiate,
    M.InlineExports: Frame._inline,
    M.ExportAlias: Frame._export_alias,
    M.OuterAlias: Frame._outer_alias,
    M.TypeDef: Frame._type,
    M.Canon: Frame._canon,
    M.Import: Frame._import,
    M.Export: Frame._export,
    M.CustomSection: lambda frame, definition: None,
}


EXPORTED: Final = "__wasmark_exported__"
"""The attribute by which Python's side of an export is known as one (`Exported`)."""


class Exported:
    """Something that an instance exports, for others that import it: its value, and its type as `frame` sees it."""

    __slots__ = ("extern", "frame", "value")

    def __init__(self, frame: Frame, extern: T.ExternType, value: Any) -> None:
        self.frame = frame
        self.extern = extern
        self.value = value


def callable_of(function: LiftedFunction | HostFunction, type_: T.FuncType, frame: Frame, name: str) -> Any:
    """A Python function for a function of a component, of the type that `frame` sees it with."""
    if isinstance(function, HostFunction):
        return function.callable
    component = frame.component
    options = function.options.key()
    states = function.frame.state.chain
    if type_.is_async:
        passing = component.made(
            (type_, options, name, "async"), lambda: host_to_guest(type_, options, component.namer, name)
        )
        caller = HostCaller(function.bound(passing.theirs, frame), passing, states, type_, component.namer)
        dress = Dress(type_, component.namer, name)
        made = dress.forwarding(caller.call)
        made.call_async = dress.forwarding(caller.call_async)
    else:
        maker = component.made(
            (type_, options, name, len(states)),
            lambda: host_calls_guest(type_, options, component.namer, name, len(states)),
        )
        guest = function.options.guest(function.frame.state, frame.stands_for(maker.resources))
        made = maker.make(guest, function.core, function.options.post_return, states)
    setattr(made, EXPORTED, Exported(frame, type_, function))
    return made
