"""A second opinion: modules with a few bytes changed are valid here exactly where another engine says so."""

from __future__ import annotations

import random

import pytest

from wasmark.binary import decode_body, decode_module, encode_module
from wasmark.core.features import Feature
from wasmark.errors import Error, UnsupportedError
from wasmark.text import parse_module
from wasmark.validate import validate_module

wasmtime = pytest.importorskip("wasmtime")

MODULES = (
    """(module
      (type $t (func (param i32 i64) (result f64)))
      (type $u (sub (func (param (ref null $t)) (result (ref null func)))))
      (type $v (sub $u (func (param (ref null func)) (result (ref func)))))
      (rec (type $a (func (param (ref $b)))) (type $b (struct (field (mut i32) (ref $a)))))
      (import "m" "f" (func $f (type $t)))
      (import "m" "g" (global $g i32))
      (table $x 3 10 funcref)
      (table $y i64 3 externref)
      (table $z 2 (ref null $t) (ref.func $f))
      (memory 1 2)
      (memory $big i64 1)
      (global $h (mut i64) (i64.const 7))
      (global $i i32 (i32.add (global.get $g) (i32.const 2)))
      (elem (table $x) (i32.const 0) func $f $f)
      (elem $passive funcref (ref.func $f) (ref.null func))
      (data (i32.const 8) "abc")
      (data $bytes "abcdef")
      (func (export "f") (param i32 i64 funcref) (result i32) (local (ref $t)) (local f32)
        (local.set 3 (ref.func $f))
        (drop (call_ref $t (local.get 0) (local.get 1) (local.get 3)))
        (drop (call_indirect $x (type $t) (local.get 0) (local.get 1) (i32.const 2)))
        (table.set $x (i32.const 1) (local.get 2))
        (table.init $x $passive (i32.const 0) (i32.const 0) (i32.const 1))
        (memory.init $bytes (i32.const 0) (i32.const 0) (i32.const 1))
        (memory.copy $big 0 (i64.const 0) (i32.const 0) (i32.const 1))
        (i64.store $big offset=9 align=4 (i64.const 1) (global.get $h))
        (global.set $h (i64.load16_u offset=3 (local.get 0)))
        (block (result (ref func)) (br_on_non_null 0 (local.get 2)) (unreachable))
        (ref.is_null)))""",
    """(module
      (func $select (param i32 f32) (result f32)
        (select (local.get 1) (f32.const nan) (i32.eqz (local.get 0)))
        (block $out (param f32) (result f32)
          (block $in (param f32) (result f32)
            (br_table $in $out 2 (local.get 0)))
          (f32.neg)
          (br_if $out (local.get 0))
          (drop) (unreachable) (select) (drop)
          (br 1 (f32.const 2)))
        (return))
      (func $loop (param i64 i32) (result i64)
        (local i64 i64 i32)
        (local.get 0)
        (loop (param i64) (result i64)
          (local.tee 2) (i64.const 1) (i64.sub) (local.tee 3)
          (br_if 0 (i32.wrap_i64 (local.get 3)))
          (if (param i64) (result i64) (local.get 1)
            (then (i64.clz) (i64.extend8_s))
            (else (drop) (i64.trunc_sat_f64_s (f64.const 3)))))
        (call $pair) (drop) (i64.extend_i32_u) (i64.add))
      (func $pair (result i32 f64)
        (if (result i32 f64) (i32.const 1) (then (i32.const 1) (f64.const 2)) (else (unreachable)))))""",
)

FEATURES = frozenset(Feature) - {Feature.LEGACY_EXCEPTIONS}

OFTEN = bytes.fromhex(
    "00 01 02 03 04 05 0b 0c 0d 0e 0f 10 11 14 1a 1b 1c 20 21 22 23 24 40 41 42 45 6a 6f 70 7c 7d 7e 7f"
    "63 64 d0 d1 d4 d5 d6 fc"
)
"""Bytes that mean something: instructions, types, small numbers."""


def ours(binary: bytes) -> bool:
    try:
        model = decode_module(binary)
        validator = validate_module(model, FEATURES)
        for index, function in enumerate(model.functions):
            validator.validate_body(index, decode_body(model, function.start, function.end))
    except UnsupportedError:
        raise
    except Error:
        return False
    return True


def damaged(binary: bytes, choose: random.Random) -> bytes:
    changed = bytearray(binary)
    for _ in range(choose.choice((1, 1, 1, 2, 3))):
        at = choose.randrange(8, len(changed))
        bit = 1 << choose.randrange(8)
        changed[at] = choose.choice((choose.choice(OFTEN), changed[at] ^ bit, changed[at] + 1 & 0xFF))
    return bytes(changed)


@pytest.mark.parametrize("text", MODULES)
@pytest.mark.parametrize("seed", range(3))
def test_damaged_modules_are_judged_as_by_another_engine(text: str, seed: int) -> None:
    config = wasmtime.Config()
    config.wasm_memory64 = config.wasm_gc = config.wasm_function_references = config.wasm_exceptions = True
    engine = wasmtime.Engine(config)

    def theirs(binary: bytes) -> bool:
        try:
            wasmtime.Module.validate(engine, binary)
        except wasmtime.WasmtimeError:
            return False
        return True

    whole = encode_module(parse_module(text))
    assert ours(whole)
    assert theirs(whole)
    choose = random.Random(seed)
    verdicts = {True: 0, False: 0}
    for _ in range(2000):
        binary = damaged(whole, choose)
        try:
            verdict = ours(binary)
        except UnsupportedError:
            continue
        assert verdict == theirs(binary), f"valid here: {verdict}; {binary.hex()}"
        verdicts[verdict] += 1
    assert verdicts[True] > 50
    assert verdicts[False] > 1000
