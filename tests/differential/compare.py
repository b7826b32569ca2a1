"""Runs a generated module under Wasmark and under wasmtime-py, and says where they differ.

Floats are compared by their bits, but for NaNs, of which one is as good as another. Traps are compared by kind; after
each call the globals, the memories and the tables have to be the same, and the host has to have seen the same calls.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import wasmtime

import wasmark
from tests.differential.generator import HOST_TYPES, Generated, arguments
from tests.differential.plan import CANONICAL_NAN
from wasmark.core.types import F32, F64, I32, I64, FuncType, GlobalType, ValType
from wasmark.engine import default_engine
from wasmark.errors import TrapCode

FUEL: Final = 120
CALLS_EACH: Final = 4
"""Calls of each function, with different arguments."""

FRAMES: Final = 20
"""So many frames of a traceback are compared, the innermost ones."""

Outcome = tuple[str, Any]
"""("returned", bits of the results) or ("trapped", (kind, [(function index, offset in the module), ...]))."""


def canonical(bits: int, type_: ValType) -> int:
    """The unsigned bits of a value; those of one NaN for all NaNs."""
    if type_ in (I32, F32):
        bits &= 0xFFFFFFFF
    else:
        bits &= 0xFFFFFFFFFFFFFFFF
    if (type_ is F32 and bits & 0x7FFFFFFF > 0x7F800000) or (type_ is F64 and bits & (1 << 63) - 1 > 0x7FF << 52):
        return CANONICAL_NAN[type_]
    return bits


def to_bits(value: float, type_: ValType) -> int:
    """The canonical bits of a Python number."""
    if type_ is F32:
        raw = ctypes.c_uint32.from_buffer(ctypes.c_float(value)).value
    elif type_ is F64:
        (raw,) = struct.unpack("<Q", struct.pack("<d", value))
    else:
        raw = int(value)
    return canonical(raw, type_)


def from_bits(bits: int, type_: ValType) -> float:
    """The Python number of (canonical) bits."""
    if type_ is F32:
        return float(struct.unpack("<f", struct.pack("<I", bits))[0])
    if type_ is F64:
        return float(struct.unpack("<d", struct.pack("<Q", bits))[0])
    width = 32 if type_ is I32 else 64
    return bits - (1 << width) if bits >> (width - 1) else bits


def host_answer(number: int, arguments_: Sequence[float]) -> Any:
    """What an imported function answers: nothing deep, but it depends on all arguments."""
    if number == 0:
        a, b = int(arguments_[0]), int(arguments_[1])
        mixed = (a * 0x9E3779B97F4A7C15 + b * 31 + 7) & 0xFFFFFFFFFFFFFFFF
        return from_bits(mixed, I64)
    if number == 1:
        x, k, y = arguments_
        return int(k) ^ 0x55 if x < y else -7, float(x) if x == x else 1.5
    return None


class Engine(Protocol):
    """A running instance in one of the engines; `calls` are the calls of the host's functions so far."""

    calls: list[tuple[int, tuple[int, ...]]]

    def set_fuel(self, fuel: int) -> None: ...

    def call(self, name: str, type_: FuncType, args: list[int]) -> Outcome: ...

    def state(self) -> dict[str, Any]: ...


