"""Whether damaged modules and components are valid, as wasmtime sees it.

`python -m tests.differential.verdicts FIRST END` compares that with what Wasmark says, over a range of seeds. It prints
a JSON object a line: {"difference": text}, and at the end {"counts": {outcome: count}}.
"""

from __future__ import annotations

import json
import random
import sys
from collections import Counter
from typing import Final

import wasmtime
import wasmtime.component
from wasmtime import _ffi as ffi

import wasmark
from tests.component import damaged
from tests.component.restructure import restructure
from tests.differential import components, resources
from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import damage
from wasmark.component.binary import decode_component
from wasmark.component.validate import validate_component
from wasmark.validate import TypeRegistry

_PROPOSALS: Final = (
    *("threads", "tail_call", "multi_memory", "memory64", "relaxed_simd", "component_model", "component_model_map"),
    *("component_model_implements", "exceptions", "function_references", "gc", "wide_arithmetic", "custom_page_sizes"),
)
_OTHERS: Final = ("async", "async_stackful", "more_async_builtins", "canonical_names")
"""These have no properties in wasmtime-py."""

MISSING: Final = (
    "threading feature",
    "`context.get` immediate must be zero",
    "`context.set` immediate must be zero",
    "from the root component is not supported",
    "unsupported type export",
    "invalid interface version",
    "error-context feature",
    "historically accepted as `cancellable`",
    "invalid leading byte (0x0) for type",
    "reexport of an imported function which is not implemented",
    "fixed-length lists feature",
    "legacy_exceptions feature",
    "shared-everything-threads",
    "exceeds limit",
    "size is out of bounds",
    "string size out of bounds",
)
"""What wasmtime lacks, or has less room for."""


def engine() -> wasmtime.Engine:
    """One that knows all that Wasmark does, as far as there is a switch for it."""
    config = wasmtime.Config()
    for name in _PROPOSALS:
        setattr(config, f"wasm_{name}", True)
    for name in _OTHERS:
        getattr(ffi, f"wasmtime_config_wasm_component_model_{name}_set")(config.ptr(), True)
    config.cranelift_opt_level = "none"
    config.parallel_compilation = False
    return wasmtime.Engine(config)


class Corpus:
    """What is sound, and what becomes of it."""

    def __init__(self) -> None:
        self.modules = [data for _, data in corpus()]
        self.components = damaged.corpus()
        self.components += [components.generate(seed).binary() for seed in range(12)]
        self.components += [resources.generate(seed).binary() for seed in range(3)]

    def damaged(self, seed: int) -> bytes | None:
        """The module or component of a seed; None where nothing has become of it."""
        source = random.Random(f"verdicts {seed}")
        kind = seed % 4
        sound = self.modules if kind == 0 else self.components
        one, other = source.choice(sound), source.choice(sound)
        return restructure(one, source, other) if kind > 1 else damage(one, source, other)


def ours(data: bytes) -> str | None:
    """Why it is refused; None where it is valid."""
    try:
        if data[4:8] == b"\x0d\0\1\0":
            validate_component(decode_component(data), TypeRegistry())
        else:
            wasmark.Module.validate(data)
    except wasmark.Error as error:
        return f"{type(error).__name__}: {error}"
    return None


def theirs(engine: wasmtime.Engine, data: bytes) -> str | None:
    """The same."""
    try:
        if data[4:8] == b"\x0d\0\1\0":
            wasmtime.component.Component(engine, data)
        else:
            wasmtime.Module.validate(engine, data)
    except wasmtime.WasmtimeError as error:
        return str(error)
    return None


def main(first: int, end: int) -> None:
    other = engine()
    sound = Corpus()
    counts: Counter[str] = Counter()
    for seed in range(first, end):
        data = sound.damaged(seed)
        if data is None:
            continue
        here = ours(data)
        there = theirs(other, data)
        if (here is None) == (there is None):
            counts["valid" if here is None else "refused"] += 1
        elif here is None and any(each.lower() in str(there).lower() for each in MISSING):
            counts["missing there"] += 1
        else:
            print(json.dumps({"difference": f"seed {seed}: {here or 'valid'} here, {there or 'valid'} there"}))
    print(json.dumps({"counts": counts}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
