"""The memory of instances: ten thousand of them live at once, ranges that are used again are as new, and contents that
are shared until somebody writes."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

import wasmark
from wasmark.runtime import linear_memory, memory_image

PAGE = 1 << 16

COUNTER = """(module
  (memory (export "memory") 1 4)
  (data (i32.const 100) "first contents")
  (data (i32.const 40000) "second")
  (global $count (mut i32) (i32.const 0))
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
  (func (export "set") (param i32)
    (global.set $count (local.get 0)) (i32.store (i32.const 200) (local.get 0)))
  (func (export "get") (result i32)
    (i32.sub (i32.mul (i32.const 2) (global.get $count)) (i32.load (i32.const 200)))))"""

CONTENTS = bytes(100) + b"first contents" + bytes(40000 - 114) + b"second" + bytes(PAGE - 40006)


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(COUNTER)


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    gc.collect()
    yield
    gc.collect()


def address_space() -> int:
    """Bytes of addresses that this process has mapped."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * 4096


def files() -> int:
    """How many files with the contents of memories this process has open."""
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return sum("wasmark-memories" in os.readlink(link) for link in links if os.path.lexists(link))


def image_of(module: wasmark.Module) -> memory_image.MemoryImage:
    """What the memories of a new module start with, from its second instance on."""
    wasmark.Instance(module)
    before = set(memory_image._images)
    wasmark.Instance(module)
    (image,) = set(memory_image._images) - before
    return image


MANY = f"""
import gc, os, wasmark
def mappings():
    with open("/proc/self/maps") as maps:
        return sum(1 for _ in maps)
def files():
    links = [f"/proc/self/fd/{{number}}" for number in os.listdir("/proc/self/fd")]
    return sum(1 for link in links if os.path.lexists(link) and "wasmark-memories" in os.readlink(link))
module = wasmark.Module('''{COUNTER}''', wasmark.Engine(wasmark.Config(strategy="eager")))
def live(count, stores):
    made = []
    for number in range(count):
        instance = wasmark.Instance(module, None, stores[number % len(stores)])
        instance.exports.set(number)
        made.append(instance)
    for number, instance in enumerate(made):
        assert instance.exports.get() == number, (instance.exports.get(), number)
        assert instance.exports.load(100) == ord("f")
        assert instance.exports.load(40005) == ord("d")
    return made
warm = live(200, [wasmark.Store(module.engine)])
del warm
gc.collect()
before = mappings()
made = live(10_000, [wasmark.Store(module.engine) for _ in range(7)])
assert len({{instance.state.vmctx for instance in made}}) == 10_000, len({{instance.state.vmctx for instance in made}})
assert mappings() - before <= 40_000, mappings()
assert files() == 1
del made
gc.collect()
assert abs(mappings() - before) <= 20, (mappings(), before)
assert files() == 1
print("fine")
"""


def test_ten_thousand_live_instances_have_a_state_of_their_own_and_go_without_a_trace() -> None:
    done = subprocess.run([sys.executable, "-c", MANY], capture_output=True, text=True, timeout=300)
    assert done.stdout.strip() == "fine", done.stderr


def test_an_instance_ends_with_its_last_reference_and_needs_no_collector(module: wasmark.Module) -> None:
    gc.disable()
    try:
        instance = wasmark.Instance(module)
        exports = instance.exports
        assert exports.memory.read(100, 5) == b"first"
        assert exports.get() == 0
        with pytest.raises(wasmark.Trap):
            exports.load(-1)
        watched = [weakref.ref(x) for x in (instance, instance.store, exports.memory, exports.get)]
        base = exports.memory.base
        del instance, exports
        assert [watch() for watch in watched] == [None] * 4
        assert base not in linear_memory._leased
    finally:
        gc.enable()


def test_a_range_that_is_used_again_is_as_new(module: wasmark.Module) -> None:
    plain = wasmark.Module('(module (memory (export "memory") 2 4))')
    bases = set()
    for _ in range(20):
        for source, contents in ((module, CONTENTS), (plain, bytes(2 * PAGE))):
            memory = wasmark.Instance(source).exports.memory
            bases.add(memory.base)
            assert memoryview(memory) == contents
            memory.grow(2)
            memory[:] = b"\xff" * len(memory)
            del memory
    assert len(bases) < 10