class Recorder:
    """The host's functions, and what they were called with."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, tuple[int, ...]]] = []

    def function(self, number: int) -> Callable[..., Any]:
        params = HOST_TYPES[number].params

        def called(*args: float) -> Any:
            self.calls.append((number, tuple(map(to_bits, args, params))))
            return host_answer(number, args)

        return called


class Ours(Recorder):
    """Wasmark."""

    def __init__(self, module: Generated, engine: wasmark.Engine) -> None:
        super().__init__()
        self.module = module
        compiled = wasmark.Module(module.binary, engine)
        store = wasmark.Store(compiled.engine)
        host: dict[str, Any] = {f"f{i}": self.function(i) for i in range(len(HOST_TYPES))}
        host["fuel"] = wasmark.Global(store, GlobalType(I32, mutable=True), 0)
        self.exports = wasmark.Instance(compiled, {"host": host}, store).exports

    def set_fuel(self, fuel: int) -> None:
        self.exports["g0"].value = fuel

    def call(self, name: str, type_: FuncType, args: list[int]) -> Outcome:
        raw = [
            bits & (0xFFFFFFFF if t in (I32, F32) else 0xFFFFFFFFFFFFFFFF)
            for bits, t in zip(args, type_.params, strict=True)
        ]
        try:
            results = self.exports[name].call_bits(raw)
        except wasmark.Trap as trap:
            places = [(frame.func_index, frame.module_offset) for frame in trap.frames[:FRAMES]]
            return "trapped", (_OUR_KINDS[trap.code], _comparable(self.module, _OUR_KINDS[trap.code], places))
        except wasmark.WasmException:
            return _THREW
        return "returned", [canonical(bits, t) for bits, t in zip(results, type_.results, strict=True)]

    def state(self) -> dict[str, Any]:
        exports = self.exports
        found: dict[str, Any] = {}
        for name in self.module.globals:
            global_ = exports[name]
            found[name] = canonical(global_.bits, global_.type.value)
        for name in self.module.memories:
            found[name] = exports[name].read(0, len(exports[name]))
        for name in self.module.tables:
            found[name] = [bool(bits) for bits in exports[name].element_bits()]
        return found


def _their_config() -> wasmtime.Config:
    config = wasmtime.Config()
    config.wasm_relaxed_simd_deterministic = True
    config.wasm_exceptions = True
    config.wasm_gc = True
    config.wasm_wide_arithmetic = True
    return config


class Theirs(Recorder):
    """wasmtime-py."""

    engine = wasmtime.Engine(_their_config())

    def __init__(self, module: Generated) -> None:
        super().__init__()
        self.module = module
        self.store = wasmtime.Store(self.engine)
        compiled = wasmtime.Module(self.engine, module.binary)
        kinds: dict[ValType, Any] = {I32: wasmtime.ValType.i32, I64: wasmtime.ValType.i64, F32: wasmtime.ValType.f32}
        kinds[F64] = wasmtime.ValType.f64
        host: dict[str, Any] = {}
        for number, type_ in enumerate(HOST_TYPES):
            signature = wasmtime.FuncType([kinds[t]() for t in type_.params], [kinds[t]() for t in type_.results])
            host[f"f{number}"] = wasmtime.Func(self.store, signature, self.function(number))
        mutable = wasmtime.GlobalType(wasmtime.ValType.i32(), True)
        host["fuel"] = wasmtime.Global(self.store, mutable, wasmtime.Val.i32(0))
        imports = [host[str(import_.name)] for import_ in compiled.imports]
        exports: Any = wasmtime.Instance(self.store, compiled, imports).exports(self.store)
        self.exports = exports
        self.types = {name: _THEIR_TYPES[str(exports[name].type(self.store).content)] for name in module.globals}

    def set_fuel(self, fuel: int) -> None:
        self.exports["g0"].set_value(self.store, fuel)

    def call(self, name: str, type_: FuncType, args: list[int]) -> Outcome:
        values = [from_bits(canonical(bits, t), t) for bits, t in zip(args, type_.params, strict=True)]
        try:
            results = self.exports[name](self.store, *values)
        except wasmtime.Trap as trap:
            if _THROWN in str(trap):
                return _THREW
            kind = _THEIR_KINDS.get(trap.trap_code, str(trap))
            places = [(frame.func_index, frame.module_offset) for frame in trap.frames[:FRAMES]]
            return "trapped", (kind, places[1:] if kind == "UNREACHABLE" else places)
        results = [results] if len(type_.results) == 1 else results or []
        return "returned", [to_bits(value, t) for value, t in zip(results, type_.results, strict=True)]

    def state(self) -> dict[str, Any]:
        exports, store = self.exports, self.store
        found: dict[str, Any] = {}
        for name in self.module.globals:
            found[name] = to_bits(exports[name].value(store), self.types[name])
        for name in self.module.memories:
            memory = exports[name]
            found[name] = ctypes.string_at(memory.data_ptr(store), memory.data_len(store))
        for name in self.module.tables:
            table = exports[name]
            found[name] = [isinstance(table.get(store, i), wasmtime.Func) for i in range(table.size(store))]
        return found


def _comparable(module: Generated, kind: str, places: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The places of the frames as far as wasmtime gives them: it puts an `unreachable` at the start of a block at the
    branch that leads there."""
    if kind != "UNREACHABLE":
        return places
    assert module.binary[places[0][1]] == _UNREACHABLE, "that is no `unreachable`"
    return places[1:]


_THREW: Final[Outcome] = ("trapped", ("THREW", []))
_THROWN: Final = "thrown Wasm exception"


