"""Wasm holds the GIL for short calls only, and a store belongs to one thread at a time."""

from __future__ import annotations

import ctypes
import itertools
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

import wasmark
from tests.interruption import interrupt
from wasmark.runtime import monitor
from wasmark.runtime.layout import THREAD_NEXT

SPIN = """(module
  (import "host" "pause" (func $pause))
  (memory 1)
  (func $spin (export "spin") (param i64) (result i64) (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (i64.store (i32.const 8) (local.get $i))
      (br_if $again (i64.lt_u (local.get $i) (local.get 0))))
    (local.get $i))
  (func (export "until") (result i64) (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $again (i32.eqz (i32.load (i32.const 0)))))
    (local.get $i))
  (func (export "until_trap")
    (loop $again (br_if $again (i32.eqz (i32.load (i32.const 0)))))
    unreachable)
  (func (export "until_host")
    (loop $again (br_if $again (i32.eqz (i32.load (i32.const 0)))))
    (call $pause))
  (export "memory" (memory 0)))"""


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(SPIN)


def start(function: Any, *args: object) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def instance_with(module: wasmark.Module, pause: Any = lambda: None) -> wasmark.Instance:
    return wasmark.Instance(module, {"host": {"pause": pause}})


def test_a_call_that_never_returns_by_itself_lets_another_thread_end_it(module: wasmark.Module) -> None:
    instance = instance_with(module)
    # If wasm kept the GIL, this thread could never write the word that ends the loop.
    timer = threading.Timer(0.05, lambda: instance.exports.memory.write(0, b"\1"))
    timer.start()
    assert instance.exports.until() > 0
    timer.join()


def test_the_gil_is_taken_again_before_a_trap_or_a_host_function_reaches_python(module: wasmark.Module) -> None:
    seen = []

    def pause() -> None:
        seen.append(threading.current_thread())
        raise ValueError("from the host")

    for name, error in (("until_trap", wasmark.Trap), ("until_host", ValueError)):
        instance = instance_with(module, pause)
        timer = threading.Timer(0.05, lambda instance=instance: instance.exports.memory.write(0, b"\1"))
        timer.start()
        with pytest.raises(error):
            instance.exports[name]()
        timer.join()
        assert instance.exports.spin(10) == 10
    assert seen == [threading.current_thread()]


def test_two_stores_run_at_the_same_time(module: wasmark.Module) -> None:
    # Each waits for a word that the other thread's wasm-calling code writes: only possible if both run.
    first, second = instance_with(module), instance_with(module)

    def run(mine: wasmark.Instance, other: wasmark.Instance) -> None:
        mine.exports.spin(1000)
        other.exports.memory.write(0, b"\1")
        mine.exports.until()

    threads = [start(run, first, second), start(run, second, first)]
    for thread in threads:
        thread.join(30)
    assert not any(thread.is_alive() for thread in threads)


def test_threads_that_share_a_store_take_turns(module: wasmark.Module) -> None:
    inside: list[int] = []
    most: list[int] = []

    def pause() -> None:
        inside.append(1)
        time.sleep(0.001)  # gives the GIL away in the middle of a call
        most.append(len(inside))
        inside.pop()

    instance = instance_with(module, pause)
    instance.exports.memory.write(0, b"\1")

    def run() -> None:
        for _ in range(20):
            instance.exports.until_host()

    threads = [start(run) for _ in range(4)]
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert len(most) == 80
    assert max(most) == 1


def test_many_threads_come_and_go(module: wasmark.Module) -> None:
    results = []

    def run() -> None:
        instance = instance_with(module)
        results.append(instance.exports.spin(100))
        instance.exports.memory.write(0, b"\1")
        with pytest.raises(wasmark.Trap):
            instance.exports.until_trap()

    for _ in range(20):
        threads = [start(run) for _ in range(8)]
        for thread in threads:
            thread.join(60)
    assert results == [100] * 160


FORK = f"""
import os, threading, wasmark
module = wasmark.Module('''{SPIN}''')
def make():
    return wasmark.Instance(module, {{"host": {{"pause": lambda: None}}}})
instance, busy = make(), make()
thread = threading.Thread(target=busy.exports.until)
thread.start()
instance.exports.spin(10_000_000)
child = os.fork()
if child == 0:
    # The monitor thread did not come along, nor did the thread in `busy`.
    fresh = make()
    timer = threading.Timer(0.05, lambda: instance.exports.memory.write(0, b"\\1"))
    timer.start()
    assert instance.exports.until() > 0
    assert fresh.exports.spin(5) == 5
    try:
        instance.exports.until_trap()
    except wasmark.Trap:
        os._exit(0)
    os._exit(3)
_, status = os.waitpid(child, 0)
busy.exports.memory.write(0, b"\\1")
thread.join()
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_has_a_monitor_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120, env=os.environ)
    assert done.stdout.strip() == "0", done.stderr


def on_the_list() -> set[int]:
    """The addresses of the blocks that the monitor comes to."""
    found = set()
    block = ctypes.c_uint64.from_address(monitor.monitor_address() + monitor.MONITOR_HEAD).value
    while block:
        found.add(block)
        block = ctypes.c_uint64.from_address(block + THREAD_NEXT).value
    return found


def test_the_monitor_comes_to_every_thread_also_when_an_exception_struck_while_its_block_was_made_ready() -> None:
    """A block that lost its link would take all behind it off the list: their calls could never be stopped."""

    def take_and_give_back() -> None:
        monitor.give_back_thread_block(monitor.take_thread_block())

    for _ in range(3):
        take_and_give_back()
    for step in itertools.count(1):
        monitor._free_blocks.append(monitor._new_block())
        struck = interrupt(take_and_give_back, step, ("runtime/monitor.py",))
        assert on_the_list() == {ctypes.addressof(block) for block in monitor.thread_blocks()}
        if not struck:
            break
    assert step > 5
