"""Lines of code that was put together from stencils: rows share their marks, and a mark counts from the row's start."""

from __future__ import annotations

from array import array

import pytest

from wasmark.registry.stencil_lines import StencilLines

BASE = 0x1000
COLUMNS = [(), ((3, 64), (7, 0), (9, 2))]


@pytest.fixture
def table() -> StencilLines:
    return StencilLines(
        BASE, array("I", [4, 20, 20, 40]), array("I", [100, 101, 102, 0]), array("H", [0, 0, 1, 1]), COLUMNS
    )


def test_an_address_before_the_first_row_is_nothing(table: StencilLines) -> None:
    assert [table.find(BASE + at) for at in (-1, 0, 3)] == [(0, 0)] * 3


def test_a_row_holds_until_the_next_one_starts(table: StencilLines) -> None:
    assert table.find(BASE + 4) == table.find(BASE + 19) == (100, 0)


def test_of_several_rows_at_one_address_the_last_counts(table: StencilLines) -> None:
    assert table.find(BASE + 20)[0] == 102


def test_columns_change_at_the_marks(table: StencilLines) -> None:
    columns = [table.find(BASE + 20 + at)[1] for at in range(11)]
    assert columns == [0, 0, 0, 64, 64, 64, 64, 0, 0, 2, 2]


def test_a_row_without_a_line_has_no_columns(table: StencilLines) -> None:
    assert {table.find(BASE + 40 + at) for at in range(12)} == {(0, 0)}


def test_all_rows_say_the_same_as_looking_up(table: StencilLines) -> None:
    rows = {address: (line, column) for address, line, column in table.rows()}
    assert sorted(rows) == [row[0] for row in table.rows() if row[1] != 101]
    now = (0, 0)
    for address in range(BASE, BASE + 60):
        now = rows.get(address, now)
        assert table.find(address) == now
