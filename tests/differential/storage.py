"""The part of the bodies that goes to memories and tables."""

from __future__ import annotations

from typing import Final

from tests.differential import vectors
from tests.differential.plan import (
    ATOMICS,
    LETTERS,
    LOADS,
    STORES,
    types_of,
)
from tests.differential.values import ValueSteps
from wasmark.core.opcodes import (
    BY_NAME,
    Opcode,
)
from wasmark.core.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    RefType,
    ValType,
)

_EXCHANGE: Final = 3  # operands: address, expected value, new value
_FENCE: Final = BY_NAME["atomic.fence"]


class StorageSteps(ValueSteps):
    """Steps of a body with memories, tables and null references."""

    def _memory(self) -> tuple[int, ValType]:
        index = self.rng.randrange(len(self.plan.memories))
        return index, I64 if self.plan.memories[index].limits.is64 else I32

    def _memarg(self, op: Opcode, memory: int, address: ValType) -> tuple[int, int, int]:
        offsets = [0, 0, 0, 1, 4, 100, 0x1FF0, self.rng.randrange(1 << 13)]
        # An access that can never fit is a trap to other engines, and they place it where they like.
        if self.plan.memories[memory].limits.maximum is None and self.chance(3):
            offsets = [1 << 16, 0x3FF_FFF8, 64 << 20, 0x7FFFFFFF, 0xFFFFFFF8]
            offsets += [1 << 32, 1 << 40] if address is I64 else []
        return self.rng.randint(0, op.access.bit_length() - 1), memory, self.rng.choice(offsets)

    def load(self) -> None:
        op = self.rng.choice(LOADS)
        memory, address = self._memory()
        self.want([address])
        if not self.chance(2):
            self._mask(address, self.rng.choice((0xFF, 0xFFF, 0xDFFF)))
        self.emit(op, self._memarg(op, memory, address))
        self._pop(1)
        assert op.sig is not None
        self.stack.append(LETTERS[op.sig[-1]])

    def store(self) -> None:
        op = self.rng.choice(STORES)
        assert op.sig is not None
        type_ = LETTERS[op.sig[1]]
        memory, address = self._memory()
        self.want([address, type_])
        if type_ in (F32, F64):
            self.canonical()
        if not self.chance(2):
            scratch = self.local(type_)
            self.emit("local.set", scratch)
            self._mask(address, self.rng.choice((0xFF, 0xFFF, 0xDFFF)))
            self.emit("local.get", scratch)
        lane = (self.rng.randrange(op.lanes),) if op.lanes else ()
        self.emit(op, (*self._memarg(op, memory, address), *lane))
        self._pop(2)

    def load_lane(self) -> None:
        op = self.rng.choice(vectors.LANE_LOADS)
        memory, address = self._memory()
        self.want([address])
        if not self.chance(2):
            self._mask(address, self.rng.choice((0xFF, 0xFFF, 0xDFFF)))
        self.value(V128)
        self.emit(op, (*self._memarg(op, memory, address), self.rng.randrange(op.lanes)))
        self._pop(2)
        self.stack.append(V128)

    def atomic(self) -> None:
        """Where an address is neither aligned nor in bounds, engines differ in what they complain of. And the other
        engine compares only as many bits of what a narrow exchange expects as there are in memory."""
        op = self.rng.choice(ATOMICS)
        if ".wait" in op.name and not self.chance(40):  # a trap: no memory is shared
            op = _FENCE
        assert op.sig is not None
        params, result = op.sig.split(":")
        if op is _FENCE:
            self.emit(op)
            return
        memory, address = self._memory()
        self.want([address])
        self._mask(address, self.rng.choice((0xF8, 0xFF8)))
        for type_ in types_of(params[1:]):
            self.value(type_)
            if len(params) == _EXCHANGE and op.name.endswith("_u"):
                self._mask(type_, (1 << 8 * op.access) - 1)
        offset = self.rng.choice((0, 0, 8, 64)) + self.chance(3)
        self.emit(op, (op.access.bit_length() - 1, memory, offset))
        self._pop(len(params))
        self.stack.extend(types_of(result))

    def memory_size(self) -> None:
        memory, address = self._memory()
        self.push(address, "memory.size", memory)

    def memory_grow(self) -> None:
        memory, address = self._memory()
        self._small(address, 1, wild=0)
        self.emit("memory.grow", memory)

    def memory_fill(self) -> None:
        memory, address = self._memory()
        self._small(address, 0xFFF)
        self.value(I32)
        self._small(address, 0x3F)
        self.emit("memory.fill", memory)
        self._pop(3)

    def memory_copy(self) -> None:
        to, to_address = self._memory()
        from_, from_address = self._memory()
        self._small(to_address, 0xFFF)
        self._small(from_address, 0xFFF)
        self._small(I64 if to_address is from_address is I64 else I32, 0x3FF)
        self.emit("memory.copy", (to, from_))
        self._pop(3)

    def memory_init(self) -> None:
        memory, address = self._memory()
        self._small(address, 0xFFF)
        self._small(I32, 3)
        self._small(I32, 7)
        segment = self.rng.randrange(self.plan.data_segments) if self.chance(5) else self.plan.data_segments - 1
        self.emit("memory.init", (segment, memory))
        self._pop(3)

    def data_drop(self) -> None:
        if self.chance(4):
            self.emit("data.drop", self.rng.randrange(self.plan.data_segments))

    # --- tables and references --------------------------------------------------------------------

    def _table(self) -> tuple[int, ValType, RefType]:
        index = self.rng.randrange(len(self.plan.tables))
        table = self.plan.tables[index]
        return index, I64 if table.limits.is64 else I32, table.element

    def table_set(self) -> None:
        table, _, element = self._table()
        self._index(table)
        self.value(element)
        self.emit("table.set", table)
        self._pop(2)

    def table_size(self) -> None:
        table, address, _ = self._table()
        self.push(address, "table.size", table)

    def table_grow(self) -> None:
        table, address, element = self._table()
        self.value(element)
        self._small(address, 1, wild=1)
        self.emit("table.grow", table)
        self._pop(2)
        self.stack.append(address)

    def table_fill(self) -> None:
        table, address, element = self._table()
        self._index(table)
        self.value(element)
        self._small(address, 1)
        self.emit("table.fill", table)
        self._pop(3)

    def table_copy(self) -> None:
        to, to_address, element = self._table()
        from_ = self.rng.choice([i for i, table in enumerate(self.plan.tables) if table.element is element])
        from_address = I64 if self.plan.tables[from_].limits.is64 else I32
        self._index(to)
        self._index(from_)
        self._small(I64 if to_address is from_address is I64 else I32, 3)
        self.emit("table.copy", (to, from_))
        self._pop(3)

    def table_init(self) -> None:
        table, _, element = self._table()
        segments = [i for i, type_ in enumerate(self.plan.elements) if type_ is element]
        if not segments:
            return
        self._index(table)
        self._small(I32, 1)
        self._small(I32, 1)
        self.emit("table.init", (self.rng.choice(segments), table))
        self._pop(3)

    def elem_drop(self) -> None:
        if self.chance(4):
            self.emit("elem.drop", self.rng.randrange(len(self.plan.elements)))

    def is_null(self) -> None:
        top = self.stack[-1] if len(self.stack) > self.frames[-1].height else None
        if not isinstance(top, RefType):
            self.value(self.rng.choice([FUNCREF, EXTERNREF, self._typed_reference()]))
        self.emit("ref.is_null")
        self._pop(1)
        self.stack.append(I32)

    def as_non_null(self) -> None:
        if self.chance(30):
            self.value(FUNCREF)
            self.emit("ref.as_non_null")
