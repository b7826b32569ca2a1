"""A process that crashes in a host function names the wasm functions that called it, behind faulthandler's report."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import ctypes, faulthandler, wasmark
faulthandler.enable()
wasmark.enable_crash_reports()
module = wasmark.Module('''
  (module $plugin
    (import "host" "peek" (func $peek))
    (func $inner (call $peek) (nop))
    (func (export "run") (call $inner) (nop)))
''')
instance = wasmark.Instance(module, {"host": {"peek": lambda: ctypes.string_at(0)}})
instance.exports.run()
"""

done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False)
print(f"the process ended by signal {-done.returncode}")
print(done.stderr[done.stderr.index("wasm frames") :], end="")
