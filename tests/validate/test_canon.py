from __future__ import annotations

import sys
import threading
from collections.abc import Iterator

import pytest

from tests.validate.build import Builder, func, ref
from wasmark.core.types import (
    FUNCREF,
    I32,
    I64,
    ArrayType,
    CompositeType,
    FieldType,
    FuncType,
    HeapType,
    PackedType,
    StructType,
    SubType,
)
from wasmark.validate import TypeRegistry


def register(registry: TypeRegistry, *groups: tuple[CompositeType | SubType, ...]) -> tuple[int, ...]:
    builder = Builder()
    for group in groups:
        builder.types(*group)
    return registry.register(builder.model)


def test_ids_start_at_one_and_are_dense() -> None:
    registry = TypeRegistry()
    assert register(registry, (func(),), (func((I32,)),)) == (1, 2)
    assert len(registry) == 2


def test_equal_types_of_different_modules_have_one_id() -> None:
    registry = TypeRegistry()
    first = register(registry, (func(),), (func((I32,), (I64,)),))
    second = register(registry, (func((I32,), (I64,)),), (func(),), (func((I64,)),))
    assert second == (first[1], first[0], 3)
    assert len(registry) == 3


def test_equal_types_of_one_module_have_one_id() -> None:
    assert register(TypeRegistry(), (func(),), (func(),)) == (1, 1)


def test_references_to_equal_types_are_equal() -> None:
    registry = TypeRegistry()
    one = register(registry, (func(),), (func((ref(0),)),))
    two = register(registry, (func((I64,)),), (func(),), (func((ref(1),)),))
    assert one[1] == two[2]
    assert registry.func_type(one[1]).params == (ref(one[0]),)


def test_references_to_different_types_are_different() -> None:
    one, two, of_one, of_two = register(
        TypeRegistry(), (func(),), (func((I32,)),), (func((ref(0),)),), (func((ref(1),)),)
    )
    assert one != two
    assert of_one != of_two


def test_recursive_types_are_equal_by_position_in_their_group() -> None:
    def link(index: int) -> tuple[CompositeType, CompositeType]:
        return (func((ref(index + 1),)), StructType((FieldType(ref(index), False),)))

    registry = TypeRegistry()
    ids = register(registry, link(0), (func(),), link(3))
    assert ids[3:5] == ids[0:2]
    # Seen from outside, a member's own group is made of absolute ids.
    assert registry.func_type(ids[0]).params == (ref(ids[1]),)


def test_a_group_that_unrolls_another_is_not_equal_to_it() -> None:
    """Iso-recursive, not equi-recursive: `t = func(ref t)` and `u = func(ref t)` describe the same infinite tree."""
    t, u = register(TypeRegistry(), (func((ref(0),)),), (func((ref(0),)),))
    assert t != u


def test_the_members_before_and_after_are_part_of_the_identity() -> None:
    empty = StructType(())
    ids = register(TypeRegistry(), (func(), empty), (empty, func()), (func(),), (func(), empty))
    assert len({ids[0], ids[3], ids[4]}) == 3
    assert ids[5:7] == ids[0:2]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (SubType(func(), (), True), SubType(func(), (), False)),
        (SubType(func((I32,))), SubType(func((), (I32,)))),
        (SubType(ArrayType(FieldType(I32, True))), SubType(ArrayType(FieldType(I32, False)))),
        (SubType(ArrayType(FieldType(I32, True))), SubType(ArrayType(FieldType(PackedType.I8, True)))),
        (SubType(ArrayType(FieldType(I32, True))), SubType(StructType((FieldType(I32, True),)))),
        (SubType(func((FUNCREF,))), SubType(func((ref(HeapType.FUNC),)))),
    ],
)
def test_what_differs_in_one_respect_is_different(one: SubType, other: SubType) -> None:
    ids = register(TypeRegistry(), (one,), (other,))
    assert ids[0] != ids[1]


def chain(registry: TypeRegistry, length: int) -> tuple[int, ...]:
    """A line of sub types, the top first."""
    return register(
        registry, *((SubType(func(), (i - 1,) if i else (), False),) for i in range(length)), (SubType(func((I32,))),)
    )


def test_sub_types_follow_the_declared_line_only() -> None:
    registry = TypeRegistry()
    *line, other = chain(registry, 20)
    for i, sub in enumerate(line):
        for j, sup in enumerate(line):
            assert registry.is_subtype_id(sub, sup) == (i >= j)
        assert not registry.is_subtype_id(sub, other)
        assert not registry.is_subtype_id(other, sub)
    assert registry.supertypes(line[2]) == tuple(line[:3])


def test_siblings_do_not_match() -> None:
    registry = TypeRegistry()
    top, left, right = register(
        registry,
        (SubType(func((), (FUNCREF,)), (), False),),
        (SubType(func((), (FUNCREF,)), (0,), False),),
        (SubType(func((), (ref(HeapType.FUNC),)), (0,), False),),
    )
    assert registry.is_subtype_id(left, top)
    assert registry.is_subtype_id(right, top)
    assert not registry.is_subtype_id(left, right)
    assert not registry.is_subtype_id(top, left)


def test_value_types_match_in_canonical_space() -> None:
    registry = TypeRegistry()
    top, sub, struct = register(
        registry, (SubType(func(), (), False),), (SubType(func(), (0,), True),), (StructType(()),)
    )
    assert registry.is_subtype(ref(sub), ref(top, null=True))
    assert not registry.is_subtype(ref(top), ref(sub))
    assert not registry.is_subtype(ref(sub, null=True), ref(top))
    assert registry.is_subtype(ref(sub), FUNCREF)
    assert not registry.is_subtype(ref(struct), FUNCREF)
    assert registry.is_subtype(ref(struct), ref(HeapType.EQ))
    assert registry.is_subtype(ref(HeapType.NOFUNC), ref(sub))
    assert not registry.is_subtype(ref(HeapType.NONE), ref(sub))
    assert registry.is_subtype(I32, I32)
    assert not registry.is_subtype(I32, I64)
    assert not registry.is_subtype(I32, FUNCREF)


def test_canonical_replaces_type_indices_only() -> None:
    registry = TypeRegistry()
    register(registry, (func((I64,)),))
    ids = register(registry, (func(),))
    assert registry.canonical(ref(0, null=True), ids) is ref(ids[0], null=True)
    assert registry.canonical(FUNCREF, ids) is FUNCREF
    assert registry.canonical(I32, ids) is I32


def test_func_type_of_another_kind_of_type_is_an_error() -> None:
    registry = TypeRegistry()
    (struct,) = register(registry, (StructType(()),))
    with pytest.raises(TypeError):
        registry.func_type(struct)
    assert registry.sub_type(struct) == SubType(StructType(()))


def test_an_empty_group_has_no_ids() -> None:
    assert register(TypeRegistry(), (), (func(),), ()) == (1,)


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Threads take turns as often as they can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("eager_threads")
def test_threads_that_register_the_same_types_agree() -> None:
    registry = TypeRegistry()
    start = threading.Barrier(4)
    found: list[tuple[int, ...]] = []

    def work() -> None:
        start.wait()
        groups = [(FuncType((I32,) * n, ()), StructType((FieldType(ref(2 * n), True),))) for n in range(100)]
        found.append(register(registry, *groups))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert sorted(found[0]) == list(range(1, 201))
