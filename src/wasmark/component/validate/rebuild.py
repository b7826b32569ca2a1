"""Types made of other types: the same type with other parts, what it mentions, how large it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

MAX_PARTS: Final = 10_000
"""How many types a value type may be made of, each counted as often as it occurs."""
MAX_ITEMS: Final = 50_000
"""The same for the types of instances and components."""
MAX_DEPTH: Final = 100
"""How deep types may be in each other."""

_New = Callable[[T.ValType], T.ValType]


def _optional(type_: T.ValType | None, new: _New) -> T.ValType | None:
    return None if type_ is None else new(type_)


_REBUILD: Final[dict[type, Callable[[Any, _New], T.ValType]]] = {
    T.List: lambda t, new: T.List(new(t.element)),
    T.FixedList: lambda t, new: T.FixedList(new(t.element), t.length),
    T.Map: lambda t, new: T.Map(new(t.key), new(t.value)),
    T.Record: lambda t, new: T.Record(tuple((label, new(part)) for label, part in t.fields)),
    T.Tuple: lambda t, new: T.Tuple(tuple(map(new, t.types))),
    T.Variant: lambda t, new: T.Variant(tuple((label, _optional(part, new)) for label, part in t.cases)),
    T.Option: lambda t, new: T.Option(new(t.some)),
    T.Result: lambda t, new: T.Result(_optional(t.ok, new), _optional(t.error, new)),
    T.Stream: lambda t, new: T.Stream(_optional(t.element, new)),
    T.Future: lambda t, new: T.Future(_optional(t.element, new)),
}


def with_parts(type_: T.ValType, new: _New) -> T.ValType:
    """The type with each of its parts replaced; the type itself where it has none."""
    rebuild = _REBUILD.get(type_.__class__)
    return type_ if rebuild is None else rebuild(type_, new)


_STAND_IN: Final = T.ResourceType()


def resources_in(type_: T.ValType) -> list[T.ResourceType]:
    """The resource types that a type mentions, in order, each as often as it does."""
    if isinstance(type_, T.HandleType):
        return [type_.resource]
    return [found for part in type_.children() for found in resources_in(part)]


def with_stand_ins(type_: T.ValType) -> T.ValType:
    """The type with all resource types in it replaced by one and the same."""
    if isinstance(type_, T.HandleType):
        return type(type_)(_STAND_IN)
    return with_parts(type_, with_stand_ins)


def func_with_parts(type_: T.FuncType, new: _New) -> T.FuncType:
    """The same for the type of a function."""
    params = tuple((label, new(part)) for label, part in type_.params)
    return T.FuncType(params, _optional(type_.result, new), type_.is_async)


class Measures:
    """The sizes of the types that have been asked for."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[object, int, int]] = {}  # by id: the type, its parts, its depth

    def check(self, type_: object) -> None:
        """Raises UnsupportedError for a type that is too large or too deep to work with."""
        size, depth = self._measure(type_)
        limit = MAX_PARTS if isinstance(type_, T.ValType) else MAX_ITEMS
        if size > limit or depth > MAX_DEPTH:
            what = f"of {size} parts, {depth} deep"
            raise UnsupportedError(
                f"a type {what}: the limits are {limit} parts and a depth of {MAX_DEPTH}", part="huge types"
            )

    def _measure(self, type_: object) -> tuple[int, int]:
        known = self._known.get(id(type_))
        if known is not None:
            return known[1:]
        size = depth = 0
        for part in parts_of(type_):
            part_size, part_depth = self._measure(part)
            size += part_size
            depth = max(depth, part_depth)
        self._known[id(type_)] = type_, size + 1, depth + 1
        return size + 1, depth + 1


def parts_of(type_: object) -> Sequence[object]:
    """All types that a type mentions directly."""
    match type_:
        case T.Own(resource=resource) | T.Borrow(resource=resource):
            return [resource]
        case T.ValType():
            return type_.children()
        case T.FuncType(params=params, result=result):
            return [part for _, part in params] + ([] if result is None else [result])
        case T.InstanceType(exports=exports):
            return list(exports.values())
        case T.ComponentType(imports=imports, exports=exports):
            return [*imports.values(), *exports.values()]
        case T.TypeExtern(type=inner):
            return [inner]
    return []


def mentions(type_: object, classes: type | tuple[type, ...]) -> bool:
    """Whether a type, or one that it is made of, is of one of these classes."""
    waiting = [type_]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if isinstance(each, classes):
            return True
        if id(each) not in seen:
            seen.add(id(each))
            waiting += parts_of(each)
    return False


def free_resources(type_: object) -> set[T.ResourceType]:
    """The resource types that a type mentions and does not introduce."""
    free: set[T.ResourceType] = set()
    bound: set[T.ResourceType] = set()
    waiting = [type_]
    seen: set[int] = set()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, T.ResourceType):
            free.add(each)
        elif isinstance(each, T.InstanceType):
            bound.update(each.resources)
        elif isinstance(each, T.ComponentType):
            bound.update(each.imported, each.exported)
        waiting += parts_of(each)
    return free - bound
