"""Modules of hand-made bodies, without the text format in between."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wasmark.binary import encode_instruction, encode_module
from wasmark.core.model import ConstExpr, Export, Function, Global, ModuleModel
from wasmark.core.opcodes import BY_NAME, Imm
from wasmark.core.types import FuncType, GlobalType, Limits, MemoryType, NumType, SubType, ValType

Code = list[tuple[str, Any]]
"""Instructions by name with their immediates; the final `end` is left out."""


@dataclass
class Body:
    """An exported function. `locals_` are the declared ones."""

    name: str
    type: FuncType
    code: Code
    locals_: Sequence[ValType] = ()


def build(bodies: Iterable[Body], *, pages: int = 0, globals_: Sequence[NumType] = ()) -> bytes:
    """A module that exports these functions, with a memory `memory` where `pages` says so, and mutable globals that
    start as zero."""
    model = ModuleModel()
    indices: dict[FuncType, int] = {}
    data = bytearray()
    for number, body in enumerate(bodies):
        start = len(data)
        index = indices.setdefault(body.type, len(indices))
        for name, imm in [*body.code, ("end", None)]:
            if BY_NAME[name].imm is Imm.BLOCK:
                indices.setdefault(FuncType(*imm), len(indices))
            data += encode_instruction(BY_NAME[name], imm, indices)
        model.functions.append(Function(index, [(1, type_) for type_ in body.locals_], start, len(data)))
        model.exports.append(Export(body.name, "func", number))
    if pages:
        model.memories.append(MemoryType(Limits(pages)))
        model.exports.append(Export("memory", "memory", 0))
    for type_ in globals_:
        start = len(data)
        data += encode_instruction(BY_NAME[f"{type_}.const"], 0) + encode_instruction(BY_NAME["end"], None)
        model.globals.append(Global(GlobalType(type_, mutable=True), ConstExpr(start, len(data))))
    model.types = [SubType(type_) for type_ in indices]
    model.rec_groups = [(i, 1) for i in range(len(indices))]
    model.data = bytes(data)
    return encode_module(model)
