"""Instructions on vectors beyond the official tests: what relaxed ones do, NaNs that must not slip through, and code
for processors that have nothing but SSE2."""

from __future__ import annotations

import random
import struct
import subprocess
import sys
from fractions import Fraction
from typing import Any

import pytest

import wasmark
from tests.differential.vectors import constant
from tests.ways import WAYS, config
from wasmark.compile import vector
from wasmark.compile.simple import SIMPLE
from wasmark.compile.templates import prepare
from wasmark.core.opcodes import BY_NAME, OPCODES
from wasmark.runtime.processor import description, has_level

RELAXED = [op.name for op in OPCODES if "relaxed" in op.name]
WITHOUT_IMMEDIATE = sorted(vector.VECTORS)


def module_of(names: list[str]) -> str:
    """A function for each instruction, called like it."""
    functions = []
    for name in names:
        sig = BY_NAME[name].sig
        assert sig is not None
        params, results = (
            " ".join({"v": "v128", "F": "f64", "f": "f32", "i": "i32", "I": "i64"}[c] for c in part)
            for part in sig.split(":")
        )
        gets = " ".join(f"(local.get {i})" for i in range(len(sig.split(":")[0])))
        functions.append(f'(func (export "{name}") (param {params}) (result {results}) ({name} {gets}))')
    return f"(module {' '.join(functions)})"


def exports(source: str, **how: Any) -> Any:
    return wasmark.Instance(wasmark.Module(source, wasmark.Engine(wasmark.Config(cache=False, **how)))).exports


def rows(name: str, count: int = 60) -> list[list[Any]]:
    rng = random.Random(name)
    sig = BY_NAME[name].sig
    assert sig is not None
    made = {
        "v": lambda: constant(rng).to_bytes(16, "little"),
        "i": lambda: rng.choice((0, 1, 7, 8, 33, -1, 255)),
        "I": lambda: rng.getrandbits(63),
        "f": lambda: rng.choice((0.0, -1.5, 3.0e38)),
        "F": lambda: rng.choice((0.0, -1.5, 1.0e300)),
    }
    return [[made[letter]() for letter in sig.split(":")[0]] for _ in range(count)]


# --- relaxed instructions -------------------------------------------------------------------------


def split(data: bytes, format_: str) -> tuple[Any, ...]:
    return struct.unpack(f"<{16 // struct.calcsize(format_)}{format_}", data)


def joined(values: list[int], format_: str) -> bytes:
    mask = (1 << 8 * struct.calcsize(format_)) - 1
    return b"".join((value & mask).to_bytes(struct.calcsize(format_), "little") for value in values)


def clamped(value: int, bits: int) -> int:
    return max(-(1 << (bits - 1)), min(value, (1 << (bits - 1)) - 1))


def swizzled(a: bytes, b: bytes, *, natural: bool) -> bytes:
    return bytes(a[i & 15] if i < 16 or (natural and i < 128) else 0 for i in b)


def multiplied(a: bytes, b: bytes, *, natural: bool) -> bytes:
    products = [(x * y + 0x4000) >> 15 for x, y in zip(split(a, "h"), split(b, "h"), strict=True)]
    return joined(products if natural else [clamped(product, 16) for product in products], "h")


def dots(a: bytes, b: bytes, *, natural: bool) -> list[int]:
    products = [x * y for x, y in zip(split(a, "b"), split(b, "B" if natural else "b"), strict=True)]
    return [clamped(x + y, 16) for x, y in zip(products[::2], products[1::2], strict=True)]


def dot(a: bytes, b: bytes, *, natural: bool) -> bytes:
    return joined(dots(a, b, natural=natural), "h")


def dot_added(a: bytes, b: bytes, c: bytes, *, natural: bool) -> bytes:
    sums = dots(a, b, natural=natural)
    return joined([x + y + z for x, y, z in zip(sums[::2], sums[1::2], split(c, "i"), strict=True)], "i")


