"""Evaluates constant expressions (core §3.4.7, §4.7.3) when a module is instantiated: globals, offsets, elements."""

from __future__ import annotations

import itertools

from wasmark.binary import decode_constant
from wasmark.binary.leb import read_s
from wasmark.core.opcodes import BY_NAME
from wasmark.objects import new_array, new_struct

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NamedTuple

    from wasmark.core.model import ConstExpr
    from wasmark.module import Module
    from wasmark.store import Store

    Rule = Callable[[list[int], Any, "ConstantContext"], None]
else:
    from wasmark.core.record import NamedTuple

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


class ConstantContext(NamedTuple):
    """What expressions refer to: `global_bits` reads a global, `funcref` gives the address of a function's FuncRef."""

    module: Module
    store: Store
    global_bits: Callable[[int], int]
    funcref: Callable[[int], int]


def evaluate(expr: ConstExpr, context: ConstantContext) -> int:
    """The value of a valid expression of the module as unsigned bits; a reference as its address.

    To be called while nothing is collected. Raises Trap where there is no room for an object.
    """
    model = context.module.model
    value = constant(model.data, expr)
    if value is not None:
        return value
    stack: list[int] = []
    for row, imm, _ in decode_constant(model, expr.start, expr.end):
        _RULES[row.name](stack, imm, context)
    return stack[-1]


def _arithmetic(compute: Callable[[int, int], int]) -> Rule:
    def rule(stack: list[int], imm: Any, context: ConstantContext) -> None:
        b, a = stack.pop(), stack.pop()
        stack.append(compute(a, b))

    return rule


def _i31(stack: list[int], imm: Any, context: ConstantContext) -> None:
    stack.append((stack.pop() << 1 | 1) & _MASK32)


def _nothing(stack: list[int], imm: Any, context: ConstantContext) -> None:
    """The reference stays what it is."""


def _new_struct(stack: list[int], imm: int, context: ConstantContext) -> None:
    id_, type_ = _type(context, imm)
    first = len(stack) - len(type_.fields)
    stack[first:] = [new_struct(context.store, id_, type_, stack[first:])]


def _new_default_struct(stack: list[int], imm: int, context: ConstantContext) -> None:
    id_, type_ = _type(context, imm)
    stack.append(new_struct(context.store, id_, type_, [0] * len(type_.fields)))


def _new_array(stack: list[int], imm: int, context: ConstantContext) -> None:
    id_, type_ = _type(context, imm)
    count, value = stack.pop(), stack.pop()
    stack.append(new_array(context.store, id_, type_, itertools.repeat(value, count), count))


def _new_default_array(stack: list[int], imm: int, context: ConstantContext) -> None:
    id_, type_ = _type(context, imm)
    stack.append(new_array(context.store, id_, type_, (), stack.pop()))


def _new_fixed_array(stack: list[int], imm: tuple[int, int], context: ConstantContext) -> None:
    id_, type_ = _type(context, imm[0])
    first = len(stack) - imm[1]
    stack[first:] = [new_array(context.store, id_, type_, stack[first:], imm[1])]


def _type(context: ConstantContext, index: int) -> tuple[int, Any]:
    """(canonical id, composite type)"""
    module = context.module
    return module.type_ids[index], module.model.types[index].composite


_RULES: Final[dict[str, Rule]] = {
    "i32.const": lambda stack, imm, _: stack.append(imm & _MASK32),
    "i64.const": lambda stack, imm, _: stack.append(imm & _MASK64),
    "f32.const": lambda stack, imm, _: stack.append(imm),
    "f64.const": lambda stack, imm, _: stack.append(imm),
    "v128.const": lambda stack, imm, _: stack.append(imm),
    "ref.null": lambda stack, imm, _: stack.append(0),
    "ref.func": lambda stack, imm, context: stack.append(context.funcref(imm)),
    "global.get": lambda stack, imm, context: stack.append(context.global_bits(imm)),
    "ref.i31": _i31,
    "any.convert_extern": _nothing,
    "extern.convert_any": _nothing,
    "struct.new": _new_struct,
    "struct.new_default": _new_default_struct,
    "array.new": _new_array,
    "array.new_default": _new_default_array,
    "array.new_fixed": _new_fixed_array,
    "end": _nothing,
    **{name: _arithmetic(compute) for name, compute in _ARITHMETIC.items()},
}
"""What a constant instruction does, by its name: to the stack, with its immediate."""
