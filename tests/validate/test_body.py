from __future__ import annotations

import pytest

from tests.validate.build import FIRST_OFFSET, Builder, Item, accept, code, func, ref, refuse
from wasmark.core.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    HeapType,
    SubType,
    ValType,
)
from wasmark.errors import InvalidError

INT = ((), (I32,))


# Function bodies


def test_an_empty_body_gives_nothing() -> None:
    accept()


def test_a_body_must_leave_its_results() -> None:
    accept("i32.const 1", results=(I32,))
    refuse("type mismatch: end expected i32, found nothing", 0, results=(I32,))
    refuse("type mismatch: end expected i32, found i64", 1, "i64.const 1", results=(I32,))


def test_a_body_must_leave_nothing_else() -> None:
    refuse("type mismatch: end expected [], found 1 operand more, the topmost of type i32", 1, "i32.const 1")
    refuse("type mismatch: end expected [i32], found 2 operands more", 3, *["i32.const 1"] * 3, results=(I32,))


def test_a_mismatch_names_the_instruction_and_both_types() -> None:
    items = ("i32.const 1", "f64.const 0", "i32.add", "drop")
    refuse("type mismatch: i32.add expected i32, found f64", 2, *items)


def test_operands_are_checked_from_the_top() -> None:
    refuse("type mismatch: i32.add expected i32, found i64", 2, "f32.const 0", "i64.const 0", "i32.add")
    refuse("type mismatch: i32.add expected i32, found f32", 2, "f32.const 0", "i32.const 0", "i32.add")


def test_the_first_function_behind_imports_has_the_next_index() -> None:
    builder = Builder()
    builder.import_("func", builder.types(func()))
    refuse("type mismatch", 0, "drop", builder=builder)


# Parametric instructions


@pytest.mark.parametrize("type_", [I32, I64, F32, F64, V128])
def test_untyped_select_takes_two_equal_numbers_or_vectors(type_: ValType) -> None:
    accept("local.get 0", "local.get 1", "i32.const 0", "select", params=(type_, type_), results=(type_,))


@pytest.mark.parametrize("type_", [FUNCREF, EXTERNREF])
def test_untyped_select_refuses_references(type_: ValType) -> None:
    items = ("local.get 0", "local.get 0", "i32.const 0", "select")
    refuse("type mismatch: select expected a number or vector, found", 3, *items, params=(type_,), results=(type_,))


def test_untyped_select_refuses_different_types() -> None:
    items = ("i32.const 0", "i64.const 0", "i32.const 0", "select", "drop")
    refuse("type mismatch: select expected i32, found i64", 3, *items)
    refuse("type mismatch: select expected i32, found f32", 1, "f32.const 0", "select")


def test_typed_select_takes_what_matches_its_type() -> None:
    items: tuple[Item, ...] = ("local.get 0", "local.get 1", "i32.const 0", ("select", (FUNCREF,)))
    accept(*items, params=(FUNCREF, ref(HeapType.NOFUNC)), results=(FUNCREF,))
    refuse("type mismatch: select expected funcref, found externref", 3, *items, params=(EXTERNREF, FUNCREF))


def test_typed_select_names_exactly_one_known_type() -> None:
    refuse("invalid result arity", 1, "unreachable", ("select", ()))
    refuse("invalid result arity", 1, "unreachable", ("select", (I32, I32)))
    refuse("unknown type 9", 1, "unreachable", ("select", (ref(9),)))


def test_drop_takes_anything_but_nothing() -> None:
    accept("local.get 0", "drop", params=(EXTERNREF,))
    refuse("type mismatch: drop expected an operand, found nothing", 0, "drop")


# Variables


def test_locals_are_parameters_then_declared_ones() -> None:
    accept(
        "local.get 0",
        "local.get 2",
        ("i64.store", (3, 0, 0)),
        "local.get 1",
        params=(I32, F32),
        locals_=[(1, I64)],
        results=(F32,),
        builder=with_memory(),
    )


@pytest.mark.parametrize("name", ["local.get", "local.set", "local.tee"])
def test_unknown_locals_are_refused(name: str) -> None:
    refuse("unknown local 3", 1, "i32.const 0", f"{name} 3", params=(I32,), locals_=[(2, I32)])


