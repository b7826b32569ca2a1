"""Evaluates constant expressions (core §3.4.7, §4.7.3) when a module is instantiated: globals, offsets, elements."""

from __future__ import annotations

from wasmark.binary import decode_body
from wasmark.binary.leb import read_s
from wasmark.core.opcodes import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from wasmark.core.model import ConstExpr, ModuleModel

_INTEGER_BITS: Final = {BY_NAME["i32.const"].code: 32, BY_NAME["i64.const"].code: 64}
_MASK32: Final = 0xFFFFFFFF
_MASK64: Final = 0xFFFFFFFFFFFFFFFF

_ARITHMETIC: Final[dict[str, Callable[[int, int], int]]] = {
    "i32.add": lambda a, b: (a + b) & _MASK32,
    "i32.sub": lambda a, b: (a - b) & _MASK32,
    "i32.mul": lambda a, b: (a * b) & _MASK32,
    "i64.add": lambda a, b: (a + b) & _MASK64,
    "i64.sub": lambda a, b: (a - b) & _MASK64,
    "i64.mul": lambda a, b: (a * b) & _MASK64,
}


def constant(data: bytes, expr: ConstExpr) -> int | None:
    """The bits of an expression that is one integer constant, as most of a module's very many are; None for others."""
    bits = _INTEGER_BITS.get(data[expr.start])
    if bits is None:
        return None
    value, behind = read_s(data, expr.start + 1, bits)
    return value & ((1 << bits) - 1) if behind + 1 == expr.end else None


def evaluate(
    model: ModuleModel, expr: ConstExpr, global_bits: Callable[[int], int], funcref: Callable[[int], int]
) -> int:
    """The value of a valid expression as unsigned bits; a reference as its address.

    `global_bits` reads a global, `funcref` gives the address of a function's FuncRef.
    """
    value = constant(model.data, expr)
    if value is not None:
        return value
    stack: list[int] = []
    for row, imm, _ in decode_body(model, expr.start, expr.end):
        name = row.name
        if name == "i32.const":
            stack.append(imm & _MASK32)
        elif name == "i64.const":
            stack.append(imm & _MASK64)
        elif name in ("f32.const", "f64.const", "v128.const"):
            stack.append(imm)
        elif name == "ref.null":
            stack.append(0)
        elif name == "ref.func":
            stack.append(funcref(imm))
        elif name == "global.get":
            stack.append(global_bits(imm))
        elif name in _ARITHMETIC:
            b, a = stack.pop(), stack.pop()
            stack.append(_ARITHMETIC[name](a, b))
    return stack[-1]
