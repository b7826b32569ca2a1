"""Profiles as a file: a list of events of the Trace Event Format, with a `Profile` and a `ProfileChunk` for each thread
as V8 writes them. speedscope, the Firefox profiler and Chrome's own tools read it, and keep threads apart.

A chunk has a tree of nodes, each a frame with the number of its parent, and samples: the node, and how many
microseconds after the sample before. A sample holds until the next one, as speedscope sees it; the Firefox profiler
counts them. So there is one a period, also where nothing changes.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.debug.timeline import Frame, Span, Timeline

_CATEGORY: Final = "disabled-by-default-v8.cpu_profiler"
_ROOT: Final = 1
_IDLE: Final = 2


def write(path: str | os.PathLike[str], timelines: Sequence[Timeline], began: int, period: int) -> None:
    """Write them to a file. `began` is when the profile did, `period` what is between two samples, in nanoseconds.
    Raises OSError."""
    events = [event for number, line in enumerate(timelines, 1) for event in _events(line, number, began, period)]
    with open(path, "w", encoding="utf-8") as file:
        json.dump(events, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


def _events(line: Timeline, number: int, began: int, period: int) -> list[dict[str, Any]]:
    head = {"pid": os.getpid(), "tid": line.thread, "cat": _CATEGORY, "id": f"0x{number:x}"}
    nodes, samples, times = _chunk(line.spans, period)
    start = began // 1000
    deltas = [time - before for before, time in zip([start, *times], times, strict=False)]
    end = times[-1] if times else start
    data = {"cpuProfile": {"nodes": nodes, "samples": samples}, "timeDeltas": deltas, "endTime": end}
    name = {**head, "ph": "M", "cat": "__metadata", "ts": 0, "name": "thread_name", "args": {"name": line.name}}
    return [
        name,
        {**head, "ph": "P", "ts": start, "name": "Profile", "args": {"data": {"startTime": start}}},
        {**head, "ph": "P", "ts": end, "name": "ProfileChunk", "args": {"data": data}},
    ]


def _chunk(spans: Sequence[Span], period: int) -> tuple[list[dict[str, Any]], list[int], list[int]]:
    """(nodes, samples, the time of each in microseconds)."""
    nodes = [_node(_ROOT, None, "(root)", "", 0), _node(_IDLE, _ROOT, "(idle)", "", 0)]
    numbers: dict[tuple[int, Frame], int] = {}
    samples: list[int] = []
    times: list[int] = []
    for span in spans:
        node = _ROOT
        for frame in span.stack:
            key = node, frame
            child = numbers.get(key)
            if child is None:
                child = numbers[key] = len(nodes) + 1
                nodes.append(_node(child, node, frame.name, frame.file, frame.line))
            node = child
        if node == _ROOT:
            node = _IDLE
        for start in range(span.start, span.end, period):
            samples.append(node)
            times.append(start // 1000)
    if spans:  # where the last one ends
        samples.append(_IDLE)
        times.append(spans[-1].end // 1000)
    return nodes, samples, times


def _node(number: int, parent: int | None, name: str, file: str, line: int) -> dict[str, Any]:
    frame: dict[str, Any] = {"functionName": name, "scriptId": 0, "url": file}
    if file:
        frame["lineNumber"] = max(0, line - 1)  # counted from 0
        frame["columnNumber"] = 0
    node: dict[str, Any] = {"id": number, "callFrame": frame}
    if parent is not None:
        node["parent"] = parent
    return node
