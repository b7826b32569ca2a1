"""Modules that throw and catch."""

from __future__ import annotations

from typing import Any

from wasmark import Engine, FuncType, Instance, Module, Store, Tag
from wasmark.core.types import I32


def instance(engine: Engine, text: str, imports: Any = None, store: Store | None = None) -> Instance:
    return Instance(Module(text, engine), imports, store or Store(engine))


def host_module(engine: Engine, body: str, host: Any, *, tag: str = "(param i32)") -> tuple[Any, Tag]:
    """The exports of a module with a host function `$host`, a tag `$e` that is given to it, and a function `f`."""
    store = Store(engine)
    given = Tag(store, FuncType((I32,) if tag else (), ()), name="e")
    exports = instance(
        engine,
        f"""(module (import "" "host" (func $host (param i32) (result i32))) (import "" "e" (tag $e {tag}))
          {body})""",
        {"": {"host": host(given), "e": given}},
        store,
    ).exports
    return exports, given


CATCHING = """(func (export "f") (param i32) (result i32)
  (block $all (block $caught (result i32)
    (try_table (catch $e $caught) (catch_all $all)
      (return (i32.add (call $host (local.get 0)) (i32.const 1000)))) unreachable)
    (return)) (i32.const -9))"""

LOOP = """(module (tag $e (param i32)) (global $sum (mut i64) (i64.const 0))
  (func $maybe (param i32) (result i32)
    (if (i32.and (local.get 0) (i32.const 1)) (then (throw $e (local.get 0))))
    (i32.const 2))
  (func (export "run") (param $n i32) (result i64) (local $i i32) (local $f f64)
    (block $out
      (try_table (catch_all $out)
        (loop $l
          (block $caught (result i32)
            (try_table (result i32) (catch $e $caught) (call $maybe (local.get $i))))
          (i64.extend_i32_u) (i64.add (global.get $sum)) (global.set $sum)
          (local.set $f (f64.add (local.get $f) (f64.const 1)))
          (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
          (throw $e (i32.const 0)))))
    (if (f64.ne (local.get $f) (f64.convert_i32_u (local.get $n))) (then unreachable))
    (global.get $sum))
  (func (export "legacy") (param $n i32) (result i64) (local $i i32)
    (global.set $sum (i64.const 0))
    (try
      (do (loop $l
        (global.set $sum (i64.add (global.get $sum) (i64.extend_i32_u
          (try (result i32) (do (call $maybe (local.get $i)))
            (catch $e
              (loop $again
                (local.set $i (i32.add (local.get $i) (i32.const 2)))
                (br_if $again (i32.and (local.get $i) (i32.const 4))))
              (local.set $i (i32.sub (local.get $i) (i32.const 2)))
              (try (do (rethrow 1)) (catch $e (drop))))))))
        (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n)))
        (throw $e (i32.const 0))))
      (catch_all))
    (global.get $sum)))"""


def loop_sum(n: int) -> int:
    return sum(i if i & 1 else 2 for i in range(n))


def legacy_sum(n: int) -> int:
    total = i = 0
    while True:
        if i & 1:
            total += i
            while True:
                i += 2
                if not i & 4:
                    break
            i -= 2
        else:
            total += 2
        i += 1
        if i >= n:
            return total
