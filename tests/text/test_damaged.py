"""Damaged text ends in an error of ours or in a module that has a binary, and in nothing else."""

from __future__ import annotations

import contextlib
import random

import pytest

from wasmark.binary import decode_module, encode_module
from wasmark.errors import Error
from wasmark.text import parse_module
from wasmark.text.lexer import Tokens
from wasmark.text.script import AssertModule, DefineModule, ModuleSource, parse_script

MODULE = r"""
(module $m
  (rec (type $s (sub (struct (field $x i8) (field (mut (ref null $s)))))) (type $f (func (param $p i32) (result i64))))
  (import "a" "b\u{e9}" (func $i (type $f))) (table (import "c" "d") 0 externref)
  (memory $n (export "n") (data "\00\"x" "y")) (memory i64 1 0x2)
  (table $t 1 2 funcref) (table $u funcref (elem (ref.func $g) (item ref.func $g)))
  (global $q (mut f32) (f32.const -nan:0x1)) (global i64 i64.const 0x7fff_ffff) (tag $e (param i32))
  (func $g (export "g") (type $f) (param $p i32) (result i64) (local $l f64) (local i32 i32)
    (block $a (result i64) (if (result i64) (i32.eqz (local.get $p)) (then (br $a (i64.const -1))) (else unreachable)))
    block $b loop $c (br_table $b $c 0 (i32.const 1)) end $c end (call_indirect $t (type $f) (i32.const 0x1_0))
    (i32.store $n offset=4 align=1 (i32.const 1) (select (result i32) (i32.const 1) (i32.const 2) (i32.const 3)))
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))
    (table.init $u $k (i32.const 0) (i32.const 0) (i32.const 0))
    (drop (f64.add (f64.const 0x1.8p-3) (f64.const 1e3))) ref.null func drop ;; line
  ) (; block (; nested ;) ;) (@note (x) "y")
  (elem $k (offset i32.const 0) func $g 0) (elem declare funcref (ref.func $g)) (data $d "z") (start $g))
"""

SCRIPT = r"""
(module quote "(func)") (module binary "\00asm\01\00\00\00")
(assert_return (invoke $m "g" (i32.const 1) (ref.extern 2)) (f32.const nan:canonical) (either (i64.const 1) (ref.func)))
(assert_trap (invoke "g") "x") (register "r" $m) (get "g") (assert_invalid (module) "y")
"""

ALPHABET = '()"\\;$@ \n\t\0é\ud800{}0x1.pe_-+nan:infi32offset=align=\x7f'


def damaged(text: str, choose: random.Random) -> str:
    """The text with a few characters or tokens lost, doubled, swapped or replaced."""
    if choose.random() < 0.5:
        tokens = [token for token in Tokens(text).list if token]
        for _ in range(choose.randrange(1, 4)):
            at = choose.randrange(len(tokens))
            other = choose.choice(tokens)
            tokens[at : at + 1] = choose.choice([[], [tokens[at], tokens[at]], [other], [other, tokens[at]]])
        return " ".join(tokens)
    for _ in range(choose.randrange(1, 4)):
        at = choose.randrange(len(text))
        piece = choose.choice(["", choose.choice(ALPHABET), text[at] + choose.choice(ALPHABET)])
        text = text[:at] + piece + text[at + choose.randrange(1, 3) :]
    return text if choose.random() < 0.9 else text[: choose.randrange(len(text))]


def read(source: ModuleSource) -> None:
    with contextlib.suppress(Error):
        decode_module(source.binary())


@pytest.mark.parametrize("seed", range(4))
def test_only_our_own_errors_come_out(seed: int) -> None:
    choose = random.Random(seed)
    for _ in range(500):
        with contextlib.suppress(Error):
            encode_module(parse_module(damaged(MODULE, choose)))
        try:
            commands = parse_script(damaged(MODULE + SCRIPT, choose))
        except Error:
            continue
        for command in commands:
            if isinstance(command, DefineModule):
                read(command.source)
            elif isinstance(command, AssertModule) and isinstance(command.module, ModuleSource):
                read(command.module)


def test_the_undamaged_script_is_whole() -> None:
    sources = [command.source for command in parse_script(MODULE + SCRIPT) if isinstance(command, DefineModule)]
    assert [len(decode_module(source.binary()).types) for source in sources] == [3, 1, 0]
