"""Matching (core §3.3): which type may stand where another is expected.

The rules are written once, over a `TypeSpace`: they serve a module's own type indices (`validate.type_section`) and the
canonical ids of an engine (`validate.canon`) alike. Everything here is a pure function of its arguments.
"""

from __future__ import annotations

from wasmark.core.types import (
    ArrayType,
    CompositeType,
    FieldType,
    FuncType,
    HeapType,
    Limits,
    RefType,
    StorageType,
    StructType,
    ValType,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, Protocol
else:
    Protocol = object


class TypeSpace(Protocol):
    """Where the integers in concrete heap types lead to."""

    def kind(self, index: int) -> HeapType:
        """The abstract type right above a defined one: FUNC, STRUCT or ARRAY."""

    def is_subtype_id(self, sub: int, sup: int) -> bool:
        """Whether `sup` is `sub` or one of its declared supertypes (core §3.3.10)."""


_DIRECT_SUPERTYPES: Final = {
    HeapType.EQ: (HeapType.ANY,),
    HeapType.I31: (HeapType.EQ,),
    HeapType.STRUCT: (HeapType.EQ,),
    HeapType.ARRAY: (HeapType.EQ,),
    HeapType.NONE: (HeapType.I31, HeapType.STRUCT, HeapType.ARRAY),
    HeapType.NOFUNC: (HeapType.FUNC,),
    HeapType.NOEXTERN: (HeapType.EXTERN,),
    HeapType.NOEXN: (HeapType.EXN,),
}


def _closure(heap: HeapType) -> frozenset[HeapType]:
    found = {heap}
    for above in _DIRECT_SUPERTYPES.get(heap, ()):
        found |= _closure(above)
    return frozenset(found)


ABSTRACT_SUPERTYPES: Final[dict[HeapType, frozenset[HeapType]]] = {heap: _closure(heap) for heap in HeapType}
"""Every abstract heap type with all that it matches (core §3.3.3), itself included."""

_BOTTOM_OF: Final = {HeapType.FUNC: HeapType.NOFUNC, HeapType.STRUCT: HeapType.NONE, HeapType.ARRAY: HeapType.NONE}

TOP_OF: Final[dict[HeapType, HeapType]] = {
    heap: next(top for top in (HeapType.ANY, HeapType.FUNC, HeapType.EXTERN, HeapType.EXN) if top in above)
    for heap, above in ABSTRACT_SUPERTYPES.items()
}
"""The top of the hierarchy that an abstract heap type belongs to."""

_KIND_OF: Final[dict[type, HeapType]] = {
    FuncType: HeapType.FUNC,
    StructType: HeapType.STRUCT,
    ArrayType: HeapType.ARRAY,
}


def kind_of(composite: CompositeType) -> HeapType:
    """The abstract heap type that a composite type expands to: FUNC, STRUCT or ARRAY."""
    return _KIND_OF[composite.__class__]


def heap_matches(space: TypeSpace, sub: HeapType | int, sup: HeapType | int) -> bool:
    """Core §3.3.3."""
    if isinstance(sup, HeapType):
        return sup in ABSTRACT_SUPERTYPES[sub if isinstance(sub, HeapType) else space.kind(sub)]
    if isinstance(sub, HeapType):
        return sub is _BOTTOM_OF[space.kind(sup)]
    return space.is_subtype_id(sub, sup)


def ref_matches(space: TypeSpace, sub: RefType, sup: RefType) -> bool:
    """Core §3.3.4."""
    return (sup.nullable or not sub.nullable) and heap_matches(space, sub.heap, sup.heap)


def val_matches(space: TypeSpace, sub: ValType, sup: ValType) -> bool:
    """Core §3.3.5."""
    if sub is sup:
        return True
    return isinstance(sub, RefType) and isinstance(sup, RefType) and ref_matches(space, sub, sup)


def result_matches(space: TypeSpace, sub: tuple[ValType, ...], sup: tuple[ValType, ...]) -> bool:
    """Core §3.3.6."""
    return len(sub) == len(sup) and all(val_matches(space, a, b) for a, b in zip(sub, sup, strict=True))


def storage_matches(space: TypeSpace, sub: StorageType, sup: StorageType) -> bool:
    """Core §3.3.9."""
    if sub is sup:
        return True
    return isinstance(sub, RefType) and isinstance(sup, RefType) and ref_matches(space, sub, sup)


def field_matches(space: TypeSpace, sub: FieldType, sup: FieldType) -> bool:
    """Core §3.3.9: a mutable field is invariant."""
    if sub.mutable != sup.mutable or not storage_matches(space, sub.storage, sup.storage):
        return False
    return not sub.mutable or storage_matches(space, sup.storage, sub.storage)


def composite_matches(space: TypeSpace, sub: CompositeType, sup: CompositeType) -> bool:
    """Core §3.3.8: functions are contravariant in their parameters, structures may have more fields."""
    if isinstance(sub, FuncType) and isinstance(sup, FuncType):
        return result_matches(space, sup.params, sub.params) and result_matches(space, sub.results, sup.results)
    if isinstance(sub, StructType) and isinstance(sup, StructType):
        return len(sub.fields) >= len(sup.fields) and all(
            field_matches(space, a, b) for a, b in zip(sub.fields, sup.fields, strict=False)
        )
    if isinstance(sub, ArrayType) and isinstance(sup, ArrayType):
        return field_matches(space, sub.field, sup.field)
    return False


def limits_match(sub: Limits, sup: Limits) -> bool:
    """Core §3.3.11, and whether both are shared (threads proposal)."""
    if sub.is64 != sup.is64 or sub.shared != sup.shared or sub.minimum < sup.minimum:
        return False
    return sup.maximum is None or (sub.maximum is not None and sub.maximum <= sup.maximum)
