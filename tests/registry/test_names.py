"""What functions are called, for people."""

from __future__ import annotations

import subprocess
import sys

import pytest

from wasmark.binary import decode_module, encode_module
from wasmark.registry.names import demangled, function_name, printable
from wasmark.text import parse_module


def test_the_name_section_comes_first_then_exports_then_imports() -> None:
    model = decode_module(
        encode_module(
            parse_module("""(module
              (import "m" "global" (global i32)) (import "m" "imported" (func)) (import "m" "f" (func $both))
              (func $named (export "exported")) (func (export "first") (export "second")) (func))""")
        )
    )
    assert [function_name(model, index) for index in range(5)] == ["imported", "both", "named", "first", None]


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("_ZN6dinner5splitEii", "dinner::split(int, int)"),
        ("_ZNSt6vectorIiSaIiEE9push_backERKi", "std::vector<int, std::allocator<int>>::push_back(int const&)"),
        ("_ZN4core3fmt9Formatter9write_str17h0123456789abcdefE", "core::fmt::Formatter::write_str"),
        ("_ZN63_$LT$$RF$std..process..ChildStdin$u20$as$u20$std..io..Write$GT$14write_vectored17h5d9b4c916c956fffE",
         "<&std::process::ChildStdin as std::io::Write>::write_vectored"),
        ("_RNvNtCs1234_7mycrate3foo3bar", "mycrate::foo::bar"),
        ("main", "main"),
        ("", ""),
        ("_Z", "_Z"),
        ("_ZN", "_ZN"),
        ("_Zé", "_Zé"),
        ("_ZN1a\0b", "_ZN1a\0b"),
        ("_Z" + "N1a" * 5000, "_Z" + "N1a" * 5000),
        ("_RNvC6_123foo3bar", "123foo::bar"),
    ],
)  # fmt: skip
def test_names_of_compilers_become_those_of_the_source(name: str, plain: str) -> None:
    assert demangled(name) == plain


def test_without_the_extra_names_stay_what_they_are() -> None:
    program = """
import sys
sys.modules["pydemumble"] = sys.modules["elftools"] = None
import wasmark
from wasmark.registry import Symbol
module = wasmark.Module('(module (func $_ZN1a1bEv (export "f") (unreachable)) (@custom ".debug_info" "broken"))')
try:
    wasmark.Instance(module).exports.f()
except wasmark.Trap as trap:
    assert trap.frames[0].symbols == (Symbol("_ZN1a1bEv"),), trap.frames[0].symbols
    assert "_ZN1a1bEv" in trap.format(sources=True)
try:
    wasmark.Config(debug_info=True)
except wasmark.Error as error:
    assert "wasmark[debug]" in str(error)
else:
    raise AssertionError
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_long_and_strange_names_are_fit_for_a_terminal() -> None:
    assert printable("a" * 500) == "a" * 199 + "…"
    assert printable("a\x1b[31m\u202e") == "a\\x1b[31m\\u202e"
