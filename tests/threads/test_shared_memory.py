"""Memories that threads share: one memory in several stores, each used by a thread of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from tests.ways import WAYS, config
from wasmark import Engine, Instance, InvalidError, LinkError, Memory, Module, Store, Trap, TrapCode
from wasmark.core.types import Limits, MemoryType
from wasmark.runtime import parking

SHARED = MemoryType(Limits(1, 8, shared=True))

WORKER = """(module (import "" "memory" (memory 1 8 shared))
  (func (export "count") (param $times i32) (result i32) (local $i i32)
    (loop $again
      (drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))
      (drop (i64.atomic.rmw8.add_u offset=8 (i32.const 0) (i64.const 1)))
      (loop $retry  ;; a counter by compare and exchange
        (br_if $retry (i32.ne
          (local.tee $i (i32.atomic.load (i32.const 16)))
          (i32.atomic.rmw.cmpxchg (i32.const 16) (local.get $i) (i32.add (local.get $i) (i32.const 1))))))
      (br_if $again (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))
    (i32.atomic.load (i32.const 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "store") (param i32 i32) (i32.atomic.store (local.get 0) (local.get 1)) (atomic.fence))
  (func (export "wait") (param i32 i32 i64) (result i32)
    (memory.atomic.wait32 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "wait64") (param i32 i64 i64) (result i32)
    (memory.atomic.wait64 (local.get 0) (local.get 1) (local.get 2)))
  (func (export "notify") (param i32 i32) (result i32) (memory.atomic.notify (local.get 0) (local.get 1)))
  (func (export "narrow") (param i32) (result i32)
    (i32.atomic.rmw8.cmpxchg_u (i32.const 32) (local.get 0) (i32.const 0x1ff)))
  (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0))))"""


@pytest.fixture(scope="module", params=WAYS)
def engine(request: pytest.FixtureRequest) -> Engine:
    return Engine(config(request.param))


def workers(engine: Engine, count: int) -> tuple[Memory, list[Any]]:
    """A memory, and the exports of so many instances that share it, each in a store of its own."""
    memory = Memory(Store(engine), SHARED)
    module = Module(WORKER, engine)
    return memory, [Instance(module, {"": {"memory": memory}}, Store(engine)).exports for _ in range(count)]


def in_threads(*calls: Any) -> list[Any]:
    results: list[Any] = [None] * len(calls)

    def run(number: int) -> None:
        results[number] = calls[number]()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_no_addition_of_several_threads_is_lost(engine: Engine) -> None:
    memory, exports = workers(engine, 4)
    in_threads(*(lambda e=e: e.count(20_000) for e in exports))
    assert int.from_bytes(memory.read(0, 4), "little") == 80_000
    assert int.from_bytes(memory.read(8, 8), "little") == 80_000 % 256
    assert int.from_bytes(memory.read(16, 4), "little") == 80_000


def test_a_thread_that_waits_is_woken_by_another_one(engine: Engine) -> None:
    _, (first, second) = workers(engine, 2)

    def wake() -> int:
        woken = 0
        while not woken:  # it may not wait yet
            woken = second.notify(64, 1)
        return woken

    assert in_threads(lambda: first.wait(64, 0, -1), wake) == [0, 1]


def test_a_value_that_differs_is_not_waited_for(engine: Engine) -> None:
    _, (exports,) = workers(engine, 1)
    exports.store(64, -5)
    assert exports.wait(64, 4, -1) == 1
    assert exports.wait64(64, -5, -1) == 1  # the upper half is 0
    assert exports.wait(64, -5, 1000) == 2
    assert exports.wait64(64, 0xFFFF_FFFB, 0) == 2


def test_a_wait_ends_when_its_time_is_up_and_leaves_nobody_to_be_woken(engine: Engine) -> None:
    _, (exports,) = workers(engine, 1)
    assert exports.wait(64, 0, 1_000_000) == 2
    assert exports.notify(64, -1) == 0


def test_as_many_are_woken_as_was_asked_for(engine: Engine) -> None:
    _, exports = workers(engine, 4)
    woken: list[int] = []

    def wake() -> None:
        while len(woken) < 3:
            woken.extend([1] * exports[3].notify(64, 1))

    assert in_threads(*(lambda e=e: e.wait(64, 0, -1) for e in exports[:3]), wake)[:3] == [0, 0, 0]
    assert len(woken) == 3


@pytest.mark.parametrize(
    ("name", "args", "code"),
    [
        ("wait", (66, 0, 0), TrapCode.UNALIGNED_ATOMIC),
        ("wait64", (68, 0, 0), TrapCode.UNALIGNED_ATOMIC),
        ("notify", (2, 0), TrapCode.UNALIGNED_ATOMIC),
        ("store", (-4, 0), TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("wait", (0x80000, 0, 0), TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("notify", (0x80000, 0), TrapCode.MEMORY_OUT_OF_BOUNDS),
    ],
)
def test_where_atomic_instructions_trap(engine: Engine, name: str, args: tuple[int, ...], code: TrapCode) -> None:
    _, (exports,) = workers(engine, 1)
    with pytest.raises(Trap) as caught:
        exports[name](*args)
    assert caught.value.code is code
    assert caught.value.frames[0].func_name == name


def test_waiting_on_a_memory_that_is_not_shared_is_a_trap_and_notifying_wakes_nobody(engine: Engine) -> None:
    text = WORKER.replace('(import "" "memory" (memory 1 8 shared))', "(memory 1 8)")
    exports = Instance(Module(text, engine)).exports
    with pytest.raises(Trap) as caught:
        exports.wait(0, 1, 0)
    assert caught.value.code is TrapCode.EXPECTED_SHARED_MEMORY
    with pytest.raises(Trap) as caught:
        exports.wait(1, 1, 0)
    assert caught.value.code is TrapCode.UNALIGNED_ATOMIC
    assert exports.notify(0, 5) == 0
    assert exports.count(3) == 3


def test_what_follows_a_wait_that_must_trap_is_never_reached(engine: Engine) -> None:
    """In arms, loops and blocks with results, in front of all kinds of code, with an address of either size."""
    wait = "(memory.atomic.wait32 (local.get 0) (i32.const 0) (i64.const 0))"
    far = "(memory.atomic.wait64 $far (i64.extend_i32_u (local.get 0)) (i64.const 0) (i64.const 0))"
    text = f"""(module (memory 1) (memory $far i64 1) (global $seen (mut i32) (i32.const 0))
      (func (export "seen") (result i32) (global.get $seen))
      (func (export "last") (param i32) (result i32) {wait})
      (func (export "far") (param i32) (result i32) (i32.add {far} (i32.const 1)))
      (func (export "arm") (param i32) (result i32)
        (if (result i32) (i32.ne (local.get 0) (i32.const 4))
          (then (drop (i32.add {wait} (i32.const 1))) (global.set $seen (i32.const 1)) (i32.const 5))
          (else (i32.const 6))))
      (func (export "block") (param i32) (result i32)
        (i32.add (i32.const 1) (block (result i32)
          (drop (br_if 0 (i32.const 41) (i32.eq (local.get 0) (i32.const 4))))
          (br_if 0 (i32.const 7) {wait}) (global.set $seen) (i32.const 2))))
      (func (export "loop") (param i32) (result i32) (local $i i32)
        (loop $l (result i32)
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (if (i32.and (i32.eq (local.get $i) (i32.const 9)) (i32.ne (local.get 0) (i32.const 4)))
            (then (drop {wait}) (loop (global.set $seen (i32.const 1)) (br 0)) (br $l)))
          (br_if $l (i32.lt_u (local.get $i) (i32.const 20)))
          (local.get $i))))"""
    exports = Instance(Module(text, engine)).exports
    for _ in range(3):
        for name in ("last", "far", "arm", "block", "loop"):
            for address, code in ((8, TrapCode.EXPECTED_SHARED_MEMORY), (2, TrapCode.UNALIGNED_ATOMIC)):
                with pytest.raises(Trap) as caught:
                    exports[name](address)
                assert caught.value.code is code
            with pytest.raises(Trap) as caught:
                exports[name](0x10000)
            assert caught.value.code is TrapCode.MEMORY_OUT_OF_BOUNDS
        assert (exports.arm(4), exports.block(4), exports.loop(4), exports.seen()) == (6, 42, 20, 0)


def test_what_a_narrow_exchange_expects_is_compared_as_a_whole(engine: Engine) -> None:
    memory, (exports,) = workers(engine, 1)
    assert exports.narrow(0x100) == 0  # only its low byte is equal
    assert memory.read(32, 2) == b"\0\0"
    assert exports.narrow(0) == 0
    assert memory.read(32, 2) == b"\xff\0"


def test_growth_in_one_store_is_seen_in_all(engine: Engine) -> None:
    memory, exports = workers(engine, 4)
    with pytest.raises(Trap):
        exports[1].load8(0x10000)
    olds = in_threads(*(lambda e=e: [e.grow(1), e.grow(1)] for e in exports))
    flat = sorted(old for pair in olds for old in pair)
    assert flat == [-1, 1, 2, 3, 4, 5, 6, 7]
    assert [e.size() for e in exports] == [8] * 4
    assert memory.size == 8
    assert exports[1].load8(0x7FFFF) == 0


def test_a_memory_that_is_not_shared_stays_in_its_store() -> None:
    memory = Memory(Store(), MemoryType(Limits(1, 8)))
    module = Module('(module (import "" "memory" (memory 1 8)))')
    with pytest.raises(LinkError, match="another store"):
        Instance(module, {"": {"memory": memory}}, Store())


def test_a_shared_memory_outlives_the_store_it_was_made_in(engine: Engine) -> None:
    memory, (exports,) = workers(engine, 1)
    memory.write(100, b"x")
    del memory
    assert exports.load8(100) == ord("x")


def test_atomic_accesses_of_memories_with_64_bit_addresses_and_far_offsets(engine: Engine) -> None:
    exports = Instance(
        Module(
            """(module (memory 0) (memory $wide i64 1 2)
  (func (export "add") (param i64 i64) (result i64) (i64.atomic.rmw.add $wide offset=8 (local.get 0) (local.get 1)))
  (func (export "far") (param i64) (result i32)
    (i32.atomic.load $wide offset=0x100000000 (local.get 0)))
  (func (export "swap") (param i64 i64 i64) (result i64)
    (i64.atomic.rmw.cmpxchg $wide offset=0x7fffffff0 (local.get 0) (local.get 1) (local.get 2))))""",
            engine,
        )
    ).exports
    assert exports.add(0, 5) == 0
    assert exports.add(0, 7) == 5
    assert exports.add(0xFFF0, 1) == 0
    for call in (lambda: exports.add(0xFFF8, 1), lambda: exports.far(0), lambda: exports.swap(0, 0, 0)):
        with pytest.raises(Trap) as caught:
            call()
        assert caught.value.code is TrapCode.MEMORY_OUT_OF_BOUNDS
    with pytest.raises(Trap) as caught:
        exports.add(4, 1)
    assert caught.value.code is TrapCode.UNALIGNED_ATOMIC


def test_ctrl_c_ends_a_wait() -> None:
    script = f"""
