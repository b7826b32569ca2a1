"""What a start loads: not what takes long to load and is for something else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wasmark.component.component import binary_of

REPOSITORY = Path(__file__).resolve().parent.parent
HEAVY = (
    *("argparse", "ast", "dataclasses", "hashlib", "inspect", "json", "llvmlite", "logging", "pathlib", "re", "rich"),
    *("shutil", "tempfile", "typing", "wasmark.baseline.library", "wasmark.baseline.translator"),
    "wasmark.validate.module",
)


def loaded(program: str, *arguments: object) -> set[str]:
    """Which of HEAVY a fresh interpreter has loaded after a program."""
    end = f"import sys; print(*(name for name in {HEAVY} if name in sys.modules))"
    command = [sys.executable, "-c", f"{program}\n{end}", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize("program", ["import wasmark", "import wasmark.wasi, wasmark.wasi_binding"])
def test_importing_loads_nothing_heavy(program: str) -> None:
    assert loaded(program) == loaded("pass")


HELLO = """
(module (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 0) "\\10\\00\\00\\00\\06\\00\\00\\00") (data (i32.const 16) "hello\\n")
  (func (export "_start") (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""

RUN = """
import sys
from wasmark.cli import main
sys.argv[0] = "wasmark"
assert main() == 0
"""


def test_a_small_program_is_compiled_once_and_then_starts_without_a_compiler(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    file = tmp_path / "hello.wat"
    file.write_text(HELLO)
    subprocess.run([sys.executable, "-m", "wasmark", "wat2wasm", file, "-o", tmp_path / "hello.wasm"], check=True)
    first, second = (loaded(RUN, "run", tmp_path / "hello.wasm") for _ in range(2))
    assert "hello" in first
    assert {"wasmark.baseline.translator", "wasmark.validate.module"} <= first
    assert second - loaded("import argparse\nargparse.ArgumentParser().parse_args([])") == {"hello"}


COMPONENT = """
(component $starts
  (import "demo:time/clock" (instance $clock
    (type $fields (record (field "hours" u8) (field "minutes" u8)))
    (export "time" (type $time (eq $fields)))
    (export "now" (func (result u32)))
    (export "set" (func (param "time" $time)))))
  (core module $little
    (import "clock" "now" (func $now (result i32)))
    (func (export "twice") (result i32) (i32.add (call $now) (call $now))))
  (core func $now (canon lower (func $clock "now")))
  (core instance $i (instantiate $little (with "clock" (instance (export "now" (func $now))))))
  (func (export "twice") (result u32) (canon lift (core func $i "twice"))))
"""
START = """
import sys, wasmark
engine = wasmark.Engine(wasmark.Config(strategy="lazy", cache=sys.argv[1]))
component = wasmark.Component(open(sys.argv[2], "rb").read(), engine)
clock = {"demo:time/clock": {"now": lambda: 21, "set": print}}
assert wasmark.ComponentInstance(component, clock).exports.twice() == 42
"""


def test_a_component_starts_again_without_what_translates_it(tmp_path: Path) -> None:
    binary = tmp_path / "component.wasm"
    binary.write_bytes(binary_of(COMPONENT))
    report = "print(sorted(name for name in sys.modules if name == 'wasmark.baseline.translator'))"
    found = []
    for _ in range(2):
        command = [sys.executable, "-c", f"{START}\n{report}", str(tmp_path / "cache"), str(binary)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=REPOSITORY, check=False)
        assert done.returncode == 0, done.stderr
        found.append(done.stdout.strip())
    assert found == ["['wasmark.baseline.translator']", "[]"]
    # Labels are recognised by `re`, and what records, logs and annotations need is for who has them.
    needed = loaded("import re, wasmark.validate.module")
    assert loaded(START, tmp_path / "cache", binary) == needed
    assert loaded("import wasmark.wasi.p2.interfaces, wasmark.component") == needed
