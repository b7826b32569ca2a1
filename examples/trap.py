"""A trap is a Python exception whose frames are the wasm functions."""

from __future__ import annotations

import wasmark

MODULE = """
(module $ledger
  (func $share (param $sum i32) (param $people i32) (result i32)
    (i32.div_s (local.get $sum) (local.get $people)))
  (func $split (param $sum i32) (param $people i32) (result i32)
    (i32.add (call $share (local.get $sum) (local.get $people)) (i32.const 1)))
  (func (export "settle") (param i32 i32) (result i32)
    (i32.mul (call $split (local.get 0) (local.get 1)) (i32.const 2))))
"""

module = wasmark.Module(MODULE)
instance = wasmark.Instance(module)
print(instance.exports.settle(100, 4))
try:
    instance.exports.settle(100, 0)
except wasmark.Trap as trap:
    print(trap)
    print([frame.func_name for frame in trap.frames], trap.code.name)
