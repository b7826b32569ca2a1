"""The process that the damaged modules are let loose in: `python -m tests.fuzz.worker FIRST COUNT STATE [--execute]`.

It may die, and it may hang. STATE is a file from which who started it sees how far it came: the seed and the phase (16
bytes, little-endian), then, as JSON, what happened how often. When it gets through, it prints how much its memory grew.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any

import wasmark
from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import damage
from wasmark.core.types import V128, GlobalType, MemoryType, RefType, TableType, is_defaultable

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.core.types import ValType

COMPILE = 0
EXECUTE = 1
STATE = struct.Struct("<qq")

PAGE = os.sysconf("SC_PAGE_SIZE")
WARM_UP = 500
"""Modules before the memory is first measured: by then caches and arenas have their size."""


def resident_bytes() -> int:
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[1]) * PAGE


def damaged(seed: int, sound: list[tuple[str, bytes]]) -> tuple[str, bytes]:
    """(name of what it was made from, the damaged module) of a seed."""
    source = random.Random(seed)
    name, data = source.choice(sound)
    return name, damage(data, source, source.choice(sound)[1])


class Worker:
    """Takes one seed after the other through the engine and counts what came of it."""

    def __init__(self, state: int, execute: bool) -> None:
        config = wasmark.Config(cache=False, max_memory_bytes=16 << 20, max_table_elements=100_000)
        self.engine = wasmark.Engine(config)
        self.state = state
        self.execute = execute
        self.counts: Counter[str] = Counter()

    def run(self, seed: int, data: bytes) -> None:
        self.report(seed, COMPILE)
        try:
            module = wasmark.Module(data, self.engine)
        except wasmark.Error as error:
            self.counts[type(error).__name__] += 1
            return
        self.counts["compiled"] += 1
        if self.execute:
            self.report(seed, EXECUTE)
            self.counts[self.outcome(lambda: self.start(module))] += 1

    def report(self, seed: int, phase: int) -> None:
        os.pwrite(self.state, STATE.pack(seed, phase) + json.dumps(self.counts).encode(), 0)

    def start(self, module: wasmark.Module) -> None:
        """Instantiate, then call every exported function with zeros."""
        store = wasmark.Store(self.engine)
        instance = wasmark.Instance(module, stand_ins(module, store), store)
        for name in instance.exports:
            export = instance.exports[name]
            if isinstance(export, wasmark.Func) and all(map(is_defaultable, export.type.params)):
                values: list[Any] = [zero(param) for param in export.type.params]
                self.counts["call: " + self.outcome(lambda f=export, v=values: f(*v))] += 1  # type: ignore[misc]

    @staticmethod
    def outcome(action: Callable[[], object]) -> str:
        try:
            action()
        except wasmark.Trap as trap:
            return f"trap {trap.code.name}"
        except wasmark.Error as error:
            return type(error).__name__
        return "returned"


def stand_ins(module: wasmark.Module, store: wasmark.Store) -> dict[str, dict[str, Any]]:
    """Something for every import but those that no null can stand for, and those that want two things under one name.

    Without them it is a LinkError.
    """
    model, types = module.model, store.engine.types
    names = Counter((import_.module, import_.name) for import_ in model.imports)
    given: dict[str, dict[str, Any]] = {}
    for import_ in model.imports:
        if names[import_.module, import_.name] > 1:
            continue
        desc = import_.desc
        value: Any = None
        if isinstance(desc, int):
            if not all(map(is_defaultable, module.model.types[desc].composite.results)):
                continue
            results = tuple(zero(type_) for type_ in module.model.types[desc].composite.results)
            value = lambda *_, r=results: r[0] if len(r) == 1 else r  # noqa: E731
        elif isinstance(desc, MemoryType):
            value = wasmark.Memory(store, desc)
        elif isinstance(desc, TableType) and desc.element.nullable:
            value = wasmark.Table(store, TableType(types.canonical(desc.element, module.type_ids), desc.limits))
        elif isinstance(desc, GlobalType) and is_defaultable(desc.value):
            content = types.canonical(desc.value, module.type_ids)
            value = wasmark.Global(store, GlobalType(content, desc.mutable), zero(content))
        if value is not None:
            given.setdefault(import_.module, {})[import_.name] = value
    return given


def zero(type_: ValType) -> object:
    if type_ is V128:
        return bytes(16)
    return None if isinstance(type_, RefType) else 0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("first", type=int)
    parser.add_argument("count", type=int)
    parser.add_argument("state")
    parser.add_argument("--execute", action="store_true")
    args = parser.parse_args()

    worker = Worker(os.open(args.state, os.O_WRONLY | os.O_CREAT), args.execute)
    sound = corpus()
    before = 0
    for number in range(args.count):
        if number == WARM_UP:
            gc.collect()
            before = resident_bytes()
        worker.run(args.first + number, damaged(args.first + number, sound)[1])
    gc.collect()
    worker.report(args.first + args.count, COMPILE)
    print(resident_bytes() - before if before else 0)


if __name__ == "__main__":
    main()
