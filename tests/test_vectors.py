"""Vectors at the border to Python, and wherever values of any type go: calls, branches, globals, loops, host functions;
under every way in which code comes about."""

from __future__ import annotations

import gc
import struct
import sys
import threading
from itertools import product
from typing import Any

import pytest

import wasmark
import wasmark.core.opcodes
from tests.ways import WAYS, config
from wasmark.core.features import Feature
from wasmark.core.types import I32, V128, FuncType, GlobalType

A = bytes(range(16))
B = bytes(range(100, 116))


def lanes(*values: int) -> bytes:
    return struct.pack("<4i", *values)


@pytest.fixture(scope="module", params=WAYS)
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    return wasmark.Engine(config(request.param, cache=False))


def exports(engine: wasmark.Engine, source: str, imports: Any = None) -> Any:
    return wasmark.Instance(wasmark.Module(source, engine), imports).exports


SWAP = """(module
  (func (export "swap") (param v128 v128) (result v128 v128) (local.get 1) (local.get 0))
  (func (export "same") (param v128) (result v128) (local.get 0))
  (func (export "mixed") (param i32 v128 f32 i64 v128 f64) (result f64 v128 i64 v128)
    (local.get 5) (local.get 4) (local.get 3) (local.get 1)))"""


def test_a_vector_is_sixteen_bytes_both_ways(engine: wasmark.Engine) -> None:
    e = exports(engine, SWAP)
    assert e.swap(A, B) == (B, A)
    assert e.same(A) == A
    assert e.same(bytearray(A)) == e.same(memoryview(A)) == A
    assert type(e.same(bytearray(A))) is bytes
    assert e.mixed(1, A, 2.0, 3, B, 4.0) == (4.0, B, 3, A)


@pytest.mark.parametrize("wrong", [b"", A[:15], A + b"x", 5, None, 1.5, "0123456789abcdef", [0] * 16])
def test_anything_else_is_refused(engine: wasmark.Engine, wrong: Any) -> None:
    e = exports(engine, SWAP)
    with pytest.raises(TypeError, match="expected 16 bytes for v128, got"):
        e.same(wrong)
    with pytest.raises(TypeError, match="expected 16 bytes for v128, got"):
        e.swap(A, wrong)
    assert e.swap(A, B) == (B, A)


HOST = """(module
  (import "h" "f" (func $f (param i32 v128 v128) (result v128)))
  (import "h" "g" (func $g (param v128) (result i32 v128)))
  (table 1 funcref) (elem (i32.const 0) $f)
  (type $t (func (param i32 v128 v128) (result v128)))
  (func (export "f") (param v128 v128) (result v128) (call $f (i32.const 7) (local.get 1) (local.get 0)))
  (func (export "through") (param v128 v128) (result v128)
    (call_indirect (type $t) (i32.const 7) (local.get 1) (local.get 0) (i32.const 0)))
  (func (export "g") (param v128) (result i32 v128) (call $g (local.get 0))))"""


def test_host_functions_take_and_give_vectors(engine: wasmark.Engine) -> None:
    seen: list[Any] = []

    def f(*args: Any) -> Any:
        seen.append(args)
        return bytearray(args[1]) if len(seen) % 2 else args[2]

    e = exports(engine, HOST, {"h": {"f": f, "g": lambda v: (len(v), v[::-1])}})
    assert e.f(A, B) == B
    assert e.through(A, B) == A
    assert seen == [(7, B, A)] * 2
    assert e.g(A) == (16, A[::-1])


@pytest.mark.parametrize("wrong", [b"short", None, 3])
def test_a_host_function_that_answers_something_else_is_named(engine: wasmark.Engine, wrong: Any) -> None:
    e = exports(engine, HOST, {"h": {"f": lambda *_: wrong, "g": lambda v: (1, wrong)}})
    with pytest.raises(TypeError, match=r"h\.f returned what its wasm type does not allow: expected 16 bytes for v128"):
        e.f(A, B)
    with pytest.raises(TypeError, match=r"h\.g returned what its .* allow: result 2: expected 16 bytes for v128"):
        e.g(A)


def test_bytes_are_neither_kept_nor_lost(engine: wasmark.Engine) -> None:
    e = exports(engine, HOST, {"h": {"f": lambda i, a, b: a, "g": lambda v: (1, v)}})
    mine = bytes(bytearray(A))
    before = sys.getrefcount(mine)
    for _ in range(1000):
        e.f(mine, B)
        e.g(mine)
    assert sys.getrefcount(mine) == before


