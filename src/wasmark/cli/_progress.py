"""Modules and components for the commands, compiled with something to look at: big ones take long, and a silent
terminal looks like a hang."""

from __future__ import annotations

import os
import sys

from wasmark import Config, Engine, Module
from wasmark.binary.decoder import is_component
from wasmark.cli._input import InputError, stem
from wasmark.jit.artefact import is_artefact
from wasmark.jit.modules import binary_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    from wasmark import Component

    _T = TypeVar("_T")

_SUFFIXES: Final = (".wasm", ".wat", ".wast")


def load_program(data: bytes, file: str, engine: Engine) -> Module | Component:
    """`Module(data)` or `Component(data)`, with a bar on stderr while it compiles if that is a terminal. Raises what
    these raise.

    What `wasmark compile` wrote is loaded instead: unless its name says that it is a module. Who runs something named
    like a module, or pipes something in, expects a sandbox, and machine code has none.
    """
    artefact = is_artefact(data)
    if not is_component(bytes(binary_in(data)[:8]) if artefact else data):
        return compile_module(data, file, engine)
    from wasmark import Component

    if artefact:
        _check_trusted(file)
        return Component.deserialize(data, engine, name=stem(file))
    return _watched(lambda progress: Component(data, engine, name=stem(file), progress=progress), file)


def compile_module(data: bytes, file: str, engine: Engine) -> Module:
    """The same for what has to be a module."""
    if is_artefact(data):
        _check_trusted(file)
        return Module.deserialize(data, engine, name=stem(file))
    return _watched(lambda progress: Module(data, engine, name=stem(file), progress=progress), file)


def _check_trusted(file: str) -> None:
    if file == "-" or os.path.splitext(file)[1] in _SUFFIXES:
        raise InputError(f"{file}: this is machine code, and no module; if you trust it, name it .wasmark")


def eager_engine() -> Engine:
    """An engine that has LLVM compile all functions."""
    return Engine(Config(strategy="eager"))


def _watched(make: Callable[[Callable[[int, int], None] | None], _T], file: str) -> _T:
    """What is made, with a bar for its progress if stderr is a terminal."""
    if not sys.stderr.isatty():
        return make(None)
    bar = _Bar(stem(file) or "module")
    try:
        return make(bar.update)
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
