"""Python functions that wasm calls: what they raise, what they return, whom they call, what they let go of."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import inspect
import sys
import threading
import traceback
import tracemalloc
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import wasmark
from wasmark import TrapCode
from wasmark.core.types import EXTERNREF, F64, FUNCREF, I32, I64, FuncType, SubType
from wasmark.func import late_host_func

# The same host function through frames of every kind: direct, indirect, with values of stubs and with references.
MODULE = """(module $m
  (type $plain (func (param i32) (result i32)))
  (import "host" "plain" (func $plain (param i32) (result i32)))
  (import "host" "refer" (func $refer (param externref) (result externref)))
  (import "host" "several" (func $several (param i32) (result i32 f64 i64)))
  (import "host" "nothing" (func $nothing))
  (memory (export "memory") 1 20)
  (table $table (export "table") 2 20 funcref)
  (elem (i32.const 0) $plain)
  (global $steps (export "steps") (mut i32) (i32.const 0))
  (func $step (param i32) (result i32)
    (global.set $steps (i32.add (global.get $steps) (i32.const 1))) (local.get 0))
  (func $plain1 (export "plain") (param i32) (result i32) (call $step (call $plain (call $step (local.get 0)))))
  (func $plain2 (export "deep") (param i32) (result i32) (i32.add (call $plain3 (local.get 0)) (i32.const 1)))
  (func $plain3 (param i32) (result i32)
    (i32.add (call_indirect (type $plain) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func (export "refer") (param externref) (result externref) (call $refer (local.get 0)))
  (func (export "several") (param i32) (result i32 f64 i64) (call $several (local.get 0)))
  (func (export "nothing") (call $nothing))
  (func (export "trap") unreachable)
  (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "memory_after") (param i32) (result i32)
    (drop (call $plain (i32.const 0)))
    (i32.load8_u (local.get 0)))
  (func (export "sizes_after") (result i32 i32)
    (drop (call $plain (i32.const 0)))
    (memory.size) (table.size $table)))"""


class Host:
    """What `MODULE` imports; each of its functions can be replaced."""

    def __init__(self) -> None:
        self.plain: Callable[..., Any] = lambda x: x
        self.refer: Callable[..., Any] = lambda x: x
        self.several: Callable[..., Any] = lambda x: (x, float(x), -x)
        self.nothing: Callable[..., Any] = lambda: None

    def imports(self) -> dict[str, dict[str, Any]]:
        """Functions that ask this object each time."""
        return {
            "host": {
                "plain": lambda x: self.plain(x),
                "refer": lambda x: self.refer(x),
                "several": lambda x: self.several(x),
                "nothing": lambda: self.nothing(),
            }
        }


@pytest.fixture(scope="module")
def module() -> wasmark.Module:
    return wasmark.Module(MODULE)


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture
def instance(module: wasmark.Module, host: Host) -> wasmark.Instance:
    return wasmark.Instance(module, host.imports())


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# --- what they raise ----------------------------------------------------------------------------------


class Own(BaseException):
    """An exception of our own, with a life that can be watched."""

    alive = 0

    def __init__(self) -> None:
        Own.alive += 1

    def __del__(self) -> None:
        Own.alive -= 1


EXCEPTIONS: dict[str, Callable[[], BaseException]] = {
    "ValueError": lambda: ValueError("value"),
    "BaseException": lambda: BaseException("base"),
    "KeyboardInterrupt": KeyboardInterrupt,
    "SystemExit": lambda: SystemExit(3),
    "GeneratorExit": GeneratorExit,
    "StopIteration": lambda: StopIteration(5),
    "StopAsyncIteration": StopAsyncIteration,
    "RecursionError": RecursionError,
    "MemoryError": MemoryError,
    "OverflowError": lambda: OverflowError("mine"),
    "TypeError": lambda: TypeError("mine"),
    "CancelledError": asyncio.CancelledError,
    "ExceptionGroup": lambda: ExceptionGroup("group", [ValueError(), TypeError()]),
    "Trap": lambda: wasmark.Trap(TrapCode.UNREACHABLE, detail="asked for by a host function"),
    "Exit": lambda: wasmark.Exit(7),
    "Own": Own,
}


@pytest.mark.parametrize("name", EXCEPTIONS)
@pytest.mark.parametrize("through", ["plain", "deep", "refer", "several", "nothing"])
def test_an_exception_comes_out_as_the_same_object(
    instance: wasmark.Instance, host: Host, name: str, through: str
) -> None:
    error = EXCEPTIONS[name]()

    def fail(*_: object) -> None:
        raise error

    setattr(host, "plain" if through == "deep" else through, fail)
    arguments = () if through == "nothing" else (1,)
    with pytest.raises(type(error)) as caught:
        instance.exports[through](*arguments)
    assert caught.value is error
    functions = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert functions[-1] == "fail"
    assert functions.count("fail") == 1
    assert error.__cause__ is None
    assert error.__context__ is None
    # Wasm code behind the call was not run, and the next call is an ordinary one.
    if through == "plain":
        assert instance.exports.steps.value == 1
    host.plain = lambda x: x
    assert instance.exports.plain(4) == 4


def test_an_exception_passes_through_many_activations_and_stores(module: wasmark.Module) -> None:
    error = Own()
    hosts = [Host() for _ in range(30)]
    stores = [wasmark.Store() for _ in range(3)]
    instances = [wasmark.Instance(module, h.imports(), stores[n % 3]) for n, h in enumerate(hosts)]
    seen = []

    def hand_on(n: int) -> Callable[[int], int]:
        def call(value: int) -> int:
            try:
                return int(instances[n].exports.deep(value))
            except Own as raised:
                seen.append(raised)
                raise
            finally:
                assert instances[n].exports.load(0) == 0

        return call

    def fail(_: int) -> int:
        raise error

    for n in range(29):
        hosts[n].plain = hand_on(n + 1)
    hosts[29].plain = fail
    with pytest.raises(Own) as caught:
        instances[0].exports.deep(1)
    assert caught.value is error
    assert seen == [error] * 29
    hosts[29].plain = lambda x: x
    assert instances[0].exports.deep(1) == 1 + 2 * 30


def test_exceptions_keep_their_cause_and_context(instance: wasmark.Instance, host: Host) -> None:
    cause = KeyError("cause")

    def fail(_: int) -> int:
        try:
            raise cause
        except KeyError as error:
            raise ValueError("effect") from error

    host.plain = fail
    with pytest.raises(ValueError, match="effect") as caught:
        instance.exports.deep(1)
    assert caught.value.__cause__ is cause
    outer = IndexError("outer")
    try:
        raise outer
    except IndexError:
        with pytest.raises(ValueError, match="effect"):
            instance.exports.deep(1)
    assert cause.__context__ is outer


def test_an_exception_caught_in_the_middle_leaves_nothing_behind(instance: wasmark.Instance, host: Host) -> None:
    def middle(value: int) -> int:
        if value:
            with pytest.raises(wasmark.Trap):
                instance.exports.trap()
            with pytest.raises(ZeroDivisionError):
                instance.exports.plain(0)
            return value * 2
        raise ZeroDivisionError

    host.plain = middle
    for n in range(1, 50):
        assert instance.exports.deep(n) == 2 * n + 2
        assert sys.exc_info() == (None, None, None)


@pytest.mark.usefixtures("no_collector")
def test_nothing_keeps_an_exception_alive_once_it_was_handled(instance: wasmark.Instance, host: Host) -> None:
    class Thing:
        pass

    def fail(*_: object) -> None:
        raise Own

    host.plain = host.refer = fail
    watched = []
    for name in ("deep", "refer") * 3:
        argument = Thing() if name == "refer" else 1
        if name == "refer":
            watched.append(weakref.ref(argument))
        with contextlib.suppress(Own):
            instance.exports[name](argument)
        del argument
    instance.store.collect()
    assert Own.alive == 0
    assert [watch() for watch in watched] == [None] * 3


@pytest.mark.usefixtures("no_collector")
def test_a_trap_is_gone_with_its_last_reference(instance: wasmark.Instance, host: Host) -> None:
    def check(call: Callable[[], object]) -> None:
        watched = []
        try:
            call()
        except wasmark.Trap as trap:
            watched.append(weakref.ref(trap))
        del call
        assert [watch() for watch in watched] == [None]

    host.refer = lambda x: instance.exports.trap()
    check(instance.exports.trap)
    check(lambda: instance.exports.trap.call())
    check(lambda: instance.exports.trap.call_bits([]))
    check(lambda: instance.exports.refer(5))


# --- what they return ---------------------------------------------------------------------------------

WRONG: list[tuple[str, Any, type[Exception], str]] = [
    ("plain", "text", TypeError, "expected an int for i32, got str"),
    ("plain", None, TypeError, "expected an int for i32, got NoneType"),
    ("plain", 1.0, TypeError, "expected an int for i32, got float"),
    ("plain", (1,), TypeError, "expected an int for i32, got tuple"),
    ("plain", 1 << 32, OverflowError, "does not fit i32"),
    ("plain", -(1 << 31) - 1, OverflowError, "does not fit i32"),
    ("plain", 1 << 100, OverflowError, "does not fit i32"),
    ("several", 5, TypeError, "must return 3 values, as a tuple or list, not int"),
    ("several", None, TypeError, "must return 3 values, as a tuple or list, not NoneType"),
    ("several", (1, 2.0), TypeError, "must return 3 values, as a tuple or list, not 2"),
    ("several", [1, 2.0, 3, 4], TypeError, "must return 3 values, as a tuple or list, not 4"),
    ("several", "abc", TypeError, "must return 3 values, as a tuple or list, not str"),
    ("several", iter((1, 2.0, 3)), TypeError, "must return 3 values"),
    ("several", (1, "x", 3), TypeError, "expected a float for f64, got str"),
    ("several", (1, b"1.5", 3), TypeError, "expected a float for f64, got bytes"),
    ("several", (1, memoryview(b"1.5"), 3), TypeError, "expected a float for f64, got memoryview"),
    ("several", (1, 2.0, 1 << 64), OverflowError, "does not fit i64"),
    ("nothing", 0, TypeError, "returned int, but its wasm type has no results"),
    ("nothing", (1,), TypeError, "returned tuple, but its wasm type has no results"),
]


@pytest.mark.parametrize(("name", "answer", "error", "message"), WRONG)
def test_a_wrong_result_is_an_error_that_names_the_function(
    instance: wasmark.Instance, host: Host, name: str, answer: Any, error: type[Exception], message: str
) -> None:
    setattr(host, name, lambda *_: answer)
    with pytest.raises(error, match=message) as caught:
        instance.exports[name](*(() if name == "nothing" else (1,)))
    assert f"host.{name}" in str(caught.value)


def test_empty_sequences_are_no_results(instance: wasmark.Instance, host: Host) -> None:
    for answer in (None, (), []):
        host.nothing = lambda answer=answer: answer
        assert instance.exports.nothing() is None


def test_results_may_be_anything_that_is_a_number(instance: wasmark.Instance, host: Host) -> None:
    numpy = pytest.importorskip("numpy")
    host.several = lambda _: [numpy.int32(-5), numpy.float32(0.5), numpy.uint64(1 << 63)]
    assert instance.exports.several(1) == (-5, 0.5, -(1 << 63))
    host.plain = lambda _: numpy.uint8(200)
    assert instance.exports.plain(0) == 200
    host.plain = lambda _: True
    assert instance.exports.plain(0) == 1


def test_an_array_for_no_results_is_a_clear_error(instance: wasmark.Instance, host: Host) -> None:
    numpy = pytest.importorskip("numpy")
    host.nothing = lambda: numpy.array([1, 2])
    with pytest.raises(TypeError, match="returned ndarray"):
        instance.exports.nothing()


def test_coroutines_and_generators_are_no_numbers(instance: wasmark.Instance, host: Host) -> None:
    async def coroutine(_: int) -> int:
        return 1

    def generator(_: int) -> Iterator[int]:
        yield 1

    for function, kind in ((coroutine, "coroutine"), (generator, "generator")):
        host.plain = function
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # that it is never awaited
            with pytest.raises(TypeError, match=f"got {kind}"):
                instance.exports.plain(1)
            gc.collect()


def test_calls_in_coroutines_and_generators_that_take_turns(instance: wasmark.Instance, host: Host) -> None:
    host.plain = lambda x: x + 1

    def count(start: int) -> Iterator[int]:
        for _ in range(100):
            start = instance.exports.plain(start)
            yield start

    async def work(start: int) -> int:
        for _ in range(100):
            start = instance.exports.plain(start)
            await asyncio.sleep(0)
        return start

    async def together() -> list[int]:
        return await asyncio.gather(*(work(n) for n in range(10)))

    assert [a + b for a, b in zip(count(0), count(1000), strict=True)][-1] == 1200
    assert asyncio.run(together()) == [n + 100 for n in range(10)]


def test_an_interrupted_generator_closes_after_its_call_left(instance: wasmark.Instance, host: Host) -> None:
    closed = []

    def values() -> Iterator[int]:
        try:
            yield instance.exports.plain(1)
            yield instance.exports.plain(2)
        finally:
            closed.append(instance.exports.plain(3))

    def next_of(_: int) -> int:
        iterator = values()
        host.plain = lambda x: x
        return next(iterator)

    host.plain = next_of
    assert instance.exports.deep(0) == 3
    assert closed == [3]


# --- whom they call -----------------------------------------------------------------------------------


def test_a_host_function_calls_back_into_its_own_and_into_other_stores(module: wasmark.Module) -> None:
    mine, theirs = Host(), Host()
    here = wasmark.Instance(module, mine.imports())
    there = wasmark.Instance(module, theirs.imports())

    def down(value: int) -> int:
        if not value:
            return 0
        target = there if value % 2 else here
        return int(target.exports.deep(value - 1)) + int(here.exports.several(value)[0])

    mine.plain = theirs.plain = down
    assert here.exports.deep(40) == 41 * 2 + sum(range(41))


def test_a_host_function_grows_the_memory_and_the_table_of_the_wasm_that_called(
    instance: wasmark.Instance, host: Host
) -> None:
    memory, table = instance.exports.memory, instance.exports.table

    def grow(_: int) -> int:
        memory.grow(3)
        table.grow(5)
        memory[4 * 65536 - 1] = 77
        table[6] = instance.exports.trap
        return 0

    host.plain = grow
    with pytest.raises(wasmark.Trap):
        instance.exports.load(4 * 65536 - 1)
    assert instance.exports.memory_after(4 * 65536 - 1) == 77
    assert instance.exports.sizes_after() == (7, 12)


def test_a_host_function_that_is_called_from_python_needs_no_wasm() -> None:
    store = wasmark.Store()
    add = wasmark.Func.from_callable(store, FuncType((I32, F64), (F64, I64)), lambda a, b: (a + b, a), name="add")
    assert add(2, 0.5) == (2.5, 2)
    assert add.__name__ == "add"
    with pytest.raises(TypeError, match=r"add\(\) takes 2 arguments \(1 given\)"):
        add(1)


def test_functions_of_other_stores_and_engines_are_refused(module: wasmark.Module, instance: wasmark.Instance) -> None:
    other_store = wasmark.Store()
    other_engine = wasmark.Engine(wasmark.Config(max_wasm_stack=1 << 19))
    foreign = [
        wasmark.Func.from_callable(other_store, FuncType((), ()), lambda: None),
        wasmark.Func.from_callable(wasmark.Store(other_engine), FuncType((), ()), lambda: None),
    ]
    for function in foreign:
        with pytest.raises(wasmark.LinkError, match=r"'host' 'nothing'.*another store"):
            wasmark.Instance(module, {"host": {**Host().imports()["host"], "nothing": function}}, instance.store)
        with pytest.raises(TypeError, match="another store"):
            instance.exports.table[0] = function
        with pytest.raises(TypeError, match="another store"):
            instance.exports.table.grow(1, function)
    with pytest.raises(ValueError, match="different engines"):
        wasmark.Instance(module, Host().imports(), wasmark.Store(other_engine))
    giver = wasmark.Func.from_callable(instance.store, FuncType((), (FUNCREF,)), lambda: foreign[0], name="giver")
    with pytest.raises(TypeError, match=r"giver.*another store"):
        giver()


# --- what they let go of ------------------------------------------------------------------------------


def test_wasm_runs_on_when_its_host_function_drops_everything(module: wasmark.Module) -> None:
    class Callable:
        def __call__(self, value: int) -> int:
            kept.clear()
            gc.collect()
            return value + 1

    kept: dict[str, Any] = {}
    back = Callable()
    watched = [weakref.ref(back)]
    imports = Host().imports()
    imports["host"]["plain"] = back
    store = wasmark.Store()
    kept["instance"] = wasmark.Instance(module, imports, store)
    kept["store"] = store
    watched += [weakref.ref(store), weakref.ref(kept["instance"])]
    memory = weakref.ref(kept["instance"].exports.memory)
    del back, imports, store
    assert kept["instance"].exports.memory_after(0) == 0
    assert not kept
    gc.collect()
    assert [watch() for watch in (*watched, memory)] == [None] * 4


def test_a_host_function_that_replaces_itself_during_the_call(module: wasmark.Module) -> None:
    imports = Host().imports()
    instance: Any = None

    def plain(value: int) -> int:
        nonlocal plain, instance
        del plain
        imports.clear()
        instance = None
        gc.collect()
        return value * 3

    imports["host"]["plain"] = plain
    instance = wasmark.Instance(module, imports)
    deep = instance.exports.deep
    assert deep(5) == 17
    assert instance is None


@pytest.mark.alone
def test_no_way_through_a_host_function_keeps_anything(host: Host) -> None:
    # Nothing else is to happen meanwhile, as it does where hot functions are compiled in the background.
    module = wasmark.Module(MODULE, wasmark.Engine(wasmark.Config(strategy="eager")))
    instance = wasmark.Instance(module, host.imports())

    def round_trip() -> None:
        host.plain = lambda x: x
        instance.exports.deep(12345678)
        instance.exports.several(3)
        instance.exports.refer([1])
        instance.exports.refer(None)
        for bad, arguments in (("deep", ("x",)), ("deep", ()), ("several", (1 << 40,)), ("refer", ())):
            with pytest.raises((TypeError, OverflowError)):
                instance.exports[bad](*arguments)
        host.plain = lambda x: [x]
        with pytest.raises(TypeError):
            instance.exports.deep(1)
        host.plain = lambda x: instance.exports.trap()
        with pytest.raises(wasmark.Trap):
            instance.exports.deep(1)
        host.plain = lambda x: {}[x]
        with pytest.raises(KeyError):
            instance.exports.deep(1)

    for _ in range(50):
        round_trip()
    instance.store.collect()
    gc.collect()
    before = len(gc.get_objects())
    tracemalloc.start()
    try:
        base = tracemalloc.get_traced_memory()[0]
        for _ in range(500):
            round_trip()
        instance.store.collect()
        gc.collect()
        grown = tracemalloc.get_traced_memory()[0] - base
    finally:
        tracemalloc.stop()
    assert abs(len(gc.get_objects()) - before) < 50
    assert grown < 40_000


@pytest.mark.usefixtures("no_collector")
def test_reference_counts_of_constants_do_not_drift(host: Host) -> None:
    # A module that nobody else has: what earlier tests left refers to theirs until it is collected.
    module = wasmark.Module(MODULE, wasmark.Engine(wasmark.Config(strategy="eager")))
    instance = wasmark.Instance(module, host.imports())
    answer, exception, argument = 1 << 30, ValueError("kept"), 987654321
    host.plain = lambda _: answer
    watched = (answer, exception, argument, instance, instance.store, instance.module, instance.exports.deep, host)
    instance.exports.plain(argument)
    before = [sys.getrefcount(x) for x in watched]
    for _ in range(2000):
        instance.exports.plain(argument)
    host.plain = lambda _: (_ for _ in ()).throw(exception)
    for _ in range(200):
        with pytest.raises(ValueError, match="kept"):
            instance.exports.plain(argument)
        exception.__traceback__ = None
    host.plain = lambda _: answer
    assert [sys.getrefcount(x) for x in watched] == before


# --- how they look ------------------------------------------------------------------------------------


def test_any_callable_will_do(module: wasmark.Module) -> None:
    import functools
    import operator

    class Adder:
        def add(self, value: int) -> int:
            return value + 100

        @staticmethod
        def still(value: int) -> int:
            return value + 200

        @classmethod
        def common(cls, value: int) -> int:
            return value + 300

    for function, expected in (
        (Adder().add, 107),
        (Adder.still, 207),
        (Adder.common, 307),
        (functools.partial(operator.add, 10), 17),
        (operator.neg, -7),
        (int, 7),
        (abs, 7),
        (functools.lru_cache(Adder.still), 207),
    ):
        imports = Host().imports()
        imports["host"]["plain"] = function
        assert wasmark.Instance(module, imports).exports.plain(7) == expected


def test_arguments_that_a_callable_does_not_take_are_its_own_type_error(module: wasmark.Module) -> None:
    imports = Host().imports()
    imports["host"]["plain"] = lambda: 1
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given"):
        wasmark.Instance(module, imports).exports.plain(7)


def test_the_frames_of_python_above_and_below_wasm_are_the_ones_that_are_there(
    instance: wasmark.Instance, host: Host
) -> None:
    names: list[list[str]] = []

    def plain(value: int) -> int:
        names.append([frame.function for frame in inspect.stack()])
        return value

    host.plain = plain
    instance.exports.deep(1)
    assert names[0][0] == "plain"
    assert "test_the_frames_of_python_above_and_below_wasm_are_the_ones_that_are_there" in names[0]


def test_tracing_and_profiling_functions_see_host_functions(instance: wasmark.Instance, host: Host) -> None:
    seen: list[str] = []

    def plain(value: int) -> int:
        return value + 1

    def profile(frame: Any, event: str, _: Any) -> None:
        seen.append(f"{event} {frame.f_code.co_name}")

    host.plain = plain
    sys.setprofile(profile)
    try:
        assert instance.exports.plain(1) == 2
    finally:
        sys.setprofile(None)
    assert "call plain" in seen
    assert "return plain" in seen


def test_a_function_that_lets_other_threads_run_finds_its_own_state(module: wasmark.Module) -> None:
    barrier = threading.Barrier(4, timeout=60)
    results: list[int] = []

    def work(n: int) -> None:
        host = Host()
        instance = wasmark.Instance(module, host.imports())

        def plain(value: int) -> int:
            barrier.wait()
            return value + n

        host.plain = plain
        results.extend(instance.exports.deep(k) - k - n for k in range(20))

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert results == [2] * 80


def test_references_go_through_host_functions_as_themselves(instance: wasmark.Instance, host: Host) -> None:
    seen: list[Any] = []

    def refer(value: Any) -> Any:
        seen.append(value)
        return other

    host.refer = refer
    for thing, other in ((object(), [1]), (None, print), ([], None), (instance, instance.exports.trap)):
        assert instance.exports.refer(thing) is other
        assert seen.pop() is thing
    function_type = FuncType((FUNCREF, EXTERNREF), (EXTERNREF, FUNCREF))
    swap = wasmark.Func.from_callable(instance.store, function_type, lambda a, b: (a, b), name="swap")
    with pytest.raises(TypeError, match=r"expected a wasmark\.Func or None for funcref, got str"):
        swap(instance.exports.trap, "text")
    assert swap(instance.exports.trap, None) == (instance.exports.trap, None)


def test_a_callable_that_comes_late_is_made_once_and_called_straight() -> None:
    store = wasmark.Store()
    (type_id,) = store.engine.types.register_group([SubType(FuncType((I32,), (I32,)))], ())
    made: list[int | None] = []

    def more(value: int) -> int:
        made.append(value)
        return value + 1

    def make() -> Callable[[int], int]:
        made.append(None)
        if len(made) == 1:
            raise KeyboardInterrupt
        return more

    module = wasmark.Module(
        '(module (import "" "f" (func $f (param i32) (result i32)))'
        ' (func (export "g") (param i32) (result i32) (call $f (local.get 0))))'
    )
    late = late_host_func(store, type_id, make, "late")
    instance = wasmark.Instance(module, {"": {"f": late}}, store)
    assert made == []
    with pytest.raises(KeyboardInterrupt):
        instance.exports.g(1)
    assert [instance.exports.g(number) for number in (2, 3)] == [3, 4]
    assert late(4) == 5
    assert made == [None, None, 2, 3, 4]
    gc.collect()
    assert instance.exports.g(5) == 6
