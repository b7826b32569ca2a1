"""What `wasmark bindgen` writes is what an instance has, and a strict type checker has nothing to say about it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.component.test_instances import COUNTER, HOST, USER
from wasmark import Component, ComponentInstance
from wasmark.cli import main

TYPES = """(component $types
  (import "demo:types/first@1.0.0" (instance $first
    (type $level' (enum "low" "high"))
    (export "level" (type $level (eq $level')))
    (type $point' (record (field "x" s32) (field "from" (option (option u8)))))
    (export "point" (type $point (eq $point')))
    (type $shape' (variant (case "dot" $point) (case "none")))
    (export "shape" (type $shape (eq $shape')))
    (type $mode' (flags "read" "write-back"))
    (export "mode" (type $mode (eq $mode')))
    (export "look" (func (param "at" (list $shape)) (param "raw" (list u8)) (result (result $level (error string)))))))
  (alias export $first "shape" (type $shape))
  (import "demo:types/second@1.0.0" (instance
    (alias outer $types $shape (type $shape))
    (export "shape" (type (eq $shape)))
    (export "first" (func (result (tuple char (list string) (result u8)))))))
  (import "other:types/first@1.0.0" (instance
    (type $level' (enum "red" "green"))
    (export "level" (type $level (eq $level')))
    (export "level-of" (func (param "in" (map string u8)) (result $level))))))"""


PROGRAM = """from counter import Exports
def total(exports: Exports) -> int:
    with exports.counters.Counter(3) as counter:
        reveal_type(counter)
        exports.counters.take('counter')
        return exports.half_of(counter.get_value())
"""


def test_a_type_checker_is_content_and_checks_programs_with_it(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed: nothing can check what was written")
    for name, text in {"counter": COUNTER, "user": USER, "host": HOST, "types": TYPES}.items():
        source = tmp_path / f"{name}.wat"
        source.write_text(text)
        assert main(["bindgen", str(source), "-o", str(tmp_path / f"{name}_.pyi")]) == 0
    (tmp_path / "counter_.pyi").rename(tmp_path / "counter.pyi")
    (tmp_path / "program.py").write_text(PROGRAM)
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), "."],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        check=False,
    )
    # There is nothing to say but about the program.
    assert checked.stdout.splitlines() == [
        'program.py:4: note: Revealed type is "counter.CountersInterface.Counter"',
        'program.py:5: error: Argument 1 to "take" of "CountersInterface" has incompatible type "str"; '
        'expected "Counter"'
        "  [arg-type]",
        "Found 1 error in 1 file (checked 5 source files)",
    ]


def test_it_names_what_an_instance_has(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "shop.wat"
    source.write_text(COUNTER)
    assert main(["bindgen", str(source)]) == 0
    tree = ast.parse(capsys.readouterr().out)
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    exports = ComponentInstance(Component(COUNTER)).exports
    written = {
        node.name if isinstance(node, ast.FunctionDef) else node.target.id
        for node in classes["Exports"].body
        if isinstance(node, ast.FunctionDef) or (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name))
    }
    assert written == {"__getitem__", "counters", "live", "fail", "half_of", "loop"}
    assert all(hasattr(exports, name) for name in written)
    (counter,) = [node for node in classes["CountersInterface"].body if isinstance(node, ast.ClassDef)]
    methods = {node.name for node in counter.body if isinstance(node, ast.FunctionDef)}
    assert methods == {"__init__", "break_", "get_value", "sum"}
    assert all(hasattr(exports.counters.Counter, name) for name in methods)


def test_what_is_no_component_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "module.wasm"
    source.write_bytes(b"\0asm\1\0\0\0")
    assert main(["bindgen", str(source)]) == 1
    assert capsys.readouterr().err.startswith(f"wasmark: {source}: ")
