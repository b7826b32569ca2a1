"""The instruction table, compiled for the validator: for every row, how to check it at the least cost.

A plan maps each row to a `Step`. The shapes that make up most of real code (constants, unary and binary operators,
loads and stores of memory 0) carry their operand types in the step, and the validator's loop checks them by identity,
in line. All others name a rule, a method of the body validator. A plan depends on nothing but the enabled features
and the address type of memory 0, so there are few of them, and they are kept.
"""

from __future__ import annotations

import functools

from wasmark.core.features import Feature
from wasmark.core.opcodes import OPCODES, Imm, Opcode
from wasmark.core.types import F32, F64, I32, I64, V128, NumType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final
else:
    Any = object

Step = tuple[int, Any, Any, Any]
"""`(shape, ...)`, where the rest depends on the shape."""

PUSH: Final = 0  # (PUSH, result, None, None)
BINARY: Final = 1  # (BINARY, left, right, result)
LOAD: Final = 2  # (LOAD, address, log2 of the natural alignment, result)
UNARY: Final = 3  # (UNARY, operand, None, result)
STORE: Final = 4  # (STORE, address, log2 of the natural alignment, value)
RULE: Final = 5  # (RULE, the row's text name or one of the two below, None, None)

FIXED_LETTERS: Final[dict[str, NumType]] = {"i": I32, "I": I64, "f": F32, "F": F64, "v": V128}
"""The letters of `Opcode.sig` that mean the same everywhere; `a`, `t` and `r` depend on the immediate."""

SIGNATURE_RULE: Final = "(signature)"
DISABLED_RULE: Final = "(disabled)"


def natural_alignment(op: Opcode) -> int:
    """Log2 of the number of bytes that a memory instruction touches."""
    return op.access.bit_length() - 1


def _step(op: Opcode, features: frozenset[Feature], address: NumType | None) -> Step:
    if op.feature not in features:
        return (RULE, DISABLED_RULE, None, None)
    if op.sig is None:
        return (RULE, op.name, None, None)
    by_signature: Step = (RULE, SIGNATURE_RULE, None, None)
    letters = FIXED_LETTERS
    if op.imm is Imm.MEMARG:
        if address is None or op.feature is Feature.THREADS:
            return by_signature
        letters = letters | {"a": address}
    params, results = op.sig.split(":")
    if not all(letter in letters for letter in params + results):
        return by_signature
    types = [letters[letter] for letter in params + results]
    match op.imm, len(params), len(results):
        case Imm.MEMARG, 1, 1:
            return (LOAD, types[0], natural_alignment(op), types[1])
        case Imm.MEMARG, 2, 0:
            return (STORE, types[0], natural_alignment(op), types[1])
        case Imm.I32 | Imm.I64 | Imm.F32 | Imm.F64 | Imm.V128, 0, 1:
            return (PUSH, types[0], None, None)
        case Imm.NONE, 1, 1:
            return (UNARY, types[0], None, types[1])
        case Imm.NONE, 2, 1:
            return (BINARY, types[0], types[1], types[2])
        case _:
            return by_signature


@functools.cache
def plan_for(features: frozenset[Feature], address: NumType | None) -> dict[Opcode, Step]:
    """The steps of all rows. `address` is the address type of memory 0, None where there is no memory."""
    return {op: _step(op, features, address) for op in OPCODES}
