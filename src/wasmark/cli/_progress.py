"""Modules for the commands, compiled with something to look at: big ones take long, and a silent terminal looks like a
hang."""

from __future__ import annotations

import os
import sys

from wasmark import Config, Engine, Module
from wasmark.cli._input import InputError, stem
from wasmark.jit.artefact import is_artefact

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_MODULE_SUFFIXES: Final = (".wasm", ".wat", ".wast")


def compile_module(data: bytes, file: str, engine: Engine | None = None) -> Module:
    """`Module(data)`, with a bar on stderr while it compiles if that is a terminal. Raises what `Module` raises.

    What `wasmark compile` wrote is loaded instead: unless its name says that it is a module. Who runs something named
    like a module, or pipes something in, expects a sandbox, and machine code has none.
    """
    name = stem(file)
    if is_artefact(data):
        if file == "-" or os.path.splitext(file)[1] in _MODULE_SUFFIXES:
            raise InputError(f"{file}: this is machine code, and no module; if you trust it, name it .wasmark")
        return Module.deserialize(data, engine, name=name)
    if not sys.stderr.isatty():
        return Module(data, engine, name=name)
    bar = _Bar(name or "module")
    try:
        return Module(data, engine, name=name, progress=bar.update)
    finally:
        bar.stop()


class _Bar:
    """There from the first `update` to `stop`. What is in the cache makes none, and `rich` takes long to load."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._bar: Any = None

    def update(self, done: int, total: int) -> None:
        """Show so many bytes."""
        if self._bar is None:
            from rich.console import Console
            from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeElapsedColumn

            columns = (TextColumn("compiling {task.description}"), BarColumn(), DownloadColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=Console(stderr=True), transient=True)
            self._task = self._bar.add_task(self._name, total=None)
            self._bar.start()
        self._bar.update(self._task, completed=done, total=total)

    def stop(self) -> None:
        """Take it away."""
        if self._bar is not None:
            self._bar.stop()


def compile_whole(data: bytes, file: str) -> Module:
    """The same with all of its functions compiled by LLVM."""
    return compile_module(data, file, Engine(Config(strategy="eager")))
