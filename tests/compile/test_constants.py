"""Arithmetic with a constant that LLVM may come to know only after a while: it may not fold the operation away.

`x * 1`, `x - 0` and the like are `x` for numbers, but a signalling NaN must come out of them as a quiet one. So must it
out of pairs of operations that undo each other.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from tests.compile.build import Body, Code, build
from tests.compile.semantics import FORMATS, Nan, Value, apply
from tests.compile.test_numeric import FLOATS, ROWS, TYPES, check, constant, operand_types, outcome, result_type
from tests.compile.values import ALL
from wasmark import Instance, Module, TrapCode
from wasmark.core.opcodes import Opcode
from wasmark.core.types import F32, F64, I32, FuncType, NumType, ValType

SCRATCH, CONDITION = 2, 1
"""Locals: one of the float type, and an i32 parameter."""


def halved(type_: ValType, bits: int) -> int:
    half = apply(f"{type_}.mul", bits, FORMATS[str(type_)].rounded(Fraction(1, 2)))
    assert isinstance(half, int)
    return half


def other_format(type_: ValType, bits: int) -> tuple[str, Any]:
    """The same number as a constant of the other float type."""
    same = apply("f32.demote_f64" if type_ is F64 else "f64.promote_f32", bits)
    assert isinstance(same, int)
    return constant(F32 if type_ is F64 else F64, same)


def ways(type_: ValType, bits: int) -> dict[str, Code]:
    """Ways to a number that LLVM may see through."""
    name, integer = str(type_), "i32" if type_ is F32 else "i64"
    literal, half = constant(type_, bits), constant(type_, halved(type_, bits))
    block, global_ = ((), (type_,)), 0 if type_ is F32 else 1
    two = constant(type_, FORMATS[name].rounded(Fraction(2)))
    found: dict[str, Code] = {
        "literal": [literal],
        "local": [literal, ("local.set", SCRATCH), ("local.get", SCRATCH)],
        "tee": [literal, ("local.tee", SCRATCH)],
        "block": [("block", block), literal, ("end", None)],
        "br": [("block", block), literal, ("br", 0), ("end", None)],
        "br_if": [("block", block), literal, ("local.get", CONDITION), ("br_if", 0), ("end", None)],
        "if": [("local.get", CONDITION), ("if", block), literal, ("else", None), literal, ("end", None)],
        "local in if": [
            *[literal, ("local.set", SCRATCH), ("local.get", CONDITION), ("if", ((), ()))],
            *[literal, ("local.set", SCRATCH), ("end", None), ("local.get", SCRATCH)],
        ],
        "loop": [literal, ("loop", ((type_,), (type_,))), ("end", None)],
        "select": [literal, literal, ("local.get", CONDITION), ("select", None)],
        "sum": [half, half, (f"{name}.add", None)],
        "sum of locals": [half, ("local.tee", SCRATCH), ("local.get", SCRATCH), (f"{name}.add", None)],
        "sum of blocks": [*[("block", block), half, ("end", None)] * 2, (f"{name}.add", None)],
        "half of twice": [literal, literal, (f"{name}.add", None), two, (f"{name}.div", None)],
        "least": [literal, literal, (f"{name}.min", None)],
        "bits": [constant(TYPES["i" if type_ is F32 else "I"], bits), (f"{name}.reinterpret_{integer}", None)],
        "there and back": [literal, (f"{integer}.reinterpret_{name}", None), (f"{name}.reinterpret_{integer}", None)],
        "negated": [literal, (f"{name}.neg", None), (f"{name}.neg", None)],
        "rounded": [literal, (f"{name}.nearest", None)],
        "copysign": [literal, (f"{name}.abs", None), literal, (f"{name}.copysign", None)],
        "global": [literal, ("global.set", global_), ("global.get", global_)],
        "memory": [
            *[("i32.const", 8), literal, (f"{name}.store", (0, 0, 0))],
            *[("i32.const", 8), (f"{name}.load", (0, 0, 0))],
        ],
        "other format": [other_format(type_, bits), ("f32.demote_f64" if type_ is F32 else "f64.promote_f32", None)],
    }
    number = int(FORMATS[name].fraction(bits))
    if number or not bits:  # -0 is no integer
        for source, sign in (("i32", "s"), ("i64", "s"), *((("i32", "u"), ("i64", "u")) if number >= 0 else ())):
            found[f"from {source} {sign}"] = [(f"{source}.const", number), (f"{name}.convert_{source}_{sign}", None)]
    if not bits:
        found["fresh local"] = [("local.get", SCRATCH + 1)]
        found["from a comparison"] = [*[("i32.const", 1), ("i32.eqz", None)], (f"{name}.convert_i32_u", None)]
    return found


NEUTRAL = (Fraction(1), Fraction(-1), Fraction(0))


@pytest.mark.parametrize("action", ["add", "sub", "mul", "div"])
@pytest.mark.parametrize("type_", FLOATS, ids=str)
def test_arithmetic_with_neutral_numbers(type_: NumType, action: str) -> None:
    name, format_ = f"{type_}.{action}", FORMATS[str(type_)]
    numbers = [*(format_.rounded(number) for number in NEUTRAL), format_.sign]
    bodies = []
    for bits in numbers:
        for way, code in ways(type_, bits).items():
            for side in ("right", "left"):
                operands: Code = [("local.get", 0), *code] if side == "right" else [*code, ("local.get", 0)]
                signature = FuncType((type_, I32), (type_,))
                bodies.append(Body(f"{way} {side} {bits}", signature, [*operands, (name, None)], (type_, type_)))
    exports = Instance(Module(build(bodies, pages=1, globals_=(F32, F64)))).exports
    wrong: list[str] = []
    for body in bodies:
        way, side, number = body.name.rsplit(" ", 2)
        call = exports[body.name].call_bits
        for x in ALL[type_]:
            args = (x, int(number)) if side == "right" else (int(number), x)
            wrong += check(f"{way}: {name}", type_, args, apply(name, *args), outcome(call, (x, 1)))
    assert not wrong, f"{len(wrong)} are wrong\n" + "\n".join(wrong[:20])


def unary_pairs() -> list[tuple[Opcode, Opcode]]:
    """Instructions of one operand that fit behind each other, with a float somewhere."""
    unary = [op for op in ROWS if len(operand_types(op)) == 1]
    return [
        (first, second)
        for first in unary
        for second in unary
        if result_type(first) is operand_types(second)[0]
        and {*operand_types(first), result_type(first), result_type(second)} & set(FLOATS)
    ]


def both(first: Opcode, second: Opcode, x: int) -> Value | TrapCode | None:
    """What the pair makes of x; None where the standard leaves it open."""
    between = apply(first.name, x)
    if isinstance(between, TrapCode):
        return between
    if isinstance(between, Nan) and result_type(first) not in FLOATS:
        return None  # the bits of some NaN
    return apply(second.name, between)


FIRST = sorted({first.name for first, _ in unary_pairs()})


@pytest.mark.parametrize("name", FIRST)
def test_pairs_of_operations(name: str) -> None:
    pairs = [(first, second) for first, second in unary_pairs() if first.name == name]
    bodies = [
        Body(
            second.name,
            FuncType(operand_types(first), (result_type(second),)),
            [("local.get", 0), (first.name, None), (second.name, None)],
        )
        for first, second in pairs
    ]
    exports = Instance(Module(build(bodies))).exports
    wrong: list[str] = []
    for first, second in pairs:
        call = exports[second.name].call_bits
        type_ = result_type(second)
        for x in ALL[operand_types(first)[0]]:
            expected = both(first, second, x)
            if expected is None or (isinstance(expected, Nan) and type_ not in FLOATS):
                continue
            wrong += check(f"{second.name} of {first.name}", type_, (x,), expected, outcome(call, (x,)))
    assert not wrong, f"{len(wrong)} are wrong\n" + "\n".join(wrong[:20])
