"""The seed document's own test, on the same module, through the public API; and the registry while wasm runs."""

from __future__ import annotations

import gc
import itertools
import random
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator

import pytest

import wasmark
from tests.registry.support import tiny_code, tiny_module
from wasmark import registry
from wasmark.binary import decode_body
from wasmark.engine import default_engine
from wasmark.jit.modules import obtain
from wasmark.module import assemble, read_module

NAMES = ("add", "sub", "mul", "div_s", "div_u", "rem_s", "rem_u")
_FUNCTIONS = "\n".join(
    f'(func (export "{name}") (param $x i32) (param $y i32) (result i32) (i32.{name} (local.get $x) (local.get $y)))'
    for name in NAMES
)
SEED = f"(module {_FUNCTIONS})"
EAGER = wasmark.Engine(wasmark.Config(strategy="eager"))
"""Whose modules have all of their functions from the start, once each."""
# (local.get 0) (local.get 1): the instruction comes four bytes behind the first, which follows the count of locals.
OPERATION = 5


def seed_instance() -> tuple[wasmark.Module, wasmark.Store, wasmark.Instance]:
    module = wasmark.Module(SEED, EAGER)
    store = wasmark.Store(module.engine)
    return module, store, wasmark.Instance(module, store=store)


def test_every_address_has_its_frame_info() -> None:
    module, store, _ = seed_instance()
    functions = list(module.finished_functions())
    assert [index for index, _, _ in functions] == list(range(7))
    for index, start, end in functions:
        assert start < end
        for pc in range(start, end):
            frame = store.registry.lookup_frame_info(pc)
            assert frame is not None
            assert frame.func_index == index, f"lookup of {pc:#x} returned {frame.func_index}, expected {index}"
            assert frame.func_name == NAMES[index]
            assert frame.module is module
            function = module.model.functions[index]
            assert function.entry <= frame.module_offset < function.end
            assert frame.func_offset == frame.module_offset - function.entry
            assert store.registry.lookup_module(pc) is module


def test_addresses_before_between_and_after_functions_lead_nowhere() -> None:
    module, store, _ = seed_instance()
    functions = list(module.finished_functions())
    code = module.code_object()
    assert code is not None
    inside = {pc for _, start, end in functions for pc in range(start, end)}
    borders = [pc for _, start, end in functions for pc in (start - 1, end)]
    around = range(code.text_start - 100, code.text_start + code.code_memory.size + 100)
    outside = {*borders, *around} - inside
    assert len(outside) > 200
    for pc in outside:
        assert store.registry.lookup_frame_info(pc) is None
        assert store.registry.lookup_module(pc) is None
        assert store.registry.lookup_trap_code(pc) is None
        # The pages before and behind may belong to other code of the process, which has traps of its own.
        if code.text_start <= pc < code.text_start + code.code_memory.size:
            assert not registry.is_wasm_trap_pc(pc)


def test_traps_happen_where_the_registry_says_and_nowhere_else() -> None:
    module, store, instance = seed_instance()
    expected = {
        pc: code
        for _, start, end in module.finished_functions()
        for pc in range(start, end)
        if (code := store.registry.lookup_trap_code(pc)) is not None
    }
    seen = {}
    for name in NAMES[3:]:
        for arguments in [(1, 0), (-(2**31), -1)]:
            if name != "div_s" and arguments[1]:
                continue
            with pytest.raises(wasmark.Trap) as caught:
                instance.exports[name](*arguments)
            trap = caught.value
            seen[trap.pc] = trap.code
            assert registry.is_wasm_trap_pc(trap.pc)
            (frame,) = trap.frames
            assert (frame.func_name, frame.func_offset, frame.pc) == (name, OPERATION, trap.pc)
    assert seen == expected
    assert len(seen) == 5


def test_a_second_instance_and_a_second_store_are_no_new_code() -> None:
    module, store, _ = seed_instance()
    wasmark.Instance(module, store=store)
    assert len(store.registry) == 1
    other = wasmark.Store(EAGER)
    wasmark.Instance(module, store=other)
    pc = next(iter(module.finished_functions()))[1]
    assert store.registry.lookup_module(pc) is other.registry.lookup_module(pc) is module
    assert wasmark.Store().registry.lookup_module(pc) is None


