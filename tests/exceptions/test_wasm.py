"""Exceptions within wasm: what they carry, what they pass, whose tags they have, and what no handler catches."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

import wasmark
from tests.exceptions.support import instance
from tests.ways import config
from wasmark import Config, Engine, FuncType, Instance, LinkError, Module, Store, Tag, Trap, TrapCode, WasmException
from wasmark.core.types import F64, I32

NAMES = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": "v128"}


def constant(letter: str, number: int) -> str:
    return f"({NAMES[letter]}.const {'i64x2 7 ' if letter == 'v' else ''}{number})"


def value_of(letter: str, number: int) -> Any:
    """What Python sees of it."""
    return struct.pack("<QQ", 7, number) if letter == "v" else number


SIGNATURES = [
    ("", ""),
    ("i", "i"),
    ("iIfF", "F"),
    ("iiiiiiii", "IIII"),
    ("F" * 12, "ff"),
    ("iFIfiFIfiFIfiFIfiFIf", "iFIfi"),
    ("IIIIIIfffffffffffF", "FFFFF"),
    ("fffffffffI", "FFF"),
    ("v", "v"),
    ("ivIvF", "vvvvv"),
    ("vvvvvvvviivfvIiiiiiv", "viv"),
]


@pytest.mark.parametrize(("params", "results"), SIGNATURES)
def test_a_guarded_call_of_any_signature_returns_or_is_caught(engine: Engine, params: str, results: str) -> None:
    """It returns, or it throws what it was given; locals and operands of the caller are what they were."""
    rng = random.Random(len(params))
    numbers = [rng.randrange(1000) for _ in params]
    types = " ".join(NAMES[p] for p in params)
    returns = " ".join(NAMES[r] for r in results)
    gets = "".join(f"(local.get {i})" for i in range(1, len(params) + 1))
    locals_ = "iIfFv" * 4
    sets = "".join(f"(local.set {i} {constant(c, 7 * i)})" for i, c in enumerate(locals_, 1))
    kept = "".join(f"(local.get {i})" for i in range(1, len(locals_) + 1))
    text = f"""(module (tag $e (param {types}))
      (func $f (param i32 {types}) (result {returns})
        (if (local.get 0) (then (throw $e {gets})))
        {"".join(constant(r, 3 + i) for i, r in enumerate(results))})
      (func (export "run") (param i32) (result i64 {types} {" ".join(NAMES[c] for c in locals_)})
        (local {" ".join(NAMES[c] for c in locals_)})
        {sets}
        (i64.const 99)
        (block $caught (result {types})
          (try_table (catch $e $caught)
            (call $f (local.get 0) {"".join(map(constant, params, numbers))})
            {"(drop)" * len(results)})
          {"".join(constant(p, 0) for p in params)})
        {kept})
      (func (export "results") (result {returns})
        (block $never (try_table (catch_all $never)
          (return (call $f (i32.const 0) {"".join(map(constant, params, numbers))}))))
        (unreachable)))"""
    exports = instance(engine, text).exports
    after = tuple(value_of(letter, 7 * i) for i, letter in enumerate(locals_, 1))
    assert exports.run(0) == (99, *(value_of(p, 0) for p in params), *after)
    assert exports.run(1) == (99, *map(value_of, params, numbers), *after)
    expected = tuple(value_of(letter, 3 + i) for i, letter in enumerate(results))
    assert exports.results() == (expected if len(expected) > 1 else expected[0] if expected else None)


def test_an_exception_passes_ten_thousand_frames_that_use_all_registers(engine: Engine) -> None:
    """What the frames between have in registers is not the catcher's; theirs are not lost where they are caught."""
    count = 14
    locals_ = " ".join(["i64"] * count)
    sets = "".join(f"(local.set {i} (i64.mul (local.get 0) (i64.const {i + 2})))" for i in range(1, count + 1))
    total = "(i64.const 0)"
    for i in range(1, count + 1):
        total = f"(i64.add (i64.mul {total} (i64.const 31)) (local.get {i}))"
    text = f"""(module (tag $e (param i64))
      (func $deep (param i64) (result i64) (local {locals_})
        {sets}
        (if (i64.eqz (local.get 0)) (then (throw $e (i64.const 5))))
        (i64.add (call $deep (i64.sub (local.get 0) (i64.const 1))) {total}))
      (func (export "run") (param i64) (result i64 i64) (local {locals_})
        {sets}
        (block $caught (result i64)
          (try_table (catch $e $caught) (drop (call $deep (i64.const 10000))))
          (i64.const 0))
        {total}))"""
    exports = instance(engine, text).exports
    expected = 0
    for i in range(1, count + 1):
        expected = expected * 31 + 3 * (i + 2)
    expected &= (1 << 64) - 1
    expected -= expected >> 63 << 64
    for _ in range(3):
        assert exports.run(3) == (5, expected)


