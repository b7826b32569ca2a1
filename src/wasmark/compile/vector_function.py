"""The instructions on vectors that are no plain templates, in the optimising tier: constants, shuffles, and lanes.

Each rule translates one instruction for a `FunctionTranslator`, which has the operands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.compile.abi import LETTER_TO_LLVM
from wasmark.compile.access import ACCESS
from wasmark.compile.vector import LANES, SHUFFLE, V128, shuffle_lanes, v128_constant
from wasmark.compile.vector_access import LANE_LOADS, LANE_STORES

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.compile.function import FunctionTranslator
    from wasmark.core.opcodes import Opcode

    Rule = Callable[[FunctionTranslator, Opcode, Any], None]


def _constant(translator: FunctionTranslator, row: Opcode, imm: int) -> None:
    translator.stack.append((V128, v128_constant(imm)))


def _shuffle(translator: FunctionTranslator, row: Opcode, imm: tuple[int, ...]) -> None:
    b, a = translator.stack.pop()[1], translator.stack.pop()[1]
    translator.fill(SHUFFLE, V128, {"a": a, "b": b, "l": shuffle_lanes(imm)})


def _lane(translator: FunctionTranslator, row: Opcode, imm: int) -> None:
    assert row.sig is not None
    params, results = row.sig.split(":")
    operands = {letter: value for letter, (_, value) in zip("ab", translator.take(len(params)), strict=False)}
    translator.fill(LANES[row.name], LETTER_TO_LLVM[results], operands | {"l": imm})


def _load_lane(translator: FunctionTranslator, row: Opcode, imm: tuple[int, int, int, int]) -> None:
    load, replace = LANE_LOADS[row.name]
    vector = translator.stack.pop()[1]
    translator.address(row, imm[:3], translator.stack.pop()[1])
    translator.fill(ACCESS[load], "", {}, same=True)
    translator.fill(LANES[replace], V128, {"a": vector, "b": translator.stack.pop()[1], "l": imm[3]})


def _store_lane(translator: FunctionTranslator, row: Opcode, imm: tuple[int, int, int, int]) -> None:
    extract, store = LANE_STORES[row.name]
    translator.fill(LANES[extract], "", {"a": translator.stack.pop()[1], "l": imm[3]})
    value = translator.stack.pop()[1]
    translator.address(row, imm[:3], translator.stack.pop()[1])
    translator.fill(ACCESS[store], None, {"b": value}, same=True)


VECTOR_RULES: Final[dict[str, Rule]] = {
    "v128.const": _constant,
    "i8x16.shuffle": _shuffle,
    **dict.fromkeys(LANES, _lane),
    **dict.fromkeys(LANE_LOADS, _load_lane),
    **dict.fromkeys(LANE_STORES, _store_lane),
}
"""What translates an instruction, by its text name."""
