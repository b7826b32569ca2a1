"""One component, or type of a component or instance, while it is validated: its index spaces, and what its imports and
exports have named so far (Explainer.md, "External Visibility of Types")."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.model import INDEX_SPACES, ExternName
from wasmark.component.validate.core import CoreTypeSpace
from wasmark.component.validate.names import Name, NameSet, check_version_suffix, parse_name
from wasmark.component.wit import sort_of
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.core.features import Feature
    from wasmark.core.types import ValType as CoreValType
    from wasmark.validate.canon import TypeRegistry

COMPONENT: Final = "component"
COMPONENT_TYPE: Final = "component type"
INSTANCE_TYPE: Final = "instance type"

_NAMED_ONLY: Final = (T.Record, T.Variant, T.Enum, T.Flags)
"""Types that are only of use from outside by a name of their own."""


class Names:
    """The imports, or the exports, of one scope. `what` is "import" or "export"; what has a name here has one in
    `also`, too. Methods need a resource among the names, so there can be none unless it `knows_resources`."""

    def __init__(self, what: str, also: Names | None = None, *, knows_resources: bool = True) -> None:
        self.what = what
        self._set = NameSet(what)
        self._also = also
        self._knows_resources = knows_resources
        self._types: dict[int, object] = {}  # by id: the types that have a name
        self._resources: dict[str, T.ResourceType] = {}

    def add(self, written: ExternName, extern: T.ExternType) -> None:
        """Check the name of what is imported or exported, and that it is new. Raises InvalidError."""
        name = parse_name(written.name)
        self._check_attributes(name, written, extern)
        if name.kind not in ("label", "interface"):
            self._check_annotated(name, extern)
        self._set.add(name)
        if self._knows_resources and isinstance(extern, T.TypeExtern) and isinstance(extern.type, T.ResourceType):
            self._resources[name.text] = extern.type

    def _check_attributes(self, name: Name, written: ExternName, extern: T.ExternType) -> None:
        suffix = written.attribute("versionsuffix")
        if suffix is not None:
            check_version_suffix(name, suffix)
        interface = written.attribute("implements")
        if interface is None:
            return
        if parse_name(interface).kind != "interface":
            raise InvalidError(f"`implements` of `{name.text}` must be an interface, not `{interface}`")
        if not isinstance(extern, T.InstanceType):
            raise InvalidError(f"only instances can have an `implements`, and `{name.text}` is a {sort_of(extern)}")
        if name.kind != "label":
            raise InvalidError(f"name `{name.text}` is not valid with `implements`")

    def _check_annotated(self, name: Name, extern: T.ExternType) -> None:
        """Binary.md, the rules for `[constructor]`, `[method]` and `[static]`."""
        if not isinstance(extern, T.FuncType):
            raise InvalidError(f"`{name.text}` is not a func, but a {sort_of(extern)}")
        if name.kind == "constructor":
            self._check_resource(_constructed(name, extern), name)
        elif name.kind == "method":
            if not extern.params:
                raise InvalidError(f"`{name.text}`: function should have at least one argument")
            label, type_ = extern.params[0]
            if label != "self":
                raise InvalidError(f"`{name.text}`: function should have a first argument called `self`")
            if not isinstance(type_, T.Borrow):
                raise InvalidError(f"`{name.text}`: function should take a first argument of `(borrow $T)`")
            self._check_resource(type_.resource, name)
        elif name.resource not in self._resources:
            raise InvalidError(f"`{name.text}`: static resource name is not known in this context")

    def _check_resource(self, resource: T.ResourceType, name: Name) -> None:
        known = [label for label, other in self._resources.items() if other is resource]
        if not known:
            raise InvalidError(f"`{name.text}`: resource used in function does not have a name in this context")
        if name.resource not in known:
            raise InvalidError(f"`{name.text}`: function does not match expected resource name `{known[0]}`")

    def register(self, extern: T.ExternType) -> bool:
        """Whether all that is to be seen of something has a name; its own types have one from now on."""
        if isinstance(extern, T.TypeExtern):
            if not self._parts_are_named(extern.type):
                return False
            for names in (self, self._also):
                if names is not None:
                    names._types[id(extern.type)] = extern.type
            return True
        if isinstance(extern, T.InstanceType):
            return all(self.register(export) for export in extern.exports.values())
        return not isinstance(extern, T.FuncType) or self._parts_are_named(extern)

    def _is_named(self, type_: object) -> bool:
        if isinstance(type_, _NAMED_ONLY):
            return id(type_) in self._types
        return self._parts_are_named(type_)

    def _parts_are_named(self, type_: object) -> bool:
        match type_:
            case T.Own(resource=resource) | T.Borrow(resource=resource):
                return id(resource) in self._types
            case T.ValType():
                return all(map(self._is_named, type_.children()))
            case T.FuncType(params=params, result=result):
                return all(self._is_named(part) for _, part in params) and (result is None or self._is_named(result))
            case T.InstanceType(exports=exports):
                return all(map(self._extern_is_named, exports.values()))
        return True  # resources have a name by this very definition; types of components have been looked at

    def _extern_is_named(self, extern: T.ExternType) -> bool:
        return self._parts_are_named(extern.type if isinstance(extern, T.TypeExtern) else extern)


def _constructed(name: Name, type_: T.FuncType) -> T.ResourceType:
    result = type_.result
    if type_.is_async:
        raise InvalidError(f"`{name.text}`: a constructor cannot be async")
    if result is None:
        raise InvalidError(f"`{name.text}`: function should return one value")
    if isinstance(result, T.Result) and result.ok is not None:
        result = result.ok
    if not isinstance(result, T.Own):
        raise InvalidError(f"`{name.text}`: function should return `(own $T)` or `(result (own $T))`")
    return result.resource


class Scope:
    """The state of one scope. `spaces` are index spaces by sort; that of core types is `core_types`. `task_results` are
    the types of what each `task.return` takes."""

    def __init__(self, kind: str, parent: Scope | None, registry: TypeRegistry, features: frozenset[Feature]) -> None:
        self.kind = kind
        self.parent = parent
        self.spaces: dict[str, list[Any]] = {sort: [] for sort in INDEX_SPACES}
        self.core_types = CoreTypeSpace(registry, features)
        self.task_results: list[T.ValType | None] = []
        self.imports: dict[str, T.ExternType] = {}
        self.exports: dict[str, T.ExternType] = {}
        self.exported_names = Names("export")
        self.imported_names = Names("import", self.exported_names)
        self.imported: list[T.ResourceType] = []
        """Resource types that the imports introduce."""
        self.defined: list[T.ResourceType] = []
        """Resource types that are defined, made by instantiation, or introduced by exports."""
        self.representations: dict[T.ResourceType, CoreValType] = {}
        """Of the resource types that are defined right here: the core type that represents them."""

    def lookup(self, sort: str, index: int) -> Any:
        """What has this index. Raises InvalidError where there is nothing."""
        space = self.spaces[sort]
        if index >= len(space):
            what = _CALLED.get(sort, sort)
            raise InvalidError(f"unknown {what}: {what} index out of bounds: {index} of {len(space)}")
        return space[index]

    def add_name(self, names: Names, written: ExternName, extern: T.ExternType) -> None:
        """Import or export something by a name. Raises InvalidError."""
        names.add(written, extern)
        # The types of instances are looked at where an instance of the type is imported or exported.
        if self.kind != INSTANCE_TYPE and not names.register(extern):
            raise InvalidError(
                f"{sort_of(extern)} not valid to be used as {names.what}: "
                f"`{written.name}` refers to a type that has no name of its own among the {names.what}s before it"
            )
        into = self.imports if names.what == "import" else self.exports
        into[written.name] = extern

    def outer(self, count: int) -> Scope:
        """The enclosing scope that is so many steps away. Raises InvalidError where there are not so many."""
        scope: Scope | None = self
        for _ in range(count):
            scope = None if scope is None else scope.parent
        if scope is None:
            raise InvalidError(f"invalid outer alias count of {count}")
        return scope

    def crosses_component(self, count: int) -> bool:
        """Whether a component lies between this scope and the one so many steps away."""
        scope: Scope | None = self
        for _ in range(count):
            assert scope is not None
            if scope.kind == COMPONENT:
                return True
            scope = scope.parent
        return False


_CALLED: Final = {
    "func": "function",
    "core func": "core function",
    "core module": "module",
}
"""What errors call the sorts, where it is not their name."""
