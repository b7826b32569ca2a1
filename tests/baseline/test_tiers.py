"""Both tiers mean the same: results, traps and where they happen; and the registry answers for the first one, too."""

from __future__ import annotations

import struct
from itertools import pairwise, product
from typing import Any

import pytest

import wasmark
from tests.differential.generator import generate
from tests.ways import WAYS, config
from wasmark.binary import decode_body
from wasmark.errors import TrapCode

ENGINES = {way: wasmark.Engine(config(way)) for way in WAYS}


def baseline(source: str | bytes, imports: Any = None) -> wasmark.Instance:
    return wasmark.Instance(wasmark.Module(source, ENGINES["baseline"]), imports)


def traps_of(module: wasmark.Module) -> set[tuple[int, int, TrapCode]]:
    """(function, byte of the module, trap) of every instruction that may trap, as the registry knows them."""
    store = wasmark.Store(module.engine)
    store.registry.register_module(module)
    found = set()
    for func_index, start, end in module.finished_functions():
        for pc in range(start, end):
            code = store.registry.lookup_trap_code(pc)
            if code is not None:
                frame = store.registry.lookup_frame_info(pc)
                assert frame is not None
                found.add((func_index, frame.module_offset, code))
    return found


TRAPPING = """(module
  (memory 1) (memory $big i64 1) (table 4 funcref) (type $t (func (param i32) (result i32)))
  (data $d "abc") (elem $e func $f)
  (func $f (type $t) (local.get 0))
  (func (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (param i64 i64) (result i64) (i64.rem_u (local.get 0) (local.get 1)))
  (func (param f64) (result i32) (i32.trunc_f64_s (local.get 0)))
  (func (param f32) (result i64) (i64.trunc_f32_u (local.get 0)))
  (func (param i32) (result i32) (i32.load offset=4 (local.get 0)))
  (func (param i32) (result i64) (i64.load8_s (local.get 0)))
  (func (param i64) (result i32) (i32.load $big offset=5000000000 (local.get 0)))
  (func (param i32 f64) (f64.store (local.get 0) (local.get 1)))
  (func (param i32) (result v128) (i32x4.add (v128.load (local.get 0)) (v128.load8x8_s offset=3 (local.get 0))))
  (func (param i32 v128) (result v128) (f32x4.mul (v128.load32_splat (local.get 0)) (v128.load64_zero (local.get 0))))
  (func (param i64 v128) (result v128) (v128.load16_lane $big offset=9 3 (local.get 0) (local.get 1)))
  (func (param i32 v128) (v128.store (local.get 0) (local.get 1)) (v128.store8_lane 3 (local.get 0) (local.get 1)))
  (func (param i32) (unreachable))
  (func (param i32) (result i32) (call_indirect (type $t) (i32.const 1) (local.get 0)))
  (func (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 9)))
  (func (param i32) (memory.init $d (local.get 0) (i32.const 0) (i32.const 3)))
  (func (param i32) (table.init $e (local.get 0) (i32.const 0) (i32.const 1)))
  (func (param i32) (result funcref) (table.get (local.get 0)))
  (func (param i32) (result i32) (call $f (call $f (local.get 0))))
)"""


def test_both_tiers_may_trap_at_the_same_bytes_of_the_module() -> None:
    eager, first = (traps_of(wasmark.Module(TRAPPING, ENGINES[name])) for name in ("eager", "baseline"))
    assert first == eager
    assert {code for _, _, code in first} >= {TrapCode.MEMORY_OUT_OF_BOUNDS, TrapCode.STACK_OVERFLOW}


def outcome(function: wasmark.Func, args: list[int]) -> object:
    try:
        return function.call_bits(args)
    except wasmark.Trap as trap:
        return trap.code, [(f.func_index, f.module_offset) for f in trap.frames]


CHAIN = """(module (memory 1)
  (func $deep (param i32 i32) (result i32)
    (if (result i32) (local.get 0)
      (then (i32.add (i32.const 1) (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))
      (else (i32.div_u (i32.const 100) (i32.load (local.get 1))))))
  (func (export "f") (param i32 i32) (result i32) (call $deep (local.get 0) (local.get 1))))"""


