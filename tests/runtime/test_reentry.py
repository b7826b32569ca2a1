"""A Python signal handler may run wasm, and make modules, wherever in our own code it strikes: nothing waits for
itself, and the first thing of its kind is not made twice.

Each step has a forked child to itself, so that it is the first in wasm; the alarm ends one that waits for ever.
"""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import os, signal, sys
import wasmark
from tests.interruption import call_at

FILES = ("/runtime/", "/registry/", "/jit/", "/baseline/library.py", "/validate/canon.py", "/wasmark/engine.py",
         "/wasmark/store.py", "/wasmark/func.py", "/wasmark/instance.py")
INTERRUPTED = '''(module (func $f (param i32) (result i32) (i32.add (local.get 0) (i32.const 1)))
  (func (export "f") (param i32) (result i32) (call $f (local.get 0))) (func (export "t") unreachable))'''
INTERRUPTING = '''(module (type (struct))
  (func (export "g") (param i64) (result i64) (i64.mul (local.get 0) (i64.const 3))))'''
signal.signal(signal.SIGUSR1, lambda *_: None)  # that there is a handler is what our code looks at

def use(source, name, argument, expected):
    exports = wasmark.Instance(wasmark.Module(source)).exports
    assert exports[name](argument) == expected
    return exports

def handler():
    use(INTERRUPTING, "g", 14, 42)

def action():
    for _ in range(2):
        exports = use(INTERRUPTED, "f", 41, 42)
        for _ in range(3):
            try:
                exports.t()
            except wasmark.Trap as trap:
                assert trap.code is wasmark.TrapCode.UNREACHABLE
            else:
                raise AssertionError
            assert exports.f(7) == 8

step, stride, ended = 1, int(sys.argv[1]), False
while not ended:
    child = os.fork()
    if not child:
        signal.alarm(60)
        reached = call_at(action, step, FILES, handler)
        use(INTERRUPTING, "g", 2, 6)
        action()
        os._exit(0 if reached else 3)
    _, status = os.waitpid(child, 0)
    assert os.WIFEXITED(status) and os.WEXITSTATUS(status) in (0, 3), (step, status)
    ended = os.WEXITSTATUS(status) == 3
    step += stride
print(step)
"""


def test_a_handler_may_use_wasm_wherever_it_strikes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, "191"], capture_output=True, text=True, timeout=500, check=False
    )
    assert done.stderr == ""
    assert int(done.stdout) > 1000
