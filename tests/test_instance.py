"""`Instance`: what imports have to be, what is shared, and that a failure leaves nothing half done."""

from __future__ import annotations

import copy
import gc
import weakref
from typing import Any

import pytest

import wasmark
from wasmark import FuncType, GlobalType, Limits, MemoryType, TableType, TrapCode
from wasmark.core.types import EXTERNREF, F32, FUNCREF, I32, I64
from wasmark.runtime import code_memory

SHARED = """(module $shared
  (memory (export "memory") 1 3)
  (table (export "table") 2 4 funcref)
  (global (export "global") (mut i32) (i32.const 1))
  (func (export "func") (param i32) (result i32) (i32.add (local.get 0) (global.get 0)))
  (func (export "load") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "set") (param i32) (table.set 0 (local.get 0) (ref.func $self)))
  (func $self (export "self") (result i32) (i32.const 10)))"""

USER = """(module $user
  (import "m" "memory" (memory 1))
  (import "m" "table" (table 1 funcref))
  (import "m" "global" (global $global (mut i32)))
  (import "m" "func" (func $func (param i32) (result i32)))
  (func (export "func") (param i32) (result i32) (call $func (local.get 0)))
  (func (export "store") (param i32 i32) (i32.store (local.get 0) (local.get 1)))
  (func (export "bump") (global.set $global (i32.add (global.get $global) (i32.const 1))))
  (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0)))
  (func (export "put") (param i32) (table.set 0 (local.get 0) (ref.func $mine)))
  (func $mine (result i32) (i32.const 20))
  (elem declare func $mine))"""


@pytest.fixture(scope="module")
def shared() -> wasmark.Module:
    return wasmark.Module(SHARED)


@pytest.fixture(scope="module")
def user() -> wasmark.Module:
    return wasmark.Module(USER)


def code_pages() -> int:
    """Pages of code memory that are taken."""
    return sum((arena.size >> code_memory.PAGE_SHIFT) - arena.free_pages for arena in code_memory.arenas())


class Snapshot:
    """What a store knows."""

    def __init__(self, store: wasmark.Store) -> None:
        self.store = store
        self.now = self.take()

    def take(self) -> tuple[Any, ...]:
        """Everything that a failed instance could have left."""
        store = self.store
        return repr(store), len(store.registry), dict(store.memories), dict(store.tables), len(store.collector.externs)

    def check(self) -> None:
        """Nothing has changed."""
        gc.collect()
        assert self.take() == self.now


# --- imports ------------------------------------------------------------------------------------------------


def offers(store: wasmark.Store) -> dict[str, Any]:
    """One thing of each kind."""
    return {
        "function": wasmark.Func.from_callable(store, FuncType((I32,), (I32,)), lambda x: x),
        "memory": wasmark.Memory(store, MemoryType(Limits(1, 3))),
        "memory64": wasmark.Memory(store, MemoryType(Limits(1, 3, True))),
        "table": wasmark.Table(store, TableType(FUNCREF, Limits(2, 4))),
        "externs": wasmark.Table(store, TableType(EXTERNREF, Limits(2, 4))),
        "global": wasmark.Global(store, GlobalType(I32, True), 1),
        "fixed": wasmark.Global(store, GlobalType(I32, False), 1),
        "callable": lambda x: x,
        "text": "text",
        "none": None,
    }


