"""The validity of a component (Binary.md, the notes on each section): each definition in turn, which may only refer to
those before it.

What validation learns is kept: the types that all indices stand for, which is what an instance is made with.
"""

from __future__ import annotations

from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.validate.canon import CanonChecker
from wasmark.component.validate.core import (
    KINDS,
    CoreTypeSpace,
    check_core_match,
    type_of_module,
)
from wasmark.component.validate.rebuild import Measures, free_resources, func_with_parts
from wasmark.component.validate.scope import COMPONENT, COMPONENT_TYPE, INSTANCE_TYPE, Names, Scope
from wasmark.component.validate.substitution import Substitution, Work, fresh, opened
from wasmark.component.validate.subtyping import Matcher
from wasmark.component.validate.values import check_func_type, check_value_type, copy_of, resolved
from wasmark.component.wit import sort_of
from wasmark.core.model import Import as CoreImport
from wasmark.core.record import Record
from wasmark.core.types import I32, I64, FuncType
from wasmark.errors import InvalidError
from wasmark.validate.module import ALL_FEATURES, validate_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.core.features import Feature
    from wasmark.core.model import ModuleModel
    from wasmark.validate.canon import TypeRegistry

_DECLARED_BY_EXPORT: Final = ("instance", "type")
_DECLARED_BY_OUTER: Final = ("core type", "type")
_EXPORTABLE: Final = ("core module", "func", "type", "component", "instance")


class CheckedComponent(Record):
    """A valid component. `spaces` has, by sort, the type of each index; `nested` are the components in it, and
    `task_results` the types of what each `task.return` takes (None for nothing), in the order of their definitions."""

    __slots__ = ("model", "nested", "spaces", "task_results", "type")

    def __init__(
        self,
        model: M.ComponentModel,
        type: T.ComponentType,
        spaces: dict[str, list[Any]],
        nested: list[CheckedComponent],
        task_results: list[T.ValType | None],
    ) -> None:
        self.model = model
        self.task_results = task_results
        self.type = type
        self.spaces = spaces
        self.nested = nested


def validate_component(
    model: M.ComponentModel,
    registry: TypeRegistry,
    features: frozenset[Feature] = ALL_FEATURES,
    *,
    bodies: bool = True,
) -> CheckedComponent:
    """Check a component and all that is nested in it; the bodies of the functions of its modules if `bodies` says so.

    registry: where the core types get their ids. Raises InvalidError with the offset of the definition, and
    UnsupportedError for types that are too large, for threads that run at the same time, and as `validate_module` does.
    """
    return _Checker(registry, features, bodies).component(model, None)


