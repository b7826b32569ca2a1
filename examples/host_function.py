"""Python functions as imports: signatures come from the module, and exceptions pass through wasm unchanged."""

from __future__ import annotations

import wasmark

MODULE = """
(module
  (import "host" "square" (func $square (param i64) (result i64)))
  (import "host" "show" (func $show (param i64 f64)))
  (func (export "squares") (param $n i64)
    (local $i i64)
    (loop $next
      (call $show (call $square (local.get $i)) (f64.sqrt (f64.convert_i64_s (local.get $i))))
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $next (i64.lt_s (local.get $i) (local.get $n))))))
"""


def square(value: int) -> int:
    if value > 3:
        raise OverflowError(f"{value} is too much for me")
    return value * value


def show(number: int, root: float) -> None:
    print(f"{number:3d} {root:.3f}")


instance = wasmark.Instance(wasmark.Module(MODULE), {"host": {"square": square, "show": show}})
instance.exports.squares(3)
try:
    instance.exports.squares(10)
except OverflowError as error:
    print(f"from the host function, through wasm: {error}")