def test_modules_without_code_live_as_long_as_the_store() -> None:
    store = wasmark.Store(EAGER)
    module = wasmark.Module('(module (memory (export "m") 1) (data (i32.const 0) "x"))', EAGER)
    assert module.code_object() is None
    assert list(module.finished_functions()) == []
    wasmark.Instance(module, store=store)
    alive = weakref.ref(module)
    del module
    gc.collect()
    assert alive() is not None


def test_code_goes_with_its_last_owner() -> None:
    module, store, instance = seed_instance()
    pc = next(iter(module.finished_functions()))[1]
    code = weakref.ref(module.code_object())
    del module, instance
    gc.collect()
    assert registry.lookup_code(pc) is code() is not None
    del store
    gc.collect()
    assert code() is None


def test_two_modules_compiled_into_one_object_are_told_apart() -> None:
    models = [read_module(text) for text in (SEED, SEED.replace('"add"', '"plus"'))]
    engine = default_engine()
    compiled = obtain(models, engine.config, engine.cache)
    first, second = assemble(models, engine, [None, None], compiled)
    assert first.code_object() is second.code_object()
    store = wasmark.Store(first.engine)
    instances = [wasmark.Instance(module, store=store) for module in (first, second)]
    assert len(store.registry) == 1
    for module, name in [(first, "add"), (second, "plus")]:
        for index, start, end in module.finished_functions():
            for pc in range(start, end):
                frame = store.registry.lookup_frame_info(pc)
                assert frame is not None
                assert (frame.module, frame.func_index) == (module, index)
                assert frame.func_name == (NAMES[index] if index else name)
    for module, instance in zip((first, second), instances, strict=True):
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports.rem_u(1, 0)
        assert caught.value.frames[0].module is module


LOADS = {
    "i32.load": "i32",
    "i32.load8_s": "i32",
    "i32.load8_u": "i32",
    "i32.load16_s": "i32",
    "i32.load16_u": "i32",
    "i64.load": "i64",
    "i64.load8_s": "i64",
    "i64.load8_u": "i64",
    "i64.load16_s": "i64",
    "i64.load16_u": "i64",
    "i64.load32_s": "i64",
    "i64.load32_u": "i64",
    "f32.load": "f32",
    "f64.load": "f64",
}
# What is done with the loaded value `%`, of type t; all of it is what a code generator likes to fold an access into.
USES = {
    "i32": [
        "(i32.add % (i32.const 3))",
        "(i32.eqz %)",
        "(i32.lt_s % (i32.const 7))",
        "(i32.popcnt %)",
        "(i32.mul % (i32.const 3))",
        "(i32.shl (i32.const 1) %)",
        "(if (result i32) % (then (i32.const 1)) (else (i32.const 2)))",
        "(i32.extend8_s %)",
        "(i32.wrap_i64 (i64.extend_i32_u %))",
        "(i32.wrap_i64 (i64.extend_i32_s %))",
        "(i32.trunc_sat_f64_s (f64.convert_i32_s %))",
        "(i32.trunc_sat_f32_s (f32.reinterpret_i32 %))",
        "(i32.add (i32.load (i32.const 0)) %)",
        "(i32.load (i32.add (i32.shl (i32.and % (i32.const 3)) (i32.const 2)) (i32.const 100)))",
        "(i32.extend16_s %)",
        "(i32.and % (i32.const 255))",
        "(i32.and % (i32.const 65535))",
        "(i32.shr_u % (i32.const 8))",
        "(i32.shr_s (i32.shl % (i32.const 24)) (i32.const 24))",
        "(select (i32.const 1) (i32.const 2) %)",
        "(drop %) (i32.const 0)",
        "(i32.store (i32.const 8) %) (i32.const 0)",
        "(i32.store8 (i32.const 8) (i32.add % (i32.const 1))) (i32.const 0)",
    ],
    "i64": [
        "(i64.eqz %)",
        "(i32.wrap_i64 %)",
        "(i64.lt_u % (i64.const 7))",
        "(i32.wrap_i64 (i64.extend8_s %))",
        "(i32.wrap_i64 (i64.extend16_s %))",
        "(i32.wrap_i64 (i64.extend32_s %))",
        "(i32.wrap_i64 (i64.and % (i64.const 255)))",
        "(i32.wrap_i64 (i64.shr_u % (i64.const 32)))",
        "(i32.extend8_s (i32.wrap_i64 %))",
        "(i32.eqz (i32.and (i32.const 1) (i32.wrap_i64 %)))",
        "(i32.wrap_i64 (i64.mul % (i64.const 10)))",
        "(i32.wrap_i64 (i64.clz %))",
        "(i32.trunc_sat_f64_s (f64.convert_i64_s %))",
        "(i32.trunc_sat_f64_u (f64.reinterpret_i64 %))",
        "(i64.store (i32.const 8) %) (i32.const 0)",
    ],
    "f32": [
        "(i32.trunc_sat_f32_s (f32.add % (f32.const 1)))",
        "(i32.trunc_sat_f32_s (f32.sqrt %))",
        "(f32.lt % (f32.const 7))",
        "(i32.trunc_sat_f64_s (f64.promote_f32 %))",
        "(i32.reinterpret_f32 (f32.min % (f32.const 1)))",
        "(i32.reinterpret_f32 (f32.neg %))",
        "(i32.reinterpret_f32 (f32.copysign (f32.const 1) %))",
    ],
    "f64": [
        "(i32.trunc_sat_f64_s (f64.mul % (f64.const 2)))",
        "(i32.trunc_sat_f64_s (f64.floor %))",
        "(f64.eq % (f64.const 7))",
        "(i32.trunc_sat_f32_s (f32.demote_f64 %))",
        "(i32.wrap_i64 (i64.reinterpret_f64 %))",
        "(f64.ge (f64.max % (f64.const 1)) %)",
    ],
}
STORES = {
    "i32.store": "(i32.add (i32.load (local.get 0)) (i32.const 1))",
    "i32.store8": "(i32.load8_u (local.get 0))",
    "i32.store16": "(i32.or (i32.load16_u (local.get 0)) (i32.const 1))",
    "i64.store": "(i64.sub (i64.load (local.get 0)) (i64.const 1))",
    "i64.store32": "(i64.load32_s (local.get 0))",
    "f32.store": "(f32.load (local.get 0))",
    "f64.store": "(f64.reinterpret_i64 (i64.load (local.get 0)))",
}


