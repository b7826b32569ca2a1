"""The handles of externrefs, whatever comes between."""

from __future__ import annotations

import itertools

from tests.interruption import interrupt
from wasmark.externs import ExternTable


class Thing:
    """An object with an identity."""


def test_an_interrupted_sweep_leaves_a_table_that_agrees_with_itself() -> None:
    for step in itertools.count(1):
        table = ExternTable()
        things = [Thing() for _ in range(6)]
        handles = [table.handle(thing) for thing in things]
        interrupted = interrupt(lambda t=table: t.sweep(b"\1\1\1\0\0\0"), step, ["externs.py"])  # type: ignore[misc]
        assert [table.value(handle) for handle in handles[:3]] == things[:3]
        for thing in things:
            assert table.value(table.handle(thing)) is thing
        if not interrupted:
            break
    assert step > 5


def test_an_interrupted_handle_is_a_handle_the_next_time() -> None:
    for step in itertools.count(1):
        table = ExternTable()
        things = [Thing() for _ in range(3)]
        interrupted = interrupt(lambda t=table, o=things[1]: t.handle(o), step, ["externs.py"])  # type: ignore[misc]
        handles = [table.handle(thing) for thing in things]
        assert len(set(handles)) == 3
        assert [table.value(handle) for handle in handles] == things
        if not interrupted:
            break
