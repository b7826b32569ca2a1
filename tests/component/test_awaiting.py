"""Asynchronous functions and coroutines: components that wait for Python, and event loops that wait for components."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

import wasmark
from tests.component.test_waiting import SOURCE as WAITING
from tests.ways import config
from wasmark import Component, ComponentInstance, ComponentTrap, ComponentTrapCode, Engine, ResultError, Store, Timeout
from wasmark.component import ErrorContext, StreamReader, future, stream

SOURCE = (Path(__file__).parent / "components" / "awaiting.wat").read_text()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine(config("first-tier"))


@pytest.fixture(scope="module")
def component(engine: Engine) -> Component:
    return Component(SOURCE, engine)


@pytest.fixture(scope="module")
def waiting(engine: Engine) -> Component:
    return Component(WAITING, engine)


async def fetch(url: str) -> str:
    await asyncio.sleep(0)
    if not url:
        raise ResultError(404)
    return f"<{url}>"


async def pause(n: int) -> int:
    await asyncio.sleep(0)
    return 10 * n


def exports_of(component: Component, pause: Callable[[int], Any] = pause, **more: Any) -> Any:
    return ComponentInstance(component, {"fetch": fetch, "pause": pause}, **more).exports


def calls(form: str) -> Callable[..., Any]:
    """A way to call an asynchronous function."""

    def call(function: Any, *args: Any) -> Any:
        return function(*args) if form == "waiting" else asyncio.run(function.call_async(*args))

    return call


both_forms = pytest.mark.parametrize("call", [calls("waiting"), calls("awaiting")], ids=["waiting", "awaiting"])


@both_forms
def test_a_component_waits_for_a_coroutine(component: Component, call: Callable[..., Any]) -> None:
    assert call(exports_of(component).load, "wasm.org") == "<wasm.org>"


@both_forms
def test_the_error_of_a_coroutine_is_that_of_its_result(component: Component, call: Callable[..., Any]) -> None:
    with pytest.raises(ResultError) as caught:
        call(exports_of(component).load, "")
    assert caught.value.payload == 404


@both_forms
def test_a_synchronous_function_will_do_for_an_asynchronous_import(
    component: Component, call: Callable[..., Any]
) -> None:
    exports = exports_of(component, lambda n: n + 1)
    assert call(exports.pause_twice, 5) == 13
    assert call(exports.both, 5) == 13
    assert exports.pause_without_waiting(5) == 6


@both_forms
def test_two_coroutines_run_at_once(component: Component, call: Callable[..., Any]) -> None:
    started: dict[int, asyncio.Event] = {}

    async def pause(n: int) -> int:
        started[n] = asyncio.Event()
        if n == 2:
            started[1].set()
        await started[1].wait()
        return n

    assert call(exports_of(component, pause).both, 1) == 3


@both_forms
def test_what_a_coroutine_raises_comes_out_as_itself(component: Component, call: Callable[..., Any]) -> None:
    error = LookupError("none")

    async def pause(n: int) -> int:
        await asyncio.sleep(0)
        raise error

    exports = exports_of(component, pause)
    with pytest.raises(LookupError) as caught:
        call(exports.pause_twice, 1)
    assert caught.value is error
    with pytest.raises(ComponentTrap, match="cannot enter"):
        call(exports.both, 1)


@both_forms
def test_a_coroutine_that_returns_what_does_not_fit_is_a_type_error(
    component: Component, call: Callable[..., Any]
) -> None:
    async def pause(n: int) -> str:
        return "much"

    with pytest.raises(TypeError, match=r"pause returned: expected u32, got 'much'"):
        call(exports_of(component, pause).pause_twice, 1)


@both_forms
def test_a_component_gives_a_coroutine_up(component: Component, call: Callable[..., Any]) -> None:
    ended: list[str] = []

    async def pause(n: int) -> int:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cancelled")
        return 0

    assert call(exports_of(component, pause).give_up) == 4  # cancelled before it returned
    assert ended in ([], ["cancelled"])  # it may never have begun


@both_forms
def test_a_synchronous_call_cannot_wait_for_a_coroutine(component: Component, call: Callable[..., Any]) -> None:
    with pytest.raises(ComponentTrap) as caught:
        exports_of(component).pause_without_waiting(1)
    assert caught.value.code is ComponentTrapCode.CANNOT_BLOCK


@both_forms
def test_an_error_context_is_an_exception_with_a_message(component: Component, call: Callable[..., Any]) -> None:
    error = call(exports_of(component).broken)
    assert isinstance(error, ErrorContext)
    assert (error.message, str(error)) == ("it broke", "it broke")


def test_a_deadline_ends_the_wait_for_a_coroutine(component: Component) -> None:
    async def pause(n: int) -> int:
        await asyncio.Event().wait()
        return 0

    with pytest.raises(Timeout):
        exports_of(component, pause, store=Store(component.engine, timeout=0.05)).pause_twice(1)
    limit = wasmark.deadline(0.05)
    with pytest.raises(Timeout) as caught, limit:
        exports_of(component, pause).pause_twice(1)
    assert caught.value.deadline is limit


# --- event loops ----------------------------------------------------------------------------------------


def run(main: Callable[[], Awaitable[Any]]) -> Any:
    async def within() -> Any:
        return await main()

    return asyncio.run(within())


def test_the_event_loop_runs_on_while_a_component_waits(component: Component) -> None:
    async def main() -> int:
        gate = asyncio.Event()

        async def pause(n: int) -> int:
            await gate.wait()
            return n

        async def open_gate() -> None:
            gate.set()

        call = asyncio.ensure_future(exports_of(component, pause).pause_twice.call_async(3))
        await open_gate()
        result: int = await call
        return result

    assert run(main) == 7


def test_several_calls_are_awaited_at_once(component: Component) -> None:
    async def main() -> list[int]:
        exports = [exports_of(component) for _ in range(4)]
        return list(await asyncio.gather(*(each.pause_twice.call_async(n) for n, each in enumerate(exports))))

    assert run(main) == [10, 30, 50, 70]


def test_calls_of_one_instance_take_turns(component: Component) -> None:
    async def main() -> list[int]:
        function = exports_of(component).pause_twice
        return list(await asyncio.gather(*(function.call_async(n) for n in range(4))))

    assert run(main) == [10, 30, 50, 70]


def test_a_call_that_is_cancelled_has_its_task_told(component: Component) -> None:
    seen: list[int] = []

    async def pause(n: int) -> int:
        seen.append(n)
        return n

    async def main() -> None:
        exports = exports_of(component, pause)
        call = asyncio.ensure_future(exports.until_cancelled.call_async())
        other = asyncio.ensure_future(exports.until_cancelled.call_async())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        for each in (call, other):
            assert not each.done()
            each.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        with pytest.raises(asyncio.CancelledError):
            await other
        assert await exports.pause_twice.call_async(1) == 3

    run(main)
    assert sorted(seen) == [1, 2, 99, 99]


def test_a_stream_is_written_and_read_by_one_event_loop(waiting: Component) -> None:
    async def main() -> tuple[int, int]:
        exports = ComponentInstance(waiting, {"note": lambda n: None}).exports
        reader, writer = stream()
        call = asyncio.ensure_future(exports.sum.call_async(reader))
        await asyncio.sleep(0)
        written = await writer.write_async(range(1, 8))
        writer.close()
        return written, await call

    assert run(main) == (7, 28)


def test_a_stream_is_iterated_over_by_an_event_loop(waiting: Component) -> None:
    async def main() -> list[int]:
        exports = ComponentInstance(waiting, {"note": lambda n: None}).exports
        counted = await exports.count.call_async(4)
        assert isinstance(counted, StreamReader)
        return [n async for n in counted]

    assert run(main) == [0, 1, 2, 3]


def test_a_future_goes_to_and_fro_in_an_event_loop(waiting: Component) -> None:
    async def main() -> tuple[int, int, bool]:
        exports = ComponentInstance(waiting, {"note": lambda n: None}).exports
        promise = await exports.promise.call_async(4)
        reader, writer = future()
        call = asyncio.ensure_future(exports.double.call_async(reader))
        await asyncio.sleep(0)
        wanted = await writer.write_async(21)
        return await promise.read_async(), await call, wanted

    assert run(main) == (4, 42, True)


def test_event_loops_of_several_threads_share_a_store(waiting: Component) -> None:
    exports = ComponentInstance(waiting, {"note": lambda n: None}).exports
    found: list[Any] = []

    async def main() -> None:
        for n in range(10):
            counted = await exports.count.call_async(n)
            found.append([each async for each in counted] == list(range(n)))

    threads = [threading.Thread(target=asyncio.run, args=(main(),)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 30
