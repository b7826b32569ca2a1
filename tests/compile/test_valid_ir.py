"""LLVM's verifier accepts all IR that the compiler writes: invalid IR would end the process of whoever compiles."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.spec.official import SCRIPTS, needs_testsuite

REPOSITORY = Path(__file__).resolve().parents[2]
CHUNKS = 4
SIGNATURES = [":", "i:i", "iIfFr:rFfIi", "f" * 40 + ":" + "i" * 40, "I" * 1000 + ":" + "F" * 1000, ":r", "r:"]


def verified(kind: str, names: Sequence[str]) -> int:
    """How many IR modules the worker verified; a test fails with what it says."""
    run = subprocess.run(
        [sys.executable, "-m", "tests.compile.verify_worker", kind, *names],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=120,
    )
    lines = run.stdout.splitlines()
    assert run.returncode == 0, f"at {lines[-1] if lines else 'the start'}: {run.stderr[-2000:]}"
    return int(json.loads(lines[-1])["verified"])


@needs_testsuite
@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_of_the_modules_of_the_official_tests(chunk: int) -> None:
    assert verified("official", SCRIPTS[chunk::CHUNKS]) > 250


@pytest.mark.parametrize("chunk", range(2))
def test_of_generated_modules(chunk: int) -> None:
    seeds = range(100_000 + 60 * chunk, 100_060 + 60 * chunk)
    assert verified("generated", list(map(str, seeds))) == len(seeds)


def test_of_stubs_and_the_runtime_image() -> None:
    assert verified("stubs", SIGNATURES) == 2 * len(SIGNATURES)


_UNREACHED = (
    "define i32 @f(i1 %c) {\nbr i1 %c, label %a, label %b\na:\n%x = add i32 1, 1\nbr label %b\nb:\nret i32 %x\n}"
)
_WITHOUT_PLACE = """\
define void @f() !dbg !3 {
call void @f()
ret void
}
!llvm.dbg.cu = !{!1}
!llvm.module.flags = !{!0}
!0 = !{i32 2, !"Debug Info Version", i32 3}
!1 = distinct !DICompileUnit(language: DW_LANG_C, file: !2, emissionKind: LineTablesOnly)
!2 = !DIFile(filename: "wasm", directory: "")
!3 = distinct !DISubprogram(name: "f", scope: !2, file: !2, unit: !1, spFlags: DISPFlagDefinition)
"""


@pytest.mark.parametrize(
    ("ir", "complaint"),
    [
        ("define i32 @f() {\nret i64 0\n}", "value doesn't match function result type"),
        (_UNREACHED, "does not dominate"),
        (_WITHOUT_PLACE, "debug information is invalid"),
    ],
    ids=["parser", "verifier", "debug information"],
)
def test_the_verifier_is_awake(ir: str, complaint: str) -> None:
    """That is what the tests above rely on."""
    script = "import sys\nfrom tests.compile.ir import verify\nverify(sys.argv[1])"
    run = subprocess.run(
        [sys.executable, "-c", script, ir],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert run.returncode != 0
    assert complaint in run.stderr