FITTING = {
    "function": ["(func (param i32) (result i32))"],
    "callable": ["(func (param i32) (result i32))", "(func)", "(func (param externref))"],
    "memory": ["(memory 0)", "(memory 1)", "(memory 1 3)", "(memory 0 4)", "(memory 1 65536)"],
    "memory64": ["(memory i64 1)", "(memory i64 0 3)"],
    "table": ["(table 0 funcref)", "(table 2 4 funcref)", "(table 1 5 funcref)"],
    "externs": ["(table 2 externref)"],
    "global": ["(global (mut i32))"],
    "fixed": ["(global i32)"],
}
MISFITS = {
    "function": [
        "(func)",
        "(func (param i64) (result i32))",
        "(func (param i32))",
        "(func (param i32 i32) (result i32))",
        "(memory 1)",
        "(table 1 funcref)",
        "(global i32)",
    ],
    "callable": ["(memory 1)", "(table 1 funcref)", "(global i32)"],
    "memory": ["(memory 2)", "(memory 1 2)", "(memory i64 1)", "(func)", "(table 1 funcref)", "(global i32)"],
    "memory64": ["(memory 1)"],
    "table": ["(table 3 funcref)", "(table 1 3 funcref)", "(table 1 externref)", "(func)", "(memory 1)"],
    "externs": ["(table 1 funcref)"],
    "global": ["(global i32)", "(global (mut i64))", "(global i64)", "(global (mut f32))", "(func)", "(memory 1)"],
    "fixed": ["(global (mut i32))", "(global i64)", "(global funcref)"],
    "text": ["(func)", "(memory 1)", "(table 1 funcref)", "(global i32)"],
    "none": ["(func)", "(memory 1)", "(table 1 funcref)", "(global i32)"],
}


@pytest.mark.parametrize(("name", "wanted"), [(name, text) for name, texts in FITTING.items() for text in texts])
def test_an_import_that_fits(name: str, wanted: str) -> None:
    store = wasmark.Store()
    module = wasmark.Module(f'(module (import "m" "{name}" {wanted}))')
    wasmark.Instance(module, {"m": offers(store)}, store)


@pytest.mark.parametrize(("name", "wanted"), [(name, text) for name, texts in MISFITS.items() for text in texts])
def test_an_import_that_does_not_fit_is_named_and_leaves_nothing(name: str, wanted: str) -> None:
    store = wasmark.Store()
    given = offers(store)
    module = wasmark.Module(
        f"""(module
        (import "m" "callable" (func (param i32) (result i32)))
        (import "m" "{name}" {wanted})
        (memory 1) (table 1 funcref) (global externref (ref.null extern))
        (func (export "f")))"""
    )
    before = Snapshot(store)
    with pytest.raises(wasmark.LinkError, match=f"^import 'm' '{name}': incompatible import type: wants"):
        wasmark.Instance(module, {"m": given}, store)
    before.check()


def test_a_missing_import_is_named() -> None:
    module = wasmark.Module('(module (import "space" "name" (func)) (import "space" "other" (memory 1)))')
    with pytest.raises(wasmark.LinkError, match=r"unknown import: nothing is given for module 'space'.*func 'name'"):
        wasmark.Instance(module)
    with pytest.raises(wasmark.LinkError, match="unknown import: 'space' has no func 'name'"):
        wasmark.Instance(module, {"space": {}})
    with pytest.raises(wasmark.LinkError, match="unknown import: 'space' has no memory 'other'"):
        wasmark.Instance(module, {"space": {"name": lambda: None}})


@pytest.mark.parametrize("name", ["function", "memory", "table", "global"])
def test_things_of_another_store_are_refused(name: str) -> None:
    store, other = wasmark.Store(), wasmark.Store()
    module = wasmark.Module(f'(module (import "m" "{name}" {FITTING[name][0]}))')
    before = Snapshot(store)
    with pytest.raises(wasmark.LinkError, match=f"'m' '{name}': the .* belongs to another store"):
        wasmark.Instance(module, {"m": offers(other)}, store)
    before.check()


def test_what_a_memory_and_a_table_have_become_counts_not_what_they_were() -> None:
    store = wasmark.Store()
    given = offers(store)
    large = wasmark.Module('(module (import "m" "memory" (memory 3)) (import "m" "table" (table 4 funcref)))')
    with pytest.raises(wasmark.LinkError):
        wasmark.Instance(large, {"m": given}, store)
    given["memory"].grow(2)
    given["table"].grow(2)
    wasmark.Instance(large, {"m": given}, store)