def test_an_access_traps_at_its_own_offset_whatever_it_is_folded_into() -> None:
    bodies = [use.replace("%", f"({load} (local.get 0))") for load, type_ in LOADS.items() for use in USES[type_]] + [
        f"({store} (local.get 0) {value}) (i32.const 0)" for store, value in STORES.items()
    ]
    text = "\n".join(f'(func (export "f{n}") (param i32) (result i32) {body})' for n, body in enumerate(bodies))
    module = wasmark.Module(f"(module (memory 1) {text})", EAGER)
    store = wasmark.Store(module.engine)
    instance = wasmark.Instance(module, store=store)
    for number, body in enumerate(bodies):
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports[f"f{number}"](-8)
        trap = caught.value
        function = module.model.functions[number]
        instructions = decode_body(module.model, function.start, function.end)
        # The first access whose address is the parameter; the only other ones are at constant addresses.
        wanted = [
            offset
            for before, (row, _, offset) in itertools.pairwise(instructions)
            if ".load" in row.name and before[0].name == "local.get"
        ]
        assert trap.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS, body
        assert trap.frames[0].module_offset == wanted[0], body
        assert store.registry.lookup_trap_code(trap.pc) is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS, body
        assert registry.is_wasm_trap_pc(trap.pc), body


ARMS = 24


def _arms(arm: str) -> str:
    """A function that chooses one of many equal arms by its second parameter."""
    blocks = "(block " * (ARMS + 1)
    labels = " ".join(map(str, range(ARMS)))
    arms = " ".join(f") {arm} (br {ARMS - 1 - number})" for number in range(ARMS))
    return f"{blocks} (br_table {labels} (local.get 1)) {arms})"


