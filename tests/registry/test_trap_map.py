"""What `is_wasm_trap_pc` has written down about a page: the same as looking at each address, as long as the code is
registered."""

from __future__ import annotations

import gc
import itertools
from enum import IntEnum

import pytest

import wasmark
from tests.interruption import interrupt
from tests.registry.support import SEED_FUNCTIONS, build_module
from tests.ways import config
from wasmark.registry import (
    CodeObject,
    code_object,
    is_wasm_trap_pc,
    process_table,
    register_code,
    unregister_code,
)
from wasmark.runtime import apart

_LOCALS = " ".join(["i64"] * 9_000)
TRAPPING = f"""
(module (memory 1) (table 1 funcref)
  (func (export "divide") (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func (export "load") (param i32) (result i64) (i64.load offset=4 (local.get 0)))
  (func (export "store") (param i32) (f64.store (local.get 0) (f64.const 1)))
  (func (export "call") (param i32) (call_indirect (local.get 0)))
  (func (export "never") unreachable)
  (func (export "large") (param i32) (result i64) (local {_LOCALS})
    (local.set 8000 (i64.const 5)) (local.get 8000)))
"""


def codes_of(way: str) -> list[CodeObject]:
    module = wasmark.Module(TRAPPING, wasmark.Engine(config(way)))
    instance = wasmark.Instance(module)
    for name, arguments in [("divide", (7, 2)), ("load", (8,)), ("store", (8,)), ("large", (1,))]:
        instance.exports[name](*arguments)
    for name, arguments in [("call", (0,)), ("never", ())]:
        with pytest.raises(wasmark.Trap):
            instance.exports[name](*arguments)
    return module.code_objects()


@pytest.mark.parametrize("way", ["eager", "baseline", "lazy", "tier-up-at-once"])
def test_what_is_written_down_is_what_a_look_at_each_address_says(way: str) -> None:
    traps = set()
    for code in codes_of(way):
        for pc in range(code.text_start - 16, code.text_start + code.code_memory.size):
            inside = code.text_start <= pc < code.text_end
            expected = code.trap_code(pc)
            assert is_wasm_trap_pc(pc) is (expected is not None) or not inside, hex(pc)
            traps.add(expected)
    assert len(traps) >= 6, "traps of several kinds, and none"


@pytest.mark.parametrize("way", ["eager", "baseline"])
def test_stretches_are_what_a_look_at_each_address_says(way: str) -> None:
    for code in codes_of(way):
        for start, end in [
            (code.text_start, code.text_end),
            (code.text_start + 3, code.text_start + 90),
            (code.text_start + 17, code.text_start + 17),
        ]:
            stretches = code.lines.stretches(start, end)
            assert [pc for begin, behind, _, _ in stretches for pc in range(begin, behind)] == list(range(start, end))
            for begin, behind, line, column in stretches:
                assert {code.find_line(pc) for pc in range(begin, behind)} == {(line, column)}


@pytest.mark.alone
def test_it_ends_with_the_registration_and_comes_back_with_it() -> None:
    module = build_module(SEED_FUNCTIONS)
    code = module.code
    assert code is not None
    pcs = range(code.text_start, code.text_end)
    for _ in range(2):
        assert not any(map(is_wasm_trap_pc, pcs))
        register_code(code)
        assert sum(map(is_wasm_trap_pc, pcs)) == 5
        unregister_code(code)
    register_code(code)
    pc = next(filter(is_wasm_trap_pc, pcs))
    pages = len(process_table._traps)
    del module, code
    gc.collect()
    assert not is_wasm_trap_pc(pc)
    assert len(process_table._traps) == pages - 1


def test_an_interruption_leaves_no_trap_of_code_that_is_not_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    # With a handler that is no default one, the work would be done in another thread, where nothing interrupts it.
    monkeypatch.setattr(apart, "_has_handlers", lambda: False)
    code = build_module(("unreachable",)).code
    assert code is not None
    (pc,) = (pc for pc in range(code.text_start, code.text_end) if code.trap_code(pc) is not None)

    def come_and_go(code: CodeObject = code) -> None:
        register_code(code)
        assert is_wasm_trap_pc(pc)
        unregister_code(code)

    for step in itertools.count(1):
        interrupted = interrupt(come_and_go, step, ("registry/process_table.py", "runtime/retirement.py"))
        assert is_wasm_trap_pc(pc) is code.is_registered
        if code.is_registered:
            unregister_code(code)
        assert not is_wasm_trap_pc(pc)
        if not interrupted:
            break
    assert step > 15


def test_what_only_equals_an_address_is_none_also_when_that_was_asked_about() -> None:
    (code,) = codes_of("eager")
    pc = next(filter(is_wasm_trap_pc, range(code.text_start, code.text_end)))
    assert is_wasm_trap_pc(pc)
    assert float(pc) == pc
    assert not is_wasm_trap_pc(float(pc))  # type: ignore[arg-type]
    assert not is_wasm_trap_pc(complex(pc))  # type: ignore[arg-type]
    assert is_wasm_trap_pc(IntEnum("Address", {"TRAP": pc}).TRAP)


def test_only_so_many_answers_and_places_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_table, "_MOST_ANSWERS", 5)
    monkeypatch.setattr(code_object, "_MOST_PLACES", 5)
    (code,) = codes_of("eager")
    pcs = range(code.text_start, code.text_end)
    process_table._answers.clear()
    for _ in range(2):
        for pc in pcs:
            expected = code.trap_code(pc) is not None
            assert [is_wasm_trap_pc(pc) for _ in range(2)] == [expected] * 2
            found = code.find_function(pc)
            assert [code.place(pc) for _ in range(2)] == [found and (*found, *code.find_line(pc))] * 2
            assert len(process_table._answers) <= 5
            assert len(code.places) <= 5


def test_an_answer_is_not_kept_of_code_that_went_while_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    code = build_module(("unreachable",)).code
    assert code is not None
    register_code(code)
    (pc,) = (pc for pc in range(code.text_start, code.text_end) if code.trap_code(pc) is not None)
    look_up = process_table.lookup_code

    def look_up_and_unregister(pc: int) -> CodeObject | None:
        found = look_up(pc)
        unregister_code(code)
        return found

    monkeypatch.setattr(process_table, "lookup_code", look_up_and_unregister)
    assert is_wasm_trap_pc(pc), "it was when it was looked at"
    monkeypatch.setattr(process_table, "lookup_code", look_up)
    assert not is_wasm_trap_pc(pc)
