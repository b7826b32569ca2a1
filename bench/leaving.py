"""How fast a function is left in other ways than by returning: exceptions and tail calls."""

from __future__ import annotations

from typing import Final

from measure import Goal
from texts import kernel

GOALS: Final = (Goal("wasmtime", 1.1),)
MEAN_GOALS: Final = (Goal("wasmtime", 0.85),)

_THROW: Final = """
(module
  (tag $error (param i32))
  (func $inner (param i32) (throw $error (local.get 0)))
  (func $outer (param i32) (call $inner (i32.add (local.get 0) (i32.const 1))))
  (func (export "run") (param $times i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum)
        (block $caught (result i32)
          (try_table (catch $error $caught) (call $outer (local.get $times)))
          (unreachable))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $sum)))
"""

_GUARDED: Final = """
(module
  (tag $error (param i32))
  (global $limit (mut i32) (i32.const 0))
  (func $inner (param i32) (result i32)
    (if (i32.eq (local.get 0) (global.get $limit)) (then (throw $error (i32.const 7))))
    (i32.xor (local.get 0) (i32.const 5)))
  (func (export "run") (param $times i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum)
        (block $caught (result i32)
          (try_table (result i32) (catch $error $caught) (call $inner (local.get $times))))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $sum)))
"""

_TAIL: Final = """
(module
  (type $step (func (param i32 i32) (result i32)))
  (table funcref (elem $even $odd))
  (func $even (type $step)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect (type $step) (i32.sub (local.get 0) (i32.const 1))
      (i32.add (local.get 1) (i32.const 3)) (i32.and (local.get 0) (i32.const 1))))
  (func $odd (type $step)
    (if (i32.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call_indirect (type $step) (i32.sub (local.get 0) (i32.const 1))
      (i32.xor (local.get 1) (i32.const 9)) (i32.and (local.get 0) (i32.const 1))))
  (func (export "run") (param $times i32) (result i32) (call $even (local.get $times) (i32.const 0))))
"""

_TAIL_STACKED: Final = """
(module
  (func $a (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (local.get 7))))
    (return_call $b (i64.sub (local.get 0) (i64.const 1)) (local.get 2) (local.get 1) (local.get 4) (local.get 3)
      (local.get 6) (local.get 5) (i64.add (local.get 7) (local.get 1))))
  (func $b (param i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (local.get 7))))
    (return_call $a (i64.sub (local.get 0) (i64.const 1)) (local.get 6) (local.get 1) (local.get 2) (local.get 3)
      (local.get 4) (local.get 5) (i64.xor (local.get 7) (local.get 6))))
  (func (export "run") (param $times i32) (result i64)
    (call $a (i64.extend_i32_u (local.get $times)) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4)
      (i64.const 5) (i64.const 6) (i64.const 7))))
"""

_TAIL_WIDENING: Final = """
(module
  (func $narrow (param i64 i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (local.get 1))))
    (return_call $wide (i64.sub (local.get 0) (i64.const 1)) (local.get 1) (i64.const 2) (i64.const 3) (i64.const 4)
      (i64.const 5) (local.get 0) (i64.const 7) (i64.const 8) (local.get 1)))
  (func $wide (param i64 i64 i64 i64 i64 i64 i64 i64 i64 i64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (local.get 7))))
    (return_call $narrow (i64.sub (local.get 0) (i64.const 1))
      (i64.add (i64.xor (local.get 9) (local.get 6)) (i64.add (local.get 7) (local.get 8)))))
  (func (export "run") (param $times i32) (result i64)
    (call $narrow (i64.extend_i32_u (local.get $times)) (i64.const 1))))
"""

CASES: Final = tuple(
    kernel("leaving", name, text, times, GOALS)
    for name, text, times in (
        ("throw", _THROW, 200_000),
        ("guarded", _GUARDED, 5_000_000),
        ("tail", _TAIL, 5_000_000),
        ("tail stacked", _TAIL_STACKED, 5_000_000),
        ("tail widening", _TAIL_WIDENING, 5_000_000),
    )
)
"""All that is measured, in the order of the table."""
