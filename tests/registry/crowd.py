"""Traps, interrupts and look-ups in eight threads: `python -m tests.registry.crowd COUNT`. It ends with a line that
says what was done and what is left of it, or with the error.

Each thread has a store of its own, all share one module, whose functions get better code meanwhile. The main thread is
one of the eight: a timer's signal interrupts it wherever it is, and every other one raises.
"""

from __future__ import annotations

import gc
import random
import signal
import sys
import threading
import time
from collections import Counter
from typing import Final

import pytest

import wasmark
from wasmark.registry import is_wasm_trap_pc, lookup_frame_info, process_table
from wasmark.runtime import code_memory

THREADS: Final = 8
_TICK: Final = 0.003
"""Seconds between two signals."""

_TEXT: Final = """
(module $crowd (memory 1) (table 2 funcref) (elem (i32.const 0) $wrong)
  (type $no (func))
  (func $wrong (param i32))
  (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "zero") (param i32) (result i32) (call $divide (local.get 0) (i32.const 0)))
  (func (export "overflow") (param i32) (result i32) (call $divide (i32.const 0x80000000) (i32.const -1)))
  (func (export "outside") (param i32) (result i32)
    (i32.load offset=65536 (i32.and (local.get 0) (i32.const 0xffff))))
  (func (export "null") (param i32) (result i32) (call_indirect (type $no) (i32.const 1)) (i32.const 0))
  (func (export "mismatch") (param i32) (result i32) (call_indirect (type $no) (i32.const 0)) (i32.const 0))
  (func (export "never") (param i32) (result i32) unreachable)
  (func (export "count") (param $n i64) (result i64) (local $i i64)
    (loop $again
      (local.set $i (i64.add (local.get $i) (i64.const 1)))
      (br_if $again (i64.lt_u (local.get $i) (local.get $n))))
    (local.get $i)))
"""
_TRAPS: Final = {
    "zero": (wasmark.TrapCode.INTEGER_DIVISION_BY_ZERO, ["divide", "zero"]),
    "overflow": (wasmark.TrapCode.INTEGER_OVERFLOW, ["divide", "overflow"]),
    "outside": (wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS, ["outside"]),
    "null": (wasmark.TrapCode.UNINITIALIZED_ELEMENT, ["null"]),
    "mismatch": (wasmark.TrapCode.INDIRECT_CALL_TYPE_MISMATCH, ["mismatch"]),
    "never": (wasmark.TrapCode.UNREACHABLE, ["never"]),
}
_NAMES: Final = tuple(_TRAPS)
_INTERRUPTS: Final = 0.005
_SOON: Final = 0.001
_TURNS: Final = 200
"""Steps that a thread makes with one store."""


class Crowd:
    """`count` steps, shared by the threads."""

    def __init__(self, count: int) -> None:
        self.module = wasmark.Module(_TEXT, wasmark.Engine(wasmark.Config(tier_up=500, cache=False)))
        self._first = self.module.model.imported["func"]
        self.left = count // THREADS
        self.failures: list[BaseException] = []
        self.done: Counter[str] = Counter()

    def run(self) -> None:
        """All steps. Raises what one of the threads raises."""
        threads = [threading.Thread(target=self._steps, args=(seed,)) for seed in range(1, THREADS)]
        for thread in threads:
            thread.start()
        rng = random.Random(THREADS)
        watched = wasmark.Store(self.module.engine)
        wasmark.Instance(self.module, store=watched)

        def handle(*_: object) -> None:
            self._look_up(watched, rng)
            self.done["signals"] += 1

        before = signal.signal(signal.SIGALRM, handle)
        signal.setitimer(signal.ITIMER_REAL, _TICK, _TICK)
        try:
            self._steps(0)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _steps(self, seed: int) -> None:
        rng = random.Random(seed)
        done: Counter[str] = Counter()
        try:
            for first in range(0, self.left, _TURNS):
                store = wasmark.Store(self.module.engine)
                exports = wasmark.Instance(self.module, store=store).exports
                for _ in range(min(_TURNS, self.left - first)):
                    chance = rng.random()
                    if chance < _INTERRUPTS:
                        self._interrupt(exports)
                        done["interrupts"] += 1
                    elif chance < 0.5:
                        self._trap(exports, rng.choice(_NAMES))
                        done["traps"] += 1
                    else:
                        self._look_up(store, rng)
                        done["look-ups"] += 1
        except BaseException as error:
            self.failures.append(error)
        self.done.update(done)

    @staticmethod
    def _trap(exports: wasmark.Exports, name: str) -> None:
        code, frames = _TRAPS[name]
        with pytest.raises(wasmark.Trap) as caught:
            exports[name](7)
        trap = caught.value
        assert trap.code is code, name
        assert [frame.func_name for frame in trap.frames] == frames, trap
        assert is_wasm_trap_pc(trap.pc)

    @staticmethod
    def _interrupt(exports: wasmark.Exports) -> None:
        with pytest.raises(wasmark.Timeout) as caught, wasmark.deadline(_SOON):
            exports["count"](1 << 40)
        # None where the time was over before the call.
        assert [frame.func_name for frame in caught.value.frames] in (["count"], [])
        # The store is as good as before.
        assert exports["count"](5) == 5

    def _look_up(self, store: wasmark.Store, rng: random.Random) -> None:
        """Any byte of any code that any function has by now."""
        index = rng.randrange(self._first, self._first + len(self.module.model.functions))
        start, end = rng.choice(store.registry.function_ranges(self.module, index))
        pc = rng.randrange(start, end)
        for frame in (store.registry.lookup_frame_info(pc), lookup_frame_info(pc)):
            assert frame is not None
            assert (frame.module, frame.func_index) == (self.module, index)


def _left() -> tuple[int, int, int]:
    """What there is: pages of code, code objects, mappings."""
    for _ in range(3):
        gc.collect()
    with open("/proc/self/maps") as file:
        mappings = sum(1 for _ in file)
    free = sum(arena.free_pages for arena in code_memory.arenas())
    return -free, len(process_table._codes), mappings


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


def main() -> None:
    sys.setswitchinterval(1e-4)
    count = int(sys.argv[1])
    Crowd(count // 10).run()  # what is made once, and what the allocators keep
    before, resident = _left(), _resident()
    start = time.monotonic()
    crowd = Crowd(count)
    crowd.run()
    figures = ", ".join(f"{number:,} {what}" for what, number in sorted(crowd.done.items()))
    assert all(crowd.done[what] for what in ("traps", "interrupts", "look-ups"))
    del crowd
    seconds = time.monotonic() - start
    # Who optimises in the background still has what it was asked for.
    for _ in range(300):
        pages, codes, mappings = (now - then for now, then in zip(_left(), before, strict=True))
        if pages <= 0 and codes <= 0:
            break
        time.sleep(0.1)
    more = _resident() - resident
    print(f"{seconds:.0f} s: {figures}; left: {pages} pages, {codes} code objects, {mappings} mappings, {more:,} kB")
    assert pages <= 0
    assert codes <= 0
    assert mappings < 200
    assert more < 8_192


if __name__ == "__main__":
    main()
