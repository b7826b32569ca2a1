"""A module whose functions keep much in registers, on the stack and in the store while they run, and answer with a
number that shows if any of it got lost; and somebody who disturbs them, at any instruction."""

from __future__ import annotations

import contextlib
import ctypes
import os
import threading
from typing import TYPE_CHECKING, Any, Final

import wasmark
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.monitor import MONITOR_SIGNAL
from wasmark.runtime.native import thread_state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT: Final = """(module $machine
  (type $pair (func (param i64) (result i64)))
  (type $node (struct (field $value (mut i64)) (field $next (mut (ref null $node)))))
  (type $bytes (array (mut i8)))
  (import "host" "twice" (func $twice (param i64) (result i64)))
  (memory 1 64)
  (table $table 4 1000 funcref)
  (elem (i32.const 0) $double $square $double $square)
  (elem declare func $double)
  (tag $number (param i64))
  (global $sum (mut i64) (i64.const 0))

  (func $double (type $pair) (i64.add (local.get 0) (local.get 0)))
  (func $square (type $pair) (i64.mul (local.get 0) (local.get 0)))

  (func (export "ints") (param $n i64) (result i64) (local $a i64) (local $b i64) (local $c i64) (local $d i64)
    (local.set $a (i64.const 1)) (local.set $b (i64.const 2)) (local.set $c (i64.const 3)) (local.set $d (i64.const 5))
    (loop $more
      (local.set $a (i64.rotl (i64.add (local.get $a) (local.get $b)) (local.get $n)))
      (local.set $b (i64.xor (local.get $b) (i64.mul (local.get $c) (i64.const 0x9E3779B97F4A7C15))))
      (local.set $c (select (i64.sub (local.get $c) (local.get $d)) (local.get $a)
        (i64.lt_s (local.get $a) (local.get $b))))
      (local.set $d (i64.add (local.get $d) (i64.extend_i32_u (i64.eqz (i64.and (local.get $c) (i64.const 1))))))
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $more (i64.ne (local.get $n) (i64.const 0))))
    (i64.xor (i64.xor (local.get $a) (local.get $b)) (i64.xor (local.get $c) (local.get $d))))

  (func (export "floats") (param $n i64) (result i64) (local $x f64) (local $y f64) (local $z f32)
    (local.set $y (f64.const 1.25)) (local.set $z (f32.const 0.75))
    (loop $more
      (local.set $x (f64.add (f64.mul (local.get $x) (f64.const 0.999)) (local.get $y)))
      (local.set $y (f64.sub (f64.const 3) (f64.div (local.get $y) (f64.add (local.get $x) (f64.const 1)))))
      (local.set $z (f32.add (f32.mul (local.get $z) (f32.const 0.5)) (f32.demote_f64 (local.get $y))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    (i64.add (i64.reinterpret_f64 (f64.add (local.get $x) (local.get $y)))
      (i64.extend_i32_u (i32.reinterpret_f32 (local.get $z)))))

  (func (export "vectors") (param $n i64) (result i64) (local $v v128) (local $w v128) (local $u v128)
    (local.set $v (v128.const i32x4 1 2 3 4)) (local.set $w (v128.const i32x4 5 7 11 13))
    (local.set $u (v128.const f32x4 1 2 3 4))
    (loop $more
      (local.set $v (i32x4.add (i32x4.mul (local.get $v) (local.get $w)) (i32x4.splat (i32.wrap_i64 (local.get $n)))))
      (local.set $w (i8x16.shuffle 3 1 4 15 9 2 6 5 0 7 8 10 11 12 13 14 (local.get $v) (local.get $w)))
      (local.set $u (f32x4.add (f32x4.mul (local.get $u) (f32x4.splat (f32.const 0.5)))
        (f32x4.convert_i32x4_s (i32x4.shr_s (local.get $w) (i32.const 20)))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    (i64.add (i64x2.extract_lane 0 (v128.xor (local.get $v) (local.get $u)))
      (i64x2.extract_lane 1 (v128.xor (local.get $w) (local.get $u)))))

  (func $fib (param $n i64) (result i64)
    (if (result i64) (i64.lt_u (local.get $n) (i64.const 2)) (then (local.get $n))
      (else (i64.add (call $fib (i64.sub (local.get $n) (i64.const 1)))
        (call $fib (i64.sub (local.get $n) (i64.const 2)))))))
  (func (export "calls") (param $n i64) (result i64) (local $sum i64)
    (loop $more
      (local.set $sum (i64.add (local.get $sum)
        (i64.mul (local.get $n) (call $fib (i64.and (local.get $n) (i64.const 7))))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum)

  (func (export "indirect") (param $n i64) (result i64) (local $sum i64)
    (loop $more
      (local.set $sum (i64.add (local.get $sum) (call_indirect $table (type $pair) (local.get $n)
        (i32.and (i32.wrap_i64 (local.get $n)) (i32.const 3)))))
      (table.set $table (i32.const 2) (table.get $table (i32.const 0)))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum)

  (func $tail (param i64 i64 i64 i64 i64 i64 i64 i64 i64 f64) (result i64)
    (if (i64.eqz (local.get 0)) (then (return (i64.add (i64.xor (local.get 1) (i64.xor (local.get 2) (local.get 3)))
      (i64.xor (i64.xor (local.get 4) (local.get 5)) (i64.add (i64.xor (local.get 6) (local.get 7))
        (i64.xor (local.get 8) (i64.reinterpret_f64 (local.get 9)))))))))
    (return_call $tail (i64.sub (local.get 0) (i64.const 1)) (i64.add (local.get 2) (i64.const 3)) (local.get 3)
      (i64.rotl (local.get 4) (i64.const 5)) (local.get 5) (i64.add (local.get 6) (local.get 0)) (local.get 7)
      (local.get 8) (local.get 1) (f64.add (local.get 9) (f64.const 1))))
  (func (export "tails") (param $n i64) (result i64)
    (call $tail (local.get $n) (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)
      (i64.const 7) (i64.const 8) (f64.const 0.5)))

  (func $thrower (param $n i64) (result i64)
    (if (i64.eqz (i64.rem_u (local.get $n) (i64.const 3))) (then (throw $number (local.get $n))))
    (i64.add (local.get $n) (i64.const 1)))
  (func (export "throws") (param $n i64) (result i64) (local $sum i64)
    (loop $more
      (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 3))
        (block $caught (result i64) (try_table (result i64) (catch $number $caught) (call $thrower (local.get $n))))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum)
  (func (export "swallow") (loop $again
    (block $caught (try_table (catch_all $caught) (loop $more (drop (call $thrower (i64.const 1))) (br $more))))
    (br $again)))

  (func (export "host") (param $n i64) (result i64) (local $sum i64)
    (loop $more
      (local.set $sum (i64.xor (i64.add (local.get $sum) (i64.const 7)) (call $twice (local.get $n))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum)

  (func (export "memory") (param $n i64) (result i64) (local $sum i64)
    (loop $more
      (drop (memory.grow (i32.const 0)))
      (i64.store (i32.const 8) (local.get $n))
      (memory.fill (i32.const 100) (i32.wrap_i64 (local.get $n)) (i32.const 50000))
      (memory.copy (i32.const 96) (i32.const 90) (i32.const 50000))
      (local.set $sum (i64.rotl (i64.add (local.get $sum)
        (i64.add (i64.load (i32.const 8)) (i64.load (i32.const 5000)))) (i64.const 1)))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum)
  (func (export "grow") (param $n i64) (result i64)
    (drop (memory.grow (i32.const 1)))
    (drop (table.grow $table (ref.func $double) (i32.const 1)))
    (i64.add (i64.extend_i32_u (i32.eq (memory.size) (i32.const 0)))
      (call_indirect $table (type $pair) (local.get $n) (i32.const 1))))

  (func (export "objects") (param $n i64) (result i64) (local $list (ref null $node)) (local $sum i64)
    (local $junk (ref null $bytes))
    (loop $more
      (local.set $list (struct.new $node (local.get $n) (local.get $list)))
      (local.set $junk (array.new $bytes (i32.wrap_i64 (local.get $n)) (i32.const 3000)))
      (local.set $sum (i64.add (local.get $sum)
        (i64.extend_i32_u (array.get_u $bytes (local.get $junk) (i32.const 2999)))))
      (if (i64.eqz (i64.and (local.get $n) (i64.const 1023))) (then
        (loop $each (if (ref.is_null (local.get $list)) (then) (else
          (local.set $sum (i64.add (i64.rotl (local.get $sum) (i64.const 1))
            (struct.get $node $value (local.get $list))))
          (local.set $list (struct.get $node $next (local.get $list)))
          (br $each))))))
      (br_if $more (i64.ne (local.tee $n (i64.sub (local.get $n) (i64.const 1))) (i64.const 0))))
    local.get $sum))"""

