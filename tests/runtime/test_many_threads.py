"""Threads by the hundred, each with its own store, or all in one."""

from __future__ import annotations

import gc
import os
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

import wasmark
from tests.processes import run_alone
from wasmark import TrapCode

TEXT = """(module
  (import "host" "between" (func $between))
  (memory (export "memory") 1)
  (global $n (export "n") (mut i64) (i64.const 0))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "unreachable") unreachable)
  (func (export "divide") (param i32) (result i32) (i32.div_u (i32.const 1) (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
  (func (export "count") (param i32)
    (loop $again
      (global.set $n (i64.add (global.get $n) (i64.const 1)))
      (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "through") (call $between)))"""

CASES = {
    "load": (TrapCode.MEMORY_OUT_OF_BOUNDS, (-1,)),
    "unreachable": (TrapCode.UNREACHABLE, ()),
    "divide": (TrapCode.INTEGER_DIVISION_BY_ZERO, (0,)),
    "deep": (TrapCode.STACK_OVERFLOW, (0,)),
}


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(TEXT)


def make(module: wasmark.Module, between: Callable[[], None] = lambda: None) -> wasmark.Instance:
    """An instance with its own store."""
    return wasmark.Instance(module, {"host": {"between": between}})


def run_all(jobs: list[Callable[[], None]], seconds: float = 120) -> None:
    """Run every job in a thread; the first failure counts."""
    failures: list[BaseException] = []

    def guarded(job: Callable[[], None]) -> None:
        try:
            job()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(seconds)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]


def traps(instance: wasmark.Instance, times: int, kinds: Counter[str]) -> None:
    """Traps of all kinds, each with the right code and function."""
    for n in range(times):
        name = "deep" if n % 50 == 0 else ("load", "unreachable", "divide")[n % 3]
        code, arguments = CASES[name]
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports[name](*arguments)
        assert caught.value.code is code
        assert caught.value.frames[0].func_name is not None
        assert instance.store.registry.lookup_trap_code(caught.value.pc) is code
        kinds[name] += 1


def test_threads_with_stores_of_their_own_trap_all_at_once(module: wasmark.Module) -> None:
    counts = [Counter[str]() for _ in range(8)]
    run_all([lambda n=n: traps(make(module), 2000, counts[n]) for n in range(8)])
    assert [count.total() for count in counts] == [2000] * 8


def test_threads_in_one_store_trap_in_turns(module: wasmark.Module) -> None:
    instance = make(module)
    counts = [Counter[str]() for _ in range(4)]
    run_all([lambda n=n: traps(instance, 300, counts[n]) for n in range(4)])
    assert [count.total() for count in counts] == [300] * 4


def test_no_call_is_lost_when_threads_share_a_store(module: wasmark.Module) -> None:
    instance = make(module)

    def work() -> None:
        for _ in range(200):
            instance.exports.count(1000)

    run_all([work] * 4)
    assert instance.exports.n.value == 4 * 200 * 1000


def test_another_thread_waits_for_the_first_and_then_goes_in(module: wasmark.Module) -> None:
    entered, leave = threading.Event(), threading.Event()
    order: list[str] = []

    def between() -> None:
        entered.set()
        assert leave.wait(30)
        order.append("first leaves")

    instance = make(module, between)
    first = threading.Thread(target=instance.exports.through)
    first.start()
    assert entered.wait(30)
    calls: list[Callable[[], Any]] = [
        lambda: instance.exports.load(0),
        lambda: instance.exports.memory.grow(1),
        lambda: instance.exports.count.call(1),
    ]
    started = threading.Barrier(len(calls) + 1)

    def second(call: Callable[[], Any]) -> None:
        started.wait(30)
        call()
        order.append("second")

    others = [threading.Thread(target=second, args=(call,)) for call in calls]
    for thread in others:
        thread.start()
    started.wait(30)
    others[0].join(0.2)
    assert order == []
    # What needs no code of the store does not wait.
    assert instance.exports.memory.read(0, 4) == bytes(4)
    assert instance.exports.n.value == 0
    leave.set()
    for thread in (first, *others):
        thread.join(30)
    assert order == ["first leaves", "second", "second", "second"]


def test_a_host_function_starts_threads_that_use_other_stores(module: wasmark.Module) -> None:
    others = [make(module) for _ in range(3)]
    done: list[int] = []

    def between() -> None:
        def work(instance: wasmark.Instance) -> None:
            with pytest.raises(wasmark.Trap):
                instance.exports.load(-1)
            done.append(instance.exports.divide(1))

        run_all([lambda instance=instance: work(instance) for instance in others])

    instance = make(module, between)
    for _ in range(5):
        instance.exports.through()
    assert done == [1] * 15


def _mappings() -> int:
    with open("/proc/self/maps") as maps:
        return sum(1 for _ in maps)


@pytest.mark.alone
def test_threads_that_end_leave_nothing_behind() -> None:
    # Recursion without end is hot: in the background a compiler process, with its pipes, would come at some time.
    module = wasmark.Module(TEXT, wasmark.Engine(wasmark.Config(tier_up=None)))
    shared = make(module)

    def work() -> None:
        for instance in (shared, make(module)):
            with pytest.raises(wasmark.Trap):
                instance.exports.load(-1)
        with pytest.raises(wasmark.Trap):
            shared.exports.deep(1)

    for _ in range(10):
        run_all([work] * 4)
    gc.collect()
    mappings, descriptors = _mappings(), len(os.listdir("/proc/self/fd"))
    for _ in range(75):
        run_all([work] * 4)
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == descriptors
    assert abs(_mappings() - mappings) < 20


FIRST_AT_ONCE = """
import ctypes, os, sys, threading, time
import wasmark
from wasmark.runtime import native
wasmark.Store()
sys.setswitchinterval(1e-6)

def child():
    seen = []
    start = threading.Barrier(8)
    def enter():
        start.wait()
        state = native.thread_state()
        time.sleep(0.01)
        current = native._StackT()
        native._libc.sigaltstack(None, ctypes.byref(current))
        seen.append((current.sp, ctypes.addressof(state.block)))
        assert native.thread_state() is state
        start.wait()
    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return all(len({row[i] for row in seen}) == 8 for i in range(2))

for _ in range(60):
    pid = os.fork()
    if not pid:
        os._exit(0 if child() else 1)
    assert os.waitpid(pid, 0)[1] == 0
print("fine")
"""


def test_threads_that_are_the_first_in_wasm_at_once_have_stacks_for_signals_of_their_own() -> None:
    """In a process that no thread has been in wasm of before."""
    done = run_alone(FIRST_AT_ONCE)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_nobody_is_inside_of_the_compiler_any_more_when_a_process_ends() -> None:
    """LLVM would crash: its tables are gone before the threads are."""
    program = """
import atexit, threading, time
inside = []
atexit.register(lambda: print(len(inside)))  # the first one comes last
from wasmark.compile import llvm
optimize = llvm._optimize
def slow(*arguments):
    inside.append(1)
    started.set()
    optimize(*arguments)
    time.sleep(0.3)
    inside.pop()
llvm._optimize = slow
started = threading.Event()
def compile_for_ever():
    while True:
        llvm.compile_ir("define void @f() { ret void }")
for _ in range(2):
    threading.Thread(target=compile_for_ever, daemon=True).start()
started.wait()
"""
    done = run_alone(program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "0\n", "")
