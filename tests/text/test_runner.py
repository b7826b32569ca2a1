"""The runner of scripts: what passes, what fails and how it says so, and what waits for what."""

from __future__ import annotations

from pathlib import Path

import pytest

from wasmark.core.types import EXTERNREF, F32, F64, FUNCREF, I32, I64
from wasmark.store import Store
from wasmark.text.matching import Matcher, describe
from wasmark.text.runner import FileResult, run_commands, run_file
from wasmark.text.script import Const, HostRef, LanesPattern, NanPattern, NullRef, RefPattern, parse_script

MODULE = """
(module $m
  (memory 1)
  (table 1 funcref)
  (global (export "g") (mut f32) (f32.const nan:0x1))
  (func (export "id") (param i32) (result i32) (local.get 0))
  (func (export "nan") (result f32) (f32.const nan:0x1))
  (func (export "pair") (result i64 f64) (i64.const -1) (f64.const -0.0))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func $f (export "func") (result funcref) (ref.func $f))
  (func (export "out of bounds") (drop (i32.load (i32.const -1))))
  (func (export "undefined") (call_indirect (i32.const 9)))
  (func (export "deep") (call 7))
  (func (export "unreachable") unreachable))
"""


def run(text: str) -> FileResult:
    result = FileResult("test")
    run_commands(parse_script(text), result)
    return result


@pytest.mark.parametrize(
    "assertion",
    [
        '(assert_return (invoke "id" (i32.const -1)) (i32.const 0xffffffff))',
        '(assert_return (invoke $m "id" (i32.const 5)) (either (i32.const 4) (i32.const 5)))',
        '(assert_return (invoke "nan") (f32.const nan:0x1))',
        '(assert_return (get "g") (f32.const nan:0x1))',
        '(assert_return (invoke "pair") (i64.const 0xffffffffffffffff) (f64.const -0.0))',
        '(assert_return (invoke "extern" (ref.extern 3)) (ref.extern 3))',
        '(assert_return (invoke "extern" (ref.extern 3)) (ref.extern))',
        '(assert_return (invoke "extern" (ref.null extern)) (ref.null extern))',
        '(assert_return (invoke "func") (ref.func))',
        '(assert_trap (invoke "out of bounds") "out of bounds memory access")',
        '(assert_trap (invoke "unreachable") "unreachable")',
        '(assert_trap (invoke "undefined") "undefined element")',
        '(assert_exhaustion (invoke "deep") "call stack exhausted")',
        '(assert_malformed (module quote "(func") "unexpected token")',
        '(assert_malformed (module quote "(func br 0drop)") "unknown operator")',
        '(assert_malformed (module binary "\\00as") "unexpected end")',
        '(assert_invalid (module (func (result i32))) "type mismatch")',
        '(assert_invalid (module binary "\\00asm\\01\\00\\00\\00\\08\\01\\00") "unknown function")',
        '(assert_unlinkable (module (import "spectest" "none" (func))) "unknown import")',
        '(assert_unlinkable (module (import "spectest" "print" (func (param i32)))) "incompatible import type")',
        '(assert_trap (module (func unreachable) (start 0)) "unreachable")',
        '(assert_trap (module (memory 1) (data (i32.const 65536) "a")) "out of bounds memory access")',
    ],
)
def test_what_holds_passes(assertion: str) -> None:
    result = run(MODULE + assertion)
    assert (result.passed, result.failed, result.failures, result.waits) == (1, 0, [], [])