def test_the_same_thing_may_be_imported_under_many_names() -> None:
    text = """(module
      (import "a" "f" (func $f (result i32))) (import "b" "g" (func $g (result i32)))
      (import "a" "m" (memory $m 1)) (import "b" "n" (memory $n 1))
      (func (export "run") (result i32)
        (i32.store $m (i32.const 0) (i32.add (call $f) (call $g)))
        (i32.load $n (i32.const 0))))"""
    store = wasmark.Store()
    memory = wasmark.Memory(store, MemoryType(Limits(1)))
    function = wasmark.Func.from_callable(store, FuncType((), (I32,)), lambda: 21)
    imports = {"a": {"f": function, "m": memory}, "b": {"g": function, "n": memory}}
    assert wasmark.Instance(wasmark.Module(text), imports, store).exports.run() == 42


# --- failures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "(module (memory 1) (memory 17) (func))",
        "(module (memory 17) (func))",
        "(module (memory 1) (table 5 funcref) (table 11 funcref) (func))",
        "(module (memory 1) (global i32 (i32.const 1)) (table 11 externref) (func))",
    ],
)
def test_an_instance_that_the_engine_has_no_room_for_leaves_nothing(text: str) -> None:
    engine = wasmark.Engine(wasmark.Config(max_memory_bytes=16 << 16, max_table_elements=10))
    store = wasmark.Store(engine)
    module = wasmark.Module(text, engine)
    before = Snapshot(store)
    for _ in range(3):
        with pytest.raises(wasmark.Error, match=r"is more than the 1[06]"):
            wasmark.Instance(module, store=store)
    before.check()
    watch = weakref.ref(module)
    del module
    gc.collect()
    assert watch() is None


def test_a_segment_that_does_not_fit_traps_after_those_before_it(shared: wasmark.Module) -> None:
    store = wasmark.Store()
    base = wasmark.Instance(shared, store=store)
    module = wasmark.Module(
        """(module (import "m" "memory" (memory 1)) (import "m" "table" (table 1 funcref))
        (func $f (result i32) (i32.const 33))
        (elem (i32.const 0) $f)
        (data (i32.const 4) "abc")
        (data (i32.const 65535) "xy")
        (data (i32.const 8) "never")
        (func (export "unused")))"""
    )
    with pytest.raises(wasmark.Trap, match="a data segment does not fit") as caught:
        wasmark.Instance(module, {"m": base.exports}, store)
    assert caught.value.code is TrapCode.MEMORY_OUT_OF_BOUNDS
    # As core §4.5.4 wants it: what was written stays, and a function that came into a table goes on living there.
    assert base.exports.memory.read(0, 16) == b"\0\0\0\0abc" + bytes(9)
    assert base.exports.memory[65535] == 0
    function = base.exports.table[0]
    del module
    gc.collect()
    assert function() == 33
    assert base.exports.table[0] is function


def test_element_segments_come_before_data_segments(shared: wasmark.Module) -> None:
    store = wasmark.Store()
    base = wasmark.Instance(shared, store=store)
    module = wasmark.Module(
        """(module (import "m" "memory" (memory 1)) (import "m" "table" (table 1 funcref)) (func $f)
        (data (i32.const 0) "abc") (elem (i32.const 2) $f))"""
    )
    with pytest.raises(wasmark.Trap, match="an element segment does not fit") as caught:
        wasmark.Instance(module, {"m": base.exports}, store)
    assert caught.value.code is TrapCode.TABLE_OUT_OF_BOUNDS
    assert base.exports.memory.read(0, 3) == bytes(3)


def test_a_start_function_that_fails_leaves_what_it_has_done(shared: wasmark.Module) -> None:
    store = wasmark.Store()
    base = wasmark.Instance(shared, store=store)
    error = ValueError("from the start")

    def fail() -> None:
        raise error

    module = wasmark.Module(
        """(module (import "m" "global" (global $g (mut i32))) (import "h" "fail" (func $fail))
        (func $start (global.set $g (i32.const 77)) (call $fail) (global.set $g (i32.const 78)))
        (start $start))"""
    )
    with pytest.raises(ValueError, match="from the start") as caught:
        wasmark.Instance(module, {"m": base.exports, "h": {"fail": fail}}, store)
    assert caught.value is error
    assert base.exports["global"].value == 77


