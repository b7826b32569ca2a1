"""Our signal handlers among others: wasm's faults are traps, all other signals reach whom they would reach without us.

Each test is a script of its own, because most of them are about how a process ends.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import Final

import pytest

HEAD: Final = """
import ctypes, faulthandler, os, signal, sys, threading, time
import wasmark
from wasmark import TrapCode

TEXT = '''(module (memory (export "memory") 1)
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "unreachable") unreachable)
  (func (export "spin") (param i64) (result i64) (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (i64.store (i32.const 8) (local.get $i))
      (br_if $again (i64.lt_u (local.get $i) (local.get 0))))
    (local.get $i)))'''

class Action(ctypes.Structure):
    _fields_ = [("handler", ctypes.c_void_p), ("mask", ctypes.c_uint8 * 128), ("flags", ctypes.c_int),
                ("restorer", ctypes.c_void_p)]

def handlers():
    action = Action()
    found = []
    for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL):
        assert ctypes.CDLL(None).sigaction(int(number), None, ctypes.byref(action)) == 0
        found.append(action.handler)
    return found

def make():
    global ours
    exports = wasmark.Instance(wasmark.Module(TEXT)).exports
    ours = handlers()
    return exports

def traps(exports, times=3):
    for _ in range(times):
        for name, arguments, code in (("load", (-1,), TrapCode.MEMORY_OUT_OF_BOUNDS),
                                      ("unreachable", (), TrapCode.UNREACHABLE)):
            try:
                exports[name](*arguments)
            except wasmark.Trap as trap:
                assert trap.code is code, trap
            else:
                raise AssertionError(name)
    print("traps", flush=True)

def crash():
    ctypes.string_at(0)

def raw_handler(function):
    # A handler that some library may have installed: plain C, SA_SIGINFO.
    prototype = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    kept = prototype(function)
    action = Action(handler=ctypes.cast(kept, ctypes.c_void_p).value, flags=4 | 0x40000000)
    assert ctypes.CDLL(None).sigaction(int(signal.SIGSEGV), ctypes.byref(action), None) == 0
    return kept

def settle(pause=lambda: time.sleep(0.005)):
    # The monitor looks after the handlers every few milliseconds.
    end = time.monotonic() + 60
    pause()
    while handlers() != ours:
        assert time.monotonic() < end
        pause()
"""


def run(script: str, *options: str) -> tuple[int, list[str], str]:
    """(exit status, lines of output, standard error) of a Python process."""
    done = subprocess.run(
        [sys.executable, *options, "-c", HEAD + script], capture_output=True, text=True, timeout=120, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


def test_faulthandler_enabled_before_us_reports_real_crashes_and_no_traps() -> None:
    status, lines, errors = run(
        "exports = make(); traps(exports); settle(); traps(exports); crash()", "-X", "faulthandler"
    )
    assert (status, lines) == (-signal.SIGSEGV, ["traps", "traps"])
    assert errors.count("Fatal Python error: Segmentation fault") == 1
    assert "in crash" in errors


def test_faulthandler_enabled_after_us_reports_real_crashes_and_no_traps() -> None:
    status, lines, errors = run(
        "exports = make(); traps(exports); faulthandler.enable(); settle(); traps(exports); crash()"
    )
    assert (status, lines) == (-signal.SIGSEGV, ["traps", "traps"])
    assert errors.count("Fatal Python error") == 1
    assert "in crash" in errors


def test_a_trap_right_after_faulthandler_was_enabled_is_still_a_trap() -> None:
    # It may be reported once, if nobody has looked after the handlers yet; it may not end the process.
    status, lines, _ = run("exports = make(); faulthandler.enable(); traps(exports); traps(exports)")
    assert (status, lines) == (0, ["traps", "traps"])


@pytest.mark.parametrize(
    "pause", ["settle()", "settle(lambda: exports.spin(30_000_000))", "make()", "settle(lambda: time.sleep(0.3))"]
)
def test_traps_survive_faulthandler_being_switched_off(pause: str) -> None:
    # It puts back the handler that was there before it, which was none.
    status, lines, errors = run(
        f"faulthandler.enable(); exports = make(); traps(exports); faulthandler.disable(); {pause}; traps(exports)"
    )
    assert (status, lines, errors) == (0, ["traps", "traps"], "")


@pytest.mark.parametrize("order", ["enable, make, disable", "make, enable, disable", "make, enable, settle, disable"])
def test_a_real_crash_ends_the_process_when_faulthandler_is_off_again(order: str) -> None:
    steps = {
        "enable": "faulthandler.enable()",
        "disable": "faulthandler.disable(); settle()",
        "settle": "settle()",
        "make": "exports = make()",
    }
    script = "; ".join(steps[step] for step in order.split(", "))
    status, lines, errors = run(f"{script}; traps(exports); crash()")
    assert (status, lines, errors) == (-signal.SIGSEGV, ["traps"], "")


def test_a_real_crash_without_any_other_handler_has_the_default_action() -> None:
    assert run("exports = make(); traps(exports); crash()") == (-signal.SIGSEGV, ["traps"], "")


@pytest.mark.parametrize("who", ["thread", "host function", "nested host function"])
def test_a_real_crash_elsewhere_is_no_trap(who: str) -> None:
    script = {
        "thread": "thread = threading.Thread(target=crash); thread.start(); thread.join()",
        "host function": "Host(crash).run()",
        "nested host function": "inner = Host(crash); Host(lambda: inner.run()).run()",
    }[who]
    status, lines, errors = run(
        f"""
