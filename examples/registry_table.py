"""All code that a store has by now, as a table: each function, by which compiler, where, and how often it may trap."""

from __future__ import annotations

import wasmark

MODULE = """
(module $squares
  (func $square (param $x i32) (result i32) (i32.mul (local.get $x) (local.get $x)))
  (func (export "sum") (param $n i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (call $square (local.get $n))))
      (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $sum)))
"""

# Every function first by the quick compiler; at once by the optimising one, too, as it would be after some time.
engine = wasmark.Engine(wasmark.Config(tier_up=0, tier_up_in_background=False))
store = wasmark.Store(engine)
print(wasmark.Instance(wasmark.Module(MODULE, engine), store=store).exports.sum(10))
table = store.registry.dump()
print(table)
print(sum(row.size for row in table if row.tier == "optimised"), "bytes of optimised code")
