"""perf and gdb know wasm functions by name. For a program as it is, `WASMARK_DEBUG=perf-map` or `=gdb` does the same:

WASMARK_DEBUG=perf-map perf record -g python program.py && perf report
WASMARK_DEBUG=gdb gdb --args python program.py
"""

from __future__ import annotations

import os

import wasmark

wasmark.enable_perf_map()
wasmark.enable_debugger()
module = wasmark.Module("""
  (module $math
    (func $square (param i32) (result i32) (i32.mul (local.get 0) (local.get 0)))
    (func (export "sum") (param i32 i32) (result i32)
      (i32.add (call $square (local.get 0)) (call $square (local.get 1)))))
""")
print(wasmark.Instance(module).exports.sum(3, 4))
with open(f"/tmp/perf-{os.getpid()}.map") as file:
    names = {line.split(" ", 2)[2].strip() for line in file}
print(*sorted(name for name in names if name.startswith("math!")), sep="\n")
os.unlink(file.name)
