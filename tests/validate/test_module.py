from __future__ import annotations

import pytest

from tests.validate.build import ALL, Builder, Item, accept, func, ref
from wasmark.core.features import Feature
from wasmark.core.types import (
    EXTERNREF,
    F32,
    FUNCREF,
    I32,
    I64,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    StructType,
    TableType,
    TagType,
    ValType,
)
from wasmark.errors import InvalidError
from wasmark.validate import validate_module

NOT_NULL = ref(HeapType.FUNC)
AT = 0x55


def test_an_empty_module_is_valid() -> None:
    Builder().validate()


# Imports


def test_imports_of_every_kind_are_valid_and_come_first() -> None:
    builder = Builder()
    type_ = builder.types(func((I64,)))
    builder.import_("func", type_)
    builder.import_("table", TableType(EXTERNREF, Limits(0)))
    builder.import_("memory", MemoryType(Limits(0, is64=True)))
    builder.import_("global", GlobalType(F32, True))
    builder.import_("tag", TagType(type_))
    builder.export("f", "func", 0)
    builder.export("tag", "tag", 0)
    accept(
        "i64.const 0", "call 0",
        "i32.const 0", "table.get 0", "drop",
        "memory.size 0", "drop",
        "global.get 0", "global.set 0",
        builder=builder,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "desc", "message"),
    [
        ("func", 9, "unknown type 9"),
        ("func", 0, "non-function type 0"),
        ("table", TableType(ref(9), Limits(0)), "unknown type 9"),
        ("table", TableType(FUNCREF, Limits(2, 1)), "size minimum must not be greater than maximum"),
        ("memory", MemoryType(Limits(65537)), "memory size must be at most 65536 pages (4 GiB)"),
        ("global", GlobalType(ref(9), False), "unknown type 9"),
        ("tag", TagType(9), "unknown type 9"),
        ("tag", TagType(0), "non-function type 0"),
        ("tag", TagType(1), "non-empty tag result type"),
    ],
)
def test_imports_have_valid_types(kind: str, desc: object, message: str) -> None:
    builder = Builder()
    builder.types(StructType(()))
    builder.types(func((), (I32,)))
    builder.import_(kind, desc, AT)
    builder.refused(message, at=AT)


# Functions, memories, tables, tags


def test_functions_have_function_types() -> None:
    builder = Builder()
    builder.types(StructType(()))
    builder.func(0, entry=AT)
    builder.refused("non-function type 0", at=AT)
    builder = Builder()
    builder.func(9, entry=AT)
    builder.refused("unknown type 9", at=AT)


def test_tags_have_no_results() -> None:
    builder = Builder()
    builder.types(func((I32,)))
    builder.types(func((), (I32,)))
    builder.model.sections.append((13, AT, AT + 4))
    builder.model.tags.append(TagType(0))
    builder.validate()
    builder.model.tags.append(TagType(1))
    builder.refused("non-empty tag result type", at=AT)


PAGES_32, PAGES_64 = "memory size must be at most 65536 pages (4 GiB)", "memory size must be at most 2^48 pages"
ORDER = "size minimum must not be greater than maximum"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits(0), None),
        (Limits(1 << 16, 1 << 16), None),
        (Limits(1 << 48, 1 << 48, is64=True), None),
        (Limits((1 << 16) + 1), PAGES_32),
        (Limits(0, (1 << 16) + 1), PAGES_32),
        (Limits(0, (1 << 48) + 1, is64=True), PAGES_64),
        (Limits((1 << 48) + 1, is64=True), PAGES_64),
        (Limits(2, 1), ORDER),
        (Limits(2, 1, is64=True), ORDER),
    ],
)
def test_limits_of_memories_are_checked(limits: Limits, message: str | None) -> None:
    builder = Builder()
    builder.model.sections.append((5, AT, AT + 4))
    builder.model.memories.append(MemoryType(limits))
    if message is None:
        builder.validate()
    else:
        builder.refused(message, at=AT)


ELEMENTS_32, ELEMENTS_64 = "table size must be at most 2^32 - 1", "table size must be at most 2^64 - 1"


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        (Limits((1 << 32) - 1, (1 << 32) - 1), None),
        (Limits(0, (1 << 64) - 1, is64=True), None),
        (Limits(1 << 32), ELEMENTS_32),
        (Limits(0, 1 << 32), ELEMENTS_32),
        (Limits(0, 1 << 64, is64=True), ELEMENTS_64),
        (Limits(2, 1), ORDER),
    ],
)
def test_limits_of_tables_are_checked(limits: Limits, message: str | None) -> None:
    builder = Builder()
    builder.table(FUNCREF, offset=AT)
    builder.model.tables[0].type = TableType(FUNCREF, limits)
    if message is None:
        builder.validate()
    else:
        builder.refused(message, at=AT)


