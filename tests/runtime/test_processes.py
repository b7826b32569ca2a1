"""Processes that come out of this one: forked ones, spawned ones, and those that are forked in the middle of wasm."""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

import wasmark
from tests.processes import in_child
from wasmark import TrapCode

TEXT = """(module $m
  (import "host" "between" (func $between (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $n (export "n") (mut i32) (i32.const 0))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1)))
  (func (export "through") (param i32) (result i32)
    (global.set $n (local.get 0))
    (i32.add (call $between (local.get 0)) (global.get $n)))
  (func (export "wait") (loop $again (br_if $again (i32.eqz (i32.load (i32.const 0)))))))"""


def make(between: Callable[[int], int] = lambda x: x) -> wasmark.Instance:
    """An instance with its own store."""
    return wasmark.Instance(wasmark.Module(TEXT), {"host": {"between": between}})


def use(instance: wasmark.Instance) -> None:
    """Calls and traps of every kind work."""
    assert instance.exports.through(20) == 40
    for name, code in (("load", TrapCode.MEMORY_OUT_OF_BOUNDS), ("deep", TrapCode.STACK_OVERFLOW)):
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports[name](-1)
        assert caught.value.code is code
        assert caught.value.frames[0].func_name == name or name == "load"


def test_a_forked_child_uses_the_stores_of_its_parent_and_new_ones() -> None:
    instance = make()
    use(instance)

    def job() -> None:
        use(instance)
        instance.exports.memory[0] = 5
        use(make())
        thread = threading.Thread(target=use, args=(instance,))
        thread.start()
        thread.join(120)
        assert not thread.is_alive()

    for _ in range(3):
        in_child(job)
    assert instance.exports.memory[0] == 0  # a private copy
    use(instance)


def test_a_forked_child_lets_other_threads_run_during_long_calls() -> None:
    instance = make()
    use(instance)

    def job() -> None:
        timer = threading.Timer(0.05, lambda: instance.exports.memory.write(0, b"\1"))
        timer.start()
        instance.exports.wait()
        timer.join()

    in_child(job)


def test_a_child_of_a_child_works_too() -> None:
    instance = make()
    in_child(lambda: in_child(lambda: (use(instance), use(make()))[0]))


def test_a_fork_in_a_host_function_continues_on_both_sides() -> None:
    pids: list[int] = []

    def between(value: int) -> int:
        pids.append(os.fork())
        return value

    instance = make(between)
    other = make()
    result = instance.exports.through(21)
    if pids[0] == 0:
        status = 1
        try:
            signal.alarm(120)
            assert result == 42
            use(other)
            with pytest.raises(wasmark.Trap):
                instance.exports.load(-1)
            status = 0
        finally:
            os._exit(status)
    assert result == 42
    assert os.waitstatus_to_exitcode(os.waitpid(pids[0], 0)[1]) == 0
    use(other)


def test_a_fork_in_a_thread_leaves_a_child_with_that_thread_only() -> None:
    instance = make()
    use(instance)
    failures: list[BaseException] = []

    def work() -> None:
        try:
            use(instance)
            in_child(lambda: (use(instance), use(make()))[0])
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert not failures


def test_a_store_whose_thread_did_not_come_along_is_a_clear_error_and_no_endless_wait() -> None:
    entered, leave = threading.Event(), threading.Event()

    def between(value: int) -> int:
        entered.set()
        leave.wait(60)
        return value

    instance, other = make(between), make()
    thread = threading.Thread(target=instance.exports.through, args=(1,))
    thread.start()
    assert entered.wait(30)

    def job() -> None:
        use(other)
        for call in (lambda: instance.exports.load(0), lambda: instance.exports.memory.grow(1)):
            with pytest.raises(wasmark.Error, match="does not have was running in the store"):
                call()

    try:
        in_child(job)
    finally:
        leave.set()
        thread.join(30)
    use(other)


def test_a_fork_while_threads_run_wasm_and_trap() -> None:
    stop = threading.Event()
    busy = [make() for _ in range(3)]
    mine = make()

    def work(instance: wasmark.Instance) -> None:
        while not stop.is_set():
            use(instance)

    threads = [threading.Thread(target=work, args=(instance,)) for instance in busy]
    for thread in threads:
        thread.start()
    try:
        for _ in range(20):
            in_child(lambda: use(mine))
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
    use(mine)


def test_a_subprocess_started_in_a_host_function() -> None:
    def between(value: int) -> int:
        return value + int(subprocess.run([sys.executable, "-c", "print(5)"], capture_output=True, check=True).stdout)

    assert make(between).exports.through(1) == 1 + 5 + 1


# --- pools --------------------------------------------------------------------------------------------


def work_in_pool(value: int) -> int:
    """In a worker: a call that returns, or traps, or exits."""
    instance = make()
    if value == 1:
        instance.exports.load(-1)
    if value == 2:
        instance.exports.deep(0)
    if value == 3:
        raise wasmark.Exit(5)
    if value == 4:
        wasmark.Module("(module (func i32.add))")
    return int(instance.exports.through(value))


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_errors_come_back_from_worker_processes_as_themselves(method: str) -> None:
    context = multiprocessing.get_context(method)
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
        results = [pool.submit(work_in_pool, value) for value in (10, 1, 2, 3, 4, 11)]
        assert results[0].result(120) == 20
        trap = results[1].exception(120)
        assert isinstance(trap, wasmark.Trap)
        assert trap.code is TrapCode.MEMORY_OUT_OF_BOUNDS
        assert (trap.frames[0].func_name, trap.frames[0].module_name) == ("load", "m")
        assert "m!load @ +" in str(trap)
        overflow = results[2].exception(120)
        assert isinstance(overflow, wasmark.Trap)
        assert overflow.omitted > 1000
        exit_ = results[3].exception(120)
        assert isinstance(exit_, wasmark.Exit)
        assert exit_.code == 5
        invalid = results[4].exception(120)
        assert isinstance(invalid, wasmark.InvalidError)
        assert invalid.func_index == 0
        assert results[5].result(120) == 22


def test_errors_are_the_same_after_pickling() -> None:
    with pytest.raises(wasmark.Trap) as caught:
        make().exports.load(-1)
    trap = caught.value
    trap.add_note("a note")
    errors: list[wasmark.Error] = [
        trap,
        wasmark.Trap(TrapCode.UNREACHABLE, detail="why"),
        wasmark.Exit(3),
        wasmark.MalformedError("bad", offset=5),
        wasmark.MalformedError("bad", line=2, column=3),
        wasmark.InvalidError("wrong", offset=7, func_index=1),
        wasmark.LinkError("missing"),
        wasmark.UnsupportedError("later", part="SIMD"),
    ]
    for error in errors:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert str(copy) == str(error)
        plain = {name: value for name, value in vars(error).items() if name != "_frames"}
        assert {name: value for name, value in vars(copy).items() if name != "_frames"} == plain
    copy = pickle.loads(pickle.dumps(trap))
    for mine, theirs in zip(trap.frames, copy.frames, strict=True):
        for name in ("func_index", "func_name", "module_name", "module_offset", "func_offset", "pc", "symbols"):
            assert getattr(mine, name) == getattr(theirs, name)
    assert copy.pc == trap.pc
    # The module stays where it is: a copy of it would bring its code along.
    assert len(pickle.dumps(trap)) < 2000