def test_a_start_function_may_be_an_import() -> None:
    calls: list[int] = []
    module = wasmark.Module('(module (import "h" "start" (func $start)) (start $start))')
    wasmark.Instance(module, {"h": {"start": lambda: calls.append(1)}})
    assert calls == [1]


def test_a_module_of_another_engine_is_refused(shared: wasmark.Module) -> None:
    store = wasmark.Store(wasmark.Engine())
    before = Snapshot(store)
    with pytest.raises(ValueError, match="different engines"):
        wasmark.Instance(shared, store=store)
    before.check()


# --- sharing --------------------------------------------------------------------------------------------------


def test_instances_share_what_one_exports_and_the_other_imports(shared: wasmark.Module, user: wasmark.Module) -> None:
    store = wasmark.Store()
    base = wasmark.Instance(shared, store=store).exports
    one = wasmark.Instance(user, {"m": base}, store).exports
    two = wasmark.Instance(user, {"m": base}, store).exports
    one.store(8, 123)
    assert base.load(8) == 123
    base.memory[8] = 5
    assert base.load(8) == 5
    one.bump()
    two.bump()
    assert base["global"].value == 3
    assert one.func(10) == two.func(10) == base.func(10) == 13
    one.put(0)
    base.set(1)
    assert (two.call(0), two.call(1)) == (20, 10)
    assert base.table[0]() == 20
    assert base.table[1] is base.self
    base.memory.grow(1)
    one.store(65536, 9)
    assert base.load(65536) == 9


@pytest.mark.alone
def test_instances_of_one_module_have_their_own_state_and_common_code(shared: wasmark.Module) -> None:
    store = wasmark.Store()
    first = wasmark.Instance(shared, store=store)
    pages, codes = code_pages(), len(store.registry)
    others = [wasmark.Instance(shared, store=store) for _ in range(10)]
    elsewhere = wasmark.Instance(shared)
    assert code_pages() == pages
    assert len(store.registry) == codes
    assert len(elsewhere.store.registry) == 1
    for n, instance in enumerate((first, *others, elsewhere)):
        instance.exports["global"].value = n
        instance.exports.memory[0] = n
    for n, instance in enumerate((first, *others, elsewhere)):
        assert instance.exports.func(100) == 100 + n
        assert instance.exports.load(0) == n
        assert instance.exports.func.code_address == first.exports.func.code_address


def test_a_function_that_is_handed_on_stays_itself(shared: wasmark.Module) -> None:
    store = wasmark.Store()
    base = wasmark.Instance(shared, store=store)
    middle = wasmark.Module(
        '(module (import "m" "func" (func $f (param i32) (result i32))) (export "again" (func $f)))'
    )
    handed = wasmark.Instance(middle, {"m": base.exports}, store)
    assert handed.exports.again is base.exports.func
    host = wasmark.Func.from_callable(store, FuncType((I32,), (I32,)), lambda x: -x)
    assert wasmark.Instance(middle, {"m": {"func": host}}, store).exports.again is host
    plain = wasmark.Instance(middle, {"m": {"func": lambda x: x + 5}}, store).exports.again
    assert plain(1) == 6
    assert plain.__name__ == "m.func"


# --- exports --------------------------------------------------------------------------------------------------


