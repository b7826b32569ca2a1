"""Functions of extreme shapes. `python -m tests.compile.extremes NAME` compiles one and calls it, in a process of its
own; prints the results as JSON.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import NamedTuple

from tests.compile.build import Body, Code, build
from wasmark import Config, Engine, Instance, Module
from wasmark.core.types import F32, F64, I32, I64, FuncType, ValType

DEPTH = 50_000
ENTRIES = 50_000
LOCALS = 10_000
VALUES = 1000
"""The most parameters or results that a function may have (js-api, "Limits")."""

ONE = FuncType((I32,), (I32,))
NOTHING: tuple[tuple[ValType, ...], tuple[ValType, ...]] = ((), ())


class Extreme(NamedTuple):
    """Functions, the last of which is called with these arguments and gives these results."""

    bodies: list[Body]
    arguments: list[int]
    results: list[int]


def deep_blocks() -> Extreme:
    code: Code = [("block", NOTHING)] * DEPTH
    code += [("local.get", 0), ("br_if", DEPTH - 1), ("i32.const", 1), ("local.set", 0)]
    code += [("end", None)] * DEPTH
    return Extreme([Body("f", ONE, [*code, ("local.get", 0)])], [7], [7])


def deep_loops() -> Extreme:
    """The middle one is gone through four times."""
    code: Code = [("loop", NOTHING)] * DEPTH
    code += [("local.get", 1), ("i32.const", 1), ("i32.add", None), ("local.set", 1)]
    code += [("local.get", 0), ("i32.const", 1), ("i32.sub", None), ("local.tee", 0), ("br_if", DEPTH // 2)]
    code += [("end", None)] * DEPTH
    return Extreme([Body("f", ONE, [*code, ("local.get", 1)], (I32,))], [4], [4])


def deep_ifs() -> Extreme:
    code: Code = [("local.get", 0), ("if", NOTHING)] * DEPTH
    code += [("i32.const", 77), ("local.set", 0)]
    code += [("end", None)] * DEPTH
    return Extreme([Body("f", ONE, [*code, ("local.get", 0)])], [7], [77])


def deep_operands() -> Extreme:
    code: Code = [("local.get", 0)] * DEPTH + [("i32.add", None)] * (DEPTH - 1)
    return Extreme([Body("f", ONE, code)], [5], [5 * DEPTH])


def long_table() -> Extreme:
    """Its entries lead to three blocks in turn; 49,999 is the last one but the default."""
    code: Code = [("block", NOTHING)] * 3
    code += [("local.get", 0), ("br_table", (*(i % 3 for i in range(ENTRIES)), 2)), ("end", None)]
    code += [("i32.const", 10), ("return", None), ("end", None), ("i32.const", 20), ("return", None), ("end", None)]
    return Extreme([Body("f", ONE, [*code, ("i32.const", 30)])], [49_999], [20])


def many_locals() -> Extreme:
    code: Code = []
    for i in range(1, LOCALS, 97):
        code += [("local.get", 0), ("i32.const", i), ("i32.add", None), ("local.set", i)]
    code += [("local.get", 1 + 97 * 50), ("local.get", LOCALS), ("i32.add", None)]
    return Extreme([Body("f", ONE, code, (I32,) * LOCALS)], [7], [7 + 1 + 97 * 50])


def many_parameters() -> Extreme:
    types = (I32, F64, I64, F32) * (VALUES // 4)
    signature = FuncType(types, (I32, F64, I64, F32))
    last: Code = [("local.get", i) for i in range(VALUES - 4, VALUES)]
    bodies = [
        Body("last", signature, last),
        Body("f", signature, [*(("local.get", i) for i in range(VALUES)), ("call", 0)]),
    ]
    return Extreme(bodies, list(range(VALUES)), list(range(VALUES - 4, VALUES)))


def many_results() -> Extreme:
    """Out of a block, out of a function, and out of one that calls it."""
    types = (I32, I64) * (VALUES // 2)
    signature = FuncType((I32,), types)
    values: Code = [part for i in range(VALUES // 2) for part in (("local.get", 0), ("i64.const", i))]
    bodies = [
        Body("g", signature, [("block", ((), types)), *values, ("local.get", 0), ("br_if", 0), ("end", None)]),
        Body("f", signature, [("local.get", 0), ("call", 0)]),
    ]
    return Extreme(bodies, [5], [value for i in range(VALUES // 2) for value in (5, i)])


def long_body() -> Extreme:
    """50,000 instructions in small blocks: every other one is left at once, the others add up in memory."""
    code: Code = []
    for i in range(5000):
        code += [("block", NOTHING), ("local.get", 0), ("i32.const", i), ("i32.and", None), ("br_if", 0)]
        code += [("i32.const", 28), ("i32.const", 28), ("i32.load", (2, 0, 0))]
        code += [("i32.const", i), ("i32.add", None), ("i32.store", (2, 0, 0)), ("end", None)]
    total = sum(i for i in range(5000) if not i & 1)
    return Extreme([Body("f", ONE, [*code, ("i32.const", 28), ("i32.load", (2, 0, 0))])], [1], [total])


EXTREMES: dict[str, Callable[[], Extreme]] = {
    make.__name__: make
    for make in (
        deep_blocks,
        deep_loops,
        deep_ifs,
        deep_operands,
        long_table,
        many_locals,
        many_parameters,
        many_results,
        long_body,
    )
}


def main(name: str) -> None:
    extreme = EXTREMES[name]()
    engine = Engine(Config(strategy="eager"))
    exports = Instance(Module(build(extreme.bodies, pages=1), engine)).exports
    print(json.dumps(exports[extreme.bodies[-1].name].call_bits(extreme.arguments)))


if __name__ == "__main__":
    main(sys.argv[1])
