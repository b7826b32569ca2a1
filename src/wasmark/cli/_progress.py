"""Compiling with something to look at: big modules take long, and a silent terminal looks like a hang."""

from __future__ import annotations

import sys
from pathlib import Path

from wasmark import Module


def compile_module(data: bytes, file: str) -> Module:
    """`Module(data)`, with a bar on stderr while it lasts if that is a terminal. Raises what `Module` raises."""
    name = None if file == "-" else Path(file).stem
    if not sys.stderr.isatty():
        return Module(data, name=name)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("compiling {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name or "module", total=None)
        return Module(data, name=name, progress=lambda done, total: bar.update(task, completed=done, total=total))
