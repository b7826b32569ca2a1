"""What exceptions refer to is kept, and exceptions that nobody refers to are given up."""

from __future__ import annotations

import gc
from typing import Any

from tests.exceptions.support import CATCHING, LOOP, host_module, instance, legacy_sum, loop_sum
from tests.ways import config
from wasmark import Engine, Store, Tag, WasmException

LITTLE = 64 << 10
"""Bytes that a store may keep of exceptions that nobody refers to."""


COUNTING = """(module (tag $e (param i32)) (tag $with (param exnref i32))
  (global $kept (mut exnref) (ref.null exn)) (table $t 4 exnref)
  (func $throw (param i32) (throw $e (local.get 0)))
  (func $catch (param i32) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (call $throw (local.get 0))) unreachable))
  (func $reference (param i32) (result exnref)
    (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable))
  (func $value (param exnref) (result i32)
    (block $h (result i32) (try_table (catch $e $h) (throw_ref (local.get 0))) unreachable))
  (func (export "loop") (param i32) (local i32)
    (loop $l (drop (call $catch (local.get 0))) (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "references") (param i32) (result i32) (local $held exnref)
    ;; One is held in a local, one in a global, one in a table, and one in another exception, while many others go.
    (local.set $held (call $reference (i32.const 1)))
    (global.set $kept (call $reference (i32.const 20)))
    (table.set $t (i32.const 3) (call $reference (i32.const 300)))
    (table.set $t (i32.const 0)
      (block $h (result exnref)
        (try_table (catch_all_ref $h) (throw $with (call $reference (i32.const 4000)) (i32.const 5))) unreachable))
    (loop $l
      (drop (call $reference (local.get 0)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.add
      (i32.add (call $value (local.get $held)) (call $value (global.get $kept)))
      (i32.add (call $value (table.get $t (i32.const 3)))
        (block $h (result i32)
          (block $inner (result exnref i32)
            (try_table (catch $with $inner) (throw_ref (table.get $t (i32.const 0)))) unreachable)
          (drop) (call $value)))))
  (func (export "clear") (global.set $kept (ref.null exn)) (table.fill $t (i32.const 0) (ref.null exn) (i32.const 4)))
  (func (export "pass") (param exnref)))"""


def test_exceptions_that_nobody_refers_to_are_given_up(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(engine, COUNTING, None, store).exports
    exports.loop(200_000)
    for _ in range(3):
        assert exports.references(20_000) == 1 + 20 + 300 + 4000
    assert store.collector.heap.collections > 0
    exports.clear()
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_a_collection_at_every_exception_changes_nothing() -> None:
    for way in ("eager", "baseline"):
        engine = Engine(config(way, cache=False, collect_always=True))
        exports = instance(engine, COUNTING).exports
        assert exports.references(50) == 1 + 20 + 300 + 4000
        loops = instance(engine, LOOP).exports
        assert loops.run(50) == loop_sum(50)
        assert loops.legacy(50) == legacy_sum(50)


def test_the_objects_in_exceptions_that_are_kept_are_kept(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(
        engine,
        """(module (tag $e (param externref)) (global $kept (mut exnref) (ref.null exn))
          (func $throw (param externref) (throw $e (local.get 0)))
          (func (export "put") (param externref)
            (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable)
            (global.set $kept))
          (func (export "get") (result externref)
            (block $h (result externref) (try_table (catch $e $h) (throw_ref (global.get $kept))) unreachable)))""",
        None,
        store,
    ).exports
    value = object()
    exports.put(value)
    store.collect()
    assert exports.get() is value


def test_collections_on_the_way_of_an_exception_keep_it(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            gc.collect()
            raise WasmException(tag, (number,))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for number in range(20):
        assert exports.f(number) == number
