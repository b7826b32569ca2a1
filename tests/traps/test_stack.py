"""The native stack never runs out of control: every recursion ends in a trap, as often as anybody likes."""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

import wasmark
from tests.traps.support import ENGINES, catch, check, place
from wasmark import TrapCode

TIMES: Final = 2000  # in a row; 100,000 take 20 seconds

RECURSIVE: Final = """(module $recursive
  (type $i_i (func (param i32) (result i32)))
  (import "host" "back" (func $back (param i32) (result i32)))
  (table $table (export "table") 4 funcref)
  (elem (i32.const 0) $indirect)
  (global $depth (export "depth") (mut i32) (i32.const 0))
  (func $direct (export "direct") (param i32) (result i32)
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (i32.add (call $direct (local.get 0)) (i32.const 1)))
  (func $indirect (export "indirect") (param i32) (result i32)
    (i32.add (call_indirect (type $i_i) (local.get 0) (i32.const 0)) (i32.const 1)))
  (func $even (export "even") (param i32) (result i32) (i32.add (call $odd (local.get 0)) (i32.const 1)))
  (func $odd (param i32) (result i32) (i32.sub (call $even (local.get 0)) (i32.const 1)))
  (func $host (export "host") (param i32) (result i32)
    (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
    (i32.add (call $back (local.get 0)) (i32.const 1)))
  (func $fine (export "fine") (param i32) (result i32) (local.get 0)))"""


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> wasmark.Engine:
    return ENGINES[request.param]


@pytest.fixture(scope="module")
def module(engine: wasmark.Engine) -> wasmark.Module:
    return wasmark.Module(RECURSIVE, engine)


def instance_of(module: wasmark.Module, store: wasmark.Store | None = None) -> wasmark.Instance:
    """An instance whose host function calls `host` again."""
    made: list[wasmark.Instance] = []
    store = store if store is not None else wasmark.Store(module.engine)
    made.append(wasmark.Instance(module, {"host": {"back": lambda x: made[0].exports.host(x)}}, store))
    return made[0]


