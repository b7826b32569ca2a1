"""Tail calls: in constant stack between any two signatures, instances and tiers, with the frames that are left."""

from __future__ import annotations

import functools
import random
import struct
from typing import Any

import pytest

import wasmark
from tests.ways import WAYS, config
from wasmark import Config, Engine, Instance, Module, Store, Trap, TrapCode
from wasmark.compile.abi import INTEGER_REGISTERS
from wasmark.runtime.layout import TAIL_ROOM

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


def chain(
    results: str, kind: str, seed: int, signatures: list[str] | None = None
) -> tuple[str, list[str], list[list[int]]]:
    """A module of functions with any parameters behind a counter. Each adds all that it was given to a global, with
    weights that tell them apart, and leaves by a tail call to the next one."""
    randomness = random.Random(seed)
    signatures = signatures or [
        "".join(randomness.choices("iIfFv", k=randomness.choice((0, 1, 3, 6, 9, 14, 20)))) for _ in range(FUNCTIONS)
    ]
    count = len(signatures)
    arguments = [[randomness.randrange(1000) for _ in letters] for letters in signatures]
    returns = f"(result {' '.join(NAMES[r] for r in results)})" if results else ""
    text = "(module (global $sum (mut i64) (i64.const 0))\n"
    text += '(func (export "sum") (result i64) (global.get $sum) (global.set $sum (i64.const 0)))\n'
    for number, letters in enumerate(signatures):
        params = " ".join(NAMES[p] for p in letters)
        text += f"(type $t{number} (func (param i64 {params}) {returns}))\n"
    elements = " ".join(f"$f{number}" for number in range(count))
    text += f"(table funcref (elem {elements}))\n"
    for number, letters in enumerate(signatures):
        following = (number + 1) % count
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
        number = (start + step) % len(arguments)
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


def words(count: int) -> str:
    """Parameters of which so many words lie on the stack, behind a counter, where there are few results."""
    return "I" * (count + INTEGER_REGISTERS - 1)


STACKED = [
    *map(words, (0, 1, 2, TAIL_ROOM - 1, TAIL_ROOM, TAIL_ROOM + 1, 3 * TAIL_ROOM)),
    "v" * 11,
    words(1) + "v" * 10 + "f",  # with a gap between
]


def around(signatures: list[str]) -> list[str]:
    """A round way on which each signature is followed by each of them once."""
    ways = {number: list(range(len(signatures))) for number in range(len(signatures))}
    path, found = [0], []
    while path:
        if ways[path[-1]]:
            path.append(ways[path[-1]].pop())
        else:
            found.append(signatures[path.pop()])
    return found[:0:-1]


@pytest.mark.parametrize(("results", "kind"), [("I", "direct"), ("IIII", "indirect")])
def test_between_any_two_sizes_of_the_arguments_on_the_stack(engine: Engine, results: str, kind: str) -> None:
    """Just as many words as there is room for in some place, one more, and one less; from a caller with as many as it
    needs itself, and from the frames that tail calls make."""
    text, signatures, arguments = chain(results, kind, 3, around(STACKED))
    assert len(signatures) == len(STACKED) ** 2
    exports = instance(engine, text).exports
    for start in range(len(signatures)):
        for count in (1, 2, 5):
            exports[f"f{start}"](count, *map(value_of, signatures[start], arguments[start]))
            assert exports.sum() == expected_sum(start, count, arguments)
    exports.f0(20_000, *map(value_of, signatures[0], arguments[0]))
    assert exports.sum() == expected_sum(0, 20_000, arguments)


@functools.cache
def turned(turns: int, x: int, y: int) -> int:
    """What the next test's `narrow` answers."""
    values = None
    while turns:
        turns -= 1
        if values is None:
            values = [x, y, 7, 8]
        elif (turns + 1) & 2:
            (y, x), values = values[:2], None
        else:
            values = [values[3], *values[:3]]
    return x - y if values is None else values[0] - values[3]


def test_ten_million_calls_with_arguments_on_the_stack(engine: Engine) -> None:
    """They change places at each turn."""
    narrow, wide = "(param i64 i64 i64)", f"(param{' i64' * 9})"
    exports = instance(
        engine,
        f"""(module
          (func $narrow (export "narrow") {narrow} (result i64)
            (if (i64.eqz (local.get 0)) (then (return (i64.sub (local.get 1) (local.get 2)))))
            (return_call $wide (i64.sub (local.get 0) (i64.const 1)) (i64.const 1) (i64.const 2) (i64.const 3)
              (i64.const 4) (local.get 1) (local.get 2) (i64.const 7) (i64.const 8)))
          (func $wide (export "wide") {wide} (result i64)
            (if (i64.eqz (local.get 0)) (then (return (i64.sub (local.get 5) (local.get 8)))))
            (if (i32.wrap_i64 (i64.and (local.get 0) (i64.const 2)))
              (then (return_call $narrow (i64.sub (local.get 0) (i64.const 1)) (local.get 6) (local.get 5))))
            (return_call $wide (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (local.get 2) (local.get 3)
              (local.get 4) (local.get 8) (local.get 5) (local.get 6) (local.get 7))))""",
    ).exports

    for turns in range(20):
        assert exports.narrow(turns, 100, 30) == turned(turns, 100, 30)
    assert exports.narrow(10_000_003, 100, 30) == turned(10_000_003, 100, 30)


