"""The state of a store after a trap, in one file that debuggers for WebAssembly read: itself a module."""

from __future__ import annotations

import wasmark

MODULE = """
(module $till
  (memory (export "memory") 1)
  (global $sales (mut i32) (i32.const 0))
  (func $average (result i32) (i32.div_u (i32.load (i32.const 0)) (global.get $sales)))
  (func (export "close") (result i32) (i32.store (i32.const 0) (i32.const 4200)) (call $average)))
"""

store = wasmark.Store()
instance = wasmark.Instance(wasmark.Module(MODULE), store=store)
try:
    instance.exports.close()
except wasmark.Trap as trap:
    dump = wasmark.core_dump(trap, store, "till")
with open("till.core.wasm", "wb") as file:
    file.write(dump)

# Nobody is meant to run it, but it can be looked at: `wasmark objdump till.core.wasm`.
wasmark.Module.validate(dump)
print(f"till.core.wasm has {len(dump):,} bytes")
