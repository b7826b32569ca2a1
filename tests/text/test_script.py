"""Scripts of the official tests: every form of command, and modules that are only looked at when they are asked for."""

from __future__ import annotations

import pytest

from wasmark.binary import decode_module
from wasmark.core.types import HeapType
from wasmark.errors import MalformedError, UnsupportedError
from wasmark.text.script import (
    Action,
    AssertModule,
    AssertReturn,
    AssertStops,
    Const,
    DefineModule,
    Either,
    HostRef,
    LanesPattern,
    MakeInstance,
    ModuleSource,
    NanPattern,
    NullRef,
    Perform,
    RefPattern,
    Register,
    Thread,
    Wait,
    parse_script,
)


def only(source: str) -> object:
    (command,) = parse_script(source)
    return command


def module(source: str) -> ModuleSource:
    command = only(source)
    assert isinstance(command, DefineModule)
    return command.source


def test_modules_in_their_three_forms() -> None:
    text, quote, binary = parse_script("""
      (module $a (func $f))
      (module definition $b quote "(func" " $g)")
      (module binary "\\00asm" "\\01\\00\\00\\00")""")
    assert isinstance(text, DefineModule)
    assert isinstance(quote, DefineModule)
    assert isinstance(binary, DefineModule)
    assert [(c.line, c.name, c.instantiate, c.source.kind) for c in (text, quote, binary)] == [
        (2, "$a", True, "text"),
        (3, "$b", False, "quote"),
        (4, None, True, "binary"),
    ]
    assert decode_module(text.source.binary()).names.module == "a"
    assert decode_module(quote.source.binary()).names.functions == {0: "g"}
    assert binary.source.binary() == b"\0asm\1\0\0\0"


def test_a_script_may_be_the_fields_of_one_module() -> None:
    assert decode_module(module("(func) (memory 0)").binary()).memories


def test_a_broken_module_is_only_an_error_when_asked_for() -> None:
    first, second = parse_script("(module (func nonsense)) (module (func (ref.get_desc 0)))")
    assert isinstance(first, DefineModule)
    assert isinstance(second, DefineModule)
    with pytest.raises(MalformedError):
        first.source.binary()
    with pytest.raises(UnsupportedError):
        second.source.binary()


def test_quoted_text_that_is_not_utf8_is_malformed_where_it_is() -> None:
    with pytest.raises(MalformedError, match="malformed UTF-8 encoding") as caught:
        module('(module quote "(func)\\0a(@x \\ff)")').binary()
    assert (caught.value.line, caught.value.column) == (2, 5)


def test_instances_and_registration() -> None:
    assert parse_script("(module instance $i $m) (module instance $m) (module instance)") == [
        MakeInstance(1, "$i", "$m"),
        MakeInstance(1, None, "$m"),
        MakeInstance(1, None, None),
    ]
    assert parse_script('\n(register "a") (register "\\62" $c)') == [Register(2, "a", None), Register(2, "b", "$c")]


def test_actions_have_values_of_every_kind() -> None:
    assert parse_script("""(invoke "f")
      (invoke $i "f" (i32.const -1) (i64.const 0x8000_0000_0000_0000) (f32.const -0.0) (f64.const 1)
                     (ref.null func) (ref.extern 7) (ref.host 8) (v128.const i16x8 1 2 0 0 0 0 0 -1))
      (get "g") (get $i "g")""") == [
        Perform(1, Action(None, "f", ())),
        Perform(
            2,
            Action(
                "$i",
                "f",
                (
                    Const("i32", 0xFFFF_FFFF),
                    Const("i64", 1 << 63),
                    Const("f32", 1 << 31),
                    Const("f64", 0x3FF0_0000_0000_0000),
                    NullRef(HeapType.FUNC),
                    HostRef("extern", 7),
                    HostRef("host", 8),
                    Const("v128", 0xFFFF << 112 | 2 << 16 | 1),
                ),
            ),
        ),
        Perform(4, Action(None, "g", None)),
        Perform(4, Action("$i", "g", None)),
    ]


