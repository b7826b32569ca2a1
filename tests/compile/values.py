"""Operands that instructions are tried on: the borders of everything."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tests.compile.semantics import F32, F64, Format
from wasmark.core import types as t
from wasmark.core.types import ValType


def _integers(bits: int) -> list[int]:
    near = [0, 1, 2, 3, 7, 31, 32, 63, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x12345678, 0x7FFFFFFF, 0x80000000]
    if bits == 64:
        near += [64, 0xFFFFFFFF, 1 << 32, 0x0123456789ABCDEF, (1 << 53) + 1, (1 << 63) - 1, 1 << 63]
    return sorted({value % (1 << bits) for number in near for value in (number, -number, ~number)})


def _floats(f: Format) -> list[int]:
    least_normal = 1 << f.mantissa
    quiet, payload = f.canonical, f.canonical | 0x12345
    signalling = f.infinity | 1
    found = [0, 1, least_normal - 1, least_normal, f.infinity - 1, f.infinity, quiet, payload, signalling]
    halves = [(number, 2) for number in (1, 2, 3, 4, 5, 7, 9)]
    borders = [(1 << k, 1) for k in (f.mantissa - 1, f.mantissa, f.mantissa + 1, f.mantissa + 2)]
    found += [f.rounded(Fraction(*pair)) for pair in halves + borders]
    for k in (31, 32, 63, 64):  # where conversions to integers end, and the two numbers on either side
        edge = f.rounded(Fraction(1 << k, 1))
        found += [edge - 2, edge - 1, edge, edge + 1]
    if f is F64:  # what only just fits an i32, and the borders of the range of f32
        found += [f.rounded(Fraction((1 << k) + d, 2)) for k in (32, 33) for d in (-3, -2, -1, 1, 2, 3)]
        largest = F32.fraction(F32.infinity - 1)
        least = F32.fraction(1)
        found += [f.rounded(n) for n in (largest, largest + largest / (1 << 25), 2 * largest)]
        found += [f.rounded(n) for n in (least, least / 2, least * 3 / 4, least / 4)]
    return list(dict.fromkeys([*found, *(value | f.sign for value in found)]))


ALL: Final[dict[ValType, list[int]]] = {
    t.I32: _integers(32),
    t.I64: _integers(64),
    t.F32: _floats(F32),
    t.F64: _floats(F64),
}
"""Unsigned bits by type."""


def _few_floats(f: Format) -> list[int]:
    one, two, half = (f.rounded(Fraction(*pair)) for pair in ((1, 1), (2, 1), (1, 2)))
    found = [0, one, two, half, f.rounded(Fraction(1, 3)), 1, f.infinity, f.canonical, f.infinity | 1]
    return [bits for value in found for bits in (value, value | f.sign)]


FEW: Final[dict[ValType, list[int]]] = {
    t.I32: [0, 1, 2, 3, 10, 31, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFF9, 0xFFFFFFFE, 0xFFFFFFFF],
    t.I64: [0, 1, 2, 3, 10, 63, 0xFFFFFFFF, (1 << 63) - 1, 1 << 63, (1 << 64) - 7, (1 << 64) - 2, (1 << 64) - 1],
    t.F32: _few_floats(F32),
    t.F64: _few_floats(F64),
}
"""A selection for constants."""
