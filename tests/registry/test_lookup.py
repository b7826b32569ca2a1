"""Every address has its answer: the walk of the seed document, and what lies around functions."""

from __future__ import annotations

import math

import pytest

from tests.registry.support import (
    ENTRY,
    LOAD,
    OPERATION,
    SEED_FUNCTIONS,
    STEP,
    StandInModule,
    build_module,
    build_modules,
    call,
    tiny_module,
)
from wasmark.errors import TrapCode
from wasmark.registry import ModuleRegistry, is_wasm_trap_pc, lookup_code, lookup_frame_info

HOSTILE = [0, 1, -1, -(2**63), 2**63, 2**64 - 1, 2**64, 2**200, math.nan, math.inf, 0.5, None, "pc", b"pc", [], True]


@pytest.fixture
def module() -> StandInModule:
    return build_module(imports=3)


@pytest.fixture
def registry(module: StandInModule) -> ModuleRegistry:
    registry = ModuleRegistry()
    registry.register_module(module)
    return registry


def test_code_that_is_looked_up_is_code_that_runs(module: StandInModule) -> None:
    results = [call(start, 17, 5) for _, start, _ in module.finished_functions()]
    assert results == [22, 12, 85, 3, 3, 2, 2]


def test_every_byte_of_every_function_leads_to_it(registry: ModuleRegistry, module: StandInModule) -> None:
    seen = 0
    for index, start, end in module.finished_functions():
        for pc in range(start, end):
            frame = registry.lookup_frame_info(pc)
            assert frame is not None
            assert frame.func_index == index, f"lookup of {pc:#x} returned {frame.func_index}, expected {index}"
            assert frame.func_name == SEED_FUNCTIONS[index - 3]
            assert frame.module is module
            assert registry.lookup_module(pc) is module
            assert frame.pc == pc
            entry = ENTRY + STEP * (index - 3)
            assert frame.module_offset in (entry, entry + OPERATION)
            assert frame.func_offset == frame.module_offset - entry
            seen += 1
    assert seen > 100


@pytest.mark.alone
def test_addresses_around_functions_lead_nowhere(registry: ModuleRegistry, module: StandInModule) -> None:
    code = module.code_object()
    assert code is not None
    inside = {pc for _, start, end in module.finished_functions() for pc in range(start, end)}
    around = set(range(code.text_start - 4096, code.text_start + code.code_memory.size + 4096)) - inside
    # Before the code, in the padding between functions, behind the last one and in the pages behind it.
    assert any(code.text_start <= pc < code.text_end for pc in around)
    for pc in around:
        assert registry.lookup_frame_info(pc) is None
        assert registry.lookup_module(pc) is None
        assert registry.lookup_trap_code(pc) is None
        assert not is_wasm_trap_pc(pc)


@pytest.mark.alone
def test_the_ends_of_code_are_inclusive_on_the_last_byte(module: StandInModule) -> None:
    code = module.code_object()
    assert code is not None
    registry = ModuleRegistry()
    registry.register_module(module)
    assert lookup_code(code.text_start) is code
    assert lookup_code(code.text_end - 1) is code
    assert lookup_code(code.text_start - 1) is None
    assert lookup_code(code.text_end) is None


def test_trap_codes_stand_at_trap_instructions_and_nowhere_else(
    registry: ModuleRegistry, module: StandInModule
) -> None:
    expected = {
        "div_s": {TrapCode.INTEGER_DIVISION_BY_ZERO, TrapCode.INTEGER_OVERFLOW},
        "div_u": {TrapCode.INTEGER_DIVISION_BY_ZERO},
        "rem_s": {TrapCode.INTEGER_DIVISION_BY_ZERO},
        "rem_u": {TrapCode.INTEGER_DIVISION_BY_ZERO},
    }
    code = module.code_object()
    assert code is not None
    text = code.text
    for index, start, end in module.finished_functions():
        found = {}
        for pc in range(start, end):
            trap = registry.lookup_trap_code(pc)
            assert is_wasm_trap_pc(pc) == (trap is not None)
            if trap is not None:
                offset = pc - code.text_start
                assert text[offset : offset + 5] == bytes((0x67, 0x0F, 0xB9, 0x40, trap))
                found[trap] = registry.lookup_frame_info(pc)
        assert set(found) == expected.get(SEED_FUNCTIONS[index - 3], set())
        for frame in found.values():
            assert frame is not None
            assert frame.func_offset == OPERATION


def test_a_memory_access_may_trap_at_any_byte_of_its_row() -> None:
    module = build_module(("load", "add"))
    registry = ModuleRegistry()
    registry.register_module(module)
    (_, start, end), (_, other_start, other_end) = module.finished_functions()
    offsets = {
        frame.func_offset
        for pc in range(start, end)
        if registry.lookup_trap_code(pc) is TrapCode.MEMORY_OUT_OF_BOUNDS
        and (frame := registry.lookup_frame_info(pc)) is not None
    }
    assert offsets == {LOAD}
    assert not any(registry.lookup_trap_code(pc) for pc in range(other_start, other_end))


