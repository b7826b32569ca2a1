"""How fast compiled code runs: the kernels, optimised; and how soon it is optimised where it starts without."""

from __future__ import annotations

import itertools
import statistics
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import wasmark
from measure import OURS, Goal, InProcess, Row, UnavailableError
from native import KERNELS, VECTOR_KERNELS, kernel, native_kernel
from peers import wasm3_runtime, wasmtime_instance

if TYPE_CHECKING:
    from collections.abc import Callable

GOALS = (Goal("wasmtime", 1.05),)
_HOT_LOOP = Path(__file__).with_name("start") / "hot_loop.py"
MEAN_GOALS = (Goal("wasmtime", 0.75), Goal("native", 1.15))
VECTOR_GOALS = (Goal("wasmtime", 1.1),)
VECTOR_MEAN_GOALS = (Goal("wasmtime", 0.85),)
_SIZES = KERNELS | VECTOR_KERNELS


def _our_kernel(name: str) -> Callable[[], object]:
    engine = wasmark.Engine(wasmark.Config(strategy="eager"))
    run = wasmark.Instance(wasmark.Module(kernel(name), engine)).exports["run"]
    return lambda: run(_SIZES[name])


def _their_kernel(name: str) -> Callable[[], object]:
    store, exports = wasmtime_instance(kernel(name))
    return lambda: exports["run"](store, _SIZES[name])


def _wasm3_kernel(name: str) -> Callable[[], object]:
    runtime = wasm3_runtime(kernel(name))
    run = runtime.find_function("run")
    try:
        run(1)  # it compiles a function when that is called
    except RuntimeError as error:
        raise UnavailableError(f"pywasm3: {error}") from None
    return lambda: (run(KERNELS[name]), runtime)[0]


def _kernel(name: str) -> InProcess:
    sides = {
        OURS: partial(_our_kernel, name),
        "wasmtime": partial(_their_kernel, name),
        "pywasm3": partial(_wasm3_kernel, name),
        "native": partial(native_kernel, name),
    }
    return InProcess("run", name, sides, GOALS, compare=True)


def _vector_kernel(name: str) -> InProcess:
    sides = {OURS: partial(_our_kernel, name), "wasmtime": partial(_their_kernel, name)}
    return InProcess("run vectors", name, sides, VECTOR_GOALS, compare=True)


@dataclass
class HotLoop:
    """The pace of a loop that began without optimised code and has not returned since, in windows of its running time,
    beside that of the same loop compiled by LLVM beforehand. Each runs in a process of its own, which has to load LLVM
    if it wants it."""

    kind: str = "hot loop"
    name: str = "200 ms after its start"
    seconds: float = 0.6

    def measure(self, rounds: int) -> list[Row]:
        """One row: seconds for 20,000 iterations, from 200 ms after the call on."""
        samples: dict[str, list[float]] = {OURS: [], "optimised": []}
        early: list[float] = []
        for _ in range(min(rounds, 5)):
            for side, strategy in ((OURS, "lazy"), ("optimised", "eager")):
                ticks = self._ticks(strategy)
                samples[side].append(_pace(ticks, 0.2, self.seconds))
                if side == OURS:
                    early.append(_pace(ticks, 0.0, 0.02))
        values = {side: statistics.median(paces) for side, paces in samples.items()}
        note = f"in its first 20 ms {statistics.median(early) / values['optimised']:.3g} of the optimised time"
        return [Row(self.kind, self.name, "s", values, (Goal("optimised", 1.1),), note)]

    def _ticks(self, strategy: str) -> list[float]:
        """When each 20,000 iterations were through, in seconds from the call on; 0.0 first."""
        command = [sys.executable, str(_HOT_LOOP), strategy, str(self.seconds)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return [0.0, *map(float, done.stdout.split())]


def _pace(ticks: list[float], first: float, last: float) -> float:
    """The median time between two ticks, of those that lie in a window at least in part."""
    return statistics.median(
        after - before for before, after in itertools.pairwise(ticks) if after > first and before < last
    )


CASES = (*map(_kernel, KERNELS), *map(_vector_kernel, VECTOR_KERNELS), HotLoop())
