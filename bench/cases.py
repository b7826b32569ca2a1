"""All that is measured, in the order of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import calls
import compiling
import components
import instances
import leaving
import memories
import objects
import profiling
import registry
import running
import starts
import stopping
import translating

if TYPE_CHECKING:
    from measure import Case, Goal

CASES: Final[tuple[Case, ...]] = (
    *calls.CASES,
    *components.CASES,
    *registry.CASES,
    *memories.CASES,
    *instances.CASES,
    *running.CASES,
    *objects.CASES,
    *leaving.CASES,
    *stopping.CASES,
    *profiling.CASES,
    *starts.CASES,
    *compiling.CASES,
    *translating.CASES,
)

MEANS: Final[dict[str, tuple[Goal, ...]]] = {
    "run": running.MEAN_GOALS,
    "run vectors": running.VECTOR_MEAN_GOALS,
    "objects": objects.MEAN_GOALS,
    "leaving": leaving.MEAN_GOALS,
    "fuel": stopping.MEAN_GOALS,
}
"""Kinds of which there is a row of geometric means, and its goals."""
