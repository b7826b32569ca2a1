"""Division and conversion at the very values where they begin to trap, against Python's integers and fractions."""

from __future__ import annotations

import itertools
import math
import struct
from fractions import Fraction
from typing import Any, Final

import pytest

import wasmark
from tests.traps.support import ENGINES, catch, check, place
from wasmark import TrapCode
from wasmark.core.opcodes import OPCODES

SCALAR: Final = [row for row in OPCODES if row.name[:3] in ("i32", "i64", "f32", "f64") and "x" not in row.name[:5]]
DIVISIONS: Final = [row.name for row in SCALAR if ".div_" in row.name or ".rem_" in row.name]
TRUNCATIONS: Final = [row.name for row in SCALAR if ".trunc_" in row.name and "_sat_" not in row.name]
SATURATIONS: Final = [row.name for row in SCALAR if ".trunc_sat_" in row.name]
_BITS: Final = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}
_FLOATS: Final = {"f32": ("<f", "<I"), "f64": ("<d", "<Q")}


def signed(value: int, bits: int) -> int:
    """The signed reading of unsigned bits."""
    return value - (1 << bits) if value >> (bits - 1) else value


@pytest.fixture(params=["eager", "baseline"], scope="module")
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    return ENGINES[request.param]


def instantiate(text: str, engine: wasmark.Engine) -> wasmark.Instance:
    """An instance in a store of its own."""
    return wasmark.Instance(wasmark.Module(text, engine), store=wasmark.Store(engine))


def text_of(names: list[str], params: dict[str, str], results: dict[str, str]) -> str:
    """One exported function an instruction."""
    functions = []
    for name in names:
        types = params[name].split()
        operands = " ".join(f"(local.get {i})" for i in range(len(types)))
        head = f'(func ${name} (export "{name}") (param {params[name]}) (result {results[name]})'
        functions.append(f"{head} ({name} {operands}))")
    return f"(module {' '.join(functions)})"


@pytest.fixture(scope="module")
def divisions(engine: wasmark.Engine) -> wasmark.Instance:
    types = {name: name.split(".")[0] for name in DIVISIONS}
    return instantiate(text_of(DIVISIONS, {name: f"{t} {t}" for name, t in types.items()}, types), engine)


def quotient(name: str, a: int, b: int, bits: int) -> int | TrapCode:
    """What a division of unsigned bits gives (core §4.3.2), by exact arithmetic."""
    if name.endswith("_s"):
        a, b = signed(a, bits), signed(b, bits)
    if b == 0:
        return TrapCode.INTEGER_DIVISION_BY_ZERO
    toward_zero = math.trunc(Fraction(a, b))
    if ".rem_" in name:
        return (a - b * toward_zero) % (1 << bits)
    if name.endswith("_s") and toward_zero == 1 << (bits - 1):
        return TrapCode.INTEGER_OVERFLOW
    return toward_zero % (1 << bits)


