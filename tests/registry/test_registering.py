"""What a store keeps, and what it refuses."""

from __future__ import annotations

import gc
import weakref

import pytest

from tests.registry.support import (
    StandInComponent,
    StandInModule,
    build_module,
    build_modules,
    make_model,
    tiny_code,
    tiny_module,
)
from wasmark.registry import CodeModule, CodeObject, ModuleRegistry, is_wasm_trap_pc, lookup_code
from wasmark.runtime.code_memory import CodeMemory


def test_registering_again_is_no_new_code() -> None:
    module = build_module()
    registry = ModuleRegistry()
    for _ in range(3):
        registry.register_module(module)
    assert len(registry) == 1
    assert registry.function_ranges(module, 0) == [module.functions[0][1:]]


def test_a_module_may_live_in_several_stores() -> None:
    module = build_module()
    registries = [ModuleRegistry() for _ in range(3)]
    for registry in registries:
        registry.register_module(module)
    pc = module.functions[0][1]
    assert all(registry.lookup_module(pc) is module for registry in registries)
    del registries[0], registry
    gc.collect()
    assert all(registry.lookup_module(pc) is module for registry in registries)
    assert lookup_code(pc) is module.code


@pytest.mark.parametrize("shape", ["no code", "empty text"])
def test_modules_without_code_are_kept_alive(shape: str) -> None:
    code = None
    if shape == "empty text":
        memory = CodeMemory.allocate(0, 16)
        memory.publish()
        code = CodeObject(memory, memory.text_start, memory.text_start)
    module = StandInModule(make_model(()), None, code)
    registry = ModuleRegistry()
    registry.register_module(module)
    registry.register_module(module)
    assert len(registry) == 0
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is not None
    del registry
    gc.collect()
    assert alive() is None


def test_a_module_without_functions_in_shared_code_is_kept_alive() -> None:
    owner = build_module()
    module = StandInModule(make_model(()), None, owner.code)
    registry = ModuleRegistry()
    registry.register_module(module)
    assert len(registry) == 1
    assert registry.lookup_module(owner.functions[0][1]) is None
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is not None


def test_modules_with_code_live_as_long_as_the_store() -> None:
    module = build_module()
    registry = ModuleRegistry()
    registry.register_module(module)
    pc, alive, code = module.functions[3][1], weakref.ref(module), weakref.ref(module.code)
    del module
    gc.collect()
    assert registry.lookup_module(pc) is alive() is not None
    assert lookup_code(pc) is code()
    del registry
    gc.collect()
    assert (alive(), code()) == (None, None)


def test_a_component_brings_its_code_and_its_modules_bring_themselves() -> None:
    modules = build_modules([("add",), ("div_s",)])
    component = StandInComponent(modules[0].code, modules)
    registry = ModuleRegistry()
    registry.register_component(component)
    registry.register_component(component)
    assert len(registry) == 1
    pc = modules[1].functions[0][1]
    assert registry.lookup_module(pc) is None
    # Whose the code is does not matter for a trap.
    traps = [address for address in range(*modules[1].functions[0][1:]) if registry.lookup_trap_code(address)]
    assert len(traps) == 2
    assert all(is_wasm_trap_pc(address) for address in traps)
    for module in modules:
        registry.register_module(module)
    assert len(registry) == 1
    assert registry.lookup_module(pc) is modules[1]


def test_a_component_is_kept_alive_with_or_without_code() -> None:
    for code in (None, tiny_code()):
        component = StandInComponent(code)
        registry = ModuleRegistry()
        registry.register_component(component)
        alive = weakref.ref(component)
        del component, code
        gc.collect()
        assert alive() is not None


def test_another_module_on_the_same_code_is_refused() -> None:
    module = build_module()
    impostor = StandInModule(module.model, "impostor", module.code, module.functions)
    registry = ModuleRegistry()
    registry.register_module(module)
    with pytest.raises(AssertionError, match="belongs to another module"):
        registry.register_module(impostor)
    assert registry.lookup_module(module.functions[0][1]) is module


def test_a_module_whose_functions_lie_elsewhere_is_refused() -> None:
    module, other = build_module(), build_module()
    liar = StandInModule(module.model, "liar", module.code, other.functions)
    with pytest.raises(AssertionError, match="not part of"):
        ModuleRegistry().register_module(liar)


def test_overlapping_code_is_refused() -> None:
    memory = CodeMemory.allocate(3 * 4096)
    memory.publish()
    base = memory.base
    middle = CodeObject(memory, base + 4096, base + 8192)
    for start, end in [
        (base, base + 4097),
        (base + 4096, base + 8192),
        (base + 8191, base + 3 * 4096),
        (base, base + 3 * 4096),
        (base + 5000, base + 6000),
    ]:
        with pytest.raises(AssertionError, match="overlaps"):
            CodeObject(memory, start, end)
    before, behind = CodeObject(memory, base, base + 4096), CodeObject(memory, base + 8192, base + 3 * 4096)
    registry = ModuleRegistry()
    for code in (before, middle, behind):
        registry.register_component(StandInComponent(code))
    assert [lookup_code(base + 4096 * page) for page in range(3)] == [before, middle, behind]
    assert len(registry) == 3


@pytest.mark.parametrize("functions", [[(0, 0, 8), (1, 7, 9)], [(0, 0, 17)], [(0, -1, 4)], [(0, 8, 4)]])
def test_functions_that_overlap_or_leave_the_text_are_refused(functions: list[tuple[int, int, int]]) -> None:
    memory = CodeMemory.allocate(16)
    memory.publish()
    part = CodeModule((index, memory.base + start, memory.base + end) for index, start, end in functions)
    with pytest.raises(AssertionError, match="overlaps"):
        CodeObject(memory, memory.base, memory.base + 16, [part])


def test_text_outside_of_its_memory_is_refused() -> None:
    memory = CodeMemory.allocate(16)
    for start, end in [
        (memory.base - 1, memory.base),
        (memory.base, memory.base + 4097),
        (memory.base + 2, memory.base),
    ]:
        with pytest.raises(AssertionError, match="leaves its code memory"):
            CodeObject(memory, start, end)


def test_a_function_may_have_several_ranges() -> None:
    memory = CodeMemory.allocate(32)
    memory.publish()
    base = memory.base
    part = CodeModule([(7, base + 16, base + 20), (8, base + 8, base + 16), (7, base, base + 8)])
    code = CodeObject(memory, base, base + 32, [part])
    module = StandInModule(make_model(("nop",) * 9), None, code, part.functions)
    registry = ModuleRegistry()
    registry.register_module(module)
    assert registry.function_ranges(module, 7) == [(base, base + 8), (base + 16, base + 20)]
    assert [code.find_function(base + offset) for offset in (0, 8, 16, 19)] == [(0, 7), (0, 8), (0, 7), (0, 7)]
    assert code.find_function(base + 20) is None


def test_many_modules_in_one_store_are_all_found() -> None:
    registry = ModuleRegistry()
    modules = [tiny_module(3) for _ in range(300)]
    for module in modules:
        registry.register_module(module)
    assert len(registry) == 300
    for module in modules:
        for index, start, _ in module.functions:
            frame = registry.lookup_frame_info(start)
            assert frame is not None
            assert (frame.module, frame.func_index) == (module, index)
