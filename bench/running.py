"""How fast compiled code runs: the kernels, optimised; and how soon it is optimised where it starts without."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import wasmtime

import wasmark
from measure import OURS, Goal, InProcess, Row
from native import KERNELS, kernel, native_kernel
from peers import wasm3_runtime, wasmtime_instance

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS = (Goal("wasmtime", 1.05),)
MEAN_GOALS = (Goal("wasmtime", 0.75), Goal("native", 1.15))


def _our_kernel(name: str) -> Callable[[], object]:
    engine = wasmark.Engine(wasmark.Config(strategy="eager"))
    run = wasmark.Instance(wasmark.Module(kernel(name), engine)).exports["run"]
    return lambda: run(KERNELS[name])


def _their_kernel(name: str) -> Callable[[], object]:
    store, exports = wasmtime_instance(kernel(name))
    return lambda: exports["run"](store, KERNELS[name])


def _wasm3_kernel(name: str) -> Callable[[], object]:
    runtime = wasm3_runtime(kernel(name))
    run = runtime.find_function("run")
    return lambda: (run(KERNELS[name]), runtime)[0]


def _kernel(name: str) -> InProcess:
    sides = {
        OURS: partial(_our_kernel, name),
        "wasmtime": partial(_their_kernel, name),
        "pywasm3": partial(_wasm3_kernel, name),
        "native": partial(native_kernel, name),
    }
    return InProcess("run", name, sides, GOALS, compare=True)


HOT = """
(module
  (import "host" "tick" (func $tick (param i32) (result i32)))
  (func (export "run") (result i32) (local $x i32) (local $n i32)
    (loop $forever
      (local.set $n (i32.const 20000))
      (loop $again
        (local.set $x (i32.xor (i32.mul (local.get $x) (i32.const 0x01000193)) (local.get $n)))
        (local.set $x (i32.add (i32.rotl (local.get $x) (i32.const 13)) (i32.const 0x6b43a9b5)))
        (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
      (br_if $forever (call $tick (local.get $x))))
    (local.get $x)))
"""
"""A loop that returns when the host says so, after 20,000 iterations of an inner one."""


@dataclass
class HotLoop:
    """The pace of a loop that began without optimised code and has not returned since, in windows of its running time,
    as a multiple of the pace of the same loop compiled by LLVM beforehand."""

    kind: str = "hot loop"
    name: str = "200 ms after its start"
    length: float = 0.6

    def measure(self, rounds: int) -> list[Row]:
        """One row: seconds for 20,000 iterations, from 200 ms after the call on."""
        binary = bytes(wasmtime.wat2wasm(HOT))
        samples: dict[str, list[float]] = {OURS: [], "optimised": []}
        early: list[float] = []
        for _ in range(min(rounds, 5)):
            for side, strategy in ((OURS, "lazy"), ("optimised", "eager")):
                ticks = self._ticks(binary, strategy)
                samples[side].append(_pace(ticks, 0.2, self.length))
                if side == OURS:
                    early.append(_pace(ticks, 0.0, 0.02))
        values = {side: statistics.median(paces) for side, paces in samples.items()}
        note = (
            f"in the first 20 ms {statistics.median(early) / values['optimised']:.3g} times the optimised loop's time"
        )
        return [Row(self.kind, self.name, "s", values, (Goal("optimised", 1.1),), note)]

    def _ticks(self, binary: bytes, strategy: str) -> list[float]:
        """When each 20,000 iterations were through, in seconds from the call on; 0.0 first."""
        ticks: list[float] = []
        end = 0.0

        def tick(_: int) -> int:
            ticks.append(time.perf_counter())
            return int(ticks[-1] < end)

        engine = wasmark.Engine(wasmark.Config(strategy=strategy, cache=False))
        run = wasmark.Instance(wasmark.Module(binary, engine), {"host": {"tick": tick}}).exports["run"]
        start = time.perf_counter()
        end = start + self.length
        run()
        return [0.0, *(tick - start for tick in ticks)]


def _pace(ticks: list[float], first: float, last: float) -> float:
    """The median time between ticks in a window."""
    return statistics.median(
        after - before for before, after in itertools.pairwise(ticks) if first <= before and after <= last
    )


CASES = (*map(_kernel, KERNELS), HotLoop())
