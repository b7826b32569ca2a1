"""Ctrl-C and other signals with Python handlers, in the middle of wasm calls. Each test is a program of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAD = """
import asyncio, math, os, signal, sys, threading, time, traceback
import wasmark
from wasmark.runtime import layout, monitor

TEXT = '''(module $m
  (import "host" "call" (func $call))
  (import "host" "sqrt" (func $sqrt (param f64) (result f64)))
  (func $inner (loop br 0))
  (func (export "spin") (call $inner))
  (func (export "calling") (loop (call $call) (br 0)))
  (func (export "native") (loop (drop (call $sqrt (f64.const 2))) (br 0)))
  (func (export "once") (call $call))
  (func (export "catching") (loop $again (block $caught (try_table (catch_all $caught) (call $inner))) (br $again)))
  (func (export "count") (param i64) (result i64) (local i64)
    (loop (local.set 1 (i64.add (local.get 1) (i64.const 3)))
      (br_if 0 (i64.ne (local.tee 0 (i64.sub (local.get 0) (i64.const 1))) (i64.const 0))))
    local.get 1))'''

class Host:
    call = staticmethod(lambda: None)

engine = wasmark.Engine(wasmark.Config(strategy=sys.argv[1]))
host = Host()
exports = wasmark.Instance(
    wasmark.Module(TEXT, engine), {"host": {"call": lambda: host.call(), "sqrt": math.sqrt}}, wasmark.Store(engine)
).exports

def in_wasm():
    blocks = monitor.thread_blocks()
    return any(block[layout.THREAD_MAIN // 8] and block[layout.THREAD_IN_WASM // 8] for block in blocks)

def later(action):
    # Some time after the main thread has come into wasm, however long that takes.
    def run():
        while not in_wasm():
            time.sleep(0.001)
        time.sleep(0.05)
        action()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread

def kill(number=signal.SIGINT):
    os.kill(os.getpid(), number)

"""


def run(program: str, strategy: str = "lazy") -> tuple[int, list[str], str]:
    """The status, lines and errors of a program."""
    done = subprocess.run(
        [sys.executable, "-Wignore:This process:DeprecationWarning", "-c", HEAD + program, strategy],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout.splitlines(), done.stderr


@pytest.mark.parametrize(
    ("strategy", "name"),
    [*(("eager", name) for name in ("spin", "calling", "native", "catching")), ("baseline", "spin"), ("lazy", "spin")],
)
def test_ctrl_c_is_a_keyboard_interrupt(strategy: str, name: str) -> None:
    program = """
for turn in range(3):
    later(kill)
    try:
        exports.NAME()
    except KeyboardInterrupt as error:
        names = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
        print("interrupted", names[0], turn < 2 or "NAME" in names)  # the first ones may compile yet
    print(exports.count(5))
"""
    assert run(program.replace("NAME", name), strategy) == (0, ["interrupted <module> True", "15"] * 3, "")


def test_handlers_that_return_let_the_call_go_on() -> None:
    program = """
seen = []
for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGALRM, signal.SIGVTALRM):
    signal.signal(number, lambda number, frame: seen.append(number))

def all():
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGUSR1):
        before = len(seen)
        kill(number)
        while len(seen) == before:  # two at once would be one
            time.sleep(0.001)
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.01)
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    while not {signal.SIGVTALRM, signal.SIGALRM} <= {*seen}:
        time.sleep(0.01)
    seen.append("all")
    host.done = True

threading.Thread(target=all, daemon=True).start()
turns = 0
while "all" not in seen:
    assert exports.count(100_000_000) == 300_000_000
    turns += 1
print([s for s in seen if s in (2, signal.SIGUSR1)] == [2, 10, 10], turns > 0)
"""
    assert run(program) == (0, ["True True"], "")


def test_a_handler_sees_the_call_and_may_use_what_it_interrupts() -> None:
    program = """
def handler(number, frame):
    print(frame.f_code.co_name, exports.count(7))
    if exports.count(1) == 3:
        raise LookupError("mine")

def caller():
    exports.spin()

exports.count(1)
signal.signal(signal.SIGINT, handler)
later(kill)
try:
    caller()
except LookupError as error:
    print(error)
print(exports.count(3))
"""
    assert run(program, "eager") == (0, ["caller 21", "mine", "9"], "")


def test_a_handler_that_is_wasm_itself_and_is_interrupted_in_turn() -> None:
    program = """
depth = 0

def handler(number, frame):
    global depth
    depth += 1
    if depth < 5:
        later(kill)
        exports.spin()
    raise KeyboardInterrupt(depth)

signal.signal(signal.SIGINT, handler)
later(kill)
try:
    exports.spin()
except KeyboardInterrupt as error:
    print(error, depth)