TURNS: Final = {
    "ints": 3_000_000,
    "floats": 3_000_000,
    "vectors": 1_000_000,
    "calls": 30_000,
    "indirect": 500_000,
    "tails": 500_000,
    "throws": 60_000,
    "host": 30_000,
    "memory": 5_000,
    "objects": 100_000,
}
"""For each function so many turns as take some hundredths of a second."""

FEW: Final = 7


def make(store: wasmark.Store, module: wasmark.Module) -> Any:
    """The exports of a machine."""
    return wasmark.Instance(module, {"host": {"twice": lambda n: 2 * n}}, store).exports


_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def pestered(disturb: Callable[[], object]) -> Iterator[list[int]]:
    """While the block runs, let the monitor's signal come to this thread as often as can be, with every look for Python
    signal handlers due. `disturb` is called before each (in another thread). Yields the count of it."""
    state = thread_state()
    assert state.block is not None
    block, thread, process = state.block, threading.get_native_id(), os.getpid()
    count = [0]
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.0002):
            disturb()
            block[L.THREAD_NEXT_LOOK // 8] = 0
            block[L.THREAD_TICKED // 8] = 1
            _libc.tgkill(process, thread, MONITOR_SIGNAL)
            count[0] += 1

    other = threading.Thread(target=run)
    other.start()
    try:
        yield count
    finally:
        stop.set()
        other.join(120)