class _Checker:
    """What is the same for all scopes of one component."""

    def __init__(self, registry: TypeRegistry, features: frozenset[Feature], bodies: bool) -> None:
        self._registry = registry
        self._features = features
        self._bodies = bodies
        self._work = Work()
        self._measures = Measures()
        self._nested: list[CheckedComponent] = []

    def component(self, model: M.ComponentModel, parent: Scope | None) -> CheckedComponent:
        """A component, in the one that it is defined in."""
        outside, self._nested = self._nested, []
        scope = Scope(COMPONENT, parent, self._registry, self._features)
        self._each(scope, model.definitions)
        type_ = T.ComponentType(scope.imports, scope.exports, tuple(scope.imported), tuple(scope.defined))
        self._measures.check(type_)
        checked = CheckedComponent(model, type_, scope.spaces, self._nested, scope.task_results)
        self._nested = outside
        return checked

    def _each(self, scope: Scope, definitions: list[Any]) -> None:
        for definition in definitions:
            try:
                _CHECKS[definition.__class__](self, scope, definition)
            except InvalidError as error:
                if error.offset is not None:
                    raise
                raise InvalidError(error.message, offset=definition.offset, func_index=error.func_index) from None

    # Core modules and instances

    def core_module(self, scope: Scope, definition: M.CoreModule) -> None:
        model = definition.model
        try:
            self._check_module(model)
        except InvalidError as error:
            offset = definition.offset + (error.offset or 0)
            raise InvalidError(error.message, offset=offset, func_index=error.func_index) from None
        scope.spaces["core module"].append(type_of_module(model, self._registry, definition.offset))

    def _check_module(self, model: ModuleModel) -> None:
        validator = validate_module(model, self._features)
        if self._bodies:
            for index in range(len(model.functions)):
                validator.check_body(index)

    def core_instantiate(self, scope: Scope, definition: M.CoreInstantiate) -> None:
        module: T.CoreModuleType = scope.lookup("core module", definition.module)
        args: dict[str, dict[str, T.CoreExtern]] = {}
        for name, index in definition.args:
            if name in args:
                raise InvalidError(f"duplicate module instantiation argument named `{name}`")
            args[name] = scope.lookup("core instance", index)
        for (module_name, name), wanted in module.imports.items():
            if module_name not in args:
                raise InvalidError(f"missing module instantiation argument named `{module_name}`")
            found = args[module_name].get(name)
            if found is None:
                raise InvalidError(
                    f"module instantiation argument `{module_name}` does not export an item named `{name}`"
                )
            check_core_match(self._registry, found, wanted, f"import `{module_name}` `{name}`")
        scope.spaces["core instance"].append(module.exports)

    def core_exports(self, scope: Scope, definition: M.CoreExports) -> None:
        exports: dict[str, T.CoreExtern] = {}
        for name, sort, index in definition.exports:
            if sort.removeprefix("core ") not in KINDS.values():
                raise InvalidError(f"a core instance cannot export a {sort}")
            if name in exports:
                raise InvalidError(f"export name `{name}` already defined")
            exports[name] = scope.lookup(sort, index)
        scope.spaces["core instance"].append(exports)

    def core_type(self, scope: Scope, definition: M.CoreTypeDef) -> None:
        type_ = definition.type
        if not isinstance(type_, M.ModuleTypeDef):
            scope.core_types.define(type_)
            return
        inner = CoreTypeSpace(self._registry, self._features)
        imports: list[CoreImport] = []
        exports: list[CoreImport] = []
        for decl in type_.decls:
            match decl:
                case M.CoreTypeDef(type=group):
                    assert isinstance(group, tuple)
                    inner.define(group)
                case M.OuterAlias(count=count, index=index):
                    # The type of the module is the innermost scope, and has nothing but core types.
                    inner.alias(inner if count == 0 else scope.outer(count - 1).core_types, index)
                case CoreImport():
                    imports.append(CoreImport(decl.module, decl.name, decl.kind, inner.placed(decl.desc), decl.offset))
                case _:
                    exports.append(CoreImport("", decl.name, decl.kind, inner.placed(decl.desc), decl.offset))
        scope.core_types.define_module_type(inner.read_module_type(imports, exports, definition.offset))

    # Components and instances

    def nested(self, scope: Scope, definition: M.NestedComponent) -> None:
        checked = self.component(definition.model, scope)
        self._nested.append(checked)
        scope.spaces["component"].append(checked.type)

    def instantiate(self, scope: Scope, definition: M.Instantiate) -> None:
        type_: T.ComponentType = scope.lookup("component", definition.component)
        args: dict[str, T.ExternType] = {}
        for name, sort, index in definition.args:
            if name in args:
                raise InvalidError(f"instantiation argument `{name}` conflicts with previous argument `{name}`")
            args[name] = self._item(scope, sort, index)
        matcher = Matcher(self._registry, self._work, type_.imported)
        for name, wanted in type_.imports.items():
            if name not in args:
                raise InvalidError(f"missing import named `{name}`")
            matcher.extern(args[name], wanted, f"import `{name}`")
        made = fresh(type_.exported)
        scope.defined += made.values()
        substitution = Substitution({**matcher.bound, **made}, self._work, matcher.values)
        exports = {name: substitution(extern) for name, extern in type_.exports.items()}
        scope.spaces["instance"].append(T.InstanceType(exports))

    def inline_exports(self, scope: Scope, definition: M.InlineExports) -> None:
        # What is put together gets no names by that, neither its types nor, for its methods, its resources.
        names = Names("export", knows_resources=False)
        exports: dict[str, T.ExternType] = {}
        for name, sort, index in definition.exports:
            extern = self._item(scope, sort, index)
            names.add(name, extern)
            exports[name.name] = extern
        type_ = T.InstanceType(exports)
        self._measures.check(type_)
        scope.spaces["instance"].append(type_)

    def _item(self, scope: Scope, sort: str, index: int) -> T.ExternType:
        """What has an index, as something that can be exported or given for an import."""
        if sort not in _EXPORTABLE:
            raise InvalidError(f"a {sort} cannot be exported, nor given for an import")
        found = scope.lookup(sort, index)
        return T.TypeExtern(found) if sort == "type" else found

    def _named(self, extern: T.ExternType, name: str) -> T.ExternType:
        """The same, with an identity of its own: an import or export gives a name to a type."""
        return T.TypeExtern(copy_of(extern.type, name)) if isinstance(extern, T.TypeExtern) else extern

    # Aliases

    def export_alias(self, scope: Scope, definition: M.ExportAlias) -> None:
        sort = definition.sort
        if scope.kind != COMPONENT and sort not in _DECLARED_BY_EXPORT:
            raise InvalidError("aliases in types may only refer to types or instances")
        what = "core instance" if definition.core else "instance"
        instance = scope.lookup(what, definition.instance)
        exports = instance if definition.core else instance.exports
        found = exports.get(definition.name)
        if found is None:
            raise InvalidError(f"{what} {definition.instance} has no export named `{definition.name}`")
        is_sort = f"core {KINDS[found.__class__]}" if definition.core else sort_of(found)
        if is_sort != sort:
            raise InvalidError(f"export `{definition.name}` of {what} {definition.instance} is not a {sort}")
        self._add(scope, sort, found)

    def outer_alias(self, scope: Scope, definition: M.OuterAlias) -> None:
        sort = definition.sort
        if scope.kind != COMPONENT and sort not in _DECLARED_BY_OUTER:
            raise InvalidError("aliases in types may only refer to types or instances")
        target = scope.outer(definition.count)
        if sort == "core type":
            scope.core_types.alias(target.core_types, definition.index)
            return
        found = target.lookup(sort, definition.index)
        if sort == "type" and scope.crosses_component(definition.count) and free_resources(found):
            raise InvalidError("cannot alias outer type which transitively refers to resources not defined here")
        scope.spaces[sort].append(found)

    def _add(self, scope: Scope, sort: str, extern: Any) -> None:
        scope.spaces[sort].append(extern.type if isinstance(extern, T.TypeExtern) else extern)

    # Types

    def type(self, scope: Scope, definition: M.TypeDef) -> None:
        made = _TYPES.get(definition.type.__class__, _Checker._value_type)(self, scope, definition.type)
        self._measures.check(made)
        scope.spaces["type"].append(made)

    def _value_type(self, scope: Scope, written: T.ValType) -> T.ValType:
        type_ = resolved(scope, written)
        self._measures.check(type_)
        check_value_type(type_)
        return type_

    def func_type(self, scope: Scope, written: T.FuncType) -> T.FuncType:
        type_ = func_with_parts(written, lambda part: resolved(scope, part))
        check_func_type(type_)
        return type_

    def resource_type(self, scope: Scope, written: M.ResourceDef) -> T.ResourceType:
        if scope.kind != COMPONENT:
            raise InvalidError("resources can only be defined within a concrete component")
        if written.rep not in (I32, I64):
            raise InvalidError(f"resources can only be represented by i32 or i64, not by {written.rep}")
        if written.dtor is not None:
            type_ = self._registry.func_type(scope.lookup("core func", written.dtor).type_id)
            if type_ != FuncType((written.rep,), ()):
                raise InvalidError(f"core function {written.dtor} has the wrong signature for a destructor: {type_}")
        made = T.ResourceType()
        scope.defined.append(made)
        scope.representations[made] = written.rep
        return made

    def instance_type(self, scope: Scope, written: M.InstanceTypeDef) -> T.InstanceType:
        inner = Scope(INSTANCE_TYPE, scope, self._registry, self._features)
        self._each(inner, written.decls)
        return T.InstanceType(inner.exports, tuple(inner.defined))

    def component_type(self, scope: Scope, written: M.ComponentTypeDef) -> T.ComponentType:
        inner = Scope(COMPONENT_TYPE, scope, self._registry, self._features)
        self._each(inner, written.decls)
        return T.ComponentType(inner.imports, inner.exports, tuple(inner.imported), tuple(inner.defined))

    # Canonical definitions, imports and exports

    def canon(self, scope: Scope, definition: M.Canon) -> None:
        checker = CanonChecker(scope, self._registry, lambda type_: resolved(scope, type_))
        sort, type_ = checker.check(definition)
        scope.spaces[sort].append(type_)

    def import_(self, scope: Scope, definition: M.Import) -> None:
        extern, introduced = self._described(scope, definition.desc, definition.name.name)
        scope.imported += introduced
        scope.add_name(scope.imported_names, definition.name, extern)
        self._add(scope, definition.desc.kind, extern)

    def export_decl(self, scope: Scope, definition: M.ExportDecl) -> None:
        extern, introduced = self._described(scope, definition.desc, definition.name.name)
        scope.defined += introduced
        scope.add_name(scope.exported_names, definition.name, extern)
        self._add(scope, definition.desc.kind, extern)

    def export(self, scope: Scope, definition: M.Export) -> None:
        extern = self._named(self._item(scope, definition.sort, definition.index), definition.name.name)
        if definition.desc is not None:
            wanted, introduced = self._described(scope, definition.desc, definition.name.name)
            scope.defined += introduced
            what = f"ascribed type of export `{definition.name.name}` is not compatible"
            Matcher(self._registry, self._work, introduced).extern(extern, wanted, what)
            extern = wanted
        scope.add_name(scope.exported_names, definition.name, extern)
        self._add(scope, definition.sort, extern)

    def _described(
        self, scope: Scope, desc: M.ExternDesc, name: str
    ) -> tuple[T.ExternType, tuple[T.ResourceType, ...]]:
        """What is imported or exported, and the resource types that it introduces."""
        index = desc.index
        if index is None:
            resource = T.ResourceType(name)
            return T.TypeExtern(resource), (resource,)
        if desc.kind == "core module":
            return scope.core_types.module_type(index), ()
        found = scope.lookup("type", index)
        if desc.kind == "type":
            return T.TypeExtern(copy_of(found, name)), ()
        class_, what = _DESCRIBED[desc.kind]
        if not isinstance(found, class_):
            raise InvalidError(f"type index {index} is not {what} type")
        return opened(found, self._work) if isinstance(found, T.InstanceType) else (found, ())

    def custom(self, scope: Scope, definition: M.CustomSection) -> None:
        """Nothing in a custom section can be wrong."""


