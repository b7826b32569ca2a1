"""The part of the bodies that pushes values, computes with them, and keeps them in locals and globals.

NaN payloads are not determined (core §4.3.3), so a float is made canonical wherever its bits could be seen: before it
is reinterpreted, stored, or lends its sign.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from tests.differential import vectors
from tests.differential.objects import ObjectSteps, is_object
from tests.differential.plan import (
    CANONICAL_NAN,
    COMPUTING,
    CONSTANT,
    FUEL,
    INTERESTING,
    LETTERS,
    NUMBERS,
    VALUES,
    WIDE,
    Frame,
    Plan,
    types_of,
)
from wasmark.binary import encode_instruction
from wasmark.core.opcodes import (
    BY_NAME,
    SELECT_TYPED,
    Opcode,
)
from wasmark.core.types import (
    EXTERNREF,
    F32,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    RefType,
    ValType,
)


class ValueSteps(ObjectSteps):
    """Steps of a body with values: `code` holds the encoded instructions and `declared` the types of its own locals."""

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
            self.emit(CONSTANT[type_], 0)

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
            self.push(type_, CONSTANT[type_], self._constant(type_))

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
        self.emit(CONSTANT[type_], CANONICAL_NAN[type_])
        self.emit("local.get", scratch)
        self.emit("local.get", scratch)
        self.emit(f"{type_}.eq")
        self.emit("select")

    def _mask(self, type_: ValType, mask: int) -> None:
        self.emit(CONSTANT[type_], mask)
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
            self.emit(CONSTANT[params[1]], 1)
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
        self.emit(CONSTANT[type_], 0x4E800000 if type_ is F32 else 0x41D0000000000000)
        self.emit(f"{type_}.min")
        self.emit(CONSTANT[type_], 0)
        self.emit(f"{type_}.max")
        scratch = self.local(type_)
        self.emit("local.tee", scratch)
        self.emit(CONSTANT[type_], 0x42280000 if type_ is F32 else 0x4045000000000000)
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
