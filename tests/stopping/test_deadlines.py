"""Deadlines: what they stop, where, with what, and whose they are."""

from __future__ import annotations

import math
import os
import pickle
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

import wasmark
from tests.interruption import Interruption, call_at
from tests.ways import WAYS, config
from wasmark.runtime.deadlines import deadlines, remaining

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TEXT = """(module $m
  (import "host" "call" (func $call))
  (memory $shared 1 1 shared)
  (memory $plain 2000)
  (table $a 2000000 funcref)
  (type $words (array (mut i64)))
  (global $array (mut (ref null $words)) (ref.null $words))
  (tag $tag)
  (func $inner (loop br 0))
  (func (export "spin") (call $inner))
  (func (export "catching") (loop $again
    (block $caught (try_table (catch_all $caught) (call $inner))) (br $again)))
  (func (export "calling") (loop (call $call) (br 0)))
  (func (export "once") (call $call))
  (func (export "answer") (result i32) (i32.const 42))
  (func (export "wait") (result i32)
    (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const -1)))
  (func (export "wait_long") (result i32)
    (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const 0x7fffffffffffffff)))
  (func (export "wait_short") (result i32)
    (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const 1000)))
  (func (export "fill") (loop (memory.fill $plain (i32.const 3) (i32.const 7) (i32.const 100000000)) (br 0)))
  (func (export "forwards") (loop
    (memory.copy $plain $plain (i32.const 0) (i32.const 9) (i32.const 100000000)) (br 0)))
  (func (export "backwards") (loop
    (memory.copy $plain $plain (i32.const 9) (i32.const 0) (i32.const 100000000)) (br 0)))
  (func (export "table_fill") (loop
    (table.fill $a (i32.const 0) (ref.null func) (i32.const 2000000)) (br 0)))
  (func (export "table_copy") (loop
    (table.copy $a $a (i32.const 0) (i32.const 1) (i32.const 1900000)) (br 0)))
  (func (export "array_copy")
    (global.set $array (array.new_default $words (i32.const 2000000)))
    (loop (array.copy $words $words (global.get $array) (i32.const 0) (global.get $array) (i32.const 1)
      (i32.const 1900000)) (br 0)))
  (func $down (param i32) (if (i32.eqz (local.get 0)) (then (call $inner)))
    (call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "deep") (call $down (i32.const 50))))"""

SOON = 0.02


class Machine:
    def __init__(self, chosen: wasmark.Config | None = None) -> None:
        self.engine = wasmark.Engine(chosen)
        self.module = wasmark.Module(TEXT, self.engine)
        self.store = wasmark.Store(self.engine)
        self.host: Callable[[], object] = lambda: None
        self.instance = wasmark.Instance(self.module, {"host": {"call": lambda: self.host()}}, self.store)
        self.exports = self.instance.exports


@pytest.fixture(scope="module")
def shared() -> Machine:
    return Machine()


@pytest.fixture
def machine(shared: Machine) -> Iterator[Machine]:
    shared.host = lambda: None
    yield shared
    assert not deadlines().active
    assert shared.exports.answer() == 42


def names(error: wasmark.Timeout) -> list[str | None]:
    return [frame.func_name for frame in error.frames]


def stopped(call: Callable[[], object], where: list[str] | None = None) -> wasmark.Timeout:
    """The error of a call that never ends, with these frames. On a busy machine its time may be over before it is
    there: then it gets more."""
    seconds = SOON
    while True:
        with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(seconds) as deadline:
            call()
        assert caught.value.deadline is deadline
        if where is None or names(caught.value) == where or seconds > 20:
            return caught.value
        seconds *= 2


@pytest.mark.parametrize("way", WAYS)
def test_a_loop_that_looks_at_nothing_ends_where_it_was(way: str) -> None:
    machine = Machine(config(way))
    for _ in range(5):
        error = stopped(machine.exports.spin, ["inner", "spin"])
        assert names(error) == ["inner", "spin"]
        assert machine.exports.answer() == 42


def test_the_error_is_a_trap_and_a_timeout(machine: Machine) -> None:
    error: BaseException = stopped(machine.exports.spin, ["inner", "spin"])
    assert isinstance(error, wasmark.Trap)
    assert isinstance(error, TimeoutError)
    assert error.code is wasmark.TrapCode.INTERRUPT
    assert (error.errno, error.strerror) == (None, None)
    assert machine.store.registry.lookup_frame_info(error.pc).func_name == "inner"  # type: ignore[union-attr]
    lines = str(error).splitlines()
    assert error.deadline is not None
    assert lines[0] == f"wasm trap: interrupted: it took longer than {error.deadline.seconds} s"
    assert "m!inner" in lines[1]
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is wasmark.Timeout
    assert str(again) == str(error)
    assert again.deadline is None