def test_local_set_and_tee_check_their_operand() -> None:
    accept("i32.const 1", "local.tee 0", "local.set 0", params=(I32,))
    refuse("type mismatch: local.set expected i32, found i64", 1, "i64.const 1", "local.set 0", params=(I32,))
    refuse("type mismatch: local.tee expected i32, found nothing", 0, "local.tee 0", params=(I32,))


def test_local_tee_gives_the_type_of_the_local() -> None:
    params = (FUNCREF, ref(HeapType.FUNC))
    refuse("type mismatch: end expected (ref func), found funcref", 2, "local.get 1", "local.tee 0",
           params=params, results=(ref(HeapType.FUNC),))  # fmt: skip


def test_locals_of_unknown_types_are_refused_at_the_start_of_the_body() -> None:
    builder = Builder()
    index = builder.func(locals_=[(1, ref(5, null=True))], entry=0x77)
    with pytest.raises(InvalidError, match="unknown type 5") as caught:
        builder.validate().validate_body(index, code())
    assert (caught.value.offset, caught.value.func_index) == (0x77, index)


NOT_NULL = ref(HeapType.FUNC)
SOME: tuple[Item, ...] = ("local.get 0",)


def uninitialised(at: int, *items: Item) -> None:
    refuse("uninitialized local 1", at, *items, params=(NOT_NULL,), locals_=[(1, NOT_NULL)])


def test_a_local_that_cannot_be_null_is_set_before_it_is_read() -> None:
    accept(*SOME, "local.set 1", "local.get 1", "drop", params=(NOT_NULL,), locals_=[(1, NOT_NULL)])
    accept(*SOME, "local.tee 1", "drop", "local.get 1", "drop", params=(NOT_NULL,), locals_=[(1, NOT_NULL)])
    uninitialised(0, "local.get 1", "drop")


def test_what_a_block_initialised_is_lost_at_its_end() -> None:
    uninitialised(4, "block", *SOME, "local.set 1", "end", "local.get 1")
    uninitialised(4, "loop", *SOME, "local.set 1", "end", "local.get 1")
    uninitialised(5, "i32.const 0", "if", *SOME, "local.set 1", "else", "local.get 1")
    accept(*SOME, "local.set 1", "block", *SOME, "local.set 1", "end", "local.get 1", "drop",
           params=(NOT_NULL,), locals_=[(1, NOT_NULL)])  # fmt: skip


def test_initialisation_is_kept_into_inner_blocks() -> None:
    accept(*SOME, "local.set 1", "block", "loop", "local.get 1", "drop", "end", "end",
           params=(NOT_NULL,), locals_=[(1, NOT_NULL)])  # fmt: skip


def test_unreachable_code_does_not_initialise() -> None:
    uninitialised(1, "unreachable", "local.get 1")


def test_globals_have_their_type_and_mutability() -> None:
    builder = Builder()
    builder.global_(I32, builder.expr("i32.const 0"), mutable=True)
    builder.global_(F64, builder.expr("f64.const 0"))
    accept("global.get 0", "global.set 0", "global.get 1", results=(F64,), builder=builder)
    refuse("immutable global 1", 1, "f64.const 0", "global.set 1", builder=builder)
    refuse("type mismatch: global.set expected i32, found f64", 1, "f64.const 0", "global.set 0", builder=builder)
    refuse("unknown global 2", 0, "global.get 2", builder=builder)
    refuse("unknown global 2", 1, "f64.const 0", "global.set 2", builder=builder)


# Blocks and branches


def test_blocks_pass_parameters_and_results() -> None:
    type_ = ((I32, I64), (F32,))
    for name in ("block", "loop"):
        accept("i32.const 0", "i64.const 0", (name, type_), "drop", "drop", "f32.const 0", "end", results=(F32,))
    refuse("type mismatch: block expected i64, found i32", 1, "i32.const 0", ("block", type_))


