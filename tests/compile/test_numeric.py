"""Every numeric instruction against exact arithmetic (`semantics`): bit for bit, traps and the kinds of NaNs included.

Its operands come as parameters, as constants, and mixed; LLVM knows them or not, and may not make a difference of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

import pytest

from tests.compile.build import Body, Code, build
from tests.compile.semantics import FORMATS, Nan, Result, apply, signed
from tests.compile.values import ALL, FEW
from wasmark import Instance, Module, Trap, TrapCode
from wasmark.compile.numeric import NUMERIC
from wasmark.core.opcodes import BY_NAME, Opcode
from wasmark.core.types import F32, F64, I32, I64, FuncType, ValType

TYPES: dict[str, ValType] = {"i": I32, "I": I64, "f": F32, "F": F64}
ROWS = [BY_NAME[name] for name in NUMERIC]
FLOATS = (F32, F64)


def operand_types(op: Opcode) -> tuple[ValType, ...]:
    assert op.sig is not None
    return tuple(TYPES[letter] for letter in op.sig.split(":")[0])


def result_type(op: Opcode) -> ValType:
    assert op.sig is not None
    return TYPES[op.sig[-1]]


def constant(type_: ValType, bits: int) -> tuple[str, Any]:
    """The instruction that pushes these unsigned bits."""
    return f"{type_}.const", bits if type_ in FLOATS else signed(bits, 32 if type_ is I32 else 64)


def outcome(call: Any, args: Iterable[int]) -> int | TrapCode:
    try:
        (bits,) = call(list(args))
    except Trap as trap:
        return trap.code
    return int(bits)


def fits(type_: ValType, expected: Result, actual: int | TrapCode) -> bool:
    if isinstance(expected, TrapCode) or isinstance(actual, TrapCode):
        return expected is actual
    return FORMATS[str(type_)].matches(expected, actual) if isinstance(expected, Nan) else expected == actual


def shown(value: Result | int) -> str:
    return hex(value) if isinstance(value, int) and not isinstance(value, TrapCode) else str(value)


def check(op: str, type_: ValType, args: Iterable[int], expected: Result, actual: int | TrapCode) -> list[str]:
    """A line where they do not fit."""
    if fits(type_, expected, actual):
        return []
    return [f"{op}({', '.join(map(hex, args))}) is {shown(actual)} and not {shown(expected)}"]


@pytest.fixture(scope="module")
def of_parameters() -> Any:
    """An instance that exports each row as a function of its operands."""
    bodies = []
    for op in ROWS:
        types = operand_types(op)
        code: Code = [*(("local.get", i) for i in range(len(types))), (op.name, None)]
        bodies.append(Body(op.name, FuncType(types, (result_type(op),)), code))
    return Instance(Module(build(bodies))).exports


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_every_numeric_instruction_on_parameters(op: Opcode, of_parameters: Any) -> None:
    call = of_parameters[op.name].call_bits
    type_ = result_type(op)
    wrong: list[str] = []
    for args in itertools.product(*(ALL[operand] for operand in operand_types(op))):
        wrong += check(op.name, type_, args, apply(op.name, *args), outcome(call, args))
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("op", ROWS, ids=lambda op: op.name)
def test_every_numeric_instruction_on_constants(op: Opcode) -> None:
    """What traps has a function of its own; the rest is written to memory by one function."""
    type_, types = result_type(op), operand_types(op)
    rows = list(itertools.product(*((FEW if len(types) == 2 else ALL)[operand] for operand in types)))
    stored: Code = []
    bodies = []
    expected = [apply(op.name, *args) for args in rows]
    for number, (args, result) in enumerate(zip(rows, expected, strict=True)):
        code: Code = [*(constant(t, bits) for t, bits in zip(types, args, strict=True)), (op.name, None)]
        if isinstance(result, TrapCode):
            bodies.append(Body(f"trap {number}", FuncType((), (type_,)), code))
        else:
            stored += [("i32.const", 8 * number), *code, (f"{type_}.store", (0, 0, 0))]
    bodies.append(Body("store", FuncType((), ()), stored))
    exports = Instance(Module(build(bodies, pages=2))).exports
    exports.store.call_bits([])
    memory = memoryview(exports.memory)
    size = 4 if type_ in (I32, F32) else 8
    wrong: list[str] = []
    for number, (args, result) in enumerate(zip(rows, expected, strict=True)):
        if isinstance(result, TrapCode):
            actual = outcome(exports[f"trap {number}"].call_bits, ())
        else:
            actual = int.from_bytes(memory[8 * number : 8 * number + size], "little")
        wrong += check(op.name, type_, args, result, actual)
    assert not wrong, "\n".join(wrong[:20])


@pytest.mark.parametrize("op", [op for op in ROWS if len(operand_types(op)) == 2], ids=lambda op: op.name)
def test_of_a_parameter_and_a_constant(op: Opcode) -> None:
    type_, (operand, _) = result_type(op), operand_types(op)
    forms: dict[str, Code] = {
        "right": [("local.get", 0), constant(operand, 0)],
        "left": [constant(operand, 0), ("local.get", 0)],
    }
    signature = FuncType((operand,), (type_,))
    bodies = [
        Body(f"{form} {bits}", signature, [*_with(code, constant(operand, bits)), (op.name, None)])
        for form, code in forms.items()
        for bits in FEW[operand]
    ]
    bodies.append(Body("twice", signature, [("local.get", 0), ("local.get", 0), (op.name, None)]))
    exports = Instance(Module(build(bodies))).exports
    wrong: list[str] = []
    for x in ALL[operand]:
        wrong += check(op.name, type_, (x, x), apply(op.name, x, x), outcome(exports["twice"].call_bits, [x]))
        for bits in FEW[operand]:
            for form, args in (("right", (x, bits)), ("left", (bits, x))):
                actual = outcome(exports[f"{form} {bits}"].call_bits, [x])
                wrong += check(op.name, type_, args, apply(op.name, *args), actual)
    assert not wrong, "\n".join(wrong[:20])


def _with(code: Code, instruction: tuple[str, Any]) -> Code:
    return [instruction if name.endswith(".const") else (name, imm) for name, imm in code]
