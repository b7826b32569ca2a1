"""Random instructions on vectors, for the bodies that `bodies` writes.

A vector whose floats may be NaNs of any payload is made canonical at once, and so is a float before it becomes a lane.
Where the standard leaves a choice, both engines are told to be deterministic; but the other one fuses a multiplication
with an addition always, so one factor is 1 or -1 there, and it makes no difference. And its sums of products wrap
around where the standard's saturate (core, "ivdotsat"): the lanes of the second operand keep to seven bits.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Final

from wasmark.core.opcodes import OPCODES, Imm, Opcode
from wasmark.core.types import F32, F64, V128

if TYPE_CHECKING:
    from tests.differential.bodies import BodyGenerator

WITH_LANE: Final = [op for op in OPCODES if op.imm in (Imm.LANE, Imm.LANES)]
LANE_LOADS: Final = [op for op in OPCODES if op.imm is Imm.MEMARG_LANE and op.sig == "av:v"]

_FLOAT_BITS: Final = {"f32x4": 32, "f64x2": 64}
_CANONICAL: Final = {"f32x4": 0x7FC00000, "f64x2": 0x7FF8000000000000}
_NEW_NANS: Final = frozenset(
    (
        *("add", "sub", "mul", "div", "sqrt", "min", "max", "ceil", "floor", "trunc", "nearest"),
        *("relaxed_min", "relaxed_max", "relaxed_madd", "relaxed_nmadd", "demote_f64x2_zero", "promote_low_f32x4"),
    )
)
"""What makes NaNs of its own."""

INTERESTING_LANES: Final = {
    8: (0, 1, 2, 15, 16, 31, 0x7F, 0x80, 0x81, 0xFE, 0xFF),
    16: (0, 1, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0x8001, 0xFF7F, 0xFF80, 0xFFFF),
    32: (
        *(0, 1, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0x3F800000, 0xBF000000, 0x7F800000, 0x7FC00000),
        *(0x7FA00001, 0xFFC12345, 0x4EFFFFFF, 0x4F000000, 0xCF000000, 0x4F7FFFFF, 0x4F800000, 0x7F7FFFFF),
    ),
    64: (
        *(0, 1, (1 << 63) - 1, 1 << 63, 0xFFFFFFFF, (1 << 64) - 1, 0x3FF0000000000000, 0xBFE0000000000000),
        *(0x7FF0000000000000, 0x7FF4000000000001, 0x41DFFFFFFFC00000, 0x41E0000000000000, 0xC1E0000000200000),
        *(0x41EFFFFFFFE00000, 0x41F0000000000000, 0x36A0000000000000, 0x47EFFFFFF0000000),
    ),
}
"""Bits of lanes by their width."""


def constant(rng: random.Random) -> int:
    """The bits of a v128."""
    width = rng.choice((8, 16, 32, 64, 128))
    if width == 128:
        return rng.getrandbits(128)
    return sum(rng.choice(INTERESTING_LANES[width]) << at for at in range(0, 128, width))


def _splat(bits: int, width: int) -> int:
    return sum(bits << at for at in range(0, 128, width))


def before(generator: BodyGenerator, op: Opcode) -> None:
    """What an instruction needs done to its operands first."""
    shape, _, action = op.name.partition(".")
    if shape in _FLOAT_BITS and (action == "splat" or action == "replace_lane"):
        assert generator.stack[-1] in (F32, F64)
        generator.canonical()
    elif action in ("relaxed_madd", "relaxed_nmadd"):
        width = _FLOAT_BITS[shape]
        one = 0x3F800000 if width == 32 else 0x3FF0000000000000
        scratch = generator.local(V128)
        generator.emit("local.set", scratch)
        generator.emit("v128.const", _splat(1 << (width - 1), width))
        generator.emit("v128.and")
        generator.emit("v128.const", _splat(one, width))
        generator.emit("v128.or")
        generator.emit("local.get", scratch)
    elif action == "relaxed_dot_i8x16_i7x16_s":
        _seven_bits(generator)
    elif action == "relaxed_dot_i8x16_i7x16_add_s":
        scratch = generator.local(V128)
        generator.emit("local.set", scratch)
        _seven_bits(generator)
        generator.emit("local.get", scratch)


def _seven_bits(generator: BodyGenerator) -> None:
    generator.emit("v128.const", _splat(0x7F, 8))
    generator.emit("v128.and")


def behind(generator: BodyGenerator, op: Opcode) -> None:
    """What has to be done to the result of an instruction."""
    shape, _, action = op.name.partition(".")
    if shape in _FLOAT_BITS and action in _NEW_NANS:
        scratch = generator.local(V128)
        generator.emit("local.tee", scratch)
        generator.emit("v128.const", _splat(_CANONICAL[shape], _FLOAT_BITS[shape]))
        generator.emit("local.get", scratch)
        generator.emit("local.get", scratch)
        generator.emit(f"{shape}.eq")
        generator.emit("v128.bitselect")
        generator.emit("local.tee", scratch)  # it is read elsewhere, too


def lane_immediate(rng: random.Random, op: Opcode) -> Any:
    """The lane, or lanes, that an instruction names."""
    if op.imm is Imm.LANES:
        lanes = rng.choice((32, 16, 2))
        return tuple(rng.randrange(lanes) for _ in range(16))
    return rng.randrange(op.lanes)
