"""Models and instruction lists by hand: validation is tested without the binary or text format in between.

Only constant expressions are bytes, since the model keeps them so.
"""

from __future__ import annotations

from typing import Any

import pytest

from wasmark.binary import encode_instruction
from wasmark.core.features import Feature
from wasmark.core.model import (
    ConstExpr,
    DataSegment,
    ElementSegment,
    Export,
    Function,
    Global,
    Import,
    ModuleModel,
    Table,
)
from wasmark.core.opcodes import BY_NAME, SELECT_TYPED, Imm, Opcode
from wasmark.core.types import (
    CompositeType,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    RefType,
    SubType,
    TableType,
    ValType,
)
from wasmark.errors import InvalidError
from wasmark.validate import ModuleValidator, validate_module

FIRST_OFFSET = 0x100
"""Offset of the first instruction that `code` makes; each further one lies one byte behind."""

ALL = frozenset(Feature)
NO_TYPES = FuncType((), ())

Item = str | tuple[str, Any]
Instr = tuple[Opcode, Any, int]


def instruction(item: Item) -> tuple[Opcode, Any]:
    """`"name"`, `"name 1 2"` with integers, or `(name, immediate)` for the rest."""
    if isinstance(item, tuple):
        name, imm = item
        return (SELECT_TYPED if name == "select" else BY_NAME[name]), imm
    name, *numbers = item.split()
    op = BY_NAME[name]
    values = tuple(int(number, 0) for number in numbers)
    if op.imm in (Imm.NONE, Imm.ZERO) or op is BY_NAME["select"]:
        return op, None
    if op.imm is Imm.BLOCK:
        return op, ((), ())
    return op, values if len(values) > 1 or op.imm is Imm.LABELS else values[0]


def code(*items: Item) -> list[Instr]:
    """A body; its final `end` is added."""
    return [(*instruction(item), FIRST_OFFSET + i) for i, item in enumerate([*items, "end"])]


def func(params: tuple[ValType, ...] = (), results: tuple[ValType, ...] = ()) -> FuncType:
    return FuncType(params, results)


def ref(heap: Any, *, null: bool = False) -> RefType:
    return RefType.of(null, heap)


class Builder:
    """A model in the making. Every method returns the index of what it adds; offsets are those given."""

    def __init__(self) -> None:
        self.model = ModuleModel()

    def types(self, *members: CompositeType | SubType) -> int:
        """A recursion group; plain composite types are final and have no supertype."""
        first = len(self.model.types)
        self.model.types += [m if isinstance(m, SubType) else SubType(m) for m in members]
        self.model.rec_groups.append((first, len(members)))
        return first

    def expr(self, *items: Item) -> ConstExpr:
        start = len(self.model.data)
        encoded = (encode_instruction(*instruction(item)) for item in [*items, "end"])
        self.model.data += b"".join(encoded)
        return ConstExpr(start, len(self.model.data))

    def func(
        self,
        signature: FuncType | int = NO_TYPES,
        locals_: list[tuple[int, ValType]] | None = None,
        entry: int = 0,
    ) -> int:
        type_index = signature if isinstance(signature, int) else self.types(signature)
        self.model.functions.append(Function(type_index, locals_ or [], entry, entry, entry))
        return len(self.model.functions) - 1

    def import_(self, kind: str, desc: Any, offset: int = 0) -> None:
        self.model.imports.append(Import("m", "n", kind, desc, offset))

    def memory(self, minimum: int = 1, maximum: int | None = None, *, is64: bool = False, shared: bool = False) -> int:
        self.model.memories.append(MemoryType(Limits(minimum, maximum, is64, shared)))
        return len(self.model.memories) - 1

    def table(
        self, element: RefType, minimum: int = 1, init: ConstExpr | None = None, *, is64: bool = False, offset: int = 0
    ) -> int:
        self.model.tables.append(Table(TableType(element, Limits(minimum, None, is64)), init, offset))
        return len(self.model.tables) - 1

    def global_(self, type_: ValType, init: ConstExpr, *, mutable: bool = False, offset: int = 0) -> int:
        self.model.globals.append(Global(GlobalType(type_, mutable), init, offset))
        return len(self.model.globals) - 1

    def elem(
        self,
        type_: RefType,
        items: list[Any],
        at: ConstExpr | None = None,
        table: int = 0,
        mode: str = "passive",
        offset: int = 0,
    ) -> int:
        mode = mode if at is None else "active"
        self.model.elements.append(ElementSegment(mode, type_, items, table, at, offset))
        return len(self.model.elements) - 1

    def data(self, at: ConstExpr | None = None, memory: int = 0, offset: int = 0) -> int:
        self.model.data_segments.append(DataSegment(0, 0, None if at is None else memory, at, offset))
        return len(self.model.data_segments) - 1

    def export(self, name: str, kind: str, index: int, offset: int = 0) -> None:
        self.model.exports.append(Export(name, kind, index, offset))

    def validate(self, features: frozenset[Feature] = ALL) -> ModuleValidator:
        self.model.index()
        return validate_module(self.model, features)

    def refused(self, message: str, *, at: int | None = None, features: frozenset[Feature] = ALL) -> None:
        """Assert that the sections are invalid, with an error that starts with `message` and carries offset `at`."""
        with pytest.raises(InvalidError) as caught:
            self.validate(features)
        assert caught.value.message.startswith(message), caught.value.message
        assert caught.value.func_index is None
        if at is not None:
            assert caught.value.offset == at


def accept(
    *items: Item,
    params: tuple[ValType, ...] = (),
    results: tuple[ValType, ...] = (),
    locals_: list[tuple[int, ValType]] | None = None,
    builder: Builder | None = None,
    features: frozenset[Feature] = ALL,
) -> None:
    """Validate the items as the body of one more function of the module."""
    builder = builder or Builder()
    index = builder.func(func(params, results), locals_, entry=0x80)
    builder.validate(features).validate_body(index, code(*items))


def refuse(message: str, at: int, *items: Item, **how: Any) -> None:
    """Assert that `accept` fails with an error that starts with `message`, at the instruction number `at`."""
    builder = how.pop("builder", None) or Builder()
    with pytest.raises(InvalidError) as caught:
        accept(*items, builder=builder, **how)
    error = caught.value
    assert error.message.startswith(message), error.message
    assert error.offset == FIRST_OFFSET + at
    assert error.func_index == builder.model.imported["func"] + len(builder.model.functions) - 1
