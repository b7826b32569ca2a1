"""Calls between Python and wasm, and traps."""

from __future__ import annotations

from functools import cache, partial
from operator import attrgetter
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

CALLS = 20_000
TRAPS = 2_000


@cache
def small() -> bytes:
    """The module SMALL."""
    return bytes(wasmtime.wat2wasm(SMALL))


@cache
def _falling(depth: int) -> bytes:
    """A module whose `fall` calls its way down until that many functions are active; the last one traps."""
    functions = "".join(f"(func $f{n} (result i32) (call $f{n + 1}))" for n in range(1, depth - 1))
    last = f"(func $f{depth - 1} (result i32) unreachable)"
    return bytes(wasmtime.wat2wasm(f'(module (func $f0 (export "fall") (result i32) (call $f1)) {functions} {last})'))


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


# A trap: raised some functions deep, caught, and its frames looked at.


def _falls(fall: Callable[[], object], trap: type[Exception], seen: Callable[[Any], object]) -> Callable[[], object]:
    def run() -> int:
        frames = 0
        for _ in range(TRAPS):
            try:
                fall()
            except trap as error:
                frames += sum(1 for frame in error.frames if seen(frame) is not None)  # type: ignore[attr-defined]
        return frames

    return run


def _our_trap(depth: int, seen: Callable[[Any], object]) -> Callable[[], object]:
    fall = wasmark.Instance(wasmark.Module(_falling(depth))).exports["fall"]
    return _falls(fall, wasmark.Trap, seen)


def _their_trap(depth: int, seen: Callable[[Any], object]) -> Callable[[], object]:
    store, exports = wasmtime_instance(_falling(depth))
    return _falls(partial(exports["fall"], store), wasmtime.Trap, seen)


def _trap(title: str, depth: int, ours: str, theirs: str, goals: tuple[Goal, ...]) -> InProcess:
    sides = {
        "wasmark": partial(_our_trap, depth, attrgetter(ours)),
        "wasmtime": partial(_their_trap, depth, attrgetter(theirs)),
    }
    return InProcess("trap", title, sides, goals, TRAPS, compare=True)


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
    _trap("caught, with three frames", 3, "func_index", "func_index", (Goal("wasmtime", 1 / 5),)),
    _trap("caught, with ten names", 10, "func_name", "func_name", (Goal(None, 15e-6), Goal("wasmtime", 1 / 5))),
)