def test_what_the_memory_before_had_grown_to_is_out_of_bounds_for_the_next(module: wasmark.Module) -> None:
    for _ in range(10):
        exports = wasmark.Instance(module).exports
        for at in (PAGE, 2 * PAGE, 4 * PAGE - 1):
            with pytest.raises(wasmark.Trap) as caught:
                exports.load(at)
            assert caught.value.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS
        assert exports.grow(3) == 1
        assert exports.load(4 * PAGE - 1) == 0
        exports.memory[4 * PAGE - 1] = 1
        del exports


def test_memories_of_different_sizes_follow_each_other() -> None:
    modules = [wasmark.Module(f'(module (memory (export "memory") {pages}))') for pages in (0, 1, 7, 3)]
    for _ in range(5):
        for pages, source in zip((0, 1, 7, 3), modules, strict=True):
            memory = wasmark.Instance(source).exports.memory
            assert len(memory) == pages * PAGE
            assert not any(memoryview(memory)[::4096])
            memoryview(memory)[::4096] = b"x" * (pages * 16)


def test_writing_to_a_memory_changes_no_other_one_with_the_same_contents(module: wasmark.Module) -> None:
    made = [wasmark.Instance(module).exports.memory for _ in range(5)]
    for number, memory in enumerate(made):
        memory[100] = memory[50000] = number
    for number, memory in enumerate(made):
        assert (memory[100], memory[50000]) == (number, number)
        assert memory.read(101, 4) == b"irst"
    assert memoryview(wasmark.Instance(module).exports.memory) == CONTENTS


def test_a_view_keeps_a_range_from_being_used_again(module: wasmark.Module) -> None:
    view = memoryview(wasmark.Instance(module).exports.memory)
    others = [wasmark.Instance(module).exports.memory for _ in range(20)]
    for other in others:
        other[:] = b"\xff" * PAGE
    del others
    assert view == CONTENTS


def test_no_more_ranges_wait_than_are_allowed() -> None:
    own = wasmark.Module(COUNTER)
    image = image_of(own)
    plain = wasmark.Module("(module (memory 1))")
    made = [wasmark.Instance(source) for source in (own, plain) for _ in range(150)]
    assert (image.idle, linear_memory._idle) == ([], [])
    del made
    gc.collect()
    assert len(linear_memory._idle) == linear_memory.MOST_IDLE
    assert len(image.idle) == linear_memory.MOST_IDLE_OF_AN_IMAGE


@pytest.mark.alone
def test_the_ranges_of_a_module_go_with_it() -> None:
    own = wasmark.Module(COUNTER)
    image = weakref.ref(image_of(own))
    made = [wasmark.Instance(own) for _ in range(5)]
    del made
    there = image()
    assert there is not None
    waiting = len(there.idle)
    assert waiting == 5
    before = address_space()
    del own, there
    gc.collect()
    assert image() is None
    # The count of mappings says nothing: what an allocator gives back may split one of its own.
    assert before - address_space() > waiting * (4 << 30)


def test_many_modules_with_contents_share_a_descriptor() -> None:
    before = files()
    modules = [wasmark.Module(f'(module (memory (export "m") 1) (data (i32.const {n}) "{n}"))') for n in range(60)]
    made = [[wasmark.Instance(module).exports.m for _ in range(3)] for module in modules]
    assert files() <= before + 1
    for number, memories in enumerate(made):
        for memory in memories:
            assert memory.read(number, len(str(number))) == str(number).encode()
            assert sum(memoryview(memory)) == sum(str(number).encode())


def test_without_a_file_contents_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise OSError(24, "too many open files")

    monkeypatch.setattr(os, "memfd_create", refuse)
    monkeypatch.setattr(memory_image, "_file", None)
    own = wasmark.Module(COUNTER)
    for _ in range(4):
        memory = wasmark.Instance(own).exports.memory
        assert memoryview(memory) == CONTENTS
        memory[:] = b"\xff" * PAGE