@pytest.mark.parametrize(
    ("assertion", "message"),
    [
        (
            '(assert_return (invoke "id" (i32.const 1)) (i32.const 2))',
            "'id' gave (i32 0x1), expected (i32.const 0x2)",
        ),
        ('(assert_return (invoke "id" (i32.const 1)))', "'id' gave (i32 0x1), expected nothing"),
        ('(assert_return (invoke "id" (i32.const 1)) (i64.const 1))', "'id' gave (i32 0x1), expected (i64.const 0x1)"),
        ('(assert_return (invoke "id" (i32.const 1)) (ref.null))', "'id' gave (i32 0x1), expected (ref.null)"),
        ('(assert_return (invoke "nan") (f32.const nan:canonical))', "'nan' gave (f32 0x7f800001)"),
        ('(assert_return (invoke "nan") (f32.const nan:arithmetic))', "'nan' gave (f32 0x7f800001)"),
        ('(assert_return (invoke "extern" (ref.extern 3)) (ref.extern 4))', "expected (ref.extern 4)"),
        ('(assert_return (invoke "extern" (ref.extern 3)) (ref.null))', "expected (ref.null)"),
        ('(assert_return (invoke "extern" (ref.null extern)) (ref.extern))', "'extern' gave (externref 0x0)"),
        ('(assert_return (invoke "func") (ref.extern))', "expected (ref.extern)"),
        ('(assert_return (invoke "unreachable"))', "Trap: wasm trap: unreachable executed"),
        ('(assert_return (invoke "id"))', "'id' takes 1 arguments, not 0"),
        ('(assert_return (invoke "id" (i64.const 1)))', "TypeError: i64 for a parameter of type i32"),
        ('(assert_return (invoke "extern" (i64.const 1)))', "TypeError: i64 for a parameter of type externref"),
        ('(assert_return (invoke "none"))', "nothing is exported as 'none'"),
        ('(assert_return (get "id"))', "the export 'id' is no global"),
        ('(assert_return (invoke "g"))', "the export 'g' is no function"),
        ('(assert_return (invoke $none "id"))', "no instance is called $none"),
        (
            '(assert_trap (invoke "id" (i32.const 1)) "unreachable")',
            "'id' gave (i32 0x1), expected a trap: unreachable",
        ),
        (
            '(assert_trap (invoke "unreachable") "integer overflow")',
            "trapped with 'unreachable executed', expected 'integer overflow'",
        ),
        ('(assert_exhaustion (invoke "unreachable") "call stack exhausted")', "trapped with 'unreachable executed'"),
        ('(assert_malformed (module quote "(func)") "x")', "the module was accepted; expected malformed: x"),
        (
            '(assert_malformed (module binary "\\00asm\\01\\00\\00\\00\\08\\01\\00") "x")',
            "unknown function 0: there is none (at offset 0xa); expected malformed: x",
        ),
        ('(assert_invalid (module) "x")', "the module was accepted; expected invalid: x"),
        ('(assert_invalid (module binary "x") "x")', "MalformedError: "),
        ('(assert_unlinkable (module) "x")', "the module was instantiated; expected unlinkable: x"),
        ('(assert_trap (module) "x")', "the module was instantiated; expected a trap: x"),
        ('(invoke "unreachable")', "Trap: wasm trap: unreachable executed"),
        ("(module (func (result i32)))", "InvalidError: "),
        ('(module (import "none" "x" (func)))', "LinkError: unknown import"),
        ('(register "x" $none)', "no instance is called $none"),
        ("(module instance $i $none)", "no module is called $none"),
    ],
)
def test_what_does_not_hold_fails_and_says_how(assertion: str, message: str) -> None:
    result = run(MODULE + "\n" + assertion)
    assert (result.passed, result.failed, result.waits) == (0, 1, [])
    ((line, said),) = result.failures
    assert line == MODULE.count("\n") + 2
    assert message in said


def test_what_depends_on_a_module_that_waits_waits_for_the_same() -> None:
    result = run("""
      (module $a (func (export "f") (drop (struct.new_desc 0))))
      (register "a" $a)
      (assert_return (invoke "f"))
      (assert_return (invoke $a "f"))
      (module $b (import "a" "f" (func)))
      (assert_return (invoke "f"))
      (module (func (export "f")))
      (assert_return (invoke "f"))
      (assert_trap (invoke $a "f") "x")""")
    assert (result.passed, result.failed, result.waiting) == (1, 0, {"custom descriptors": 6})
    assert [line for line, _ in result.waits] == [2, 4, 5, 6, 7, 10]
    assert result.total == 7


def test_what_depends_on_a_module_that_failed_waits_for_it() -> None:
    result = run('(module (func (result i32)))\n(assert_return (invoke "f"))\n(get "g")')
    assert (result.passed, result.failed, result.waiting) == (0, 1, {"the module of line 1": 2})