@pytest.mark.parametrize(
    ("type_", "feature"),
    [
        (MemoryType(Limits(0, 1, shared=True)), Feature.THREADS),
        (MemoryType(Limits(0), 0), Feature.CUSTOM_PAGE_SIZES),
    ],
)
def test_what_proposals_add_to_memories_depends_on_their_features(type_: MemoryType, feature: Feature) -> None:
    builder = Builder()
    builder.model.memories.append(type_)
    builder.validate()
    with pytest.raises(InvalidError, match=feature.value):
        validate_module(builder.model, ALL - {feature})


def test_pages_have_one_of_two_sizes() -> None:
    builder = Builder()
    builder.model.memories.append(MemoryType(Limits(0), 3))
    builder.refused("invalid custom page size")


def test_a_table_that_cannot_hold_null_has_an_initial_value() -> None:
    builder = Builder()
    builder.table(NOT_NULL, offset=AT)
    builder.refused("type mismatch: a table of (ref func) expected an initial value", at=AT)
    builder = Builder()
    builder.func()
    builder.table(NOT_NULL, init=builder.expr("ref.func 0"))
    builder.validate()


def test_the_initial_value_of_a_table_matches_its_elements() -> None:
    builder = Builder()
    builder.table(FUNCREF, init=builder.expr(("ref.null", HeapType.EXTERN)))
    builder.refused("type mismatch: end expected funcref, found externref")


def test_the_initial_value_of_a_table_sees_imported_globals_only() -> None:
    builder = Builder()
    builder.import_("global", GlobalType(FUNCREF, False))
    builder.table(FUNCREF, init=builder.expr("global.get 0"))
    builder.global_(FUNCREF, builder.expr(("ref.null", HeapType.FUNC)))
    builder.validate()
    builder.table(FUNCREF, init=builder.expr("global.get 1"))
    builder.refused("unknown global 1")


# Constant expressions


def constant(
    *items: Item, expected: ValType = I32, features: frozenset[Feature] = ALL, message: str | None = None, at: int = 0
) -> None:
    """Global 2 has `items` as its initial value, behind an imported constant (0), and a variable (1); both are i32.

    `at` is the number of the byte of the expression where the error is.
    """
    builder = Builder()
    builder.import_("global", GlobalType(I32, False))
    init = builder.expr("i32.const 0")
    builder.global_(I32, init, mutable=True)
    init = builder.expr(*items)
    builder.global_(expected, init)
    if message is None:
        builder.validate(features)
    else:
        builder.refused(message, at=init.start + at, features=features)


def test_constants_have_the_type_of_what_they_initialise() -> None:
    constant("i32.const 1")
    constant("i64.const 1", expected=I64)
    constant("f32.const 1", expected=F32)
    constant("global.get 0")
    constant("f32.const 0", message="type mismatch: end expected i32, found f32", at=5)
    constant("nop", message="constant expression required, found nop")
    constant(message="type mismatch: end expected i32, found nothing")
    constant("i32.const 1", "i32.const 2", message="type mismatch: end expected [i32], found 1 operand more", at=4)


@pytest.mark.parametrize("name", ["i32.div_s", "i32.and", "i32.eqz", "unreachable", "drop", "return", "i32.clz"])
def test_other_instructions_are_not_constant(name: str) -> None:
    constant("i32.const 0", "i32.const 0", name, message=f"constant expression required, found {name}", at=4)


@pytest.mark.parametrize("name", ["add", "sub", "mul"])
@pytest.mark.parametrize("type_", [I32, I64])
def test_extended_constants_are_accepted_where_they_are_enabled(name: str, type_: ValType) -> None:
    items = (f"{type_}.const 1", f"{type_}.const 2", f"{type_}.{name}")
    constant(*items, expected=type_)
    message = f"{type_}.{name} in a constant expression is part of the 'extended-const' feature, which is not enabled"
    constant(*items, expected=type_, features=ALL - {Feature.EXTENDED_CONST}, message=message, at=4)


def test_operands_of_extended_constants_are_checked() -> None:
    constant("i32.const 1", "i64.const 2", "i32.add", message="type mismatch: i32.add expected i32, found i64", at=4)


