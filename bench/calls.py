"""Calls between Python and wasm, and traps."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

import wasmtime

import wasmark
from measure import Goal, InProcess
from peers import wasm3_runtime, wasmtime_instance

if TYPE_CHECKING:
    from collections.abc import Callable

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

FALLING = """
(module
  (func (export "fall") (result i32) (call $deeper))
  (func $deeper (result i32) (call $deepest))
  (func $deepest (result i32) unreachable))
"""

CALLS = 20_000
TRAPS = 2_000


@cache
def small() -> bytes:
    """The module SMALL."""
    return bytes(wasmtime.wat2wasm(SMALL))


@cache
def _falling() -> bytes:
    return bytes(wasmtime.wat2wasm(FALLING))


def _next(x: int) -> int:
    return x + 1


def our_instance() -> wasmark.Instance:
    """An instance of SMALL."""
    return wasmark.Instance(wasmark.Module(small()), {"host": {"next": _next}})


def _repeated(func: Callable[..., object], args: tuple[Any, ...]) -> Callable[[], object]:
    def run() -> object:
        result = None
        for _ in range(CALLS):
            result = func(*args)
        return result

    return run


def _our_call(name: str, args: tuple[Any, ...]) -> Callable[[], object]:
    return _repeated(our_instance().exports[name], args)


def _their_call(name: str, args: tuple[Any, ...]) -> Callable[[], object]:
    store, exports = wasmtime_instance(small(), _next)
    return _repeated(exports[name], (store, *args))


def _wasm3_call(name: str, args: tuple[Any, ...]) -> Callable[[], object]:
    runtime = wasm3_runtime(small(), _next)
    func = runtime.find_function(name)
    run = _repeated(func, args)
    return lambda: (run(), runtime)[0]


def _our_call_back() -> Callable[[], object]:
    back = our_instance().exports["back"]
    return lambda: back(CALLS)


def _their_call_back() -> Callable[[], object]:
    store, exports = wasmtime_instance(small(), _next)
    return lambda: exports["back"](store, CALLS)


def _wasm3_call_back() -> Callable[[], object]:
    runtime = wasm3_runtime(small(), _next)
    back = runtime.find_function("back")
    return lambda: (back(CALLS), runtime)[0]


# A trap: raised three functions deep, caught, and its frames looked at.


def _our_trap() -> Callable[[], object]:
    fall = wasmark.Instance(wasmark.Module(_falling())).exports["fall"]

    def run() -> int:
        frames = 0
        for _ in range(TRAPS):
            try:
                fall()
            except wasmark.Trap as trap:
                frames += sum(1 for frame in trap.frames if frame.func_index >= 0)
        return frames

    return run


def _their_trap() -> Callable[[], object]:
    store, exports = wasmtime_instance(_falling())
    fall = exports["fall"]

    def run() -> int:
        frames = 0
        for _ in range(TRAPS):
            try:
                fall(store)
            except wasmtime.Trap as trap:
                frames += sum(1 for frame in trap.frames if frame.func_index >= 0)
        return frames

    return run


def _call(title: str, name: str, args: tuple[Any, ...], goals: tuple[Goal, ...] = ()) -> InProcess:
    sides = {
        "wasmark": partial(_our_call, name, args),
        "wasmtime": partial(_their_call, name, args),
        "pywasm3": partial(_wasm3_call, name, args),
    }
    return InProcess("call", title, sides, goals, CALLS, compare=True)


CASES = (
    _call("add(i32, i32)", "add", (1, 2), (Goal(None, 80e-9), Goal("wasmtime", 1 / 300))),
    _call("six arguments", "wide", (1, 2.0, 3, 4.0, 5, 6.0)),
    InProcess(
        "call",
        "back into Python",
        {"wasmark": _our_call_back, "wasmtime": _their_call_back, "pywasm3": _wasm3_call_back},
        (Goal(None, 120e-9), Goal("wasmtime", 1 / 100)),
        CALLS,
        compare=True,
    ),
    InProcess(
        "trap",
        "caught, with three frames",
        {"wasmark": _our_trap, "wasmtime": _their_trap},
        (Goal("wasmtime", 1 / 5),),
        TRAPS,
        compare=True,
    ),
)
