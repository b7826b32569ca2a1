"""An error of validation leads to the line of the text that the module was made of."""

from __future__ import annotations

from pathlib import Path

import pytest

import wasmark
from wasmark.cli import main
from wasmark.errors import InvalidError
from wasmark.text.locate import located

HEAD = """(module $m
  (@custom "note" "not looked at")
  (import "a" "f" (func $f (param i32)))
  (func $g (export "g") (import "a" "g"))
  (type $t (func (result i32)))
  (global $x (mut i32) (i32.const 1))
  (table 1 funcref) (elem (i32.const 0) func $f)
  (func $ok (param $n i32) (result i32) (if (result i32) (local.get $n) (then (i32.const 1)) (else (i32.const 2))))
"""


@pytest.mark.parametrize(
    ("function", "line", "column"),
    [
        ("(func (call $f\n  (i32.add\n    (i32.const 1)\n    (i64.const 2))))", 2, 3),
        ("(func i32.const 1\n  i64.const 2 i32.add drop)", 2, 15),
        ("(func (param $n i64)\n  (if (local.get $n)\n (then nop)))", 2, 3),
        ("(func\n  (loop $l\n    (br_if $l (f32.const 0))))", 3, 5),
        ("(func (result i32)\n  block\n    nop\n  end)", 3, 5),
        ("(func $empty\n  (result i32))", 1, 1),
        (
            '(func (@metadata.code.branch_hint "\\00")\n (if (i32.const 1) (then\n  (drop (i64.eqz (i32.const 1))))))',
            3,
            9,
        ),
        ("(func (block $b (result i32)\n (try_table (catch_all $b)\n nop) i32.const 1) drop)", 2, 2),
        ("(func (try (do (call $f (i32.const 1)))\n (catch_all\n (drop (i32.eqz (f64.const 1))))))", 3, 8),
    ],
)
def test_an_error_has_the_place_of_the_instruction(function: str, line: int, column: int) -> None:
    for make in (wasmark.Module, wasmark.Module.validate):
        with pytest.raises(InvalidError) as caught:
            make(HEAD + function + ")")
        head = HEAD.count("\n")
        assert (caught.value.line, caught.value.column) == (head + line, column)
        assert str(caught.value).startswith(f"{head + line}:{column}: ")
        assert " (in function 3 at offset 0x" in str(caught.value)


def test_a_module_without_the_word_and_several_functions() -> None:
    with pytest.raises(InvalidError) as caught:
        wasmark.Module("(func nop)\n(func\n  drop)\n(func)")
    assert (caught.value.line, caught.value.column) == (3, 3)


def test_what_was_a_binary_or_is_about_no_function_has_no_line() -> None:
    error = InvalidError("unknown type 3", offset=12)
    assert located(error, "(module)") is error
    text = "(module (global i32 (i64.const 1)))"
    with pytest.raises(InvalidError) as caught:
        wasmark.Module(text)
    assert caught.value.line is None


def test_the_command_line_says_the_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bad.wat"
    file.write_text("(module\n  (func\n    i32.add))")
    for command in ("validate", "wat2wasm", "run", "compile"):
        assert main([command, str(file)]) == 1
        assert capsys.readouterr().err.startswith(f"wasmark: {file}:3:5: type mismatch: i32.add expected i32, ")
