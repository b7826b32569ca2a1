"""The instructions that only compute: what each is for the translator's loop."""

from __future__ import annotations

from typing import Final

from wasmark.compile.abi import LETTER_TO_LLVM
from wasmark.compile.numeric import ARITHMETIC as FLOAT_ARITHMETIC
from wasmark.compile.numeric import NUMERIC
from wasmark.compile.vector import NATURAL, VECTORS, is_natural
from wasmark.core.opcodes import OPCODES, Opcode

UNARY: Final = 1
BINARY: Final = 2
OF_FLOATS: Final = 3
ARITHMETIC: Final = 4
TERNARY: Final = 5
"""Kinds of operands: one, two, two floats, two floats of arithmetic, three."""

_TERNARY_OPERANDS: Final = 3


def _operands(op: Opcode) -> int:
    params = (op.sig or "").split(":")[0]
    if params not in ("ff", "FF"):
        return TERNARY if len(params) == _TERNARY_OPERANDS else len(params)
    return ARITHMETIC if op.name[4:] in FLOAT_ARITHMETIC else OF_FLOATS


def _simple(templates: dict[str, str]) -> dict[Opcode, tuple[str, int, str]]:
    return {
        op: (templates[op.name], _operands(op), LETTER_TO_LLVM[op.sig[-1]])
        for op in OPCODES
        if op.sig is not None and op.name in templates
    }


SIMPLE: Final[dict[bool, dict[Opcode, tuple[str, int, str]]]] = {
    deterministic: _simple(
        NUMERIC
        | VECTORS
        | {name: text for name, text in NATURAL.items() if is_natural(name, deterministic=deterministic)}
    )
    for deterministic in (False, True)
}
"""Rows that only compute -> (template, one of the five kinds of operands above, result type); by whether relaxed ones
are to be deterministic."""
