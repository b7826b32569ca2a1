"""Handles that are given away and lent for calls: none is left over, whatever ends the call, and nothing of what Python
gave is kept longer than the guest has it."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

import wasmark
from tests.interruption import interrupt
from wasmark import Component, ComponentInstance

USER = """(component
  (import "test:host/things" (instance $things
    (export "thing" (type $thing (sub resource)))
    (export "look" (func (param "it" (borrow $thing))))))
  (alias export $things "thing" (type $T))
  (core func $look (canon lower (func $things "look")))
  (core func $drop (canon resource.drop $T))
  (core module $M
    (import "" "look" (func $look (param i32)))
    (import "" "drop" (func $drop (param i32)))
    (func (export "borrow") (param i32 i32) (result i32) (call $drop (local.get 0)) (local.get 0))
    (func (export "own") (param i32 i32) (result i32) (local.get 0))
    (func (export "both") (param i32 i32 i32) (result i32)
      (call $look (local.get 0)) (call $drop (local.get 1)) (local.get 0))
    (func (export "end") (param i32) (call $drop (local.get 0)))
    (func (export "try") (param i32) (call $look (local.get 0))))
  (core instance $m (instantiate $M
    (with "" (instance (export "look" (func $look)) (export "drop" (func $drop))))))
  (func (export "borrow") (param "it" (borrow $T)) (param "n" u8) (result u32) (canon lift (core func $m "borrow")))
  (func (export "own") (param "it" (own $T)) (param "n" u8) (result u32) (canon lift (core func $m "own")))
  (func (export "both") (param "it" (own $T)) (param "other" (borrow $T)) (param "n" u8) (result u32)
    (canon lift (core func $m "both")))
  (func (export "end") (param "index" u32) (canon lift (core func $m "end")))
  (func (export "try") (param "index" u32) (canon lift (core func $m "try"))))"""

ENGINE = wasmark.Engine(wasmark.Config(strategy="baseline", cache=False))


FILES = ("abi/handles.py",)


class Thing:
    """A resource of Python's."""


def user(look: Any = lambda it: None) -> Any:
    things = {"Thing": Thing, "look": look}
    return ComponentInstance(Component(USER, ENGINE), {"test:host/things": things}).exports


@pytest.mark.parametrize("name", ["borrow", "own", "both"])
def test_a_call_that_does_not_come_about_leaves_no_handle(name: str) -> None:
    exports = user()
    things = [Thing()] * (2 if name == "both" else 1)
    for _ in range(3):
        with pytest.raises(TypeError, match="arg 'n': expected u8, got 300"):
            getattr(exports, name)(*things, 300)
    assert exports.borrow(Thing(), 1) == 1
    with pytest.raises(wasmark.ComponentTrap, match="unknown handle index 2"):
        exports["try"](2)


def test_what_was_given_away_is_only_the_guests() -> None:
    exports = user()
    thing = Thing()
    seen = weakref.ref(thing)
    index = exports.own(thing, 1)
    del thing
    gc.collect()
    assert seen() is not None
    exports.end(index)
    gc.collect()
    assert seen() is None


def test_what_was_lent_is_not_kept() -> None:
    exports = user()
    thing = Thing()
    seen = weakref.ref(thing)
    exports.borrow(thing, 1)
    del thing
    gc.collect()
    assert seen() is None


def test_an_exception_at_the_end_of_a_loan_gives_everything_back() -> None:
    """Wherever it strikes: the object can be lent and dropped again, and the store can be used by other threads."""
    source = """(component
      (core module $M (import "" "new" (func $new (param i32) (result i32)))
        (func (export "new") (result i32) (call $new (i32.const 7)))
        (func (export "two") (param i32 i32)))
      (type $T' (resource (rep i32)))
      (core func $new (canon resource.new $T'))
      (core instance $m (instantiate $M (with "" (instance (export "new" (func $new))))))
      (export $T "thing" (type $T'))
      (func (export "[constructor]thing") (result (own $T)) (canon lift (core func $m "new")))
      (func (export "two") (param "a" (borrow $T)) (param "b" (borrow $T)) (canon lift (core func $m "two"))))"""
    component = Component(source, ENGINE)
    step = 0
    strikes = 0
    while True:
        step += 1
        exports = ComponentInstance(component).exports
        one, other = exports.Thing(), exports.Thing()
        exports.two(one, other)
        if not interrupt(lambda e=exports, a=one, b=other: e.two(a, b), step, FILES):  # type: ignore[misc]
            break
        strikes += 1
        assert (one.lends, other.lends) == (0, 0)
        one.drop()
        outcome: list[str] = []
        thread = threading.Thread(target=lambda e=exports, out=outcome: out.append(_outcome(e)))  # type: ignore[misc]
        thread.start()
        thread.join(20)
        assert outcome, "the store still belongs to the thread that was interrupted"
        assert outcome[0] in ("done", "CANNOT_ENTER")
    assert strikes > 5


def _outcome(exports: Any) -> str:
    try:
        exports.Thing()
    except wasmark.ComponentTrap as trap:
        return trap.code.name
    return "done"


def test_an_exception_of_wasm_that_the_host_raises_is_a_trap_that_no_guest_catches() -> None:
    store = wasmark.Store(ENGINE)
    throwing = wasmark.Module('(module (tag $t) (func (export "f") (throw $t)))', ENGINE)
    thrower = wasmark.Instance(throwing, {}, store)
    source = """(component
      (import "host" (func $host))
      (core func $lowered (canon lower (func $host)))
      (core module $M (import "" "f" (func $f))
        (func (export "f") (block (try_table (catch_all 0) (call $f)))))
      (core instance $m (instantiate $M (with "" (instance (export "f" (func $lowered))))))
      (func (export "f") (canon lift (core func $m "f"))))"""
    exports = ComponentInstance(Component(source, ENGINE), {"host": thrower.exports.f}, store).exports
    with pytest.raises(wasmark.ComponentTrap) as caught:
        exports.f()
    assert caught.value.code is wasmark.ComponentTrapCode.UNCAUGHT_EXCEPTION
    assert isinstance(caught.value.__cause__, wasmark.WasmException)