def Host(function):
    text = '(module (import "h" "f" (func $f)) (memory 1) (func (export "run") (call $f)))'
    return wasmark.Instance(wasmark.Module(text), {{"h": {{"f": function}}}}).exports

traps(make())
{script}
"""
    )
    assert (status, lines, errors) == (-signal.SIGSEGV, ["traps"], "")


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGBUS", "SIGILL"])
def test_a_signal_sent_from_outside_has_the_default_action(name: str) -> None:
    status, lines, _ = run(f"exports = make(); traps(exports); os.kill(os.getpid(), signal.{name}); time.sleep(5)")
    assert (status, lines) == (-signal.Signals[name], ["traps"])


def test_a_signal_sent_while_wasm_runs_is_no_trap() -> None:
    status, lines, _ = run(
        """
exports = make()
traps(exports)
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGSEGV)).start()
try:
    exports.spin(1 << 40)
except wasmark.Trap:
    print("trapped")
"""
    )
    assert (status, lines) == (-signal.SIGSEGV, ["traps"])


def test_ignored_signals_that_are_sent_stay_ignored() -> None:
    status, lines, _ = run(
        """
signal.signal(signal.SIGSEGV, signal.SIG_IGN)
exports = make()
os.kill(os.getpid(), signal.SIGSEGV)
traps(exports)
os.kill(os.getpid(), signal.SIGSEGV)
traps(exports)
crash()
"""
    )
    assert (status, lines) == (-signal.SIGSEGV, ["traps", "traps"])


@pytest.mark.parametrize("order", ["before", "after"])
def test_python_handlers_of_sent_signals_run_every_time(order: str) -> None:
    install = "signal.signal(signal.SIGSEGV, lambda *_: calls.append(1))"
    before, after = (install, "pass") if order == "before" else ("pass", f"{install}; settle()")
    status, lines, errors = run(
        f"""
calls = []
{before}
exports = make()
{after}
for _ in range(5):
    os.kill(os.getpid(), signal.SIGSEGV)
    traps(exports, 1)
print(len(calls))
"""
    )
    assert (status, lines, errors) == (0, ["traps"] * 5 + ["5"], "")


def test_a_handler_before_us_repairs_faults_at_one_place_any_number_of_times() -> None:
    status, lines, errors = run(
        """
import mmap
libc = ctypes.CDLL(None)
libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
page = mmap.mmap(-1, 4096)
address = ctypes.addressof(ctypes.c_char.from_buffer(page))
repaired = []

def repair(number, info, context):
    repaired.append(1)
    libc.mprotect(address, 4096, 3)

kept = raw_handler(repair)
exports = make()
for n in range(3000):
    libc.mprotect(address, 4096, 1)
    ctypes.memset(address, n & 0xFF, 1)
    assert page[0] == n & 0xFF
traps(exports)
print(len(repaired))
"""
    )
    assert (status, lines, errors) == (0, ["traps", "3000"], "")


def test_a_handler_before_us_that_does_nothing_does_not_keep_a_crash_going_for_ever() -> None:
    status, lines, errors = run(
        """
calls = []
kept = raw_handler(lambda number, info, context: calls.append(1))
exports = make()
traps(exports)
crash()
"""
    )
    assert (status, lines, errors) == (-signal.SIGSEGV, ["traps"], "")


def test_another_runtime_in_the_process_traps_as_often_as_it_likes() -> None:
    pytest.importorskip("wasmtime")
    status, lines, errors = run(
        """
import wasmtime
engine = wasmtime.Engine()
store = wasmtime.Store(engine)
other = wasmtime.Instance(store, wasmtime.Module(engine, TEXT), []).exports(store)

def theirs():
    for name, arguments in (("load", (-1,)), ("unreachable", ())) * 20:
        try:
            other[name](store, *arguments)
        except wasmtime.Trap:
            pass
        else:
            raise AssertionError(name)

theirs()
exports = make()
for _ in range(20):
    theirs()
    traps(exports, 5)
