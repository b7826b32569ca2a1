"""Handlers in loops that tier up, in many threads, on small stacks, and in code that goes."""

from __future__ import annotations

import gc
import threading

import pytest

from tests.exceptions.support import LOOP, instance, legacy_sum, loop_sum
from wasmark import Config, Engine, Instance, Module, Store


@pytest.mark.parametrize("limit", [0, 1, 7, 100])
def test_a_loop_within_a_handler_goes_on_in_better_code(limit: int) -> None:
    engine = Engine(Config(tier_up=limit, tier_up_in_background=False, cache=False))
    exports = instance(engine, LOOP).exports
    assert exports.run(2000) == loop_sum(2000)
    assert exports.legacy(2000) == legacy_sum(2000)


def test_loops_within_handlers_are_right_under_every_way(engine: Engine) -> None:
    exports = instance(engine, LOOP).exports
    assert exports.run(501) == loop_sum(501)
    assert exports.legacy(501) == legacy_sum(501)


def test_many_threads_throw_at_once(engine: Engine) -> None:
    module = Module(LOOP, engine)
    answers: list[int] = []

    def run() -> None:
        exports = Instance(module, {}, Store(engine)).exports
        answers.extend(exports.run(20_000) for _ in range(2))

    threads = [threading.Thread(target=run) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    first = loop_sum(20_000)
    assert sorted(answers) == [first] * 6 + [2 * first] * 6


def test_exceptions_work_on_a_small_stack_of_a_thread(engine: Engine) -> None:
    exports = instance(engine, LOOP).exports
    answers: list[int] = []
    threading.stack_size(512 << 10)
    try:
        thread = threading.Thread(target=lambda: answers.append(exports.run(300)))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(0)
    assert answers == [loop_sum(300)]


def test_code_that_comes_to_be_where_other_code_was(engine: Engine) -> None:
    """A return address that had a handler once may have none later, and the other way round."""
    for number in range(12):
        text = (
            LOOP
            if number % 2
            else LOOP.replace("(catch $e $caught)", "").replace("(throw $e (local.get 0))", "(return (local.get 0))")
        )
        exports = instance(engine, text).exports
        assert exports.run(50) == loop_sum(50)
        del exports
        gc.collect()
