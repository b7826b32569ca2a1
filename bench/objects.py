"""How fast structures and arrays are made, gone through, and collected."""

from __future__ import annotations

from typing import Final

from measure import Goal
from texts import kernel

GOALS = (Goal("wasmtime", 1.1),)
MEAN_GOALS = (Goal("wasmtime", 0.85),)

_TREES = """
(module
  (type $tree (struct (field (ref null $tree)) (field (ref null $tree))))
  (func $make (param $depth i32) (result (ref $tree))
    (if (result (ref $tree)) (i32.eqz (local.get $depth))
      (then (struct.new_default $tree))
      (else
        (local.set $depth (i32.sub (local.get $depth) (i32.const 1)))
        (struct.new $tree (call $make (local.get $depth)) (call $make (local.get $depth))))))
  (func $count (param $tree (ref null $tree)) (result i32)
    (if (result i32) (ref.is_null (local.get $tree))
      (then (i32.const 0))
      (else
        (i32.add (i32.const 1)
          (i32.add (call $count (struct.get $tree 0 (local.get $tree)))
                   (call $count (struct.get $tree 1 (local.get $tree))))))))
  (func (export "run") (param $times i32) (result i32)
    (local $long (ref $tree)) (local $sum i32)
    (local.set $long (call $make (i32.const 15)))
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call $count (call $make (i32.const 12)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i32.add (local.get $sum) (call $count (local.get $long)))))
"""

_LIST = """
(module
  (type $node (struct (field $next (ref null $node)) (field $value i64)))
  (func (export "run") (param $times i32) (result i64)
    (local $list (ref null $node)) (local $i i32) (local $sum i64)
    (loop $again
      (local.set $list (ref.null $node))
      (local.set $i (i32.const 10000))
      (loop $make
        (local.set $list (struct.new $node (local.get $list) (i64.extend_i32_u (local.get $i))))
        (br_if $make (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (loop $go
        (local.set $sum (i64.add (local.get $sum) (struct.get $node $value (local.get $list))))
        (br_if $go (i32.eqz (ref.is_null
          (local.tee $list (struct.get $node $next (local.get $list)))))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $sum)))
"""

_SIEVE = """
(module
  (type $flags (array (mut i8)))
  (func (export "run") (param $times i32) (result i32)
    (local $flags (ref $flags)) (local $i i32) (local $k i32) (local $count i32)
    (loop $again
      (local.set $flags (array.new_default $flags (i32.const 100000)))
      (local.set $i (i32.const 2))
      (local.set $count (i32.const 0))
      (loop $next
        (if (i32.eqz (array.get_u $flags (local.get $flags) (local.get $i)))
          (then
            (local.set $count (i32.add (local.get $count) (i32.const 1)))
            (local.set $k (i32.add (local.get $i) (local.get $i)))
            (block $done
              (loop $cross
                (br_if $done (i32.ge_u (local.get $k) (i32.const 100000)))
                (array.set $flags (local.get $flags) (local.get $k) (i32.const 1))
                (local.set $k (i32.add (local.get $k) (local.get $i)))
                (br $cross)))))
        (br_if $next (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 100000))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $count)))
"""

_CASTS = """
(module
  (type $shape (sub (struct (field $kind i32))))
  (type $circle (sub $shape (struct (field $kind i32) (field $radius f64))))
  (type $square (sub $shape (struct (field $kind i32) (field $side f64))))
  (type $disc (sub final $circle (struct (field $kind i32) (field $radius f64))))
  (type $shapes (array (mut (ref null $shape))))
  (func $area (param $shape (ref null $shape)) (result f64)
    (if (ref.test (ref $circle) (local.get $shape))
      (then (return (f64.mul (f64.const 3.0)
        (struct.get $circle $radius (ref.cast (ref $circle) (local.get $shape)))))))
    (if (ref.test (ref $square) (local.get $shape))
      (then (return (struct.get $square $side (ref.cast (ref $square) (local.get $shape))))))
    (f64.const 0.5))
  (func (export "run") (param $times i32) (result f64)
    (local $shapes (ref $shapes)) (local $i i32) (local $sum f64)
    (local.set $shapes (array.new_fixed $shapes 4
      (struct.new $circle (i32.const 1) (f64.const 2)) (struct.new $square (i32.const 2) (f64.const 3))
      (struct.new $disc (i32.const 3) (f64.const 4)) (struct.new $shape (i32.const 4))))
    (loop $again
      (local.set $i (i32.const 100000))
      (loop $next
        (local.set $sum (f64.add (local.get $sum)
          (call $area (array.get $shapes (local.get $shapes) (i32.and (local.get $i) (i32.const 3))))))
        (br_if $next (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (local.get $sum)))
"""

CASES: Final = tuple(
    kernel("objects", name, text, times, GOALS)
    for name, text, times in (
        ("trees", _TREES, 100),
        ("list", _LIST, 100),
        ("sieve", _SIEVE, 50),
        ("casts", _CASTS, 100),
    )
)
"""All that is measured, in the order of the table."""
