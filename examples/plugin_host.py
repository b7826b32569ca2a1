"""A host that runs plugins which nobody has read: each gets its time, and Ctrl-C asks before it ends one."""

from __future__ import annotations

import os
import signal
import threading

import wasmark

PLUGINS = {
    "honest": '(module (func (export "run") (result i32) (i32.const 42)))',
    "endless": """(module $endless (func $turn (loop br 0))
      (func (export "run") (result i32) (call $turn) (i32.const 0)))""",
    "wrong": '(module $wrong (func (export "run") (result i32) unreachable))',
    "tough": """(module $tough
      (func (export "run") (result i32) (loop $again
        (block $caught (try_table (catch_all $caught) (loop $spin (br $spin)))) (br $again)) (i32.const 0)))""",
}


def on_ctrl_c(number: int, frame: object) -> None:
    """Called in the middle of the plugin, which goes on if nothing is raised here."""
    global presses
    presses += 1
    print(f"  Ctrl-C: {'once more to stop it' if presses < 2 else 'stopping it'}")
    if presses == 2:
        raise KeyboardInterrupt


presses = 0
signal.signal(signal.SIGINT, on_ctrl_c)
for name, text in PLUGINS.items():
    plugin = wasmark.Instance(wasmark.Module(text), store=wasmark.Store(timeout=2)).exports
    try:
        print(f"{name}: {plugin.run()}")
    except wasmark.Timeout as error:
        print(f"{name} took too long, in {error.frames[0].func_name}")
    except wasmark.Trap as error:
        print(f"{name} failed: {error.code.message}")

for seconds in (0.5, 1.0):  # the user becomes impatient
    threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGINT)).start()
try:
    wasmark.Instance(wasmark.Module(PLUGINS["endless"])).exports.run()
except KeyboardInterrupt:
    print("the user stopped it")
