"""Tables for people: with `rich`, as wide as the terminal; in a pipe or a file as wide as their contents, so nothing is
cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def print_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a title. A column whose name starts with `>` is set to the right. No cell is markup."""
    table = Table(box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(Text(column.removeprefix(">")), justify="right" if column.startswith(">") else "left")
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console = Console()
    if not console.is_terminal:
        options = console.options.update(width=1 << 16)
        console = Console(width=max(80, Measurement.get(console, options, table).maximum))
    console.print(Text(title, "italic"))  # as a title of the table it would be broken where the table is narrow
    console.print(table)
