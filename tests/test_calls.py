"""Calls from Python into wasm and back: every conversion, every way out, and no reference lost on any of them."""

from __future__ import annotations

import functools
import gc
import inspect
import math
import pydoc
import sys
import weakref
from typing import Any

import pytest

import wasmark

ECHO = """(module $echo
  (func (export "i32") (param i32) (result i32) local.get 0)
  (func (export "i64") (param i64) (result i64) local.get 0)
  (func (export "f32") (param f32) (result f32) local.get 0)
  (func (export "f64") (param f64) (result f64) local.get 0)
  (func (export "none"))
  (func $mixed (export "mixed") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    local.get 3 local.get 2 local.get 1 local.get 0)
  (func (export "any") (param externref) (result externref) local.get 0)
  (func (export "trap") (param i32) unreachable))"""

BACK = """(module
  (import "host" "i32" (func $i32 (param i32) (result i32)))
  (import "host" "i64" (func $i64 (param i64) (result i64)))
  (import "host" "f32" (func $f32 (param f32) (result f32)))
  (import "host" "f64" (func $f64 (param f64) (result f64)))
  (import "host" "none" (func $none))
  (import "host" "mixed" (func $mixed (param i32 i64 f32 f64) (result f64 f32 i64 i32)))
  (func (export "i32") (param i32) (result i32) (call $i32 (local.get 0)))
  (func (export "i64") (param i64) (result i64) (call $i64 (local.get 0)))
  (func (export "f32") (param f32) (result f32) (call $f32 (local.get 0)))
  (func (export "f64") (param f64) (result f64) (call $f64 (local.get 0)))
  (func (export "none") (call $none))
  (func (export "mixed") (param i32 i64 f32 f64) (result f64 f32 i64 i32)
    (call $mixed (local.get 0) (local.get 1) (local.get 2) (local.get 3))))"""


def identity(*values: Any) -> Any:
    """What the host functions of `back` do by default."""
    return values[0] if len(values) == 1 else values or None


HOST = {
    name: identity if name != "mixed" else (lambda *values: values[::-1])
    for name in ("i32", "i64", "f32", "f64", "none", "mixed")
}


@pytest.fixture(scope="module")
def echo() -> Any:
    return wasmark.Instance(wasmark.Module(ECHO)).exports


@pytest.fixture(scope="module")
def back_module() -> wasmark.Module:
    return wasmark.Module(BACK)


@pytest.fixture
def back(back_module: wasmark.Module) -> Any:
    return wasmark.Instance(back_module, {"host": HOST}).exports


@pytest.fixture(params=["echo", "back"])
def exports(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


INTEGERS = [0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**31, 2**63 - 1, -(2**63), 2**63, 2**64 - 1]


@pytest.mark.parametrize("value", INTEGERS)
@pytest.mark.parametrize("bits", [32, 64])
def test_integers_are_taken_signed_or_unsigned_and_come_back_signed(exports: Any, value: int, bits: int) -> None:
    call = exports[f"i{bits}"]
    if -(2 ** (bits - 1)) <= value < 2**bits:
        expected = value - 2**bits if value >= 2 ** (bits - 1) else value
        assert call(value) == expected
    else:
        with pytest.raises(OverflowError, match=f"does not fit i{bits}"):
            call(value)


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, 10**100])
def test_integers_beyond_64_bits_are_overflow_errors_and_leave_no_error_behind(exports: Any, value: int) -> None:
    for name in ("i32", "i64"):
        with pytest.raises(OverflowError):
            exports[name](value)
    assert exports.i64(7) == 7


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, math.inf, -math.inf, 5e-324, 1e308, math.nan])
def test_floats_come_back_as_they_are_or_rounded_to_32_bits(exports: Any, value: float) -> None:
    assert repr(exports.f64(value)) == repr(value)
    single = exports.f32(value)
    if math.isnan(value):
        assert math.isnan(single)
    elif abs(value) > 3.5e38:
        assert math.isinf(single)
        assert math.copysign(1, single) == math.copysign(1, value)
    else:
        assert math.copysign(1, single) == math.copysign(1, value)
        assert abs(single - value) <= abs(value) * 2**-24 + 2**-149


