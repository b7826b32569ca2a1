"""A crash outside of wasm goes on as it always did, `faulthandler` included, and then the wasm functions on the stack
are named."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from tests.debug.programs import attempt, program

if TYPE_CHECKING:
    from pathlib import Path

CRASHING = """
import ctypes, faulthandler, os, signal, sys, threading
import wasmark
MODULE = '''
(module $plugin
  (import "host" "crash" (func $crash))
  (import "host" "again" (func $again))
  (func $inner (call $crash) (nop))
  (func (export "run") (call $inner) (nop))
  (func (export "nested") (call $again) (nop)))
'''
if order == "faulthandler first":
    faulthandler.enable()
wasmark.enable_crash_reports()

def crash():
    if how == "segv":
        ctypes.string_at(0)
    elif how == "abort":
        os.abort()
    elif how == "kill":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif how == "deep":
        deep.exports.down(1000)

engine = wasmark.Engine(wasmark.Config(strategy=strategy, cache=False))
DEEP = '''
(module $deep (import "host" "fault" (func $fault))
  (func $down (export "down") (param i32)
    (if (local.get 0) (then (call $down (i32.sub (local.get 0) (i32.const 1)))) (else (call $fault))) (nop)))
'''
deep = wasmark.Instance(wasmark.Module(DEEP, engine), {"host": {"fault": lambda: ctypes.string_at(0)}})
imports = {"host": {"crash": crash, "again": lambda: instance.exports.run()}}
instance = wasmark.Instance(wasmark.Module(MODULE, engine), imports, wasmark.Store(engine))
if order == "faulthandler last":
    faulthandler.enable()
if thread:
    other = threading.Thread(target=instance.exports.nested)
    other.start()
    other.join()
