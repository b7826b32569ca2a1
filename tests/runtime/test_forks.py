"""A process that is forked while its other threads are in the middle of something: the child waits for none of them."""

from __future__ import annotations

import contextlib
import gc
import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import wasmark
from tests.processes import in_child
from tests.ways import WAYS, config
from wasmark.runtime import forks
from wasmark.runtime.late_import import late_import

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (type $struct (struct (field i64)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\05\\00\\00\\00hello")
  (func (export "hello") (result i32)
    (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 32)))
  (func (export "other") (param i32) (result i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
    (i32.load (i32.const -1))))"""


@contextlib.contextmanager
def another_thread_in(*blocks: contextlib.AbstractContextManager[object]) -> Iterator[None]:
    """While the block runs, another thread is in the middle of all these."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with contextlib.ExitStack() as stack:
            for block in blocks:
                stack.enter_context(block)
            inside.set()
            leave.wait(120)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(120)
        yield
    finally:
        leave.set()
        thread.join(120)


def program(way: str) -> Callable[[], None]:
    """What uses a store and a WASI of its own; where functions are compiled at their first call, none is yet."""
    engine = wasmark.Engine(config(way, cache=False))
    linker = wasmark.Linker(engine)
    linker.define_wasi(stdout=io.BytesIO())
    module = wasmark.Module(HELLO, engine)
    store = wasmark.Store(engine)
    exports = linker.instantiate(module, store).exports

    def use() -> None:
        assert exports.hello() == 0
        with pytest.raises(wasmark.Trap) as caught:
            exports.other(5)
        assert store.registry.lookup_frame_info(caught.value.pc) is not None

    return use


@pytest.mark.parametrize("way", WAYS)
def test_no_lock_that_another_thread_holds_is_held_in_the_child(way: str) -> None:
    use = program(way)
    locks = [lock for lock in gc.get_objects() if type(lock) is forks.RenewedLock]
    assert len(locks) > 5
    with another_thread_in(*(lock.held for lock in locks)):

        def job() -> None:
            use()
            program(way)()

        in_child(job)
    use()


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, threading.Event, threading.Event]:
    """A module that is long in the making: its name, and events for when it is begun, and when it is to be ready."""
    name = "imported_while_a_process_is_forked"
    begun, ready = threading.Event(), threading.Event()
    monkeypatch.setattr(sys, "begun_and_ready", (begun, ready), raising=False)
    (tmp_path / f"{name}.py").write_text("""
import sys
begun, ready = sys.begun_and_ready
begun.set()
ready.wait(120)
answer = 42
""")
    monkeypatch.syspath_prepend(tmp_path)
    return name, begun, ready


def test_a_fork_waits_for_what_is_being_imported(slow: tuple[str, threading.Event, threading.Event]) -> None:
    name, begun, ready = slow
    thread = threading.Thread(target=late_import, args=(name,))
    thread.start()
    assert begun.wait(120)
    os.register_at_fork(before=ready.set)  # the last one to be registered is called first

    def job() -> None:
        assert late_import(name).answer == 42

    try:
        in_child(job)
    finally:
        thread.join(120)
        sys.modules.pop(name, None)


def test_a_fork_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "_PATIENCE", 0.05)
    passage = forks.Passage()

    def job() -> None:
        with passage:
            pass

    with passage:
        in_child(job)
    job()
    in_child(job)


def test_all_threads_of_a_child_have_the_same_new_lock() -> None:
    locks = [forks.RenewedLock(threading.Lock) for _ in range(200)]
    inherited = [lock.held for lock in locks]

    def job() -> None:
        found: list[list[object]] = []
        start = threading.Barrier(4)

        def look() -> None:
            start.wait(60)
            found.append([lock.held for lock in locks])

        threads = [threading.Thread(target=look) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert [len({id(lock) for lock in same}) for same in zip(*found, strict=True)] == [1] * len(locks)
        assert all(new is not old for new, old in zip(found[0], inherited, strict=True))
        in_child(lambda: check(found[0]))

    def check(of_parent: list[object]) -> None:
        assert all(lock.held is not old for lock, old in zip(locks, of_parent, strict=True))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with another_thread_in(*inherited, forks._renewing[0]):
            in_child(job)
    finally:
        sys.setswitchinterval(interval)
    assert [lock.held for lock in locks] == inherited
