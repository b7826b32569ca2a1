"""Memories with pages of one byte: as long as they say, to the byte, in every way to compile."""

from __future__ import annotations

import pytest

from tests.ways import WAYS, config
from wasmark import Engine, Instance, Module, Trap, TrapCode

TEXT = """(module (memory (export "memory") 5 9000 (pagesize 1)) (memory $wide i64 3 (pagesize 1))
  (data (i32.const 1) "abcd")
  (func (export "load8") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "load32") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "load64") (param i32) (result i64) (i64.load offset=1 (local.get 0)))
  (func (export "store16") (param i32 i32) (i32.store16 (local.get 0) (local.get 1)))
  (func (export "vector") (param i32) (result v128) (v128.load (local.get 0)))
  (func (export "atomic") (param i32) (result i32) (i32.atomic.rmw8.add_u (local.get 0) (i32.const 1)))
  (func (export "fill") (param i32 i32) (memory.fill (local.get 0) (i32.const 7) (local.get 1)))
  (func (export "wide") (param i64) (result i32) (i32.load8_u $wide (local.get 0)))
  (func (export "size") (result i32) (memory.size))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))"""


@pytest.mark.parametrize("way", WAYS)
def test_the_first_byte_behind_the_end_is_out_of_bounds(way: str) -> None:
    exports = Instance(Module(TEXT, Engine(config(way)))).exports

    def traps(name: str, *args: int) -> bool:
        try:
            exports[name](*args)
        except Trap as trap:
            return trap.code is TrapCode.MEMORY_OUT_OF_BOUNDS and trap.frames[0].func_name == name
        return False

    assert len(exports.memory) == exports.size() == 5
    assert exports.load8(4) == ord("d")
    assert exports.load32(1) == int.from_bytes(b"abcd", "little")
    assert traps("load8", 5)
    assert traps("load32", 2)
    assert traps("load64", 0)
    assert traps("store16", 4, 1)
    assert traps("vector", 0)
    assert traps("atomic", 5)
    assert traps("fill", 1, 5)
    assert traps("load8", -1)
    assert exports.wide(2) == 0
    assert traps("wide", 3)
    assert bytes(exports.memory) == b"\0abcd"
    assert exports.grow(4 + 8) == 5
    assert exports.load64(8) == 0
    assert traps("load64", 9)
    assert exports.grow(9000 - 17) == 17
    assert exports.grow(1) == -1
    assert traps("load8", 9000)
    assert not traps("atomic", 8999)
    assert not traps("vector", 8984)
    assert traps("vector", 8985)