def _with_our_places(module: Generated, mine: Outcome, other: Outcome) -> Outcome:
    """Their outcome with our places of calls that something follows which is sure to trap: they give its place for the
    caller's frame, and not that of a call. And with ours of accesses that are sure to trap, where theirs is none."""
    if not mine[0] == other[0] == "trapped" or len(mine[1][1]) != len(other[1][1]):
        return other
    kind, places = other[1]
    code = module.binary
    callers = [
        ours if ours[0] == theirs[0] and code[ours[1]] in _CALLS and code[theirs[1]] not in _CALLS else theirs
        for ours, theirs in zip(mine[1][1], places, strict=True)
    ]
    first = 0 if kind == "UNREACHABLE" else 1  # the frame that trapped is not among them, or not a caller's
    trapped = places[:first]
    if kind == "MEMORY_OUT_OF_BOUNDS" and trapped and code[trapped[0][1]] not in _ACCESSES:
        trapped = mine[1][1][:first]
    return "trapped", (kind, [*trapped, *callers[first:]])


_CALLS: Final = frozenset((0x10, 0x11, 0x14))
_ACCESSES: Final = frozenset((*range(0x28, 0x3F), 0xFC, 0xFD, 0xFE))
"""First bytes of instructions that touch memory."""
_UNREACHABLE: Final = 0x00
_THEIR_TYPES: Final[dict[str, ValType]] = {"i32": I32, "i64": I64, "f32": F32, "f64": F64}

# An index beyond the table of an indirect call, and a null reference of some types, are other kinds of ours.
_OUR_KINDS: Final = {
    **{code: code.name for code in TrapCode},
    TrapCode.UNDEFINED_ELEMENT: "TABLE_OUT_OF_BOUNDS",
    TrapCode.NULL_FUNCTION_REFERENCE: "NULL_REFERENCE",
    TrapCode.NULL_EXCEPTION_REFERENCE: "NULL_REFERENCE",
    TrapCode.NULL_STRUCTURE_REFERENCE: "NULL_REFERENCE",
    TrapCode.NULL_ARRAY_REFERENCE: "NULL_REFERENCE",
    TrapCode.NULL_I31_REFERENCE: "NULL_REFERENCE",
}
_THEIR_KINDS: Final[dict[wasmtime.TrapCode | None, str]] = {
    **{code: code.name for code in wasmtime.TrapCode},
    wasmtime.TrapCode.INDIRECT_CALL_TO_NULL: "UNINITIALIZED_ELEMENT",
    wasmtime.TrapCode.HEAP_MISALIGNED: "UNALIGNED_ATOMIC",
    wasmtime.TrapCode.ATOMIC_WAIT_NON_SHARED_MEMORY: "EXPECTED_SHARED_MEMORY",
    wasmtime.TrapCode.BAD_SIGNATURE: "INDIRECT_CALL_TYPE_MISMATCH",
}


def difference(
    module: Generated, outcomes: dict[str, int] | None = None, engine: wasmark.Engine | None = None
) -> str | None:
    """Where our `engine` and theirs differ first; None where they agree. Counts kinds of outcomes in `outcomes`."""
    ours, theirs = Ours(module, engine or default_engine()), Theirs(module)
    engines: tuple[Engine, Engine] = (ours, theirs)
    for round_ in range(CALLS_EACH):
        for number, (name, type_) in enumerate(module.functions):
            (args,) = arguments(module.seed * 1009 + round_ * 101 + number, type_, 1)
            for engine in engines:
                engine.set_fuel(FUEL)
            mine, other = (engine.call(name, type_, args) for engine in engines)
            other = _with_our_places(module, mine, other)
            if outcomes is not None:
                kind = mine[1][0] if mine[0] == "trapped" else mine[0]
                outcomes[kind] = outcomes.get(kind, 0) + 1
            where = f"seed {module.seed}, call {round_}: {name}({', '.join(map(hex, args))})"
            if mine != other:
                return f"{where}: {mine} and not {other}"
            if ours.calls != theirs.calls:
                return f"{where}: the host was called differently: {ours.calls[-3:]} and not {theirs.calls[-3:]}"
            here, there = (engine.state() for engine in engines)
            for key, value in here.items():
                if value != there[key]:
                    return f"{where}: {key} {_first_difference(value, there[key])}"
    return None


def _first_difference(a: Any, b: Any) -> str:
    if not isinstance(a, bytes | list) or len(a) != len(b):
        return f"is {a if isinstance(a, int) else len(a)} and not {b if isinstance(b, int) else len(b)}"
    at = next(i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y)
    return f"at {at:#x} is {a[at]:#x} and not {b[at]:#x}"