def test_expected_results_are_patterns() -> None:
    command = only("""
      (assert_return (invoke "f") (f32.const nan:canonical) (f64.const nan:arithmetic) (ref.null) (ref.func)
        (ref.extern) (ref.extern 1) (ref) (ref.i31) (either (i32.const 1) (i32.const 2))
        (v128.const f64x2 nan:canonical 0))""")
    assert isinstance(command, AssertReturn)
    assert command.results == (
        NanPattern("f32", "canonical"),
        NanPattern("f64", "arithmetic"),
        NullRef(None),
        RefPattern("func"),
        RefPattern("extern"),
        HostRef("extern", 1),
        RefPattern("any"),
        RefPattern("i31"),
        Either((Const("i32", 1), Const("i32", 2))),
        LanesPattern((NanPattern("f64", "canonical"), Const("f64", 0))),
    )


def test_every_assertion_is_read() -> None:
    commands = parse_script("""
      (assert_trap (invoke "f") "t") (assert_exhaustion (invoke "f") "e") (assert_exception (invoke "f"))
      (assert_malformed (module quote "") "m") (assert_invalid (module) "i") (assert_unlinkable (module) "u")
      (assert_trap (module) "t") (assert_trap (module instance $m) "t")
      (assert_malformed_custom (module quote "") "mc") (assert_invalid_custom (module) "ic")""")
    action = Action(None, "f", ())
    assert commands[:3] == [
        AssertStops(2, "trap", action, "t"),
        AssertStops(2, "exhaustion", action, "e"),
        AssertStops(2, "exception", action, ""),
    ]
    found = [(c.kind, c.message) for c in commands[3:] if isinstance(c, AssertModule)]
    assert found == [
        ("malformed", "m"),
        ("invalid", "i"),
        ("unlinkable", "u"),
        ("trap", "t"),
        ("trap", "t"),
        ("malformed_custom", "mc"),
        ("invalid_custom", "ic"),
    ]
    assert isinstance(commands[7], AssertModule)
    assert commands[7].module == MakeInstance(4, None, "$m")


def test_a_thread_has_commands_of_its_own() -> None:
    thread, wait = parse_script('(thread $t (shared (module $m)) (register "m" $m) (invoke "f")) (wait $t)')
    assert thread == Thread(1, "$t", ("$m",), (Register(1, "m", "$m"), Perform(1, Action(None, "f", ()))))
    assert wait == Wait(1, "$t")


@pytest.mark.parametrize(
    ("source", "message", "position"),
    [
        ("(module) (nonsense)", "unknown operator nonsense, expected a command", (1, 11)),
        ("(module", "expected ')' for this '('", (1, 1)),
        ("(module))", "unexpected token ), expected a command", (1, 9)),
        ("(assert_return)", "unexpected token ), expected '(' and an action", (1, 15)),
        ('(assert_return (set "x"))', "unknown operator set, expected 'invoke' or 'get'", (1, 17)),
        ("(invoke f)", "unknown operator f, expected a name", (1, 9)),
        ('(invoke "f" (i32.const x))', "unknown operator x, expected a number", (1, 24)),
        ('(invoke "f" (i32.const 4294967296))', "constant out of range", (1, 24)),
        ('(invoke "f" (i32.const nan:canonical))', "unexpected token nan:canonical, expected a number", (1, 24)),
        ('(invoke "f" (f32.const nan:canonical))', "expected a value", (1, 13)),
        ('(invoke "f" (i32.add))', "unexpected token i32.add, expected a value", (1, 14)),
        ('(invoke "f" (v128.const i7x9 0))', "unknown operator i7x9, expected a shape", (1, 25)),
        ('(invoke "f" (v128.const i64x2 0))', "unexpected token ), expected a number", (1, 32)),
        ('(assert_trap (invoke "f"))', "unexpected token ), expected the error's message", (1, 26)),
        ("(module quote x)", "unknown operator x, expected ')' or a string", (1, 15)),
        ("(wait)", "unexpected token ), expected a name", (1, 6)),
    ],
)
def test_what_is_no_script(source: str, message: str, position: tuple[int, int]) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_script(source)
    assert message in caught.value.message
    assert (caught.value.line, caught.value.column) == position
