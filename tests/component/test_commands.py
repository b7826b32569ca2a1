"""The commands over components: what they translate, what they show, and what they refuse in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.component.damaged import COMPONENTS
from wasmark.cli import main

Capsys = pytest.CaptureFixture[str]


@pytest.fixture
def broken(tmp_path: Path) -> str:
    file = tmp_path / "broken.wat"
    file.write_text('(component (import "Not_kebab" (func)))')
    return str(file)


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: path.stem)
def test_text_and_binary_are_translated_into_each_other(path: Path, tmp_path: Path) -> None:
    binary, text, again = tmp_path / "c.wasm", tmp_path / "c.wat", tmp_path / "again.wasm"
    assert main(["wat2wasm", str(path), "-o", str(binary)]) == 0
    assert main(["wasm2wat", str(binary), "-o", str(text)]) == 0
    assert main(["wat2wasm", str(text), "-o", str(again)]) == 0
    assert again.read_bytes() == binary.read_bytes()
    assert text.read_text().startswith(f"(component ${path.stem}\n")


def test_validate_takes_components(broken: str, capsys: Capsys) -> None:
    files = [str(path) for path in COMPONENTS]
    assert main(["validate", *files, broken]) == 1
    out, err = capsys.readouterr()
    assert out == "".join(f"{file}: valid\n" for file in files)
    wrong = "`Not_kebab` is not a valid extern name: `Not_kebab` is not in kebab case"
    assert err == f"wasmark: {broken}: {wrong} (at offset 0x12)\n"


def test_wat2wasm_writes_an_invalid_component_only_when_told_to(broken: str, tmp_path: Path) -> None:
    out = tmp_path / "broken.wasm"
    assert main(["wat2wasm", broken]) == 1
    assert not out.exists()
    assert main(["wat2wasm", "--no-check", broken]) == 0
    assert out.read_bytes()[:8] == b"\0asm\x0d\0\x01\0"


def test_objdump_lists_the_definitions_with_where_they_stand(tmp_path: Path, capsys: Capsys) -> None:
    file = tmp_path / "c.wasm"
    assert main(["wat2wasm", str(next(path for path in COMPONENTS if path.stem == "resources")), "-o", str(file)]) == 0
    assert main(["objdump", str(file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    found = {tuple(line.split()[:3]) for line in lines}
    assert ("0xb", "type") in {pair[:2] for pair in found}
    assert any("canon" in line and "resource.drop" in line for line in lines)
    assert any(line.split()[:2] == ["import", "test:host/things@1.2.3"] for line in lines)


def test_wast_runs_scripts_with_components(tmp_path: Path, capsys: Capsys) -> None:
    script = tmp_path / "script.wast"
    script.write_text(
        """
        (component definition $C
          (core module $m
            (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
            (func (export "fail") unreachable))
          (core instance $i (instantiate $m))
          (func (export "add") (param "a" u8) (param "b" u32) (result u32) (canon lift (core func $i "add")))
          (func (export "fail") (canon lift (core func $i "fail"))))
        (component instance $one $C)
        (component instance $two $C)
        (assert_return (invoke $one "add" (u8.const 255) (u32.const 1)) (u32.const 256))
        (assert_return (invoke $two "add" (u8.const 255) (u32.const 1)) (u32.const 257))
        (assert_trap (invoke "fail") "unreachable")
        (assert_invalid (component (import "1" (func))) "kebab")
        (assert_invalid (component (import "a" (func))) "")
        (assert_malformed (component quote "(import)") "")
        (assert_unlinkable (component (import "f" (func))) "")
        (component definition (import "s" (type (sub resource))))
        """
    )
    assert main(["wast", "--total", str(script)]) == 1
    out = capsys.readouterr().out.splitlines()
    assert [line.partition(": ")[2] for line in out[:2]] == [
        "'add' gave 256, expected u32 257",
        "the module was accepted; expected invalid: ",
    ]
    assert out[-1] == "5 passed, 2 failed, 0 waiting"