def test_exports_are_found_by_attribute_and_by_name() -> None:
    names = ["plain", "two words", "", "ünïcödé", "_found", "_instance", "__len__", "class", "keys", "\0", "a.b"]
    written = [name.replace("\0", "\\00") for name in names]
    functions = "".join(f'(func (export "{name}") (result i32) (i32.const {n}))' for n, name in enumerate(written))
    exports = wasmark.Instance(wasmark.Module(f"(module {functions})")).exports
    assert list(exports) == names
    assert len(exports) == len(names)
    assert dir(exports) == sorted(names)
    for n, name in enumerate(names):
        assert name in exports
        assert exports[name]() == n
    assert exports.plain() == 0
    assert getattr(exports, "two words")() == 1
    assert "missing" not in exports
    assert 5 not in exports
    with pytest.raises(KeyError, match="missing"):
        exports["missing"]
    with pytest.raises(AttributeError, match="the module exports no 'missing'"):
        exports.missing  # noqa: B018
    assert getattr(exports, "missing", None) is None
    assert not hasattr(exports, "__wrapped__")


def test_a_copy_of_exports_is_as_good_as_the_exports(shared: wasmark.Module) -> None:
    exports = wasmark.Instance(shared).exports
    again = copy.copy(exports)
    assert again.func(1) == 2
    assert list(again) == list(exports)


def test_an_instance_tells_what_it_is(shared: wasmark.Module) -> None:
    instance = wasmark.Instance(shared)
    assert repr(instance) == f"<wasmark.Instance of shared: {len(instance.exports)} exports>"
    assert repr(instance.store) == "<wasmark.Store: 1 instance>"
    assert instance.module is shared
    assert "memory, table, global" in repr(instance.exports)


def test_a_module_without_any_code_keeps_its_data_for_the_store() -> None:
    store = wasmark.Store()
    module = wasmark.Module('(module (memory (export "m") 1) (data (i32.const 0) "abc") (data "passive"))')
    instance = wasmark.Instance(module, store=store)
    assert instance.exports.m.read(0, 3) == b"abc"
    watch = weakref.ref(module)
    del module, instance
    gc.collect()
    assert watch() is not None
    del store
    gc.collect()
    assert watch() is None


# --- a linker -------------------------------------------------------------------------------------------------


def test_a_linker_collects_definitions_for_any_number_of_instances(
    shared: wasmark.Module, user: wasmark.Module
) -> None:
    store = wasmark.Store()
    linker = wasmark.Linker()
    linker.define_instance("m", wasmark.Instance(shared, store=store))
    first = linker.instantiate(user, store)
    second = linker.instantiate(user, store)
    first.exports.bump()
    assert second.exports.func(0) == 2
    with pytest.raises(wasmark.LinkError, match="'m' 'memory' is defined already"):
        linker.define("m", "memory", wasmark.Memory(store, MemoryType(Limits(1))))
    with pytest.raises(wasmark.LinkError, match="belongs to another store"):
        linker.instantiate(user)
    linker.define("h", "f", lambda: None)
    linker.instantiate(wasmark.Module('(module (import "h" "f" (func)))'), store)
    linker.instantiate(wasmark.Module('(module (import "h" "f" (func)))'))


def test_globals_of_every_type_can_be_imported() -> None:
    store = wasmark.Store()
    thing = object()
    text = """(module
      (import "m" "i64" (global $i64 i64)) (import "m" "f32" (global $f32 f32))
      (import "m" "any" (global $any externref))
      (import "m" "func" (global $func funcref))
      (global (export "copy") i64 (global.get $i64))
      (func (export "f32") (result f32) (global.get $f32))
      (func (export "any") (result externref) (global.get $any))
      (func (export "func") (result funcref) (global.get $func)))"""
    function = wasmark.Func.from_callable(store, FuncType((), ()), lambda: None)
    given = {
        "i64": wasmark.Global(store, GlobalType(I64, False), -(1 << 63)),
        "f32": wasmark.Global(store, GlobalType(F32, False), 0.25),
        "any": wasmark.Global(store, GlobalType(EXTERNREF, False), thing),
        "func": wasmark.Global(store, GlobalType(FUNCREF, False), function),
    }
    exports = wasmark.Instance(wasmark.Module(text), {"m": given}, store).exports
    assert exports.copy.value == -(1 << 63)
    assert exports.f32() == 0.25
    assert exports.any() is thing
    assert exports.func() is function