def test_globals_hold_vectors_for_wasm_and_for_python(engine: wasmark.Engine) -> None:
    store = wasmark.Store(engine)
    given = wasmark.Global(store, GlobalType(V128, mutable=True), A)
    module = wasmark.Module(
        """(module (import "m" "g" (global $i (mut v128))) (import "m" "c" (global $c v128))
          (global $own (export "own") (mut v128) (v128.const i64x2 -1 2)) (global (export "copy") v128 (global.get $c))
          (func (export "swap") (local v128)
            (local.set 0 (global.get $i)) (global.set $i (global.get $own)) (global.set $own (local.get 0))))""",
        engine,
    )
    constant = wasmark.Global(store, GlobalType(V128, mutable=False), B)
    e = wasmark.Instance(module, {"m": {"g": given, "c": constant}}, store).exports
    assert e["copy"].value == B
    assert e.own.value == struct.pack("<qq", -1, 2)
    e.swap()
    assert (given.value, e.own.value) == (struct.pack("<qq", -1, 2), A)
    e.own.value = memoryview(B)
    assert e.own.value == B
    with pytest.raises(TypeError, match="expected 16 bytes"):
        e.own.value = 3
    assert e.own.value == B


MANY = "i32 v128 f64 v128 i64 v128 v128 f32 v128 v128 v128 i64 v128 i32 v128 v128 i64 i32 v128"


def test_vectors_on_the_stack_between_all_tiers() -> None:
    """More than registers hold: they are aligned there, with and without a gap before them."""
    types = MANY.split()
    values: list[Any] = []
    for i, type_ in enumerate(types, 1):
        values.append(bytes([i] * 16) if type_ == "v128" else float(i) if type_[0] == "f" else i)
    results = "v128 i32 v128 v128 i64"
    places = [18, 17, 15, 9, 16]
    answers = tuple(values[place] for place in places)
    gets = " ".join(f"(local.get {place})" for place in places)
    callee = f'(module (func (export "g") (param {MANY}) (result {results}) {gets}))'
    passed = " ".join(f"(local.get {i})" for i in range(len(types)))
    caller = f"""(module (import "m" "g" (func $g (param {MANY}) (result {results}))) (table 1 funcref)
        (type $t (func (param {MANY}) (result {results}))) (elem (i32.const 0) $g)
        (func $own (param {MANY}) (result {results}) {gets})
        (func (export "own") (param {MANY}) (result {results}) (call $own {passed}))
        (func (export "f") (param {MANY}) (result {results}) (call $g {passed}))
        (func (export "h") (param {MANY}) (result {results}) (call_indirect (type $t) {passed} (i32.const 0))))"""
    for inner, outer in product((*WAYS, None), WAYS):
        engine = wasmark.Engine(wasmark.Config(cache=False))
        store = wasmark.Store(engine)
        if inner is None:
            g: Any = lambda *args: tuple(args[place] for place in places)  # noqa: E731
        else:
            engine.config = config(inner, cache=False)
            g = wasmark.Instance(wasmark.Module(callee, engine), store=store).exports.g
        engine.config = config(outer, cache=False)
        e = wasmark.Instance(wasmark.Module(caller, engine), {"m": {"g": g}}, store).exports
        for name in ("own", "f", "h"):
            assert e[name](*values) == answers, (inner, outer, name)


@pytest.mark.parametrize("count", range(1, 13))
def test_any_number_of_vectors_arrives(engine: wasmark.Engine, count: int) -> None:
    types = "v128 " * count
    gets = " ".join(f"(local.get {i})" for i in reversed(range(count)))
    e = exports(
        engine,
        f"""(module (func $r (param {types}) (result {types}) {gets})
          (func (export "f") (param {types}) (result {types})
            (call $r {" ".join(f"(local.get {i})" for i in range(count))})))""",
    )
    values = [bytes([i] * 16) for i in range(count)]
    answer = e.f(*values)
    assert answer == (tuple(reversed(values)) if count > 1 else values[0])


def test_a_host_function_of_a_type_takes_and_returns_vectors(engine: wasmark.Engine) -> None:
    store = wasmark.Store(engine)
    f = wasmark.Func.from_callable(store, FuncType((V128, I32), (V128,)), lambda v, i: v[i:] + v[:i])
    assert f(A, 3) == A[3:] + A[:3]


