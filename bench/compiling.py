"""Compiling with LLVM, loading what was compiled before, and validating alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import wasmtime

import programs
import wasmark
from calls import small
from measure import OURS, InProcess
from wasmark.binary import decode_body, decode_module

if TYPE_CHECKING:
    from collections.abc import Callable

    from measure import Row
    from programs import Program

_EAGER = wasmark.Config(strategy="eager")


def _read(program: Program) -> bytes:
    return program.path().read_bytes()


# Compiling: without the code cache, and in a new engine each time, so that neither side remembers the module. Both use
# all processors.


def _our_compile(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    return lambda: wasmark.Module(binary, wasmark.Engine(wasmark.Config(strategy="eager", cache=False)))


def _their_compile(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    return lambda: wasmtime.Module(wasmtime.Engine(), binary)


# Loading what was compiled before: for us the code cache, for the peer what it has instead.


def _our_load(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    engine = wasmark.Engine(_EAGER)
    wasmark.Module(binary, engine)
    return lambda: wasmark.Module(binary, engine)


def _their_load(data: Callable[[], bytes]) -> Callable[[], object]:
    engine = wasmtime.Engine()
    artefact = wasmtime.Module(engine, data()).serialize()
    return lambda: wasmtime.Module.deserialize(engine, artefact)


def _our_validate(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    return lambda: wasmark.Module.validate(binary)


def _their_validate(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    engine = wasmtime.Engine()
    return lambda: wasmtime.Module.validate(engine, binary)


def _rate(program: Program, row: Row) -> str:
    model = decode_module(_read(program))
    count = sum(len(decode_body(model, function.start, function.end)) for function in model.functions)
    return f"{count / 1e6:.1f} M instructions, {count / row.values[OURS] / 1e3:,.0f} thousand/s"


def _compile(name: str, data: Callable[[], bytes], rounds: int) -> InProcess:
    sides = {OURS: partial(_our_compile, data), "wasmtime": partial(_their_compile, data)}
    return InProcess("compile", name, sides, rounds=rounds)


def _load(name: str, data: Callable[[], bytes]) -> InProcess:
    return InProcess("load", name, {OURS: partial(_our_load, data), "wasmtime": partial(_their_load, data)})


def _validate(program: Program) -> InProcess:
    data = partial(_read, program)
    sides = {OURS: partial(_our_validate, data), "wasmtime": partial(_their_validate, data)}
    return InProcess("validate", program.name, sides, rounds=3, note=partial(_rate, program))


_avr_as = partial(_read, programs.AVR_AS)
_graphviz = partial(_read, programs.GRAPHVIZ)

CASES = (
    _compile("three functions", small, 7),
    _compile("avr-as (0.7 MB)", _avr_as, 1),
    _compile("graphviz (0.9 MB)", _graphviz, 1),
    _load("avr-as (0.7 MB)", _avr_as),
    _load("graphviz (0.9 MB)", _graphviz),
    _validate(programs.ESBUILD),
    _validate(programs.CPYTHON),
    _validate(programs.YOSYS),
)
