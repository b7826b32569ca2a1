"""A module's memory as a Python buffer: no copy, and it stays valid when the memory grows."""

from __future__ import annotations

import wasmark

MODULE = """
(module
  (memory (export "memory") 1)
  (func (export "upper") (param $at i32) (param $length i32)
    (local $end i32) (local $c i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (loop $next
      (local.set $c (i32.load8_u (local.get $at)))
      (if (i32.lt_u (i32.sub (local.get $c) (i32.const 97)) (i32.const 26))
        (then (i32.store8 (local.get $at) (i32.sub (local.get $c) (i32.const 32)))))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $at) (local.get $end))))))
"""

instance = wasmark.Instance(wasmark.Module(MODULE))
memory = instance.exports.memory

text = b"written by python, shouted by wasm"
view = memoryview(memory)
view[100 : 100 + len(text)] = text
instance.exports.upper(100, len(text))
print(bytes(view[100 : 100 + len(text)]).decode())

memory.grow(1)
print(f"{memory.size} pages; the old view still reads {bytes(view[100:107]).decode()}")
