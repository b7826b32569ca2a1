"""A module that does with structures and arrays whatever a test wants, and the ways to run it."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import wasmark
from tests.ways import config

WAT = """
(module
  (type $node (struct (field $next (mut (ref null $node))) (field $any (mut anyref)) (field $host (mut externref))))
  (type $numbers (struct (field (mut i8)) (field (mut i16)) (field (mut i32)) (field (mut i64)) (field (mut f32))
                         (field (mut f64)) (field i32)))
  (type $bytes (array (mut i8)))
  (type $nodes (array (mut (ref null $node))))
  (type $longs (array (mut i64)))
  (type $constant (array i32))
  (import "host" "back" (func $back (param anyref) (result anyref)))
  (import "host" "pass" (func $pass (param externref) (result externref)))
  (table $table (export "table") 8 (ref null $node))
  (table $anys (export "anys") 4 anyref)
  (global $global (export "global") (mut (ref null $node)) (ref.null $node))
  (global $made (export "made") (ref $node)
    (struct.new $node (struct.new_default $node) (ref.i31 (i32.const 7)) (ref.null extern)))
  (global $fixed (export "fixed") (ref $constant)
    (array.new_fixed $constant 3 (i32.const 1) (i32.const 2) (i32.const 3)))
  (elem $passive (ref null $node) (item (struct.new $node (ref.null $node) (ref.i31 (i32.const 5)) (ref.null extern))))
  (elem $list (ref null $node) (item (struct.new_default $node)) (item (ref.null $node)))
  (data $data "\\01\\02\\03\\04\\05\\06\\07\\08")

  (func (export "node") (param (ref null $node) anyref externref) (result (ref $node))
    (struct.new $node (local.get 0) (local.get 1) (local.get 2)))
  (func (export "empty") (result (ref $node)) (struct.new_default $node))
  (func (export "numbers") (result (ref $numbers))
    (struct.new $numbers (i32.const 255) (i32.const 65534) (i32.const -3) (i64.const -4) (f32.const 1.5) (f64.const 2.5)
                         (i32.const 9)))
  (func (export "bytes") (param i32 i32) (result (ref $bytes)) (array.new $bytes (local.get 0) (local.get 1)))
  (func (export "longs") (param i32) (result (ref $longs)) (array.new_default $longs (local.get 0)))
  (func (export "nodes") (param i32) (result (ref $nodes)) (array.new_default $nodes (local.get 0)))
  (func (export "constant") (result (ref $constant)) (array.new_fixed $constant 2 (i32.const 1) (i32.const 2)))
  (func (export "fill nodes") (param $array (ref $nodes))
    (local $i i32)
    (loop $again
      (if (i32.lt_u (local.get $i) (array.len (local.get $array)))
        (then
          (array.set $nodes (local.get $array) (local.get $i)
            (struct.new $node (ref.null $node) (ref.i31 (local.get $i)) (ref.null extern)))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $again)))))
  (func (export "sum nodes") (param $array (ref $nodes)) (result i32)
    (local $i i32) (local $sum i32)
    (loop $again
      (if (i32.lt_u (local.get $i) (array.len (local.get $array)))
        (then
          (local.set $sum (i32.add (local.get $sum)
            (i31.get_u (ref.cast (ref i31)
              (struct.get $node $any (array.get $nodes (local.get $array) (local.get $i)))))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br $again))))
    (local.get $sum))
  (func (export "drop") (param $count i32)
    (loop $again
      (drop (struct.new_default $node))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func (export "drop arrays") (param $count i32) (param $length i32)
    (loop $again
      (drop (array.new_default $longs (local.get $length)))
      (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func $chain (export "chain") (param $length i32) (result (ref null $node))
    (local $list (ref null $node))
    (loop $again
      (local.set $list (struct.new $node (local.get $list) (ref.i31 (local.get $length)) (ref.null extern)))
      (br_if $again (local.tee $length (i32.sub (local.get $length) (i32.const 1)))))
    (local.get $list))
  (func $length (export "length") (param $list (ref null $node)) (result i32)
    (local $count i32)
    (block $done
      (loop $again
        (br_if $done (ref.is_null (local.get $list)))
        (local.set $list (struct.get $node $next (local.get $list)))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (br $again)))
    (local.get $count))
  (func (export "keep in local") (param $length i32) (param $garbage i32) (result i32)
    (local $list (ref null $node))
    (local.set $list (call $chain (local.get $length)))
    (loop $again
      (drop (call $chain (i32.const 10)))
      (br_if $again (local.tee $garbage (i32.sub (local.get $garbage) (i32.const 1)))))
    (call $length (local.get $list)))
  (func (export "inside") (param $count i32) (result i64)
    ;; An array is only in use by its elements, between allocations.
    (local $array (ref null $longs)) (local $sum i64) (local $i i32)
    (local.set $array (array.new $longs (i64.const 3) (i32.const 100)))
    (loop $again
      (local.set $sum (i64.add (local.get $sum) (array.get $longs (local.get $array) (local.get $i))))
      (drop (struct.new_default $node))
      (drop (array.new $longs (i64.const 77) (i32.const 100)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get $i) (local.get $count))))
    (local.get $sum))
  (func (export "through host") (param $depth i32) (result anyref)
    (call $back (struct.new $node (ref.null $node) (ref.i31 (local.get $depth)) (ref.null extern))))
  (func (export "set global") (param (ref null $node)) (global.set $global (local.get 0)))
  (func (export "passive") (result (ref null $node))
    (table.init $table $passive (i32.const 0) (i32.const 0) (i32.const 1))
    (table.get $table (i32.const 0)))
  (func (export "drop passive") (elem.drop $passive))
  (func (export "list") (result (ref $nodes)) (array.new_elem $nodes $list (i32.const 0) (i32.const 2)))
  (func (export "data") (param i32 i32) (result (ref $bytes)) (array.new_data $bytes $data (local.get 0) (local.get 1)))
  (func (export "drop data") (data.drop $data))
  (func (export "same") (param eqref eqref) (result i32) (ref.eq (local.get 0) (local.get 1)))
  (func (export "any") (param anyref) (result anyref) (local.get 0))
  (func (export "i31") (param i31ref) (result i31ref) (local.get 0))
  (func (export "struct") (param structref) (result structref) (local.get 0))
  (func (export "out") (param anyref) (result externref) (extern.convert_any (local.get 0)))
  (func (export "in") (param externref) (result anyref) (any.convert_extern (local.get 0)))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "next") (param (ref null $node)) (result (ref null $node)) (struct.get $node $next (local.get 0)))
  (func (export "divide") (param i32) (result i32)
    (drop (struct.new_default $node)) (i32.div_u (i32.const 1) (local.get 0)))
  (func (export "pass") (param externref) (result externref)
    (local $node (ref null $node))
    (local.set $node (struct.new $node (ref.null $node) (ref.null any) (call $pass (local.get 0))))
    (drop (call $chain (i32.const 100)))
    (struct.get $node $host (local.get $node)))
)
"""

NODE, NUMBERS, BYTES, NODES, LONGS, CONSTANT = range(6)


class Thing:
    """An object with an identity, whose end can be seen."""


class Host:
    """The functions that the module imports; tests put in others."""

    def __init__(self) -> None:
        self.back: Any = lambda value: value
        self.pass_: Any = lambda value: value

    def imports(self) -> dict[str, dict[str, Any]]:
        """For an instance."""
        return {"host": {"back": lambda value: self.back(value), "pass": lambda value: self.pass_(value)}}


class Machine:
    """An instance of the module under one of the ways."""

    def __init__(self, way: str, **more: Any) -> None:
        self.engine = wasmark.Engine(config(way, **more))
        self.module = wasmark.Module(WAT, self.engine)
        self.host = Host()
        self.instance = wasmark.Instance(self.module, self.host.imports())
        self.store = self.instance.store
        self.exports = self.instance.exports

    def call(self, name: str, *args: Any) -> Any:
        """Call an export."""
        return self.exports[name](*args)

    def type_id(self, index: int) -> int:
        """The engine's number of one of the module's types."""
        return self.module.type_ids[index]

    @property
    def used(self) -> int:
        """Bytes in use for objects."""
        return self.store.collector.heap.used


def is_gone(watch: weakref.ref[Any]) -> bool:
    """Whether an object has come to its end."""
    gc.collect()
    return watch() is None
