"""The explorer: a page with a function's wasm text and the machine code of both compilers, side by side."""

from __future__ import annotations

from pathlib import Path

from wasmark.debug.explorer import write_page

MODULE = """
(module $mean
  (memory (export "memory") 1)
  (func $sum (param $at i32) (param $count i32) (result i32) (local $sum i32)
    (loop $next
      (local.set $sum (i32.add (local.get $sum) (i32.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 4)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (local.get $sum))
  (func (export "mean") (param $at i32) (param $count i32) (result i32)
    (i32.div_s (call $sum (local.get $at) (local.get $count)) (local.get $count))))
"""

write_page(MODULE, "mean.html", tiers=["optimised", "first"])
size = Path("mean.html").stat().st_size
print(f"wrote mean.html, {size:,} bytes: open it in a browser, and point at an instruction")