BLOCKS = """(module
  (func (export "if") (param i32 v128 v128) (result v128)
    (local.get 1) (local.get 2)
    (if (param v128 v128) (result v128) (local.get 0) (then (drop)) (else (i32x4.add))))
  (func (export "table") (param i32 v128) (result v128)
    (block (result v128) (block (result v128) (block (result v128)
      (br_table 0 1 2 (local.get 1) (local.get 0)))
      (return (i8x16.neg))) (return (v128.not))))
  (func (export "select") (param v128 v128 i32) (result v128)
    (select (local.get 0) (local.get 1) (local.get 2)))
  (func (export "typed") (param v128 v128 i32) (result v128)
    (select (result v128) (local.get 0) (v128.const i64x2 5 6) (local.get 2)))
  (func (export "drop") (param v128 i32) (result i32 v128)
    (local.get 1) (local.get 0) (local.get 0) (v128.const i64x2 1 2) (drop) (drop))
  (func (export "order") (param v128 v128) (result v128 v128 v128)
    (local.get 0) (local.get 1) (local.set 1 (i32x4.add (local.get 1) (local.get 1))) (local.get 1)
    (local.set 0 (v128.const i64x2 0 0)))
  (func (export "tee") (param v128) (result v128 v128)
    (local.get 0) (local.tee 0 (v128.const i64x2 3 4)))
  (func (export "br_if") (param i32 v128 v128) (result v128)
    (block (result v128) (local.get 1) (local.get 2) (local.get 0) (br_if 0) (drop))))"""


def test_blocks_branches_and_choices(engine: wasmark.Engine) -> None:
    e = exports(engine, BLOCKS)
    one, two = lanes(1, 2, 3, 4), lanes(10, 20, 30, 40)
    assert [e["if"](c, one, two) for c in (1, 0)] == [one, lanes(11, 22, 33, 44)]
    assert [e.table(i, one) for i in (0, 1, 2, 9)] == [
        bytes(-x & 255 for x in one),
        bytes(x ^ 255 for x in one),
        one,
        one,
    ]
    assert [e.select(one, two, c) for c in (1, 0)] == [one, two]
    assert [e.typed(one, two, c) for c in (1, 0)] == [one, struct.pack("<qq", 5, 6)]
    assert e.drop(one, 7) == (7, one)
    assert e.order(one, two) == (one, two, lanes(20, 40, 60, 80))
    assert e.tee(one) == (one, struct.pack("<qq", 3, 4))
    assert [e.br_if(c, one, two) for c in (1, 0)] == [two, one]


@pytest.mark.parametrize("depth", [*range(28, 36), *range(60, 68)])
def test_vectors_lie_at_any_depth_of_the_stack(engine: wasmark.Engine, depth: int) -> None:
    """Also where the halves of a vector would be on either side of the depth from which on locals are copied."""
    for first in ("", "(local.get 1)"):
        gets = first + "(local.get 0)" * depth + "(v128.const i32x4 1 1 1 1)"
        adds = "(i32x4.add)" * depth + ("(drop) (local.get 0)" if first else "")
        source = f"""(module (func (export "f") (param v128 i32) (result v128)
            {gets} (local.set 0 (v128.const i32x4 9 9 9 9)) {adds}))"""
        if first:
            source = source.replace("(drop) (local.get 0)", "").replace("(result v128)", "(result i32 v128)")
        answer = exports(engine, source).f(lanes(1, 2, 3, 4), 77)
        expected = lanes(*(i * depth + 1 for i in range(1, 5)))
        assert answer == ((77, expected) if first else expected)