def test_subclasses_and_index_objects_are_numbers_too(exports: Any) -> None:
    class Whole:
        def __index__(self) -> int:
            return 41

    class Sub(int):
        pass

    class Real(float):
        pass

    assert exports.i32(True) == 1
    assert exports.i64(Sub(5)) == 5
    assert exports.i32(Whole()) == 41
    assert exports.f64(Real(2.5)) == 2.5
    assert exports.f64(3) == 3.0


@pytest.mark.parametrize("wrong", ["1", b"1", None, 1.0, [1], object()])
def test_what_is_no_integer_is_a_type_error(echo: Any, wrong: object) -> None:
    for name in ("i32", "i64"):
        with pytest.raises(TypeError):
            echo[name](wrong)


@pytest.mark.parametrize("wrong", ["1", b"1", None, [1.0], 1j])
def test_what_is_no_float_is_a_type_error(echo: Any, wrong: object) -> None:
    for name in ("f32", "f64"):
        with pytest.raises(TypeError):
            echo[name](wrong)


def test_the_number_of_arguments_is_checked_and_named(echo: Any) -> None:
    with pytest.raises(TypeError, match=r"mixed\(\) takes 4 arguments \(3 given\)"):
        echo.mixed(1, 2, 3)
    with pytest.raises(TypeError, match=r"takes 0 arguments \(1 given\)"):
        echo.none(1)
    for arguments, named in (((), {"p0": 1}), ((1,), {"more": 2}), ((1, 2), {"self": 3})):
        with pytest.raises(TypeError, match=r"^i32\(\) takes no keyword arguments$"):
            echo.i32(*arguments, **named)


def test_several_values_are_a_tuple_and_none_is_none(exports: Any) -> None:
    assert exports.mixed(1, 2, 3.5, 4.5) == (4.5, 3.5, 2, 1)
    assert exports.none() is None


def test_a_function_can_be_called_in_every_way_python_has(echo: Any) -> None:
    assert echo.i32(*[5]) == 5
    assert list(map(echo.i32, range(3))) == [0, 1, 2]
    assert echo.i32.__call__(6) == 6
    assert sorted([3, -1, 2], key=echo.i32) == [-1, 2, 3]


def test_a_function_tells_its_name_type_and_signature(echo: Any) -> None:
    assert echo.mixed.__name__ == "mixed"
    assert str(inspect.signature(echo.i64)) == "(p0: 'i64', /) -> 'i64'"
    assert str(inspect.signature(echo.none)) == "() -> None"
    assert str(inspect.signature(echo.any)) == "(p0: 'externref', /) -> 'externref'"
    mixed = inspect.signature(echo.mixed)
    assert [p.annotation for p in mixed.parameters.values()] == ["i32", "i64", "f32", "f64"]
    assert mixed.return_annotation == ("f64", "f32", "i64", "i32")
    with pytest.raises(TypeError, match="missing a required argument"):
        mixed.bind(1, 2, 3)
    assert functools.wraps(echo.mixed)(lambda: None).__name__ == "mixed"
    assert (
        pydoc.render_doc(echo.mixed).count("WebAssembly function of type [i32 i64 f32 f64] -> [f64 f32 i64 i32]") == 1
    )
    assert echo.mixed.__doc__.startswith("mixed(p0: 'i32', ")
    assert "[i32 i64 f32 f64] -> [f64 f32 i64 i32]" in echo.mixed.__doc__
    assert "[i32 i64 f32 f64]" in repr(echo.mixed)
    assert "callable" in wasmark.Func.__doc__
    assert callable(echo.i32)
    assert isinstance(echo.i32, wasmark.Func)


def test_results_of_the_wrong_kind_are_type_errors_that_name_the_function(back_module: wasmark.Module) -> None:
    cases: dict[str, list[Any]] = {
        "i32": ["x", None, 1.5, (1,)],
        "f64": ["x", None],
        "none": [1, "x"],
        "mixed": [1, (1, 2, 3), "four", None, (1.0, 2.0, "x", 4)],
    }
    arguments = {"mixed": (1, 2, 3.0, 4.0), "none": ()}
    for name, answers in cases.items():
        for answer in answers:
            host = {**HOST, name: lambda *_, answer=answer: answer}
            exports = wasmark.Instance(back_module, {"host": host}).exports
            with pytest.raises(TypeError):
                exports[name](*arguments.get(name, (1,)))


