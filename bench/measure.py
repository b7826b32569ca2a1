"""How things are measured: sides take turns, medians count, and a goal is a bound on a ratio.

A side is one way to do the same work: "wasmark" always, mostly "wasmtime", and others where they can. Taking turns, a
change of the machine's pace meets all of them.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

OURS = "wasmark"
PEER = "wasmtime"


class Goal(NamedTuple):
    """What wasmark takes is at most `most` times what the side `against` takes; where that is None, `most` itself."""

    against: str | None
    most: float


@dataclass
class Row:
    """A line of the table. `values` are by side, in `unit`: seconds ("s") or bytes ("B"). `note` is what else
    there is to say."""

    kind: str
    name: str
    unit: str
    values: dict[str, float]
    goals: tuple[Goal, ...] = ()
    note: str = ""

    def ratio(self, against: str) -> float | None:
        """Ours over theirs: below 1 wasmark takes less. None where they did not take part."""
        return self.values[OURS] / self.values[against] if against in self.values else None

    def reached(self, goal: Goal) -> float | None:
        """What is to be at most `goal.most`; None where the other side is missing."""
        return self.values[OURS] if goal.against is None else self.ratio(goal.against)


class Case(Protocol):
    """Something to measure."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    def measure(self, rounds: int) -> list[Row]:
        """The rows, from at most `rounds` rounds. Raises UnavailableError where the case cannot be had here."""


class UnavailableError(Exception):
    """What a case needs is not installed; the message says what."""


def timed(action: Callable[[], object]) -> float:
    """Seconds that it takes."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@dataclass
class InProcess:
    """Work that is timed in this process.

    A side is called to prepare, which is not measured, and returns what is measured; that does `repeats` units of
    work. A side that raises UnavailableError is left out. With `compare`, all sides must return the same.
    """

    kind: str
    name: str
    sides: Mapping[str, Callable[[], Callable[[], object]]]
    goals: tuple[Goal, ...] = ()
    repeats: int = 1
    rounds: int = 7
    compare: bool = False
    note: Callable[[Row], str] = field(default=lambda _: "")

    def measure(self, rounds: int) -> list[Row]:
        """One row."""
        actions = {}
        for side, prepare in self.sides.items():
            try:
                actions[side] = prepare()
            except UnavailableError:
                if side == OURS:
                    raise
        if self.compare:
            agree(self.name, {side: action() for side, action in actions.items()})
        samples: dict[str, list[float]] = {side: [] for side in actions}
        for _ in range(min(rounds, self.rounds)):
            for side, action in actions.items():
                samples[side].append(timed(action))
        values = {side: statistics.median(times) / self.repeats for side, times in samples.items()}
        row = Row(self.kind, self.name, "s", values, self.goals)
        row.note = self.note(row)
        return [row]


def agree(name: str, results: Mapping[str, object]) -> None:
    """AssertionError unless all results are equal."""
    expected = results[OURS]
    for side, result in results.items():
        assert result == expected, f"{name}: {side} gives {result!r}, wasmark {expected!r}"


def mean(rows: Sequence[Row], goals: tuple[Goal, ...]) -> Row:
    """Geometric means over rows of one kind, of the sides that took part in all of them."""
    sides = set.intersection(*(set(row.values) for row in rows))
    values = {
        side: statistics.geometric_mean(row.values[side] for row in rows) for side in rows[0].values if side in sides
    }
    return Row(rows[0].kind, f"geometric mean of {len(rows)}", rows[0].unit, values, goals)
