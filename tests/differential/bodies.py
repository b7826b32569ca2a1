"""Random function bodies that validate: a walk over the opcode table with the types of the operand stack at hand.

A body takes whatever types lie on the stack and pushes what is missing, so operands come from far and near. Every call
and every turn of a loop costs a unit of the global `FUEL`, and without fuel nothing turns back: all bodies end. What
happens to values is in `values`, `objects` and `storage`; here is where control goes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tests.differential.objects import REFERENCES
from tests.differential.plan import (
    CONSTANT,
    EXNREF,
    FUEL,
    NUMBERS,
    VALUES,
    Frame,
)
from tests.differential.storage import StorageSteps
from wasmark.core.opcodes import (
    CATCH,
    CATCH_ALL,
    CATCH_ALL_REF,
    CATCH_REF,
)
from wasmark.core.types import (
    EXTERNREF,
    FUNCREF,
    I32,
    I64,
    FuncType,
    RefType,
    ValType,
)


class BodyGenerator(StorageSteps):
    """Writes one body."""

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
                self.emit(CONSTANT[address], index)
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
            given.append(EXNREF)
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
        if given and given[-1] is EXNREF:
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