THROWER = '(module (tag $e (export "e") (param i32)) (func (export "throw") (param i32) (throw $e (local.get 0))))'
CATCHER = """(module (import "m" "e" (tag $e (param i32))) (import "m" "throw" (func $throw (param i32)))
  (func (export "run") (param i32) (result i32)
    (block $caught (result i32)
      (block $other
        (try_table (catch $e $caught) (catch_all $other) (call $throw (local.get 0)))
        (return (i32.const -1)))
      (i32.const -2))))"""


def test_a_tag_belongs_to_an_instance(engine: Engine) -> None:
    store = Store(engine)
    thrower = Module(THROWER, engine)
    first, second = Instance(thrower, {}, store).exports, Instance(thrower, {}, store).exports
    assert first.e is first.e
    assert first.e is not second.e
    assert first.e.type == FuncType((I32,), ())
    assert first.e.name == "e"
    assert instance(engine, CATCHER, {"m": {"e": first.e, "throw": first.throw}}, store).exports.run(42) == 42
    assert instance(engine, CATCHER, {"m": {"e": second.e, "throw": first.throw}}, store).exports.run(42) == -2


@pytest.mark.parametrize("given", [None, 1, "(param i64)", "(param i32 i32)"])
def test_a_tag_of_another_type_is_not_imported(given: Any) -> None:
    engine = Engine(config("baseline", cache=False))
    store = Store(engine)
    if isinstance(given, str):
        given = instance(engine, f'(module (tag (export "e") {given}))', None, store).exports.e
    with pytest.raises(LinkError, match=r"tag|\[i32\]"):
        instance(engine, '(module (import "m" "e" (tag (param i32))))', {"m": {"e": given}}, store)


def test_a_tag_of_another_store_is_not_imported() -> None:
    engine = Engine(config("baseline", cache=False))
    other = Tag(Store(engine), FuncType((), ()))
    with pytest.raises(LinkError, match="another store"):
        instance(engine, '(module (import "m" "e" (tag)))', {"m": {"e": other}})


def test_a_tag_has_parameters_and_no_results() -> None:
    store = Store(Engine(config("baseline", cache=False)))
    with pytest.raises(ValueError, match="no results"):
        Tag(store, FuncType((), (I32,)))
    tag = Tag(store, FuncType((I32, F64), ()), name="mine")
    assert repr(tag) == "<wasmark.Tag mine [i32 f64]>"
    with pytest.raises(TypeError, match="takes 2 values"):
        WasmException(tag, (1,))


NOT_CAUGHT = """(module (memory 1) (tag $e)
  (func $recurse (call $recurse) (call $recurse))
  (func $trap (param i32) (drop (i32.load (local.get 0))))
  (func (export "overflow") (block $h (try_table (catch_all $h) (call $recurse))))
  (func (export "trap") (block $h (try_table (catch_all $h) (call $trap (i32.const -1)))))
  (func (export "here") (block $h (try_table (catch_all $h) (unreachable))))
  (func (export "null") (block $h (try_table (catch_all $h) (throw_ref (ref.null exn)))))
  (func (export "legacy") (try (do (call $recurse)) (catch_all)))
  (func (export "fine") (block $h (try_table (catch_all $h) (throw $e)))))"""


def test_traps_are_not_caught(engine: Engine) -> None:
    exports = instance(engine, NOT_CAUGHT).exports
    for _ in range(3):
        for name, code in (
            ("overflow", TrapCode.STACK_OVERFLOW),
            ("trap", TrapCode.MEMORY_OUT_OF_BOUNDS),
            ("here", TrapCode.UNREACHABLE),
            ("null", TrapCode.NULL_EXCEPTION_REFERENCE),
            ("legacy", TrapCode.STACK_OVERFLOW),
        ):
            with pytest.raises(Trap) as caught:
                exports[name]()
            assert caught.value.code is code
            assert exports.fine() is None


def test_a_tail_call_leaves_the_handlers_of_its_function(engine: Engine) -> None:
    exports = instance(
        engine,
        """(module (tag $e)
          (func $throw (result i32) (throw $e))
          (func $leave (result i32)
            (block $h (try_table (catch_all $h) (return_call $throw)) unreachable) (i32.const 1))
          (func (export "f") (result i32)
            (block $h (try_table (catch_all $h) (return (call $leave)))) (i32.const 2)))""",
    ).exports
    assert exports.f() == 2


def test_exceptions_can_be_switched_off() -> None:
    features = frozenset(wasmark.Feature)
    for text, feature in (
        ("(module (tag $e) (func (throw $e)))", wasmark.Feature.EXCEPTION_HANDLING),
        ("(module (func (try (do))))", wasmark.Feature.LEGACY_EXCEPTIONS),
    ):
        with pytest.raises(wasmark.InvalidError, match=feature.value):
            Module(text, Engine(Config(features=features - {feature}, cache=False)))