def test_a_block_does_not_see_operands_below_it() -> None:
    refuse("type mismatch: drop expected an operand, found nothing", 2, "i32.const 0", "block", "drop", "end", "drop")
    refuse("type mismatch: i32.eqz expected i32, found nothing", 2, "i32.const 0", "block", "i32.eqz", "end")
    refuse("type mismatch: i32.add expected i32, found nothing", 3,
           "i32.const 0", "block", "i32.const 0", "i32.add", "end")  # fmt: skip


def test_if_takes_a_condition_below_its_parameters() -> None:
    accept("i64.const 0", "i32.const 0", ("if", ((I64,), (I64,))), "end", "drop")
    refuse("type mismatch: if expected i32, found i64", 1, "i64.const 0", "if")


def test_both_branches_of_if_give_its_results() -> None:
    accept("i32.const 0", ("if", INT), "i32.const 1", "else", "i32.const 2", "end", results=(I32,))
    refuse("type mismatch: else expected i32, found nothing", 2, "i32.const 0", ("if", INT), "else")
    refuse("type mismatch: end expected i32, found i64", 5,
           "i32.const 0", ("if", INT), "i32.const 0", "else", "i64.const 0", "end")  # fmt: skip


def test_if_without_else_must_pass_its_parameters_on() -> None:
    refuse(
        "type mismatch: end expected i32, found nothing", 3, "i32.const 0", ("if", INT), "i32.const 1", "end", "drop"
    )
    accept(
        "local.get 0", "i32.const 0", ("if", ((NOT_NULL,), (FUNCREF,))), "end", params=(NOT_NULL,), results=(FUNCREF,)
    )


def test_else_needs_an_if_of_its_own() -> None:
    refuse("else without if", 0, "else")
    refuse("else without if", 1, "block", "else", "end")
    refuse("else without if", 3, "i32.const 0", "if", "else", "else", "end")


def test_block_types_are_checked() -> None:
    for name in ("block", "loop", "if"):
        refuse("unknown type 7", 1, "unreachable", (name, ((), (ref(7),))))
        refuse("unknown type 7", 1, "unreachable", (name, ((ref(7),), ())))


def test_a_branch_takes_the_results_of_a_block_but_the_parameters_of_a_loop() -> None:
    accept(("block", INT), "i32.const 1", "br 0", "end", results=(I32,))
    accept("i64.const 0", ("loop", ((I64,), (I32,))), "br 0", "end", results=(I32,))
    refuse("type mismatch: br expected i32, found nothing", 1, ("block", INT), "br 0", "end")
    refuse("type mismatch: br expected i64, found i32", 3,
           "i64.const 0", ("loop", ((I64,), (I32,))), "i32.const 0", "br 0", "end")  # fmt: skip


def test_a_branch_to_the_outermost_label_returns() -> None:
    accept("block", "i32.const 1", "br 1", "end", "i32.const 2", results=(I32,))
    refuse("type mismatch: br expected i32, found nothing", 1, "block", "br 1", "end", results=(I32,))


@pytest.mark.parametrize(
    "branch", ["br 2", "br_if 2", "br_table 0 2", "br_table 2 0", "br_table 2", "br_on_null 2", "br_on_non_null 2"]
)
def test_unknown_labels_are_refused(branch: str) -> None:
    refuse("unknown label 2", 2, "block", "unreachable", branch, "end")


def test_br_if_keeps_the_operands_of_its_label() -> None:
    accept(("block", INT), "i32.const 1", "i32.const 0", "br_if 0", "end", results=(I32,))
    refuse("type mismatch: br_if expected i32, found i64", 1, "i64.const 0", "br_if 0")
    refuse("type mismatch: br_if expected i32, found i64", 3, ("block", INT), "i64.const 1", "i32.const 0", "br_if 0")


def test_br_if_gives_the_types_of_its_label() -> None:
    items: tuple[Item, ...] = (("block", ((), (FUNCREF,))), "local.get 0", "i32.const 0", "br_if 0")
    accept(*items, "end", "drop", params=(NOT_NULL,))
    refuse("type mismatch: local.set expected (ref func), found funcref", 4, *items, "local.set 0", params=(NOT_NULL,))


