"""Core modules and their types inside of components: their validity, and which may stand for which.

Types of different modules are compared by their ids in the registry of an engine, so each component, and each type of a
component, instance or module, has a space of core types that knows the id of each of its members.
"""

from __future__ import annotations

from wasmark.component.types import CoreExtern, CoreFunc, CoreModuleType, CoreTag
from wasmark.core.model import Import, ModuleModel
from wasmark.core.types import FuncType, GlobalType, MemoryType, RefType, SubType, TableType, TagType
from wasmark.errors import InvalidError
from wasmark.validate.canon import TypeRegistry, rename_type
from wasmark.validate.module import validate_module
from wasmark.validate.subtyping import limits_match
from wasmark.validate.type_section import ModuleTypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from wasmark.core.features import Feature


class CoreTypeSpace:
    """The core types of one scope, by index: those of functions, structures and arrays, and those of modules."""

    def __init__(self, registry: TypeRegistry, features: frozenset[Feature]) -> None:
        self._registry = registry
        self._features = features
        self.types: list[SubType] = []
        self.groups: list[tuple[int, int]] = []
        self._checked = ModuleTypes(self.types, (), features)
        self._ids: list[int] = []  # of `types`
        self._entries: list[int | CoreModuleType] = []  # by index: the place in `types`, or the type of a module
        self._taken: dict[int, int] = {}  # by the id of another space: where its types stand in this one
        self._others: list[CoreTypeSpace] = []

    def __len__(self) -> int:
        return len(self._entries)

    def define(self, group: Sequence[SubType]) -> None:
        """Add a recursion group. Raises InvalidError, UnsupportedError."""
        known, first = len(self._entries), len(self.types)

        def place(index: int) -> int:
            if index < known:
                return self.place(index)
            if index - known >= len(group):
                raise InvalidError(f"core type index out of bounds: {index} of {known + len(group)}")
            return first + index - known

        self._append([rename_type(type_, place) for type_ in group])
        self._entries += range(first, first + len(group))

    def _append(self, group: Sequence[SubType]) -> None:
        first = len(self.types)
        self.types += group
        self.groups.append((first, len(group)))
        self._checked.check_group(first, len(group))
        self._ids += self._registry.register_group(group, self._ids)

    def define_module_type(self, type_: CoreModuleType) -> None:
        """Add the type of a module."""
        self._entries.append(type_)

    def alias(self, other: CoreTypeSpace, index: int) -> None:
        """Add a type of another scope, or of this one. Raises InvalidError where it has none with this index."""
        entry = other.entry(index)
        if other is self or isinstance(entry, CoreModuleType):
            self._entries.append(entry)
            return
        if id(other) not in self._taken:
            base = self._taken[id(other)] = len(self.types)
            self._others.append(other)  # its id stays its own
            for start, count in other.groups:
                group = other.types[start : start + count]
                self._append([rename_type(type_, lambda place: base + place) for type_ in group])
        first = self._taken[id(other)]
        self._entries.append(first + entry)

    def entry(self, index: int) -> int | CoreModuleType:
        """What an index stands for. Raises InvalidError where there is no such index."""
        if index >= len(self._entries):
            raise InvalidError(f"core type index out of bounds: type index out of bounds: {index} of {len(self)}")
        return self._entries[index]

    def place(self, index: int) -> int:
        """The place in `types` of what is no module's type. Raises InvalidError."""
        entry = self.entry(index)
        if isinstance(entry, CoreModuleType):
            raise InvalidError(f"core type index {index} is a module type")
        return entry

    def module_type(self, index: int) -> CoreModuleType:
        """Raises InvalidError unless the index stands for the type of a module."""
        entry = self.entry(index)
        if not isinstance(entry, CoreModuleType):
            raise InvalidError(f"core type index {index} is not a module type")
        return entry

    def func_type(self, index: int) -> FuncType:
        """Raises InvalidError unless the index stands for the type of a function. References are places in `types`."""
        composite = self.types[self.place(index)].composite
        if not isinstance(composite, FuncType):
            raise InvalidError(f"core type index {index} is not a function type")
        return composite

    def read_module_type(self, imports: list[Import], exports: list[Import], offset: int) -> CoreModuleType:
        """The type of a module with these imports and exports (which are in no module), whose types are `placed`."""
        described = imports + exports
        model = ModuleModel(types=self.types, rec_groups=self.groups, imports=described)
        validate_module(model, self._features)
        externs = [extern_of(self._registry, self._ids, import_.desc) for import_ in described]
        names = [(each.module, each.name) for each in imports]
        check_distinct_imports(names, offset)
        exported: dict[str, CoreExtern] = {}
        for decl, extern in zip(exports, externs[len(imports) :], strict=True):
            if decl.name in exported:
                raise InvalidError(f"export name `{decl.name}` already defined", offset=decl.offset)
            exported[decl.name] = extern
        return CoreModuleType(dict(zip(names, externs, strict=False)), exported)

    def placed(self, desc: Any) -> Any:
        """What an import or export is of, with places in `types` for the indices of this space. Raises InvalidError
        for those that have no type yet."""
        match desc:
            case int():
                return self.place(desc)
            case TagType(type_index=index):
                return TagType(self.place(index))
            case TableType(element=RefType(heap=int()), limits=limits):
                element = desc.element
                assert isinstance(element.heap, int)
                return TableType(RefType.of(element.nullable, self.place(element.heap)), limits)
            case GlobalType(value=RefType(heap=int() as heap, nullable=nullable)):
                return GlobalType(RefType.of(nullable, self.place(heap)), desc.mutable)
        return desc


