"""Generated modules do the same under Wasmark and under wasmtime-py: results, traps, memories, tables, globals, and
the calls that the host sees."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.differential.generator import generate
from tests.ways import CACHED, WAYS
from wasmark import Module
from wasmark.core.features import Feature
from wasmark.core.opcodes import OPCODES
from wasmark.errors import TrapCode

REPOSITORY = Path(__file__).resolve().parents[2]
CHUNK = 30
CHUNKS = 5

# Kinds that come about too seldom, or not at all: the modules count turns for themselves, and there are few calls.
_RARE = {
    TrapCode.INTERRUPT,
    TrapCode.OUT_OF_FUEL,
    TrapCode.STACK_OVERFLOW,
    TrapCode.GC_HEAP_EXHAUSTED,
    TrapCode.UNALIGNED_ATOMIC,
    TrapCode.EXPECTED_SHARED_MEMORY,
}
# Kinds that are not told apart by the other engine.
_LIKE_OTHERS = {
    TrapCode.UNDEFINED_ELEMENT,
    *(code for code in TrapCode if code.name.startswith("NULL_") and code is not TrapCode.NULL_REFERENCE),
}


def compare(first: int, end: int, way: str) -> tuple[list[str], dict[str, int]]:
    """(differences, how often each kind of outcome came about) for a range of seeds."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.differential.worker", str(first), str(end), way],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=240,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"ended with {run.returncode} at {lines[-1] if lines else 'the start'}: {run.stderr}"
    return [line["difference"] for line in lines if "difference" in line], lines[-1]["outcomes"]


@pytest.fixture(scope="module")
def seen() -> dict[str, int]:
    """Outcomes of all chunks that this process compared."""
    return {}


@pytest.mark.parametrize("way", [*WAYS, CACHED])
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_module_tells_the_engines_apart(chunk: int, way: str, seen: dict[str, int]) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime is not installed: there is nothing to compare with")
    differences, outcomes = compare(chunk * CHUNK, (chunk + 1) * CHUNK, way)
    assert differences == []
    assert outcomes["returned"] > sum(outcomes.values()) / 2, "most calls should run to their end"
    for kind, count in outcomes.items():
        seen[kind] = seen.get(kind, 0) + count


def test_the_modules_reach_every_row() -> None:
    rows = {op for seed in range(CHUNK * CHUNKS) for op in generate(seed).used}
    assert rows >= {op for op in OPCODES if op.feature is not Feature.LEGACY_EXCEPTIONS}


def test_the_modules_reach_every_kind_of_trap(seen: dict[str, int]) -> None:
    if not seen:
        pytest.skip("nothing was compared")
    assert seen["THREW"] > 20
    assert {code.name for code in TrapCode} - {code.name for code in _RARE | _LIKE_OTHERS} <= set(seen)


@pytest.mark.parametrize("seed", range(20))
def test_generated_modules_are_valid_and_the_same_again(seed: int) -> None:
    module = generate(seed)
    Module.validate(module.binary)
    assert generate(seed).binary == module.binary
    assert generate(seed + 1).binary != module.binary
