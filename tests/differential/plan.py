"""What the bodies of a random module can name, and which rows of the opcode table they draw from."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from tests.differential.objects import OBJECT_TYPES
from wasmark.core.features import Feature
from wasmark.core.opcodes import (
    OPCODES,
    Imm,
    Opcode,
)
from wasmark.core.types import (
    F32,
    F64,
    I32,
    I64,
    V128,
    CompositeType,
    FuncType,
    GlobalType,
    HeapType,
    MemoryType,
    RefType,
    TableType,
    ValType,
)

FUEL: Final = 0
"""The global that is counted down."""

LETTERS: Final[dict[str, ValType]] = {"i": I32, "I": I64, "f": F32, "F": F64, "v": V128}
NUMBERS: Final[tuple[ValType, ...]] = (I32, I64, F32, F64)
VALUES: Final[tuple[ValType, ...]] = (*NUMBERS, V128)
CANONICAL_NAN: Final[dict[ValType, int]] = {F32: 0x7FC00000, F64: 0x7FF8000000000000}

INTERESTING: Final[dict[ValType, tuple[int, ...]]] = {
    I32: (0, 1, -1, 2, 7, 31, 32, 33, 127, 128, -128, 255, 256, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, -0x80000000),
    I64: (0, 1, -1, 3, 63, 64, 65, 255, 1 << 31, -(1 << 31), (1 << 32) - 1, 1 << 32, (1 << 63) - 1, -(1 << 63)),
    F32: (
        *(0, 0x80000000, 0x3F800000, 0xBF800000, 0x40000000, 0x3F000000, 0x7F800000, 0xFF800000, 0x7FC00000),
        *(0x7FA00000, 0xFFC12345, 1, 0x80000001, 0x007FFFFF, 0x00800000, 0x7F7FFFFF, 0x4EFFFFFF, 0x4F000000),
        *(0xCF000000, 0x4F7FFFFF, 0x4F800000, 0x5EFFFFFF, 0x5F000000, 0xDF000000, 0x40490FDB, 0xC2F6E979),
    ),
    F64: (
        *(0, 1 << 63, 0x3FF0000000000000, 0xBFF0000000000000, 0x4000000000000000, 0x3FE0000000000000),
        *(0x7FF0000000000000, 0xFFF0000000000000, 0x7FF8000000000000, 0x7FF4000000000000, 0xFFF8000000012345),
        *(1, 0x800FFFFFFFFFFFFF, 0x0010000000000000, 0x7FEFFFFFFFFFFFFF, 0x41DFFFFFFFC00000, 0x41E0000000000000),
        *(0xC1E0000000000000, 0xC1E0000000200000, 0x41EFFFFFFFE00000, 0x41F0000000000000, 0x43DFFFFFFFFFFFFF),
        *(0x43E0000000000000, 0xC3E0000000000000, 0x43F0000000000000, 0x400921FB54442D18, 0x36A0000000000000),
        *(0x47EFFFFFEFFFFFFF, 0x47EFFFFFF0000000, 0x3690000000000000, 0x3690000000000001),
    ),
}
"""Immediates of constants: signed integers, and the bits of floats."""

EXNREF: Final = RefType.of(True, HeapType.EXN)
CONSTANT: Final[dict[ValType, str]] = {
    I32: "i32.const",
    I64: "i64.const",
    F32: "f32.const",
    F64: "f64.const",
    V128: "v128.const",
}

COMPUTING: Final = [
    op
    for op in OPCODES
    if op.sig is not None and op.imm is Imm.NONE and op.sig[-2:-1] == ":" and not set(op.sig) - set("iIfFv:")
]
WIDE: Final = [op for op in OPCODES if op.feature is Feature.WIDE_ARITHMETIC]
ATOMICS: Final = [op for op in OPCODES if op.feature is Feature.THREADS]
ACCESSES: Final = [op for op in OPCODES if op.access and op.sig is not None and op.feature is not Feature.THREADS]
LOADS: Final = [op for op in ACCESSES if (op.sig or "").startswith("a:")]
STORES: Final = [op for op in ACCESSES if (op.sig or "").endswith(":")]


def types_of(letters: str) -> list[ValType]:
    """The types of one side of a signature of numbers and vectors."""
    return [LETTERS[letter] for letter in letters]


@dataclass
class Plan:
    """What the bodies of one module can name."""

    functions: list[FuncType]
    imported: int
    globals: list[GlobalType]
    memories: list[MemoryType]
    tables: list[TableType]
    elements: list[RefType]
    data_segments: int
    first_function_in_table: list[int]
    tags: list[FuncType] = field(default_factory=list)
    types: list[CompositeType] = field(default_factory=lambda: [type_.composite for type_ in OBJECT_TYPES])
    type_indices: dict[FuncType, int] = field(default_factory=dict)
    used: set[Opcode] = field(default_factory=set)

    def type_index(self, type_: FuncType) -> int:
        """The index of a function type, added where it is new."""
        index = self.type_indices.setdefault(type_, len(self.types))
        if index == len(self.types):
            self.types.append(type_)
        return index


@dataclass
class Frame:
    """A label and what it carries; `dead` where the code behind a jump is being written."""

    label: list[ValType]
    results: list[ValType]
    height: int
    is_loop: bool = False
    dead: bool = False