import os, signal, threading, time
from wasmark import Instance, Memory, Module, Store
from wasmark.core.types import Limits, MemoryType
memory = Memory(Store(), MemoryType(Limits(1, 8, shared=True)))
exports = Instance(Module('''{WORKER}'''), {{"": {{"memory": memory}}}}).exports
try:
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    exports.wait(64, 0, -1)
except KeyboardInterrupt:
    print("interrupted", exports.notify(64, 1), exports.wait(64, 1, -1))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "interrupted 0 1\n", "")


def test_a_forked_child_starts_with_nobody_waiting() -> None:
    _, exports = workers(Engine(), 2)
    before = set(parking._queues)
    thread = threading.Thread(target=lambda: exports[0].wait(64, 0, -1))
    thread.start()
    while parking._queues.keys() <= before:
        time.sleep(0.001)
    child = os.fork()
    if not child:
        signal.alarm(120)
        os._exit(exports[1].notify(64, 1))
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert exports[1].notify(64, 1) == 1
    thread.join(120)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("(module (memory 1 shared))", "shared memory must have maximum"),
        ("(module (memory 1 1) (func (drop (i32.atomic.load align=2 (i32.const 0)))))", "atomic alignment"),
        ("(module (memory 1 1) (func (drop (i32.atomic.load8_u align=2 (i32.const 0)))))", "alignment"),
    ],
)
def test_what_is_invalid(text: str, message: str) -> None:
    with pytest.raises(InvalidError, match=message):
        Module(text)
