"""How samples become time."""

from __future__ import annotations

from itertools import pairwise

from wasmark.debug.timeline import Frame, Look, Sample, Timeline, timeline

W = (Frame("wasm", "", 0),)
V = (Frame("other wasm", "", 0),)
P = (Frame("python", "", 0),)
Q = (Frame("other python", "", 0),)


def spans(samples: list[Sample], looks: list[Look]) -> list[tuple[int, int, str]]:
    line: Timeline = timeline(1, "t", samples, looks, 10)
    found = [(span.start, span.end, span.stack[0].name if span.stack else "") for span in line.spans]
    assert all(a[1] == b[0] and a[0] < a[1] for a, b in pairwise(found))
    return found


def test_a_sample_holds_for_a_tick() -> None:
    assert spans([Sample(100, 1, 1, W)], []) == [(100, 110, "wasm")]


def test_samples_of_successive_ticks_follow_each_other_however_late_they_are() -> None:
    assert spans([Sample(100, 1, 1, W), Sample(150, 2, 2, V)], []) == [(100, 150, "wasm"), (150, 160, "other wasm")]


def test_a_thread_that_stood_still_did_so_where_it_was_found() -> None:
    assert spans([Sample(100, 1, 1, W), Sample(150, 2, 5, V)], []) == [(100, 110, "wasm"), (110, 160, "other wasm")]


def test_a_thread_that_was_found_late_stood_there_since() -> None:
    samples = [Sample(100, 1, 1, W), Sample(200, 8, 10, V)]
    assert spans(samples, [Look(150, P)]) == [
        (100, 110, "wasm"),
        (110, 150, "python"),
        (150, 180, "python"),
        (180, 210, "other wasm"),
    ]


def test_what_is_between_stays_belongs_to_the_next_look() -> None:
    samples = [Sample(100, 1, 1, W), Sample(150, 6, 6, W)]
    assert spans(samples, [Look(130, P)]) == [
        (100, 110, "wasm"),
        (110, 130, "python"),
        (130, 150, "python"),
        (150, 160, "wasm"),
    ]


def test_looks_share_what_the_samples_leave() -> None:
    samples = [Sample(100, 1, 1, W), Sample(150, 6, 6, W), Sample(200, 11, 11, W)]
    assert spans(samples, [Look(120, P), Look(220, Q)]) == [
        (100, 110, "wasm"),
        (110, 120, "python"),
        (120, 150, "other python"),
        (150, 160, "wasm"),
        (160, 200, "other python"),
        (200, 210, "wasm"),
        (210, 220, "other python"),
    ]


def test_without_looks_it_is_the_python_code_around() -> None:
    main, loop = Frame("main", "m.py", 1, python=True), Frame("loop", "m.py", 5, python=True)
    samples = [Sample(100, 1, 1, (main, loop, *W)), Sample(150, 6, 6, (main, loop, *W, *P))]
    line = timeline(1, "t", samples, [], 10)
    assert [span.stack for span in line.spans] == [(main, loop, *W), (main, loop), (main, loop, *W, *P)]


def test_without_looks_or_python_code_it_is_not_known() -> None:
    assert spans([Sample(100, 1, 1, W), Sample(150, 6, 6, W)], []) == [
        (100, 110, "wasm"),
        (110, 150, ""),
        (150, 160, "wasm"),
    ]


def test_without_samples_a_look_holds_until_it_was_made() -> None:
    assert spans([], [Look(100, P), Look(130, Q), Look(140, P)]) == [(100, 130, "other python"), (130, 140, "python")]


def test_nothing_is_nothing() -> None:
    assert spans([], []) == []
