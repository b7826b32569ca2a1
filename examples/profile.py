"""A profile of Python and wasm code together, for speedscope and the Firefox profiler."""

from __future__ import annotations

import wasmark

MODULE = """
(module $primes
  (func $is_prime (param $n i32) (result i32) (local $d i32)
    (local.set $d (i32.const 2))
    (loop $next
      (if (i32.gt_u (i32.mul (local.get $d) (local.get $d)) (local.get $n)) (then (return (i32.const 1))))
      (if (i32.eqz (i32.rem_u (local.get $n) (local.get $d))) (then (return (i32.const 0))))
      (local.set $d (i32.add (local.get $d) (i32.const 1)))
      (br $next))
    (unreachable))
  (func (export "count") (param $n i32) (param $to i32) (result i32) (local $count i32)
    (loop $next
      (local.set $count (i32.add (local.get $count) (call $is_prime (local.get $n))))
      (br_if $next (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (local.get $to))))
    (local.get $count)))
"""


def search(first: int, last: int) -> int:
    return sum(instance.exports.count(start, start + 1000) for start in range(first, last, 1000))


instance = wasmark.Instance(wasmark.Module(MODULE))
search(0, 1000)
with wasmark.profile() as profile:
    found = search(1_000_000_000, 1_000_030_000)
profile.save("profile.json")

print(f"{found} primes; open profile.json with speedscope.app or profiler.firefox.com. Most time in wasm was spent in")
seconds = {stack: time for stack, time in profile.seconds().items() if stack[-1].startswith("primes!")}
print("  " + " > ".join(max(seconds, key=seconds.__getitem__)))
