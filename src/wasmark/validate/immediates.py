"""Immediates of the instructions that follow their row's signature: what there is to check about them (core §3.4.4,
§3.4.5), and the types that they give to the letters of the signature."""

from __future__ import annotations

from wasmark.core.checked import Any
from wasmark.core.features import Feature
from wasmark.core.opcodes import Imm, Opcode
from wasmark.core.types import I32, I64, NumType, ValType
from wasmark.errors import InvalidError
from wasmark.validate.context import address_type, lookup
from wasmark.validate.plan import FIXED_LETTERS, natural_alignment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.validate.context import Context

MAX_OFFSETS: Final = {I32: (1 << 32) - 1, I64: (1 << 64) - 1}
"""The largest static offset of a memory access, by address type (core §3.4.5)."""


def _of_memory(context: Context, index: int) -> dict[str, ValType]:
    return {**FIXED_LETTERS, "a": address_type(lookup(context.memories, index, "memory"))}


def _of_table(context: Context, index: int) -> dict[str, ValType]:
    table = lookup(context.tables, index, "table")
    return {**FIXED_LETTERS, "t": address_type(table), "r": table.element}


def _of_memarg(context: Context, op: Opcode, imm: tuple[int, int, int]) -> dict[str, ValType]:
    align, memory, static = imm
    letters = _of_memory(context, memory)
    if op.feature is Feature.THREADS and align != natural_alignment(op):
        raise InvalidError(
            f"atomic alignment must be natural: {op.name} is aligned to {1 << align} bytes and touches {op.access}"
        )
    if align > natural_alignment(op):
        raise InvalidError(
            f"alignment must not be larger than natural: {op.name} is aligned to {1 << align} bytes "
            f"and touches {op.access}"
        )
    if static > MAX_OFFSETS[address_type(context.memories[memory])]:
        raise InvalidError(f"offset out of range: {static} is beyond every address of the memory")
    return letters


def _of_memarg_and_lane(context: Context, op: Opcode, imm: tuple[int, int, int, int]) -> dict[str, ValType]:
    letters = _of_memarg(context, op, imm[:3])
    _of_lane(context, op, imm[3])
    return letters


def _of_lane(context: Context, op: Opcode, imm: int) -> dict[str, NumType]:
    if imm >= op.lanes:
        raise InvalidError(f"invalid lane index {imm}: {op.name} has {op.lanes} lanes")
    return FIXED_LETTERS


def _of_lanes(context: Context, op: Opcode, imm: tuple[int, ...]) -> dict[str, NumType]:
    return _of_lane(context, op, max(imm))


def _of_data_and_memory(context: Context, op: Opcode, imm: tuple[int, int]) -> dict[str, ValType]:
    letters = _of_memory(context, imm[1])
    context.check_data(imm[0])
    return letters


def _of_data(context: Context, op: Opcode, imm: int) -> dict[str, NumType]:
    context.check_data(imm)
    return FIXED_LETTERS


def _of_element_and_table(context: Context, op: Opcode, imm: tuple[int, int]) -> dict[str, ValType]:
    letters = _of_table(context, imm[1])
    segment = lookup(context.elements, imm[0], "elem segment")
    element = context.tables[imm[1]].element
    if not context.types.ref_matches(segment, element):
        raise InvalidError(f"type mismatch: {op.name} expected a segment of {element}, found one of {segment}")
    return letters


def _of_element(context: Context, op: Opcode, imm: int) -> dict[str, NumType]:
    lookup(context.elements, imm, "elem segment")
    return FIXED_LETTERS


LETTERS: Final[dict[Imm, Any]] = {
    Imm.MEMARG: _of_memarg,
    Imm.MEMARG_LANE: _of_memarg_and_lane,
    Imm.LANE: _of_lane,
    Imm.LANES: _of_lanes,
    Imm.MEMORY: lambda context, _op, imm: _of_memory(context, imm),
    Imm.DATA_MEMORY: _of_data_and_memory,
    Imm.DATA: _of_data,
    Imm.TABLE: lambda context, _op, imm: _of_table(context, imm),
    Imm.ELEM_TABLE: _of_element_and_table,
    Imm.ELEM: _of_element,
}
"""Immediates that are to be checked or that give the letters of the signature a meaning: what does so."""