@pytest.mark.parametrize("args", [[0, 0], [3, 0], [20, 65533], [5, 0xFFFFFFFF]])
def test_backtraces_are_the_same(args: list[int]) -> None:
    seen = [outcome(wasmark.Instance(wasmark.Module(CHAIN, engine)).exports.f, args) for engine in ENGINES.values()]
    assert all(one == other for one, other in pairwise(seen))
    _, frames = seen[0]  # type: ignore[misc]
    assert len(frames) == args[0] + 2


@pytest.mark.parametrize("seed", range(1000, 1012))
def test_every_byte_of_every_function_is_answered_for(seed: int) -> None:
    module = wasmark.Module(generate(seed).binary, ENGINES["baseline"])
    store = wasmark.Store(module.engine)
    store.registry.register_module(module)
    first = module.model.imported["func"]
    functions = list(module.finished_functions())
    assert sorted(index for index, _, _ in functions) == list(range(first, first + len(module.model.functions)))
    for func_index, start, end in functions:
        function = module.model.functions[func_index - first]
        offsets = {offset for _, _, offset in decode_body(module.model, function.start, function.end)}
        for pc in range(start, end):
            frame = store.registry.lookup_frame_info(pc)
            assert frame is not None
            assert frame.func_index == func_index
            assert frame.module_offset in offsets or frame.module_offset == function.entry
        ends, starts = ({function[i] for function in functions} for i in (2, 1))
        assert (store.registry.lookup_frame_info(start - 1) is None) == (start not in ends)
        assert (store.registry.lookup_frame_info(end) is None) == (end not in starts)


def test_tiers_call_each_other_with_every_kind_of_argument() -> None:
    types = "i32 i64 f32 f64 " * 5
    values = list(range(1, 21))
    results = "i32 i64 f32 f64 i32"
    callee = f"""(module (func (export "g") (param {types}) (result {results})
        (local.get 16) (local.get 17) (local.get 18) (local.get 19) (i32.add (local.get 0) (local.get 12))))"""
    passed = " ".join(f"(local.get {i})" for i in range(20))
    caller = f"""(module (import "m" "g" (func $g (param {types}) (result {results}))) (table 1 funcref)
        (type $t (func (param {types}) (result {results}))) (elem (i32.const 0) $g)
        (func (export "f") (param {types}) (result {results}) (call $g {passed}))
        (func (export "h") (param {types}) (result {results}) (call_indirect (type $t) {passed} (i32.const 0))))"""
    # One engine, so that one store can hold both; the tier of each module is that of its own compilation.
    for inner, outer in product(WAYS, WAYS):
        engine = wasmark.Engine(wasmark.Config(cache=False))
        made = []
        for way, source in ((inner, callee), (outer, caller)):
            engine.config = config(way, cache=False)
            made.append(wasmark.Module(source, engine))
        store = wasmark.Store(engine)
        g = wasmark.Instance(made[0], store=store).exports.g
        exports = wasmark.Instance(made[1], {"m": {"g": g}}, store).exports
        for name in ("f", "h"):
            assert exports[name](*values) == (17, 18, 19.0, 20.0, 14), (inner, outer, name)


def test_a_constant_left_of_a_value_that_is_still_to_come() -> None:
    """Its place is its own, also where the operands change sides."""
    f = baseline("""(module (func (export "f") (param i64) (result i64)
        (i64.xor (i64.const -2147483648) (i64.extend8_s (local.get 0)))))""").exports.f
    assert f(5) == -2147483643


