"""Blocks, branches and what they carry (core §4.6.10); code that is never reached in all shapes it can have."""

from __future__ import annotations

from typing import Any

import pytest

from tests.compile.build import Body, Code, build
from wasmark import Instance, Module, Trap, TrapCode
from wasmark.core.types import F32, F64, FUNCREF, I32, I64, FuncType


def exports(text: str) -> Any:
    return Instance(Module(text)).exports


# --- what labels carry ----------------------------------------------------------------------------


def test_blocks_take_and_give_several_values() -> None:
    module = exports("""
        (module
          (func (export "swap") (param i32 i64) (result i64 i32)
            (local.get 0) (local.get 1)
            (block (param i32 i64) (result i64 i32)
              (local.set 1) (local.set 0) (local.get 1) (local.get 0)))
          (func (export "below") (param i32) (result i32 i32 i32)
            (i32.const 100) (local.get 0)
            (block (param i32) (result i32 i32) (i32.const 1) (i32.add) (i32.const 7)))
          (func (export "pass") (param f32 f64 i32 i64) (result f32 f64 i32 i64)
            (local.get 0) (local.get 1) (local.get 2) (local.get 3)
            (block (param f32 f64 i32 i64) (result f32 f64 i32 i64)
              (loop (param f32 f64 i32 i64) (result f32 f64 i32 i64)))))
    """)
    assert module.swap(5, -7) == (-7, 5)
    assert module.below(41) == (100, 42, 7)
    assert module["pass"](1.5, 2.5, 3, 4) == (1.5, 2.5, 3, 4)


def test_a_loop_is_reentered_with_its_parameters() -> None:
    module = exports("""
        (module
          (func (export "fib") (param $n i32) (result i64) (local $a i64) (local $b i64)
            (i64.const 0) (i64.const 1)
            (loop $again (param i64 i64) (result i64)
              (local.set $b) (local.set $a)
              (if (result i64) (i32.eqz (local.get $n))
                (then (local.get $a))
                (else
                  (local.set $n (i32.sub (local.get $n) (i32.const 1)))
                  (br $again (local.get $b) (i64.add (local.get $a) (local.get $b)))))))
          (func (export "rotate") (param $n i32) (result i32 i32 i32)
            (local $a i32) (local $b i32) (local $c i32)
            (i32.const 1) (i32.const 2) (i32.const 3)
            (loop $again (param i32 i32 i32) (result i32 i32 i32)
              (local.set $c) (local.set $b) (local.set $a)
              (local.get $b) (local.get $c) (local.get $a)
              (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
    """)
    assert [module.fib(n) for n in (0, 1, 2, 10, 90)] == [0, 1, 1, 55, 2880067194370816120]
    assert [module.rotate(n) for n in (1, 2, 3, 4)] == [(2, 3, 1), (3, 1, 2), (1, 2, 3), (2, 3, 1)]


def test_an_if_takes_parameters_with_and_without_an_else() -> None:
    module = exports("""
        (module
          (func (export "both") (param i32 i32) (result i32 i32)
            (local.get 0) (i32.const 10) (local.get 1)
            (if (param i32 i32) (result i32 i32)
              (then (i32.add) (i32.const 1))
              (else (i32.sub) (i32.const 2))))
          (func (export "then") (param i32 i32) (result i32)
            (local.get 0) (local.get 1)
            (if (param i32) (result i32) (then (i32.const 5) (i32.mul))))
          (func (export "leave") (param i32 i32) (result i32)
            (local.get 0) (local.get 1)
            (if (param i32) (result i32) (then (drop) (return (i32.const -1)))))
          (func (export "jump") (param i32 i32) (result i32)
            (local.get 0) (local.get 1)
            (if $l (param i32) (result i32) (then (br $l (i32.const 6)) ) (else (br $l (i32.const 7)) ))))
    """)
    assert module.both(4, 1) == (14, 1)
    assert module.both(4, 0) == (-6, 2)
    assert [module.then(3, c) for c in (1, 0)] == [15, 3]
    assert [module.leave(3, c) for c in (1, 0)] == [-1, 3]
    assert [module.jump(3, c) for c in (1, 0)] == [6, 7]


def test_a_conditional_branch_leaves_its_values_where_it_is_not_taken() -> None:
    module = exports("""
        (module
          (func (export "f") (param i32) (result i32 i32)
            (block $l (result i32 i32)
              (i32.const 1) (i32.const 2) (br_if $l (i32.eq (local.get 0) (i32.const 0)))
              (i32.add) (i32.const 5) (br_if $l (i32.eq (local.get 0) (i32.const 1)))
              (i32.mul) (i32.const 9)))
          (func (export "same") (param i32) (result i32)
            (block $outer (result i32)
              (block $inner (result i32)
                (i32.const 1)
                (br_if $inner (i32.eqz (local.get 0)))
                (br_if $outer (i32.eq (local.get 0) (i32.const 1)))
                (br_if $inner (i32.eq (local.get 0) (i32.const 2)))
                (i32.const 10) (i32.add))
              (i32.const 100) (i32.add))))
    """)
    assert [module.f(n) for n in (0, 1, 2)] == [(1, 2), (3, 5), (15, 9)]
    assert [module.same(n) for n in (0, 1, 2, 3)] == [101, 1, 101, 111]