def test_each_part_that_is_not_here_waits_by_name() -> None:
    result = run("""
      (module (func (ref.get_desc 0))) (assert_invalid (module (func (ref.get_desc 0))) "x")""")
    assert result.waiting == {"custom descriptors": 2}


def test_definitions_can_be_instantiated_several_times() -> None:
    result = run("""
      (module definition $d (global (export "g") (mut i32) (i32.const 0))
        (func (export "set") (global.set 0 (i32.const 1))))
      (module instance $a $d) (module instance $b $d) (module instance)
      (register "a" $a)
      (invoke $a "set")
      (assert_return (get $a "g") (i32.const 1)) (assert_return (get $b "g") (i32.const 0))
      (module (import "a" "g" (global (mut i32))) (export "h" (global 0)))
      (assert_return (get "h") (i32.const 1))
      (assert_unlinkable (module (import "a" "g" (global i32))) "incompatible import type")
      (assert_trap (module instance $d) "x")""")
    assert (result.passed, result.failed) == (4, 1)


def test_files_that_are_no_scripts_are_one_failure(tmp_path: Path) -> None:
    text, binary = tmp_path / "text.wast", tmp_path / "binary.wast"
    text.write_text("(module)\n (nonsense)")
    binary.write_bytes(b"(module)\n\xff")
    assert run_file(text).failures == [(2, "unknown operator nonsense, expected a command")]
    assert run_file(binary).failures == [(2, "malformed UTF-8 encoding: ff")]
    assert run_file(text).total == 1


def test_files_are_read_with_their_own_newlines(tmp_path: Path) -> None:
    file = tmp_path / "x.wast"
    file.write_bytes(b'(module)\r\n;; comment\r(assert_return (invoke "x"))')
    assert run_file(file).failures == [(3, "nothing is exported as 'x'")]
    with pytest.raises(FileNotFoundError):
        run_file(tmp_path / "none")


@pytest.mark.parametrize(
    ("kind", "bits", "type_", "matches"),
    [
        ("canonical", 0x7FC0_0000, F32, True),
        ("canonical", 0xFFC0_0000, F32, True),
        ("canonical", 0x7FC0_0001, F32, False),
        ("canonical", 0x7F80_0000, F32, False),
        ("arithmetic", 0xFFC0_0001, F32, True),
        ("arithmetic", 0x7F80_0001, F32, False),
        ("arithmetic", 0x7F80_0000, F32, False),
        ("canonical", 0xFFF8_0000_0000_0000, F64, True),
        ("canonical", 0x7FF8_0000_0000_0001, F64, False),
        ("arithmetic", 0x7FFF_FFFF_FFFF_FFFF, F64, True),
        ("arithmetic", 0x7FF7_FFFF_FFFF_FFFF, F64, False),
        ("canonical", 0x7FC0_0000, I32, False),
    ],
)
def test_nan_patterns(kind: str, bits: int, type_: object, matches: bool) -> None:
    width = "f64" if type_ is F64 else "f32"
    assert Matcher(Store()).matches(NanPattern(width, kind), bits, type_) is matches  # type: ignore[arg-type]


def test_numbers_and_references_do_not_match_each_other() -> None:
    matcher = Matcher(Store())
    assert matcher.matches(Const("i64", 0), 0, I64)
    assert not matcher.matches(Const("i64", 0), 0, EXTERNREF)
    assert matcher.matches(NullRef(None), 0, FUNCREF)
    assert not matcher.matches(NullRef(None), 0, I64)
    assert not matcher.matches(RefPattern("func"), 1, I64)
    assert not matcher.matches(HostRef("extern", 1), 0, EXTERNREF)


def test_descriptions_look_like_scripts() -> None:
    lanes = LanesPattern((NanPattern("f64", "canonical"), Const("f64", 0)))
    assert describe((lanes, HostRef("extern", 1))) == "(v128 (f64.const nan:canonical) (f64.const 0x0)) (ref.extern 1)"
    assert describe([]) == "nothing"


