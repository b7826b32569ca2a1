"""What is at a machine address, and where a function's code is: the registry, in both directions."""

from __future__ import annotations

import wasmark

MODULE = """
(module $ledger
  (func $share (param $sum i32) (param $people i32) (result i32)
    (i32.div_s (local.get $sum) (local.get $people)))
  (func (export "settle") (param i32 i32) (result i32)
    (call $share (local.get 0) (local.get 1))))
"""

module = wasmark.Module(MODULE)
store = wasmark.Store()
instance = wasmark.Instance(module, store=store)
print(instance.exports.settle(100, 4))
for start, end in store.registry.function_ranges(module, 0):
    for pc in range(start, end):
        frame = store.registry.lookup_frame_info(pc)
        assert frame is not None
        assert frame.module is module
        if wasmark.registry.is_wasm_trap_pc(pc):
            print(f"start + {pc - start:#x}: {frame}: {store.registry.lookup_trap_code(pc).message}")
