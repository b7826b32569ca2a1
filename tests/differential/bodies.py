"""Random function bodies that validate: a walk over the opcode table with the types of the operand stack at hand.

A body takes whatever types lie on the stack and pushes what is missing, so operands come from far and near. Every call
and every turn of a loop costs a unit of the global `FUEL`, and without fuel nothing turns back: all bodies end.

NaN payloads are not determined (core §4.3.3), so a float is made canonical wherever its bits could be seen: before it
is reinterpreted, stored, or lends its sign.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tests.differential import vectors
from tests.differential.objects import OBJECT_TYPES, REFERENCES, ObjectSteps, is_object
from wasmark.binary import encode_instruction
from wasmark.core.features import Feature
from wasmark.core.opcodes import (
    BY_NAME,
    CATCH,
    CATCH_ALL,
    CATCH_ALL_REF,
    CATCH_REF,
    OPCODES,
    SELECT_TYPED,
    Imm,
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

_EXNREF: Final = RefType.of(True, HeapType.EXN)
_CONSTANT: Final[dict[ValType, str]] = {
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
_EXCHANGE: Final = 3  # operands: address, expected value, new value
_FENCE: Final = BY_NAME["atomic.fence"]
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


class BodyGenerator(ObjectSteps):
    """Writes one body: `code` holds the encoded instructions and `declared` the types of its own locals."""

    def __init__(self, plan: Plan, rng: random.Random, type_: FuncType, steps: int) -> None:
        self.plan = plan
        self.rng = rng
        self.type = type_
        self.steps = steps
        self.code: list[bytes] = []
        self.stack: list[ValType] = []
        self.frames: list[Frame] = []
        self.declared: list[ValType] = []
        self._scratch: dict[ValType, int] = {}

    def generate(self) -> None:
        """Write the body, its final `end` included."""
        for _ in range(self.rng.randint(0, 6)):
            types = [*NUMBERS, *VALUES, FUNCREF, EXTERNREF, self._typed_reference(), *REFERENCES]
            self.declared.append(self.rng.choice(types))
        results = list(self.type.results)
        self._spend()
        self._has_fuel(negated=True)
        self.emit("if", ((), ()))
        for type_ in results:
            self._default(type_)
        self.emit("return")
        self.emit("end")
        self._frame(Frame(results, results, 0), self.steps)
        self.emit("end")

    # --- writing ----------------------------------------------------------------------------------

    def emit(self, name: str | Opcode, imm: Any = None) -> None:
        """Append an instruction; the stack is the caller's affair."""
        op = BY_NAME[name] if isinstance(name, str) else name
        self.plan.used.add(op)
        self.code.append(encode_instruction(op, imm, self.plan.type_indices))

    def push(self, type_: ValType, name: str | Opcode, imm: Any = None) -> None:
        """Append an instruction that pushes a value."""
        self.emit(name, imm)
        self.stack.append(type_)

    def local(self, type_: ValType) -> int:
        """A scratch local."""
        if type_ not in self._scratch:
            self._scratch[type_] = len(self.type.params) + len(self.declared)
            self.declared.append(type_)
        return self._scratch[type_]

    def _typed_reference(self) -> ValType:
        type_ = self.rng.choice(self.plan.functions)
        return RefType.of(True, self.plan.type_index(type_))

    def _default(self, type_: ValType) -> None:
        if isinstance(type_, RefType):
            self.emit("ref.null", type_.heap)
        else:
            self.emit(_CONSTANT[type_], 0)

    def _spend(self) -> None:
        self.emit("global.get", FUEL)
        self.emit("i32.const", 1)
        self.emit("i32.sub")
        self.emit("global.set", FUEL)

    def _has_fuel(self, *, negated: bool = False) -> None:
        self.emit("global.get", FUEL)
        self.emit("i32.const", 0)
        self.emit("i32.le_s" if negated else "i32.gt_s")

    def chance(self, percent: float) -> bool:
        """True that often."""
        return self.rng.random() * 100 < percent

    # --- values -----------------------------------------------------------------------------------

    def value(self, type_: ValType, depth: int = 2) -> None:
        """Push some value."""
        # A scratch local may have what was not made canonical yet.
        scratch = self._scratch.values()
        locals_ = [i for i, t in enumerate([*self.type.params, *self.declared]) if t is type_ and i not in scratch]
        globals_ = [i for i, g in enumerate(self.plan.globals) if g.value is type_]
        if isinstance(type_, RefType):
            self._reference(type_, locals_, globals_)
        elif depth and self.chance(30):
            self._computed(type_, depth)
        elif locals_ and self.chance(65):
            self.push(type_, "local.get", self.rng.choice(locals_))
        elif globals_ and self.chance(30):
            self.push(type_, "global.get", self.rng.choice(globals_))
        else:
            self.push(type_, _CONSTANT[type_], self._constant(type_))

    def _constant(self, type_: ValType) -> int:
        if type_ is V128:
            return vectors.constant(self.rng)
        if self.chance(70):
            return self.rng.choice(INTERESTING[type_])
        bits = 32 if type_ in (I32, F32) else 64
        value = self.rng.getrandbits(self.rng.randint(1, bits))
        return value - (1 << bits) if type_ in (I32, I64) and value >> (bits - 1) else value

    def _computed(self, type_: ValType, depth: int) -> None:
        letter = next(letter for letter, t in LETTERS.items() if t is type_)
        op = self.rng.choice([op for op in COMPUTING if op.sig is not None and op.sig.endswith(f":{letter}")])
        assert op.sig is not None
        params = types_of(op.sig.split(":")[0])
        for param in params:
            self.value(param, depth - 1)
        self._compute(op, params)

    def _reference(self, type_: RefType, locals_: list[int], globals_: list[int]) -> None:
        """Push a reference of a nullable or of a concrete non-nullable type."""
        plan = self.plan
        functions = [
            i
            for i, f in enumerate(plan.functions)
            if type_ is FUNCREF or (isinstance(type_.heap, int) and plan.type_index(f) == type_.heap)
        ]
        tables = [i for i, table in enumerate(plan.tables) if table.element is type_]
        if locals_ and self.chance(50):
            self.push(type_, "local.get", self.rng.choice(locals_))
        elif globals_ and self.chance(40):
            self.push(type_, "global.get", self.rng.choice(globals_))
        elif is_object(type_):
            self.object_value(type_)
        elif tables and self.chance(30):
            table = self.rng.choice(tables)
            self._index(table)
            self._pop(1)
            self.push(type_, "table.get", table)
        elif functions and (self.chance(93) or not type_.nullable):
            self.push(type_, "ref.func", self.rng.choice(functions))
        else:
            assert type_.nullable
            self.push(type_, "ref.null", type_.heap)

    def want(self, types: Sequence[ValType]) -> None:
        """Make the top of the stack have these types, with what is there already as the deepest ones."""
        frame = self.frames[-1]
        available = self.stack[frame.height :]
        for count in range(min(len(types), len(available)), -1, -1):
            if all(a is b for a, b in zip(available[len(available) - count :], types, strict=False)):
                break
        if frame.dead and count == len(available) and self.chance(50):
            # Behind a jump the missing operands may come from nowhere, if those on the stack are the last ones.
            for tail in range(min(len(types), len(available)), -1, -1):
                if tail == len(available) and all(
                    a is b for a, b in zip(available, types[len(types) - tail :], strict=True)
                ):
                    self.stack[frame.height :] = types
                    return
        for type_ in types[count:]:
            self.value(type_)

    def _pop(self, count: int) -> None:
        if count:
            del self.stack[-count:]

    def canonical(self) -> None:
        """Make the float on top canonical if it is a NaN."""
        type_ = self.stack[-1]
        scratch = self.local(type_)
        self.emit("local.tee", scratch)
        self.emit(_CONSTANT[type_], CANONICAL_NAN[type_])
        self.emit("local.get", scratch)
        self.emit("local.get", scratch)
        self.emit(f"{type_}.eq")
        self.emit("select")

    def _mask(self, type_: ValType, mask: int) -> None:
        self.emit(_CONSTANT[type_], mask)
        self.emit(f"{type_}.and")

    def _small(self, type_: ValType, mask: int, *, wild: int = 2) -> None:
        """Push an integer that is usually below `mask`."""
        self.value(type_)
        if not self.chance(wild):
            self._mask(type_, mask)

    def _index(self, table: int) -> None:
        """Push an index that a table usually has."""
        self._small(I64 if self.plan.tables[table].limits.is64 else I32, 7)

    # --- instructions that compute ----------------------------------------------------------------

    def compute(self) -> None:
        op = self.rng.choice(WIDE if self.chance(3) else COMPUTING)
        assert op.sig is not None
        params = types_of(op.sig.split(":")[0])
        self.want(params)
        self._compute(op, params)

    def _compute(self, op: Opcode, params: list[ValType]) -> None:
        """Emit the instruction for operands on the stack, so that it rarely traps and shows no payload."""
        action = op.name.partition(".")[2]
        if action.startswith(("div_", "rem_")) and not self.chance(10):
            self.emit(_CONSTANT[params[1]], 1)
            self.emit(f"{params[1]}.or")
        elif action.startswith(("trunc_f32_", "trunc_f64_")) and not self.chance(15):
            self._clamp(params[0])
        elif action.startswith("reinterpret_f") or action == "copysign":
            self.canonical()
        vectors.before(self, op)
        self.emit(op, vectors.lane_immediate(self.rng, op) if op.lanes else None)
        self._pop(len(params))
        assert op.sig is not None
        self.stack.extend(types_of(op.sig.split(":")[1]))
        vectors.behind(self, op)

    def lane(self) -> None:
        """An instruction that names lanes."""
        op = self.rng.choice(vectors.WITH_LANE)
        assert op.sig is not None
        params = types_of(op.sig.split(":")[0])
        self.want(params)
        self._compute(op, params)

    def _clamp(self, type_: ValType) -> None:
        """Bring the float on top into [0, 2**30]."""
        self.emit(_CONSTANT[type_], 0x4E800000 if type_ is F32 else 0x41D0000000000000)
        self.emit(f"{type_}.min")
        self.emit(_CONSTANT[type_], 0)
        self.emit(f"{type_}.max")
        scratch = self.local(type_)
        self.emit("local.tee", scratch)
        self.emit(_CONSTANT[type_], 0x42280000 if type_ is F32 else 0x4045000000000000)
        self.emit("local.get", scratch)
        self.emit("local.get", scratch)
        self.emit(f"{type_}.eq")
        self.emit("select")

    def select(self) -> None:
        candidates: list[ValType] = [*NUMBERS, *VALUES, FUNCREF, EXTERNREF]
        if self.stack:
            candidates += [self.stack[-1]] * 8
        type_ = self.rng.choice(candidates)
        self.want([type_, type_, I32])
        typed = isinstance(type_, RefType) or self.chance(20)
        self.emit(SELECT_TYPED if typed else "select", (type_,) if typed else None)
        self._pop(2)

    def set_local(self) -> None:
        types = [*self.type.params, *self.declared]
        if not types:
            return
        index = self.rng.randrange(len(types))
        self.want([types[index]])
        if self.chance(50):
            self.emit("local.tee", index)
        else:
            self.emit("local.set", index)
            self._pop(1)

    def set_global(self) -> None:
        index = self.rng.choice([i for i, g in enumerate(self.plan.globals) if g.mutable and i != FUEL])
        self.want([self.plan.globals[index].value])
        self.emit("global.set", index)
        self._pop(1)

    def drop(self) -> None:
        if len(self.stack) > self.frames[-1].height:
            self.emit("drop")
            self._pop(1)

    def nop(self) -> None:
        self.emit("nop")

    # --- memory -----------------------------------------------------------------------------------

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

    # --- calls ------------------------------------------------------------------------------------

    def call(self, prefix: str = "") -> None:
        index = self._callee(prefix)
        self._call(self.plan.functions[index], f"{prefix}call", index)

    def _callee(self, prefix: str) -> int:
        """Any function, or any that returns what this one does."""
        functions = self.plan.functions
        if not prefix:
            return self.rng.randrange(len(functions))
        return self.rng.choice([i for i, type_ in enumerate(functions) if type_.results == self.type.results])

    def _call(self, type_: FuncType, name: str, imm: Any, before: Callable[[], None] | None = None) -> None:
        self.want(type_.params)
        if before is not None:
            before()
        self.emit(name, imm)
        self._pop(len(type_.params))
        if name.startswith("return"):
            self._die()
        else:
            self.stack.extend(type_.results)

    def return_call(self) -> None:
        if self.chance(30):
            self.rng.choice((self.call, self.call_indirect, self.call_ref))("return_")

    def call_indirect(self, prefix: str = "") -> None:
        tables = [i for i, table in enumerate(self.plan.tables) if table.element is not EXTERNREF]
        table = self.rng.choice(tables)
        function = self._callee(prefix)
        type_ = self.plan.functions[function]
        address: ValType = I64 if self.plan.tables[table].limits.is64 else I32
        index = function - self.plan.first_function_in_table[table]

        def push_index() -> None:
            if index >= 0 and not self.chance(8):
                self.emit(_CONSTANT[address], index)
            else:
                self._small(address, 15)
                self._pop(1)

        self._call(type_, f"{prefix}call_indirect", (self.plan.type_index(type_), table), push_index)

    def call_ref(self, prefix: str = "") -> None:
        type_ = self.plan.functions[self._callee(prefix)]
        index = self.plan.type_index(type_)

        def push_reference() -> None:
            self.value(RefType.of(self.chance(40), index))
            self._pop(1)

        self._call(type_, f"{prefix}call_ref", index, push_reference)

    # --- control ----------------------------------------------------------------------------------

    def block(self) -> None:
        """A block, loop or `if` with what it is made of."""
        if len(self.frames) > 7 or self.steps < 4:
            return
        kind = self.rng.choice(("block", "block", "loop", "loop", "if", "if"))
        params = [self.rng.choice(VALUES) for _ in range(self.rng.choice((0, 0, 0, 1, 2)))]
        available = self.stack[self.frames[-1].height :]
        if available and self.chance(40):
            params = available[-self.rng.randint(1, 3) :]
        choices: list[ValType] = [*NUMBERS, *VALUES, *VALUES, FUNCREF]
        results = [self.rng.choice(choices) for _ in range(self.rng.choice((0, 0, 1, 1, 2, 3)))]
        with_else = kind == "if" and self.chance(70)
        if kind == "if" and not with_else:
            results = params
        self.plan.type_index(FuncType(tuple(params), tuple(results)))
        self.want([*params, I32] if kind == "if" else params)
        if kind == "if":
            self._pop(1)
        height = len(self.stack) - len(params)
        self.emit(kind, (tuple(params), tuple(results)))
        if kind == "loop":
            self._spend()
        label = params if kind == "loop" else results
        for part in range(1 + with_else):
            if part:
                self.emit("else")
                self.stack[height:] = params
            self._frame(Frame(label, results, height, kind == "loop"), self.rng.randint(1, max(1, self.steps // 2)))
        self.emit("end")

    def throw(self) -> None:
        if self.chance(15):
            tag = self.rng.randrange(len(self.plan.tags))
            self.want(self.plan.tags[tag].params)
            self.emit("throw", tag)
            self._die()

    def try_table(self) -> None:
        """A `try_table` in two blocks: where one of its clauses leads to, and behind that."""
        if len(self.frames) > 5 or self.steps < 6:
            return
        results = [self.rng.choice(VALUES) for _ in range(self.rng.choice((0, 0, 1, 2)))]
        kind = self.rng.choice((CATCH, CATCH, CATCH_REF, CATCH_ALL, CATCH_ALL_REF))
        tag = self.rng.randrange(len(self.plan.tags)) if kind < CATCH_ALL else 0
        given: list[ValType] = [*self.plan.tags[tag].params] if kind < CATCH_ALL else []
        if kind in (CATCH_REF, CATCH_ALL_REF):
            given.append(_EXNREF)
        clauses = [(kind, tag, 0)]
        if not results and self.chance(40):
            clauses.insert(self.rng.randrange(2), (CATCH_ALL, 0, 1))
        for types in (results, given):
            self.plan.type_index(FuncType((), tuple(types)))
        height = len(self.stack)
        for types in (results, given):
            self.emit("block", ((), tuple(types)))
            self.frames.append(Frame(types, types, height))
        self.emit("try_table", (((), tuple(results)), tuple(clauses)))
        self._frame(Frame(results, results, height), self.rng.randint(2, max(2, self.steps // 2)))
        self.emit("end")
        self.emit("br", 1)
        self.emit("end")
        self.frames.pop()
        self.stack[height:] = given
        if given and given[-1] is _EXNREF:
            if self.chance(40):
                self.emit("throw_ref")
                self._die()
            else:
                self.emit("drop")
                self._pop(1)
        self._settle(results)
        self.frames.pop()
        self.emit("end")

    def _frame(self, frame: Frame, steps: int) -> None:
        """What stands between two structured instructions; afterwards the results are on the stack."""
        self.frames.append(frame)
        self.steps -= 1
        for _ in range(steps):
            if self.steps <= 0 or (frame.dead and self.chance(40)):
                break
            self.steps -= 1
            self.rng.choice(_STEPS)(self)
        self._settle(frame.results)
        self.frames.pop()

    def _settle(self, results: list[ValType]) -> None:
        frame = self.frames[-1]
        if not (frame.dead and len(self.stack) == frame.height and self.chance(50)):
            while True:
                here = self.stack[frame.height :]
                if len(here) <= len(results) and all(a is b for a, b in zip(here, results, strict=False)):
                    break
                self._discard()
            for type_ in results[len(here) :]:
                self.value(type_)
        self.stack[frame.height :] = results

    def _discard(self) -> None:
        """Pop a value, preferably to where it will be seen again."""
        type_ = self.stack[-1]
        locals_ = [i for i, t in enumerate([*self.type.params, *self.declared]) if t is type_]
        globals_ = [i for i, g in enumerate(self.plan.globals) if g.value is type_ and g.mutable and i != FUEL]
        if locals_ and self.chance(60):
            self.emit("local.set", self.rng.choice(locals_))
        elif globals_ and self.chance(60):
            self.emit("global.set", self.rng.choice(globals_))
        else:
            self.emit("drop")
        self._pop(1)

    def _depth(self, *, loops: bool, like: list[ValType] | None = None) -> int | None:
        """The depth of some label, with these types where `like` is given."""
        found = [
            depth
            for depth, frame in enumerate(reversed(self.frames))
            if (loops or not frame.is_loop) and (like is None or frame.label == like)
        ]
        return self.rng.choice(found) if found else None

    def br_if(self) -> None:
        depth = self._depth(loops=True)
        assert depth is not None
        target = self.frames[-1 - depth]
        self.want([*target.label, I32])
        if target.is_loop:
            self._has_fuel()
            self.emit("i32.and")
        self.emit("br_if", depth)
        self._pop(1)

    def br(self) -> None:
        depth = self._depth(loops=False)
        if depth is None or not self.chance(40):
            return
        self.want(self.frames[-1 - depth].label)
        self.emit("br", depth)
        self._die()

    def br_table(self) -> None:
        last = self._depth(loops=False)
        if last is None or not self.chance(60):
            return
        label = self.frames[-1 - last].label
        labels = [self._depth(loops=True, like=label) for _ in range(self.rng.choice((0, 1, 2, 3, 8, 40)))]
        self.want(label)
        self._small(I32, 7, wild=20)
        self.emit("i32.const", -1)
        self._has_fuel()
        self.emit("select")
        self._pop(1)
        self.emit("br_table", (*labels, last))
        self._die()

    def br_on_null(self) -> None:
        depth = self._depth(loops=False)
        if depth is None:
            return
        self.want(self.frames[-1 - depth].label)
        self.value(FUNCREF)
        self.emit("br_on_null", depth)
        self.emit("drop")
        self._pop(1)

    def br_on_non_null(self) -> None:
        """A label that carries a non-nullable reference, in a block of its own."""
        type_ = self.rng.choice(self.plan.functions)
        index = self.plan.type_index(type_)
        result = RefType.of(False, index)
        self.emit("block", ((), (result,)))
        self.value(RefType.of(True, index))
        self.emit("br_on_non_null", 0)
        self._pop(1)
        self.value(result)
        self.emit("end")
        self._pop(1)
        self.stack.append(RefType.of(True, index))

    def return_(self) -> None:
        if self.chance(30):
            self.want(self.type.results)
            self.emit("return")
            self._die()

    def unreachable(self) -> None:
        if self.chance(3):
            self.emit("unreachable")
            self._die()

    def _die(self) -> None:
        frame = self.frames[-1]
        del self.stack[frame.height :]
        frame.dead = True


_WEIGHTS: Final[dict[Callable[[BodyGenerator], None], int]] = {
    BodyGenerator.compute: 40,
    BodyGenerator.lane: 6,
    BodyGenerator.load_lane: 2,
    BodyGenerator.set_local: 10,
    BodyGenerator.set_global: 4,
    BodyGenerator.select: 4,
    BodyGenerator.drop: 1,
    BodyGenerator.nop: 1,
    BodyGenerator.load: 9,
    BodyGenerator.store: 9,
    BodyGenerator.atomic: 6,
    BodyGenerator.memory_size: 1,
    BodyGenerator.memory_grow: 1,
    BodyGenerator.memory_fill: 2,
    BodyGenerator.memory_copy: 2,
    BodyGenerator.memory_init: 2,
    BodyGenerator.data_drop: 1,
    BodyGenerator.table_set: 2,
    BodyGenerator.table_size: 1,
    BodyGenerator.table_grow: 1,
    BodyGenerator.table_fill: 1,
    BodyGenerator.table_copy: 1,
    BodyGenerator.table_init: 2,
    BodyGenerator.elem_drop: 1,
    BodyGenerator.is_null: 3,
    BodyGenerator.as_non_null: 1,
    BodyGenerator.object_step: 14,
    BodyGenerator.call: 4,
    BodyGenerator.call_indirect: 4,
    BodyGenerator.call_ref: 3,
    BodyGenerator.return_call: 3,
    BodyGenerator.throw: 4,
    BodyGenerator.try_table: 5,
    BodyGenerator.block: 16,
    BodyGenerator.br_if: 6,
    BodyGenerator.br: 3,
    BodyGenerator.br_table: 3,
    BodyGenerator.br_on_null: 2,
    BodyGenerator.br_on_non_null: 2,
    BodyGenerator.return_: 2,
    BodyGenerator.unreachable: 2,
}
_STEPS: Final = [step for step, weight in _WEIGHTS.items() for _ in range(weight)]
