"""Exceptions that nobody in wasm catches come to Python, with their frames, and leave the store as it was."""

from __future__ import annotations

import pickle
import threading
from typing import Any

import pytest

from tests.exceptions.support import CATCHING, instance
from tests.ways import config
from wasmark import Engine, FuncType, Store, Tag, WasmException
from wasmark.core.types import I32

LITTLE = 64 << 10
"""Bytes that a store may keep of exceptions that nobody refers to."""


UNCAUGHT = """(module $m (tag $e (export "e") (param i32 f64 i64)) (tag $quiet)
  (func $outer (export "outer") (param i32) (call $inner (local.get 0)))
  (func $inner (param i32) (throw $e (local.get 0) (f64.const 2.5) (i64.const -3)))
  (func $quiet (export "quiet") (throw $quiet))
  (func $again (export "again")
    (block $caught (result exnref) (try_table (catch_all_ref $caught) (call $outer (i32.const 1))) (return))
    (throw_ref)))"""


def test_an_exception_that_nobody_catches_is_one_of_python(engine: Engine) -> None:
    exports = instance(engine, UNCAUGHT).exports
    for number in (7, -1):
        with pytest.raises(WasmException) as caught:
            exports.outer(number)
        error = caught.value
        assert error.tag is exports.e
        assert error.values == (number, 2.5, -3)
        assert [frame.func_name for frame in error.frames] == ["inner", "outer"]
        assert str(error).startswith(f"wasm exception: e({number}, 2.5, -3)\n    0: m!inner @ +0x")
    with pytest.raises(WasmException) as caught:
        exports.quiet()
    assert str(caught.value).startswith("wasm exception: tag[1]()\n")


def test_an_exception_that_is_thrown_again_has_the_frames_of_its_beginning(engine: Engine) -> None:
    exports = instance(engine, UNCAUGHT).exports
    with pytest.raises(WasmException) as caught:
        exports.again()
    assert [frame.func_name for frame in caught.value.frames] == ["inner", "outer", "again"]


def test_an_exception_leaves_a_start_function(engine: Engine) -> None:
    with pytest.raises(WasmException) as caught:
        instance(engine, "(module (tag $e) (func $f (throw $e)) (start $f))")
    assert caught.value.values == ()


def test_in_another_process_an_exception_has_lost_its_tag() -> None:
    exports = instance(Engine(config("baseline", cache=False)), UNCAUGHT).exports
    with pytest.raises(WasmException) as caught:
        exports.outer(7)
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.tag is None
    assert copy.values == (7, 2.5, -3)
    assert [frame.func_name for frame in copy.frames] == ["inner", "outer"]


def test_uncaught_exceptions_leave_nothing_behind(engine: Engine) -> None:
    store = Store(engine)
    exports = instance(engine, UNCAUGHT, None, store).exports
    for _ in range(3000):
        with pytest.raises(WasmException):
            exports.outer(1)
    store.collect()
    assert store.collector.heap.used < LITTLE


class _Interrupted(Store):
    """Has something happen when an exception has left wasm, before Python has anything that stands for it; and when one
    of Python's is one of wasm's, before wasm has that."""

    def __init__(self, engine: Engine) -> None:
        super().__init__(engine)
        self.meanwhile: list[Any] = []
        self.meanwhile_thrown_in: Any = None

    def trap(self, activation: bytes) -> Any:
        if self.meanwhile:
            self.meanwhile.pop()()
        return super().trap(activation)

    def throw_in(self, error: WasmException, *where: Any) -> Any:
        answer = super().throw_in(error, *where)
        self.meanwhile_thrown_in()
        return answer


LEAVING = """(module $m (tag $e (param i32)) (global $kept (mut exnref) (ref.null exn))
  (func $throw (export "throw") (param i32) (throw $e (local.get 0)))
  (func $make (param i32) (result exnref)
    (block $h (result exnref) (try_table (catch_all_ref $h) (call $throw (local.get 0))) unreachable))
  (func (export "keep") (param i32) (global.set $kept (call $make (local.get 0))))
  (func (export "drop") (global.set $kept (ref.null exn)))
  (func (export "throw_kept") (throw_ref (global.get $kept)))
  (func (export "fill") (param i32)
    (loop $l (drop (call $make (i32.const -1)))
      (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))"""


def _thrown(function: Any, *arguments: Any) -> WasmException:
    with pytest.raises(WasmException) as caught:
        function(*arguments)
    return caught.value


def test_exceptions_on_their_way_at_once_are_all_kept(engine: Engine) -> None:
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    others: list[WasmException] = []

    def use_all_that_is_free() -> None:
        store.collect()
        exports.fill(2000)

    def throw_another() -> None:
        others.append(_thrown(exports.throw, len(store.meanwhile)))
        use_all_that_is_free()

    for depth in range(4):
        store.meanwhile = [use_all_that_is_free, *[throw_another] * depth]
        assert _thrown(exports.throw, 7).values == (7,)
        assert [error.values for error in others] == [(number,) for number in range(1, depth + 1)]
        others.clear()
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_one_exception_may_be_on_its_way_twice(engine: Engine) -> None:
    """The second one arrives first, and the exception is still needed."""
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    second: list[WasmException] = []

    def throw_it_too() -> None:
        second.append(_thrown(exports.throw_kept))
        exports.drop()
        store.collect()
        exports.fill(2000)

    exports.keep(9)
    store.meanwhile = [throw_it_too]
    first = _thrown(exports.throw_kept)
    assert first.values == (9,)
    assert second == [first]
    assert _thrown(exports.throw, 3).values == (3,)
    store.collect()
    assert store.collector.heap.used < LITTLE


def test_threads_that_leave_one_store_with_exceptions(engine: Engine) -> None:
    """All have left it before the first of them goes on; then each collects before it looks at its own."""
    count = 4
    store = _Interrupted(engine)
    exports = instance(engine, LEAVING, None, store).exports
    together = threading.Barrier(count)
    found: dict[int, Any] = {}

    def meanwhile() -> None:
        together.wait(60)
        store.collect()
        exports.fill(500)

    def run(number: int) -> None:
        found[number] = _thrown(exports.throw, number).values

    for _ in range(5):
        store.meanwhile = [meanwhile] * count
        threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == {number: (number,) for number in range(count)}
        found.clear()


def test_an_exception_from_python_is_kept_until_it_is_caught(engine: Engine) -> None:
    """Others leave the store, and there are collections, when native code has it and wasm has not."""
    store = _Interrupted(engine)
    tag = Tag(store, FuncType((I32,), ()), name="e")

    def host(number: int) -> int:
        raise WasmException(tag, (number,))

    def meanwhile() -> None:
        assert _thrown(exports.throw, 1).values == (1,)
        store.collect()
        exports.fill(2000)

    exports = instance(engine, LEAVING, None, store).exports
    catching = instance(
        engine,
        f"""(module (import "" "host" (func $host (param i32) (result i32))) (import "" "e" (tag $e (param i32)))
          {CATCHING})""",
        {"": {"host": host, "e": tag}},
        store,
    ).exports
    for number in range(20, 25):
        store.meanwhile_thrown_in = meanwhile
        assert catching.f(number) == number
