"""Calls of a component's functions, and bytes that go into its memory and out."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import wasmtime
from wasmtime import component as theirs

import wasmark
from measure import Goal, InProcess
from wasmark.component.binary import encode_component
from wasmark.component.text import parse_component

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Its `realloc` starts from the front again when it has come to the end.
COMPONENT = """(component
  (type $config' (record (field "level" u8) (field "ratio" f64) (field "strict" bool)))
  (export $config "config" (type $config'))
  (core module $M (memory (export "memory") 40) (global $next (mut i32) (i32.const 64))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (if (i32.gt_u (i32.add (global.get $next) (local.get 3)) (i32.const 2600000))
        (then (global.set $next (i32.const 64))))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get 3))))
    (func (export "greet") (param i32 i32 i32 i32 i32 f64 i32) (result i32)
      (i32.store (i32.const 0) (local.get 0)) (i32.store (i32.const 4) (local.get 1)) (i32.const 0))
    (func (export "take") (param i32 i32) (result i32) (local.get 1))
    (func (export "give") (param i32) (result i32)
      (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (local.get 0)) (i32.const 0)))
  (core instance $m (instantiate $M))
  (func (export "greet") (param "greeting" string) (param "name" string) (param "config" $config) (result string)
    (canon lift (core func $m "greet") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (func (export "take") (param "data" (list u8)) (result u32)
    (canon lift (core func $m "take") (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
  (func (export "give") (param "count" u32) (result (list u8))
    (canon lift (core func $m "give") (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))"""

CALLS = 1000
COPIES = 40
SIZE = 1 << 20


@cache
def binary() -> bytes:
    """The component."""
    return encode_component(parse_component(COMPONENT))


def _ours(name: str, repeats: int, arguments: Callable[[Any], tuple[Any, ...]]) -> Callable[[], object]:
    exports = wasmark.ComponentInstance(wasmark.Component(binary())).exports
    return _repeated(exports[name], arguments(exports.Config), repeats)


def _theirs(name: str, repeats: int, arguments: Callable[[Any], tuple[Any, ...]]) -> Callable[[], object]:
    def config(level: int, ratio: float, strict: bool) -> Any:
        record: Any = theirs.Record()
        record.level, record.ratio, record.strict = level, ratio, strict
        return record

    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    instance = theirs.Linker(engine).instantiate(store, theirs.Component(engine, binary()))
    function: Any = instance.get_func(store, name)
    given = arguments(config)

    def call() -> object:
        result = function(store, *given)
        function.post_return(store)
        return result

    return _repeated(call, (), repeats)


def _repeated(function: Callable[..., object], arguments: tuple[Any, ...], repeats: int) -> Callable[[], object]:
    def run() -> object:
        result = None
        for _ in range(repeats):
            result = function(*arguments)
        return result

    run()  # touches all pages
    return run


def _greeting(config: Any) -> tuple[Any, ...]:
    return "hello", "world", config(3, 1.5, True)


def _copy_in() -> Callable[[], object]:
    data, buffer = bytes(SIZE), bytearray(SIZE)

    def copy() -> int:
        buffer[:] = data
        return SIZE

    return _repeated(copy, (), COPIES)


def _copy_out() -> Callable[[], object]:
    return _repeated(bytes, (memoryview(bytearray(SIZE)),), COPIES)


CASES = (
    InProcess(
        "component",
        "two strings and a record",
        {
            "wasmark": lambda: _ours("greet", CALLS, _greeting),
            "wasmtime": lambda: _theirs("greet", CALLS, _greeting),
        },
        (Goal("wasmtime", 1 / 10),),
        CALLS,
        compare=True,
    ),
    InProcess(
        "component",
        "list<u8> of 1 MiB, given",
        {
            "wasmark": lambda: _ours("take", COPIES, lambda _: (bytes(SIZE),)),
            "memcpy": _copy_in,
        },
        (Goal("memcpy", 1.5),),
        COPIES,
        compare=True,
    ),
    InProcess(
        "component",
        "list<u8> of 1 MiB, returned",
        {
            "wasmark": lambda: _ours("give", COPIES, lambda _: (SIZE,)),
            "memcpy": _copy_out,
        },
        (Goal("memcpy", 1.5),),
        COPIES,
    ),
)
