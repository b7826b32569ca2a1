"""The notation of the compiler: every row of the opcode table has a lowering, every template gets the operands that it
names and no others, and no two names of a function can be the same."""

from __future__ import annotations

import re
import string
import subprocess
import sys
from typing import Any

import pytest

from tests.compile.ir import module_context
from tests.differential.generator import generate
from wasmark.binary import decode_body, encode_module
from wasmark.compile import (
    exceptions,
    fuel,
    function,
    function_memory,
    function_objects,
    tail_calls,
    vector_function,
    writer,
)
from wasmark.compile.access import ACCESS, ACCESSORS, ADDRESS_32, ADDRESS_32_OFFSET, ADDRESS_CHECKED, LOADS, STORES
from wasmark.compile.atomics import ATOMICS, UNSHARED_WAITS
from wasmark.compile.function import FunctionTranslator
from wasmark.compile.hot import Hot
from wasmark.compile.loop_entry import LoopEntryTranslator
from wasmark.compile.numeric import NUMERIC
from wasmark.compile.objects import OBJECTS
from wasmark.compile.simple import SIMPLE
from wasmark.compile.tail_calls import leaves_by_tail_call
from wasmark.compile.templates import prepare
from wasmark.compile.vector import LANES, NATURAL, SHUFFLE, VECTORS, is_natural
from wasmark.compile.wide_arithmetic import WIDE
from wasmark.core.opcodes import OPCODES, Imm
from wasmark.errors import TrapCode
from wasmark.text.module import parse_module

STEPS = {**tail_calls.STEPS, **exceptions.STEPS, **fuel.STEPS}
ADDRESSES = {"32": ADDRESS_32, "32 offset": ADDRESS_32_OFFSET, "checked": ADDRESS_CHECKED}
TEMPLATES = {
    **NUMERIC,
    **VECTORS,
    **{f"natural {name}": text for name, text in NATURAL.items() if is_natural(name, deterministic=False)},
    **{f"lane {name}": text for name, text in LANES.items()},
    "shuffle": SHUFFLE,
    **{f"access {name}": text for name, text in ACCESS.items()},
    **{f"accessor {name}": text for name, text in ACCESSORS.items()},
    **{f"address {name}": text for name, text in ADDRESSES.items()},
    **{f"step {name}": text for name, text in STEPS.items()},
    **{f"object {name}": text for name, text in OBJECTS.items()},
}

_DEFINED = re.compile(r"^(?:%([\w.]+) =|([\w.]+):$)", re.MULTILINE)
_NAME = re.compile(r"%([\w.]+)")
_INDEXED = {"L", "P", "mb", "mp", "pi", "pf", "pv", "pp", "ps", "pr"}
"""Prefixes of names that end in the index of a local, parameter or memory, or in the number of a register; all others
end in a number that is new."""

# The steps of an indirect call share one number, so their templates are one.
_CHAINS = [
    ("callee table", "callee type", "callee type final", "callee load"),
    ("callee table", "callee type", "callee type open", "callee load"),
    ("callee table fixed", "callee type", "callee type final", "callee load"),
    ("callee ref", "callee load"),
]


LEAVING = """(module (func $leave (param i32 f32 f64 i64 i32 i32 i32 i32)
  (loop
    (if (local.get 0) (then (return_call $more (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5)
      (i64.const 6) (i64.const 7) (i64.const 8) (i64.const 9))))
    (return_call $leave (i32.const 1) (f32.const 2) (f64.const 3) (i64.const 4) (i32.const 5) (i32.const 6)
      (i32.const 7) (i32.const 8))))
  (func $more (param i64 i64 i64 i64 i64 i64 i64 i64 i64)))"""


def fields(template: str) -> set[str]:
    """The operands that a template names."""
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def filled(template: str, n: int = 7) -> str:
    """The template with operands that are no names of its own."""
    others = {name: f"%OPERAND.{name}" for name in fields(template)}
    return template.format(**{**others, "r": f"%v{n}", "n": n, "d": ", !dbg !D("})


# --- lowerings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPCODES, ids=lambda op: f"{op.name}-{op.code:#x}")
def test_every_row_has_one_lowering(op: Any) -> None:
    assert SIMPLE[False].keys() == SIMPLE[True].keys()
    assert (op in SIMPLE[True]) != (op in function._SPECIAL)


