"""The chart of the documents: `python bench/chart.py [RESULTS.json [CHART.svg]]`, from what `run.py --json` wrote.

One dot for each row that has wasmtime beside it: wasmark's time or memory over wasmtime's, on a logarithmic scale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

_DOCS = Path(__file__).parents[1] / "docs"
_LESS, _MORE = "#1b7f4b", "#b3452c"


def draw(results: Path, chart: Path) -> None:
    """Draw the chart of a file of results."""
    rows = [row for row in json.loads(results.read_text())["rows"] if "wasmtime" in row["values"]]
    labels = [f"{row['kind']}: {row['name']}" for row in rows]
    ratios = [row["values"]["wasmark"] / row["values"]["wasmtime"] for row in rows]
    # Text stays text, and the same results give the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "wasmark", "font.size": 8}):
        figure = Figure(figsize=(8, 0.8 + 0.19 * len(rows)), layout="constrained")
        axes: Any = figure.add_subplot()
        places = range(len(rows))
        colours = [_LESS if ratio <= 1 else _MORE for ratio in ratios]
        axes.hlines(places, 1, ratios, color=colours, linewidth=1)
        axes.scatter(ratios, places, color=colours, s=14, zorder=2)
        for place, row in zip(places, rows, strict=True):
            for goal in row["goals"]:
                if goal["against"] == "wasmtime":
                    axes.plot(goal["most"], place, "|", color="black", markersize=8, zorder=3)
        axes.axvline(1, color="grey", linewidth=0.8)
        axes.set_xscale("log")
        axes.set_yticks(places, labels)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(axis="x", color="#dddddd", linewidth=0.5)
        axes.set_xlabel("wasmark / wasmtime: left of 1 wasmark takes less; a bar is the goal")
        for side in ("top", "right", "left"):
            axes.spines[side].set_visible(False)
        figure.savefig(chart, metadata={"Date": None})


if __name__ == "__main__":
    draw(
        Path(sys.argv[1]) if len(sys.argv) > 1 else _DOCS / "benchmarks.json",
        Path(sys.argv[2]) if len(sys.argv) > 2 else _DOCS / "benchmarks.svg",
    )