print(exports.count(3))
"""
    assert run(program) == (0, ["5 5", "9"], "")


def test_a_deadline_strikes_in_a_handler_too() -> None:
    program = """
may_spin = False

def handler(*_):
    if may_spin:
        exports.spin()

signal.signal(signal.SIGINT, handler)
seconds, names = 0.25, []
killer = later(kill)
while len(names) < 4 and seconds < 60:  # the time may be over before the signal comes
    if not killer.is_alive():
        killer = later(kill)
    seconds *= 2
    try:
        with wasmark.deadline(seconds):
            try:
                may_spin = True
                exports.spin()
            finally:
                may_spin = False
    except wasmark.Timeout as error:
        names = [frame.func_name for frame in error.frames]
print(names)
print(exports.count(3))
"""
    assert run(program, "eager") == (0, ["['inner', 'spin', 'inner', 'spin']", "9"], "")


def test_an_exception_of_wasm_that_a_handler_raises_is_not_caught_by_what_it_interrupts() -> None:
    program = """
store = exports.count.store
tag = wasmark.Tag(store, wasmark.FuncType((), ()))

def handler(number, frame):
    raise wasmark.WasmException(tag, ())

signal.signal(signal.SIGINT, handler)
later(kill)
try:
    exports.catching()
except wasmark.WasmException:
    print("out")
print(exports.count(3))
"""
    assert run(program) == (0, ["out", "9"], "")


def test_ctrl_c_comes_through_while_other_threads_want_the_gil() -> None:
    program = """
stop = False
turns = [0, 0]

def busy(which):
    while not stop:
        turns[which] += 1

threads = [threading.Thread(target=busy, args=(which,)) for which in (0, 1)]
for thread in threads:
    thread.start()
later(kill)
try:
    exports.spin()
except KeyboardInterrupt:
    print("interrupted")
stop = True
for thread in threads:
    thread.join()
print(all(turns))
"""
    assert run(program) == (0, ["interrupted", "True"], "")


def test_other_threads_in_wasm_go_on_while_the_main_one_is_interrupted() -> None:
    program = """
results = []
main = threading.get_ident()

def work():
    other = wasmark.Instance(wasmark.Module(TEXT, engine), {"host": {"call": lambda: None, "sqrt": math.sqrt}})
    results.append(other.exports.count(400_000_000))

threads = [threading.Thread(target=work) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(5):
    later(lambda: signal.pthread_kill(threads[0].ident if threads[0].is_alive() else main, signal.SIGINT))
    try:
        exports.spin()
    except KeyboardInterrupt:
        print("interrupted")
for thread in threads:
    thread.join()
print(results)
"""
    lines = ["interrupted"] * 5 + [str([1_200_000_000] * 3)]
    assert run(program) == (0, lines, "")


def test_an_event_loop_keeps_its_signals() -> None:
    program = """
async def main():
    loop = asyncio.get_running_loop()
    got = asyncio.Event()
    loop.add_signal_handler(signal.SIGUSR1, got.set)
    threading.Timer(0.05, kill, (signal.SIGUSR1,)).start()
    assert exports.count(300_000_000) == 900_000_000
    await asyncio.wait_for(got.wait(), 60)
    print("got it")
    print(await asyncio.gather(*(asyncio.to_thread(exports.count, n) for n in (1, 2, 3))))

asyncio.run(main())
"""
    assert run(program) == (0, ["got it", "[3, 6, 9]"], "")


def test_a_table_does_not_move_under_the_code_that_a_handler_interrupts() -> None:
    program = """
module = wasmark.Module('''(module
  (table $t (export "table") 2 funcref) (elem (i32.const 0) $f $f)
  (func $f)
  (func (export "grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0)))
  (func (export "spin") (loop (call_indirect (i32.const 1)) (br 0))))''', engine)
machine = wasmark.Instance(module).exports

def handler(number, frame):
    print(machine.grow(100))
    try:
        machine.table.grow(100)
    except ValueError:
        print("refused")
    raise KeyboardInterrupt

signal.signal(signal.SIGINT, handler)
later(kill)
try:
    machine.spin()
except KeyboardInterrupt:
    print(machine.grow(100), len(machine.table))
"""
    assert run(program, "eager") == (0, ["-1", "refused", "2 102"], "")


def test_a_forked_child_is_interrupted_like_its_parent() -> None:
    program = """
def in_thread():
    child = os.fork()
    if not child:
        later(kill)
        try:
            exports.spin()
        except KeyboardInterrupt:
            os._exit(7)
        os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

in_thread()
thread = threading.Thread(target=in_thread)  # whose copy is the main thread of its process
thread.start()
thread.join()
"""
    assert run(program) == (0, ["7", "7"], "")
