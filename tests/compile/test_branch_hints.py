"""Branch hints of a module reach LLVM, each at its own branch, and change nothing but the layout of code."""

from __future__ import annotations

import re

import pytest

from tests.compile.ir import module_ir, verify
from tests.ways import WAYS, config
from wasmark import Engine, Instance, Module
from wasmark.binary import encode_module
from wasmark.text import parse_module

LIKELY, UNLIKELY, NOTHING = "!1", "!2", None

SOURCE = r"""
(module
  (func $imported (import "" "f"))
  (func (export "f") (param i32) (result i32) (local i64 f32)
    (block
      (br_if 0 (i32.eq (local.get 0) (i32.const 1)))
      (@metadata.code.branch_hint "\00") (br_if 0 (i32.eq (local.get 0) (i32.const 2)))
      (@metadata.code.branch_hint "\01") (br_if 0 (i32.eq (local.get 0) (i32.const 3)))
      (@metadata.code.branch_hint "\01")
      (if (i32.eq (local.get 0) (i32.const 4)) (then (return (i32.const 40))))
      (@metadata.code.branch_hint "\00")
      (if (i32.eq (local.get 0) (i32.const 5)) (then (return (i32.const 50))) (else (return (i32.const 60)))))
    (i32.const 10))
  (func (export "g") (param i32) (result i32)
    (@metadata.code.branch_hint "\00")
    (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.const 2)))))
"""


def binary(source: str) -> bytes:
    return encode_module(parse_module(source))


def weights(ir: str) -> list[str | None]:
    """The weights of all conditional branches, in their order."""
    return [match[1] for match in re.finditer(r"br i1 [^\n]*?(?:, !prof (!\d))?$", ir, re.MULTILINE)]


def test_every_hint_is_at_its_branch() -> None:
    ir = module_ir(binary(SOURCE))
    verify(ir)
    assert weights(ir) == [NOTHING, UNLIKELY, LIKELY, LIKELY, UNLIKELY, UNLIKELY]
    assert '!1 = !{!"branch_weights", i32 2000, i32 1}' in ir
    assert '!2 = !{!"branch_weights", i32 1, i32 2000}' in ir


@pytest.mark.parametrize(
    "contents",
    [r"\ff", r"\01\01\01\00\01\07", r"\01\00\01\00\01\01", r"\01\01\01\7f\01\01", r"\01\01\01\00\02\01\01"],
)
def test_hints_that_make_no_sense_are_passed_over(contents: str) -> None:
    source = f"""(module (func $imported (import "" "f"))
      (@custom "metadata.code.branch_hint" (before code) "{contents}")
      (func (param i32) (if (local.get 0) (then))))"""
    assert weights(module_ir(binary(source))) == [NOTHING]


@pytest.mark.parametrize("way", WAYS)
def test_hints_change_no_result(way: str) -> None:
    module = Module(SOURCE, Engine(config(way)))
    exports = Instance(module, {"": {"f": lambda: None}}).exports
    assert [exports.f(n) for n in range(7)] == [60, 10, 10, 10, 40, 50, 60]
    assert [exports.g(n) for n in range(2)] == [2, 1]
