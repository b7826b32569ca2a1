"""Functions compile when they are called first: not before, and once; the registry knows them from then on."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest

import wasmark
from wasmark.errors import InvalidError
from wasmark.jit import modules as jit
from wasmark.registry import is_wasm_trap_pc, lookup_frame_info

LAZY = wasmark.Config(strategy="lazy", cache=False)

CHAIN = """(module
  (func $a (export "a") (param i32) (result i32) (i32.add (call $b (local.get 0)) (i32.const 1)))
  (func $b (param i32) (result i32) (i32.mul (local.get 0) (i32.const 2)))
  (func $c (export "c") (param i32 i32) (result i32) (i32.div_u (local.get 0) (local.get 1)))
  (func $d (export "d") (param f64) (result f64) (f64.sqrt (local.get 0))))"""


@pytest.fixture
def engine() -> wasmark.Engine:
    return wasmark.Engine(LAZY)


def compiled(module: wasmark.Module) -> set[int]:
    return {index for index, _, _ in module.finished_functions()}


def test_nothing_is_compiled_before_it_is_called(engine: wasmark.Engine) -> None:
    module = wasmark.Module(CHAIN, engine)
    assert compiled(module) == set()
    exports = wasmark.Instance(module).exports
    assert compiled(module) == set()
    assert exports.d(4.0) == 2.0
    assert compiled(module) == {3}
    assert exports.a(20) == 41
    assert compiled(module) == {0, 1, 3}, "what is called directly comes along"
    assert exports.c(9, 2) == 4
    assert compiled(module) == {0, 1, 2, 3}


def test_the_registry_answers_before_during_and_after(engine: wasmark.Engine) -> None:
    module = wasmark.Module(CHAIN, engine)
    store = wasmark.Store(engine)
    seen = []

    def watch() -> None:
        seen.append(compiled(module))

    watcher = wasmark.Module('(module (import "m" "w" (func $w)) (func (export "f") (call $w)))', engine)
    wasmark.Instance(watcher, {"m": {"w": watch}}, store).exports.f()
    exports = wasmark.Instance(module, store=store).exports
    for index in range(4):
        pc = module.function_address(index)
        frame = store.registry.lookup_frame_info(pc)
        assert frame is not None
        assert (frame.module, frame.func_index) == (module, index)
        assert store.registry.lookup_module(pc) is module
        assert len(store.registry.function_ranges(module, index)) == 2, "its thunk and its opener"
    with pytest.raises(wasmark.Trap) as caught:
        exports.c(1, 0)
    assert [frame.func_index for frame in caught.value.frames] == [2]
    assert is_wasm_trap_pc(caught.value.pc)
    assert len(store.registry.function_ranges(module, 2)) == 3
    for index, start, end in module.finished_functions():
        for pc in range(start, end):
            frame = store.registry.lookup_frame_info(pc)
            assert frame is not None
            assert (frame.module, frame.func_index) == (module, index)
    assert seen == [set()]


def test_code_of_another_store_is_not_answered_for(engine: wasmark.Engine) -> None:
    module = wasmark.Module(CHAIN, engine)
    wasmark.Instance(module).exports.d(1.0)
    ((_, start, _),) = module.finished_functions()
    other = wasmark.Store(engine)
    assert other.registry.lookup_frame_info(start) is None
    assert other.registry.lookup_module(start) is None
    assert lookup_frame_info(start) is not None, "but the process knows it"


def test_addresses_never_change(engine: wasmark.Engine) -> None:
    module = wasmark.Module(CHAIN, engine)
    exports = wasmark.Instance(module).exports
    before = [module.function_address(index) for index in range(4)]
    exports.a(1)
    exports.c(1, 1)
    assert [module.function_address(index) for index in range(4)] == before


@pytest.mark.parametrize("count", range(1, 9))
@pytest.mark.parametrize("type_", ["i32", "i64", "f32", "f64"])
def test_the_first_call_gets_all_arguments_and_gives_all_results(
    engine: wasmark.Engine, count: int, type_: str
) -> None:
    """Few results come in registers, many through memory, and then the vmctx is another argument."""
    gets = " ".join(f"(local.get {i})" for i in reversed(range(12)))
    source = f"""(module (func (export "f") (param {f"{type_} " * 12}) (result {f"{type_} " * count})
        {gets} {"drop " * (12 - count)}))"""
    f = wasmark.Instance(wasmark.Module(source, engine)).exports.f
    expected = tuple(range(11, 11 - count, -1))
    for _ in range(2):
        assert f(*range(12)) == (expected if count > 1 else expected[0])


def test_threads_that_want_the_same_function_at_once(engine: wasmark.Engine) -> None:
    count = 60
    functions = "".join(
        f'(func (export "f{i}") (param i32) (result i32) (i32.add (i32.const {i}) (call $g{i} (local.get 0))))'
        f"(func $g{i} (param i32) (result i32) (i32.mul (local.get 0) (i32.const {i})))"
        for i in range(count)
    )
    module = wasmark.Module(f"(module {functions})", engine)
    start = threading.Barrier(8)
    wrong: list[object] = []

    def run(turn: int) -> None:
        exports = wasmark.Instance(module).exports
        start.wait()
        for step in range(count):
            i = (step * (2 * turn + 1)) % count
            if exports[f"f{i}"](turn) != i + turn * i:
                wrong.append((turn, i))

    threads = [threading.Thread(target=run, args=(turn,)) for turn in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    functions_now = [index for index, _, _ in module.finished_functions()]
    assert len(functions_now) == len(set(functions_now)), "each is compiled once"


def test_an_invalid_function_of_a_large_module_is_told_when_it_is_called(
    engine: wasmark.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_VALIDATED_LATE", -1)
    module = wasmark.Module(
        """(module (func (export "good") (result i32) (i32.const 1))
        (func $bad (export "bad") (result i32) (i64.const 1))
        (func (export "calls") (param i32) (result i32)
          (if (result i32) (local.get 0) (then (call $bad)) (else (i32.const 7)))))""",
        engine,
    )
    exports = wasmark.Instance(module).exports
    assert exports.good() == 1
    assert exports.calls(0) == 7
    for _ in range(2):
        with pytest.raises(InvalidError) as caught:
            exports.bad()
        assert caught.value.func_index == 1
        with pytest.raises(InvalidError):
            exports.calls(1)
    assert exports.good() == 1


def test_an_invalid_function_of_a_small_module_is_told_at_once(engine: wasmark.Engine) -> None:
    with pytest.raises(InvalidError):
        wasmark.Module('(module (func (export "bad") (result i32) (i64.const 1)))', engine)


def test_a_serialized_module_has_all_of_its_code(engine: wasmark.Engine) -> None:
    data = wasmark.Module(CHAIN, engine).serialize()
    module = wasmark.Module.deserialize(data, engine)
    assert compiled(module) == {0, 1, 2, 3}
    assert wasmark.Instance(module).exports.a(20) == 41


def test_code_goes_with_its_module(engine: wasmark.Engine) -> None:
    module = wasmark.Module(CHAIN, engine)
    wasmark.Instance(module).exports.a(1)
    codes = [weakref.ref(code) for code in module.code_objects()]
    assert len(codes) > 1
    del module
    gc.collect()
    assert [code() for code in codes] == [None] * len(codes)
