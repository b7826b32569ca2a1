"""Another runtime in the same process keeps its own traps: our signal handler passes them on, as often as they come."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

pytest.importorskip("wasmtime", reason="wasmtime is not installed")


def test_the_traps_of_another_runtime_stay_its_own() -> None:
    script = textwrap.dedent("""
        import wasmark
        import wasmtime

        trap = '(module (func (export "f") unreachable))'
        store = wasmtime.Store()
        theirs = wasmtime.Instance(store, wasmtime.Module(store.engine, trap), []).exports(store)["f"]
        ours = wasmark.Instance(wasmark.Module(trap)).exports.f
        for turn in range(50):
            for _ in range(turn):
                try:
                    theirs(store)
                except wasmtime.Trap as caught:
                    assert caught.trap_code is wasmtime.TrapCode.UNREACHABLE
            try:
                ours()
            except wasmark.Trap as caught:
                assert caught.code is wasmark.TrapCode.UNREACHABLE
        print("done")
    """)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "done\n", "")