def test_two_modules_in_one_object_are_told_apart() -> None:
    modules = build_modules([("add", "div_s", "sub"), ("unreachable", "load"), ("mul",)])
    first, second, third = modules
    assert first.code is second.code is third.code
    registry = ModuleRegistry()
    for module in modules:
        registry.register_module(module)
    assert len(registry) == 1
    for module in modules:
        for index, start, end in module.finished_functions():
            for pc in range(start, end):
                frame = registry.lookup_frame_info(pc)
                assert frame is not None
                assert frame.module is module
                assert frame.func_index == index
                # Both count lines from the start of their own binary.
                assert ENTRY + STEP * index <= frame.module_offset < ENTRY + STEP * (index + 1)


def test_only_registered_modules_of_an_object_answer() -> None:
    first, second = build_modules([("add",), ("sub",)])
    registry = ModuleRegistry()
    registry.register_module(first)
    assert registry.lookup_module(first.functions[0][1]) is first
    assert registry.lookup_module(second.functions[0][1]) is None
    assert registry.lookup_frame_info(second.functions[0][1]) is None
    registry.register_module(second)
    assert registry.lookup_module(second.functions[0][1]) is second


def test_a_store_does_not_answer_for_another_one(module: StandInModule, registry: ModuleRegistry) -> None:
    other = ModuleRegistry()
    pc = module.functions[3][1]
    assert registry.lookup_module(pc) is module
    assert other.lookup_module(pc) is None
    assert other.lookup_frame_info(pc) is None
    assert other.lookup_trap_code(pc) is None
    # The process as a whole does: a stack may go through several stores.
    frame = lookup_frame_info(pc)
    assert frame is not None
    assert frame.module is module


def test_a_store_answers_for_code_that_the_signal_handler_was_told_to_forget(
    module: StandInModule, registry: ModuleRegistry
) -> None:
    from wasmark.registry import register_code, unregister_code

    code = module.code_object()
    assert code is not None
    trap_pc = next(pc for pc in range(code.text_start, code.text_end) if is_wasm_trap_pc(pc))
    unregister_code(code)
    assert not is_wasm_trap_pc(trap_pc)
    assert lookup_code(trap_pc) is None
    assert registry.lookup_trap_code(trap_pc) is TrapCode.INTEGER_DIVISION_BY_ZERO
    assert registry.lookup_module(trap_pc) is module
    register_code(code)
    assert is_wasm_trap_pc(trap_pc)


def test_functions_know_their_ranges(module: StandInModule, registry: ModuleRegistry) -> None:
    for index, start, end in module.finished_functions():
        assert registry.function_ranges(module, index) == [(start, end)]
    assert registry.function_ranges(module, 0) == []
    assert registry.function_ranges(module, 1000) == []
    assert registry.function_ranges(tiny_module(), 0) == []


class _Function:
    def __init__(self, code_address: int, signature: str) -> None:
        self.code_address = code_address
        self.signature = signature


def test_trampolines_are_found_by_address_and_signature(module: StandInModule, registry: ModuleRegistry) -> None:
    code = module.code_object()
    assert code is not None
    for _, start, _ in module.finished_functions():
        assert registry.lookup_trampoline(_Function(start, "ii:i")) == code.text_start
        assert registry.lookup_trampoline(_Function(start, "ii:f")) is None
    assert registry.lookup_trampoline(_Function(0, "ii:i")) is None
    assert ModuleRegistry().lookup_trampoline(_Function(code.text_start, "ii:i")) is None


@pytest.mark.parametrize("pc", HOSTILE, ids=repr)
def test_no_address_is_too_odd_to_be_looked_up(registry: ModuleRegistry, pc: int) -> None:
    assert registry.lookup_module(pc) is None
    assert registry.lookup_frame_info(pc) is None
    assert registry.lookup_trap_code(pc) is None
    assert registry.lookup_trampoline(_Function(pc, "ii:i")) is None
    assert is_wasm_trap_pc(pc) is False
    assert lookup_code(pc) is None
    assert lookup_frame_info(pc) is None


def test_a_broken_number_inside_the_code_is_no_address(registry: ModuleRegistry, module: StandInModule) -> None:
    code = module.code_object()
    assert code is not None
    for pc in (float(code.text_start), code.text_start + 0.5):
        assert registry.lookup_frame_info(pc) is None  # type: ignore[arg-type]
        assert is_wasm_trap_pc(pc) is False  # type: ignore[arg-type]
