"""Random modules that validate, the same for the same seed: what surrounds the bodies that `bodies` writes.

Every function without vectors in its type is exported as `f<index>`, every global of a number type as `g<index>`, every
memory as `m<index>`, every table without typed references as `t<index>`. The imported functions are `host.f<index>`;
what they do is up to the host, but it has to be the same everywhere. Global 0 counts down; some modules import it as
`host.fuel`.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from tests.differential.bodies import BodyGenerator
from tests.differential.objects import OBJECT_TYPES, REFERENCES
from tests.differential.plan import FUEL, INTERESTING, NUMBERS, VALUES, Plan
from tests.differential.vectors import constant
from wasmark.binary import encode_instruction, encode_module
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
from wasmark.core.opcodes import BY_NAME, Opcode
from wasmark.core.types import (
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    V128,
    FuncType,
    GlobalType,
    Limits,
    MemoryType,
    NumType,
    RefType,
    SubType,
    TableType,
    TagType,
    ValType,
)

HOST_TYPES = (FuncType((I32, I64), (I64,)), FuncType((F64, I32, F32), (I32, F64)), FuncType((), ()))
"""The types of the imported functions."""


@dataclass
class Generated:
    """A module and what is needed to use it. `functions` are (export name, type), `used` the rows that occur."""

    seed: int
    binary: bytes
    functions: list[tuple[str, FuncType]]
    globals: list[str]
    memories: list[str]
    tables: list[str]
    used: set[Opcode]


class ModuleGenerator:
    """Makes one module."""

    def __init__(self, seed: int, *, functions: int, steps: int) -> None:
        self.seed = seed
        self.rng = random.Random(seed)
        self.count = functions
        self.steps = steps
        self.model = ModuleModel()
        self._data = bytearray()

    def generate(self) -> Generated:
        """The module."""
        rng, model = self.rng, self.model
        imported = rng.randint(0, len(HOST_TYPES))
        functions = [*HOST_TYPES[:imported], *(self._signature() for _ in range(self.count))]
        plan = Plan(functions, imported, [], [], [], [], 0, [])
        plan.tags = [self._tag() for _ in range(rng.randint(1, 3))]
        for type_ in (*functions, *plan.tags):
            plan.type_index(type_)
        model.imports = [
            Import("host", f"f{i}", "func", plan.type_index(type_)) for i, type_ in enumerate(functions[:imported])
        ]
        self._memories(plan)
        self._tables(plan)
        self._globals(plan)
        self._elements(plan)
        self._data_segments(plan)
        self._functions(plan)
        functions_ = plan.types[len(OBJECT_TYPES) :]
        model.types = [
            *OBJECT_TYPES,
            *(SubType(type_, final=type_ in HOST_TYPES or rng.random() < 0.8) for type_ in functions_),
        ]
        model.tags = [TagType(plan.type_index(type_)) for type_ in plan.tags]
        model.rec_groups = [(i, 1) for i in range(len(plan.types))]
        return self._export(plan)

    def _tag(self) -> FuncType:
        rng = self.rng
        return FuncType(tuple(rng.choice(VALUES) for _ in range(rng.choice((0, 1, 1, 2, 4)))), ())

    def _signature(self) -> FuncType:
        rng = self.rng
        types = NUMBERS if rng.random() < 0.7 else VALUES
        params = tuple(rng.choice(types) for _ in range(rng.choice((0, 1, 2, 2, 3, 4, 6, 12))))
        return FuncType(params, tuple(rng.choice(types) for _ in range(rng.choice((0, 1, 1, 1, 2, 3, 5)))))

    def _expr(self, name: str, imm: Any) -> ConstExpr:
        return ConstExpr(
            *self._bytes(encode_instruction(BY_NAME[name], imm) + encode_instruction(BY_NAME["end"], None))
        )

    def _bytes(self, data: bytes) -> tuple[int, int]:
        start = len(self._data)
        self._data += data
        return start, len(self._data)

    def _memories(self, plan: Plan) -> None:
        rng = self.rng
        for _ in range(rng.choice((1, 1, 2, 3))):
            pages = rng.randint(1, 2)
            maximum = rng.choice((None, pages + rng.randint(0, 2)))
            plan.memories.append(MemoryType(Limits(pages, maximum, is64=rng.random() < 0.25)))
        self.model.memories = plan.memories

    def _tables(self, plan: Plan) -> None:
        typed = RefType.of(True, plan.type_index(plan.functions[-1]))
        elements = [FUNCREF, FUNCREF, EXTERNREF, FUNCREF, typed]
        for number, element in enumerate(elements[: self.rng.randint(1, len(elements))]):
            size = len(plan.functions) + 4 if number == 0 else self.rng.randint(6, 12)
            plan.tables.append(TableType(element, Limits(size, size + self.rng.choice((0, 8)), is64=number == 3)))
            plan.first_function_in_table.append(len(plan.functions))
        self.model.tables = [Table(type_) for type_ in plan.tables]

    def _globals(self, plan: Plan) -> None:
        rng = self.rng
        if rng.random() < 0.5:
            plan.globals.append(GlobalType(I32, mutable=True))
            self.model.imports.append(Import("host", "fuel", "global", plan.globals[-1]))
        else:
            self._global(plan, I32, 0)
        for type_ in (*NUMBERS, *(rng.choice(NUMBERS) for _ in range(rng.randint(0, 4)))):
            self._global(plan, type_, rng.choice(INTERESTING[type_]))
        self._global(plan, V128, constant(rng))
        self._global(plan, I64, 77, mutable=False)
        for reference in (*(FUNCREF, EXTERNREF)[: rng.randint(0, 2)], *rng.sample(REFERENCES, 4)):
            plan.globals.append(GlobalType(reference, mutable=True))
            self.model.globals.append(Global(plan.globals[-1], self._expr("ref.null", reference.heap)))

    def _global(self, plan: Plan, type_: ValType, value: int, *, mutable: bool = True) -> None:
        plan.globals.append(GlobalType(type_, mutable))
        self.model.globals.append(Global(plan.globals[-1], self._expr(f"{type_}.const", value)))

    def _elements(self, plan: Plan) -> None:
        """Table 0 starts with all functions in order; what else there is starts somewhere."""
        everything = list(range(len(plan.functions)))
        not_null = RefType.of(False, FUNCREF.heap)
        segments = [ElementSegment("active", not_null, everything, 0, self._expr("i32.const", 0))]
        plan.first_function_in_table[0] = 0
        for number, table in enumerate(plan.tables[1:], 1):
            if table.element is FUNCREF:
                first = self.rng.randrange(len(everything))
                name = "i64.const" if table.limits.is64 else "i32.const"
                items = everything[first : first + table.limits.minimum]
                segments.append(ElementSegment("active", not_null, list(items), number, self._expr(name, 0)))
                plan.first_function_in_table[number] = first
        segments.append(ElementSegment("declarative", not_null, everything))
        passive = [self.rng.choice(everything) for _ in range(self.rng.randint(0, 4))]
        exprs = [self._expr("ref.func", i) if i % 3 else self._expr("ref.null", FUNCREF.heap) for i in passive]
        segments.append(ElementSegment("passive", FUNCREF, exprs))
        segments.append(ElementSegment("passive", EXTERNREF, [self._expr("ref.null", EXTERNREF.heap)] * 2))
        self.model.elements = segments
        plan.elements = [segment.type for segment in segments]

    def _data_segments(self, plan: Plan) -> None:
        rng = self.rng
        for number, memory in enumerate(plan.memories):
            name = "i64.const" if memory.limits.is64 else "i32.const"
            span = self._bytes(rng.randbytes(rng.randint(1, 4000)))
            self.model.data_segments.append(DataSegment(*span, number, self._expr(name, rng.randrange(100))))
        for _ in range(rng.randint(1, 3)):
            self.model.data_segments.append(DataSegment(*self._bytes(rng.randbytes(rng.randint(0, 40)))))
        plan.data_segments = self.model.data_count = len(self.model.data_segments)

    def _functions(self, plan: Plan) -> None:
        for type_ in plan.functions[plan.imported :]:
            body = BodyGenerator(plan, self.rng, type_, self.rng.randint(1, self.steps))
            body.generate()
            span = self._bytes(b"".join(body.code))
            locals_ = [(1, declared) for declared in body.declared]
            self.model.functions.append(Function(plan.type_index(type_), locals_, *span))

    def _export(self, plan: Plan) -> Generated:
        model = self.model
        # The other engine's binding knows no vectors: what has one in its type is for the other functions.
        functions = [
            (f"f{i}", type_)
            for i, type_ in enumerate(plan.functions)
            if i >= plan.imported and V128 not in (*type_.params, *type_.results)
        ]
        globals_ = [
            i for i, type_ in enumerate(plan.globals) if isinstance(type_.value, NumType) and type_.value is not V128
        ]
        tables = [i for i, table in enumerate(plan.tables) if table.element in (FUNCREF, EXTERNREF)]
        model.exports = [
            *(Export(name, "func", int(name[1:])) for name, _ in functions),
            *(Export(f"g{i}", "global", i) for i in globals_),
            *(Export(f"m{i}", "memory", i) for i in range(len(plan.memories))),
            *(Export(f"t{i}", "table", i) for i in tables),
        ]
        model.data = bytes(self._data)
        return Generated(
            self.seed,
            encode_module(model),
            functions,
            [f"g{i}" for i in globals_],
            [f"m{i}" for i in range(len(plan.memories))],
            [f"t{i}" for i in tables],
            plan.used,
        )


def generate(seed: int, *, functions: int = 10, steps: int = 80) -> Generated:
    """The module of a seed: so many functions of its own, with bodies of about up to `steps` steps."""
    return ModuleGenerator(seed, functions=functions, steps=steps).generate()


def arguments(seed: int, type_: FuncType, count: int) -> list[list[int]]:
    """`count` rows of arguments for a function, as signed integers and the bits of floats."""
    rng = random.Random(seed)
    return [[_argument(rng, param) for param in type_.params] for _ in range(count)]


def _argument(rng: random.Random, type_: ValType) -> int:
    if type_ in (F32, F64) or rng.random() < 0.6:
        return rng.choice(INTERESTING[type_])
    bits = 32 if type_ is I32 else 64
    value = rng.getrandbits(rng.randint(1, bits))
    return value - (1 << bits) if value >> (bits - 1) else value


__all__ = ["FUEL", "HOST_TYPES", "Generated", "arguments", "generate"]
