"""Whole processes: how long a program takes until it has done its work, from the start of Python on, and its memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import programs
from measure import OURS, Goal, Row, agree

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from programs import Program

_START: Final = Path(__file__).with_name("start")
_PYTHON: Final = sys.executable
_ENVIRONMENT: Final = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""For what is started: both sides have byte code, as what pip installs has."""

GRAPH: Final = "digraph { rankdir=LR; node [shape=box]; a -> b -> c; b -> d; d -> a [style=dashed]; }"

BLINK: Final = """
main:
    sbi 0x04, 5
again:
    sbi 0x05, 5
    rcall delay
    cbi 0x05, 5
    rjmp again
delay:
    ldi r20, 128
wait:
    dec r20
    brne wait
    ret
"""

PICTURE: Final = """<svg xmlns="http://www.w3.org/2000/svg" width="640" height="400"><defs>
<linearGradient id="g"><stop offset="0" stop-color="#f60"/><stop offset="1" stop-color="#06f"/></linearGradient>
<filter id="f"><feGaussianBlur stdDeviation="9"/></filter></defs><rect width="640" height="400" fill="url(#g)"/>
<circle cx="300" cy="200" r="120" fill="#fff" opacity=".6" filter="url(#f)"/>
<path d="M20 380 C 60 0 140 0 600 380" stroke="#000" stroke-width="6" fill="none" stroke-dasharray="20 8"/></svg>"""


class Usage(NamedTuple):
    """What one process took, and what came out of it: its status and what it wrote, files included."""

    seconds: float
    peak: float
    result: tuple[object, ...]


class Place(NamedTuple):
    """Where one side works: a directory that the program sees, and one for caches."""

    work: Path
    cache: Path


def spawn(command: list[str], place: Place) -> Usage:
    """Run a command to its end."""
    for file in place.work.iterdir():
        file.unlink()
    (place.work / "blink.s").write_text(BLINK)
    (place.work / "picture.svg").write_text(PICTURE)
    reader, writer = os.pipe()
    try:
        done = subprocess.run(
            [_PYTHON, "-I", "-S", str(_START / "spawn.py"), str(writer), *command],
            capture_output=True,
            pass_fds=[writer],
            env={**_ENVIRONMENT, "XDG_CACHE_HOME": str(place.cache)},
        )
        report = os.read(reader, 100) if done.returncode == 0 else b""
    finally:
        os.close(reader)
        os.close(writer)
    assert done.returncode == 0, f"{command} ended with {done.returncode}: {done.stderr.decode('utf-8', 'replace')}"
    seconds, peak = map(float, report.split())
    files = sorted((file.name, file.read_bytes()) for file in place.work.iterdir())
    return Usage(seconds, peak, (done.stdout, files))


@dataclass
class Processes:
    """A case whose sides are commands. Gives a row of times and, with `peak`, one of peak memory.

    Each measured run has an empty place of its own; with `warm` a side keeps its place, and has run there once before.
    """

    kind: str
    name: str
    commands: Mapping[str, Callable[[Place], list[str]]]
    goals: tuple[Goal, ...] = ()
    peak_goals: tuple[Goal, ...] = ()
    rounds: int = 5
    warm: bool = False
    compare: tuple[str, ...] = (OURS, "wasmtime")

    def measure(self, rounds: int) -> list[Row]:
        """Rows of medians."""
        samples: dict[str, list[Usage]] = {side: [] for side in self.commands}
        with tempfile.TemporaryDirectory() as root:
            if self.warm:
                for side, command in self.commands.items():
                    place = self._place(Path(root, side))
                    spawn(command(place), place)
            for number in range(min(rounds, self.rounds)):
                for side, command in self.commands.items():
                    place = self._place(Path(root, side if self.warm else f"{side}{number}"))
                    samples[side].append(spawn(command(place), place))
        agree(self.name, {side: samples[side][0].result for side in self.compare})
        times = {side: statistics.median(usage.seconds for usage in found) for side, found in samples.items()}
        peaks = {side: statistics.median(usage.peak for usage in found) for side, found in samples.items()}
        return [
            Row(self.kind, self.name, "s", times, self.goals),
            Row(f"{self.kind}, memory", self.name, "B", peaks, self.peak_goals),
        ]

    @staticmethod
    def _place(root: Path) -> Place:
        place = Place(root / "work", root / "cache")
        for directory in place:
            directory.mkdir(parents=True, exist_ok=True)
        return place


class Task(NamedTuple):
    """What a program is to do: `how` as in `start/under_wasmark.py`."""

    program: Program
    how: str
    args: tuple[str, ...]
    peak_goals: tuple[Goal, ...]
    rounds: int


_MEMORY_GOALS: Final = (Goal("wasmtime", 1.5),)

TASKS: Final = (
    Task(programs.GRAPHVIZ, "graphviz", (GRAPH, "svg", "dot"), (), 7),
    Task(programs.AVR_AS, "command", ("avr-as", "-aln", "-o", "/build/blink.o", "/build/blink.s"), (), 7),
    Task(programs.CPYTHON, "command", ("python", "-c", "pass"), _MEMORY_GOALS, 5),
    Task(programs.RUBY, "ruby", ("ruby", "--version"), _MEMORY_GOALS, 3),
    Task(programs.YOSYS, "command", ("yosys", "-V"), _MEMORY_GOALS, 3),
    Task(programs.RESVG, "component", ("resvg", "/build/picture.svg", "/build/picture.png"), (), 5),
)


def _ours(task: Task, place: Place) -> list[str]:
    script = str(_START / "under_wasmark.py")
    return [_PYTHON, script, task.how, str(task.program.path()), str(place.work), *task.args]


def _theirs(task: Task, cached: str, place: Place) -> list[str]:
    script = str(_START / "under_wasmtime.py")
    return [_PYTHON, script, task.how, str(task.program.path()), str(place.work), cached, *task.args]


def _bare(_: Place) -> list[str]:
    return [_PYTHON, "-c", "pass"]


def _first(task: Task) -> Processes:
    return Processes(
        "first result",
        task.program.name,
        {OURS: lambda place: _ours(task, place), "wasmtime": lambda place: _theirs(task, "uncached", place)},
        (Goal("wasmtime", 1.0),),
        task.peak_goals,
        task.rounds,
    )


def _second(task: Task) -> Processes:
    goals = (Goal("wasmtime", 1.0), *((Goal("bare Python", 2.0),) if task.program is programs.GRAPHVIZ else ()))
    return Processes(
        "second start",
        task.program.name,
        {
            OURS: lambda place: _ours(task, place),
            "wasmtime": lambda place: _theirs(task, "cached", place),
            "bare Python": _bare,
        },
        goals,
        rounds=7,
        warm=True,
    )


def _validating_yosys() -> Processes:
    def validate(_: Place) -> list[str]:
        return [_PYTHON, "-m", "wasmark", "validate", "-q", str(programs.YOSYS.path())]

    compiling = Task(programs.YOSYS, "compile", (), (), 0)
    return Processes(
        "validate, process",
        "Yosys; wasmtime compiles",
        {OURS: validate, "wasmtime": lambda place: _theirs(compiling, "uncached", place)},
        (Goal("wasmtime", 1.0),),
        (Goal("wasmtime", 1.0),),
        rounds=3,
    )


CASES: Final = (*map(_first, TASKS), *map(_second, TASKS), _validating_yosys())
