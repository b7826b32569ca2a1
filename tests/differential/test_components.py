"""Generated components do the same under Wasmark and under wasmtime-py, sound ones and hostile ones: the values that
come out, what the host sees of them, handles, and the traps."""

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
FACTOR = 30 if os.environ.get("WASMARK_LONG") else 1
COUNTS = {"values": 200 * FACTOR, "handles": 50 * FACTOR}
"""A failure names its seed: `python -m tests.differential.component_worker WHAT SEED SEED+1` shows it again."""

_OF_VALUES = {
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
_OF_HANDLES = {"BORROWS_REMAIN", "CANNOT_ENTER", "HANDLE_LENT", "NOT_OWNED", "UNKNOWN_HANDLE", "WRONG_HANDLE_TYPE"}
_TRAPS = {"values": _OF_VALUES, "handles": _OF_HANDLES}
"""What hostile components run into, sooner or later."""


@pytest.mark.parametrize("what", list(COUNTS))
def test_no_component_tells_the_engines_apart(what: str) -> None:
    pytest.importorskip("wasmtime", reason="wasmtime is not installed: there is nothing to compare with")
    run = subprocess.run(
        [
            sys.executable,
            "-X",
            "faulthandler",
            "-m",
            "tests.differential.component_worker",
            what,
            "0",
            str(COUNTS[what]),
        ],
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
    assert len(_TRAPS[what] & set(outcomes)) > len(_TRAPS[what]) // 2
    if FACTOR > 1:
        assert set(outcomes) >= _TRAPS[what]


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
