"""Instances start from a plan made once a module: each gets the same contents, however its segments are written."""

from __future__ import annotations

import pytest

import wasmark
from wasmark.core.types import I32

OVERLAPPING = """(module (memory (export "memory") 1)
  (data (i32.const 10) "aaaaaa") (data (i32.const 12) "bb") (data (i32.const 65535) "z") (data (i32.const 40) ""))"""


def test_later_segments_win_and_every_instance_starts_afresh() -> None:
    module = wasmark.Module(OVERLAPPING)
    assert module.instance_plan().memories().copies is not None
    for _ in range(3):
        memory = wasmark.Instance(module).exports.memory
        assert memory.read(9, 8) == b"\0aabbaa\0"
        assert memory.read(65535, 1) == b"z"
        memory.write(0, b"x" * 65536)


def test_segments_into_an_imported_memory_leave_what_is_between_them() -> None:
    owner = wasmark.Instance(wasmark.Module('(module (memory (export "m") 1))'))
    owner.exports.m.write(0, b"." * 32)
    module = wasmark.Module('(module (import "o" "m" (memory 1)) (data (i32.const 1) "a") (data (i32.const 5) "b"))')
    assert module.instance_plan().memories().copies is None
    wasmark.Instance(module, {"o": {"m": owner.exports.m}}, owner.store)
    assert owner.exports.m.read(0, 8) == b".a...b.."


def test_segments_far_apart_take_no_image_of_what_is_between() -> None:
    module = wasmark.Module(
        '(module (memory (export "m") 1000) (data (i32.const 0) "a") (data (i32.const 60000000) "b"))'
    )
    assert module.instance_plan().memories().copies is None
    memory = wasmark.Instance(module).exports.m
    assert (memory.read(0, 1), memory.read(60000000, 1)) == (b"a", b"b")


def test_a_segment_that_does_not_fit_traps_after_the_ones_before_it_are_written() -> None:
    owner = wasmark.Instance(wasmark.Module('(module (memory (export "m") 1))'))
    late = wasmark.Module(
        '(module (import "o" "m" (memory 1)) (data (i32.const 0) "ok") (data (i32.const 65535) "no"))'
    )
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(late, {"o": {"m": owner.exports.m}}, owner.store)
    assert caught.value.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS
    assert owner.exports.m.read(0, 2) == b"ok"
    own = wasmark.Module('(module (memory 1) (data (i32.const 65535) "no"))')
    assert own.instance_plan().memories().copies is None
    with pytest.raises(wasmark.Trap):
        wasmark.Instance(own)


def test_an_empty_segment_has_to_fit_as_well() -> None:
    for offset, fits in ((65536, True), (65537, False)):
        module = wasmark.Module(f'(module (memory 1) (data (i32.const {offset}) ""))')
        for _ in range(3):
            if fits:
                wasmark.Instance(module)
            else:
                with pytest.raises(wasmark.Trap):
                    wasmark.Instance(module)


def test_globals_are_set_from_constants_and_from_other_globals() -> None:
    module = wasmark.Module("""(module (import "e" "g" (global $g i32))
      (global (export "a") (mut i32) (i32.const -5)) (global (export "b") i64 (i64.const -6))
      (global (export "c") i32 (global.get $g)) (global (export "d") f64 (f64.const 2.5))
      (global (export "e") i32 (i32.add (global.get $g) (i32.const 1))))""")
    for value in (7, 9):
        store = wasmark.Store()
        given = wasmark.Global(store, wasmark.GlobalType(I32, mutable=False), value)
        exports = wasmark.Instance(module, {"e": {"g": given}}, store).exports
        assert [exports[name].value for name in "abcde"] == [-5, -6, value, 2.5, value + 1]
        exports.a.value = 100


@pytest.mark.parametrize("strategy", ["eager", "lazy"])
def test_references_of_two_instances_lead_to_their_own(strategy: str) -> None:
    engine = wasmark.Engine(wasmark.Config(strategy=strategy))
    module = wasmark.Module(
        """(module (table (export "t") 2 funcref) (elem (i32.const 0) $get $set)
          (global $g (mut i32) (i32.const 1))
          (func $get (export "get") (result i32) (global.get $g))
          (func $set (export "set") (param i32) (global.set $g (local.get 0))))""",
        engine,
    )
    store = wasmark.Store(engine)
    first, second = wasmark.Instance(module, store=store).exports, wasmark.Instance(module, store=store).exports
    first.t[1](11)
    second.t[1](22)
    assert (first.t[0](), second.t[0]()) == (11, 22)
    assert first.t[0] is first["get"]


