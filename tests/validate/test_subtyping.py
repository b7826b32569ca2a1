from __future__ import annotations

import itertools

import pytest

from tests.validate.build import func, ref
from wasmark.core.types import (
    EXTERNREF,
    F32,
    FUNCREF,
    I32,
    I64,
    ArrayType,
    CompositeType,
    FieldType,
    HeapType,
    PackedType,
    StructType,
)
from wasmark.validate.subtyping import composite_matches, field_matches, heap_matches, val_matches

KINDS = (HeapType.FUNC, HeapType.STRUCT, HeapType.ARRAY)


class Kinds:
    """Three defined types, unrelated to each other: 0 a function, 1 a structure, 2 an array."""

    def kind(self, index: int) -> HeapType:
        return KINDS[index]

    def is_subtype_id(self, sub: int, sup: int) -> bool:
        return sub == sup


SPACE = Kinds()

# The whole hierarchy of core §3.3.3: each type with all that lies strictly above it.
ABOVE: dict[HeapType | int, str] = {
    HeapType.ANY: "",
    HeapType.EQ: "any",
    HeapType.I31: "eq any",
    HeapType.STRUCT: "eq any",
    HeapType.ARRAY: "eq any",
    HeapType.NONE: "i31 struct array eq any 1 2",
    HeapType.FUNC: "",
    HeapType.NOFUNC: "func 0",
    HeapType.EXTERN: "",
    HeapType.NOEXTERN: "extern",
    HeapType.EXN: "",
    HeapType.NOEXN: "exn",
    0: "func",
    1: "struct eq any",
    2: "array eq any",
}


@pytest.mark.parametrize(("sub", "sup"), list(itertools.product(ABOVE, ABOVE)))
def test_heap_types_match_as_in_the_hierarchy(sub: HeapType | int, sup: HeapType | int) -> None:
    assert heap_matches(SPACE, sub, sup) == (sub == sup or str(sup) in ABOVE[sub].split())


def test_a_nullable_reference_does_not_match_one_that_is_not() -> None:
    assert val_matches(SPACE, ref(HeapType.FUNC), FUNCREF)
    assert not val_matches(SPACE, FUNCREF, ref(HeapType.FUNC))


def test_numbers_match_themselves_only() -> None:
    assert val_matches(SPACE, I32, I32)
    assert not val_matches(SPACE, I32, F32)
    assert not val_matches(SPACE, I32, FUNCREF)
    assert not val_matches(SPACE, FUNCREF, EXTERNREF)


NARROW, WIDE = ref(HeapType.FUNC), FUNCREF


@pytest.mark.parametrize(
    ("sub", "sup", "matches"),
    [
        (FieldType(NARROW, False), FieldType(WIDE, False), True),
        (FieldType(WIDE, False), FieldType(NARROW, False), False),
        (FieldType(NARROW, True), FieldType(WIDE, True), False),
        (FieldType(WIDE, True), FieldType(WIDE, True), True),
        (FieldType(WIDE, True), FieldType(WIDE, False), False),
        (FieldType(WIDE, False), FieldType(WIDE, True), False),
        (FieldType(PackedType.I8, False), FieldType(PackedType.I8, False), True),
        (FieldType(PackedType.I8, False), FieldType(PackedType.I16, False), False),
        (FieldType(PackedType.I8, False), FieldType(I32, False), False),
    ],
)
def test_mutable_fields_are_invariant_and_others_covariant(sub: FieldType, sup: FieldType, matches: bool) -> None:
    assert field_matches(SPACE, sub, sup) == matches


@pytest.mark.parametrize(
    ("sub", "sup", "matches"),
    [
        (func((WIDE,), (NARROW,)), func((NARROW,), (WIDE,)), True),
        (func((NARROW,)), func((WIDE,)), False),
        (func((), (WIDE,)), func((), (NARROW,)), False),
        (func((I32,)), func((I32, I32)), False),
        (func((), (I32, I64)), func((), (I32,)), False),
        (StructType((FieldType(NARROW, False), FieldType(I32, True))), StructType((FieldType(WIDE, False),)), True),
        (StructType(()), StructType((FieldType(I32, True),)), False),
        (StructType((FieldType(I64, True),)), StructType((FieldType(I32, True),)), False),
        (ArrayType(FieldType(NARROW, False)), ArrayType(FieldType(WIDE, False)), True),
        (ArrayType(FieldType(NARROW, True)), ArrayType(FieldType(WIDE, True)), False),
        (ArrayType(FieldType(I32, True)), StructType((FieldType(I32, True),)), False),
        (func(), StructType(()), False),
    ],
)
def test_composite_types_match_member_by_member(sub: CompositeType, sup: CompositeType, matches: bool) -> None:
    assert composite_matches(SPACE, sub, sup) == matches
