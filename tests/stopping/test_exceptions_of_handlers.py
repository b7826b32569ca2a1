"""An exception of wasm's that a Python signal handler raises is not caught by the wasm code that it interrupts, also
where that waits for what is done in Python: a function is compiled, a loop proves hot, memory grows."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import Any

import pytest

import wasmark
from wasmark.jit.lazy import LazyCode
from wasmark.runtime.linear_memory import LinearMemory

TEXT = """(module
  (import "host" "call" (func $call))
  (memory 1 9)
  (table funcref (elem $compiled))
  (func $compiled)
  (func (export "compile") (result i32)
    (block $caught (try_table (catch_all $caught) (call_indirect (i32.const 0))) (return (i32.const 0))) (i32.const 1))
  (func $hot (local $n i32)
    (loop $more (br_if $more (i32.lt_u (local.tee $n (i32.add (local.get $n) (i32.const 1))) (i32.const 100)))))
  (func (export "tier_up") (result i32)
    (block $caught (try_table (catch_all $caught) (call $hot)) (return (i32.const 0))) (i32.const 1))
  (func $growing (drop (memory.grow (i32.const 1))))
  (func (export "grow") (result i32)
    (block $caught (try_table (catch_all $caught) (call $growing)) (return (i32.const 0))) (i32.const 1))
  (func (export "host") (result i32)
    (block $caught (try_table (catch_all $caught) (call $call)) (return (i32.const 0))) (i32.const 1)))"""


@pytest.fixture
def exports() -> Iterator[Any]:
    """Those of a module in a store whose signal handler raises an exception of wasm's."""
    engine = wasmark.Engine(wasmark.Config(strategy="lazy", cache=False, tier_up=50, tier_up_in_background=False))
    store = wasmark.Store(engine)
    tag = wasmark.Tag(store, wasmark.FuncType((), ()))

    def handler(*_: object) -> None:
        raise wasmark.WasmException(tag, ())

    old = signal.signal(signal.SIGUSR1, handler)
    imports = {"host": {"call": lambda: signal.raise_signal(signal.SIGUSR1)}}
    yield wasmark.Instance(wasmark.Module(TEXT, engine), imports, store).exports
    signal.signal(signal.SIGUSR1, old)


WORK = {"compile": (LazyCode, "compile"), "tier_up": (LazyCode, "tier_up"), "grow": (LinearMemory, "grow")}


@pytest.mark.parametrize("name", WORK)
def test_what_strikes_while_wasm_waits_for_us_comes_out(
    name: str, exports: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for function in exports:  # all that is not to be interrupted is compiled before
        if function not in (name, "host"):
            exports[function]()
    if name == "compile":
        exports.host()
    owner, method = WORK[name]
    original = getattr(owner, method)
    left = 2 if name == "compile" else 1
    struck = []

    def struck_in_the_middle(*arguments: Any) -> Any:
        struck.append(arguments)
        if len(struck) == left:
            signal.raise_signal(signal.SIGUSR1)
        return original(*arguments)

    monkeypatch.setattr(owner, method, struck_in_the_middle)
    with pytest.raises(wasmark.WasmException):
        exports[name]()
    assert len(struck) == left
    assert exports[name]() == 0


def test_what_strikes_in_a_host_function_is_the_host_functions_exception(exports: Any) -> None:
    assert exports.host() == 1