def test_a_branch_drops_what_lies_below_its_values() -> None:
    module = exports("""
        (module (func (export "f") (param i32) (result i32)
          (i32.const 1000)
          (block $l (result i32)
            (i32.const 1) (i32.const 2) (i32.const 3)
            (block (i64.const 7) (br $l (local.get 0)))
            (drop) (drop))
          (i32.add)))
    """)
    assert module.f(42) == 1042


def test_a_table_of_branches_carries_values_to_labels_of_all_kinds() -> None:
    """To a block, a loop with parameters, an `if`, and out of the function."""
    module = exports("""
        (module (func (export "f") (param $i i32) (result i32 i64) (local $turns i32) (local $x i32) (local $y i64)
          (i32.const 1) (i64.const 2)
          (loop $loop (param i32 i64) (result i32 i64)
            (local.set $y) (local.set $x)
            (local.set $turns (i32.add (local.get $turns) (i32.const 1)))
            (if (i32.gt_u (local.get $turns) (i32.const 3))
              (then (return (local.get $x) (i64.const -1))))
            (block $block (result i32 i64)
              (if $if (result i32 i64) (i32.const 1)
                (then
                  (i32.add (local.get $x) (i32.const 10)) (i64.add (local.get $y) (i64.const 100))
                  (br_table $loop $block $if 3 $block (local.get $i)))
                (else (i32.const 0) (i64.const 0)))
              (i64.const 5) (i64.add))
            (i64.const 7) (i64.add))))
    """)
    assert module.f(0) == (31, -1)
    assert module.f(1) == (11, 109)
    assert module.f(2) == (11, 114)
    assert module.f(3) == (11, 102)
    assert module.f(4) == module.f(-1) == (11, 109)


def test_a_table_without_cases_takes_the_default() -> None:
    module = exports('(module (func (export "f") (param i32) (result i32) (br_table 0 (i32.const 5) (local.get 0))))')
    assert [module.f(n) for n in (0, 1, -1)] == [5, 5, 5]


def test_values_of_all_types_are_carried() -> None:
    module = exports("""
        (module
          (elem declare func $f)
          (func $f (result i32) (i32.const 77))
          (type $t (func (result i32)))
          (func (export "f") (param i32) (result i32 i64 f32 f64 i32)
            (local $x i32) (local $y i64) (local $z f32) (local $w f64) (local $r (ref null $t))
            (block $l (result i32 i64 f32 f64 (ref null $t))
              (i32.const 1) (i64.const 2) (f32.const 3) (f64.const 4) (ref.func $f)
              (br_if $l (local.get 0))
              (drop) (ref.null $t))
            (local.set $r) (local.set $w) (local.set $z) (local.set $y) (local.set $x)
            (local.get $x) (local.get $y) (local.get $z) (local.get $w) (ref.is_null (local.get $r))))
    """)
    assert module.f(1) == (1, 2, 3.0, 4.0, 0)
    assert module.f(0) == (1, 2, 3.0, 4.0, 1)


def test_branches_on_null_carry_the_rest() -> None:
    module = exports("""
        (module
          (type $t (func (param i32) (result i32)))
          (elem declare func $f)
          (func $f (type $t) (i32.add (local.get 0) (i32.const 1)))
          (func $pick (param i32) (result (ref null $t))
            (if (result (ref null $t)) (local.get 0) (then (ref.func $f)) (else (ref.null $t))))
          (func (export "null") (param i32) (result i32)
            (block $l (result i32)
              (i32.const 5)
              (br_on_null $l (call $pick (local.get 0)))
              (call_ref $t)))
          (func (export "value") (param i32) (result i32) (local (ref null $t))
            (block $l (result i32 (ref $t))
              (i32.const 7)
              (br_on_non_null $l (call $pick (local.get 0)))
              (return (i32.const -1)))
            (call_ref $t)))
    """)
    assert [module.null(n) for n in (0, 1)] == [5, 6]
    assert [module.value(n) for n in (0, 1)] == [-1, 8]


# --- code that is never reached -------------------------------------------------------------------

_DECLARED = (I32, I64, F32, F64, FUNCREF)