def test_br_table_checks_every_label() -> None:
    blocks: tuple[Item, ...] = (("block", ((), (FUNCREF,))), ("block", ((), (NOT_NULL,))))
    table: tuple[Item, ...] = ("local.get 0", "i32.const 0", "br_table 1 0 1")
    accept(*blocks, *table, "end", "end", "drop", params=(NOT_NULL,))
    refuse("type mismatch: br_table expected (ref func), found funcref", 4,
           *blocks, *table, "end", "end", params=(FUNCREF,))  # fmt: skip


def test_br_table_labels_have_one_arity_even_in_unreachable_code() -> None:
    message = "type mismatch: br_table expected labels of 0 operands like the default, found one of 1"
    refuse(message, 3, ("block", INT), "block", "unreachable", "br_table 1 0")


def test_br_table_operands_may_differ_by_label_in_unreachable_code() -> None:
    accept(
        ("block", ((), (F64,))), ("block", ((), (F32,))), "unreachable", "i32.const 1", "br_table 0 1 1", "end", "drop",
        "f64.const 0", "end", "drop",
    )  # fmt: skip


def test_return_takes_the_results_from_anywhere() -> None:
    accept("block", "loop", "i32.const 0", "return", "end", "end", "i32.const 1", results=(I32,))
    refuse("type mismatch: return expected i32, found nothing", 2, "i32.const 0", "block", "return", results=(I32,))


# Unreachable code


@pytest.mark.parametrize("stop", ["unreachable", "br 0", "br_table 0", "return"])
def test_after_a_jump_operands_come_from_nowhere(stop: str) -> None:
    before = () if stop == "unreachable" else ("i32.const 0", "i32.const 0")
    accept(*before, stop, "i32.add", results=(I32,))
    accept(*before, stop, "i64.const 0", "i64.add", "drop", results=(I32,))


def test_operands_pushed_after_a_jump_are_checked() -> None:
    refuse("type mismatch: i64.add expected i64, found i32", 2, "unreachable", "i32.const 0", "i64.add")
    refuse("type mismatch: end expected [], found 1 operand more", 2, "unreachable", "i32.const 0")
    refuse("type mismatch: end expected i32, found i64", 2, "unreachable", "i64.const 0", results=(I32,))


def test_a_jump_forgets_the_operands_of_its_block_only() -> None:
    accept("i64.const 0", "block", "i32.const 1", "unreachable", "f32.add", "drop", "end", results=(I64,))
    refuse("type mismatch: i32.eqz expected i32, found i64", 4, "i64.const 0", "block", "unreachable", "end", "i32.eqz")


def test_code_behind_the_end_of_a_block_is_reachable_again() -> None:
    refuse("type mismatch: drop expected an operand, found nothing", 3, "block", "unreachable", "end", "drop")
    refuse(
        "type mismatch: drop expected an operand, found nothing", 4, "i32.const 0", "if", "unreachable", "else", "drop"
    )


def test_a_block_inside_unreachable_code_starts_afresh() -> None:
    refuse("type mismatch: drop expected an operand, found nothing", 2, "unreachable", "block", "drop", "end")
    accept("unreachable", ("block", ((I32, I64), (F32,))), "unreachable", "end", "drop")


def test_select_in_unreachable_code_takes_the_type_that_is_known() -> None:
    accept("unreachable", "select", "drop")
    accept("unreachable", "i64.const 0", "i32.const 0", "select", results=(I64,))
    refuse("type mismatch: end expected i32, found i64", 4,
           "unreachable", "i64.const 0", "i32.const 0", "select", results=(I32,))  # fmt: skip
    refuse("type mismatch: select expected i32, found f32", 4,
           "unreachable", "i32.const 0", "f32.const 0", "i32.const 0", "select")  # fmt: skip
    accept("unreachable", "select", "i32.eqz", "drop")
    accept("unreachable", "select", "ref.is_null", "drop")