_DESCRIBED: Final[dict[str, tuple[type[T.FuncType | T.ComponentType | T.InstanceType], str]]] = {
    "func": (T.FuncType, "a function"),
    "component": (T.ComponentType, "a component"),
    "instance": (T.InstanceType, "an instance"),
}

_TYPES: Final[dict[type, Callable[[_Checker, Scope, Any], Any]]] = {
    T.FuncType: _Checker.func_type,
    M.ResourceDef: _Checker.resource_type,
    M.InstanceTypeDef: _Checker.instance_type,
    M.ComponentTypeDef: _Checker.component_type,
}
"""How types are made that are not those of values."""

_CHECKS: Final[dict[type, Callable[[_Checker, Scope, Any], None]]] = {
    M.CoreModule: _Checker.core_module,
    M.CoreInstantiate: _Checker.core_instantiate,
    M.CoreExports: _Checker.core_exports,
    M.CoreTypeDef: _Checker.core_type,
    M.NestedComponent: _Checker.nested,
    M.Instantiate: _Checker.instantiate,
    M.InlineExports: _Checker.inline_exports,
    M.ExportAlias: _Checker.export_alias,
    M.OuterAlias: _Checker.outer_alias,
    M.TypeDef: _Checker.type,
    M.Canon: _Checker.canon,
    M.Import: _Checker.import_,
    M.Export: _Checker.export,
    M.ExportDecl: _Checker.export_decl,
    M.CustomSection: _Checker.custom,
}
