"""Every trap code, reached in every way there is: code, functions and offsets are right wherever it came from."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest

import wasmark
from tests.traps.support import ENGINES, Place, catch, check, place
from wasmark import TrapCode


class Case(NamedTuple):
    """What makes a function trap: its body, and the name of the instruction that does it ("" for the entry)."""

    body: str
    instruction: str


CASES = {
    TrapCode.UNREACHABLE: Case("unreachable", "unreachable"),
    TrapCode.INTEGER_DIVISION_BY_ZERO: Case("(drop (i32.rem_u (i32.const 7) (global.get $zero)))", "i32.rem_u"),
    TrapCode.INTEGER_OVERFLOW: Case(
        "(drop (i64.div_s (i64.const 0x8000000000000000) (i64.sub (global.get $none) (i64.const 1))))",
        "i64.div_s",
    ),
    TrapCode.BAD_CONVERSION_TO_INTEGER: Case(
        "(drop (i64.trunc_f32_u (f32.div (f32.convert_i32_s (global.get $zero)) (f32.const 0))))", "i64.trunc_f32_u"
    ),
    TrapCode.MEMORY_OUT_OF_BOUNDS: Case(
        "(drop (i64.load offset=8 (i32.sub (global.get $zero) (i32.const 1))))", "i64.load"
    ),
    TrapCode.TABLE_OUT_OF_BOUNDS: Case("(table.set $table (i32.const 3) (ref.null func))", "table.set"),
    TrapCode.UNDEFINED_ELEMENT: Case("(call_indirect (type $nothing) (i32.const 3))", "call_indirect"),
    TrapCode.UNINITIALIZED_ELEMENT: Case("(call_indirect (type $nothing) (i32.const 2))", "call_indirect"),
    TrapCode.INDIRECT_CALL_TYPE_MISMATCH: Case("(drop (call_indirect (result i32) (i32.const 1)))", "call_indirect"),
    TrapCode.STACK_OVERFLOW: Case("(call $trap)", ""),
    TrapCode.NULL_REFERENCE: Case("(drop (ref.as_non_null (ref.null func)))", "ref.as_non_null"),
    TrapCode.NULL_FUNCTION_REFERENCE: Case("(call_ref $nothing (ref.null $nothing))", "call_ref"),
    TrapCode.NULL_EXCEPTION_REFERENCE: Case("(throw_ref (ref.null exn))", "throw_ref"),
    TrapCode.NULL_STRUCTURE_REFERENCE: Case("(drop (struct.get $pair 0 (ref.null $pair)))", "struct.get"),
    TrapCode.NULL_ARRAY_REFERENCE: Case("(drop (array.len (ref.null array)))", "array.len"),
    TrapCode.NULL_I31_REFERENCE: Case("(drop (i31.get_s (ref.null i31)))", "i31.get_s"),
    TrapCode.ARRAY_OUT_OF_BOUNDS: Case(
        "(drop (array.get $words (array.new_default $words (i32.const 2)) (i32.const 2)))", "array.get"
    ),
    TrapCode.CAST_FAILURE: Case("(drop (ref.cast (ref $pair) (ref.i31 (i32.const 1))))", "ref.cast"),
    TrapCode.GC_HEAP_EXHAUSTED: Case(
        "(drop (array.new_default $words (i32.sub (global.get $zero) (i32.const 1))))", "array.new_default"
    ),
    TrapCode.UNALIGNED_ATOMIC: Case("(drop (i32.atomic.load (i32.const 2)))", "i32.atomic.load"),
    TrapCode.EXPECTED_SHARED_MEMORY: Case(
        "(drop (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const 0)))", "memory.atomic.wait32"
    ),
}

FROM_OUTSIDE = {TrapCode.OUT_OF_FUEL, TrapCode.INTERRUPT}
"""What no instruction does by itself; `tests/stopping` has these."""

MODULE = """(module $inner
  (type $nothing (func))
  (type $pair (struct (field i32)))
  (type $words (array (mut i64)))
  (import "host" "between" (func $between))
  (memory 1)
  (table $table 3 funcref)
  (global $zero (mut i32) (i32.const 0))
  (global $none (mut i64) (i64.const 0))
  (elem (i32.const 0) $trap $between)
  (func $trap (export "direct") {body})
  (func $indirect (export "indirect") (call_indirect (type $nothing) (i32.const 0)))
  (func $middle (param i32 i64 f64) (call $indirect) unreachable)
  (func $deep (export "deep") (call $middle (i32.const 1) (i64.const 2) (f64.const 3)) unreachable)
  (func $through_host (export "through_host") (nop) (call $between)))"""

OUTER = """(module $outer
  (import "inner" "direct" (func $imported))
  (import "inner" "table" (table $theirs 1 funcref))
  (func $caller (export "caller") (nop) (nop) (call $imported))
  (func $through_table (export "through_table") (call_indirect $theirs (i32.const 0))))"""

STARTING = """(module $starting
  (import "inner" "direct" (func $imported))
  (func $main (nop) (call $imported))
  (start $main))"""

OWN_START = """(module $own
  (type $nothing (func))
  (type $pair (struct (field i32)))
  (type $words (array (mut i64)))
  (memory 1)
  (table $table 3 funcref)
  (global $zero (mut i32) (i32.const 0))
  (global $none (mut i64) (i64.const 0))
  (elem (i32.const 0) $trap $main)
  (func $trap {body})
  (func $main (call $trap))
  (start $main))"""


class World:
    """An instance with a function that traps, and one of another module that imports it."""

    def __init__(self, code: TrapCode, engine: wasmark.Engine) -> None:
        self.code = code
        self.engine = engine
        case = CASES[code]
        self.store = wasmark.Store(engine)
        self.between: Any = lambda: None
        text = MODULE.format(body=case.body).replace("(table $table", '(table $table (export "table")')
        self.inner = wasmark.Module(text, engine)
        self.instance = wasmark.Instance(self.inner, {"host": {"between": lambda: self.between()}}, self.store)
        self.outer = wasmark.Module(OUTER, engine)
        self.importer = wasmark.Instance(self.outer, {"inner": self.instance.exports}, self.store)
        self.here = place(self.inner, "trap", case.instruction)

    def check(self, trap: wasmark.Trap, *outer: Place) -> None:
        """`outer` are the frames around that of the function that trapped; where the stack is full they are far."""
        if self.code is TrapCode.STACK_OVERFLOW:
            again = place(self.inner, "trap", "call")
            check(trap, self.store, self.code, [self.here, again, again])
            last = [Place(f.module, f.func_index, f.func_name, f.module_offset) for f in trap.frames]
            assert trap.omitted > 1000
            assert last[len(last) - len(outer) :] == list(outer)
        else:
            check(trap, self.store, self.code, [self.here, *outer])
            assert len(trap.frames) == 1 + len(outer)
            assert trap.omitted == 0


@pytest.fixture(params=ENGINES, scope="module")
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    return ENGINES[request.param]


@pytest.fixture(params=list(CASES), ids=lambda code: code.name.lower(), scope="module")
def world(request: pytest.FixtureRequest, engine: wasmark.Engine) -> World:
    return World(request.param, engine)


def test_every_code_has_a_case() -> None:
    assert set(CASES) | FROM_OUTSIDE == set(TrapCode)


def test_directly_from_an_export(world: World) -> None:
    for _ in range(2):
        world.check(catch(world.instance.exports.direct))


def test_the_message_names_trap_functions_and_offsets(world: World) -> None:
    trap = catch(world.importer.exports.caller)
    lines = str(trap).splitlines()
    assert lines[0] == f"wasm trap: {world.code.message}"
    assert f"inner!trap @ +{trap.frames[0].func_offset:#x} (wasm offset {world.here.module_offset:#x})" in lines[1]
    assert "outer!caller" in lines[-1]


def test_through_indirect_and_direct_calls(world: World) -> None:
    indirect = place(world.inner, "indirect", "call_indirect")
    world.check(catch(world.instance.exports.indirect), indirect)
    world.check(
        catch(world.instance.exports.deep),
        indirect,
        place(world.inner, "middle", "call"),
        place(world.inner, "deep", "call"),
    )


def test_through_an_import_of_another_module(world: World) -> None:
    world.check(catch(world.importer.exports.caller), place(world.outer, "caller", "call"))


def test_through_a_table_of_another_instance(world: World) -> None:
    world.check(catch(world.importer.exports.through_table), place(world.outer, "through_table", "call_indirect"))


def test_under_a_host_function_that_catches_it(world: World) -> None:
    caught: list[wasmark.Trap] = []

    def between() -> None:
        caught.append(catch(world.importer.exports.caller))

    world.between = between
    for _ in range(2):
        assert world.instance.exports.through_host() is None
    frames = place(world.outer, "caller", "call"), place(world.inner, "through_host", "call")
    for trap in caught:
        world.check(trap, *frames)
    assert len(caught) == 2


def test_under_a_host_function_that_lets_it_out(world: World) -> None:
    inner: list[wasmark.Trap] = []

    def between() -> None:
        try:
            world.instance.exports.indirect()
        except wasmark.Trap as trap:
            inner.append(trap)
            raise

    world.between = between
    trap = catch(world.instance.exports.through_host)
    assert inner == [trap]
    world.check(trap, place(world.inner, "indirect", "call_indirect"), place(world.inner, "through_host", "call"))


def test_in_another_thread(world: World) -> None:
    traps: list[wasmark.Trap] = []
    threads = [threading.Thread(target=lambda: traps.append(catch(world.importer.exports.caller))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(traps) == 3
    for trap in traps:
        world.check(trap, place(world.outer, "caller", "call"))


def test_from_a_start_function_that_calls_an_import(world: World) -> None:
    module = wasmark.Module(STARTING, world.engine)
    trap = catch(wasmark.Instance, module, {"inner": world.instance.exports}, world.store)
    world.check(trap, place(module, "main", "call"))


def test_from_the_start_function_of_its_own_module(world: World) -> None:
    module = wasmark.Module(OWN_START.format(body=CASES[world.code].body), world.engine)
    trap = catch(wasmark.Instance, module, None, world.store)
    places = [place(module, "trap", CASES[world.code].instruction)]
    if world.code is not TrapCode.STACK_OVERFLOW:
        places.append(place(module, "main", "call"))
    check(trap, world.store, world.code, places)


def test_the_store_works_on_after_every_trap(world: World) -> None:
    for name in ("direct", "indirect", "deep"):
        catch(world.instance.exports[name])
    world.between = lambda: None
    assert world.instance.exports.through_host() is None