def test_a_reference_from_nowhere_is_any_reference_but_no_number() -> None:
    accept("unreachable", "ref.as_non_null", results=(ref(HeapType.EXTERN),))
    accept("unreachable", "ref.as_non_null", "ref.is_null", results=(I32,))
    refuse("type mismatch: i32.eqz expected i32, found any reference", 2, "unreachable", "ref.as_non_null", "i32.eqz")
    refuse("type mismatch: select expected a number or vector, found any reference", 3,
           "unreachable", "ref.as_non_null", "i32.const 0", "select")  # fmt: skip


# Calls


def with_functions() -> Builder:
    """Function 0: [i32 f64] -> [i64]. Table 0 of functions, table 1 of externals, table 2 of functions, 64-bit."""
    builder = Builder()
    builder.func(func((I32, F64), (I64,)))
    builder.table(FUNCREF)
    builder.table(EXTERNREF)
    builder.table(FUNCREF, is64=True)
    return builder


ARGS: tuple[Item, ...] = ("i32.const 0", "f64.const 0")


def test_call_takes_parameters_and_gives_results() -> None:
    accept(*ARGS, "call 0", results=(I64,), builder=with_functions())
    refuse("type mismatch: call expected f64, found i32", 1, "i32.const 0", "call 0", builder=with_functions())
    refuse("type mismatch: call expected i32, found nothing", 1, "f64.const 0", "call 0", builder=with_functions())
    refuse("unknown function 9", 0, "call 9", builder=with_functions())


def test_call_indirect_takes_an_index_of_the_address_type_of_its_table() -> None:
    accept(*ARGS, "i32.const 0", "call_indirect 0 0", results=(I64,), builder=with_functions())
    accept(*ARGS, "i64.const 0", "call_indirect 0 2", results=(I64,), builder=with_functions())
    refuse("type mismatch: call_indirect expected i64, found i32", 3, *ARGS, "i32.const 0", "call_indirect 0 2",
           builder=with_functions())  # fmt: skip


def test_call_indirect_needs_a_table_of_functions_and_a_function_type() -> None:
    items = (*ARGS, "i32.const 0")
    refuse("type mismatch: call_indirect expected a table of functions, found one of externref", 3,
           *items, "call_indirect 0 1", builder=with_functions())  # fmt: skip
    refuse("unknown table 7", 3, *items, "call_indirect 0 7", builder=with_functions())
    refuse("unknown type 77", 3, *items, "call_indirect 77 0", builder=with_functions())


def test_call_ref_takes_a_reference_to_its_type() -> None:
    items: tuple[Item, ...] = (*ARGS, "local.get 0", "call_ref 0")
    for null in (True, False):
        accept(*items, params=(ref(0, null=null),), results=(I64,), builder=with_functions())
    refuse("type mismatch: call_ref expected (ref null 0), found funcref", 3, *items, params=(FUNCREF,),
           builder=with_functions())  # fmt: skip
    refuse("unknown type 77", 0, "call_ref 77", builder=with_functions())
    accept("unreachable", "call_ref 0", results=(I64,), builder=with_functions())


# References


def test_references_to_equal_types_match() -> None:
    builder = Builder()
    builder.types(func((I32,)))
    builder.types(func((I32,)))
    builder.types(func((I64,)))
    accept("local.get 0", params=(ref(0),), results=(ref(1),), builder=builder)
    refuse("type mismatch: end expected (ref 2), found (ref 0)", 1, "local.get 0", params=(ref(0),), results=(ref(2),),
           builder=builder)  # fmt: skip


def test_references_to_declared_sub_types_match() -> None:
    builder = Builder()
    builder.types(SubType(func(), (), False))
    builder.types(SubType(func(), (0,), False))
    accept("local.get 0", params=(ref(1),), results=(ref(0),), builder=builder)
    refuse("type mismatch", 1, "local.get 0", params=(ref(0),), results=(ref(1),), builder=builder)


def test_ref_null_gives_a_null_of_a_known_heap_type() -> None:
    accept(("ref.null", HeapType.EXTERN), results=(EXTERNREF,))
    refuse("unknown type 5", 0, ("ref.null", 5))
    refuse("type mismatch: end expected funcref, found externref", 1, ("ref.null", HeapType.EXTERN), results=(FUNCREF,))


