"""Compiling with something to look at: big modules take long, and a silent terminal looks like a hang."""

from __future__ import annotations

import sys

from wasmark import Module


def compile_module(data: bytes, name: str) -> Module:
    """`Module(data)`, with a spinner on stderr while it lasts if that is a terminal. Raises what `Module` raises."""
    if not sys.stderr.isatty():
        return Module(data)
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        progress.add_task(f"compiling {name} ({len(data) / 1024:,.0f} KiB)", total=None)
        return Module(data)