TERMINATORS: dict[str, Code] = {
    "unreachable": [("unreachable", None)],
    "br": [("i32.const", 5), ("br", 0)],
    "br further out": [("i32.const", 5), ("br", 1)],
    "br_table": [("i32.const", 5), ("local.get", 0), ("br_table", (0, 1, 0))],
    "return": [("i32.const", 5), ("return", None)],
    "loop without an end": [("loop", ((), ())), ("i32.const", 5), ("br", 1), ("end", None), ("unreachable", None)],
    "both arms": [
        *[("local.get", 0), ("if", ((), ())), ("i32.const", 5), ("return", None), ("else", None)],
        *[("i32.const", 5), ("br", 1), ("end", None), ("unreachable", None)],
    ],
}
"""Ways to end a block in a block, where everything but `unreachable` gives 5."""

DEAD: dict[str, Code] = {
    "nothing": [],
    "a value": [("i32.const", 1)],
    "an operation on nothing": [("i32.add", None)],
    "operations on nothing and something": [("f64.const", 0), ("f64.lt", None), ("i32.eqz", None), ("i32.sub", None)],
    "select": [("select", None)],
    "select of nothing and something": [("i32.const", 1), ("i32.const", 2), ("select", None)],
    "drops": [("drop", None), ("drop", None), ("i64.const", 3), ("drop", None)],
    "a local": [("local.tee", 1), ("local.set", 1), ("local.get", 1)],
    "memory": [("f32.load", (0, 0, 0)), ("f32.store", (0, 0, 0)), ("memory.grow", 0), ("drop", None)],
    "a block": [("block", ((), (I64,))), ("i64.const", 1), ("end", None), ("drop", None)],
    "a block with parameters": [("block", ((I32, I64), (I32,))), ("drop", None), ("end", None)],
    "a loop": [("loop", ((), ())), ("br", 0), ("end", None)],
    "an if": [("if", ((), ())), ("nop", None), ("else", None), ("unreachable", None), ("end", None)],
    "an if that gives": [
        ("if", ((), (I32,))),
        ("i32.const", 1),
        ("else", None),
        ("i32.const", 2),
        ("br", 1),
        ("end", None),
    ],
    "nested ends": [
        *[("block", ((), ())), ("loop", ((), ())), ("i32.const", 0), ("if", ((), ())), ("else", None), ("end", None)],
        *[("end", None), ("block", ((), ())), ("br", 0), ("i32.add", None), ("drop", None), ("end", None)],
        ("end", None),
    ],
    "another br": [("br", 0)],
    "another br_if": [("br_if", 0)],
    "another br_table": [("br_table", (1, 0))],
    "another return": [("i64.const", 1), ("i32.wrap_i64", None), ("return", None), ("i32.const", 3)],
    "another unreachable": [("unreachable", None), ("unreachable", None)],
    "a call": [("call", 0)],
    "references": [("ref.is_null", None), ("drop", None), ("ref.as_non_null", None), ("drop", None)],
}
"""Code that leaves an i32 or nothing, where the stack may be anything."""


@pytest.mark.parametrize("terminator", TERMINATORS)
def test_dead_code_is_dead(terminator: str) -> None:
    """Each piece behind the terminator: in a block, twice, in both arms of an `if`, and before code that is alive."""
    end = TERMINATORS[terminator]
    signature = FuncType((I32,), (I32,))
    block = ((), (I32,))
    bodies = []
    for name, dead in DEAD.items():
        inner: Code = [("block", block), *end, *dead, ("end", None)]
        arms: Code = [("local.get", 0), ("if", block), *end, *dead, ("else", None), *end, *dead, ("end", None)]
        is_two: Code = [("local.get", 0), ("i32.const", 2), ("i32.eq", None)]
        alive: Code = [*is_two, ("if", block), ("i32.const", 9), ("else", None), *inner, ("end", None)]
        bodies += [
            Body(f"plain: {name}", signature, inner, _DECLARED),
            Body(f"twice: {name}", signature, [*inner[:-1], ("drop", None), *dead, ("end", None)], _DECLARED),
            Body(f"arms: {name}", signature, arms, _DECLARED),
            Body(f"alive: {name}", signature, [*alive, ("i32.const", 100), ("i32.add", None)], _DECLARED),
        ]
    module = Instance(Module(build(bodies, pages=1))).exports
    for body in bodies:
        call = module[body.name].call_bits
        for argument in (0, 1, 2):
            expected = _expected(terminator, argument, alive=body.name.startswith("alive"))
            if expected is None:
                with pytest.raises(Trap) as caught:
                    call([argument])
                assert caught.value.code is TrapCode.UNREACHABLE
            else:
                assert call([argument]) == [expected], (body.name, argument)


def _expected(terminator: str, argument: int, *, alive: bool) -> int | None:
    if alive and argument == 2:
        return 109
    if terminator == "unreachable":
        return None
    returns = terminator == "return" or (terminator == "both arms" and argument)
    return 105 if alive and not returns else 5