def check_distinct_imports(names: list[tuple[str, str]], offset: int) -> None:
    """Raises InvalidError where a module imports something twice: in a component it could not be told apart."""
    seen = set()
    for module, name in names:
        if (module, name) in seen:
            raise InvalidError(f"duplicate import name `{module}:{name}`", offset=offset)
        seen.add((module, name))


def extern_of(registry: TypeRegistry, ids: Sequence[int], desc: Any) -> CoreExtern:
    """What a module imports or exports, with ids in the place of its type indices."""
    match desc:
        case int():
            return CoreFunc(ids[desc])
        case TagType(type_index=index):
            return CoreTag(ids[index])
        case TableType(element=element, limits=limits):
            canonical = registry.canonical(element, ids)
            assert isinstance(canonical, RefType)
            return TableType(canonical, limits)
        case GlobalType(value=value, mutable=mutable):
            return GlobalType(registry.canonical(value, ids), mutable)
    assert isinstance(desc, MemoryType)
    return desc


def type_of_module(model: ModuleModel, registry: TypeRegistry, offset: int) -> CoreModuleType:
    """The type of a valid module. Raises InvalidError where it imports something twice."""
    ids = registry.register(model)
    names = [(import_.module, import_.name) for import_ in model.imports]
    check_distinct_imports(names, offset)
    imports = [extern_of(registry, ids, import_.desc) for import_ in model.imports]
    spaces: dict[str, Sequence[Any]] = {
        "func": model.func_types,
        "table": model.table_types,
        "memory": model.memory_types,
        "global": model.global_types,
        "tag": model.tag_types,
    }
    exports = {each.name: extern_of(registry, ids, spaces[each.kind][each.index]) for each in model.exports}
    return CoreModuleType(dict(zip(names, imports, strict=True)), exports)


KINDS = {CoreFunc: "func", TableType: "table", MemoryType: "memory", GlobalType: "global", CoreTag: "tag"}
"""What a core thing is, by the class of its type."""


def check_core_match(registry: TypeRegistry, actual: CoreExtern, expected: CoreExtern, what: str) -> None:
    """Raises InvalidError unless one core thing may stand where the other is expected (core §3.3)."""
    if actual.__class__ is not expected.__class__:
        message = f"expected {KINDS[expected.__class__]}, found {KINDS[actual.__class__]}"
        raise InvalidError(f"type mismatch in {what}: {message}")
    if not _matches(registry, actual, expected):
        raise InvalidError(
            f"type mismatch in {what}: expected {_shown(registry, expected)}, found {_shown(registry, actual)}"
        )


def _matches(registry: TypeRegistry, actual: CoreExtern, expected: CoreExtern) -> bool:
    match actual, expected:
        case CoreFunc(), CoreFunc():
            return registry.is_subtype_id(actual.type_id, expected.type_id)
        case CoreTag(), CoreTag():
            return actual.type_id == expected.type_id
        case GlobalType(), GlobalType():
            fits = actual.mutable == expected.mutable and registry.is_subtype(actual.value, expected.value)
            return fits and (not expected.mutable or registry.is_subtype(expected.value, actual.value))
        case TableType(), TableType():
            same = actual.element is expected.element
            return same and limits_match(actual.limits, expected.limits)
        case MemoryType(), MemoryType():
            same = actual.page_size_log2 == expected.page_size_log2
            return same and limits_match(actual.limits, expected.limits)
    return False


def _shown(registry: TypeRegistry, extern: CoreExtern) -> str:
    if isinstance(extern, CoreFunc | CoreTag):
        return str(registry.func_type(extern.type_id))
    return str(extern)