@pytest.mark.parametrize("value", [0, 1, -1, 2**31 - 1, -(2**31), 2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63)])
def test_constants_of_every_size(value: int) -> None:
    exports = baseline(f"""(module (func (export "c") (result i64) (i64.const {value}))
        (func (export "add") (param i64) (result i64) (i64.add (local.get 0) (i64.const {value})))
        (func (export "and") (param i64) (result i64) (i64.and (i64.const {value}) (local.get 0)))
        (func (export "lt") (param i64) (result i32) (i64.lt_u (local.get 0) (i64.const {value})))
        (memory 1) (func (export "st") (param i32) (result i64) (i64.store (local.get 0) (i64.const {value}))
          (i64.load (i32.const 8))))""").exports
    bits = value & (1 << 64) - 1
    assert exports.c() == value
    assert exports.add(7) & (1 << 64) - 1 == (value + 7) & (1 << 64) - 1
    assert exports["and"](-1) == value
    assert exports.lt(77) == int(bits > 77)
    assert exports.st(8) == value


def test_a_branch_table_of_many_targets() -> None:
    cases = 300
    blocks = "(block " * cases
    table = " ".join(str(i) for i in range(cases))
    ends = "".join(f") (return (i32.const {i}))" for i in range(cases))
    f = baseline(f"""(module (func (export "f") (param i32) (result i32)
        (block {blocks} (br_table {table} {cases} (local.get 0)) {ends}) (i32.const -1)))""").exports.f
    assert [f(i) for i in (0, 1, 2, 150, 298, 299, 300, 301, -1)] == [0, 1, 2, 150, 298, 299, -1, -1, -1]


def test_locals_are_zero_and_deep_stacks_keep_what_was_read() -> None:
    count = 200
    gets = "(local.get 0)" * count
    adds = "(i32.add)" * (count - 1)
    exports = baseline(f"""(module
        (func (export "deep") (param i32) (result i32)
          {gets} (local.set 0 (i32.const 1000)) {adds} (local.get 0) (i32.add))
        (func (export "zero") (result i64) (local {"i64 " * 1000}) (i64.or (local.get 0) (local.get 999)))
        (func (export "few") (result i64) (local {"i64 " * 31}) (i64.or (local.get 0) (local.get 30))))""").exports
    assert exports.deep(3) == 3 * count + 1000
    assert exports.zero() == exports.few() == 0


def test_values_swap_places_on_their_way_out() -> None:
    f = baseline("""(module (func (export "f") (param i32 i32 i32) (result i32 i32 i32)
        (local.get 2) (local.get 0) (local.get 1)))""").exports.f
    assert f(1, 2, 3) == (3, 1, 2)


def test_a_large_frame_is_checked_before_it_is_used() -> None:
    f = baseline(f"""(module (func $f (export "f") (param i32) (local {"i64 " * 10_000})
        (call $f (local.get 0))))""").exports.f
    with pytest.raises(wasmark.Trap) as caught:
        f(1)
    assert caught.value.code is TrapCode.STACK_OVERFLOW
    assert len(caught.value.frames) < 20


def test_nan_payloads_pass_through() -> None:
    f = baseline(
        '(module (func (export "f") (param f32) (result f32) (local f32) (local.set 1 (local.get 0)) (local.get 1)))'
    )
    bits = 0x7FA00001
    assert f.exports.f.call_bits([bits])[0] & 0xFFFFFFFF == bits
    assert struct.pack("<I", bits) == bits.to_bytes(4, "little")


@pytest.mark.parametrize("way", WAYS)
def test_a_call_of_many_arguments_and_results_keeps_the_chain_of_frames(way: str) -> None:
    """Its stencil needs every register but the frame pointer."""
    params = "i64 i64 i32 i32 i32 i64 i64 i64 i32 f32 i32 i32"
    arguments = "".join(f"(local.get {i})" for i in range(12))
    exports = wasmark.Instance(
        wasmark.Module(
            f"""(module (func $f (export "f") (param {params}) (result i64 i32 i32 i32 i64)
              (if (i32.eqz (local.get 11)) (then (unreachable)))
              (local.set 11 (i32.sub (local.get 11) (i32.const 1)))
              (call $f {arguments})))""",
            ENGINES[way],
        )
    ).exports
    with pytest.raises(wasmark.Trap) as caught:
        exports.f(*range(1, 12), 9)
    assert len(caught.value.frames) == 10