def test_what_a_caller_has_stays_as_it_was(engine: Engine) -> None:
    """Who is called may write over the arguments that it got on the stack, and over nothing else."""
    params, gets = "(param" + " i64" * 10 + ")", "".join(f"(local.get {i})" for i in range(10))
    turned = "".join(f"(i64.mul (local.get {(i + 3) % 10}) (i64.const 3))" for i in range(10))
    weighed = "(i64.const 0)"
    for i in range(10):
        weighed = f"(i64.add (i64.mul {weighed} (i64.const 31)) (local.get {i}))"
    exports = instance(
        engine,
        f"""(module (tag $e)
          (func $last {params} (result i64) {weighed})
          (func $turn {params} (result i64) (return_call $last {turned}))
          (func $keep {params} (result i64)
            (i64.add {weighed} (i64.sub (call $turn {gets}) (call $turn {gets}))))
          (func $guard {params} (result i64)
            (block $h (try_table (catch_all $h)
              (return (i64.add {weighed} (i64.sub (call $turn {gets}) (call $turn {gets}))))))
            unreachable)
          (func (export "keep") {params} (result i64 i64 i64) (call $keep {gets}) (call $guard {gets})
            (i64.sub (call $turn {gets}) (call $turn {gets}))))""",
    ).exports
    values = [17 * i + 5 for i in range(10)]
    expected = 0
    for value in values:
        expected = expected * 31 + value
    for _ in range(3):
        assert exports.keep(*values) == (expected, expected, 0)


@pytest.mark.parametrize("own", [0, 2, 4])
def test_who_needs_more_room_than_it_has_takes_none_of_its_callers(engine: Engine, own: int) -> None:
    """The caller has more values than registers: they lie next to the arguments."""
    values = 24
    weighed = "(i64.const 0)"
    for i in range(values):
        weighed = f"(i64.add (i64.mul {weighed} (i64.const 31)) (local.get {i + 1}))"
    sets = "".join(f"(local.set {i + 1} (i64.load (i32.const {8 * i})))" for i in range(values))
    contents = "".join(f"\\{i:02x}\\00\\00\\00\\00\\00\\00\\00" for i in range(values))
    few = own + INTEGER_REGISTERS
    text = f'(module (memory 1) (data (i32.const 0) "{contents}")'
    for more in (1, 2, 3):
        many = few + more
        text += f"""
          (func $leave{more} (param{" i64" * few}) (result i64)
            (return_call $all{more} {"".join(f"(local.get {i % few})" for i in range(many))}))
          (func $all{more} (param{" i64" * many}) (result i64)
            (i64.add (local.get {many - 1}) (local.get {many - 2})))
          (func (export "keep{more}") (result i64 i64) (local{" i64" * (values + 1)}) {sets}
            (call $leave{more} {"(i64.const -1)" * few}) {weighed})"""
    exports = instance(engine, text + ")").exports
    expected = 0
    for i in range(values):
        expected = (expected * 31 + i) & (1 << 64) - 1
    for more in (1, 2, 3):
        for _ in range(3):
            assert exports[f"keep{more}"]() == (-2, expected - (expected >> 63 << 64))


@pytest.mark.parametrize("way", ["eager", "baseline", "tier-up-in-loops"])
def test_references_on_the_stack_are_kept(way: str) -> None:
    """Each turn makes an object and collects; the others are passed on in arguments that are on the stack."""
    engine = Engine(config(way, cache=False, collect_always=True))
    refs = 14
    params = "(param $n i32)" + "(param (ref null $box))" * refs
    first = "".join(f"(struct.new $box (i32.const {100 + i}))" for i in range(refs))
    rotated = "".join(f"(local.get {i})" for i in range(2, refs + 1))
    total = "(i32.const 0)"
    for i in range(1, refs + 1):
        total = f"(i32.add (i32.mul {total} (i32.const 7)) (struct.get $box 0 (local.get {i})))"
    exports = instance(
        engine,
        f"""(module (type $box (struct (field i32)))
          (func $turn {params} (result i32)
            (if (i32.eqz (local.get $n)) (then (return {total})))
            (return_call $turn (i32.sub (local.get $n) (i32.const 1)) {rotated} (struct.new $box (local.get $n))))
          (func (export "run") (param i32) (result i32) (call $turn (local.get 0) {first})))""",
    ).exports
    for turns in (0, 3, 50):
        values = [*(100 + i for i in range(refs)), *range(turns, 0, -1)][-refs:]
        expected = 0
        for value in values:
            expected = (expected * 7 + value) & 0xFFFFFFFF
        assert exports.run(turns) == expected - (expected >> 31 << 32)


def test_a_host_function_at_the_end_of_a_chain(engine: Engine) -> None:
    """Its arguments lie where those of the functions before it lay."""
    params = " i64" * 12
    gets = "".join(f"(local.get {i})" for i in range(1, 12))
    exports = instance(
        engine,
        f"""(module (import "" "host" (func $host (param{params}) (result i64)))
          (func $turn (param{params}) (result i64)
            (if (i64.eqz (local.get 0)) (then (return_call $host {gets} (local.get 0))))
            (return_call $turn (i64.sub (local.get 0) (i64.const 1)) {gets}))
          (func (export "run") (param i64) (result i64)
            (return_call $turn (local.get 0) {"".join(f"(i64.const {i})" for i in range(1, 12))})))""",
        {"": {"host": lambda *given: sum(value * 10**place for place, value in enumerate(given))}},
    ).exports
    expected = sum(value * 10**place for place, value in enumerate([*range(1, 12), 0]))
    for turns in (0, 1, 1000):
        assert exports.run(turns) == expected


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