@pytest.mark.parametrize("name", DIVISIONS)
def test_division_at_every_pair_of_extreme_values(divisions: wasmark.Instance, name: str) -> None:
    bits = _BITS[name.split(".")[0]]
    top = 1 << bits
    values = [0, 1, 2, 3, 7, 10, top // 2 - 2, top // 2 - 1, top // 2, top // 2 + 1, top - 3, top - 2, top - 1]
    function = divisions.exports[name]
    for a, b in itertools.product(values, values):
        expected = quotient(name, a, b, bits)
        if isinstance(expected, TrapCode):
            check(catch(function.call_bits, [a, b]), divisions.store, expected, [place(divisions.module, name, name)])
        else:
            assert function.call_bits([a, b]) == [expected]


@pytest.mark.parametrize("name", DIVISIONS)
def test_division_by_a_constant_traps_where_the_constant_says_so(name: str, engine: wasmark.Engine) -> None:
    type_ = name.split(".")[0]
    bits = _BITS[type_]
    divisors = [0, 1, 2, 3, 10, 1 << (bits - 1), (1 << bits) - 1]
    functions = " ".join(
        f'(func $by{n} (export "by{n}") (param {type_}) (result {type_})'
        f" ({name} (local.get 0) ({type_}.const {signed(divisor, bits)})))"
        for n, divisor in enumerate(divisors)
    )
    instance = instantiate(f"(module {functions})", engine)
    for n, divisor in enumerate(divisors):
        for value in (0, 1, 17, (1 << (bits - 1)) - 1, 1 << (bits - 1), (1 << bits) - 1):
            expected = quotient(name, value, divisor, bits)
            function = instance.exports[f"by{n}"]
            if isinstance(expected, TrapCode):
                trap = catch(function.call_bits, [value])
                check(trap, instance.store, expected, [place(instance.module, f"by{n}", name)])
            else:
                assert function.call_bits([value]) == [expected]


def test_each_of_many_divisions_in_a_function_blames_itself(engine: wasmark.Engine) -> None:
    # A later check is no check where an earlier one has told the outcome; what is left must not share a trap.
    instance = instantiate(
        """(module (func $many (export "many") (param i32 i32 i32 i32) (result i32)
        (i32.add (i32.add (i32.div_s (local.get 0) (local.get 1)) (i32.div_s (local.get 0) (local.get 2)))
                 (i32.add (i32.div_s (local.get 0) (local.get 3)) (i32.rem_s (local.get 3) (local.get 1))))))""",
        engine,
    )
    least = -(1 << 31)
    assert instance.exports.many(100, 10, 5, 4) == 10 + 20 + 25 + 4
    for arguments, code, nth in (
        ((1, 0, 0, 0), TrapCode.INTEGER_DIVISION_BY_ZERO, 0),
        ((1, 1, 0, 0), TrapCode.INTEGER_DIVISION_BY_ZERO, 1),
        ((1, 1, 1, 0), TrapCode.INTEGER_DIVISION_BY_ZERO, 2),
        ((least, -1, 0, 0), TrapCode.INTEGER_OVERFLOW, 0),
        ((least, 1, -1, 0), TrapCode.INTEGER_OVERFLOW, 1),
        ((least, 1, 1, -1), TrapCode.INTEGER_OVERFLOW, 2),
    ):
        check(
            catch(instance.exports.many, *arguments),
            instance.store,
            code,
            [place(instance.module, "many", "i32.div_s", nth)],
        )


# --- conversions --------------------------------------------------------------------------------------


def conversion_types(name: str) -> tuple[str, str]:
    """(source, target) of a truncation."""
    target, operation = name.split(".")
    return operation.removeprefix("trunc_").removeprefix("sat_").split("_")[0], target


def to_bits(type_: str, value: float) -> int:
    """The bits of a float that the type can hold."""
    float_format, bits_format = _FLOATS[type_]
    number: int = struct.unpack(bits_format, struct.pack(float_format, value))[0]
    return number


def from_bits(type_: str, bits: int) -> float:
    """The float of bits."""
    float_format, bits_format = _FLOATS[type_]
    value: float = struct.unpack(float_format, struct.pack(bits_format, bits))[0]
    return value


def interesting_bits(source: str, target: str) -> list[int]:
    """Floats around every limit, with their next neighbours, and the special ones."""
    limits = [0.0, -0.0, 0.5, 0.999, 1.0, -0.5, -1.0, -1.5, 2.0**31, -(2.0**31), 2.0**32, 2.0**63, -(2.0**63), 2.0**64]
    limits += [2.0**31 - 1, -(2.0**31) - 1, 2.0**32 - 1, 2.0**23, 2.0**24 + 2, 2.0**52 + 1, -(2.0**53), 1e30, -1e30]
    found = set()
    sign = 1 << (_BITS[source] - 1)
    for limit in limits:
        bits = to_bits(source, limit)
        for step in range(-3, 4):
            neighbour = (bits & ~sign) + step
            if 0 <= neighbour < sign:
                found.add(neighbour | (bits & sign))
    infinity = to_bits(source, math.inf)
    for special in (infinity, infinity | sign, infinity + 1, infinity | sign | 1, infinity - 1, 1, sign | 1, sign - 1):
        found.add(special)
    return sorted(found)


def truncated(name: str, value: float) -> int | TrapCode:
    """What a truncation gives (core §4.3.3), by exact arithmetic."""
    _, target = conversion_types(name)
    bits = _BITS[target]
    if math.isnan(value):
        return TrapCode.BAD_CONVERSION_TO_INTEGER
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if name.endswith("_s") else (0, (1 << bits) - 1)
    if math.isinf(value) or not low <= math.trunc(Fraction(value)) <= high:
        return TrapCode.INTEGER_OVERFLOW
    return math.trunc(Fraction(value)) % (1 << bits)


@pytest.fixture(scope="module")
def conversions(engine: wasmark.Engine) -> wasmark.Instance:
    names = [*TRUNCATIONS, *SATURATIONS]
    types = {name: conversion_types(name) for name in names}
    sources = {name: source for name, (source, _) in types.items()}
    return instantiate(text_of(names, sources, {name: target for name, (_, target) in types.items()}), engine)


@pytest.mark.parametrize("name", TRUNCATIONS)
def test_truncation_traps_exactly_outside_of_the_target(conversions: wasmark.Instance, name: str) -> None:
    source, target = conversion_types(name)
    function: Any = conversions.exports[name]
    outcomes = set()
    for bits in interesting_bits(source, target):
        expected = truncated(name, from_bits(source, bits))
        outcomes.add(expected if isinstance(expected, TrapCode) else None)
        if isinstance(expected, TrapCode):
            trap = catch(function.call_bits, [bits])
            check(trap, conversions.store, expected, [place(conversions.module, name, name)])
        else:
            assert function.call_bits([bits]) == [expected]
    assert outcomes == {None, TrapCode.INTEGER_OVERFLOW, TrapCode.BAD_CONVERSION_TO_INTEGER}


@pytest.mark.parametrize("name", SATURATIONS)
def test_saturating_truncation_never_traps(conversions: wasmark.Instance, name: str) -> None:
    source, target = conversion_types(name)
    bits = _BITS[target]
    low, high = (1 << (bits - 1), (1 << (bits - 1)) - 1) if name.endswith("_s") else (0, (1 << bits) - 1)
    for source_bits in interesting_bits(source, target):
        value = from_bits(source, source_bits)
        expected = truncated(name.replace("_sat", ""), value)
        if isinstance(expected, TrapCode):
            expected = 0 if math.isnan(value) else high if value > 0 else low
        assert conversions.exports[name].call_bits([source_bits]) == [expected]