def test_constants_use_earlier_immutable_globals_only() -> None:
    constant("global.get 1", message="constant expression required, found global.get")
    constant("global.get 2", message="unknown global 2")
    builder = Builder()
    builder.global_(I32, builder.expr("i32.const 1"))
    builder.global_(I32, builder.expr("global.get 0"))
    builder.validate()


def test_a_global_of_an_unknown_type_is_refused() -> None:
    builder = Builder()
    builder.global_(ref(4, null=True), builder.expr(("ref.null", 4)), offset=AT)
    builder.refused("unknown type 4", at=AT)


def test_function_references_are_constants_of_known_functions() -> None:
    builder = Builder()
    builder.func()
    builder.global_(ref(0), builder.expr("ref.func 0"))
    builder.validate()
    builder.global_(FUNCREF, builder.expr("ref.func 1"))
    builder.refused("unknown function 1")


# Segments


def test_data_segments_lie_in_a_memory_at_an_address() -> None:
    builder = Builder()
    builder.memory()
    builder.memory(is64=True)
    builder.data(builder.expr("i32.const 0"))
    builder.data(builder.expr("i64.const 0"), memory=1)
    builder.data()
    builder.validate()


def test_data_segments_need_their_memory() -> None:
    builder = Builder()
    builder.data(builder.expr("i32.const 0"), offset=AT)
    builder.refused("unknown memory 0", at=AT)


def test_addresses_of_data_segments_have_the_type_of_the_memory() -> None:
    builder = Builder()
    builder.memory(is64=True)
    builder.data(builder.expr("i32.const 0"))
    builder.refused("type mismatch: end expected i64, found i32")
    builder = Builder()
    builder.memory()
    builder.data(builder.expr("memory.size 0"))
    builder.refused("constant expression required, found memory.size")


def test_element_segments_lie_in_a_table_at_an_index() -> None:
    builder = Builder()
    builder.func()
    builder.table(FUNCREF)
    builder.table(EXTERNREF, is64=True)
    builder.elem(NOT_NULL, [0, 0], builder.expr("i32.const 0"))
    builder.elem(EXTERNREF, [builder.expr(("ref.null", HeapType.EXTERN))], builder.expr("i64.const 0"), table=1)
    builder.elem(FUNCREF, [builder.expr("ref.func 0")])
    builder.elem(NOT_NULL, [0], mode="declarative")
    builder.validate()


@pytest.mark.parametrize(
    ("items", "table", "message"),
    [
        ([9], 0, "unknown function 9"),
        ([], 9, "unknown table 9"),
        ([], 1, "type mismatch: the table expected elements of externref, found funcref"),
    ],
)
def test_active_element_segments_fit_their_table(items: list[int], table: int, message: str) -> None:
    builder = Builder()
    builder.table(FUNCREF)
    builder.table(EXTERNREF)
    builder.elem(FUNCREF, items, builder.expr("i32.const 0"), table, offset=AT)
    builder.refused(message, at=AT)


def test_elements_have_the_type_of_their_segment() -> None:
    builder = Builder()
    builder.func(func((I32,)))
    builder.types(func())
    builder.elem(ref(1), [0], offset=AT)
    builder.refused("type mismatch: the segment expected (ref 1), found function 0 of type (ref 0)", at=AT)
    builder = Builder()
    builder.elem(FUNCREF, [builder.expr(("ref.null", HeapType.EXTERN))])
    builder.refused("type mismatch: end expected funcref, found externref")
    builder = Builder()
    builder.elem(ref(3, null=True), [], offset=AT)
    builder.refused("unknown type 3", at=AT)


def test_element_offsets_have_the_address_type_of_the_table() -> None:
    builder = Builder()
    builder.table(FUNCREF, is64=True)
    builder.elem(FUNCREF, [], builder.expr("i32.const 0"))
    builder.refused("type mismatch: end expected i64, found i32")


# Start and exports


def test_the_start_function_takes_and_gives_nothing() -> None:
    builder = Builder()
    builder.model.sections.append((8, AT, AT + 1))
    builder.func()
    builder.func(func((I32,)))
    builder.func(func((), (I32,)))
    builder.model.start = 0
    builder.validate()
    for index, message in ((1, "start function"), (2, "start function"), (3, "unknown function 3")):
        builder.model.start = index
        builder.refused(message, at=AT)


