"""The table that the signal handler reads, read here as it reads it; and what comes and goes in it."""

from __future__ import annotations

import ctypes
import gc
import weakref

import pytest

from tests.counting import executed_lines
from tests.processes import output_of
from tests.registry.support import build_module, tiny_code, tiny_module
from wasmark.registry import (
    CodeObject,
    ModuleRegistry,
    is_wasm_trap_pc,
    lookup_code,
    process_table,
    process_table_address,
    register_code,
    unregister_code,
)
from wasmark.runtime import code_memory
from wasmark.runtime.code_memory import CodeMemory


def owner_in_memory(pc: int) -> int:
    """What the handler does: plain loads through the table at its fixed address."""
    words = ctypes.cast(process_table_address(), ctypes.POINTER(ctypes.c_uint64))
    for number in range(words[0]):
        base, size, owners = (words[1 + 3 * number + word] for word in range(3))
        if base <= pc < base + size:
            return ctypes.cast(owners, ctypes.POINTER(ctypes.c_uint32))[(pc - base) // 4096]
    return 0


def test_the_table_in_memory_has_every_page_of_registered_code() -> None:
    memory = CodeMemory.allocate(3 * 4096 + 1, 4096)
    memory.publish()
    code = CodeObject(memory, memory.base, memory.base + 3 * 4096 + 1)
    pages = [memory.base + 4096 * page for page in range(-1, 6)]
    assert [owner_in_memory(page) for page in pages[1:5]] == [0, 0, 0, 0]
    register_code(code)
    assert [owner_in_memory(page) for page in pages[1:5]] == [code.id] * 4
    # Behind the text come pages of constants: nothing runs there.
    assert owner_in_memory(pages[5]) == 0
    assert code.id not in (owner_in_memory(pages[0]), owner_in_memory(pages[6]))
    unregister_code(code)
    assert [owner_in_memory(page) for page in pages[1:5]] == [0, 0, 0, 0]


def test_the_table_never_moves() -> None:
    before = process_table_address()
    register_code(tiny_code())
    assert process_table_address() == before
    count = ctypes.c_uint64.from_address(before).value
    assert count == len(code_memory.arenas()) >= 1


def test_registering_twice_is_refused() -> None:
    code = tiny_code()
    register_code(code)
    with pytest.raises(AssertionError, match="registered already"):
        register_code(code)
    assert lookup_code(code.text_start) is code


def test_unregistering_what_is_not_registered_is_refused() -> None:
    code = tiny_code()
    with pytest.raises(AssertionError, match="not registered"):
        unregister_code(code)
    register_code(code)
    unregister_code(code)
    with pytest.raises(AssertionError, match="not registered"):
        unregister_code(code)


def test_code_that_a_store_has_is_registered_already() -> None:
    module = tiny_module()
    ModuleRegistry().register_module(module)
    assert module.code is not None
    with pytest.raises(AssertionError, match="registered already"):
        register_code(module.code)


def test_a_store_takes_code_that_was_registered_before() -> None:
    module = tiny_module()
    assert module.code is not None
    register_code(module.code)
    registry = ModuleRegistry()
    registry.register_module(module)
    assert registry.lookup_module(module.code.text_start) is module


def test_code_without_text_is_nothing_to_register() -> None:
    memory = CodeMemory.allocate(0, 8)
    code = CodeObject(memory, memory.base, memory.base)
    register_code(code)
    register_code(code)
    assert lookup_code(memory.base) is None
    unregister_code(code)


def test_code_is_no_trap_before_it_is_registered() -> None:
    module = build_module(("unreachable",))
    _, start, end = module.functions[0]
    assert not any(is_wasm_trap_pc(pc) for pc in range(start, end))
    assert module.code is not None
    register_code(module.code)
    assert sum(is_wasm_trap_pc(pc) for pc in range(start, end)) == 1


def test_entries_go_with_the_last_owner() -> None:
    module = build_module(("unreachable",))
    assert module.code is not None
    register_code(module.code)
    code, memory, id_ = weakref.ref(module.code), module.code.code_memory, module.code.id
    pc = module.functions[0][1]
    assert owner_in_memory(pc) == process_table.find_id(pc) == id_
    del module
    gc.collect()
    assert code() is None
    # By now other code may be there.
    assert id_ not in (owner_in_memory(pc), process_table.find_id(pc))
    assert id_ not in process_table._codes
    assert memory.freed


def test_code_is_unregistered_before_its_memory_is_freed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = tiny_code()
    register_code(code)
    pc, id_ = code.text_start, code.id
    seen = []
    free = CodeMemory.free

    def watch(memory: CodeMemory) -> None:
        if memory.base == pc:
            seen.append(owner_in_memory(pc))
        free(memory)

    assert owner_in_memory(pc) == id_
    monkeypatch.setattr(CodeMemory, "free", watch)
    del code
    gc.collect()
    assert seen == [0]


def test_code_in_a_reference_cycle_goes_with_the_collector() -> None:
    module = tiny_module()
    module.model.data = module  # type: ignore[assignment]
    assert module.code is not None
    register_code(module.code)
    pc, id_ = module.code.text_start, module.code.id
    gc.disable()
    try:
        del module
        assert owner_in_memory(pc) == id_
        gc.collect()
        assert owner_in_memory(pc) != id_
    finally:
        gc.enable()


@pytest.mark.alone
def test_the_collector_may_run_while_the_tables_are_being_changed() -> None:
    # The finalizer of garbage must neither wait for the lock that its own thread holds nor change tables half changed.
    garbage = tiny_code()
    register_code(garbage)
    pc = garbage.text_start
    memory = garbage.code_memory
    free = memory.arena.free_pages
    with process_table._retirement._lock:
        with code_memory._retirement._lock:
            del garbage
            gc.collect()
            assert owner_in_memory(pc) != 0
        process_table._retirement.drain()
        assert owner_in_memory(pc) != 0
    with code_memory._retirement._lock:
        process_table._retirement.drain()
        assert owner_in_memory(pc) == 0
        assert memory.freed
        assert memory.arena.free_pages == free
    code_memory._retirement.drain()
    assert memory.arena.free_pages == free + 1


def test_a_refusal_does_not_hold_up_what_waits() -> None:
    code = tiny_code()
    garbage = tiny_code()
    register_code(garbage)
    pc, id_ = garbage.text_start, garbage.id
    with process_table._retirement._lock:
        del garbage
        gc.collect()
        assert owner_in_memory(pc) == id_
    with pytest.raises(AssertionError, match="not registered"):
        unregister_code(code)
    assert owner_in_memory(pc) != id_


@pytest.mark.alone
def test_addresses_that_are_used_again_belong_to_the_new_code() -> None:
    first = tiny_code()
    register_code(first)
    pc, id_ = first.text_start, first.id
    del first
    gc.collect()
    kept = []
    for _ in range(10_000):
        code = tiny_code()
        if code.text_start == pc:
            break
        kept.append(code)
    else:
        pytest.fail("the freed page never came back")
    assert code.id != id_
    assert lookup_code(pc) is None
    register_code(code)
    assert lookup_code(pc) is code


def _resident_kib() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4


@pytest.mark.alone
def test_thousands_of_comings_and_goings_leave_nothing() -> None:
    def cycle(count: int) -> None:
        for _ in range(count):
            code = tiny_code()
            register_code(code)
            assert lookup_code(code.text_start) is code

    cycle(500)
    gc.collect()
    free = sum(arena.free_pages for arena in code_memory.arenas())
    arenas, entries, mappings, memory = (
        len(code_memory.arenas()),
        len(process_table._codes),
        _mappings(),
        _resident_kib(),
    )
    cycle(4_500)
    gc.collect()
    assert sum(arena.free_pages for arena in code_memory.arenas()) == free
    assert len(code_memory.arenas()) == arenas
    assert len(process_table._codes) == entries
    assert _mappings() <= mappings + 10
    assert _resident_kib() < memory + 1024


def _mappings() -> int:
    with open("/proc/self/maps") as file:
        return sum(1 for _ in file)


def test_the_cost_of_a_lookup_does_not_grow_with_the_number_of_code_objects() -> None:
    def cost(pc: int) -> int:
        return executed_lines(lambda: is_wasm_trap_pc(pc))

    first = tiny_code()
    register_code(first)
    is_wasm_trap_pc(first.text_start)  # decodes the line table
    few = cost(first.text_start)
    many = [tiny_code() for _ in range(2_000)]
    for code in many:
        register_code(code)
    is_wasm_trap_pc(many[-1].text_start)
    assert 0 < cost(first.text_start) == cost(many[-1].text_start) == few


def test_the_cost_of_coming_and_going_does_not_grow_with_the_number_of_code_objects() -> None:
    registry = ModuleRegistry()

    def come_and_go() -> None:
        module = tiny_module()
        registry.register_module(module)
        assert module.code is not None
        unregister_code(module.code)
        register_code(module.code)
        assert registry.function_ranges(module, 0) == [module.functions[0][1:]]
        assert registry.lookup_module(module.code.text_start) is module

    come_and_go()
    gc.collect()
    few = executed_lines(come_and_go)
    kept = [tiny_module() for _ in range(2_000)]
    for module in kept:
        registry.register_module(module)
    assert len(registry) == 2_002
    gc.collect()
    # A free range of pages may have one neighbour more or less.
    assert 0 < executed_lines(come_and_go) <= few + 10


def test_several_arenas_are_published_and_full_ones_are_reported() -> None:
    output = output_of("""
        from wasmark.runtime import code_memory
        code_memory.ARENA_SIZES = (16 * 4096,)
        from tests.registry.support import tiny_code
        from tests.registry.test_process_table import owner_in_memory
        from wasmark.errors import Error, OutOfCodeMemoryError
        from wasmark.registry import lookup_code, register_code
        codes = []
        try:
            while True:
                code = tiny_code()
                register_code(code)
                codes.append(code)
        except OutOfCodeMemoryError as error:
            assert isinstance(error, Error) and isinstance(error, MemoryError)
        assert len(codes) == 8 * 16, len(codes)
        assert len(code_memory.arenas()) == 8
        assert all(lookup_code(code.text_start) is code for code in codes)
        assert all(owner_in_memory(code.text_start) == code.id for code in codes)
        del codes[::2], code
        codes += [tiny_code() for _ in range(64)]
        print(len(codes))
    """)
    assert output == "128\n"


def test_ids_start_again_where_numbers_end() -> None:
    output = output_of("""
        import itertools
        from tests.registry.support import tiny_code
        from wasmark.registry import lookup_code, process_table, register_code
        first = tiny_code()
        process_table._ids = itertools.count((1 << 32) - 2)
        codes = [first, *(tiny_code() for _ in range(4))]
        print([code.id for code in codes])
        for code in codes:
            register_code(code)
        assert all(lookup_code(code.text_start) is code for code in codes)
    """)
    assert output == "[1, 4294967294, 4294967295, 2, 3]\n"


def test_a_forked_child_has_tables_of_its_own() -> None:
    output = output_of("""
        import gc, os
        from tests.registry.support import tiny_code
        from wasmark.registry import lookup_code, register_code
        kept, gone = tiny_code(), tiny_code()
        register_code(kept), register_code(gone)
        pc = gone.text_start
        child = os.fork()
        if child == 0:
            del gone
            gc.collect()
            fresh = tiny_code()
            register_code(fresh)
            ok = lookup_code(pc) in (None, fresh) and lookup_code(kept.text_start) is kept
            os._exit(0 if ok else 1)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(status, lookup_code(pc) is gone)
    """)
    assert output == "0 True\n"


def test_a_fork_waits_for_tables_that_another_thread_is_changing() -> None:
    output = output_of("""
        import os, threading
        from tests.registry.support import tiny_code
        from wasmark.registry import register_code
        stop = threading.Event()
        def churn():
            while not stop.is_set():
                register_code(tiny_code())
        threads = [threading.Thread(target=churn) for _ in range(3)]
        for thread in threads:
            thread.start()
        statuses = []
        for _ in range(40):
            child = os.fork()
            if child == 0:
                register_code(tiny_code())
                os._exit(7)
            statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        stop.set()
        for thread in threads:
            thread.join()
        print(set(statuses))
    """)
    assert output == "{7}\n"


def test_a_process_ends_in_peace_with_code_registered() -> None:
    output_of("""
        import threading, time
        from tests.registry.support import build_module
        from wasmark.registry import ModuleRegistry, lookup_code, register_code
        module = build_module()
        registry = ModuleRegistry()
        registry.register_module(module)
        def look():
            while True:
                registry.lookup_frame_info(module.functions[0][1])
        threading.Thread(target=look, daemon=True).start()
        time.sleep(0.05)
    """)
