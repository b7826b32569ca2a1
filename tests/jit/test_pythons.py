"""Code knows Python by the names of its C API alone: what one version compiled, all others run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.jit.support import engine
from tests.pythons import environment, others
from wasmark.jit import identity
from wasmark.jit.shipped import shipped_key

TEXT = """
(module $m
  (import "env" "add" (func $add (param i32 i32) (result i32)))
  (memory (export "memory") 1) (data (i32.const 16) "data")
  (func $fib (export "fib") (param i32) (result i32)
    (if (result i32) (i32.lt_u (local.get 0) (i32.const 2))
      (then (local.get 0))
      (else (call $add (call $fib (i32.sub (local.get 0) (i32.const 1)))
                       (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
  (func (export "floor") (param f64) (result f64) (f64.floor (f64.mul (local.get 0) (f64.const 1.5))))
  (func $div (export "div") (param i32) (result i32) (i32.div_s (i32.const 100) (local.get 0))))
"""
PROGRAM = """
import json, sys
import wasmark

kind, path, text = sys.argv[1:]
if kind == "shipped":
    sys.modules["llvmlite"] = None
    module = wasmark.Module(text, wasmark.Engine(wasmark.Config(cache=False)))
elif kind == "cache":
    module = wasmark.Module(text, wasmark.Engine(wasmark.Config(strategy="eager", cache=path)))
else:
    with open(path, "rb") as file:
        module = wasmark.Module.deserialize(file.read())
heard = []
exports = wasmark.Instance(module, {"env": {"add": lambda a, b: heard.append(a) or a + b}}).exports
try:
    exports.div(0)
except wasmark.Trap as trap:
    trapped = [trap.code.name, *map(str, trap.frames)]
print(json.dumps({
    "answers": [exports.fib(15), exports.floor(3.5), len(heard), exports.memory.read(16, 4).decode(), trapped],
    "LLVM": [name for name in sys.modules if name.startswith("llvmlite.")],
}))
"""
ANSWERS = [610, 5.0, 986, "data", ["INTEGER_DIVISION_BY_ZERO", "m!div @ +0x6 (wasm offset 0x8b)"]]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has the module, and the file `m.wasmark` beside it."""
    directory = tmp_path_factory.mktemp("compiled")
    module = wasmark.Module(TEXT, engine(directory / "cache"))
    (directory / "m.wasmark").write_bytes(module.serialize())
    return directory


@pytest.mark.parametrize(("kind", "name"), [("cache", "cache"), ("artefact", "m.wasmark"), ("shipped", "")])
def test_code_serves_every_version_of_python(kind: str, name: str, compiled: Path) -> None:
    if not others():
        pytest.skip("there is no other version of Python here")
    for version, python in others().items():
        command = [python, "-c", PROGRAM, kind, str(compiled / name), TEXT]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (version, done.stderr)
        assert json.loads(done.stdout) == {"answers": ANSWERS, "LLVM": []}, version


@pytest.mark.parametrize("flags", ["t", "d"])
def test_a_build_with_other_objects_has_code_of_its_own(flags: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def keys() -> tuple[Any, ...]:
        identity.environment.cache_clear()
        return identity.make_key("module", ["a"]), shipped_key()

    before = keys()
    with monkeypatch.context() as patched:
        patched.setattr("sys.abiflags", flags)
        there = keys()
    assert keys() == before
    assert not set(before) & set(there)
