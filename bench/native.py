"""The kernels: each is one file of C, made into wasm and into native code by the compiler that `ziglang` brings.

Native code is optimised for this processor but not vectorised, as wasm without SIMD is not. It stays on disk as long
as the process lives.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

KERNELS: Final = {
    "fib": 35,
    "sieve": 4 << 20,
    "matrix": 250,
    "bodies": 1_000_000,
    "hash": 200_000,
    "sort": 1 << 18,
    "interpreter": 2_000_000,
    "mandelbrot": 400,
    "dispatch": 2_000_000,
    "search": 1 << 20,
    "table": 2_000_000,
    "queens": 10,
    "fft": 250,
    "lu": 40,
    "base64": 100,
    "tree": 100_000,
    "siphash": 5_000_000,
    "bignum": 2000,
    "crc": 100,
    "edits": 3000,
    "tak": 150,
    "chacha": 200_000,
    "lexer": 300,
    "lz": 40,
    "rays": 400,
    "heap": 500,
    "bits": 20_000,
    "division": 100_000,
}
"""Name -> the argument of its `run`."""

VECTOR_KERNELS: Final = {
    "vhash": 400,
    "vblur": 80,
    "vblend": 200,
    "vmatrix": 256,
    "vsearch": 400,
    "vbase64": 300,
    "vdot": 1000,
    "vmandelbrot": 400,
    "vclamp": 600,
}
"""The same for those that are written with vectors; they are wasm only."""

_UNVECTORISED: Final = ("-fno-vectorize", "-fno-slp-vectorize")
_SAME_ARITHMETIC: Final = ("-ffp-contract=off",)  # wasm rounds after each operation: no fused ones
_NATIVE: Final = ("-O2", "-march=native", *_UNVECTORISED, *_SAME_ARITHMETIC, "-shared", "-fPIC", "-nostdlib")
_WASM: Final = ("--target=wasm32-freestanding", "-O2", "-nostdlib", "-Wl,--no-entry")
_VECTORS: Final = ("-msimd128",)


def _build(name: str, output: Path, flags: tuple[str, ...]) -> Path:
    source = Path(__file__).with_name("kernels") / ("vector" if name in VECTOR_KERNELS else "") / f"{name}.c"
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *flags, "-o", str(output), str(source)], check=True)
    return output


@cache
def _directory() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory()


@cache
def kernel(name: str) -> bytes:
    """A kernel as wasm."""
    flags = (*_WASM, *_VECTORS) if name in VECTOR_KERNELS else _WASM
    return _build(name, Path(_directory().name, f"{name}.wasm"), flags).read_bytes()


def native_kernel(name: str) -> Callable[[], object]:
    """A kernel as native code of this process, ready to be run with its argument."""
    run = ctypes.CDLL(str(_build(name, Path(_directory().name, f"{name}.so"), _NATIVE))).run
    size = KERNELS[name]
    return lambda: run(size)