def test_ref_func_gives_the_type_of_the_function_and_needs_a_declaration() -> None:
    builder = with_functions()
    refuse("undeclared function reference 0", 0, "ref.func 0", builder=builder)
    refuse("unknown function 99", 0, "ref.func 99", builder=builder)
    builder.elem(FUNCREF, [0], mode="declarative")
    accept("ref.func 0", results=(ref(0),), builder=builder)


def test_ref_is_null_takes_any_reference_and_no_number() -> None:
    accept("local.get 0", "ref.is_null", params=(EXTERNREF,), results=(I32,))
    refuse("type mismatch: ref.is_null expected a reference, found i32", 1, "i32.const 0", "ref.is_null")
    refuse("type mismatch: ref.is_null expected a reference, found nothing", 0, "ref.is_null")


def test_ref_as_non_null_is_not_null() -> None:
    accept("local.get 0", "ref.as_non_null", params=(FUNCREF,), results=(NOT_NULL,))


def test_br_on_null_falls_through_with_a_reference_that_is_not_null() -> None:
    accept("local.get 0", "br_on_null 0", "drop", params=(FUNCREF,))
    accept("i32.const 1", "local.get 0", "br_on_null 0", "local.set 0", params=(NOT_NULL,), results=(I32,))
    refuse("type mismatch: br_on_null expected i32, found nothing", 1, "local.get 0", "br_on_null 0", params=(FUNCREF,),
           results=(I32,))  # fmt: skip


def test_br_on_non_null_takes_the_reference_along() -> None:
    items: tuple[Item, ...] = (
        ("block", ((), (NOT_NULL,))),
        "local.get 0",
        "br_on_non_null 0",
        "unreachable",
        "end",
        "drop",
    )
    accept(*items, params=(FUNCREF,))
    refuse("type mismatch: br_on_non_null expected funcref, found externref", 2, *items, params=(EXTERNREF,))
    for label in ((), (I32,)):
        refuse("type mismatch: br_on_non_null expected a label that ends in a reference", 2,
               ("block", ((), label)), "unreachable", "br_on_non_null 0")  # fmt: skip


# Memories and tables


def with_memory(*, is64: bool = False) -> Builder:
    builder = Builder()
    builder.memory(is64=is64)
    return builder


def test_addresses_have_the_type_of_the_memory() -> None:
    accept("i64.const 0", ("i32.load", (2, 0, 0)), "drop", builder=with_memory(is64=True))
    refuse("type mismatch: i32.load expected i64, found i32", 1, "i32.const 0", ("i32.load", (2, 0, 0)),
           builder=with_memory(is64=True))  # fmt: skip


@pytest.mark.parametrize(("name", "operands"), [("i32.load", 1), ("i32.store", 2)])
def test_offsets_fit_the_address_type(name: str, operands: int) -> None:
    for is64, index, largest in ((False, "i32.const 0", (1 << 32) - 1), (True, "i64.const 0", (1 << 64) - 1)):
        before = (index, "i32.const 0")[:operands]
        after = ("drop",) if operands == 1 else ()
        accept(*before, (name, (0, 0, largest)), *after, builder=with_memory(is64=is64))
        refuse("offset out of range", operands, *before, (name, (0, 0, largest + 1)), builder=with_memory(is64=is64))


@pytest.mark.parametrize(
    "item",
    [
        ("i32.load", (2, 0, 0)), ("i32.store", (2, 0, 0)), "memory.size 0", "memory.grow 0", "memory.fill 0",
        "memory.copy 0 0", "memory.init 0 0",
    ],
)  # fmt: skip
def test_there_must_be_a_memory(item: Item) -> None:
    refuse("unknown memory 0", 1, "unreachable", item)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("memory.init 1 0", "unknown data segment 1"),
        ("data.drop 1", "unknown data segment 1"),
        ("memory.copy 0 1", "unknown memory 1"),
        ("memory.copy 1 0", "unknown memory 1"),
        ("table.get 3", "unknown table 3"),
        ("table.set 3", "unknown table 3"),
        ("table.size 3", "unknown table 3"),
        ("table.copy 0 3", "unknown table 3"),
        ("table.copy 3 0", "unknown table 3"),
        ("table.init 0 3", "unknown table 3"),
        ("table.init 2 0", "unknown elem segment 2"),
        ("elem.drop 2", "unknown elem segment 2"),
    ],
)
def test_unknown_segments_memories_and_tables_are_refused(item: str, message: str) -> None:
    refuse(message, 1, "unreachable", item, builder=with_tables())


