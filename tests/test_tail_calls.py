"""Tail calls: in constant stack between any two signatures, instances and tiers, with the frames that are left."""

from __future__ import annotations

import random
import struct
from typing import Any

import pytest

import wasmark
from tests.ways import WAYS, config
from wasmark import Config, Engine, Instance, Module, Store, Trap, TrapCode

SMALL_STACK = 32 << 10


@pytest.fixture(params=WAYS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(config(request.param, cache=False, max_wasm_stack=SMALL_STACK))


def instance(engine: Engine, text: str, imports: Any = None, store: Store | None = None) -> Instance:
    return Instance(Module(text, engine), imports, store or Store(engine))


def test_ten_million_calls_need_no_stack(engine: Engine) -> None:
    exports = instance(
        engine,
        """(module
          (func $even (export "even") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 1))
              (else (return_call $odd (i32.sub (local.get 0) (i32.const 1))))))
          (func $odd (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0)) (then (i32.const 0))
              (else (return_call $even (i32.sub (local.get 0) (i32.const 1)))))))""",
    ).exports
    assert exports.even(10_000_000) == 1
    assert exports.even(10_000_001) == 0


# --- any two signatures ---------------------------------------------------------------------------

RESULTS = ("", "i", "f", "FI", "IIII", "iFIfi", "FFF", "ffFfF", "IIIIIIIIFFFFF", "v", "vFi", "vvvvvi", "ivFvIF")
NAMES = {"i": "i32", "I": "i64", "f": "f32", "F": "f64", "v": "v128"}
FUNCTIONS = 12


def constant(letter: str, number: int) -> str:
    shape = "i64x2 7 " if letter == "v" else ""  # the upper lane counts
    return f"({NAMES[letter]}.const {shape}{number})"


def value_of(letter: str, number: int) -> Any:
    """What Python sees of it."""
    return struct.pack("<QQ", 7, number) if letter == "v" else number


def chain(results: str, kind: str, seed: int) -> tuple[str, list[str], list[list[int]]]:
    """A module of functions with any parameters behind a counter. Each adds all that it was given to a global, with
    weights that tell them apart, and leaves by a tail call to the next one."""
    randomness = random.Random(seed)
    signatures = [
        "".join(randomness.choices("iIfFv", k=randomness.choice((0, 1, 3, 6, 9, 14, 20)))) for _ in range(FUNCTIONS)
    ]
    arguments = [[randomness.randrange(1000) for _ in letters] for letters in signatures]
    returns = f"(result {' '.join(NAMES[r] for r in results)})" if results else ""
    text = "(module (global $sum (mut i64) (i64.const 0))\n"
    text += '(func (export "sum") (result i64) (global.get $sum) (global.set $sum (i64.const 0)))\n'
    for number, letters in enumerate(signatures):
        params = " ".join(NAMES[p] for p in letters)
        text += f"(type $t{number} (func (param i64 {params}) {returns}))\n"
    elements = " ".join(f"$f{number}" for number in range(FUNCTIONS))
    text += f"(table funcref (elem {elements}))\n"
    for number, letters in enumerate(signatures):
        following = (number + 1) % FUNCTIONS
        passed = "".join(map(constant, signatures[following], arguments[following]))
        counter = "(i64.sub (local.get 0) (i64.const 1))"
        call = {
            "direct": f"(return_call $f{following} {counter} {passed})",
            "indirect": f"(return_call_indirect (type $t{following}) {counter} {passed} (i32.const {following}))",
            "reference": f"(return_call_ref $t{following} {counter} {passed} (ref.func $f{following}))",
        }[kind]
        text += f'(func $f{number} (export "f{number}") (type $t{number})\n'
        for position, letter in enumerate(letters, 1):
            value = f"(local.get {position})"
            value = {"i": f"(i64.extend_i32_s {value})", "I": value, "v": f"(i64x2.extract_lane 1 {value})"}.get(
                letter, f"(i64.trunc_{NAMES[letter]}_s {value})"
            )
            weighted = f"(i64.mul {value} (i64.const {position * (number + 1)}))"
            text += f"(global.set $sum (i64.add (global.get $sum) {weighted}))\n"
        final = "".join(constant(letter, 100 + i) for i, letter in enumerate(results))
        text += f"(if (i64.eqz (local.get 0)) (then (return {final})))\n{call})\n"
    return text + ")", signatures, arguments


def expected_sum(start: int, count: int, arguments: list[list[int]]) -> int:
    total = 0
    for step in range(count + 1):
        number = (start + step) % FUNCTIONS
        total += sum(value * position * (number + 1) for position, value in enumerate(arguments[number], 1))
    return total


@pytest.mark.parametrize("kind", ["direct", "indirect", "reference"])
@pytest.mark.parametrize("results", RESULTS)
def test_between_any_two_signatures(engine: Engine, results: str, kind: str) -> None:
    text, signatures, arguments = chain(results, kind, seed=len(results))
    exports = instance(engine, text).exports
    values = tuple(value_of(letter, 100 + i) for i, letter in enumerate(results))
    answer = values[0] if len(values) == 1 else values or None
    for start, count in ((0, 0), (0, 1), (3, 100), (7, 5_000)):
        assert exports[f"f{start}"](count, *map(value_of, signatures[start], arguments[start])) == answer
        assert exports.sum() == expected_sum(start, count, arguments)


def test_two_instances_that_call_each_other(engine: Engine) -> None:
    store = Store(engine)
    wide = "(param $n i64) (param i32 i32 i32 i32 i32 i32 f64) (result i64)"
    first = instance(
        engine,
        f"""(module
          (type $narrow (func (param i64) (result i64)))
          (table (export "table") 1 funcref)
          (global $mine (mut i64) (i64.const 1))
          (func (export "wide") {wide}
            (global.set $mine (i64.add (global.get $mine) (i64.extend_i32_s (local.get 6))))
            (return_call_indirect (type $narrow) (local.get $n) (i32.const 0)))
          (func (export "mine") (result i64) (global.get $mine)))""",
        store=store,
    )
    second = instance(
        engine,
        f"""(module
          (import "first" "wide" (func $wide {wide}))
          (import "first" "table" (table 1 funcref))
          (global $mine (mut i64) (i64.const 0))
          (elem (i32.const 0) $narrow)
          (func $narrow (export "narrow") (param $n i64) (result i64)
            (if (i64.eqz (local.get $n)) (then (return (global.get $mine))))
            (global.set $mine (i64.add (global.get $mine) (i64.const 1)))
            (return_call $wide (i64.sub (local.get $n) (i64.const 1))
              (i32.const 1) (i32.const 2) (i32.const 3) (i32.const 4) (i32.const 5) (i32.const 6) (f64.const 7))))""",
        {"first": {"wide": first.exports.wide, "table": first.exports.table}},
        store,
    )
    assert second.exports.narrow(200_000) == 200_000
    assert first.exports.mine() == 1 + 6 * 200_000


# --- the host -------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 5, 6, 12])
def test_a_host_function_with_any_number_of_arguments(engine: Engine, count: int) -> None:
    params = " i32" * count
    arguments = "".join(f"(i32.const {10 + i})" for i in range(count))
    exports = instance(
        engine,
        f"""(module (import "" "host" (func $host (param{params}) (result i64)))
          (func (export "leave") (result i64) (return_call $host {arguments}))
          (func (export "twice") (result i64) (i64.add (call 1) (call 1))))""",
        {"": {"host": lambda *given: sum(given) * 1000 + len(given)}},
    ).exports
    each = sum(range(10, 10 + count)) * 1000 + count
    assert exports.leave() == each
    assert exports.twice() == 2 * each


def test_a_host_function_of_references(engine: Engine) -> None:
    seen = []
    exports = instance(
        engine,
        """(module (import "" "host" (func $host (param externref f32) (result externref)))
          (func (export "leave") (param externref) (result externref)
            (return_call $host (local.get 0) (f32.const 1.5))))""",
        {"": {"host": lambda value, number: seen.append(number) or value}},
    ).exports
    value = object()
    assert exports.leave(value) is value
    assert seen == [1.5]


def test_what_the_host_raises_comes_out(engine: Engine) -> None:
    error = RuntimeError("out of here")

    def host() -> None:
        raise error

    exports = instance(
        engine,
        '(module (import "" "host" (func $host)) (func (export "leave") (return_call $host)))',
        {"": {"host": host}},
    ).exports
    for _ in range(3):
        with pytest.raises(RuntimeError) as caught:
            exports.leave()
        assert caught.value is error


def test_a_host_function_that_calls_back(engine: Engine) -> None:
    found: list[Instance] = []

    def host(depth: int) -> int:
        return depth if depth == 0 else found[0].exports.down(depth - 1) + 1

    found.append(
        instance(
            engine,
            """(module (import "" "host" (func $host (param i32) (result i32)))
              (func (export "down") (param i32) (result i32) (return_call $host (local.get 0))))""",
            {"": {"host": host}},
        )
    )
    assert found[0].exports.down(5) == 5


# --- what is left of the stack --------------------------------------------------------------------

TRAPPING = """(module $m
  (func $start (export "start") (param i32) (result i32) (i32.add (call $leave (local.get 0)) (i32.const 1)))
  (func $leave (param i32) (result i32) ARGUMENTS)
  (func $divide (param i32) MORE (result i32) (i32.div_u (i32.const 1) (local.get 0))))"""


@pytest.mark.parametrize("more", [0, 9])
def test_a_frame_that_was_left_is_in_no_traceback(engine: Engine, more: int) -> None:
    call = f"(return_call $divide (local.get 0) {'(i64.const 1)' * more})"
    text = TRAPPING.replace("ARGUMENTS", call).replace("MORE", f"(param{' i64' * more})")
    exports = instance(engine, text).exports
    assert exports.start(1) == 2
    with pytest.raises(Trap) as caught:
        exports.start(0)
    assert caught.value.code is TrapCode.INTEGER_DIVISION_BY_ZERO
    assert [frame.func_name for frame in caught.value.frames] == ["divide", "start"]


def test_null_and_the_wrong_type_trap_in_the_frame_that_wants_to_leave(engine: Engine) -> None:
    exports = instance(
        engine,
        """(module $m (type $t (func (result i32))) (table 3 funcref) (elem (i32.const 1) $other)
          (func $other)
          (func $indirect (export "indirect") (param i32) (result i32) (return_call_indirect (type $t) (local.get 0)))
          (func $null (export "null") (result i32) (return_call_ref $t (ref.null $t))))""",
    ).exports
    for name, arguments, code in (
        ("indirect", (0,), TrapCode.UNINITIALIZED_ELEMENT),
        ("indirect", (1,), TrapCode.INDIRECT_CALL_TYPE_MISMATCH),
        ("indirect", (3,), TrapCode.UNDEFINED_ELEMENT),
        ("null", (), TrapCode.NULL_FUNCTION_REFERENCE),
    ):
        with pytest.raises(Trap) as caught:
            exports[name](*arguments)
        assert caught.value.code is code
        assert [frame.func_name for frame in caught.value.frames] == [name]


def test_recursion_behind_a_tail_call_overflows(engine: Engine) -> None:
    """Each level is a call, then a tail call with arguments on the stack: it grows, and that is noticed."""
    exports = instance(
        engine,
        f"""(module
          (func $call (export "call") (param i64) (result i64) (i64.add (call $leave (local.get 0)) (i64.const 1)))
          (func $leave (param i64) (result i64) (return_call $wide (local.get 0) {"(i64.const 7)" * 40}))
          (func $wide (param i64{" i64" * 40}) (result i64)
            (if (i64.eqz (local.get 0)) (then (return (local.get 40))))
            (return_call $call (i64.sub (local.get 0) (i64.const 1)))))""",
    ).exports
    assert exports.call(5) == 13
    for _ in range(3):
        with pytest.raises(Trap) as caught:
            exports.call(1_000_000)
        assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert exports.call(5) == 13


# --- tiers ----------------------------------------------------------------------------------------


@pytest.fixture(params=[1, 10, 1000])
def rising(request: pytest.FixtureRequest) -> Engine:
    """Tiers up in the middle of what runs."""
    return Engine(Config(tier_up=request.param, tier_up_in_background=False, cache=False, max_wasm_stack=SMALL_STACK))


@pytest.mark.parametrize("results", ["I", "IIII", "ffFfF", "vvvvv"])
def test_tier_up_in_the_middle_of_a_chain(rising: Engine, results: str) -> None:
    text, signatures, arguments = chain(results, "direct", seed=5)
    exports = instance(rising, text).exports
    exports.f2(30_000, *map(value_of, signatures[2], arguments[2]))
    assert exports.sum() == expected_sum(2, 30_000, arguments)


def loops(results: str) -> str:
    returns = f"(result {' '.join(NAMES[r] for r in results)})"
    return f"""(module (global $turns (mut i64) (i64.const 0))
      (func (export "turns") (result i64) (global.get $turns))
      (func $spin (export "spin") (param $n i64) (param i32 i32 i32 i32 i32 f32 f64) {returns} (local $i i32)
        (if (i64.eqz (local.get $n)) (then (return {"".join(constant(r, 5) for r in results)})))
        (loop $again
          (global.set $turns (i64.add (global.get $turns) (i64.const 1)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (if (i32.eq (local.get $i) (i32.const 50))
            (then (return_call $spin (i64.sub (local.get $n) (i64.const 1)) (local.get $i) (i32.const 2) (i32.const 3)
                    (i32.const 4) (i32.const 5) (f32.const 6) (f64.const 7))))
          (br $again))
        unreachable))"""


@pytest.mark.parametrize("results", ["I", "fF", "IIIII", "FFF"])
def test_a_loop_that_goes_on_in_the_second_tier_and_leaves_from_there(rising: Engine, results: str) -> None:
    exports = instance(rising, loops(results)).exports
    values = (5,) * len(results)
    assert exports.spin(500, 1, 2, 3, 4, 5, 6.0, 7.0) == (values if len(values) > 1 else values[0])
    assert exports.turns() == 500 * 50


def test_bits_of_floats_survive(engine: Engine) -> None:
    """The payload of a NaN, and the lower half of a register that held something else before."""
    exports = instance(
        engine,
        """(module
          (func (export "pass") (param f32 f64) (result i32 i64) (return_call $take (local.get 1) (local.get 0)))
          (func $take (param f64 f32) (result i32 i64)
            (i32.reinterpret_f32 (local.get 1)) (i64.reinterpret_f64 (local.get 0))))""",
    ).exports
    bits32, bits64 = 0x7FA00001, 0x7FF4000000000123
    found32, found64 = getattr(exports, "pass").call_bits([bits32, bits64])
    assert (found32, found64) == (bits32, bits64)
    value = struct.unpack("<f", struct.pack("<I", 0x3FC00000))[0]
    assert getattr(exports, "pass")(value, 2.5) == (0x3FC00000, 0x4004000000000000)


def test_without_the_feature_it_is_invalid() -> None:
    without = Engine(Config(features=frozenset(wasmark.Feature) - {wasmark.Feature.TAIL_CALL}, cache=False))
    with pytest.raises(wasmark.InvalidError, match="tail-call"):
        Module("(module (func (return_call 0)))", without)
