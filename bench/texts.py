"""Kernels that are written in the text format: `run`, with the number of repetitions as its argument."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmark
from measure import OURS, Goal, InProcess
from peers import wasmtime_instance
from wasmark.binary import encode_module
from wasmark.text import parse_module

if TYPE_CHECKING:
    from collections.abc import Callable


def kernel(kind: str, name: str, text: str, times: int, goals: tuple[Goal, ...]) -> InProcess:
    """One of them, in optimised code beside wasmtime."""

    def ours() -> Callable[[], object]:
        engine = wasmark.Engine(wasmark.Config(strategy="eager"))
        run = wasmark.Instance(wasmark.Module(text, engine)).exports["run"]
        return lambda: run(times)

    def theirs() -> Callable[[], object]:
        store, exports = wasmtime_instance(encode_module(parse_module(text)))
        return lambda: exports["run"](store, times)

    return InProcess(kind, name, {OURS: ours, "wasmtime": theirs}, goals, compare=True)
