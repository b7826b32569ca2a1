"""`Table` and `Global` from Python."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

import wasmark
from wasmark import Limits, TableType
from wasmark.core.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, GlobalType, HeapType, RefType

TEXT = """(module
  (type $t (func (result i32)))
  (table $functions (export "functions") 3 6 funcref)
  (table $things (export "things") 2 externref)
  (table $typed (export "typed") 1 3 (ref null $t))
  (elem (table $functions) (i32.const 1) func $one $two)
  (func $one (export "one") (result i32) (i32.const 1))
  (func $two (export "two") (result i32) (i32.const 2))
  (func $other (export "other"))
  (func (export "call") (param i32) (result i32) (call_indirect $functions (type $t) (local.get 0)))
  (func (export "call_typed") (param i32) (result i32) (call_ref $t (table.get $typed (local.get 0))))
  (func (export "get") (param i32) (result externref) (table.get $things (local.get 0)))
  (func (export "size") (result i32) (table.size $functions))
  (func (export "grow") (param i32) (result i32) (table.grow $functions (ref.func $one) (local.get 0)))
  (global (export "i32") (mut i32) (i32.const -5))
  (global (export "i64") (mut i64) (i64.const 1))
  (global (export "f32") (mut f32) (f32.const 0.1))
  (global (export "f64") (mut f64) (f64.const 0.1))
  (global (export "fixed") i32 (i32.const 7))
  (global $function (export "function") (mut funcref) (ref.func $two))
  (global (export "thing") (mut externref) (ref.null extern))
  (func (export "read") (result i32) (global.get 0))
  (func (export "write") (param i32) (global.set 0 (local.get 0))))"""


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(TEXT)


@pytest.fixture
def exports(module: wasmark.Module) -> Any:
    return wasmark.Instance(module).exports


# --- tables -------------------------------------------------------------------------------------------------


def test_a_table_is_a_sequence(exports: Any) -> None:
    table = exports.functions
    assert len(table) == 3
    assert list(table) == [None, exports.one, exports.two]
    assert exports.two in table
    assert table[1] is exports.one
    table[0] = exports.two
    assert exports.call(0) == 2
    table[1] = None
    with pytest.raises(wasmark.Trap, match="uninitialized element"):
        exports.call(1)
    table[2] = exports.other
    with pytest.raises(wasmark.Trap, match="indirect call type mismatch"):
        exports.call(2)


@pytest.mark.parametrize("index", [3, -1, -3, 1 << 32, 1 << 64, -(1 << 70)])
def test_indices_outside_are_index_errors(exports: Any, index: int) -> None:
    table = exports.functions
    with pytest.raises(IndexError, match=f"element {index} of a table of 3"):
        table[index]
    with pytest.raises(IndexError, match=f"element {index} of a table of 3"):
        table[index] = None
    assert list(table) == [None, exports.one, exports.two]


@pytest.mark.parametrize("index", ["0", 0.0, None, slice(0, 1), (0,)])
def test_what_is_no_index_is_a_type_error(exports: Any, index: Any) -> None:
    with pytest.raises(TypeError):
        exports.functions[index]
    with pytest.raises(TypeError):
        exports.functions[index] = None


def test_elements_of_the_wrong_kind_are_type_errors_and_change_nothing(module: wasmark.Module, exports: Any) -> None:
    table = exports.functions
    before = list(table)
    for wrong in (5, "f", print, object(), exports, lambda: None):
        with pytest.raises(TypeError, match=r"expected a wasmark\.Func or None"):
            table[0] = wrong
    with pytest.raises(TypeError, match="another store"):
        table[0] = wasmark.Instance(module).exports.one
    with pytest.raises(TypeError, match="is not a"):
        exports.typed[0] = exports.other
    assert list(table) == before
    exports.typed[0] = exports.one
    assert exports.call_typed(0) == 1


def test_growing_from_python_and_from_wasm(exports: Any) -> None:
    table = exports.functions
    assert table.grow(0) == 3
    assert table.grow(1) == 3
    assert table.grow(1, exports.two) == 4
    assert (len(table), exports.size()) == (5, 5)
    assert table[3] is None
    assert exports.call(4) == 2
    assert exports.grow(1) == 5
    assert exports.call(5) == 1
    assert exports.grow(1) == -1
    for too_many in (1, 1 << 32, 1 << 70):
        with pytest.raises(ValueError, match="cannot grow a table of 6 elements by"):
            table.grow(too_many)
    with pytest.raises(ValueError, match="cannot grow"):
        table.grow(-1)
    with pytest.raises(TypeError):
        table.grow(1, "no function")
    assert len(table) == 6


def test_elements_keep_their_places_however_often_a_table_grows(exports: Any) -> None:
    table = exports.things
    things: list[Any] = [None, None]
    for n in range(300):
        thing = [n]
        assert table.grow(n % 4, thing) == len(things)
        things += [thing] * (n % 4)
    assert list(table) == things
    assert all(exports.get(n) is things[n] for n in range(len(things)))


def test_a_table_of_its_own(exports: Any) -> None:
    store = wasmark.Store()
    table = wasmark.Table(store, TableType(EXTERNREF, Limits(2, 4)))
    assert list(table) == [None, None]
    table[1] = "x"
    assert table.grow(2, table) == 2
    assert list(table) == [None, "x", table, table]
    assert repr(table) == "<wasmark.Table: 4 x externref, at most 4>"
    assert table.type == TableType(EXTERNREF, Limits(2, 4))
    assert table.present_type == TableType(EXTERNREF, Limits(4, 4))
    must = wasmark.Table(store, TableType(RefType.of(False, HeapType.EXTERN), Limits(0, 4)))
    with pytest.raises(TypeError, match="None is not a"):
        must.grow(1)
    assert must.grow(1, 5) == 0
    with pytest.raises(TypeError, match="None is not a"):
        must[0] = None


def test_bounds_of_tables() -> None:
    engine = wasmark.Engine(wasmark.Config(max_table_elements=100))
    store = wasmark.Store(engine)
    with pytest.raises(wasmark.Error, match="101 elements is more than the 100"):
        wasmark.Table(store, TableType(FUNCREF, Limits(101)))
    with pytest.raises(ValueError, match="at least 3 and at most 2"):
        wasmark.Table(store, TableType(FUNCREF, Limits(3, 2)))
    assert len(store.tables) == 0
    table = wasmark.Table(store, TableType(FUNCREF, Limits(0)))
    assert table.grow(100) == 0
    with pytest.raises(ValueError, match="at most 100"):
        table.grow(1)


def test_a_table_without_memory_for_more_elements_does_not_grow() -> None:
    engine = wasmark.Engine(wasmark.Config(max_table_elements=1 << 62))
    text = """(module (table (export "t") 1 externref)
      (func (export "grow") (param i32) (result i32) (table.grow 0 (ref.null extern) (local.get 0))))"""
    exports = wasmark.Instance(wasmark.Module(text, engine), store=wasmark.Store(engine)).exports
    with pytest.raises(ValueError, match="cannot grow"):
        exports.t.grow(1 << 60)
    with pytest.raises(ValueError, match="cannot grow"):
        exports.t.grow(1 << 46)
    assert exports.grow(10) == 1
    assert len(exports.t) == 11
    for minimum in (1 << 46, 1 << 61):
        with pytest.raises(wasmark.Error, match="no memory for a table"):
            wasmark.Table(wasmark.Store(engine), TableType(FUNCREF, Limits(minimum, None, True)))


def test_threads_that_grow_a_table_while_wasm_uses_it(exports: Any) -> None:
    text = """(module (table (export "t") 1 externref)
      (func (export "walk") (param i32) (local $i i32)
        (loop $again
          (drop (table.get 0 (i32.rem_u (local.get $i) (table.size 0))))
          (drop (table.get 0 (i32.sub (table.size 0) (i32.const 1))))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $again (i32.lt_u (local.get $i) (local.get 0))))))"""
    own = wasmark.Instance(wasmark.Module(text)).exports
    starts: list[int] = []
    done = threading.Event()

    def grow() -> None:
        while not done.is_set() and len(own.t) < 1_000_000:
            starts.append(own.t.grow(1 + len(own.t) // 10, own))

    threads = [threading.Thread(target=grow) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        own.walk(200_000)
    done.set()
    for thread in threads:
        thread.join(60)
    assert len(set(starts)) == len(starts)
    assert all(own.t[n] is (own if n else None) for n in range(min(len(own.t), 1000)))


# --- globals ------------------------------------------------------------------------------------------------


def test_globals_are_read_and_written_by_both(exports: Any) -> None:
    assert exports.i32.value == -5
    exports.i32.value = 41
    assert exports.read() == 41
    exports.write(-1)
    assert exports.i32.value == -1
    exports.i32.value = (1 << 32) - 2
    assert exports.i32.value == -2
    exports.i64.value = -(1 << 63)
    assert exports.i64.value == -(1 << 63)
    exports.f32.value = 0.5
    assert exports.f32.value == 0.5
    exports.f64.value = 1e300
    assert exports.f64.value == 1e300
    assert exports.function.value is exports.two
    exports.function.value = exports.one
    assert exports.function.value() == 1
    exports.thing.value = exports
    assert exports.thing.value is exports


def test_wrong_values_are_errors_and_change_nothing(exports: Any) -> None:
    for name, wrong, error in (
        ("i32", "x", TypeError),
        ("i32", 1.0, TypeError),
        ("i32", 1 << 32, OverflowError),
        ("i64", 1 << 64, OverflowError),
        ("f32", "1", TypeError),
        ("f64", None, TypeError),
        ("function", print, TypeError),
    ):
        global_ = exports[name]
        before = global_.value
        with pytest.raises(error):
            global_.value = wrong
        assert global_.value == before


def test_an_immutable_global_is_not_written(exports: Any) -> None:
    with pytest.raises(TypeError, match="the global is immutable"):
        exports.fixed.value = 8
    assert exports.fixed.value == 7


def test_globals_of_their_own() -> None:
    store = wasmark.Store()
    thing = object()
    for type_, value in ((I32, -1), (I64, 1 << 40), (F32, 0.5), (F64, 0.1), (EXTERNREF, thing), (FUNCREF, None)):
        fixed = wasmark.Global(store, GlobalType(type_, False), value)
        assert fixed.value == value
        with pytest.raises(TypeError, match="immutable"):
            fixed.value = value
    with pytest.raises(TypeError):
        wasmark.Global(store, GlobalType(I32, False), "x")
    with pytest.raises(OverflowError):
        wasmark.Global(store, GlobalType(I32, False), 1 << 40)
    with pytest.raises(TypeError, match="None is not a"):
        wasmark.Global(store, GlobalType(RefType.of(False, HeapType.FUNC), False), None)
    assert repr(wasmark.Global(store, GlobalType(I32, True), 5)) == "<wasmark.Global mut i32 = 5>"


def test_two_handles_of_one_global_are_one(module: wasmark.Module) -> None:
    instance = wasmark.Instance(module)
    assert instance.exports.i32 is instance.exports["i32"]
    user = wasmark.Module(
        """(module (import "m" "i32" (global $g (mut i32))) (export "again" (global $g))
        (func (export "add") (param i32) (global.set $g (i32.add (global.get $g) (local.get 0)))))"""
    )
    for n in itertools.islice(itertools.count(1), 3):
        other = wasmark.Instance(user, {"m": instance.exports}, instance.store)
        assert other.exports.again is instance.exports.i32
        instance.exports.i32.value = n
        other.exports.add(10)
        assert instance.exports.read() == n + 10