@pytest.mark.parametrize(
    "arm",
    [
        "(i32.store offset=8 (local.get 0) (i32.const 5))",
        "(i32.store (i32.const 16) (i32.load offset=4 (local.get 0)))",
        "(call $store (local.get 0))",
        "(call_indirect (param i32) (local.get 0) (i32.const 0))",
        "(i32.store (i32.const 16) (i32.div_u (i32.const 1) (i32.add (local.get 0) (i32.const 8))))",
        "(if (i32.eq (local.get 0) (i32.const -8)) (then (unreachable)))",
    ],
)
def test_equal_code_at_many_places_is_not_taken_for_one(arm: str) -> None:
    # Merging equal ends of blocks would leave one piece of code for many places in the module.
    module = wasmark.Module(
        f"""(module (memory 1) (table funcref (elem $store))
            (func $store (param i32) (i32.store8 (local.get 0) (i32.const 1)))
            (func (export "f") (param i32 i32) {_arms(arm)}))""",
        EAGER,
    )
    function = module.model.functions[1]
    wanted = [
        offset
        for row, _, offset in decode_body(module.model, function.start, function.end)
        if row.name in ("call", "call_indirect", "i32.div_u", "unreachable")
        or (row.name == "i32.store" and "offset=8" in arm)
        or row.name == "i32.load"
    ]
    assert len(wanted) == ARMS
    store = wasmark.Store(module.engine)
    instance = wasmark.Instance(module, store=store)
    found, pcs = [], set()
    for number in range(ARMS):
        instance.exports.f(16, number)
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports.f(-8, number)
        frame = caught.value.frames[-1]
        assert frame.func_name == "f"
        found.append(frame.module_offset)
        pcs.add(frame.pc)
        assert store.registry.lookup_trap_code(caught.value.pc) is caught.value.code
    assert found == wanted
    assert len(pcs) == ARMS


@pytest.fixture
def _switch_often() -> Iterator[None]:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_switch_often")
def test_threads_register_look_up_trap_and_unregister_while_the_main_thread_runs_wasm() -> None:
    module, store, instance = seed_instance()
    functions = list(module.finished_functions())
    stop = threading.Event()
    failures: list[BaseException] = []
    counts: dict[str, int] = {}

    def come_and_go() -> None:
        code = tiny_code()
        registry.register_code(code)
        assert registry.lookup_code(code.text_start) is code
        registry.unregister_code(code)
        assert registry.lookup_code(code.text_start) is None

    def stores_come_and_go() -> None:
        mine = registry.ModuleRegistry()
        own = tiny_module(3)
        mine.register_module(own)
        mine.register_module(module)
        assert mine.lookup_module(own.functions[2][1]) is own

    def look_up() -> None:
        index, start, end = random.choice(functions)
        frame = store.registry.lookup_frame_info(random.randrange(start, end))
        assert frame is not None
        assert frame.func_index == index

    def trap() -> None:
        mine = wasmark.Store(EAGER)
        trapping = wasmark.Instance(module, store=mine)
        for _ in range(10):
            with pytest.raises(wasmark.Trap) as caught:
                trapping.exports.div_s(7, 0)
            assert caught.value.code is wasmark.TrapCode.INTEGER_DIVISION_BY_ZERO
            assert caught.value.frames[0].func_name == "div_s"

    def compile_and_trap() -> None:
        fresh = wasmark.Module('(module (func (export "f") unreachable))', EAGER)
        own = wasmark.Instance(fresh, store=wasmark.Store(fresh.engine))
        with pytest.raises(wasmark.Trap) as caught:
            own.exports.f()
        assert caught.value.frames[0].module is fresh

    def collect() -> None:
        gc.collect()
        time.sleep(0.02)

    def repeat(job: Callable[[], None]) -> None:
        try:
            while not stop.is_set():
                job()
                counts[job.__name__] = counts.get(job.__name__, 0) + 1
        except BaseException as error:
            failures.append(error)
            stop.set()

    jobs = [come_and_go, stores_come_and_go, look_up, trap, trap, compile_and_trap, collect]
    threads = [threading.Thread(target=repeat, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    calls = traps = 0
    deadline = time.monotonic() + 2
    try:
        # So long, and until each has done something.
        while (time.monotonic() < deadline or traps <= 10 or len(counts) < len(jobs) - 1) and not stop.is_set():
            assert instance.exports.add(calls, 1) == calls + 1
            calls += 1
            if calls % 10 == 0:
                with pytest.raises(wasmark.Trap) as caught:
                    instance.exports.rem_s(1, 0)
                assert caught.value.frames[0].func_name == "rem_s"
                traps += 1
    finally:
        stop.set()
        for thread in threads:
            thread.join(120)
    assert not any(thread.is_alive() for thread in threads)
    if failures:
        raise failures[0]
    assert traps > 10
    assert set(counts) == {job.__name__ for job in jobs}
