"""What ends with its last reference, what outlives which finalizer, and that nothing piles up."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wasmark
from wasmark import TrapCode
from wasmark.registry import is_wasm_trap_pc, lookup_code
from wasmark.runtime import code_memory

TEXT = """(module $m
  (import "host" "between" (func $between (param i32) (result i32)))
  (memory (export "memory") 1 4)
  (table (export "table") 1 8 funcref)
  (global (export "refer") (mut externref) (ref.null extern))
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "trap") (param i32) (result i32) (i32.load (local.get 0)))
  (func (export "memory_grow") (result i32) (memory.grow (i32.const 1)))
  (func (export "table_grow") (result i32) (table.grow 0 (ref.null func) (i32.const 1)))
  (func (export "through") (param i32) (result i32) (call $between (local.get 0)))
  (func (export "any") (param externref) (result externref) (local.get 0))
  (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (local.get 0)) (i32.const 1))))"""


@pytest.fixture(scope="module", params=["eager", "lazy"])
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    # Who optimises in the background keeps the code that it works for, and brings more when it likes.
    return wasmark.Engine(wasmark.Config(strategy=request.param, tier_up=None))


@pytest.fixture(scope="module")
def module(engine: wasmark.Engine) -> wasmark.Module:
    return wasmark.Module(TEXT, engine)


def make(module: wasmark.Module, between: Callable[[int], int] = lambda x: x + 1) -> wasmark.Instance:
    """An instance with a store of its own."""
    return wasmark.Instance(module, {"host": {"between": between}})


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()
    gc.collect()


# --- finalizers in the same garbage -------------------------------------------------------------------


class Last:
    """In a cycle with itself; runs a job when the collector takes the cycle apart."""

    def __init__(self, job: Callable[[Any], None], **things: Any) -> None:
        self.job = job
        self.things = things
        self.me = self
        self.log: list[object] = []

    def __del__(self) -> None:
        try:
            self.job(self)
            self.log.append("done")
        except BaseException as error:  # nobody else would hear of it
            self.log.append(error)


def use(instance: wasmark.Instance) -> None:
    """Everything a finalizer may do with an instance."""
    exports = instance.exports
    assert exports.add(2, 3) == 5
    assert exports.add.call(2, True) == 3
    for name, code in (("trap", TrapCode.MEMORY_OUT_OF_BOUNDS), ("deep", TrapCode.STACK_OVERFLOW)):
        with pytest.raises(wasmark.Trap) as caught:
            exports[name](-1)
        assert caught.value.code is code
        assert caught.value.frames[0].module is instance.module
        assert instance.store.registry.lookup_trap_code(caught.value.pc) is code
        assert f"m!{name}" in str(caught.value)
    assert exports.memory_grow() == 1
    assert exports.table_grow() == 1
    assert exports.memory.grow(1) == 2
    assert exports.table.grow(1) == 2
    exports.memory[65536] = 7
    assert memoryview(exports.memory)[65536] == 7
    assert exports.through(4) == 5
    thing = object()
    assert exports.any(thing) is thing
    exports.refer.value = thing
    assert exports.refer.value is thing
    exports.table[0] = exports.add
    assert exports.table[0](1, 1) == 2


@pytest.mark.parametrize("used_before", [True, False], ids=["used before", "never used before"])
@pytest.mark.parametrize("own_module", [True, False], ids=["own module", "shared module"])
def test_a_finalizer_in_the_garbage_of_a_store_can_do_everything(
    module: wasmark.Module, used_before: bool, own_module: bool
) -> None:
    instance = make(wasmark.Module(TEXT, module.engine) if own_module else module)
    if used_before:
        assert instance.exports.add(1, 1) == 2
        assert instance.exports.through(1) == 2
    last = Last(lambda self: use(self.things["instance"]), instance=instance)
    log = last.log
    watched = [weakref.ref(x) for x in (instance, instance.store)]
    code = instance.module.code_object()
    assert code is not None
    pc, alive = code.text_start, weakref.ref(code)
    del instance, last, code
    assert log == []
    gc.collect()
    assert log == ["done"]
    gc.collect()
    assert [watch() for watch in watched] == [None, None]
    assert (alive() is None) == own_module
    assert own_module or lookup_code(pc) is alive()


def test_finalizers_of_several_stores_in_one_garbage(module: wasmark.Module) -> None:
    instances = [make(wasmark.Module(TEXT, module.engine)) for _ in range(3)]
    lasts = [
        Last(lambda self: [use(i) for i in self.things["instances"] if i.exports.memory.size == 1], instances=instances)
        for _ in range(3)
    ]
    for n, last in enumerate(lasts):
        last.things["next"] = lasts[(n + 1) % 3]
    logs = [last.log for last in lasts]
    del instances, lasts, last
    gc.collect()
    assert logs == [["done"]] * 3


def test_a_finalizer_makes_new_instances_and_modules(module: wasmark.Module) -> None:
    def job(self: Last) -> None:
        again = wasmark.Instance(self.things["module"], {"host": {"between": lambda x: x}}, self.things["store"])
        assert again.exports.add(20, 22) == 42
        fresh = wasmark.Instance(wasmark.Module('(module (func (export "f") (result i32) (i32.const 3)))'))
        assert fresh.exports.f() == 3

    own = wasmark.Module(TEXT, module.engine)
    last = Last(job, module=own, store=make(own).store)
    log = last.log
    del last, own
    gc.collect()
    assert log == ["done"]


def test_a_function_that_a_finalizer_saves_works_on(module: wasmark.Module) -> None:
    saved: list[Any] = []
    instance = make(wasmark.Module(TEXT, module.engine))
    last = Last(lambda self: saved.append(self.things["add"]), add=instance.exports.add)
    del last, instance
    gc.collect()
    (add,) = saved
    for _ in range(3):
        gc.collect()
        assert add(40, 2) == 42
    watch = weakref.ref(add.store)
    frame = add.store.registry.lookup_frame_info(add.code_address)
    assert frame is not None
    code = weakref.ref(frame.module)
    del frame
    saved.clear()
    del add
    gc.collect()
    assert (watch(), code()) == (None, None)


def test_a_finalizer_in_another_thread_than_the_stores(module: wasmark.Module) -> None:
    logs: list[list[object]] = []

    def work() -> None:
        instance = make(module)
        last = Last(lambda self: use(self.things["instance"]), instance=instance)
        logs.append(last.log)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert logs == [[]] * 4
    gc.collect()
    assert logs == [["done"]] * 4


def test_a_finalizer_that_runs_inside_of_a_call_of_the_same_store(module: wasmark.Module) -> None:
    # The collector may strike anywhere, also where a trap is being made of what the last call left.
    logs: list[list[object]] = []

    def between(value: int) -> int:
        inner = Last(lambda self: use_a_little(self.things["instance"]), instance=instance)
        logs.append(inner.log)
        del inner
        gc.collect()
        return value

    def use_a_little(instance: wasmark.Instance) -> None:
        assert instance.exports.add(1, 2) == 3
        with pytest.raises(wasmark.Trap):
            instance.exports.trap(-1)

    instance = make(module, between)
    for n in range(5):
        assert instance.exports.through(n) == n
    assert logs == [["done"]] * 5


def test_a_trap_is_not_mixed_up_with_that_of_a_finalizer_that_runs_meanwhile(module: wasmark.Module) -> None:
    instance = make(module)
    exports = instance.exports

    class Trapping:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            try:
                exports.deep(0)
            except wasmark.Trap:
                pass
            else:
                raise AssertionError

    old = gc.get_threshold()
    gc.set_threshold(5, 1, 1)  # a collection at nearly every allocation
    gc.enable()
    try:
        for _ in range(300):
            Trapping()
            for call in (exports.trap, exports.trap.call):
                with pytest.raises(wasmark.Trap) as caught:
                    call(-1)
                assert caught.value.code is TrapCode.MEMORY_OUT_OF_BOUNDS
                assert [frame.func_name for frame in caught.value.frames] == ["trap"]
    finally:
        gc.disable()
        gc.set_threshold(*old)


# --- who keeps what ---------------------------------------------------------------------------------------


def test_a_view_keeps_the_memory_valid_when_everything_else_is_gone(module: wasmark.Module) -> None:
    instance = make(module)
    memory = instance.exports.memory
    view, part = memoryview(memory), memoryview(memory)[100:200].cast("I")
    watch = weakref.ref(memory)
    del instance, memory
    gc.collect()
    view[:4] = b"abcd"
    view[100:104] = b"\1\0\0\0"
    view[-1] = 9
    assert bytes(view[:4]) == b"abcd"
    assert part[0] == 1
    assert view[65535] == 9
    del view
    gc.collect()
    assert part[24] == 0
    assert watch() is not None
    del part
    gc.collect()
    assert watch() is None


def test_every_part_of_an_instance_keeps_what_it_needs(module: wasmark.Module) -> None:
    def parts() -> dict[str, Any]:
        own = wasmark.Module(TEXT, module.engine)
        instance = make(own)
        instance.exports.table[0] = instance.exports.add
        exports = instance.exports
        return {"memory": exports.memory, "table": exports.table, "refer": exports.refer, "exports": exports}

    for name in ("memory", "table", "refer", "exports"):
        part = parts()[name]
        gc.collect()
        if name == "memory":
            part[5] = 1
            assert part.grow(1) == 1
        elif name == "table":
            assert part[0](3, 4) == 7
        elif name == "refer":
            part.value = part
            assert part.value is part
        else:
            assert part.add(1, 2) == 3


def test_a_trap_keeps_the_module_it_names_and_not_the_store(module: wasmark.Module) -> None:
    own = wasmark.Module(TEXT, module.engine)
    instance = make(own)
    watched = weakref.ref(own), weakref.ref(instance.store)
    traps: list[wasmark.Trap] = []
    try:
        instance.exports.trap(-1)
    except wasmark.Trap as trap:
        traps.append(trap.with_traceback(None))
    del own, instance
    gc.collect()
    assert watched[0]() is traps[0].frames[0].module
    assert watched[1]() is None
    assert "m!trap" in str(traps[0])
    traps.clear()
    gc.collect()
    assert watched[0]() is None


def test_frames_that_nobody_has_looked_at_outlive_stores_and_modules(module: wasmark.Module) -> None:
    # Through two stores; the trap alone is left of both.
    def trap() -> wasmark.Trap:
        inner = make(wasmark.Module(TEXT.replace("module $m", "module $inner"), module.engine))
        outer = make(wasmark.Module(TEXT, module.engine), lambda _: inner.exports.trap(-1))
        with pytest.raises(wasmark.Trap) as caught:
            outer.exports.through(1)
        return caught.value.with_traceback(None)

    kept = trap()
    gc.collect()
    assert [frame.func_name for frame in kept.frames] == ["trap", "through"]
    assert [frame.module_name for frame in kept.frames] == ["inner", "m"]
    assert kept.frames is kept.frames
    assert kept.frames[0].module_offset > kept.frames[0].func_offset > 0
    watched = [weakref.ref(frame.module) for frame in kept.frames]
    del kept
    gc.collect()
    assert [watch() for watch in watched] == [None, None]


@pytest.mark.alone
def test_entries_of_code_go_with_the_last_owner(engine: wasmark.Engine) -> None:
    own = wasmark.Module(TEXT, engine)
    instance = make(own)
    with pytest.raises(wasmark.Trap) as caught:
        instance.exports.trap(-1)
    pc = caught.value.pc
    del caught
    assert is_wasm_trap_pc(pc)
    del instance
    gc.collect()
    code = lookup_code(pc)
    assert code in own.code_objects()  # the module is an owner
    own_code = weakref.ref(code)
    del own, code
    gc.collect()
    assert own_code() is None
    assert lookup_code(pc) is None
    assert not is_wasm_trap_pc(pc)


# --- nothing piles up -------------------------------------------------------------------------------------


def resident() -> int:
    """Resident memory of this process in KiB."""
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def mappings() -> int:
    """How many mappings this process has."""
    with open("/proc/self/maps") as maps:
        return sum(1 for _ in maps)


def code_pages() -> int:
    """How many pages of code memory are taken."""
    return sum((arena.size >> code_memory.PAGE_SHIFT) - arena.free_pages for arena in code_memory.arenas())


def assert_flat(make_one: Callable[[], None], warm_up: int, times: int, each: int = 50) -> None:
    """Doing it many times takes no more memory, mappings or code pages than doing it a few times."""

    def run(count: int) -> None:
        for n in range(count):
            make_one()
            if n % each == 0:
                gc.collect()
        gc.collect()

    run(warm_up)
    before = mappings(), code_pages(), len(gc.get_objects())
    rss = resident()
    run(times)
    after = mappings(), code_pages(), len(gc.get_objects())
    assert after[0] - before[0] < 20
    assert after[1] <= before[1]
    assert after[2] - before[2] < 200
    assert resident() - rss < 8 << 10


@pytest.mark.alone
def test_two_thousand_stores_leave_nothing_behind(module: wasmark.Module) -> None:
    def one() -> None:
        instance = make(module)
        assert instance.exports.add(1, 2) == 3
        assert instance.exports.through(1) == 2
        instance.exports.memory[0] = 1
        instance.exports.any(object())
        with pytest.raises(wasmark.Trap):
            instance.exports.trap(-1)

    assert_flat(one, 200, 2000 if module.engine.config.strategy == "eager" else 300)


@pytest.mark.alone
def test_many_modules_leave_nothing_behind() -> None:
    uncached = wasmark.Engine(wasmark.Config(cache=False, tier_up=None))
    numbers = iter(range(10**9))

    def one() -> None:
        number = next(numbers)
        add = f"(i32.add (local.get 0) (i32.const {number}))"
        text = f'(module (memory 1) (func (export "f") (param i32) (result i32) {add}))'
        assert wasmark.Instance(wasmark.Module(text, uncached)).exports.f(1) == number + 1

    assert_flat(one, 60, 150, each=10)


@pytest.mark.alone
def test_many_instances_that_fail_leave_nothing_behind(module: wasmark.Module) -> None:
    bad = wasmark.Module('(module (memory 1) (data (i32.const 65535) "ab"))')

    def one() -> None:
        with pytest.raises(wasmark.Trap):
            wasmark.Instance(bad)
        with pytest.raises(wasmark.LinkError):
            wasmark.Instance(module, {})

    assert_flat(one, 100, 500)


def test_memories_that_are_dropped_give_their_address_space_back() -> None:
    # All of them together would need more than there is.
    store = wasmark.Store()
    kinds = wasmark.MemoryType(wasmark.Limits(1, 65536))
    made = [wasmark.Memory(wasmark.Store(), kinds) for _ in range(100)]
    del made
    for n in range(400):
        memory = wasmark.Memory(wasmark.Store(), kinds)
        memory[65535] = n & 0xFF
        del memory
        if n % 20 == 0:
            gc.collect()
    assert len(store.memories) == 0


LIMITED = """
import gc, resource, wasmark
resource.setrlimit(resource.RLIMIT_AS, (40 << 30, 40 << 30))
kind = wasmark.MemoryType(wasmark.Limits(1))
store = wasmark.Store()
made = []
try:
    while True:
        made.append(wasmark.Memory(store, kind))
except wasmark.Error as error:
    assert "address space" in str(error), error
assert 5 <= len(made) <= 10, len(made)
for memory in made:
    memory[0] = 1
del made, memory, store
gc.collect()
assert wasmark.Memory(wasmark.Store(), kind).grow(1) == 1
print("fine")
"""


def test_without_address_space_a_memory_is_a_clear_error() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "fine", done.stderr