def with_tables() -> Builder:
    """Memory 0 and data segment 0; tables and passive segments 0 and 1 of functions and externals, table 2 64-bit."""
    builder = with_memory()
    builder.data()
    builder.table(FUNCREF)
    builder.table(EXTERNREF)
    builder.table(FUNCREF, is64=True)
    builder.elem(FUNCREF, [])
    builder.elem(EXTERNREF, [])
    return builder


def test_table_elements_have_the_type_of_the_table() -> None:
    accept("i32.const 0", "i32.const 0", "table.get 0", "table.set 0", builder=with_tables())
    accept("i64.const 0", "i32.const 0", "table.get 0", "table.set 2", builder=with_tables())
    refuse("type mismatch: table.set expected externref, found funcref", 3,
           "i32.const 0", "i32.const 0", "table.get 0", "table.set 1", builder=with_tables())  # fmt: skip


def test_tables_are_copied_and_filled_from_matching_types_only() -> None:
    refuse("type mismatch: table.copy expected a source of funcref, found one of externref", 1,
           "unreachable", "table.copy 0 1", builder=with_tables())  # fmt: skip
    refuse("type mismatch: table.init expected a segment of funcref, found one of externref", 1,
           "unreachable", "table.init 1 0", builder=with_tables())  # fmt: skip


@pytest.mark.parametrize("name", ["table.copy", "memory.copy"])
def test_copies_between_address_types_count_in_the_smaller_one(name: str) -> None:
    def spaces() -> Builder:
        builder = Builder()
        for is64 in (False, True):
            builder.memory(is64=is64)
            builder.table(FUNCREF, is64=is64)
        return builder

    narrow, wide = "i32.const 0", "i64.const 0"
    accept(narrow, narrow, narrow, f"{name} 0 0", builder=spaces())
    accept(narrow, wide, narrow, f"{name} 0 1", builder=spaces())
    accept(wide, narrow, narrow, f"{name} 1 0", builder=spaces())
    accept(wide, wide, wide, f"{name} 1 1", builder=spaces())
    refuse(f"type mismatch: {name} expected i32, found i64", 3, narrow, wide, wide, f"{name} 0 1", builder=spaces())
    refuse(f"type mismatch: {name} expected i64, found i32", 3, wide, wide, narrow, f"{name} 1 1", builder=spaces())


# Depth and size


def test_a_hundred_thousand_nested_blocks() -> None:
    depth = 100_000
    accept(*["block"] * depth, f"br {depth}", *["end"] * depth)
    refuse(f"unknown label {depth + 1}", depth, *["loop"] * depth, f"br {depth + 1}")


def test_a_hundred_thousand_nested_ifs_with_results() -> None:
    depth = 100_000
    accept(
        *["i32.const 1", ("if", INT)] * depth, "i32.const 7", *["else", "i32.const 0", "end"] * depth, results=(I32,)
    )


def test_a_branch_table_with_many_labels_is_checked_once_per_type() -> None:
    results = (I32,) * 1000
    accept(
        ("block", ((), results)),
        *["i32.const 0"] * 1000,
        "i32.const 0",
        ("br_table", (0,) * 100_000),
        "end",
        *["drop"] * 1000,
    )


def test_a_validator_may_be_used_again_and_out_of_order() -> None:
    builder = Builder()
    first = builder.func(func((), (I32,)))
    second = builder.func()
    validator = builder.validate()
    for _ in range(2):
        with pytest.raises(InvalidError):
            validator.validate_body(second, code("block", "unreachable", "end", "drop"))
        validator.validate_body(second, code())
        validator.validate_body(first, code("i32.const 1"))
        with pytest.raises(InvalidError) as caught:
            validator.validate_body(first, code())
        assert caught.value.offset == FIRST_OFFSET
