"""What holds for every row of the instruction table, without naming the rows."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validate.build import FIRST_OFFSET, Builder, Instr, code, func, refuse
from wasmark.core.features import Feature
from wasmark.core.opcodes import BY_NAME, OPCODES, Imm, Opcode
from wasmark.core.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, V128, ValType
from wasmark.errors import InvalidError
from wasmark.validate.body import RULES, BodyValidator
from wasmark.validate.leaving import LEAVING_RULES
from wasmark.validate.plan import RULE, plan_for
from wasmark.validate.references import REFERENCE_RULES

LETTERS = {"i": I32, "I": I64, "f": F32, "F": F64, "v": V128}

# Each row with a signature is tried on memory and table 0 (32-bit), 1 (64-bit), where the immediate names one.
IMMEDIATES = {
    Imm.NONE: (None, None),
    Imm.ZERO: (None, None),
    Imm.MEMARG: ((0, 0, 0), (0, 1, 0)),
    Imm.MEMORY: (0, 1),
    Imm.DATA_MEMORY: ((0, 0), (0, 1)),
    Imm.DATA: (0, 0),
    Imm.TABLE: (0, 1),
    Imm.ELEM_TABLE: ((0, 0), (1, 1)),
    Imm.ELEM: (0, 0),
    Imm.I32: (-1, 0),
    Imm.I64: (-1, 0),
    Imm.F32: (0, 1),
    Imm.F64: (0, 1),
    Imm.V128: (0, 1),
    Imm.LANE: (0, 1),
    Imm.LANES: ((0,) * 16, (31,) * 16),
    Imm.MEMARG_LANE: ((0, 0, 0, 0), (0, 1, 0, 1)),
}

SIGNED = [op for op in OPCODES if op.sig is not None]
CASES = [(op, which) for op in SIGNED for which in (0, 1)]


def immediate(op: Opcode, which: int) -> Any:
    """A valid one. Atomic accesses are aligned as they have to be."""
    imm = IMMEDIATES[op.imm][which]
    if op.feature is Feature.THREADS and op.access:
        return (op.access.bit_length() - 1, *imm[1:])  # type: ignore[misc]
    return imm


def module() -> Builder:
    builder = Builder()
    builder.memory()
    builder.memory(is64=True)
    builder.table(FUNCREF)
    builder.table(EXTERNREF, is64=True)
    builder.data()
    builder.elem(FUNCREF, [])
    builder.elem(EXTERNREF, [])
    return builder


def signature(op: Opcode, which: int) -> tuple[tuple[ValType, ...], tuple[ValType, ...]]:
    letters: dict[str, ValType] = {**LETTERS, "a": (I32, I64)[which], "t": (I32, I64)[which]}
    letters["r"] = (FUNCREF, EXTERNREF)[which]
    assert op.sig is not None
    params, results = op.sig.split(":")
    return tuple(letters[letter] for letter in params), tuple(letters[letter] for letter in results)


def body(op: Opcode, which: int, operands: tuple[ValType, ...]) -> list[Instr]:
    """The operands come out of parameters of their types."""
    gets = code(*(f"local.get {i}" for i in range(len(operands))))[:-1]
    here = FIRST_OFFSET + len(operands)
    return [*gets, (op, immediate(op, which), here), (BY_NAME["end"], None, here + 1)]


def check(op: Opcode, which: int, operands: tuple[ValType, ...], results: tuple[ValType, ...]) -> None:
    builder = module()
    index = builder.func(func(operands, results))
    builder.validate().validate_body(index, body(op, which, operands))


@pytest.mark.parametrize(("op", "which"), CASES)
def test_a_row_takes_and_gives_what_its_signature_says(op: Opcode, which: int) -> None:
    params, results = signature(op, which)
    check(op, which, params, results)


@pytest.mark.parametrize(("op", "which"), CASES)
def test_a_row_refuses_any_other_operand(op: Opcode, which: int) -> None:
    params, results = signature(op, which)
    for position, expected in enumerate(params):
        for wrong in (I32, I64, F32, F64, FUNCREF, EXTERNREF):
            if wrong is expected:
                continue
            operands = (*params[:position], wrong, *params[position + 1 :])
            with pytest.raises(InvalidError) as caught:
                check(op, which, operands, results)
            assert caught.value.message == f"type mismatch: {op.name} expected {expected}, found {wrong}"
            assert caught.value.offset == FIRST_OFFSET + len(params)


@pytest.mark.parametrize(("op", "which"), CASES)
def test_a_row_refuses_a_stack_that_is_too_short(op: Opcode, which: int) -> None:
    params, results = signature(op, which)
    for first in range(1, len(params) + 1):
        with pytest.raises(InvalidError, match=rf"^type mismatch: {op.name} expected \S+, found nothing"):
            check(op, which, params[first:], results)


@pytest.mark.parametrize("op", SIGNED)
def test_a_row_takes_anything_where_code_is_unreachable(op: Opcode) -> None:
    _, results = signature(op, 0)
    builder = module()
    index = builder.func(func((), results))
    dead = [*code("unreachable")[:-1], (op, immediate(op, 0), 1), (BY_NAME["end"], None, 2)]
    builder.validate().validate_body(index, dead)


@pytest.mark.parametrize("op", [op for op in OPCODES if op.feature is not Feature.MVP])
def test_a_row_of_a_disabled_feature_is_refused_by_its_name(op: Opcode) -> None:
    builder = Builder()
    index = builder.func()
    validator = builder.validate(frozenset(Feature) - {op.feature})
    with pytest.raises(InvalidError) as caught:
        validator.validate_body(index, [(op, None, 7), (BY_NAME["end"], None, 8)])
    assert caught.value.message == f"{op.name} is part of the {op.feature.value!r} feature, which is not enabled"
    assert caught.value.offset == 7


def test_every_rule_that_a_plan_names_exists() -> None:
    plan = plan_for(frozenset(Feature), None)
    assert set(plan) == set(OPCODES)
    named = {step[1] for op, step in plan.items() if step[0] == RULE and not op.name.startswith("local.")}
    assert named <= set(RULES)
    own = {name: rule for name, rule in RULES.items() if name not in REFERENCE_RULES | LEAVING_RULES}
    assert all(getattr(BodyValidator, rule.__name__) is rule for rule in own.values())


@pytest.mark.parametrize("op", [op for op in OPCODES if op.access])
@pytest.mark.parametrize("memory", [0, 1])
def test_alignment_is_at_most_natural(op: Opcode, memory: int) -> None:
    params, results = signature(op, memory)
    index_type = f"{params[0]}.const 0"
    items = [index_type, *(f"{t}.const 0" for t in params[1:])]
    natural = {1: 0, 2: 1, 4: 2, 8: 3, 16: 4}[op.access]
    lane = (0,) if op.lanes else ()
    after = ["drop"] * len(results)
    builder = module()
    index = builder.func()
    builder.validate().validate_body(index, code(*items, (op.name, (natural, memory, 0, *lane)), *after))
    atomic = op.feature is Feature.THREADS
    refuse(
        "atomic alignment must be natural" if atomic else "alignment must not be larger than natural",
        len(items),
        *items,
        (op.name, (natural + 1, memory, 0, *lane)),
        *after,
        builder=module(),
    )


@pytest.mark.parametrize("op", [op for op in OPCODES if op.lanes])
def test_a_lane_index_is_below_the_number_of_lanes(op: Opcode) -> None:
    params, results = signature(op, 0)
    builder = module()
    index = builder.func(func(params, results))
    validator = builder.validate()
    make = {
        Imm.LANE: lambda lane: lane,
        Imm.LANES: lambda lane: (*(0,) * 15, lane),
        Imm.MEMARG_LANE: lambda lane: (0, 0, 0, lane),
    }[op.imm]
    gets = code(*(f"local.get {i}" for i in range(len(params))))[:-1]
    here = FIRST_OFFSET + len(params)
    for lane in (op.lanes - 1, op.lanes, 255):
        instrs = [*gets, (op, make(lane), here), (BY_NAME["end"], None, here + 1)]
        if lane < op.lanes:
            validator.validate_body(index, instrs)
        else:
            with pytest.raises(InvalidError, match=f"^invalid lane index {lane}: {op.name} has {op.lanes} lanes"):
                validator.validate_body(index, instrs)
