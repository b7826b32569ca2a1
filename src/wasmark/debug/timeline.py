"""From samples of one thread to spans of time, each with a stack."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Frame(NamedTuple):
    """A function as a profile shows it. line: its first one, 0 where that is not known. python: whether it is one of
    Python's."""

    name: str
    file: str
    line: int
    python: bool = False


class Look(NamedTuple):
    """What was seen of a thread outside of wasm code: the stack, outermost first, at a time in nanoseconds."""

    time: int
    stack: tuple[Frame, ...]


class Sample(NamedTuple):
    """The same of a thread in wasm code. first, tick: the rounds of the sampler that it stands for, mostly one. The
    time is that of the last one."""

    time: int
    first: int
    tick: int
    stack: tuple[Frame, ...]


class Span(NamedTuple):
    """The thread had this stack from `start` to `end`, in nanoseconds. Spans follow each other without a gap."""

    start: int
    end: int
    stack: tuple[Frame, ...]


class Timeline(NamedTuple):
    """One thread."""

    thread: int
    name: str
    spans: list[Span]


def timeline(thread: int, name: str, samples: Sequence[Sample], looks: Sequence[Look], period: int) -> Timeline:
    """period: nanoseconds between two ticks, at least.

    A sample stands for its ticks, each up to the next one. What is left between two samples is not wasm: it is given to
    the next look, or behind the last one to that. So the looks have all the time that the samples leave, however seldom
    there is one. Where there is none at all it was in Python code that was there before and behind.
    """
    spans: list[Span] = []
    looks = sorted(looks)
    at_look = 0
    now = min([seen[0].time for seen in (samples, looks) if seen], default=0)

    def fill(until: int, otherwise: tuple[Frame, ...]) -> None:
        nonlocal now, at_look
        while now < until:
            while at_look < len(looks) - 1 and looks[at_look].time <= now:
                at_look += 1
            look = looks[at_look] if looks else None
            end = min(until, look.time) if look is not None and look.time > now else until
            spans.append(Span(now, end, look.stack if look is not None else otherwise))
            now = end

    for number, sample in enumerate(samples):
        if not number or sample.first > samples[number - 1].tick + 1:
            before = samples[number - 1].stack if number else ()
            fill(sample.time - (sample.tick - sample.first) * period, _python_around(before, sample.stack))
        following = samples[number + 1] if number + 1 < len(samples) else None
        end = sample.time + period
        if following is not None and following.first <= sample.tick + 1:
            # Ticks may come late; those that the next sample stands for besides its last one did not.
            end = following.time if following.first == following.tick else min(end, following.time)
        end = max(end, sample.time)
        if end > now:
            spans.append(Span(now, end, sample.stack))
            now = end
    if looks:
        fill(looks[-1].time, ())
    return Timeline(thread, name, spans)


def _python_around(before: tuple[Frame, ...], behind: tuple[Frame, ...]) -> tuple[Frame, ...]:
    """What two stacks have in common, up to the last function of Python."""
    last = 0
    for count, (one, other) in enumerate(zip(before, behind, strict=False), 1):
        if one != other:
            break
        if one.python:
            last = count
    return before[:last]
