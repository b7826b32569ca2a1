"""Instantiating, into a new store each time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmtime

import programs
import wasmark
from calls import small
from measure import Goal, InProcess

if TYPE_CHECKING:
    from collections.abc import Callable

INSTANCES = 200
_GOALS = (Goal("wasmtime", 1 / 4),)


def _next(x: int) -> int:
    return x + 1


def _ours_small() -> Callable[[], object]:
    module = wasmark.Module(small())

    def run() -> None:
        for _ in range(INSTANCES):
            wasmark.Instance(module, {"host": {"next": _next}}, wasmark.Store())

    return run


def _theirs_small() -> Callable[[], object]:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, small())
    type_ = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])

    def run() -> None:
        for _ in range(INSTANCES):
            store = wasmtime.Store(engine)
            wasmtime.Instance(store, module, [wasmtime.Func(store, type_, _next)])

    return run


def _ours_wasi() -> Callable[[], object]:
    module = wasmark.Module.from_file(programs.GRAPHVIZ.path())

    def run() -> None:
        for _ in range(INSTANCES):
            linker = wasmark.Linker()
            linker.define_wasi()
            linker.instantiate(module, wasmark.Store())

    return run


def _theirs_wasi() -> Callable[[], object]:
    engine = wasmtime.Engine()
    module = wasmtime.Module.from_file(engine, str(programs.GRAPHVIZ.path()))

    def run() -> None:
        for _ in range(INSTANCES):
            store = wasmtime.Store(engine)
            linker = wasmtime.Linker(engine)
            linker.define_wasi()
            store.set_wasi(wasmtime.WasiConfig())
            linker.instantiate(store, module)

    return run


CASES = (
    InProcess("instantiate", "three functions", {"wasmark": _ours_small, "wasmtime": _theirs_small}, _GOALS, INSTANCES),
    InProcess("instantiate", "graphviz, WASI", {"wasmark": _ours_wasi, "wasmtime": _theirs_wasi}, _GOALS, INSTANCES),
)