instance.exports.nested()
"""
DEFAULTS = {"how": "segv", "order": "faulthandler first", "strategy": "eager", "thread": False}
FRAMES = (
    r"wasm frames on the stack, innermost first:\n"
    r"    plugin!inner at 0x[0-9a-f]{12}\n    plugin!run at 0x[0-9a-f]{12}\n    \(Python\)\n"
    r"    plugin!nested at 0x[0-9a-f]{12}\n    \(Python\)\n"
)


def crashed(directory: Path, **settings: object) -> tuple[int, str]:
    done = attempt(program(directory, CRASHING, **{**DEFAULTS, **settings}), directory)
    return done.returncode, done.stderr


@pytest.mark.parametrize("order", ["faulthandler first", "faulthandler last"])
def test_faulthandler_reports_first_and_then_the_wasm_frames_are_named(order: str, tmp_path: Path) -> None:
    status, text = crashed(tmp_path, order=order)
    assert status == -signal.SIGSEGV
    head, _, frames = text.partition("\nwasm frames")
    assert head.startswith("Fatal Python error: Segmentation fault\n")
    assert re.search(r'File ".*", line \d+ in crash\n', head)
    assert re.fullmatch(FRAMES, "wasm frames" + frames), text
    assert text.count("Fatal Python error") == text.count("wasm frames on the stack") == 1


@pytest.mark.parametrize("strategy", ["baseline", "lazy"])
def test_functions_of_the_first_tier_are_named_too(strategy: str, tmp_path: Path) -> None:
    status, text = crashed(tmp_path, strategy=strategy)
    assert status == -signal.SIGSEGV
    assert re.search(r"\n" + FRAMES + r"\Z", text), text


def test_without_faulthandler_the_frames_are_the_report(tmp_path: Path) -> None:
    status, text = crashed(tmp_path, order="no faulthandler")
    assert status == -signal.SIGSEGV
    assert re.fullmatch(r"\n" + FRAMES, text), text


def test_in_another_thread(tmp_path: Path) -> None:
    status, text = crashed(tmp_path, thread=True)
    assert status == -signal.SIGSEGV
    assert re.search(r"\n" + FRAMES + r"\Z", text), text


@pytest.mark.parametrize(("how", "number"), [("abort", signal.SIGABRT), ("kill", signal.SIGSEGV)])
def test_other_ways_to_die(how: str, number: int, tmp_path: Path) -> None:
    status, text = crashed(tmp_path, how=how)
    assert status == -number
    assert text.startswith("Fatal Python error: ")
    assert re.search(r"\n" + FRAMES + r"\Z", text), text


def test_of_a_deep_stack_the_innermost_frames_are_named(tmp_path: Path) -> None:
    status, text = crashed(tmp_path, how="deep")
    assert status == -signal.SIGSEGV
    assert 100 < text.count("    deep!down at 0x") < 200
    assert text.endswith("    ...\n")


def test_a_crash_without_wasm_says_nothing_of_it(tmp_path: Path) -> None:
    source = """
        import ctypes, faulthandler, wasmark
        faulthandler.enable()
        wasmark.enable_crash_reports()
        wasmark.Instance(wasmark.Module(SPIN)).exports.outer(1)
        ctypes.string_at(0)
    """
    done = attempt(program(tmp_path, source), tmp_path)
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.startswith("Fatal Python error: Segmentation fault")
    assert "wasm frames" not in done.stderr


def test_without_being_asked_for_nothing_is_said(tmp_path: Path) -> None:
    source = CRASHING.replace("wasmark.enable_crash_reports()", "")
    done = attempt(program(tmp_path, source, **DEFAULTS), tmp_path)
    assert done.returncode == -signal.SIGSEGV
    assert "wasm frames" not in done.stderr


def test_traps_are_traps_and_names_of_code_that_has_gone_are_not_used(tmp_path: Path) -> None:
    source = """
        import ctypes, gc
        import wasmark
        wasmark.enable_crash_reports()
        engine = wasmark.Engine(wasmark.Config(strategy="eager", cache=False))
        for number in range(30):
            text = SPIN.replace("$spin", f"$m{number}").replace("(local.get 1))", "(local.get 1) (call $h))", 1)
            text = text.replace("(func $inner", '(import "host" "h" (func $h)) (func $inner', 1)
            instance = wasmark.Instance(wasmark.Module(text, engine), {"host": {"h": lambda: None}})
            instance.exports.outer(3)
            del instance
            gc.collect()
        trapping = wasmark.Instance(wasmark.Module('(module (func (export "f") unreachable))', engine))
        for _ in range(100):
            try:
                trapping.exports.f()
            except wasmark.Trap:
                pass
        last = wasmark.Instance(wasmark.Module(text.replace("$m29", "$last"), engine),
                                {"host": {"h": lambda: ctypes.string_at(0)}})
        last.exports.outer(3)
    """
    done = attempt(program(tmp_path, source), tmp_path)
    assert done.returncode == -signal.SIGSEGV
    names = re.findall(r"    (\S+) at 0x", done.stderr)
    assert names == ["last!inner", "last!middle", "last!outer"], done.stderr


@pytest.mark.parametrize("dying", [0, 1])
def test_nobody_takes_the_signal_of_a_crash_back_from_the_default_action(dying: int, tmp_path: Path) -> None:
    # The monitor makes our handlers the first in line again, at any time; that is not to be in the middle of a crash.
    source = """
        import ctypes
        import wasmark
        from wasmark.runtime import signal_state
        wasmark.enable_crash_reports()
        libc = ctypes.CDLL(None)
        libc.signal.argtypes = [ctypes.c_int, ctypes.c_void_p]

        def crash():
            signal_state.set_word(signal_state.STATE_DYING, DYING)
            libc.signal(11, None)
            wasmark.Store()  # claims the signals
            ctypes.string_at(0)

        text = '(module (import "host" "crash" (func $crash)) (func (export "run") (call $crash) (nop)))'
        wasmark.Instance(wasmark.Module(text), {"host": {"crash": crash}}).exports.run()
    """
    done = attempt(program(tmp_path, source, DYING=dying), tmp_path)
    assert done.returncode == -signal.SIGSEGV
    assert done.stderr.count("wasm frames on the stack") == 1 - dying
