"""Fields and elements that are vectors."""

from __future__ import annotations

from typing import Any

import pytest

import wasmark
from tests.ways import STRESSED, WAYS, config

WAT = """
(module
  (type $pair (struct (field i32) (field $first (mut v128)) (field (mut i8)) (field $second (mut v128))))
  (type $vectors (array (mut v128)))
  (data $data "0123456789abcdefABCDEFGHIJKLMNOP")
  (global (export "made") (ref $pair)
    (struct.new $pair (i32.const 1) (v128.const i32x4 1 2 3 4) (i32.const 2) (v128.const i32x4 5 6 7 8)))
  (func (export "pair") (param v128) (result (ref $pair))
    (struct.new $pair (i32.const 7) (local.get 0) (i32.const 9) (v128.const i64x2 -1 -2)))
  (func (export "swap") (param (ref $pair)) (local v128)
    (local.set 1 (struct.get $pair $first (local.get 0)))
    (struct.set $pair $first (local.get 0) (struct.get $pair $second (local.get 0)))
    (struct.set $pair $second (local.get 0) (local.get 1)))
  (func (export "vectors") (param v128 i32) (result (ref $vectors)) (array.new $vectors (local.get 0) (local.get 1)))
  (func (export "fixed") (param v128) (result (ref $vectors))
    (array.new_fixed $vectors 3 (local.get 0) (v128.const i64x2 3 4) (local.get 0)))
  (func (export "data") (param i32 i32) (result (ref $vectors))
    (array.new_data $vectors $data (local.get 0) (local.get 1)))
  (func (export "change") (param (ref $vectors) i32 v128) (result v128)
    (array.set $vectors (local.get 0) (local.get 1) (local.get 2))
    (array.fill $vectors (local.get 0) (i32.const 2) (local.get 2) (i32.const 2))
    (array.copy $vectors $vectors (local.get 0) (i32.const 4) (local.get 0) (i32.const 1) (i32.const 2))
    (array.get $vectors (local.get 0) (local.get 1)))
)
"""

A, B, ZERO = bytes(range(16)), bytes(range(100, 116)), bytes(16)


@pytest.fixture(params=(*WAYS, *STRESSED[:2]))
def exports(request: pytest.FixtureRequest) -> Any:
    return wasmark.Instance(wasmark.Module(WAT, wasmark.Engine(config(request.param)))).exports


def test_a_field_holds_a_vector(exports: Any) -> None:
    pair = exports.pair(A)
    second = (-1).to_bytes(8, "little", signed=True) + (-2).to_bytes(8, "little", signed=True)
    assert list(pair) == [7, A, 9, second]
    exports.swap(pair)
    assert list(pair) == [7, second, 9, A]
    pair[1] = B
    exports.swap(pair)
    assert list(pair) == [7, A, 9, B]
    assert exports.made.value[3] == b"".join(n.to_bytes(4, "little") for n in (5, 6, 7, 8))


def test_an_element_is_a_vector(exports: Any) -> None:
    assert list(exports.fixed(B)) == [B, (3).to_bytes(8, "little") + (4).to_bytes(8, "little"), B]
    assert list(exports.data(8, 1)) == [b"89abcdefABCDEFGH"]
    with pytest.raises(wasmark.Trap):
        exports.data(17, 1)
    vectors = exports.vectors(A, 7)
    assert exports.change(vectors, 1, B) == B
    assert list(vectors) == [A, B, B, B, B, B, A]
    vectors[0] = ZERO
    assert vectors[0] == ZERO
