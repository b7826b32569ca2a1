"""Functions that wait in the middle of their code: what Python sees of them, and that nothing of them stays behind."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.interruption import interrupt
from tests.ways import config
from wasmark import Component, ComponentInstance, ComponentTrap, ComponentTrapCode, Engine, Store, Timeout
from wasmark.component.abi import stacks, threads
from wasmark.component.streams import FutureReader, StreamReader, future, stream

SOURCE = (Path(__file__).parent / "components" / "waiting.wat").read_text()


@pytest.fixture(scope="module")
def component() -> Component:
    return Component(SOURCE, Engine(config("first-tier")))


@pytest.fixture
def notes() -> list[int]:
    return []


@pytest.fixture
def exports(component: Component, notes: list[int]) -> Any:
    return ComponentInstance(component, {"note": notes.append}).exports


# --- values ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [[], [7], [1, 2, 3, 4, 5], range(100), (n for n in (1, 2, 3))])
def test_a_stream_can_be_anything_that_gives_values(exports: Any, given: Any) -> None:
    given = list(given)
    assert exports.sum(iter(given)) == sum(given)


def test_a_future_can_be_its_value(exports: Any) -> None:
    assert exports.double(21) == 42


def test_a_task_goes_on_after_it_has_returned_while_its_stream_is_read(exports: Any, notes: list[int]) -> None:
    counted = exports.count(5)
    assert isinstance(counted, StreamReader)
    assert notes == []
    assert list(counted) == [0, 1, 2, 3, 4]
    assert notes == [5]
    assert list(counted) == []


def test_several_streams_are_written_in_turns(exports: Any) -> None:
    first, second = exports.count(3), exports.count(4)
    assert [first.read(1), second.read(1), first.read(1), second.read(1)] == [[0], [0], [1], [1]]
    assert list(second) == [2, 3]
    assert list(first) == [2]


def test_a_stream_of_one_call_can_be_given_to_another(exports: Any) -> None:
    counted = exports.count(10)
    assert exports.sum(counted) == 45
    with pytest.raises(ValueError, match="closed or was given away"):
        counted.read()


def test_a_component_learns_that_its_stream_was_closed(exports: Any, notes: list[int]) -> None:
    counted = exports.count(10)
    assert counted.read(1) == [0]
    counted.close()
    assert exports.plain(100) == 101  # a synchronous call lets nobody else run
    assert notes == [100]
    assert exports.note_it(200) == 200
    assert notes == [100, 1, 200]


def test_a_future_is_read_once(exports: Any) -> None:
    promise = exports.promise(9)
    assert isinstance(promise, FutureReader)
    assert promise.read() == 9
    with pytest.raises(ValueError, match="closed or was given away"):
        promise.read()


def test_what_python_writes_arrives_in_pieces(exports: Any) -> None:
    reader, writer = stream()
    done = []

    def write() -> Iterator[int]:
        yield from (1, 2)
        done.append("written")
        yield 3

    assert exports.sum(write()) == 6
    assert done == ["written"]
    reader.close()
    assert writer.write([1]) == 0
    writer.close()


def test_a_value_that_does_not_fit_is_refused_before_the_call(exports: Any, notes: list[int]) -> None:
    with pytest.raises(TypeError, match=r"arg 'n': expected u32, got 'x'"):
        exports.note_it("x")
    with pytest.raises(TypeError):
        exports.sum(5)
    assert notes == []
    assert exports.note_it(3) == 3


def test_an_element_that_does_not_fit_comes_out_of_the_call(exports: Any) -> None:
    with pytest.raises((TypeError, OverflowError)):
        exports.sum([1, "x"])


def test_ends_of_another_kind_or_store_are_refused(component: Component, exports: Any) -> None:
    other = ComponentInstance(component, {"note": print}).exports
    with pytest.raises(ValueError, match="another store"):
        other.sum(exports.count(3))
    with pytest.raises(TypeError):
        exports.sum(future()[0])


# --- what goes wrong ------------------------------------------------------------------------------------


def test_a_call_that_nobody_will_ever_end_is_a_deadlock(exports: Any, notes: list[int]) -> None:
    with pytest.raises(ComponentTrap) as caught:
        exports.wait_for_ever()
    assert caught.value.code is ComponentTrapCode.DEADLOCK
    assert notes == [1]
    with pytest.raises(ComponentTrap) as caught:
        exports.note_it(1)
    assert caught.value.code is ComponentTrapCode.CANNOT_ENTER


def test_a_stream_that_nobody_will_ever_write_is_a_deadlock() -> None:
    reader, writer = stream()
    with pytest.raises(ComponentTrap) as caught:
        reader.read()
    assert caught.value.code is ComponentTrapCode.DEADLOCK
    with pytest.raises(ComponentTrap):
        writer.write([1])


@pytest.mark.parametrize("name", ["spin", "yield_for_ever"])
def test_a_time_limit_ends_what_runs_on_another_stack(component: Component, name: str) -> None:
    store = Store(component.engine, timeout=0.05)
    instance = ComponentInstance(component, {"note": print}, store)
    with pytest.raises(Timeout, match=r"0\.05 s") as caught:
        getattr(instance.exports, name)()
    assert caught.value.deadline is None


@pytest.mark.parametrize("name", ["spin", "yield_for_ever"])
def test_a_deadline_ends_what_runs_on_another_stack(exports: Any, name: str) -> None:
    limit = wasmark.deadline(0.05)
    with pytest.raises(Timeout) as caught, limit:
        getattr(exports, name)()
    assert caught.value.deadline is limit


class _Struck(BaseException):
    pass


def test_an_exception_of_a_signal_handler_ends_what_runs_on_another_stack(exports: Any) -> None:
    def strike(number: int, frame: object) -> None:
        raise _Struck

    def spin() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        exports.spin()

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with pytest.raises(_Struck):
            spin()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    with pytest.raises(ComponentTrap) as caught:
        exports.note_it(1)
    assert caught.value.code is ComponentTrapCode.CANNOT_ENTER


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Collections look at what comes from here on alone, and happen when they are asked for."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collections")
@pytest.mark.parametrize("part", [stacks, threads])
def test_an_exception_of_a_signal_handler_at_any_step_leaves_no_stack_running(component: Component, part: Any) -> None:
    for step in range(1, 10_000):
        instance = ComponentInstance(component, {"note": lambda n: None})
        kept: list[Any] = []  # what a finalizer raises gets lost, so there is to be none

        def action(exports: Any = instance.exports, kept: list[Any] = kept) -> None:
            kept.append(exports.count(1))
            assert list(kept[0]) == [0]

        reached = interrupt(action, step, {part.__file__})
        store = instance.store
        with store.owned():  # nobody else has it
            assert threads.scheduler_of(store).seat_of(store).running == []
        lease = weakref.ref(instance.exports._lease)
        del instance, action, kept
        gc.collect()
        assert lease() is None
        assert store.collector.pauses == 0
        if not reached:
            break
    assert step > 20


@pytest.mark.parametrize("error", [LookupError("none"), KeyboardInterrupt(), wasmark.Exit(3)])
def test_what_a_host_function_raises_comes_out_as_itself(component: Component, error: BaseException) -> None:
    def note(n: int) -> None:
        raise error

    exports = ComponentInstance(component, {"note": note}).exports
    with pytest.raises(type(error)) as caught:
        exports.note_it(1)
    assert caught.value is error
    assert any(line.name == "note" for line in _lines(caught.tb))


def _lines(tb: Any) -> Iterator[Any]:
    import traceback

    return iter(traceback.extract_tb(tb))


def test_a_trap_in_one_call_ends_the_tasks_of_its_instance(component: Component) -> None:
    def note(n: int) -> None:
        if n == 13:
            raise RuntimeError("no")

    exports = ComponentInstance(component, {"note": note}).exports
    counted = exports.count(5)
    assert counted.read(1) == [0]
    with pytest.raises(RuntimeError, match="no"):
        exports.note_it(13)
    assert counted.read() == [1]  # that was offered already
    with pytest.raises(ComponentTrap) as caught:
        counted.read()
    assert caught.value.code is ComponentTrapCode.DEADLOCK


# --- stacks ---------------------------------------------------------------------------------------------


def test_host_functions_see_the_context_of_whoever_calls(component: Component) -> None:
    who: contextvars.ContextVar[str] = contextvars.ContextVar("who")
    seen: list[str] = []
    exports = ComponentInstance(component, {"note": lambda n: seen.append(who.get())}).exports
    who.set("me")
    assert exports.note_it(1) == 1
    assert seen == ["me"]


def test_a_synchronous_call_stays_in_its_thread(component: Component) -> None:
    seen: list[int] = []
    exports = ComponentInstance(component, {"note": lambda n: seen.append(threading.get_ident())}).exports
    exports.plain(1)
    assert seen == [threading.get_ident()]


def _ended(made: Callable[[], Any]) -> bool:
    """Whether a store ends with all that Python has of it."""
    kept = made()
    store = weakref.ref(kept[0].store)
    assert store() is not None
    del kept
    gc.collect()
    return store() is None


def test_a_store_ends_although_a_task_waits_in_it(component: Component) -> None:
    def made() -> Any:
        instance = ComponentInstance(component, {"note": lambda n: None})
        counted = instance.exports.count(5)
        assert counted.read(1) == [0]
        return instance, counted

    assert _ended(made)


def test_a_stream_keeps_its_task_alive(component: Component) -> None:
    counted = ComponentInstance(component, {"note": lambda n: None}).exports.count(3)
    gc.collect()
    assert list(counted) == [0, 1, 2]


def test_a_store_ends_after_a_trap(component: Component) -> None:
    def made() -> Any:
        instance = ComponentInstance(component, {"note": lambda n: None})
        with pytest.raises(ComponentTrap):
            instance.exports.wait_for_ever()
        return (instance,)

    assert _ended(made)


def test_calls_of_several_threads_do_not_meet_in_a_store(component: Component) -> None:
    instance = ComponentInstance(component, {"note": lambda n: None})
    found: list[int] = []

    def call() -> None:
        for n in range(20):
            found.append(sum(instance.exports.count(n)) - sum(range(n)))
            found.append(instance.exports.sum(range(n)) - sum(range(n)))

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [0] * 120


OBJECTS = """(component
  (core module $Memory (memory (export "mem") 1))
  (core instance $memory (instantiate $Memory))
  (core module $M
    (import "" "read" (func $read (param i32 i32) (result i32)))
    (import "" "return" (func $return (param i32)))
    (type $box (struct (field i32)))
    (func (export "hold") (param $value i32) (param $in i32)
      (local $box (ref null $box))
      (local.set $box (struct.new $box (local.get $value)))
      (drop (call $read (local.get $in) (i32.const 0)))
      (call $return (struct.get $box 0 (local.get $box))))
    (func (export "litter") (param $n i32) (result i32)
      (loop $more
        (drop (struct.new $box (i32.const -1)))
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (br_if $more (local.get $n)))
      (i32.const 0)))
  (type $F (future u32))
  (canon future.read $F (memory (core memory $memory "mem")) (core func $read))
  (canon task.return (result u32) (core func $return))
  (core instance $m (instantiate $M (with "" (instance
    (export "read" (func $read)) (export "return" (func $return))))))
  (func (export "hold") async (param "value" u32) (param "in" $F) (result u32) (canon lift (core func $m "hold") async))
  (func (export "litter") (param "n" u32) (result u32) (canon lift (core func $m "litter"))))"""


def test_what_a_task_that_waits_refers_to_is_not_collected() -> None:
    exports = ComponentInstance(Component(OBJECTS, Engine(config("first-tier stressed")))).exports

    async def main() -> int:
        reader, writer = future()
        call = asyncio.ensure_future(exports.hold.call_async(7, reader))
        await asyncio.sleep(0)
        exports.litter(1000)
        assert await writer.write_async(1)
        exports.litter(1000)
        result: int = await call
        return result

    assert asyncio.run(main()) == 7


def test_coroutines_that_nobody_waits_for_any_more_are_cancelled() -> None:
    ended: list[str] = []

    async def pause(n: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return n

    source = (Path(__file__).parent / "components" / "awaiting.wat").read_text()
    store = Store(timeout=0.05)
    exports = ComponentInstance(Component(source), {"fetch": pause, "pause": pause}, store).exports
    with pytest.raises(Timeout):
        exports.both(1)
    assert ended == []
    del exports, store
    gc.collect()
    assert ended == ["cancelled"] * 2


FORK = """
import os, sys
from pathlib import Path
import wasmark
source = Path(sys.argv[1]).read_text()
exports = wasmark.ComponentInstance(wasmark.Component(source), {"note": lambda n: None}).exports
counted = exports.count(3)
assert counted.read(1) == [0]
child = os.fork()
if child == 0:
    try:
        counted.read()
    except wasmark.Error as error:
        assert "forked" in str(error), error
    else:
        os._exit(2)
    fresh = wasmark.ComponentInstance(wasmark.Component(source), {"note": lambda n: None}).exports
    os._exit(0 if list(fresh.count(3)) == [0, 1, 2] else 3)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
assert list(counted) == [1, 2]
"""


def test_a_task_that_waits_stays_in_its_process() -> None:
    path = Path(__file__).parent / "components" / "waiting.wat"
    subprocess.run([sys.executable, "-c", FORK, str(path)], check=True, timeout=120)


END = """
import sys
from pathlib import Path
import wasmark
source = Path(sys.argv[1]).read_text()
instance = wasmark.ComponentInstance(wasmark.Component(source), {"note": lambda n: None})
counted = instance.exports.count(3)
assert counted.read(1) == [0]
"""


def test_a_program_ends_although_a_task_waits() -> None:
    path = Path(__file__).parent / "components" / "waiting.wat"
    subprocess.run([sys.executable, "-c", END, str(path)], check=True, timeout=120)
