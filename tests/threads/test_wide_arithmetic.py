"""128-bit arithmetic, against Python's integers, in every way to compile."""

from __future__ import annotations

import random

import pytest

from tests.ways import WAYS, config
from wasmark import Engine, Instance, Module

TEXT = """(module
  (func (export "i64.add128") (param i64 i64 i64 i64) (result i64 i64)
    (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "i64.sub128") (param i64 i64 i64 i64) (result i64 i64)
    (i64.sub128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))
  (func (export "i64.mul_wide_s") (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1)))
  (func (export "i64.mul_wide_u") (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))
  (func (export "mixed") (param i64) (result i64) (local i64)  ;; operands and results among others of the stack
    (i64.const 3) (i64.const -1) (local.get 0)
    (i64.add128 (i64.const 1) (i64.const 2)) (local.set 1) (i64.xor (local.get 1)) (i64.add)
    (i64.mul_wide_u (local.get 0)) (i64.sub)))"""

MASK = (1 << 64) - 1
EDGES = (0, 1, -1, 1 << 62, -(1 << 63), (1 << 63) - 1, 0x1234_5678_9ABC_DEF0)


def signed(value: int) -> int:
    return (value & MASK) - (1 << 64) if value & 1 << 63 else value & MASK


def halves(value: int) -> tuple[int, int]:
    return signed(value), signed(value >> 64)


def pair(low: int, high: int) -> int:
    return (low & MASK) | (high & MASK) << 64


@pytest.mark.parametrize("way", WAYS)
def test_results_are_those_of_unlimited_integers(way: str) -> None:
    exports = Instance(Module(TEXT, Engine(config(way)))).exports
    rng = random.Random(1)
    for number in range(400):
        a, b, c, d = (rng.choice(EDGES) if number % 2 else rng.randrange(-(1 << 63), 1 << 63) for _ in range(4))
        assert exports["i64.add128"](a, b, c, d) == halves(pair(a, b) + pair(c, d))
        assert exports["i64.sub128"](a, b, c, d) == halves(pair(a, b) - pair(c, d))
        assert exports["i64.mul_wide_s"](a, b) == halves(a * b)
        assert exports["i64.mul_wide_u"](a, b) == halves((a & MASK) * (b & MASK))
        low, high = halves(pair(-1, a) + pair(1, 2))
        combined = signed(3 + (low ^ high))
        product = halves((combined & MASK) * (a & MASK))
        assert exports.mixed(a) == signed(product[0] - product[1])