@pytest.mark.parametrize(
    "name", ["fill", "forwards", "backwards", "table_fill", "table_copy", "array_copy", "deep", "catching", "calling"]
)
@pytest.mark.parametrize("way", ["eager", "baseline"])
def test_whatever_runs_ends(way: str, name: str) -> None:
    machine = Machine(config(way))
    inside = {"deep": ["inner", *["down"] * 51, "deep"], "catching": ["inner", "catching"]}
    for _ in range(2):
        where = inside.get(name, [name])
        assert names(stopped(getattr(machine.exports, name), where)) == where
        assert machine.exports.answer() == 42


def test_pieces_of_a_copy_are_what_one_copy_is(machine: Machine) -> None:
    size = 5_000_000
    before = os.urandom(size)
    module = wasmark.Module(
        """(module (memory (export "memory") 200)
          (func (export "copy") (param i32 i32 i32) (memory.copy (local.get 0) (local.get 1) (local.get 2)))
          (func (export "fill") (param i32 i32 i32) (memory.fill (local.get 0) (local.get 1) (local.get 2))))"""
    )
    exports = wasmark.Instance(module).exports
    view = memoryview(exports.memory)
    for to, from_ in ((0, 1), (1, 0), (0, 2_000_000), (2_000_000, 0), (6_000_000, 0), (0, 0)):
        view[:size] = before
        length = 4_500_000 if max(to, from_) < 10 else 3_000_000
        expected = bytearray(view[: to + length])
        expected[to : to + length] = view[from_ : from_ + length]
        exports.copy(to, from_, length)
        assert view[: to + length] == expected
    exports.fill(5, 0x1FF, 3 << 20)
    assert bytes(view[4 : 6 + (3 << 20)]) == bytes([before[4]]) + b"\xff" * (3 << 20) + bytes([before[5 + (3 << 20)]])


@pytest.mark.parametrize("seconds", [0, -1, -1e300, -math.inf, 0.0, 1e-12])
def test_no_time_is_no_time(machine: Machine, seconds: float) -> None:
    with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(seconds):
        machine.exports.answer()
    assert caught.value.frames == ()


@pytest.mark.parametrize("seconds", [None, math.inf, 1e300, 10**30, 1e9])
def test_much_time_is_enough(machine: Machine, seconds: float | None) -> None:
    with wasmark.deadline(seconds) as deadline:
        assert machine.exports.answer() == 42
        assert machine.exports.wait_short() == 2
    assert deadline.remaining > 1e8
    assert not deadline.expired