def selected(format_: str) -> Any:
    def select(a: bytes, b: bytes, mask: bytes, *, natural: bool) -> bytes:
        rows = zip(split(a, format_), split(b, format_), split(mask, format_), strict=True)
        top = 1 << (8 * struct.calcsize(format_) - 1)
        return joined([(x if m & top else y) if natural else (x & m | y & ~m) for x, y, m in rows], format_)

    return select


def truncated(format_: str, *, signed: bool) -> Any:
    def truncate(a: bytes, *, natural: bool) -> bytes:
        least, most = (-(1 << 31), (1 << 31) - 1) if signed else (0, (1 << 32) - 1)
        found = []
        for value in split(a, format_):
            if value != value:
                found.append(least if natural and signed else 0)
                continue
            whole = int(value) if abs(value) != float("inf") else (1 << 70 if value > 0 else -(1 << 70))
            inside = least <= whole <= most
            found.append(whole if inside else least if natural and signed else max(least, min(whole, most)))
        return joined([*found, 0, 0][:4], "i")

    return truncate


REFERENCE = {
    "i8x16.relaxed_swizzle": swizzled,
    "i16x8.relaxed_q15mulr_s": multiplied,
    "i16x8.relaxed_dot_i8x16_i7x16_s": dot,
    "i32x4.relaxed_dot_i8x16_i7x16_add_s": dot_added,
    "i8x16.relaxed_laneselect": selected("B"),
    "i16x8.relaxed_laneselect": selected("H"),
    "i32x4.relaxed_laneselect": selected("I"),
    "i64x2.relaxed_laneselect": selected("Q"),
    "i32x4.relaxed_trunc_f32x4_s": truncated("f", signed=True),
    "i32x4.relaxed_trunc_f32x4_u": truncated("f", signed=False),
    "i32x4.relaxed_trunc_f64x2_s_zero": truncated("d", signed=True),
    "i32x4.relaxed_trunc_f64x2_u_zero": truncated("d", signed=False),
}


@pytest.fixture(scope="module")
def machines() -> dict[tuple[str, str], Any]:
    source = module_of(RELAXED)
    return {
        (way, choice): wasmark.Instance(
            wasmark.Module(source, wasmark.Engine(config(way, cache=False, relaxed_simd=choice)))
        ).exports
        for way in WAYS
        for choice in ("native", "deterministic")
    }


@pytest.mark.skipif(not has_level(), reason="this processor has other likings")
@pytest.mark.parametrize("name", REFERENCE)
def test_relaxed_instructions_do_what_is_said_of_them(name: str, machines: dict[tuple[str, str], Any]) -> None:
    """Deterministic: the first of the choices of core §4.3.6. Native: that of this kind of processor."""
    differ = 0
    extreme = [b"\x00\x80" * 8] * len(rows(name, 1)[0])
    for args in [*rows(name, 200), extreme]:
        expected = {natural: REFERENCE[name](*args, natural=natural) for natural in (False, True)}
        differ += expected[False] != expected[True]
        for (way, choice), e in machines.items():
            assert e[name](*args) == expected[choice == "native"], (way, choice, args)
    assert bool(differ) == ("_u" not in name)


FLOATS = [name for name in RELAXED if name not in REFERENCE]


@pytest.mark.parametrize("name", FLOATS)
def test_relaxed_float_instructions_are_the_same_in_all_code(name: str, machines: dict[tuple[str, str], Any]) -> None:
    for args in rows(name, 100):
        for choice in ("native", "deterministic"):
            assert len({without_payloads(machines[way, choice][name](*args), name) for way in WAYS}) == 1, args


def without_payloads(data: bytes, name: str) -> tuple[object, ...]:
    """The lanes' bits, but "nan" for all NaNs: their payloads are not determined (core §4.3.3)."""
    floats, bits = ("f", "I") if name.startswith("f32") else ("d", "Q")
    return tuple(
        "nan" if value != value else raw for value, raw in zip(split(data, floats), split(data, bits), strict=True)
    )


