"""The lines of code that was put together from stencils: known while it is made, so there is nothing to decode.

A row is a stencil: where it starts, which instruction of the wasm binary it belongs to, and its marks, which say where
in it the column changes. All copies of a stencil share their marks.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NOTHING = (0, 0)


class StencilLines:
    """Lines and columns as `line_table` explains them.

    starts: the distance of each row's first byte from `base`, ascending. lines: its instruction's offset in the module
    (0: it belongs to none). marks: an index into `columns`, whose items are (offset in the stencil, column from there
    on); up to the first one the column is 0.
    """

    __slots__ = ("_columns", "_lines", "_marks", "_starts", "base")

    def __init__(
        self,
        base: int,
        starts: array[int],
        lines: array[int],
        marks: array[int],
        columns: Sequence[tuple[tuple[int, int], ...]],
    ) -> None:
        self.base = base
        self._starts = starts
        self._lines = lines
        self._marks = marks
        self._columns = columns

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> tuple[int, int]:
        """(line, column) of an address; (0, 0) where the table says nothing."""
        distance = address - self.base
        position = bisect_right(self._starts, distance) - 1
        if position < 0:
            return _NOTHING
        line = self._lines[position]
        column = 0
        if line:
            inside = distance - self._starts[position]
            for offset, at in self._columns[self._marks[position]]:
                if offset > inside:
                    break
                column = at
        return line, column

    def rows(self, start: int = 0, end: int = 1 << 64) -> list[tuple[int, int, int]]:
        """The rows as (start address, line, column) that hold somewhere in [start, end); some may start before."""
        base = self.base
        first = max(0, bisect_right(self._starts, start - base) - 1)
        chosen = slice(first, bisect_left(self._starts, end - base))
        found: list[tuple[int, int, int]] = []
        for at, line, mark in zip(self._starts[chosen], self._lines[chosen], self._marks[chosen], strict=True):
            address = base + at
            marks = self._columns[mark] if line else ()
            if not marks or marks[0][0]:
                found.append((address, line, 0))
            found.extend((address + offset, line, column) for offset, column in marks)
        return found
