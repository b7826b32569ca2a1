"""Measure wasmark beside wasmtime-py in one process: `python bench/run.py [--quick] [NAME...]`.

Needs the `bench` extra. Both sides get the same bytes, and they take turns, so that a change of the machine's pace
meets both. A ratio is wasmark's time over wasmtime's: below 1 wasmark is faster.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console
from rich.table import Table

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

import cases

if TYPE_CHECKING:
    from collections.abc import Callable


class Measurement(NamedTuple):
    """Medians in seconds."""

    case: cases.Case
    ours: float
    theirs: float

    @property
    def ratio(self) -> float:
        return self.ours / self.theirs


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def measure(case: cases.Case, rounds: int) -> Measurement:
    """Prepare both sides, then let them run in turns."""
    ours, theirs = case.ours(), case.theirs()
    if case.compare:
        assert ours() == theirs(), f"{case.name}: the two sides do not agree"
    samples = [(timed(ours), timed(theirs)) for _ in range(min(rounds, case.rounds))]
    return Measurement(
        case,
        statistics.median(sample[0] for sample in samples) / case.repeats,
        statistics.median(sample[1] for sample in samples) / case.repeats,
    )


def show_time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-9:.3g} ns"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="only cases whose name contains one of these")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    args = parser.parse_args()
    chosen = [case for case in cases.CASES if not args.names or any(name in case.name for name in args.names)]

    console = Console()
    table = Table("what", "case", "wasmark", "wasmtime", "ratio", title="wasmark beside wasmtime-py (medians)")
    for column in table.columns[2:]:
        column.justify = "right"
    kinds: dict[str, list[float]] = {}
    for case in chosen:
        with console.status(f"{case.kind}: {case.name}"):
            result = measure(case, 1 if args.quick else 7)
        if case.kind not in kinds and kinds:
            table.add_section()
        kinds.setdefault(case.kind, []).append(result.ratio)
        table.add_row(case.kind, case.name, show_time(result.ours), show_time(result.theirs), f"{result.ratio:.3g}")
    console.print(table)
    for kind, ratios in kinds.items():
        console.print(f"{kind}: geometric mean of the ratios {statistics.geometric_mean(ratios):.3g}")


if __name__ == "__main__":
    main()
