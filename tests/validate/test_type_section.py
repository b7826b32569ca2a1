from __future__ import annotations

import pytest

from tests.validate.build import ALL, Builder, func, ref
from wasmark.core.features import Feature
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
    SubType,
)
from wasmark.errors import InvalidError, UnsupportedError

TYPE_SECTION = 0x0A


def section(*groups: tuple[CompositeType | SubType, ...]) -> Builder:
    builder = Builder()
    builder.model.sections.append((1, TYPE_SECTION, 0x40))
    for group in groups:
        builder.types(*group)
    return builder


def open_(composite: CompositeType, *supertypes: int) -> SubType:
    return SubType(composite, supertypes, False)


def test_types_may_refer_to_their_own_group_and_to_earlier_ones() -> None:
    section(
        (func((ref(0),), (ref(0),)),),
        (func((ref(2),)), func((), (ref(1),))),
        (),
        (StructType((FieldType(ref(2, null=True), True),)), ArrayType(FieldType(ref(3), False))),
    ).validate()


@pytest.mark.parametrize(
    "composite",
    [
        func((ref(1),)),
        func((), (ref(1, null=True),)),
        StructType((FieldType(I32, True), FieldType(ref(1), True))),
        ArrayType(FieldType(ref(1), False)),
    ],
)
def test_types_may_not_refer_to_later_groups(composite: CompositeType) -> None:
    section((composite,), (func(),)).refused("unknown type 1", at=TYPE_SECTION)


def test_gc_types_are_valid() -> None:
    heaps = (HeapType.ANY, HeapType.EQ, HeapType.I31, HeapType.STRUCT, HeapType.ARRAY, HeapType.NONE, HeapType.EXN)
    section((func(tuple(map(ref, heaps))),)).validate()


def test_a_sub_type_may_refine_an_open_one() -> None:
    wide, narrow = FieldType(FUNCREF, False), FieldType(ref(HeapType.FUNC), False)
    section(
        (open_(StructType((wide,))), open_(StructType((narrow, narrow)), 0)),
        (open_(func((ref(1),), (ref(0),))),),
        (SubType(func((ref(0),), (ref(1),)), (2,)),),
        (open_(ArrayType(wide)), SubType(ArrayType(narrow), (4,))),
    ).validate()


def test_a_sub_type_may_refine_within_its_recursion() -> None:
    """The comparison of the two bodies needs the relation that it establishes."""
    section((open_(func((), (ref(0),))), open_(func((), (ref(1),)), 0))).validate()


@pytest.mark.parametrize(
    ("sup", "sub"),
    [
        (SubType(func()), func()),
        (open_(func((I32,))), func((I64,))),
        (open_(func((), (I32,))), func()),
        (open_(func()), StructType(())),
        (open_(StructType((FieldType(I32, True),))), StructType(())),
        (open_(ArrayType(FieldType(I32, True))), ArrayType(FieldType(I32, False))),
    ],
)
def test_a_sub_type_must_match_an_open_super_type(sup: SubType, sub: CompositeType) -> None:
    section((sup,), (SubType(sub, (0,)),)).refused("sub type 1", at=TYPE_SECTION)


@pytest.mark.parametrize(
    ("sup", "sub", "why"),
    [
        (func((I32,)), StructType(()), "a structure is no function"),
        (func((I32,)), func(), "it is [] -> [], and not [i32] -> []"),
        (StructType((FieldType(I32, True),)), StructType(()), "it has 0 of 1 fields"),
        (
            StructType((FieldType(I32, False), FieldType(I32, True))),
            StructType((FieldType(I32, False), FieldType(I32, False))),
            "field 1 is i32, and not mut i32",
        ),
        (
            ArrayType(FieldType(PackedType.I8, True)),
            ArrayType(FieldType(F32, True)),
            "its elements are mut f32, and not mut i8",
        ),
    ],
)
def test_a_sub_type_is_told_why_it_does_not_match(sup: CompositeType, sub: CompositeType, why: str) -> None:
    section((open_(sup),), (SubType(sub, (0,)),)).refused(
        f"sub type 1 does not match its super type 0: {why}", at=TYPE_SECTION
    )


def test_a_super_type_comes_first() -> None:
    section((open_(func(), 1), open_(func()))).refused("forward use of type 1 in sub type 0")
    section((open_(func(), 0),)).refused("forward use of type 0 in sub type 0")
    section((open_(func(), 7),)).refused("unknown type 7")


def test_there_is_one_super_type_at_most() -> None:
    section((open_(func()),), (open_(func()),), (open_(func(), 0, 1),)).refused(
        "sub type 2 has more than one super type"
    )


def line(length: int) -> Builder:
    return section((open_(func()),), *((open_(func(), i),) for i in range(length)))


def test_limits_on_types_are_those_of_the_javascript_interface() -> None:
    line(63).validate()
    section((func((I32,) * 1000, (I32,) * 1000),)).validate()
    section((StructType((FieldType(I32, True),) * 10_000),)).validate()


@pytest.mark.parametrize(
    ("builder", "message"),
    [
        (line(64), "type 64 has more than 63 super types above each other"),
        (section((func((I32,) * 1001),)), "type 0 has 1001 parameters, and the limit is 1000"),
        (section((func(), func((), (I32,) * 1001))), "type 1 has 1001 results, and the limit is 1000"),
        (section((StructType((FieldType(I32, True),) * 10_001),)), "type 0 has 10001 fields, and the limit is 10000"),
    ],
)
def test_types_beyond_the_limits_are_not_supported(builder: Builder, message: str) -> None:
    with pytest.raises(UnsupportedError, match=message):
        builder.validate()


@pytest.mark.parametrize(
    ("feature", "group"),
    [
        (Feature.MULTI_VALUE, (func((), (I32, I32)),)),
        (Feature.REFERENCE_TYPES, (func((FUNCREF,)),)),
        (Feature.REFERENCE_TYPES, (func((), (EXTERNREF,)),)),
        (Feature.FUNCTION_REFERENCES, (func((ref(HeapType.FUNC),)),)),
        (Feature.FUNCTION_REFERENCES, (func((ref(0),)),)),
        (Feature.GC, (func((ref(HeapType.ANY, null=True),)),)),
        (Feature.GC, (StructType(()),)),
        (Feature.GC, (func(), func())),
        (Feature.GC, (open_(func()),)),
    ],
)
def test_types_of_a_disabled_feature_are_refused_by_its_name(
    feature: Feature, group: tuple[CompositeType | SubType, ...]
) -> None:
    builder = section(group)
    builder.validate()
    with pytest.raises(InvalidError, match=f"is part of the '{feature.value}' feature, which is not enabled") as caught:
        builder.validate(ALL - {feature})
    assert caught.value.offset == TYPE_SECTION