LOOPS = """(module (memory 1)
  (func (export "sum") (param i32) (result v128) (local v128 i64 v128)
    (local.set 3 (v128.const i32x4 1 10 100 1000)) (local.set 2 (i64.const 5))
    (loop
      (local.set 1 (i32x4.add (local.get 1) (local.get 3)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (local.get 1))
  (func (export "below") (param i32) (result v128 i32 v128)
    (v128.const i32x4 1 2 3 4) (i32.const 7) (v128.const i32x4 0 0 0 0)
    (loop (param v128) (result v128)
      (i32x4.add (v128.const i32x4 1 1 2 2))
      (block (param v128) (result v128) (i32x4.add (v128.const i32x4 0 1 0 1)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "nested") (param i32 i32) (result i32 v128) (local i32 v128)
    (i32.const 3)
    (local.get 3)
    (loop $outer (param v128) (result v128)
      (local.set 2 (local.get 1))
      (loop $inner (param v128) (result v128)
        (i32x4.add (i32x4.splat (local.get 2)))
        (br_if $inner (local.tee 2 (i32.sub (local.get 2) (i32.const 1)))))
      (br_if $outer (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""


@pytest.mark.parametrize("turns", [1, 2, 3, 5, 1000])
def test_loops_go_on_in_other_code_with_their_vectors(engine: wasmark.Engine, turns: int) -> None:
    e = exports(engine, LOOPS)
    assert e.sum(turns) == lanes(turns, 10 * turns, 100 * turns, 1000 * turns)
    assert e.below(turns) == (lanes(1, 2, 3, 4), 7, lanes(turns, 2 * turns, 2 * turns, 3 * turns))
    assert e.nested(turns, 4) == (3, lanes(*[10 * turns] * 4))


def test_locals_start_with_zeros(engine: wasmark.Engine) -> None:
    for count in (1, 2, 7, 40):
        e = exports(
            engine,
            f"""(module (func (export "f") (param i32) (result i64 v128 v128) (local i64 {"v128 " * count} i64)
                (local.get {count + 2}) (local.get 2) (local.get {count + 1})))""",
        )
        assert e.f(1) == (0, bytes(16), bytes(16))


EDGE = 65536

STORES = [
    ("v128.store", 16, ""),
    ("v128.store64_lane", 8, "1"),
    ("v128.store32_lane", 4, "3"),
    ("v128.store16_lane", 2, "7"),
    ("v128.store8_lane", 1, "15"),
]


@pytest.mark.parametrize("address", ["i32", "i64"])
@pytest.mark.parametrize(("name", "size", "lane"), STORES)
def test_a_store_across_the_end_writes_nothing(
    engine: wasmark.Engine, name: str, size: int, lane: str, address: str
) -> None:
    e = exports(
        engine,
        f"""(module (memory (export "m") {address if address == "i64" else ""} 1 1)
          (func (export "f") (param {address} v128) ({name} offset=3 {lane} (local.get 0) (local.get 1))))""",
    )
    last = EDGE - size - 3
    for start in range(last + 1, last + size + 4):
        with pytest.raises(wasmark.Trap) as caught:
            e.f(start, B)
        assert caught.value.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS
        assert len(caught.value.frames) == 1
        assert bytes(memoryview(e.m)[-64:]) == bytes(64)
    e.f(last, B)
    assert bytes(memoryview(e.m)[-size:]) == (B if size == 16 else B[-size:])


LOADS = ["load", "load8x8_s", "load8x8_u", "load16x4_s", "load16x4_u", "load32x2_s", "load32x2_u"]
LOADS += [f"load{bits}_splat" for bits in (8, 16, 32, 64)] + ["load32_zero", "load64_zero"]
LOADS += [f"load{bits}_lane" for bits in (8, 16, 32, 64)]


def width(name: str) -> int:
    row = next(row for row in wasmark.core.opcodes.OPCODES if row.name == f"v128.{name}")
    return row.access


@pytest.mark.parametrize("address", ["i32", "i64"])
@pytest.mark.parametrize("name", LOADS)
def test_a_load_across_the_end_traps_where_it_stands(engine: wasmark.Engine, name: str, address: str) -> None:
    """Also if nobody looks at the value, and where what it is used for could be merged with it."""
    lane, vector = ("1", "(local.get 1)") if name.endswith("lane") else ("", "")
    module = wasmark.Module(
        f"""(module (memory {address if address == "i64" else ""} 1)
          (func (export "drop") (param {address} v128) (drop (v128.{name} {lane} (local.get 0) {vector})))
          (func (export "use") (param {address} v128) (result v128)
            (f32x4.add (i32x4.extend_low_i16x8_u (v128.{name} {lane} (local.get 0) {vector})) (local.get 1)))
          (func (export "add") (param {address} v128) (result v128)
            (i32x4.add (local.get 1) (v128.{name} {lane} (local.get 0) {vector}))))""",
        engine,
    )
    e = wasmark.Instance(module).exports
    fits = EDGE - width(name)
    for function in ("drop", "use", "add"):
        e[function](fits, A)
        for start in (fits + 1, max(fits + 1, EDGE - 1), EDGE, 2**32 - 1):
            with pytest.raises(wasmark.Trap) as caught:
                e[function](start, A)
            assert caught.value.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS
            offset = caught.value.frames[0].module_offset
            assert offset is not None
            assert module.model.data[offset] == 0xFD
            code = module.model.data[offset + 1]
            assert f"v128.{name}" == wasmark.core.opcodes.BY_PREFIX[0xFD][code].name


def test_threads_pass_vectors_while_the_collector_runs(engine: wasmark.Engine) -> None:
    module = wasmark.Module(HOST, engine)
    wrong: list[object] = []

    def work(number: int) -> None:
        mine = bytes([number] * 16)
        e = wasmark.Instance(module, {"h": {"f": lambda i, a, b: bytes(b), "g": lambda v: (1, bytes(v))}}).exports
        if any(e.f(mine, B) != mine or e.g(mine) != (1, mine) for _ in range(300)):
            wrong.append(number)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    threshold = gc.get_threshold()
    gc.set_threshold(1)
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        gc.set_threshold(*threshold)
    assert wrong == []


def test_without_the_feature_there_are_no_vectors() -> None:
    without = wasmark.Engine(wasmark.Config(features=frozenset(Feature) - {Feature.SIMD}))
    for source in (
        "(module (func (param v128)))",
        "(module (func (local v128)))",
        "(module (func (drop (v128.const i64x2 0 0))))",
        '(module (import "m" "g" (global v128)))',
    ):
        with pytest.raises(wasmark.InvalidError, match="part of the 'simd' feature"):
            wasmark.Module.validate(source, without)
        wasmark.Module.validate(source)
