"""Exceptions of host functions: wasm catches its own, and nobody else's."""

from __future__ import annotations

from typing import Any

import pytest

from tests.exceptions.support import CATCHING, host_module, instance
from wasmark import Engine, FuncType, Store, Tag, WasmException
from wasmark.core.types import EXTERNREF, I32, I64


def test_a_host_function_throws_into_wasm(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            if number > 10:
                raise WasmException(tag, (number * 2,))
            return number

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for _ in range(20):
        assert exports.f(5) == 1005
        assert exports.f(50) == 100


def test_a_host_function_with_references_throws_into_wasm(engine: Engine) -> None:
    store = Store(engine)
    tag = Tag(store, FuncType((EXTERNREF, I64), ()))

    def host(value: object) -> None:
        raise WasmException(tag, (value, 1 << 40))

    exports = instance(
        engine,
        """(module (import "" "host" (func $host (param externref))) (import "" "e" (tag $e (param externref i64)))
          (func (export "f") (param externref) (result externref i64)
            (block $caught (result externref i64)
              (try_table (catch $e $caught) (call $host (local.get 0))) unreachable)))""",
        {"": {"host": host, "e": tag}},
        store,
    ).exports
    value = object()
    assert exports.f(value) == (value, 1 << 40)


def test_other_exceptions_of_python_are_nobodys_to_catch(engine: Engine) -> None:
    error = KeyError("mine")

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise error

        return called

    exports, _ = host_module(engine, CATCHING, host)
    for _ in range(3):
        with pytest.raises(KeyError) as caught:
            exports.f(1)
        assert caught.value is error


def test_an_exception_of_another_store_is_nobodys_to_catch(engine: Engine) -> None:
    foreign = Tag(Store(engine), FuncType((I32,), ()))

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise WasmException(foreign, (number,))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    with pytest.raises(WasmException) as caught:
        exports.f(3)
    assert caught.value.tag is foreign


def test_values_that_do_not_fit_are_told(engine: Engine) -> None:
    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            raise WasmException(tag, ("no number",))

        return called

    exports, _ = host_module(engine, CATCHING, host)
    with pytest.raises(TypeError, match="expected an int"):
        exports.f(3)


def test_it_is_the_same_object_wherever_it_comes_out(engine: Engine) -> None:
    """Python throws it in, wasm catches it, throws it again, keeps it, and gives it back."""
    thrown: list[WasmException] = []

    class Mine(WasmException):
        pass

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            thrown.append(Mine(tag, (number,)))
            raise thrown[-1]

        return called

    exports, tag = host_module(
        engine,
        """(global $kept (export "kept") (mut exnref) (ref.null exn))
        (func (export "f") (param i32) (result i32)
          (block $caught (result exnref)
            (try_table (catch_all_ref $caught) (return (call $host (local.get 0)))) unreachable)
          (global.set $kept) (throw_ref (global.get $kept)))
        (func (export "give") (result exnref) (global.get $kept))
        (func (export "throw") (param exnref) (throw_ref (local.get 0)))""",
        host,
    )
    for number in range(3):
        with pytest.raises(Mine) as caught:
            exports.f(number)
        assert caught.value is thrown[-1]
        assert exports.give() is thrown[-1]
        assert exports.kept.value is thrown[-1]
        with pytest.raises(Mine) as caught:
            exports.throw(thrown[-1])
        assert caught.value is thrown[-1]
    with pytest.raises(WasmException) as caught:
        exports.throw(error := WasmException(tag, (5,)))
    assert caught.value is error


def test_an_exception_passes_host_functions_and_activations(engine: Engine) -> None:
    """wasm -> Python -> wasm, which throws: Python sees it on the way, and the outer wasm catches it."""
    seen: list[WasmException] = []
    made: list[Any] = []

    def host(tag: Tag) -> Any:
        def called(number: int) -> int:
            try:
                return int(made[0].down(number - 1))
            except WasmException as error:
                seen.append(error)
                raise

        return called

    exports, tag = host_module(
        engine,
        """(func $down (export "down") (param i32) (result i32)
          (if (i32.eqz (local.get 0)) (then (throw $e (i32.const 77))))
          (call $host (local.get 0)))
        (func (export "f") (param i32) (result i32)
          (block $caught (result i32) (try_table (result i32) (catch $e $caught) (call $down (local.get 0)))))""",
        host,
    )
    made.append(exports)
    assert exports.f(4) == 77
    assert len(seen) == 4
    assert len({id(error) for error in seen}) == 1
    assert seen[0].tag is tag
    assert len(seen[0].frames) == 5 + 1