@pytest.fixture(params=["default", 256 << 10, 16 << 20])
def in_thread(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Runs a function in a thread with a stack of that size, and passes on what it raises."""

    def run(job: Callable[[], None]) -> None:
        raised: list[BaseException] = []

        def guarded() -> None:
            try:
                job()
            except BaseException as error:
                raised.append(error)

        thread = threading.Thread(target=guarded)
        thread.start()
        thread.join(120)
        assert not thread.is_alive()
        if raised:
            raise raised[0]

    before = threading.stack_size(0 if request.param == "default" else request.param)
    yield run
    threading.stack_size(before)


def overflow(instance: wasmark.Instance, name: str, times: int) -> None:
    """The same overflow again and again, and after each of them the store is as good as new."""
    function, fine = instance.exports[name], instance.exports.fine
    for n in range(times):
        trap = catch(function, 1)
        assert trap.code is TrapCode.STACK_OVERFLOW
        assert fine(n) == n


def test_infinite_recursion_is_a_trap_every_time(module: wasmark.Module) -> None:
    overflow(instance_of(module), "direct", TIMES)


@pytest.mark.parametrize("name", ["direct", "indirect", "even"])
def test_infinite_recursion_in_threads_with_stacks_of_any_size(
    module: wasmark.Module, name: str, in_thread: Callable[[Callable[[], None]], None]
) -> None:
    in_thread(lambda: overflow(instance_of(module), name, TIMES // 10))


@pytest.mark.parametrize(("name", "call"), [("direct", "call"), ("indirect", "call_indirect"), ("even", "call")])
def test_the_frames_of_an_overflow_are_the_innermost_and_the_outermost(
    module: wasmark.Module, name: str, call: str
) -> None:
    instance = instance_of(module)
    trap = catch(instance.exports[name], 1)
    around = {"even": "odd", "odd": "even"}.get(name, name)
    innermost = trap.frames[0].func_name
    assert innermost is not None
    second = innermost if name != "even" else {"even": "odd", "odd": "even"}[innermost]
    places = [place(module, innermost, ""), place(module, second, call), place(module, innermost, call)]
    check(trap, instance.store, TrapCode.STACK_OVERFLOW, places)
    last = trap.frames[-1]
    assert (last.func_name, last.module_offset) == (name, place(module, name, call).module_offset)
    assert {frame.func_name for frame in trap.frames} == {name, around}
    assert 1000 < trap.omitted < 70_000
    assert len(trap.frames) < 70
    assert f"{trap.omitted:,} frames omitted" in str(trap)


def test_recursion_between_instances_of_different_modules(engine: wasmark.Engine) -> None:
    first = wasmark.Module(
        """(module $first (type $t (func (param i32) (result i32)))
        (table (export "table") 1 funcref)
        (func $there (export "there") (param i32) (result i32)
          (i32.add (call_indirect (type $t) (local.get 0) (i32.const 0)) (i32.const 1))))""",
        engine,
    )
    second = wasmark.Module(
        """(module $second
        (import "first" "there" (func $there (param i32) (result i32)))
        (import "first" "table" (table 1 funcref))
        (elem (i32.const 0) $back)
        (func $back (export "back") (param i32) (result i32) (i32.add (call $there (local.get 0)) (i32.const 1))))""",
        engine,
    )
    store = wasmark.Store(engine)
    inner = wasmark.Instance(first, store=store)
    outer = wasmark.Instance(second, {"first": inner.exports}, store)
    for _ in range(TIMES // 10):
        trap = catch(outer.exports.back, 1)
        assert trap.code is TrapCode.STACK_OVERFLOW
        assert {frame.module for frame in trap.frames} == {first, second}
        assert [f.module for f in trap.frames[1:9:2]] == [trap.frames[1].module] * 4


# --- host functions in between ------------------------------------------------------------------------


def test_recursion_through_a_host_function_ends_in_a_trap_or_in_pythons_own_error(module: wasmark.Module) -> None:
    instance = instance_of(module)
    for _ in range(20):
        with pytest.raises((wasmark.Trap, RecursionError)) as caught:
            instance.exports.host(1)
        if isinstance(caught.value, wasmark.Trap):
            assert caught.value.code is TrapCode.STACK_OVERFLOW
            assert {frame.func_name for frame in caught.value.frames} == {"host"}
        assert instance.exports.fine(5) == 5


@pytest.mark.parametrize("wasm", [True, False], ids=["wasm", "no wasm"])
def test_deep_recursion_through_host_functions_is_a_trap_on_every_stack(
    module: wasmark.Module, in_thread: Callable[[Callable[[], None]], None], wasm: bool
) -> None:
    # Without wasm code between, nothing but the way in looks at the stack.
    instance = instance_of(module)
    store = instance.store
    plain = wasmark.Func.from_callable(store, instance.exports.host.type, lambda x: plain(x), name="plain")

    def job() -> None:
        before = sys.getrecursionlimit()
        sys.setrecursionlimit(1_000_000)
        try:
            for _ in range(20):
                trap = catch(instance.exports.host if wasm else plain, 1)
                assert trap.code is TrapCode.STACK_OVERFLOW
        finally:
            sys.setrecursionlimit(before)

    in_thread(job)
    assert instance.exports.fine(5) == 5


def test_a_host_function_that_catches_the_overflow_lets_wasm_go_on(module: wasmark.Module) -> None:
    made: list[wasmark.Instance] = []
    caught: list[wasmark.Trap] = []

    def back(value: int) -> int:
        caught.append(catch(made[0].exports.direct, value))
        return value + 1

    made.append(wasmark.Instance(module, {"host": {"back": back}}, wasmark.Store(module.engine)))
    for n in range(100):
        assert made[0].exports.host(n) == n + 2
    assert {trap.code for trap in caught} == {TrapCode.STACK_OVERFLOW}
    assert caught[0].frames[-1].func_name == "host"


# --- frames of every size -----------------------------------------------------------------------------


def many_locals(count: int) -> str:
    """A recursive function with that many locals alive across its call."""
    sets = " ".join(f"(local.set {n} (call $next))" for n in range(1, count + 1))
    sums = " ".join(f"(local.set 0 (i64.add (local.get 0) (local.get {n})))" for n in range(1, count + 1))
    return f"""(module (global $n (mut i64) (i64.const 0))
      (func $next (result i64) (global.set $n (i64.add (global.get $n) (i64.const 1))) (global.get $n))
      (func $f (export "f") (param i64) (result i64) (local {"i64 " * count})
        {sets} (if (i64.ne (local.get 0) (i64.const 0)) (then (drop (call $f (local.get 0))))) {sums} (local.get 0)))"""


def idle_locals(count: int) -> str:
    """A recursive function with locals that it never uses."""
    return f"""(module (func $f (export "f") (param i64) (result i64) (local {"i64 " * count})
      (if (result i64) (i64.eqz (local.get 0)) (then (i64.const {count * (count + 1) // 2}))
        (else (call $f (local.get 0))))))"""


def many_params(count: int) -> str:
    """A function that hands on a great many values."""
    values = " ".join(f"(local.get {n})" for n in range(count))
    sums = " ".join(f"(local.get {n}) i64.add" for n in range(1, count))
    consts = " ".join(f"(i64.const {n + 1})" for n in range(1, count))
    return f"""(module
      (func $g (param {"i64 " * count}) (result i64)
        (if (i64.ne (local.get 0) (i64.const 1)) (then (drop (call $g {values})))) (local.get 0) {sums})
      (func $f (export "f") (param i64) (result i64) (call $g (i64.add (local.get 0) (i64.const 1)) {consts})))"""


def many_results(count: int) -> str:
    """A function that gives back a great many values."""
    consts = " ".join(f"(i64.const {n + 1})" for n in range(count))
    return f"""(module
      (func $g (param i64) (result {"i64 " * count})
        (if (i64.ne (local.get 0) (i64.const 0)) (then (call $g (local.get 0)) {"drop " * count})) {consts})
      (func $f (export "f") (param i64) (result i64) (call $g (local.get 0)) {"i64.add " * (count - 1)}))"""


SHAPES: Final = {
    "locals": (many_locals, 700),
    "idle locals": (idle_locals, 5000),
    "params": (many_params, 1000),
    "results": (many_results, 150),
}


@pytest.fixture(scope="module", params=SHAPES)
def shaped(request: pytest.FixtureRequest, engine: wasmark.Engine) -> tuple[wasmark.Module, int]:
    make, count = SHAPES[request.param]
    return wasmark.Module(make(count), engine), count


def test_frames_of_unusual_shapes_work_and_overflow_into_a_trap(
    shaped: tuple[wasmark.Module, int], in_thread: Callable[[Callable[[], None]], None]
) -> None:
    module, count = shaped

    def job() -> None:
        instance = wasmark.Instance(module, store=wasmark.Store(module.engine))
        for _ in range(10):
            trap = catch(instance.exports.f, 1)
            assert trap.code is TrapCode.STACK_OVERFLOW
            assert instance.store.registry.lookup_trap_code(trap.pc) is TrapCode.STACK_OVERFLOW
        fresh = wasmark.Instance(module, store=wasmark.Store(module.engine))
        assert fresh.exports.f(0) == count * (count + 1) // 2

    in_thread(job)


def huge_frame(results: int, calls: int) -> str:
    """A function whose frame has room for the results of each of its calls: hundreds of KiB."""
    call = "(call $g) " + "drop " * results
    return f"""(module (memory 1)
      (func $g (result {"i64 " * results}) {" ".join(f"(i64.const {n})" for n in range(results))})
      (func $huge (export "huge") (param i32) (result i32) {call * calls}
        (if (local.get 0) (then (return (call $huge (local.get 0))))) (i32.const 3)))"""


@pytest.fixture(scope="module")
def huge() -> wasmark.Module:
    return wasmark.Module(huge_frame(60, 700), ENGINES["eager"])  # the first tier gives up results at once


def test_one_frame_larger_than_the_whole_stack_is_a_trap(huge: wasmark.Module) -> None:
    instance = wasmark.Instance(huge, store=wasmark.Store(huge.engine))
    assert instance.exports.huge(0) == 3  # the main thread's stack has room for it
    assert catch(instance.exports.huge, 1).code is TrapCode.STACK_OVERFLOW
    traps: list[wasmark.Trap] = []

    def job() -> None:
        traps.extend(catch(instance.exports.huge, n) for n in (0, 1, 0))

    # A thread may be given the stack of one that has ended, of up to four times this size.
    before = threading.stack_size(80 << 10)
    try:
        thread = threading.Thread(target=job)
        thread.start()
        thread.join(60)
    finally:
        threading.stack_size(before)
    assert len(traps) == 3
    for trap in traps:
        check(trap, instance.store, TrapCode.STACK_OVERFLOW, [place(huge, "huge", "")])


STALE: Final = """
import ctypes, sys, threading
import wasmark
from wasmark.runtime.linear_memory import GRANULE_SHIFT, granules_address
from wasmark.runtime.native import thread_state
from wasmark.runtime import layout as L

engine = wasmark.Engine(wasmark.Config(strategy="eager"))
instance = wasmark.Instance(wasmark.Module(sys.stdin.read(), engine), store=wasmark.Store(engine))

def job():
    # As if a linear memory had been where the end of this stack is now.
    low = thread_state().block[L.THREAD_LOW // 8]
    ctypes.memset(granules_address() + ((low - 4096) >> GRANULE_SHIFT), 1, 1)
    ctypes.memset(granules_address() + (low >> GRANULE_SHIFT), 1, 1)
    try:
        instance.exports.huge(0)
    except wasmark.Trap as trap:
        print(trap.code.name)

threading.stack_size(256 << 10)
thread = threading.Thread(target=job)
thread.start()
thread.join()
"""


def test_a_stack_that_lies_where_a_memory_was_still_overflows() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STALE], input=huge_frame(60, 700), capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip() == "STACK_OVERFLOW", done.stderr


# --- limits -------------------------------------------------------------------------------------------


def depth_within(limit: int, name: str = "direct") -> int:
    """How deep a recursion gets; all of it in the code of one tier."""
    engine = wasmark.Engine(wasmark.Config(max_wasm_stack=limit, tier_up=None))
    instance = instance_of(wasmark.Module(RECURSIVE, engine), wasmark.Store(engine))
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        assert catch(instance.exports[name], 1).code is TrapCode.STACK_OVERFLOW
    finally:
        sys.setrecursionlimit(before)
    depth: int = instance.exports.depth.value
    return depth


# How often C may call Python in C, CPython 3.12 counts, and nobody can raise that limit.
LIMITS = {
    "direct": (1 << 20, 4 << 20),
    "host": (768 << 10, 1 << 20) if sys.version_info[:2] == (3, 12) else (1 << 20, 4 << 20),
}


@pytest.mark.parametrize("name", LIMITS)
def test_the_depth_of_recursion_is_proportional_to_the_limit(name: str) -> None:
    step = (depth_within(512 << 10, name) - depth_within(256 << 10, name)) / (256 << 10)
    assert step > 0
    for limit in LIMITS[name]:
        expected = (limit - (256 << 10)) * step
        assert depth_within(limit, name) - depth_within(256 << 10, name) == pytest.approx(expected, rel=0.05)


def test_a_limit_beyond_the_stack_there_is_ends_with_the_stack() -> None:
    soft, _ = resource.getrlimit(resource.RLIMIT_STACK)
    assert depth_within(1 << 40) > depth_within(1 << 20)
    if soft != resource.RLIM_INFINITY:
        assert depth_within(1 << 40) < soft


def test_the_smallest_limit_is_enough_for_a_little_work() -> None:
    engine = wasmark.Engine(wasmark.Config(max_wasm_stack=16 << 10))
    instance = wasmark.Instance(wasmark.Module('(module (func (export "f") (result i32) (i32.const 4)))', engine))
    assert instance.exports.f() == 4
    assert 10 < depth_within(16 << 10) < 2000


def test_a_nested_call_has_what_the_outer_one_has_left(module: wasmark.Module) -> None:
    depths: list[int] = []
    made: list[wasmark.Instance] = []
    other = instance_of(module)  # of another store

    def back(value: int) -> int:
        for instance in (made[0], other):
            instance.exports.depth.value = 0
            assert catch(instance.exports.direct, 1).code is TrapCode.STACK_OVERFLOW
            depths.append(instance.exports.depth.value)
        return made[0].exports.host(value - 1) if value else 0

    made.append(wasmark.Instance(module, {"host": {"back": back}}, wasmark.Store(module.engine)))
    made[0].exports.host(20)
    depths.clear()  # functions may have got other code, with another frame, in the middle of it
    made[0].exports.host(20)
    own, others = depths[::2], depths[1::2]
    assert all(inner < outer for outer, inner in itertools.pairwise(own))
    assert all(abs(a - b) < 100 for a, b in zip(own, others, strict=True))


ULIMIT: Final = """
import wasmark
text = '''(module (func $f (export "f") (param i32) (result i32) (i32.add (call $f (local.get 0)) (i32.const 1))))'''
instance = wasmark.Instance(wasmark.Module(text))
for _ in range(50):
    try:
        instance.exports.f(1)
    except wasmark.Trap as trap:
        assert trap.code is wasmark.TrapCode.STACK_OVERFLOW, trap
print("fine")
"""


@pytest.mark.parametrize("kibibytes", ["unlimited", "1024", "512"])
def test_the_main_thread_under_other_limits_of_the_system(kibibytes: str) -> None:
    done: Any = subprocess.run(
        ["sh", "-c", f'ulimit -S -s {kibibytes} && exec "$0" -c "$1"', sys.executable, ULIMIT],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.strip() == "fine", done.stderr
