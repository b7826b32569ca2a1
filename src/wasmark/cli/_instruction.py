"""One instruction as a line of text, from its row and its immediate. Labels and indices stay numbers."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, Final

from wasmark.core.opcodes import Imm

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.core.opcodes import Opcode


def _block(imm: tuple[tuple[object, ...], tuple[object, ...]]) -> str:
    parts = (("param", imm[0]), ("result", imm[1]))
    return " ".join(f"({word} {' '.join(map(str, types))})" for word, types in parts if types)


def _memarg(imm: tuple[int, int, int]) -> str:
    align, memory, offset = imm
    parts = [str(memory) if memory else "", f"offset={offset}" if offset else "", f"align={1 << align}"]
    return " ".join(part for part in parts if part)


def _float(bits: int, integer: str, real: str) -> str:
    value = struct.unpack(real, struct.pack(integer, bits))[0]
    return f"nan:{bits:#x}" if value != value else repr(value)


def _numbers(imm: object) -> str:
    return " ".join(map(str, imm)) if isinstance(imm, tuple) else str(imm)


_FORMATS: Final[dict[Imm, Callable[[Any], str]]] = {
    Imm.NONE: lambda _: "",
    Imm.BLOCK: _block,
    Imm.MEMARG: _memarg,
    Imm.SELECT: lambda types: f"(result {' '.join(map(str, types))})",
    Imm.F32: lambda bits: _float(bits, "<I", "<f"),
    Imm.F64: lambda bits: _float(bits, "<Q", "<d"),
}
"""What is not here is a number or a tuple of numbers."""


def format_instruction(op: Opcode, imm: Any) -> str:
    """`i32.load offset=8 align=4`, `br_table 0 1 2`, ..."""
    return f"{op.name} {_FORMATS.get(op.imm, _numbers)(imm)}".rstrip()
