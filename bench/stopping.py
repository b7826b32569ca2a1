"""What it costs that code can be stopped: fuel, beside the same code without it and wasmtime's fuel; and how soon a
deadline ends a loop that looks at nothing."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

import wasmark
from measure import OURS, Goal, InProcess, Row
from native import KERNELS, kernel
from peers import wasmtime_instance

if TYPE_CHECKING:
    from collections.abc import Callable

MEAN_GOALS: Final = (Goal("wasmtime", 1.0), Goal("without", 1.5))
_PLENTY: Final = 1 << 60


def _ours(name: str, *, fuel: bool) -> Callable[[], object]:
    engine = wasmark.Engine(wasmark.Config(strategy="eager", fuel=fuel))
    store = wasmark.Store(engine)
    if fuel:
        store.fuel = _PLENTY
    run = wasmark.Instance(wasmark.Module(kernel(name), engine), None, store).exports["run"]
    return lambda: run(KERNELS[name])


def _theirs(name: str) -> Callable[[], object]:
    store, exports = wasmtime_instance(kernel(name), fuel=_PLENTY)
    return lambda: exports["run"](store, KERNELS[name])


def _fuel(name: str) -> InProcess:
    sides = {
        OURS: partial(_ours, name, fuel=True),
        "wasmtime": partial(_theirs, name),
        "without": partial(_ours, name, fuel=False),
    }
    return InProcess("fuel", name, sides, compare=True)


@dataclass
class Late:
    """How long after a deadline has passed the caller has its `Timeout`."""

    kind: str = "deadline"
    name: str = "a loop that does nothing ends, after its time"

    def measure(self, rounds: int) -> list[Row]:
        run = wasmark.Instance(wasmark.Module('(module (func (export "run") (loop br 0)))')).exports["run"]
        late = []
        for _ in range(5 * min(rounds, 20)):
            end = time.monotonic() + 0.01
            try:
                with wasmark.deadline(0.01):
                    run()
            except wasmark.Timeout:
                late.append(time.monotonic() - end)
        return [Row(self.kind, self.name, "s", {OURS: statistics.median(late)}, (Goal(None, 0.005),))]


CASES: Final = (*map(_fuel, KERNELS), Late())
"""All that is measured, in the order of the table."""
