"""The results: a table on the terminal, JSON, `docs/benchmarks.md` with its chart, and figures in the README."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table

from measure import OURS, PEER

if TYPE_CHECKING:
    from measure import Goal, Row

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
_HEADLINES: Final = (
    ("call", "add(", "a call from Python into wasm"),
    ("call", "back", "a call from wasm back into Python"),
    ("instantiate", "three", "a new store and instance"),
    ("run", "geometric mean", "C kernels in optimised code (mean)"),
    ("first result", "CPython", "CPython: the first run, nothing cached"),
    ("second start", "CPython", "CPython: the second run"),
    ("compile", "graphviz", "Graphviz: all of it compiled by LLVM"),
)
"""What the README shows: kind, how the name begins, and what it is called there."""
_COLUMNS: Final = ("what", "case", "wasmark", "wasmtime", "ratio", "beside (ratio)", "goal", "met", "note")
_UNITS: Final = {
    "s": (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9)),
    "B": (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)),
}


def show(value: float, unit: str) -> str:
    """A value with three digits: `show(0.00123, "s")` is "1.23 ms"."""
    suffix, size = next((pair for pair in _UNITS[unit] if value >= pair[1]), _UNITS[unit][-1])
    return f"{value / size:.3g} {suffix}"


def _goal(goal: Goal, unit: str) -> str:
    if goal.against is None:
        return f"≤ {show(goal.most, unit)}"
    if goal.most < 0.5:
        return f"≤ 1/{1 / goal.most:g} of {goal.against}"
    return f"≤ {goal.most:g} of {goal.against}"


def _met(goal: Goal, row: Row) -> str:
    reached = row.reached(goal)
    if reached is None:
        return "not measured"
    if reached <= goal.most:
        return "met"
    return f"missed: {show(reached, row.unit) if goal.against is None else f'{reached:.3g}'}"


def _cells(row: Row) -> tuple[str, ...]:
    ratio = row.ratio(PEER)
    others = [side for side in row.values if side not in (OURS, PEER)]
    return (
        row.kind,
        row.name,
        show(row.values[OURS], row.unit),
        show(row.values[PEER], row.unit) if PEER in row.values else "",
        f"{ratio:.3g}" if ratio is not None else "",
        ", ".join(f"{side} {row.ratio(side):.3g}" for side in others),
        "; ".join(_goal(goal, row.unit) for goal in row.goals),
        "; ".join(_met(goal, row) for goal in row.goals),
        row.note,
    )


def table(rows: list[Row]) -> Table:
    """For the terminal."""
    made = Table(*_COLUMNS, title="wasmark beside others (medians)")
    for column in made.columns[2:5]:
        column.justify = "right"
    for row, following in zip(rows, [*rows[1:], None], strict=True):
        made.add_row(*_cells(row), end_section=following is None or following.kind != row.kind)
    return made


def _machine() -> dict[str, Any]:
    processor = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    versions = {}
    for package in ("llvmlite", "wasmtime", "pywasm3", "ziglang"):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor[1] if processor else platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "Python": platform.python_version(),
        **versions,
    }


def as_json(rows: list[Row]) -> dict[str, Any]:
    """The rows as they are, with what became of their goals, and the machine."""
    return {
        "machine": _machine(),
        "rows": [
            {
                **asdict(row),
                "goals": [
                    {**goal._asdict(), "reached": row.reached(goal), "met": _met(goal, row) == "met"}
                    for goal in row.goals
                ],
            }
            for row in rows
        ],
    }


def write_json(rows: list[Row], file: Path) -> None:
    """Write `as_json` to a file."""
    file.write_text(json.dumps(as_json(rows), indent=1, ensure_ascii=False) + "\n")


def _markdown(rows: list[Row]) -> str:
    machine = _machine()
    versions = ", ".join(f"{name} {machine[name]}" for name in machine if name not in ("processor", "processors"))
    lines = [
        f"One run, on {machine['processors']} processors of an {machine['processor']} (x86-64) with {versions}.",
        "",
        f"| {' | '.join(_COLUMNS)} |",
        "|---|---|---:|---:|---:|---|---|---|---|",
        *(f"| {' | '.join(_cells(row))} |" for row in rows),
    ]
    return "\n".join(lines)


def _headlines(rows: list[Row]) -> str:
    lines = ["| | wasmark | wasmtime-py | ratio |", "|---|---:|---:|---:|"]
    for kind, start, what in _HEADLINES:
        row = next(row for row in rows if row.kind == kind and row.name.startswith(start))
        lines.append(f"| {' | '.join((what, *_cells(row)[2:5]))} |")
    return "\n".join(lines)


def _replace(document: Path, name: str, text: str) -> None:
    """Put text between the two marks of a name: `<!-- name -->` and `<!-- end of name -->`."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = document.read_text().split(begin)
    _, after = rest.split(end)
    document.write_text(f"{before}{begin}\n{text}\n{end}{after}")


def update_documents(rows: list[Row]) -> None:
    """Write docs/benchmarks.json, the results in docs/benchmarks.md, docs/benchmarks.svg, and the README's figures."""
    import chart

    results = DOCS / "benchmarks.json"
    write_json(rows, results)
    _replace(DOCS / "benchmarks.md", "results", _markdown(rows))
    _replace(ROOT / "README.md", "figures", _headlines(rows))
    chart.draw(results, DOCS / "benchmarks.svg")
