"""A profile of Python and wasm code together, for speedscope and the Firefox profiler."""

from __future__ import annotations

import wasmark

MODULE = """
(module $primes
  (import "host" "found" (func $found (param i32)))
  (func $is_prime (param $n i32) (result i32) (local $d i32)
    (local.set $d (i32.const 2))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $d) (local.get $d)) (local.get $n)) (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $n) (local.get $d))) (then (return (i32.const 0))))
      (local.set $d (i32.add (local.get $d) (i32.const 1)))
      (br $next))
    (unreachable))
  (func (export "search") (param $n i32) (param $to i32)
    (loop $next
      (if (call $is_prime (local.get $n)) (then (call $found (local.get $n))))
      (br_if $next (i32.le_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $to))))))
"""


def note(prime: int) -> None:
    primes.append(prime)


primes: list[int] = []
instance = wasmark.Instance(wasmark.Module(MODULE), {"host": {"found": note}})
with wasmark.profile() as profile:
    instance.exports.search(1_000_000_000, 1_000_030_000)
profile.save("profile.json")

print(f"{len(primes)} primes; open profile.json with speedscope.app or profiler.firefox.com. Most time was spent in")
seconds = profile.seconds()
print("  " + " > ".join(max(seconds, key=lambda stack: seconds[stack])))
