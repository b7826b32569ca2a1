"""A signal handler that raises in the middle of making or ending code: nothing is lost, and nobody gets pages that
belong to somebody else."""

from __future__ import annotations

import contextlib
import gc
import itertools
import sys

import pytest

from tests.interruption import Interruption, call_at, interrupt
from wasmark.registry import CodeModule, CodeObject, process_table, register_code
from wasmark.runtime import apart, code_memory
from wasmark.runtime.code_memory import PAGE_SIZE, CodeMemory


@pytest.fixture(autouse=True)
def no_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a handler that is no default one, the work would be done in another thread, where nothing interrupts it."""
    monkeypatch.setattr(apart, "_has_handlers", lambda: False)


OURS = ("runtime/code_memory.py", "runtime/retirement.py", "registry/process_table.py")


def free_pages() -> int:
    gc.collect()
    process_table._retirement.drain()
    code_memory._retirement.drain()
    return sum(arena.free_pages for arena in code_memory.arenas())


def make(pages: int) -> CodeObject:
    memory = CodeMemory.allocate(pages * PAGE_SIZE)
    memory.write(memory.base, b"\xcc" * (pages * PAGE_SIZE))
    memory.publish()
    base = memory.base
    code = CodeObject(memory, base, base + memory.size, [CodeModule([(0, base, base + 16)])])
    register_code(code)
    return code


def use_of_pages() -> list[int]:
    """The pages that the index says are somebody's."""
    return [page for _, _, index, _ in process_table._arenas for page, id_ in enumerate(index) if id_]


@pytest.mark.alone
@pytest.mark.parametrize("pages", [1, 3])
def test_interrupted_making_leaves_nothing_and_later_code_finds_its_place(pages: int) -> None:
    kept = [make(2), make(5)]
    del kept[0]
    free, used = free_pages(), use_of_pages()
    made: list[CodeObject] = []
    for step in itertools.count(1):
        # It is kept: what is raised in the finalizer of code is lost, and not what this is about.
        if not interrupt(lambda: made.append(make(pages)), step, OURS):
            break
        made.clear()
        assert free_pages() == free
        assert use_of_pages() == used
        make(1), make(2)
    assert step > 20


@pytest.mark.alone
def test_code_whose_finalizer_was_interrupted_is_in_nobodys_way() -> None:
    """An exception is lost there, and perhaps all that the finalizer was to do."""
    CodeMemory.allocate(1).free()  # the first arena
    lost = 0

    def strike() -> None:
        nonlocal lost
        lost += 1
        raise Interruption

    quiet, sys.unraisablehook = sys.unraisablehook, lambda unraisable: None
    try:
        for step in itertools.count(1):
            held = [make(3)]
            with contextlib.suppress(Interruption):
                call_at(held.clear, step, (*OURS, "weakref.py"), strike)
            for pages in (1, 3, 2):
                other = make(pages)
                assert process_table.find_code(other.text_start) is other
            if lost < step:
                break
    finally:
        sys.unraisablehook = quiet
    assert lost > 5


@pytest.mark.alone
def test_interrupted_ending_is_done_later_and_only_once() -> None:
    CodeMemory.allocate(1).free()  # the first arena
    for step in itertools.count(1):
        free, used = free_pages(), use_of_pages()
        memory = CodeMemory.allocate(3 * PAGE_SIZE)
        code = CodeObject(memory, memory.base, memory.base + memory.size)
        register_code(code)
        forget = (code.id, *process_table._arrays(memory.arena), process_table._pages(code), memory)

        def end(forget: tuple[object, ...] = forget) -> None:
            process_table._retirement.retire(process_table._forget, *forget)

        interrupted = interrupt(end, step, OURS)
        between = [make(3) for _ in range(3)]  # may get the pages
        seen = [process_table.find_code(other.text_start) for other in between]
        assert seen == between
        del code, memory, forget, end
        gc.collect()
        assert [process_table.find_code(other.text_start) for other in between] == between
        del between, seen
        assert free_pages() == free
        assert use_of_pages() == used
        if not interrupted:
            break
    assert step > 10