def test_an_exception_of_a_host_function_comes_out_as_itself(back_module: wasmark.Module) -> None:
    error = KeyboardInterrupt("mine")

    def fail(*_: object) -> None:
        raise error

    exports = wasmark.Instance(back_module, {"host": dict.fromkeys(HOST, fail)}).exports
    for name in HOST:
        with pytest.raises(KeyboardInterrupt) as caught:
            exports[name](*((1, 2, 3.0, 4.0) if name == "mixed" else () if name == "none" else (1,)))
        assert caught.value is error


def test_no_way_out_loses_or_keeps_a_reference(back_module: wasmark.Module) -> None:
    class Answer(float):
        pass

    state: dict[str, Any] = {}

    def host(*_: object) -> Any:
        if "error" in state:
            raise state["error"]
        return state["answer"]

    exports = wasmark.Instance(back_module, {"host": {**HOST, "f64": host, "i64": host}}).exports
    big = 2**40 + 12345
    plain, other = 1234.5, Answer(2.5)
    before = [sys.getrefcount(x) for x in (big, plain, other)]
    for _ in range(2000):
        state["answer"] = plain
        assert exports.f64(plain) == plain
        state["answer"] = other
        assert exports.f64(plain) == 2.5
        state["answer"] = big
        assert exports.i64(big) == big
        state["answer"] = "no number"
        with pytest.raises(TypeError):
            exports.i64(big)
        state["error"] = ValueError()
        with pytest.raises(ValueError):  # noqa: PT011
            exports.f64(plain)
        del state["error"]
    state.clear()
    assert [sys.getrefcount(x) for x in (big, plain, other)] == before


def test_a_trap_is_raised_without_a_trace_in_the_function(echo: Any) -> None:
    for _ in range(100):
        with pytest.raises(wasmark.Trap) as caught:
            echo.trap(1)
        assert caught.value.code is wasmark.TrapCode.UNREACHABLE
        assert caught.value.frames[0].func_name == "trap"
    assert echo.i32(3) == 3


def test_references_pass_with_their_identity(echo: Any) -> None:
    thing = object()
    assert echo.any(thing) is thing
    assert echo.any(None) is None


def test_functions_are_collected_with_their_store() -> None:
    instance = wasmark.Instance(wasmark.Module(ECHO))
    function = instance.exports.i32
    watch = weakref.ref(function)
    assert function(1) == 1
    del function, instance
    gc.collect()
    assert watch() is None


def test_a_function_keeps_all_it_needs_alive() -> None:
    function = wasmark.Instance(wasmark.Module(ECHO)).exports.mixed
    gc.collect()
    assert function(1, 2, 3.0, 4.0) == (4.0, 3.0, 2, 1)


def test_reads_see_growth_and_end_at_the_end() -> None:
    memory = wasmark.Instance(wasmark.Module('(module (memory (export "memory") 1 3))')).exports.memory
    assert memory.read(65536, 0) == b""
    with pytest.raises(IndexError):
        memory.read(65530, 8)
    memory.grow(1)
    assert memory.read(65530, 8) == bytes(8)
    memory.write(131064, b"abcdefgh")
    assert memory.read(131064, 8) == b"abcdefgh"
    for offset, length in ((131065, 8), (-8, 8), (0, -1), (2**40, 1), (-(2**70), 2**71)):
        with pytest.raises(IndexError):
            memory.read(offset, length)


def test_typed_views_share_the_memory() -> None:
    memory = wasmark.Instance(wasmark.Module('(module (memory (export "memory") 1))')).exports.memory
    numbers = memory.view("i")
    numbers[2] = -5
    assert memory.read(8, 4) == (-5).to_bytes(4, "little", signed=True)
    assert len(numbers) == 16384
    assert memory.view("d").itemsize == 8
