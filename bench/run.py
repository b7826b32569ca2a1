"""Measure wasmark beside wasmtime-py and others: `python bench/run.py [--quick] [--json FILE] [--docs] [NAME...]`.

Needs the `bench` extra. All sides get the same bytes and do the same work, in turns. A ratio is wasmark's time (or
memory) over the other side's: below 1 wasmark takes less. pywasm3 takes part where it is installed.
"""

from __future__ import annotations

import argparse
import compileall
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, __file__.rpartition("/")[0] or ".")

from rich.console import Console

import programs  # noqa: F401 - before the next function changes where caches are

if TYPE_CHECKING:
    from measure import Case, Row

_WIDTH = 170
"""Columns that the table has at least, also where nobody says how wide the terminal is."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("names", metavar="NAME", nargs="*", help="only cases whose kind or name contains one of these")
    parser.add_argument("--quick", action="store_true", help="one round of each")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the results to a file, too")
    parser.add_argument(
        "--docs", action="store_true", help="bring docs/benchmarks.md, its chart and the README up to date"
    )
    args = parser.parse_args()
    console = Console()
    # The caches of this run begin empty, and are nobody else's.
    with tempfile.TemporaryDirectory() as caches:
        os.environ["XDG_CACHE_HOME"] = caches
        rows = measured(args.names, 1 if args.quick else 99, console)

    import report

    Console(width=max(console.width, _WIDTH)).print(report.table(rows))
    if args.json is not None:
        report.write_json(rows, args.json)
    if args.docs:
        report.update_documents(rows)


def measured(names: list[str], rounds: int, console: Console) -> list[Row]:
    """The rows of all cases that are asked for. What cannot be had here is said and left out."""
    import peers
    import wasmark
    from cases import CASES, MEANS
    from measure import UnavailableError, mean

    if not peers.HAS_WASM3:
        console.print("pywasm3 is not installed: its column stays empty")
    # pip compiles what it installs, but not what it leaves in place, where developers measure.
    compileall.compile_dir(os.path.dirname(wasmark.__file__), quiet=1)
    rows: list[Row] = []
    for case in filter(lambda case: _wanted(case, names), CASES):
        try:
            with console.status(f"{case.kind}: {case.name}"):
                rows += case.measure(rounds)
        except UnavailableError as error:
            console.print(f"{case.kind}: {case.name} is left out: {error}")
    kinds = list(dict.fromkeys(row.kind for row in rows))
    rows.sort(key=lambda row: kinds.index(row.kind))
    for kind, goals in MEANS.items():
        of_kind = [row for row in rows if row.kind == kind]
        if len(of_kind) > 1:
            rows.insert(rows.index(of_kind[-1]) + 1, mean(of_kind, goals))
    return rows


def _wanted(case: Case, names: list[str]) -> bool:
    return not names or any(name in case.kind or name in case.name for name in names)


if __name__ == "__main__":
    main()