@pytest.mark.parametrize(("seconds", "kind"), [(math.nan, ValueError), ("1", TypeError), (1j, TypeError)])
def test_what_is_no_number_is_refused(machine: Machine, seconds: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        wasmark.deadline(seconds)
    with pytest.raises(kind):
        wasmark.Store(timeout=seconds)
    with pytest.raises(kind):
        machine.store.timeout = seconds
    assert machine.store.timeout is None


def test_a_deadline_that_has_passed_stays_passed(machine: Machine) -> None:
    with wasmark.deadline(0.001) as deadline:
        time.sleep(0.002)
        assert deadline.expired
        for _ in range(3):
            with pytest.raises(wasmark.Timeout):
                machine.exports.answer()
    assert machine.exports.answer() == 42


def test_without_wasm_nothing_happens() -> None:
    with wasmark.deadline(0.001):
        time.sleep(0.01)
    with pytest.raises(KeyError, match="mine"), wasmark.deadline(10):
        raise KeyError("mine")
    assert not deadlines().active


def test_a_deadline_from_before_the_first_wasm_of_a_thread_counts(machine: Machine) -> None:
    caught: list[wasmark.Timeout] = []

    def run() -> None:
        caught.append(stopped(machine.exports.spin, ["inner", "spin"]))

    thread = threading.Thread(target=run)
    with wasmark.deadline(0):  # that of another thread does not
        thread.start()
        thread.join(120)
    assert [names(error) for error in caught] == [["inner", "spin"]]


def test_the_nearest_counts_and_says_whose_it_is(machine: Machine) -> None:
    with wasmark.deadline(30) as outer:
        with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(SOON) as inner:
            machine.exports.spin()
        assert caught.value.deadline is inner
        assert machine.exports.answer() == 42
        assert not outer.expired
    with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(SOON) as outer, wasmark.deadline(30):
        machine.exports.spin()
    assert caught.value.deadline is outer


def test_a_deadline_is_used_once_at_a_time(machine: Machine) -> None:
    deadline = wasmark.deadline(30)
    with deadline, pytest.raises(RuntimeError), deadline:
        pass
    with deadline:
        assert machine.exports.answer() == 42
    assert not deadlines().active


def test_blocks_that_are_not_nested_each_count_until_they_are_left(machine: Machine) -> None:
    first, second = wasmark.deadline(SOON), wasmark.deadline(30)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    time.sleep(2 * SOON)
    assert machine.exports.answer() == 42
    second.__exit__(None, None, None)


def test_host_code_goes_on_and_the_way_back_ends(machine: Machine) -> None:
    ended = []

    def host() -> None:
        while remaining() != 0:
            time.sleep(SOON)
        ended.append(True)

    machine.host = host
    assert names(stopped(machine.exports.once, ["once"])) == ["once"]
    assert ended == [True] * len(ended) != []


def test_a_call_within_a_call_ends_and_so_does_the_outer_one(machine: Machine) -> None:
    depth = 0

    def host() -> None:
        nonlocal depth
        depth += 1
        if depth < 4:
            machine.exports.once()
        else:
            machine.exports.spin()

    def start() -> None:
        nonlocal depth
        depth = 0
        machine.exports.once()

    machine.host = host
    where = ["inner", "spin", "once", "once", "once", "once"]
    assert names(stopped(start, where)) == where


def test_a_host_function_may_give_an_inner_call_less_time(machine: Machine) -> None:
    def host() -> None:
        with pytest.raises(wasmark.Timeout), wasmark.deadline(SOON):
            machine.exports.spin()

    machine.host = host
    with wasmark.deadline(30):
        machine.exports.once()


def test_waits_end(machine: Machine) -> None:
    for name in ("wait", "wait_long"):
        assert names(stopped(getattr(machine.exports, name), [name])) == [name]
    with wasmark.deadline(30):
        assert machine.exports.wait_short() == 2


def test_waiting_for_a_store_that_another_thread_is_in_ends(machine: Machine) -> None:
    inside, leave = threading.Event(), threading.Event()

    def host() -> None:
        inside.set()
        leave.wait(60)

    machine.host = host
    other = threading.Thread(target=machine.exports.once)
    other.start()
    inside.wait(60)
    try:
        with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(SOON):
            machine.exports.answer()
        assert caught.value.frames == ()
    finally:
        leave.set()
        other.join(120)


def test_a_store_limits_each_outermost_call() -> None:
    machine = Machine()
    for _ in range(3):
        machine.store.timeout = 0.2
        assert machine.store.timeout == 0.2
        with pytest.raises(wasmark.Timeout) as caught:
            machine.exports.spin()
        assert caught.value.deadline is None
        assert "longer than 0.2 s" in str(caught.value)
        machine.store.timeout = 60
        assert machine.exports.answer() == 42

    left: list[int | None] = []

    def host() -> None:
        left.append(deadlines().nearest())
        machine.exports.answer()
        left.append(deadlines().nearest())

    machine.host = host
    for _ in range(2):
        machine.exports.once()
        assert deadlines().nearest() is None
    first, in_it, second, in_that = left
    assert None is not first == in_it  # the inner call is none of its own
    assert first < second == in_that  # each has all of its time
    machine.store.timeout = None
    machine.exports.once()
    assert left[4:] == [None, None]


def test_the_limits_of_stores_nest() -> None:
    outer, inner = Machine(), Machine()
    outer.store.timeout, inner.store.timeout = 30, SOON
    outer.host = inner.exports.spin
    with pytest.raises(wasmark.Timeout, match=f"longer than {SOON} s"):
        outer.exports.once()
    outer.store.timeout, inner.store.timeout = SOON, 30
    with pytest.raises(wasmark.Timeout):
        outer.exports.once()
    outer.store.timeout = 30
    with wasmark.deadline(SOON) as deadline, pytest.raises(wasmark.Timeout) as caught:
        outer.exports.once()
    assert caught.value.deadline is deadline


def test_a_start_function_ends() -> None:
    module = wasmark.Module("(module (func $main (loop br 0)) (start $main))")
    with pytest.raises(wasmark.Timeout) as caught:
        wasmark.Instance(module, None, wasmark.Store(timeout=SOON))
    assert names(caught.value) in (["main"], [])


def test_what_comes_between_two_steps_of_a_block_leaves_no_deadline(machine: Machine) -> None:
    def block() -> None:
        with wasmark.deadline(30):
            machine.exports.answer()

    def strike() -> None:
        raise Interruption

    step = 1
    while True:
        try:
            reached = call_at(block, step, ["stopping.py", "deadlines.py"], strike)
        except Interruption:
            reached = True
        assert not deadlines().active, step
        assert deadlines().nearest() is None
        if not reached:
            break
        step += 1
    assert step > 5


def test_a_forked_child_has_the_deadlines_of_its_thread(machine: Machine) -> None:
    seconds, status = 1, 1
    while status == 1 and seconds < 60:  # its time may be over before it is there
        with wasmark.deadline(seconds):
            child = os.fork()
            if not child:
                signal.alarm(120)
                try:
                    machine.exports.spin()
                except wasmark.Timeout as error:
                    os._exit(7 if names(error) == ["inner", "spin"] else 1)
                os._exit(2)
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        seconds *= 2
    assert status == 7
