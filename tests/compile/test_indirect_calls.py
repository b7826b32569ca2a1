"""Indirect calls take two short cuts: a table that cannot grow is not asked for its size, and a callee of the same
instance gets the caller's context. Neither may be seen."""

from __future__ import annotations

from typing import Any, Final

import pytest

from wasmark import Config, Engine, Instance, Module, Store, Trap, TrapCode

FUNCTIONS: Final = """
  (type $get (func (result i32)))
  (type $other (func (param i32) (result i32)))
  (memory 1)
  (global $own (mut i32) (i32.const 0))
  (func $mine (type $get) (i32.add (global.get $own) (i32.load8_u (i32.const 0))))
  (func $stranger (type $other) (local.get 0))
  (func (export "name") (param i32) (global.set $own (local.get 0)) (i32.store8 (i32.const 0) (i32.const 100)))
  (func (export "call") (param INDEX) (result i32) (call_indirect (type $get) (local.get 0)))
  (func (export "sum") (param INDEX i32) (result i32) (local $sum i32)
    (loop $again
      (local.set $sum (i32.add (local.get $sum) (call_indirect (type $get) (local.get 0))))
      (br_if $again (local.tee 1 (i32.sub (local.get 1) (i32.const 1)))))
    (local.get $sum))
"""


def source(table: str, elements: str = "", index: str = "i32") -> str:
    return f"(module {table} {elements} {FUNCTIONS.replace('INDEX', index)})"


def code(call: Any, *args: Any) -> Any:
    """The result of a call, or the code of its trap."""
    try:
        return call(*args)
    except Trap as trap:
        return trap.code


@pytest.fixture(params=["eager", "baseline"])
def store(request: pytest.FixtureRequest) -> Store:
    return Store(Engine(Config(strategy=request.param)))


@pytest.mark.parametrize("index", ["i32", "i64"])
@pytest.mark.parametrize("limits", ["4 4", "4 5", "4"])
def test_every_index_of_a_table(store: Store, index: str, limits: str) -> None:
    address = "" if index == "i32" else "i64 "
    elements = f"(elem ({index}.const 0) func $mine $stranger)"
    module = Module(source(f"(table {address}{limits} funcref)", elements, index), store.engine)
    exports = Instance(module, store=store).exports
    exports.name(7)
    assert [code(exports.call, i) for i in (0, 1, 2, 3, 4, 5, -1, 1 << 31)] == [
        107,
        TrapCode.INDIRECT_CALL_TYPE_MISMATCH,
        *[TrapCode.UNINITIALIZED_ELEMENT] * 2,
        *[TrapCode.UNDEFINED_ELEMENT] * 4,
    ]
    if index == "i64":
        assert code(exports.call, 1 << 32) is TrapCode.UNDEFINED_ELEMENT


def test_an_empty_table_that_cannot_grow(store: Store) -> None:
    exports = Instance(Module(source("(table 0 0 funcref)"), store.engine), store=store).exports
    assert [code(exports.call, i) for i in (0, 1, -1)] == [TrapCode.UNDEFINED_ELEMENT] * 3


@pytest.mark.parametrize("limits", ["4 4", "4 8"])
def test_each_callee_has_the_context_of_its_instance(store: Store, limits: str) -> None:
    """Also where it is another instance of the same module, whose code is the same."""
    owner = Module(source(f'(table (export "t") {limits} funcref)', "(elem (i32.const 0) func $mine)"), store.engine)
    first = Instance(owner, store=store)
    shared = source(f'(table (import "m" "t") {limits} funcref)', "(elem (i32.const NUMBER) func $mine)")
    instances = [
        Instance(Module(shared.replace("NUMBER", "1"), store.engine), {"m": {"t": first.exports.t}}, store),
        Instance(Module(shared.replace("NUMBER", "2"), store.engine), {"m": {"t": first.exports.t}}, store),
    ]
    sibling = Instance(owner, store=store)
    first.exports.t[3] = sibling.exports.t[0]
    everybody = [first, *instances, sibling]
    for number, instance in enumerate(everybody):
        instance.exports.name(number)
    for instance in everybody[:3]:
        assert [instance.exports.call(i) for i in range(4)] == [100, 101, 102, 103]
        assert [instance.exports.sum(i, 1000) for i in range(4)] == [100_000, 101_000, 102_000, 103_000]
    assert sibling.exports.call(0) == 103


def test_what_the_host_writes_into_a_table_that_cannot_grow_is_seen(store: Store) -> None:
    text = source('(table (export "t") 2 2 funcref)', "(elem (i32.const 0) func $mine)")
    exports = Instance(Module(text, store.engine), store=store).exports
    assert code(exports.call, 1) is TrapCode.UNINITIALIZED_ELEMENT
    exports.t[1], exports.t[0] = exports.t[0], None
    assert exports.call(1) == 0
    assert code(exports.call, 0) is TrapCode.UNINITIALIZED_ELEMENT
    with pytest.raises(ValueError, match="cannot grow"):
        exports.t.grow(1)
    assert code(exports.call, 2) is TrapCode.UNDEFINED_ELEMENT


def test_a_table_that_grows_is_asked_for_its_size(store: Store) -> None:
    text = source('(table (export "t") 1 3000 funcref)', "(elem (i32.const 0) func $mine)")
    exports = Instance(Module(text, store.engine), store=store).exports
    assert code(exports.call, 1) is TrapCode.UNDEFINED_ELEMENT
    exports.t.grow(2000, exports.t[0])  # its elements move
    exports.t[0] = None
    assert [exports.call(1), exports.sum(2000, 3)] == [0, 0]
    assert code(exports.call, 0) is TrapCode.UNINITIALIZED_ELEMENT
    assert code(exports.call, 2001) is TrapCode.UNDEFINED_ELEMENT


def test_an_imported_table_that_grew_to_its_maximum(store: Store) -> None:
    """It fits an import with that minimum and maximum; its elements have moved before."""
    owner = Instance(Module('(module (table (export "t") 1 3 funcref))', store.engine), store=store)
    owner.exports.t.grow(2)
    text = source('(table (import "m" "t") 3 3 funcref)', "(elem (i32.const 2) func $mine)")
    exports = Instance(Module(text, store.engine), {"m": {"t": owner.exports.t}}, store).exports
    exports.name(5)
    assert [code(exports.call, i) for i in (1, 2, 3)] == [
        TrapCode.UNINITIALIZED_ELEMENT,
        105,
        TrapCode.UNDEFINED_ELEMENT,
    ]