@pytest.mark.parametrize(
    ("kind", "what"),
    [("func", "function"), ("table", "table"), ("memory", "memory"), ("global", "global"), ("tag", "tag")],
)
def test_what_is_exported_has_to_exist(kind: str, what: str) -> None:
    builder = Builder()
    builder.func()
    builder.table(FUNCREF)
    builder.memory()
    builder.global_(I32, builder.expr("i32.const 0"))
    builder.model.tags.append(TagType(0))
    builder.export("a", kind, 0)
    builder.validate()
    builder.export("b", kind, 1, offset=AT)
    builder.refused(f"unknown {what} 1", at=AT)


def test_export_names_are_unique_over_all_kinds() -> None:
    builder = Builder()
    builder.func()
    builder.memory()
    builder.export("a", "func", 0)
    builder.export("b", "func", 0)
    builder.validate()
    builder.export("a", "memory", 0, offset=AT)
    builder.refused("duplicate export name 'a'", at=AT)


# Declared function references


def declare(builder: Builder, how: str) -> None:
    match how:
        case "export":
            builder.export("f", "func", 0)
        case "global":
            builder.global_(FUNCREF, builder.expr("ref.func 0"))
        case "table":
            builder.table(FUNCREF, init=builder.expr("ref.func 0"))
        case "elem of functions":
            builder.elem(NOT_NULL, [0], mode="declarative")
        case "elem of expressions":
            builder.elem(FUNCREF, [builder.expr("ref.func 0")])
        case "start":
            builder.model.start = 0
        case "import":
            builder.import_("func", 0)


@pytest.mark.parametrize("how", ["export", "global", "table", "elem of functions", "elem of expressions"])
def test_a_function_is_declared_by_any_mention_outside_of_bodies(how: str) -> None:
    builder = Builder()
    builder.func()
    declare(builder, how)
    accept("ref.func 0", "drop", builder=builder)
    assert builder.validate().declared_functions == {0}


@pytest.mark.parametrize("how", ["start", "import", "nothing"])
def test_a_start_function_or_import_is_not_declared(how: str) -> None:
    builder = Builder()
    builder.func()
    declare(builder, how)
    with pytest.raises(InvalidError, match="undeclared function reference 0"):
        accept("ref.func 0", "drop", builder=builder)


# Features


def needs(feature: Feature) -> Builder:
    builder = Builder()
    match feature:
        case Feature.MULTI_MEMORY:
            builder.memory()
            builder.memory()
        case Feature.MEMORY64:
            builder.table(FUNCREF, is64=True)
        case Feature.REFERENCE_TYPES:
            builder.table(FUNCREF)
            builder.table(FUNCREF)
        case Feature.BULK_MEMORY:
            builder.data()
        case Feature.FUNCTION_REFERENCES:
            builder.table(FUNCREF, init=builder.expr(("ref.null", HeapType.FUNC)))
        case Feature.EXTENDED_CONST:
            builder.global_(I32, builder.expr("i32.const 1", "i32.const 1", "i32.add"))
        case Feature.MULTI_VALUE:
            builder.func(func((), (I32, I32)))
    return builder


@pytest.mark.parametrize(
    "feature",
    [
        Feature.MULTI_MEMORY, Feature.MEMORY64, Feature.REFERENCE_TYPES, Feature.BULK_MEMORY,
        Feature.FUNCTION_REFERENCES, Feature.EXTENDED_CONST, Feature.MULTI_VALUE,
    ],
)  # fmt: skip
def test_constructs_of_a_disabled_feature_are_refused_by_its_name(feature: Feature) -> None:
    with pytest.raises(InvalidError, match=f"part of the '{feature.value}' feature, which is not enabled"):
        needs(feature).validate(ALL - {feature})


def test_multiple_memories_are_named_in_the_refusal() -> None:
    needs(Feature.MULTI_MEMORY).refused("multiple memories", features=ALL - {Feature.MULTI_MEMORY})


def test_the_first_version_of_the_standard_has_tables_of_functions_and_their_segments() -> None:
    builder = Builder()
    builder.func()
    builder.table(FUNCREF)
    builder.memory()
    builder.elem(NOT_NULL, [0], builder.expr("i32.const 0"))
    builder.data(builder.expr("i32.const 0"))
    accept("block", "i32.const 0", "br_if 0", "end", builder=builder, features=frozenset({Feature.MVP}))


def test_block_types_of_a_disabled_feature_are_refused() -> None:
    for block in (((I32,), ()), ((), (I32, I32))):
        with pytest.raises(InvalidError, match="multi-value"):
            accept("unreachable", ("block", block), features=ALL - {Feature.MULTI_VALUE})
    with pytest.raises(InvalidError, match="reference-types"):
        accept(("block", ((), (FUNCREF,))), features=ALL - {Feature.REFERENCE_TYPES})