def test_annotations_that_break_their_rules_are_refused() -> None:
    result = run(r"""
      (assert_malformed_custom (module quote "(@custom)") "@custom annotation: missing section name")
      (assert_malformed_custom (module quote "(@custom)") "misplaced")
      (assert_malformed_custom (module quote "(@x)") "")
      (assert_invalid_custom
        (module (func (@metadata.code.branch_hint "\00") nop))
        "@metadata.code.branch_hint annotation: invalid target")
      (assert_invalid_custom (module (func (@metadata.code.branch_hint "\00") nop)) "duplicate")
      (assert_invalid_custom (module (func (@metadata.code.x "\00") nop)) "invalid target")
      (assert_invalid_custom (module (func unreachable (@metadata.code.branch_hint "\00") if end)) "")""")
    assert result.passed == 2
    assert [line for line, _ in result.failures] == [3, 4, 8, 9, 10]


def test_a_broken_hint_is_no_error_of_the_module() -> None:
    result = run(
        '(module (func (export "f") (result i32) (@metadata.code.branch_hint "\\01") i32.const 1))'
        '(assert_return (invoke "f") (i32.const 1))'
    )
    assert (result.passed, result.failures) == (1, [])


def test_what_a_later_standard_allows_is_refused_by_scripts_of_an_older_one() -> None:
    result = run("""
      (assert_invalid (module (memory 0) (memory 0)) "multiple memories")
      (assert_invalid (module (table 0 funcref) (table 0 funcref)) "multiple tables")
      (assert_invalid (module (memory 0)) "multiple memories")
      (assert_invalid (module (memory 0) (memory 0)) "anything else")
      (module (memory 0) (memory 0))""")
    assert result.passed == 2
    assert [line for line, _ in result.failures] == [4, 5]


def test_threads_run_their_commands_and_are_counted_where_they_are_awaited() -> None:
    result = run("""
      (module $shared (func (export "f") (result i32) (i32.const 7)))
      (thread $a (shared (module $shared))
        (assert_return (invoke $shared "f") (i32.const 7))
        (module $own (func (export "f") (result i32) (i32.const 8)))
        (register "own" $own)
        (module (import "own" "f" (func $f (result i32))) (func (export "g") (result i32) (call $f)))
        (assert_return (invoke "g") (i32.const 8)))
      (thread $b
        (assert_return (invoke $shared "f") (i32.const 7))
        (assert_trap (invoke "nothing") ""))
      (wait $a)
      (wait $b)
      (assert_return (invoke $shared "f") (i32.const 7))
      (assert_return (invoke $own "f") (i32.const 8))
      (wait $b)""")
    assert result.passed == 3
    assert sorted(line for line, _ in result.failures) == [10, 15, 16]
    assert result.waits == [(11, "no instance has been made")]


def test_threads_that_nobody_awaits_are_counted_at_the_end() -> None:
    result = run("""
      (thread $a
        (module (func (export "f") (result i32) (i32.const 8)))
        (assert_return (invoke "f") (i32.const 8)))""")
    assert (result.passed, result.failures) == (1, [])


def test_a_thread_has_a_name_of_its_own_while_it_runs() -> None:
    result = run("(thread $a) (thread $a) (wait $a) (thread $a) (wait $a)")
    assert [message for _, message in result.failures] == ["the thread $a is running already"]


def test_threads_of_a_script_share_memories_and_wait_for_each_other() -> None:
    result = run("""
      (module $mem (memory (export "shared") 1 1 shared))
      (thread $a (shared (module $mem))
        (register "mem" $mem)
        (module
          (memory (import "mem" "shared") 1 1 shared)
          (func (export "run") (result i32)
            (i32.atomic.store (i32.const 4) (i32.const 7))
            (memory.atomic.wait32 (i32.const 0) (i32.const 0) (i64.const -1))))
        (assert_return (invoke "run") (either (i32.const 0) (i32.const 1))))
      (thread $b (shared (module $mem))
        (register "mem" $mem)
        (module
          (memory (import "mem" "shared") 1 1 shared)
          (func (export "run") (result i32)
            (loop (br_if 0 (i32.ne (i32.atomic.load (i32.const 4)) (i32.const 7))))
            (i32.atomic.store (i32.const 0) (i32.const 42))
            (drop (memory.atomic.notify (i32.const 0) (i32.const 1)))
            (i32.atomic.load (i32.const 4))))
        (assert_return (invoke "run") (i32.const 7)))
      (wait $a)
      (wait $b)""")
    assert (result.passed, result.failures, result.waits) == (2, [], [])