def test_a_table_starts_with_functions_of_its_own_and_with_imported_ones() -> None:
    module = wasmark.Module("""(module
      (import "h" "a" (func $a (result i32))) (import "h" "b" (func $b (result i32)))
      (table (export "t") 6 funcref) (table (export "u") 2 funcref)
      (elem (i32.const 0) $one $a $two $b) (elem (i32.const 2) $one $one) (elem (table 1) (i32.const 1) func $b)
      (func $one (export "one") (result i32) (i32.const 1)) (func $two (result i32) (i32.const 2))
      (func (export "call") (param i32) (result i32) (call_indirect (result i32) (local.get 0))))""")
    assert module.instance_plan().elements_are_planned
    for round_ in range(3):
        store = wasmark.Store()
        function = wasmark.Func.from_callable(store, wasmark.FuncType((), (I32,)), lambda: 40)
        imports = {"h": {"a": lambda round_=round_: 10 + round_, "b": function}}
        exports = wasmark.Instance(module, imports, store).exports
        assert [exports.t[n] and exports.t[n]() for n in range(6)] == [1, 10 + round_, 1, 1, None, None]
        assert exports.call(1) == 10 + round_
        assert exports.t[0] is exports.one
        assert exports.u[0] is None
        assert exports.u[1] is function
        assert exports.t.grow(3, function) == 6
        assert exports.call(8) == 40
        exports.t[0] = None
        with pytest.raises(wasmark.Trap):
            exports.call(0)


@pytest.mark.parametrize(
    "text",
    [
        '(module (table (export "t") 3 funcref (ref.func $f)) (elem (i32.const 1) $g) (func $f) (func $g))',
        '(module (table (export "t") 3 funcref) (elem (i32.const 0) funcref (ref.func $f) (ref.func $g)) '
        "(func $f) (func $g))",
        '(module (table (export "t") 5000 funcref) (elem (i32.const 0) $f $g) (func $f) (func $g))',
        '(module (import "e" "g" (global $o i32)) (table (export "t") 3 funcref) (elem (i32.const 0) $f) '
        "(elem (global.get $o) $g) (func $f) (func $g))",
    ],
    ids=["initialised", "expressions", "large", "offset from a global"],
)
def test_tables_that_cannot_be_planned_are_filled_all_the_same(text: str) -> None:
    module = wasmark.Module(text)
    for _ in range(2):
        store = wasmark.Store()
        one = wasmark.Global(store, wasmark.GlobalType(I32, mutable=False), 1)
        table = wasmark.Instance(module, {"e": {"g": one}}, store).exports.t
        assert [table[n].__name__ for n in range(2)] == ["f", "g"]


def test_an_element_segment_that_does_not_fit_traps_in_every_instance() -> None:
    module = wasmark.Module("(module (table 2 funcref) (elem (i32.const 0) $f) (elem (i32.const 1) $f $f) (func $f))")
    for _ in range(3):
        with pytest.raises(wasmark.Trap) as caught:
            wasmark.Instance(module)
        assert caught.value.code is wasmark.TrapCode.TABLE_OUT_OF_BOUNDS


def test_functions_and_callables_stand_side_by_side_among_the_imports() -> None:
    module = wasmark.Module("""(module
      (import "h" "add" (func $add (param i32 i32) (result i32)))
      (import "h" "next" (func $next (param i32) (result i32)))
      (import "h" "same" (func $same (param externref) (result externref)))
      (import "h" "many" (func $many (param i32) (result i32 i32)))
      (export "add" (func $add)) (export "next" (func $next)) (export "same" (func $same)) (export "many" (func $many))
      (func (export "use") (param i32) (result i32)
        (i32.add (call $next (local.get 0)) (i32.add (call $many (local.get 0))))))""")
    given = {"add": lambda x, y: x + y, "next": lambda x: x + 1, "same": lambda x: x, "many": lambda x: (x, 2 * x)}
    for names in ((), ("add",), ("next", "many"), ("same",), tuple(given)):
        store = wasmark.Store()
        ready = wasmark.Instance(module, {"h": given}, store).exports
        offered = {name: ready[name] if name in names else call for name, call in given.items()}
        exports = wasmark.Instance(module, {"h": offered}, store).exports
        assert (exports.add(2, 3), exports.next(4), exports.many(5)) == (5, 5, (5, 10))
        assert exports.same(given) is given
        assert exports.use(10) == 41
        for name in given:
            assert (exports[name] is ready[name]) == (name in names)
            assert exports[name].__name__ == f"h.{name}"