def test_where_nothing_more_can_be_mapped_contents_are_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_image, "_map", lambda *_: memory_image._MAP_FAILED)
    own = wasmark.Module(COUNTER)
    made = [wasmark.Instance(own).exports.memory for _ in range(4)]
    for memory in made:
        assert memoryview(memory) == CONTENTS
        memory[:] = b"\xff" * PAGE


def test_pages_that_the_system_does_not_take_back_are_not_used_again(
    module: wasmark.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    wasmark.Instance(module)
    monkeypatch.setattr(linear_memory, "_natives", [lambda *_: False, linear_memory._natives[1]])
    for _ in range(30):
        memory = wasmark.Instance(module).exports.memory
        assert memoryview(memory) == CONTENTS
        memory[:] = b"\xff" * PAGE
        del memory


def test_a_forked_process_has_memories_and_images_of_its_own(module: wasmark.Module) -> None:
    memory = wasmark.Instance(module).exports.memory
    wasmark.Instance(module)
    memory[0] = 1
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(120)  # what hangs here costs one test
            assert memory[0] == 1
            memory[0] = 2
            own = wasmark.Module('(module (memory (export "m") 1) (data (i32.const 0) "of the child"))')
            for _ in range(3):
                assert wasmark.Instance(own).exports.m.read(0, 12) == b"of the child"
                again = wasmark.Instance(module).exports.memory
                assert memoryview(again) == CONTENTS
                again[:] = b"\xff" * PAGE
            os.write(writing, b"fine")
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    own = wasmark.Module('(module (memory (export "m") 1) (data (i32.const 0) "of the parent"))')
    for _ in range(3):
        assert wasmark.Instance(own).exports.m.read(0, 13) == b"of the parent"
    with os.fdopen(reading, "rb") as answer:
        assert answer.read() == b"fine"
    os.waitpid(child, 0)
    assert memory[0] == 1
    assert memoryview(wasmark.Instance(own).exports.m)[:13] == b"of the parent"


def test_threads_make_instances_of_one_module_at_once(module: wasmark.Module) -> None:
    own = wasmark.Module(COUNTER)
    store = wasmark.Store()
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for n in range(150):
                exports: Any = wasmark.Instance(own, None, store if n % 3 == 0 else None).exports
                assert exports.memory.read(100, 14) == b"first contents"
                value = 1000 * number + n
                exports.memory[100] = 0
                exports.set(value)
                assert exports.get() == value
                assert exports.memory[40000] == ord("s")
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert failures == []


def test_a_finalizer_in_the_garbage_of_a_module_still_makes_instances() -> None:
    log: list[object] = []

    class Last:
        def __init__(self, module: wasmark.Module) -> None:
            self.module = module
            self.me = self

        def __del__(self) -> None:
            memory = wasmark.Instance(self.module).exports.memory
            log.append(bytes(memoryview(memory)) == CONTENTS)

    own = wasmark.Module(COUNTER)
    for _ in range(3):
        wasmark.Instance(own)
    held = [wasmark.Instance(own) for _ in range(12)]
    last = Last(own)
    del own, held, last
    gc.collect()
    assert log == [True]


def test_a_finalizer_in_the_garbage_of_several_stores_leaves_nothing_in_ranges_that_are_used_again(
    module: wasmark.Module,
) -> None:
    found: list[bool] = []

    class Last:
        def __init__(self, instance: wasmark.Instance) -> None:
            self.instance = instance
            self.me = self

        def __del__(self) -> None:
            memory = self.instance.exports.memory
            found.append(memory.base in linear_memory._leased)
            memory.grow(1)
            memory[:] = b"\xff" * len(memory)

    gc.disable()
    try:
        plain = wasmark.Module('(module (memory (export "memory") 1 4))')
        for source in (plain, module):
            for _ in range(4):
                Last(wasmark.Instance(source))
        gc.collect()
        assert found == [True] * 8
        for source, contents in ((plain, bytes(PAGE)), (module, CONTENTS)):
            made = [wasmark.Instance(source).exports.memory for _ in range(6)]
            for memory in made:
                assert memoryview(memory) == contents
                memory.grow(1)
                assert not any(memoryview(memory)[PAGE:])
    finally:
        gc.enable()
