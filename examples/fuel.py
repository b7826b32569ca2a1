"""Fuel: how many instructions a program may execute, counted the same on every machine and at every run."""

from __future__ import annotations

import wasmark

MODULE = """
(module $prime
  (func $is_prime (param $n i32) (result i32) (local $d i32)
    (local.set $d (i32.const 2))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $d) (local.get $d)) (local.get $n)) (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $n) (local.get $d))) (then (return (i32.const 0))))
      (local.set $d (i32.add (local.get $d) (i32.const 1)))
      (br $next))
    unreachable)
  (func (export "count") (param $below i32) (result i32) (local $n i32) (local $count i32)
    (local.set $n (i32.const 2))
    (loop $next
      (local.set $count (i32.add (local.get $count) (call $is_prime (local.get $n))))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $below))))
    (local.get $count)))
"""

engine = wasmark.Engine(wasmark.Config(fuel=True))
store = wasmark.Store(engine)
count = wasmark.Instance(wasmark.Module(MODULE, engine), store=store).exports["count"]
for below in (100, 1_000):
    store.fuel = 1_000_000
    print(f"{count(below)} primes below {below:,}: {1_000_000 - store.fuel:,} instructions")
try:
    print(count(1_000_000))
except wasmark.Trap as trap:
    print(trap.code.message, "in", trap.frames[0].func_name, "with", store.fuel, "left")
