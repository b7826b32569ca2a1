"""Many threads at once: registering, looking up, unregistering and collecting garbage."""

from __future__ import annotations

import gc
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from tests.registry.support import StandInModule, build_module, tiny_code, tiny_module
from wasmark.registry import (
    ModuleRegistry,
    is_wasm_trap_pc,
    lookup_code,
    lookup_frame_info,
    register_code,
    unregister_code,
)
from wasmark.runtime import code_memory

SECONDS = 1.0


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def run_together(*jobs: Callable[[threading.Event], None], enough: Callable[[], bool] = lambda: True) -> None:
    """Run each job in a thread until the time is over, and until it is enough; the first failure counts."""
    stop = threading.Event()
    failures: list[BaseException] = []

    def guarded(job: Callable[[threading.Event], None]) -> None:
        try:
            job(stop)
        except BaseException as error:
            failures.append(error)
            stop.set()

    threads = [threading.Thread(target=guarded, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    stop.wait(SECONDS)
    end = time.monotonic() + 60
    while not (stop.is_set() or enough()) and time.monotonic() < end:
        stop.wait(0.01)
    stop.set()
    for thread in threads:
        thread.join(120)
        assert not thread.is_alive(), "a thread hangs"
    if failures:
        raise failures[0]


def test_threads_register_look_up_and_unregister_at_once() -> None:
    module = build_module()
    registry = ModuleRegistry()
    registry.register_module(module)
    registered: list[int] = []

    def come_and_go(stop: threading.Event) -> None:
        while not stop.is_set():
            code = tiny_code()
            pc = code.text_start
            assert lookup_code(pc) is None
            register_code(code)
            registered.append(pc)
            assert lookup_code(pc) is code
            unregister_code(code)
            assert lookup_code(pc) is None

    def stores_come_and_go(stop: threading.Event) -> None:
        while not stop.is_set():
            mine = ModuleRegistry()
            own = tiny_module(2)
            mine.register_module(own)
            mine.register_module(module)
            assert mine.lookup_module(own.functions[1][1]) is own
            assert mine.lookup_module(module.functions[0][1]) is module

    def look_up(stop: threading.Event) -> None:
        rng = random.Random(1)
        while not stop.is_set():
            index, start, end = rng.choice(module.functions)
            frame = registry.lookup_frame_info(rng.randrange(start, end))
            assert frame is not None
            assert frame.func_index == index
            # Whatever was there and may be gone: an answer, never an error.
            for pc in registered[-20:]:
                is_wasm_trap_pc(pc)
                lookup_frame_info(pc)
                assert registry.lookup_module(pc) is None

    def collect(stop: threading.Event) -> None:
        while not stop.is_set():
            gc.collect()
            time.sleep(0.01)

    jobs = (come_and_go, come_and_go, stores_come_and_go, look_up, look_up, collect)
    run_together(*jobs, enough=lambda: len(registered) > 20)
    assert len(registered) > 20


def test_one_module_registered_by_many_threads_is_one_piece_of_code() -> None:
    modules = [tiny_module(2) for _ in range(50)]
    registry = ModuleRegistry()
    barrier = threading.Barrier(6)

    def register(_: threading.Event) -> None:
        barrier.wait(60)
        for module in modules:
            registry.register_module(module)

    run_together(*[register] * 6)
    assert len(registry) == 50
    for module in modules:
        assert registry.function_ranges(module, 1) == [module.functions[1][1:]]


def test_of_many_threads_that_register_one_code_one_succeeds() -> None:
    for _ in range(50):
        code = tiny_code()
        outcomes: list[bool] = []
        barrier = threading.Barrier(4)

        def register() -> None:
            barrier.wait(60)  # noqa: B023 - joined within the loop
            try:
                register_code(code)  # noqa: B023
                outcomes.append(True)  # noqa: B023
            except AssertionError:
                outcomes.append(False)  # noqa: B023

        threads = [threading.Thread(target=register) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(outcomes) == [False, False, False, True]
        assert lookup_code(code.text_start) is code


@pytest.mark.alone
def test_owners_die_in_other_threads() -> None:
    tiny_code()  # the first arena
    free = sum(arena.free_pages for arena in code_memory.arenas())
    handover: list[StandInModule] = []

    def make(stop: threading.Event) -> None:
        while not stop.is_set():
            module = tiny_module()
            assert module.code is not None
            register_code(module.code)
            module.model.data = module  # type: ignore[assignment]  # a cycle: only the collector ends it
            handover.append(module)

    def end(stop: threading.Event) -> None:
        while not stop.is_set():
            if handover:
                pc = handover.pop().functions[0][1]
                frame = lookup_frame_info(pc)
                assert frame is None or frame.func_index == 0

    run_together(make, make, end, end)
    handover.clear()
    gc.collect()
    assert sum(arena.free_pages for arena in code_memory.arenas()) == free
