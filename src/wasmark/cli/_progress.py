"""Modules for the commands, compiled with something to look at: big ones take long, and a silent terminal looks like a
hang."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from wasmark import Config, Engine, Module
from wasmark.cli._input import InputError
from wasmark.jit.artefact import is_artefact

_MODULE_SUFFIXES: Final = (".wasm", ".wat", ".wast")


def compile_module(data: bytes, file: str, engine: Engine | None = None) -> Module:
    """`Module(data)`, with a bar on stderr while it lasts if that is a terminal. Raises what `Module` raises.

    What `wasmark compile` wrote is loaded instead: unless its name says that it is a module. Who runs something named
    like a module, or pipes something in, expects a sandbox, and machine code has none.
    """
    name = None if file == "-" else Path(file).stem
    if is_artefact(data):
        if file == "-" or Path(file).suffix in _MODULE_SUFFIXES:
            raise InputError(f"{file}: this is machine code, and no module; if you trust it, name it .wasmark")
        return Module.deserialize(data, engine, name=name)
    if not sys.stderr.isatty():
        return Module(data, engine, name=name)
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("compiling {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(name or "module", total=None)
        return Module(
            data, engine, name=name, progress=lambda done, total: bar.update(task, completed=done, total=total)
        )


def compile_whole(data: bytes, file: str) -> Module:
    """The same with all of its functions compiled by LLVM."""
    return compile_module(data, file, Engine(Config(strategy="eager")))
