"""From the first tier to the second, while code runs: results, traps, frames and addresses are what they were."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections import Counter
from typing import Any

import pytest

import wasmark
from tests.processes import run_alone
from tests.ways import config
from wasmark.compile.hot import Hot
from wasmark.errors import Error, TrapCode
from wasmark.jit import optimizer as background
from wasmark.registry import is_wasm_trap_pc

PATIENCE = 120
"""Seconds that a compiler process may take to start and answer on a machine that has other work."""


def engine(tier_up: int | None, *, in_background: bool = False) -> wasmark.Engine:
    return wasmark.Engine(
        wasmark.Config(strategy="lazy", cache=False, tier_up=tier_up, tier_up_in_background=in_background)
    )


LOOPS = """(module (memory 1)
  (func $f (export "f") (param $n i32) (param $at i32) (result i64) (local $x i64) (local $y f64) (local $z f32)
    (i64.const 5)
    (local.set $y (f64.const 0.5))
    (block $out
      (br_if $out (i32.eqz (local.get $n)))
      (f32.const 1.5)
      (loop $outer
        (local.set $x (i64.add (local.get $x) (i64.const 3)))
        (i32.const 7)
        (loop $inner (param i32) (result i32)
          (local.set $y (f64.add (local.get $y) (f64.const 1)))
          (local.set $z (f32.add (local.get $z) (f32.const 0.25)))
          (i32.add (i32.const 1))
          (local.set $x (i64.add (local.get $x) (i64.extend_i32_u (i32.load (local.get $at)))))
          (br_if $inner (i32.rem_u (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 5))))
        i64.extend_i32_u local.get $x i64.add local.set $x
        (br_if $outer (i32.gt_s (local.get $n) (i32.const 0))))
      i64.trunc_f32_s local.get $x i64.add local.set $x)
    (i64.add (i64.trunc_f64_s (local.get $y)))
    (i64.add (i64.trunc_f32_s (local.get $z)))
    (i64.add (local.get $x)))
  (func (export "caller") (param i32 i32) (result i64) (call $f (local.get 0) (local.get 1))))"""


@pytest.mark.parametrize("tier_up", [None, 0, 1, 2, 3, 4, 5, 6, 7, 20, 50])
@pytest.mark.parametrize("n", [0, 1, 4, 5, 6, 23, 100])
def test_the_middle_of_loops_is_no_different(tier_up: int | None, n: int) -> None:
    eager = wasmark.Instance(wasmark.Module(LOOPS, wasmark.Engine(config("eager")))).exports
    exports = wasmark.Instance(wasmark.Module(LOOPS, engine(tier_up))).exports
    for _ in range(3):
        assert exports.f(n, 0) == eager.f(n, 0)


@pytest.mark.parametrize("tier_up", [None, 0, 1, 2, 3, 9])
def test_a_trap_behind_a_change_of_code_has_the_frames_of_wasm_and_no_others(tier_up: int | None) -> None:
    def frames(chosen: wasmark.Engine) -> tuple[Any, ...]:
        exports = wasmark.Instance(wasmark.Module(LOOPS, chosen)).exports
        with pytest.raises(wasmark.Trap) as caught:
            exports.caller(33, 65533)
        trap = caught.value
        assert is_wasm_trap_pc(trap.pc)
        return trap.code, [(frame.func_index, frame.module_offset) for frame in trap.frames]

    expected = frames(wasmark.Engine(config("eager")))
    assert expected[0] is TrapCode.MEMORY_OUT_OF_BOUNDS
    assert [index for index, _ in expected[1]] == [0, 1]
    assert frames(engine(tier_up)) == expected


RECURSIVE = """(module (import "h" "f" (func $h (param i32)))
  (func $f (export "f") (param $n i32) (result i32) (local $i i32) (local $sum i32)
    (local.set $i (i32.const 4))
    (loop $l
      (if (i32.eq (local.get $i) (i32.const 2))
        (then (if (local.get $n) (then
          (local.set $sum (i32.add (local.get $sum) (call $f (i32.sub (local.get $n) (i32.const 1)))))))
          (call $h (local.get $n))))
      (local.set $sum (i32.add (local.get $sum) (local.get $i)))
      (br_if $l (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
    (local.get $sum)))"""


@pytest.mark.parametrize("tier_up", [None, 0, 2, 11, 24])
def test_each_activation_changes_code_for_itself(tier_up: int | None) -> None:
    depths = []

    class StopError(Exception):
        pass

    def host(n: int) -> None:
        depths.append(n)
        if n == 6 and len(depths) > 20:
            raise StopError

    exports = wasmark.Instance(wasmark.Module(RECURSIVE, engine(tier_up)), {"h": {"f": host}}).exports
    for _ in range(3):
        assert exports.f(5) == 60
    with pytest.raises(StopError):
        exports.f(9)
    assert depths == [*range(6)] * 3 + [*range(7)]
    assert exports.f(5) == 60


def test_a_stack_overflow_in_code_entered_at_a_loop_is_a_trap() -> None:
    text = """(module (func $f (export "f") (param i32) (result i32)
      (loop $l (result i32) (br_if $l (i32.eqz (local.tee 0 (i32.add (local.get 0) (i32.const 1)))))
        (i32.add (call $f (local.get 0)) (i32.const 1)))))"""
    for tier_up in (0, 1, 5, 1000):
        exports = wasmark.Instance(wasmark.Module(text, engine(tier_up))).exports
        for _ in range(5):
            with pytest.raises(wasmark.Trap) as caught:
                exports.f(1)
            assert caught.value.code is TrapCode.STACK_OVERFLOW
            assert {frame.func_index for frame in caught.value.frames} == {0}


def test_the_registry_knows_all_code_of_a_function() -> None:
    module = wasmark.Module(LOOPS, engine(0))
    store = wasmark.Store(module.engine)
    exports = wasmark.Instance(module, store=store).exports
    exports.caller(20, 0)
    ranges = store.registry.function_ranges(module, 0)
    compiled = [(start, end) for index, start, end in module.finished_functions() if index == 0]
    assert set(compiled) < set(ranges)
    # The first tier, the whole function, and an entry at the outer loop, which is left no more.
    assert len(compiled) == 3
    for start, end in compiled:
        for pc in range(start, end):
            frame = store.registry.lookup_frame_info(pc)
            assert frame is not None
            assert (frame.module, frame.func_index) == (module, 0)
        assert store.registry.lookup_module(start) is module


def test_a_function_that_is_hot_is_called_in_the_second_tier_from_then_on() -> None:
    module = wasmark.Module(RECURSIVE, engine(3))
    exports = wasmark.Instance(module, {"h": {"f": lambda n: None}}).exports
    exports.f(5)
    count = len(list(module.finished_functions()))
    for _ in range(10):
        assert exports.f(5) == 60
    assert len(list(module.finished_functions())) == count


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)


SPIN = """(module (global $stop (export "stop") (mut i32) (i32.const 0)) (memory (export "m") 1)
  (func $f (export "spin") (result i64) (local i64)
    (loop $l (local.set 0 (i64.add (local.get 0) (i64.const 1)))
      (br_if $l (i32.eqz (i32.load (i32.const 0)))))
    (local.get 0)))"""


def test_a_loop_that_never_ends_goes_on_in_code_that_was_made_in_the_background() -> None:
    module = wasmark.Module(SPIN, engine(1000, in_background=True))
    exports = wasmark.Instance(module).exports
    lazy = module._lazy
    assert lazy is not None
    results: list[int] = []
    thread = threading.Thread(target=lambda: results.append(exports.spin()))
    thread.start()
    try:
        wait_for(lambda: len(lazy._optimized) == 2)

        def nobody_counts() -> bool:
            before = lazy._counters[0]
            time.sleep(0.05)
            return lazy._counters[0] == before

        wait_for(nobody_counts)
    finally:
        exports.m.write(0, b"\1")
        thread.join()
    assert results[0] > 1000
    assert exports.spin() == 1


def test_modules_that_are_gone_are_not_compiled_for() -> None:
    module = wasmark.Module(SPIN, engine(0, in_background=True))
    exports = wasmark.Instance(module).exports
    exports.m.write(0, b"\1")
    assert exports.spin() == 1
    reference = weakref.ref(module)
    del module, exports
    wait_for(lambda: (gc.collect(), reference() is None)[1])
    # And the next one is.
    module = wasmark.Module(SPIN, engine(0, in_background=True))
    exports = wasmark.Instance(module).exports
    exports.m.write(0, b"\1")
    lazy = module._lazy
    assert lazy is not None
    wait_for(lambda: (exports.spin(), bool(lazy._optimized))[1])


PRELUDE = f"""
import os, sys, time, threading, signal
import wasmark
from wasmark.jit import optimizer as background
SPIN = '''{SPIN}'''
def engine(**more):
    return wasmark.Engine(wasmark.Config(strategy="lazy", cache=False, **more))
def wait_for(condition):
    end = time.monotonic() + {PATIENCE}
    while not condition():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.005)
module = wasmark.Module(SPIN, engine(tier_up=0))
exports = wasmark.Instance(module).exports
exports.m.write(0, b"\\1")
lazy = module._lazy
"""


def test_a_program_that_ends_does_not_wait_for_the_compiler() -> None:
    result = run_alone(PRELUDE + "exports.spin(); print('fine')")
    assert (result.returncode, result.stdout, result.stderr) == (0, "fine\n", "")


def test_a_forked_child_has_its_own_background() -> None:
    result = run_alone(
        PRELUDE
        + """
exports.spin()
wait_for(lambda: lazy._optimized)
other = wasmark.Module(SPIN, engine(tier_up=0))
there = wasmark.Instance(other).exports
there.m.write(0, b"\\1")
there.spin()
pid = os.fork()
if not pid:
    there.spin()
    other._lazy._counters[0] = 0
    wait_for(lambda: (there.spin(), other._lazy._optimized)[1])
    print("child", flush=True)
    sys.exit(0)
assert os.waitpid(pid, 0)[1] == 0
wait_for(lambda: other._lazy._optimized)
print("parent")
"""
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "child\nparent\n", "")


def test_compiler_processes_that_die_leave_the_first_tier_and_are_not_started_for_ever() -> None:
    result = run_alone(
        PRELUDE
        + """
started = []
from wasmark.compile import process
class Dying(process.CompilerProcess):
    def __init__(self):
        super().__init__()
        started.append(self)
    def compile_hot(self, number, wanted):
        self._process.kill()
        return super().compile_hot(number, wanted)
process.CompilerProcess = Dying
kept = []
for n in range(8):
    m = wasmark.Module(SPIN, engine(tier_up=0))
    e = wasmark.Instance(m).exports
    e.m.write(0, b"\\1")
    assert e.spin() == 1
    kept.append(m)
wait_for(lambda: background.optimizer()._deaths >= 3)
time.sleep(0.3)
assert len(started) == 3, started
assert all(not m._lazy._optimized for m in kept)
print("fine")
"""
    )
    assert (result.returncode, result.stdout) == (0, "fine\n"), result.stderr


def test_what_cannot_be_made_keeps_nothing_else_from_being_made(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Hot, ...]] = []

    class Client:
        number = 1
        binary = b""
        escaping = ()
        installed: list[Hot]

        def size(self, hot: Hot) -> int:
            return 10

        def install(self, wanted: list[Hot], data: bytes) -> None:
            self.installed.extend(wanted)

    client = Client()
    client.installed = []
    made = background.Optimizer()
    ready = threading.Event()

    def compile_(one: object, batch: list[Hot]) -> bytes:
        ready.wait()
        asked.append(tuple(batch))
        if Hot(3, 0) in batch:
            raise Error("not this one")
        return b""

    monkeypatch.setattr(made, "_compile", compile_)
    for n in range(6):
        made.request(client, Hot(n, 0), urgent=True)
    ready.set()
    wait_for(lambda: len(client.installed) == 5)
    assert sorted(client.installed) == [Hot(n, 0) for n in (0, 1, 2, 4, 5)]
    assert (Hot(3, 0),) in asked


THREADS = """(module (memory 1)
  (func $step (param i64) (result i64) (i64.xor (i64.mul (local.get 0) (i64.const 6364136223846793005))
    (i64.shr_u (local.get 0) (i64.const 17))))
  (func (export "run") (param $n i32) (param $x i64) (result i64)
    (loop $l
      (local.set $x (call $step (local.get $x)))
      (i64.store (i32.and (local.get $n) (i32.const 0xfff8)) (local.get $x))
      (local.set $x (i64.add (local.get $x) (i64.load (i32.and (local.get $n) (i32.const 0xff8)))))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x)))"""


@pytest.mark.parametrize("in_background", [True, False])
def test_eight_threads_with_a_thousand_instances_under_tier_up(in_background: bool) -> None:
    eager = wasmark.Instance(wasmark.Module(THREADS, wasmark.Engine(config("eager")))).exports.run
    wanted = {}
    for n in (1, 7, 300):
        for x in range(4):
            wanted[n, x] = wasmark.Instance(wasmark.Module(THREADS, wasmark.Engine(config("eager")))).exports.run(n, x)
    del eager
    wrong: list[object] = []
    outcomes: Counter[int] = Counter()

    def run(turn: int) -> None:
        # Modules of their own, and one that all share: code changes under all of them.
        for number in range(125):
            own = wasmark.Module(THREADS, engine(50, in_background=in_background)) if number % 25 == 0 else shared
            for n, x in ((1, 0), (300, turn % 4), (7, 3)):
                store = wasmark.Store(own.engine)
                result = wasmark.Instance(own, store=store).exports.run(n, x)
                outcomes[n] += 1
                if result != wanted[n, x]:
                    wrong.append((turn, number, n, x, result))

    shared = wasmark.Module(THREADS, engine(200, in_background=in_background))
    threads = [threading.Thread(target=run, args=(turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert set(outcomes.values()) == {1000}
