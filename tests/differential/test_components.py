"""Generated components do the same under Wasmark and under wasmtime-py, sound ones and hostile ones: the values that
come out, what the host sees of them, and the traps."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.differential.components import generate
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table

REPOSITORY = Path(__file__).resolve().parents[2]
COUNT = 10_000 if os.environ.get("WASMARK_LONG") else 300
"""A failure names its seed: `python -m tests.differential.component_worker SEED SEED+1` shows it again."""

_TRAPS = {
    "CANNOT_ENTER",
    "INVALID_CHAR",
    "INVALID_DISCRIMINANT",
    "INVALID_STRING",
    "LIST_OUT_OF_BOUNDS",
    "POINTER_OUT_OF_BOUNDS",
    "STRING_OUT_OF_BOUNDS",
    "TOO_LONG",
    "UNALIGNED_POINTER",
    "UNREACHABLE",
}
"""What hostile components run into, sooner or later."""


def test_no_component_tells_the_engines_apart() -> None:
    pytest.importorskip("wasmtime", reason="wasmtime is not installed: there is nothing to compare with")
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-m", "tests.differential.component_worker", "0", str(COUNT)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=900,
    )
    lines = [json.loads(line) for line in run.stdout.splitlines()]
    assert run.returncode == 0, f"ended with {run.returncode} at {lines[-1] if lines else 'the start'}: {run.stderr}"
    assert [line["difference"] for line in lines if "difference" in line] == []
    outcomes = lines[-1]["outcomes"]
    assert outcomes["value"] > sum(outcomes.values()) / 2, "most calls should run to their end"
    assert len(_TRAPS & set(outcomes)) > 6
    if COUNT > 1000:
        assert set(outcomes) >= _TRAPS


def test_the_components_have_every_type_that_the_other_engine_knows() -> None:
    seen: set[type] = set()
    waiting: list[T.ValType] = []
    for seed in range(100):
        generated = generate(seed)
        waiting += [*generated.params, *(generated.host_params or ())]
        waiting += [type_ for type_ in (generated.result, generated.host_result) if type_ is not None]
    while waiting:
        type_ = waiting.pop()
        seen.add(type(type_))
        waiting += type_.children()
    composite = {T.List, T.Record, T.Tuple, T.Variant, T.Enum, T.Flags, T.Option, T.Result}
    assert seen == {*map(type, T.PRIMITIVES), *composite} - {T.ErrorContext}
    assert generate(7).text == generate(7).text != generate(8).text