"""
    )
    assert (status, lines, errors) == (0, ["traps"] * 20, "")


def test_timers_and_python_handlers_during_long_stays_in_wasm() -> None:
    status, lines, errors = run(
        """
calls = []
exports = make()

def tick(*_):
    calls.append(exports.spin(10))  # the handler may use the very store that it interrupts
    try:
        exports.unreachable()
    except wasmark.Trap as trap:
        assert trap.code is TrapCode.UNREACHABLE
    if running:
        signal.setitimer(signal.ITIMER_REAL, 0.005)  # from here on: a slow machine is not always in the handler

running = True
signal.signal(signal.SIGALRM, tick)
signal.setitimer(signal.ITIMER_REAL, 0.005)
end = time.monotonic() + 1
while time.monotonic() < end or len(calls) <= 10:
    assert exports.spin(3_000_000) == 3_000_000
    try:
        exports.load(-1)
    except wasmark.Trap as trap:
        assert trap.code is TrapCode.MEMORY_OUT_OF_BOUNDS
        assert trap.frames[0].func_name == "load"
running = False
signal.setitimer(signal.ITIMER_REAL, 0)
assert len(calls) > 10, calls
assert set(calls) == {10}
"""
    )
    assert (status, lines, errors) == (0, [], "")


def test_an_exception_of_a_python_handler_comes_out_wherever_it_strikes() -> None:
    status, lines, errors = run(
        """
class Alarm(BaseException):
    pass

def alarm(*_):
    raise Alarm

exports = make()
memory = exports.memory
echo = wasmark.Instance(wasmark.Module(
    '(module (table (export "t") 2 externref) (func (export "f") (param externref) (result externref) (local.get 0)))'
)).exports
table = echo.t
signal.signal(signal.SIGALRM, alarm)

def calls():
    assert exports.spin(1000) == 1000

def slow_calls():
    assert exports.spin.call(100) == 100

def references():
    thing = object()
    assert echo.f(thing) is thing
    table[0] = thing
    assert table[0] is thing

def buffers():
    with memoryview(memory) as view:
        assert len(view) == 65536
    assert len(memory.read(0, 100)) == 100

def trapping():
    try:
        exports.load(-1)
    except wasmark.Trap as trap:
        assert trap.code is TrapCode.MEMORY_OUT_OF_BOUNDS

for work in (calls, slow_calls, references, buffers, trapping):
    for n in range(150):
        try:
            # Again and again: an exception that strikes in a finalizer is lost.
            signal.setitimer(signal.ITIMER_REAL, 0.0002 + 0.00001 * (n % 50), 20)
            while True:
                work()
        except Alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
    # The store is nobody's any more: another thread gets in at once.
    done = []
    thread = threading.Thread(target=lambda: done.append((exports.spin(5), echo.f(work), table[0])))
    thread.start()
    thread.join(60)
    assert done and done[0][:2] == (5, work), done
print("fine")
"""
    )
    assert (status, lines, errors) == (0, ["fine"], "")


def test_a_keyboard_interrupt_ends_the_wait_for_a_store_that_another_thread_is_in() -> None:
    status, lines, errors = run(
        """
entered, leave = threading.Event(), threading.Event()

def host():
    entered.set()
    leave.wait()

text = '''(module (import "h" "f" (func $f)) (func (export "run") (call $f))
  (func (export "one") (result i32) (i32.const 1)))'''
exports = wasmark.Instance(wasmark.Module(text), {"h": {"f": host}}).exports
thread = threading.Thread(target=exports.run)
thread.start()
entered.wait()
try:
    threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    exports.one()
except KeyboardInterrupt:
    print("interrupted")
leave.set()
thread.join()
print(exports.one())
"""
    )
    assert (status, lines, errors) == (0, ["interrupted", "1"], "")


def test_threads_in_wasm_do_not_disturb_the_end_of_the_process() -> None:
    script = """
text = '''(module (import "h" "sleep" (func $sleep)) (memory 1)
  (func (export "load") (result i32) (i32.load (i32.const -1)))
  (func (export "unreachable") unreachable)
  (func (export "spin") (loop $again (i32.store (i32.const 0) (i32.load (i32.const 4))) (br $again)))
  (func (export "host") (loop $again (call $sleep) (br $again))))'''
module = wasmark.Module(text)

def work(name):
    function = wasmark.Instance(module, {"h": {"sleep": lambda: time.sleep(0.0005)}}).exports[name]
    while True:
        try:
            function()
        except wasmark.Trap:
            pass

for name in ("load", "unreachable", "spin", "host", "load", "host"):
    threading.Thread(target=work, args=(name,), daemon=True).start()
time.sleep(0.1)
"""
    for _ in range(4):
        assert run(script) == (0, [], "")