@pytest.mark.parametrize("shape", ["f32x4", "f64x2"])
def test_whether_products_are_rounded_before_they_are_added(shape: str, machines: dict[tuple[str, str], Any]) -> None:
    format_, digits = ("4f", 24) if shape == "f32x4" else ("2d", 53)
    count = int(format_[0])
    x = 1 + 2.0 ** -(digits // 2 + 1)
    once, twice = float(Fraction(x) * Fraction(x) - 1), 2.0 ** -(digits // 2)
    assert once != twice
    fused = b"fma" in description().get(b"flags", b"").split()
    pack = lambda value: struct.pack(f"<{format_}", *[value] * count)  # noqa: E731
    for (way, choice), e in machines.items():
        expected = once if choice == "native" and fused else twice
        assert e[f"{shape}.relaxed_madd"](pack(x), pack(x), pack(-1.0)) == pack(expected), (way, choice)
        assert e[f"{shape}.relaxed_nmadd"](pack(x), pack(x), pack(1.0)) == pack(-expected), (way, choice)


def test_what_is_cached_for_one_choice_is_not_used_for_the_other(tmp_path: Any) -> None:
    source = module_of(["i8x16.relaxed_swizzle"])
    for strategy in ("eager", "baseline", "lazy"):
        for _ in range(2):
            for choice in ("native", "deterministic"):
                engine = wasmark.Engine(wasmark.Config(strategy=strategy, cache=tmp_path, relaxed_simd=choice))
                f = wasmark.Instance(wasmark.Module(source, engine)).exports["i8x16.relaxed_swizzle"]
                assert f(bytes(range(1, 17)), b"\x10" * 16) == (b"\x01" if choice == "native" else b"\x00") * 16


def test_an_artefact_is_for_its_choice() -> None:
    engines = [wasmark.Engine(wasmark.Config(relaxed_simd=choice)) for choice in ("native", "deterministic")]
    data = wasmark.Module(module_of(["i8x16.relaxed_swizzle"]), engines[0]).serialize()
    wasmark.Module.deserialize(data, engines[0])
    with pytest.raises(wasmark.Error, match="other features"):
        wasmark.Module.deserialize(data, engines[1])


def test_an_unknown_choice_is_refused() -> None:
    with pytest.raises(ValueError, match=r"unknown relaxed_simd 'x'; known: 'native', 'deterministic'"):
        wasmark.Config(relaxed_simd="x")


# --- NaNs -----------------------------------------------------------------------------------------

# Operations that change no value: LLVM would like to leave them out.
NEUTRAL = {
    "mul by 1": "(FxN.mul (local.get 0) ONE)",
    "mul by -1": "(FxN.mul MINUS (local.get 0))",
    "div by 1": "(FxN.div (local.get 0) ONE)",
    "add -0": "(FxN.add (local.get 0) MINUSZERO)",
    "sub 0": "(FxN.sub (local.get 0) ZERO)",
    "-0 minus": "(FxN.sub MINUSZERO (local.get 0))",
    "min with infinity": "(FxN.min (local.get 0) INF)",
    "max with itself": "(FxN.max (local.get 0) (local.get 0))",
    "splat": "(FxN.mul (local.get 0) (FxN.splat (f.const 1)))",
    "from integers": "(FxN.mul (local.get 0) (FxN.CONVERT (v128.const i32x4 1 1 1 1)))",
    "nearest": "(FxN.nearest (FxN.nearest (local.get 0)))",
    "scalar": "(FxN.splat (f.mul (FxN.extract_lane 0 (local.get 0)) (FxN.extract_lane 1 ONE)))",
    "scalar of integers": "(FxN.splat (f.add (FxN.extract_lane 0 (local.get 0)) (FxN.extract_lane 1 MINUSZERO)))",
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", ["f32x4", "f64x2"])
def test_no_signalling_nan_gets_through_arithmetic(shape: str, way: str) -> None:
    count = int(shape[4])
    texts = []
    for name, text in NEUTRAL.items():
        for word, value in (("MINUSZERO", "-0"), ("ZERO", "0"), ("MINUS", "-1"), ("ONE", "1"), ("INF", "inf")):
            text = text.replace(word, f"(v128.const {shape} {f'{value} ' * count})")
        convert = "convert_i32x4_s" if shape == "f32x4" else "convert_low_i32x4_s"
        text = text.replace("FxN", shape).replace("CONVERT", convert).replace("(f.", f"({shape[:3]}.")
        texts.append(f'(func (export "{name}") (param v128) (result v128) {text})')
    engine = wasmark.Engine(config(way, cache=False))
    e = wasmark.Instance(wasmark.Module(f"(module {' '.join(texts)})", engine)).exports
    bits, quiet = (0x7FA00001, 1 << 22) if shape == "f32x4" else (0x7FF4000000000001, 1 << 51)
    format_ = "I" if shape == "f32x4" else "Q"
    for sign in (0, 1 << (31 if shape == "f32x4" else 63)):
        for name in NEUTRAL:
            answer = e[name](struct.pack(f"<{count}{format_}", *[bits | sign] * count))
            assert all(lane & quiet for lane in split(answer, format_)), name


@pytest.mark.parametrize("way", WAYS)
def test_a_promotion_and_a_demotion_quiet(way: str) -> None:
    engine = wasmark.Engine(config(way, cache=False))
    e = wasmark.Instance(
        wasmark.Module(
            """(module
              (func (export "f") (param v128) (result v128)
                (f32x4.demote_f64x2_zero (f64x2.promote_low_f32x4 (local.get 0))))
              (func (export "g") (param v128) (result v128)
                (f64x2.promote_low_f32x4 (f32x4.demote_f64x2_zero (local.get 0)))))""",
            engine,
        )
    ).exports
    assert split(e.f(struct.pack("<4I", *[0x7FA00001] * 4)), "I") == (0x7FE00001, 0x7FE00001, 0, 0)
    assert all(lane & 1 << 51 for lane in split(e.g(struct.pack("<2Q", *[0x7FF4000000000001] * 2)), "Q"))


# --- processors of any age ------------------------------------------------------------------------


def generic() -> dict[str, str]:
    """The templates for processors that are not of `LEVEL`."""
    return vector._build(False) | {name: prepare(text) for name, text in vector._natural(False)}


@pytest.mark.parametrize("name", WITHOUT_IMMEDIATE)
def test_code_for_old_processors_does_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    e = exports(module_of([name]), strategy="eager", relaxed_simd="deterministic")
    made = vector._build(False)[name]
    if made == vector.VECTORS[name]:
        return  # there is one template for all
    row = BY_NAME[name]
    simple = SIMPLE[True]
    monkeypatch.setitem(simple, row, (made, *simple[row][1:]))
    old = exports(module_of([name]), strategy="eager", relaxed_simd="deterministic")
    for args in rows(name, 200):
        assert old[name](*args) == e[name](*args), args


def test_not_all_templates_are_for_all_processors() -> None:
    if has_level():
        assert any(vector._build(False)[name] != text for name, text in vector.VECTORS.items())


_FOR_ALL = """
import llvmlite.binding as llvm
from tests.compile.ir import module_context
from tests.compile.test_vectors import generic, module_of
from wasmark import Module
from wasmark.binary import encode_module
from wasmark.compile.simple import SIMPLE
from wasmark.compile.llvm import TRIPLE, _initialize
from wasmark.compile.module import batch_ir
from wasmark.core.opcodes import BY_NAME
from wasmark.text import parse_module
_initialize()
names = sorted(generic())
templates = generic()
for deterministic, simple in SIMPLE.items():
    for name in names:
        simple[BY_NAME[name]] = (templates[name], *simple[BY_NAME[name]][1:])
context = module_context(encode_module(parse_module(module_of(names))))
module = llvm.parse_assembly(f'target triple = "{TRIPLE}"\\n' + batch_ir(context, range(len(names))))
machine = llvm.Target.from_triple(TRIPLE).create_target_machine(cpu="x86-64", features="", opt=2)
print(len(machine.emit_object(module)) > 1000, len(names))
"""


def test_llvm_finds_instructions_for_the_oldest_processor() -> None:
    """It ends the process where it does not."""
    path = f"import sys; sys.path[:] = {sys.path!r}\n"
    run = subprocess.run([sys.executable, "-c", path + _FOR_ALL], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["True", str(len(WITHOUT_IMMEDIATE))]