def test_a_row_without_a_lowering_is_noticed_when_the_compiler_is_imported() -> None:
    script = (
        "import importlib, wasmark.core.opcodes as table, wasmark.compile.function as function\n"
        "table.OPCODES += (table.Opcode(0xFC, 0x7F, 'i32.unheard_of', table.Imm.NONE, None, table.Feature.MVP),)\n"
        "importlib.reload(function)\n"
    )
    path = "import sys; sys.path[:] = " + repr(sys.path) + "\n"
    run = subprocess.run([sys.executable, "-c", path + script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 1
    assert "i32_unheard_of" in run.stderr


def test_rows_without_immediates_that_compute_are_templates() -> None:
    bare = [op for op in OPCODES if op.imm is Imm.NONE and op.sig is not None]
    assert {op.name for op in bare if op.sig != ":"} == {*NUMERIC, *VECTORS, *WIDE}


# --- operands -------------------------------------------------------------------------------------


_COMPUTING = [(table, name) for table in (NUMERIC, VECTORS, NATURAL, LANES) for name in table]


@pytest.mark.parametrize(("table", "name"), _COMPUTING, ids=[name for _, name in _COMPUTING])
def test_a_template_that_computes_names_the_operands_of_its_row(table: dict[str, str], name: str) -> None:
    op = next(op for op in OPCODES if op.name == name)
    assert op.sig is not None
    operands = set("abc"[: op.sig.index(":")]) | ({"l"} if table is LANES else set())
    assert {"r"} | operands <= fields(table[name]) <= {"r", "n", "d"} | operands


@pytest.mark.parametrize("name", [*LOADS, *STORES])
def test_an_access_names_its_value(name: str) -> None:
    value = "r" if name in LOADS else "b"
    assert {value, "n"} <= fields(ACCESS[name]) <= {value, "n", "d"}


class Recording(str):
    """A template that notes with what it is filled in."""

    __slots__ = ("calls",)
    calls: list[dict[str, Any]]

    def format(self, *args: Any, **operands: Any) -> str:
        assert not args
        self.calls.append(operands)
        return str.format(self, **operands)


def recording(text: str) -> Recording:
    template = Recording(text)
    template.calls = []
    return template


@pytest.fixture(scope="module")
def translated() -> tuple[dict[str, Recording], list[str]]:
    """All templates after the functions of some modules have been translated with them, and the functions."""
    used = {name: recording(text) for name, text in TEMPLATES.items()}
    functions = []
    with pytest.MonkeyPatch.context() as patch:
        simple = {op: (used[op.name], *rest) for op, (_, *rest) in SIMPLE[True].items()}
        natural = {
            op: (used[f"natural {op.name}" if f"natural {op.name}" in used else op.name], *rest)
            for op, (_, *rest) in SIMPLE[False].items()
        }
        patch.setattr(writer, "SIMPLE", {True: simple, False: natural})
        for module, table, kind in (
            (function_memory, "ACCESS", "access"),
            (vector_function, "ACCESS", "access"),
            (vector_function, "LANES", "lane"),
            (function_objects, "OBJECTS", "object"),
        ):
            patch.setattr(module, table, {name: used[f"{kind} {name}"] for name in getattr(module, table)})
        steps = {name: used[f"accessor {name}"] for name in ACCESSORS} | {name: used[f"step {name}"] for name in STEPS}
        patch.setattr(writer, "STEPS", steps)
        patch.setattr(vector_function, "SHUFFLE", used["shuffle"])
        for table, name in (("ADDRESS_32", "32"), ("ADDRESS_32_OFFSET", "32 offset"), ("ADDRESS_CHECKED", "checked")):
            patch.setattr(function_memory, table, used[f"address {name}"])
        for seed in range(60):
            context = module_context(generate(seed).binary, deterministic=seed % 3 == 0, fuel=seed % 2 == 0)
            if seed % 2:
                context.here = frozenset()  # as in a lazy module
            bodies = [decode_body(context.model, f.start, f.end) for f in context.model.functions]
            context.wide = frozenset(
                context.imported_functions + index
                for index, (f, body) in enumerate(zip(context.model.functions, bodies, strict=True))
                if leaves_by_tail_call(context.model.data, f, body)
            )
            functions += [FunctionTranslator(context, index, 10).translate(body) for index, body in enumerate(bodies)]
        context = module_context(encode_module(parse_module(LEAVING)))
        leaving = context.model.functions[0]
        body = decode_body(context.model, leaving.start, leaving.end)
        (loop,) = (offset for row, _, offset in body if row.name == "loop")
        context.wide = frozenset({0})
        functions.append(FunctionTranslator(context, 0, 10).translate(body))
        LoopEntryTranslator(context, Hot(0, loop), 10).translate(body)
    return used, functions


def test_a_template_gets_the_operands_that_it_names(translated: tuple[dict[str, Recording], list[str]]) -> None:
    used, _ = translated
    for name, template in used.items():
        named = fields(template)
        # Of those for objects there are many that differ in the width of what they read or write.
        assert template.calls or name.startswith("object "), f"{name} is never used"
        for operands in template.calls:
            assert named <= set(operands), name
            unnamed = {"a", "b", "c"} & set(operands) - named
            assert not unnamed, f"{name} ignores {unnamed}"


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_names_of_a_template_are_new_and_told_apart(name: str) -> None:
    check_names(filled(TEMPLATES[name]), complete=not name.startswith(("access", "accessor callee")))


@pytest.mark.parametrize("name", WIDE)
def test_the_names_of_a_template_with_two_results_are_told_apart(name: str) -> None:
    check_names(filled(WIDE[name]).replace("%OPERAND.s =", "%s7 ="), complete=True)


@pytest.mark.parametrize("address", ADDRESSES)
@pytest.mark.parametrize("name", [*ATOMICS, *UNSHARED_WAITS])
def test_an_atomic_access_shares_the_number_of_its_address(name: str, address: str) -> None:
    for templates in (ATOMICS, UNSHARED_WAITS):
        if name in templates:
            check_names(filled(ADDRESSES[address]) + filled(templates[name]), complete=True)


@pytest.mark.parametrize("chain", _CHAINS, ids=lambda chain: " + ".join(chain))
def test_the_steps_of_an_indirect_call_share_a_number(chain: tuple[str, ...]) -> None:
    check_names("\n".join(filled(ACCESSORS[name]) for name in chain), complete=True)


def check_names(text: str, *, complete: bool) -> None:
    defined = [value or label for value, label in _DEFINED.findall(text)]
    assert len(defined) == len(set(defined)), "a name is defined twice (values and labels share their names)"
    for name in defined:
        prefix = name.removesuffix("7")
        assert prefix != name, f"{name} does not end in the number"
        assert not prefix[-1:].isdigit(), f"{name} could be another one's with a longer number"
        assert prefix not in _INDEXED
    if complete:
        used = {name for name in _NAME.findall(text) if not name.startswith("OPERAND")}
        assert used <= set(defined)


def test_the_names_of_a_function_are_told_apart(translated: tuple[dict[str, Recording], list[str]]) -> None:
    _, functions = translated
    indexed: set[str] = set()
    numbered: set[str] = set()
    for text in functions:
        defined = [value or label for value, label in _DEFINED.findall(text)]
        assert len(defined) == len(set(defined))
        for name in [*defined, *re.findall(r"%(P\d+)", text)]:
            match = re.fullmatch(r"([a-zA-Z]+?)(\d+)(\.\d+)?", name)
            assert match is not None or name in ("entry", "return"), name
            if match is not None:
                (indexed if match[1] in _INDEXED else numbered).add(match[1])
    assert indexed == _INDEXED
    assert not indexed & numbered


# --- abbreviations --------------------------------------------------------------------------------


def test_the_marks_of_templates_stand_for_debug_locations() -> None:
    assert prepare("%x = add i32 1, 2@") == "%x = add i32 1, 2{d})"
    assert prepare("load@M") == "load{d}, column: 64)"
    assert prepare("call @llvm.fabs.f32(float %x)@") == "call @llvm.fabs.f32(float %x){d})"
    trap = prepare("@TINTEGER_OVERFLOW")
    assert trap == "call void @llvm.ubsantrap(i8 3) #1{d}, column: 3)\nunreachable"


@pytest.mark.parametrize("code", TrapCode)
def test_every_trap_code_has_a_column_of_its_own(code: TrapCode) -> None:
    assert 0 < code < 64
    assert f"i8 {code.value}) #1{{d}}, column: {code.value})" in prepare(f"@T{code.name}")
