"""The walk over every byte of every function, while the same functions get better code and other modules come and go:
`python -m tests.registry.walk SECONDS`. It ends with a line that says how much was walked, or with the error.

Who tiers up has LLVM compile each function of a lazy module, and each of its loops, at once; when all is done, a new
module takes its place, and the old one goes as soon as nobody walks over it. Who unloads compiles small modules, runs
them, and looks at where they were when they are gone.
"""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

import wasmark
from tests.registry.test_process_table import owner_in_memory
from wasmark.registry import FrameInfo, is_wasm_trap_pc, lookup_frame_info

if TYPE_CHECKING:
    from collections.abc import Callable

FUNCTIONS: Final = 14
_KINDS: Final = {"bytes walked", "traps", "modules tiered up", "modules unloaded"}
_OPERATIONS: Final = ("add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u")
_TIERING: Final = wasmark.Engine(wasmark.Config(tier_up=1, tier_up_in_background=False, cache=False))
_FIRST: Final = wasmark.Engine(wasmark.Config(strategy="baseline", cache=False))
_LAZY: Final = wasmark.Engine(wasmark.Config(cache=False))


def text(functions: int, name: str) -> str:
    """A module of the seed's functions, again and again, each with a loop, a load and a call."""
    parts = [f"(module ${name} (memory 1) (func $leaf (param i32) (result i32) (i32.load (local.get 0)))"]
    for number in range(functions):
        operation = _OPERATIONS[number % len(_OPERATIONS)]
        parts.append(
            f"""(func (export "{operation}{number}") (param $x i32) (param $y i32) (result i32) (local $n i32)
                (local.set $n (i32.const 4))
                (loop $again
                  (local.set $x (i32.add (call $leaf (i32.const {number})) (local.get $x)))
                  (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
                (i32.{operation} (local.get $x) (local.get $y)))"""
        )
    return " ".join(parts) + ")"


class Walk:
    """What the threads share."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.counts: Counter[str] = Counter()
        self.failures: list[BaseException] = []
        self.walked = self._fresh()

    def _fresh(self) -> wasmark.Instance:
        return wasmark.Instance(wasmark.Module(text(FUNCTIONS, "walked"), _TIERING))

    # --- the threads

    def over_every_byte(self) -> None:
        instance = self.walked
        module, registry = instance.module, instance.store.registry
        first, bodies = module.model.imported["func"], module.model.functions
        for index, start, end in list(module.finished_functions()):
            body = bodies[index - first]
            for pc in range(start, end):
                frame = registry.lookup_frame_info(pc)
                assert frame is not None, hex(pc)
                self._check(frame, index, module)
                assert body.entry <= frame.module_offset < body.end
                assert frame.func_offset == frame.module_offset - body.entry
                assert registry.lookup_module(pc) is module
                assert (registry.lookup_trap_code(pc) is not None) == is_wasm_trap_pc(pc)
                assert owner_in_memory(pc)
            for pc in (start - 1, end):
                beside = registry.lookup_frame_info(pc)
                if beside is not None:
                    ranges = registry.function_ranges(module, beside.func_index)
                    assert any(begin <= pc < behind for begin, behind in ranges)
            assert (start, end) in registry.function_ranges(module, index)
            self.counts["bytes walked"] += end - start
            if self.stop.is_set():
                return

    @staticmethod
    def _check(frame: FrameInfo, index: int, module: wasmark.Module) -> None:
        assert frame.func_index == index, f"{frame.pc:#x} is in {frame.func_index}, not in {index}"
        assert frame.module is module
        assert frame.module_name == "walked"

    def tier_up(self) -> None:
        instance = self.walked
        for number, name in enumerate(instance.exports):
            function = instance.exports[name]
            for _ in range(3):
                function(number, 3)
            if "div" in name or "rem" in name:
                with pytest.raises(wasmark.Trap) as caught:
                    function(number, 0)
                assert caught.value.code is wasmark.TrapCode.INTEGER_DIVISION_BY_ZERO
                assert caught.value.frames[0].func_name == name
                assert caught.value.frames[0].module is instance.module
                self.counts["traps"] += 1
            if self.stop.is_set():
                return
        tiers = {row.tier for row in instance.store.registry.dump()}
        assert tiers == {"thunk", "first", "optimised"}
        self.walked = self._fresh()
        self.counts["modules tiered up"] += 1

    def unload(self) -> None:
        places = []
        for number in range(8):
            instance = wasmark.Instance(wasmark.Module(text(2, "unloaded"), (_FIRST, _LAZY)[number % 2]))
            assert instance.exports.add0(20, 2) == 22
            places += list(instance.module.finished_functions())
        del instance
        gc.collect()
        for _, start, end in places:
            frame = lookup_frame_info(random.randrange(start, end))
            # Nobody is there, or whoever has the pages by now.
            assert frame is None or frame.module_name in ("walked", "unloaded")
            assert frame is None or frame.func_index <= FUNCTIONS
        self.counts["modules unloaded"] += 8

    # ---

    def run(self, seconds: float) -> None:
        """Have all threads do their work again and again: so long, and until each has done something. Raises what one
        of them raises."""
        threads = [
            threading.Thread(target=self._again_and_again, args=(work,))
            for work in (self.over_every_byte, self.over_every_byte, self.tier_up, self.unload)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        while not self.stop.is_set() and (time.monotonic() < end or len(self.counts) < len(_KINDS)):
            self.stop.wait(0.1)
        self.stop.set()
        for thread in threads:
            thread.join()
        if self.failures:
            raise self.failures[0]

    def _again_and_again(self, work: Callable[[], None]) -> None:
        try:
            while not self.stop.is_set():
                work()
        except BaseException as error:
            self.failures.append(error)
            self.stop.set()


def main() -> None:
    sys.setswitchinterval(1e-4)
    walk = Walk()
    start = time.monotonic()
    walk.run(float(sys.argv[1]))
    figures = ", ".join(f"{count:,} {what}" for what, count in sorted(walk.counts.items()))
    print(f"{time.monotonic() - start:.0f} s: {figures}")
    assert set(walk.counts) == _KINDS


if __name__ == "__main__":
    main()
