"""Values that Python gives in odd shapes, that end with an exception, or that change while they are looked at: the
guest gets just what there is room for, and is as it was before where it gets nothing."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.component.abi.support import P, World
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.values import ResultError

MANY = [P["u32"]] * 17
"""So many that all parameters lie in memory."""


def taker(*types: T.ValType) -> tuple[World, Callable[..., list[Any]]]:
    """A guest, and a function of it that answers with the neutral values of its arguments."""
    world = World()
    seen: list[Any] = []
    params = tuple((f"p{number}", type_) for number, type_ in enumerate(types))
    call = world.function(T.FuncType(params), lambda *core: seen.extend(world.lift_params(list(types), core)))

    def run(*args: Any) -> list[Any]:
        seen.clear()
        call(*args)
        return list(seen)

    return world, run


def test_an_f32_beyond_the_largest_one_is_infinity_wherever_it_is() -> None:
    either = T.Variant((("a", P["f32"]), ("b", P["s64"])))
    _, run = taker(either, T.List(P["f32"]))
    assert run(("a", 1e300), [-1e300]) == [("a", float("inf")), [float("-inf")]]


@pytest.mark.parametrize("format_", [">u4", "<u4", "u1", "<u8", ">i2"])
def test_numbers_of_another_size_or_byte_order(format_: str) -> None:
    numpy = pytest.importorskip("numpy")
    _, run = taker(T.List(P["u32"]))
    assert run(numpy.array([1, 2, 100], format_)) == [[1, 2, 100]]


def test_half_floats() -> None:
    numpy = pytest.importorskip("numpy")
    _, run = taker(T.List(P["f64"]))
    assert run(numpy.array([1.5, -2], "f2")) == [[1.5, -2.0]]


class Reshaped:
    """A buffer of two rows."""

    def __init__(self, code: str) -> None:
        flat = memoryview(array(code, [7] * 6))
        self.view = flat.cast("B").cast(code, (2, 3))


@pytest.mark.parametrize(("name", "code"), [("u32", "I"), ("u8", "B"), ("f64", "d")])
def test_a_list_of_fixed_length_is_no_longer_than_its_place(name: str, code: str) -> None:
    _, run = taker(T.FixedList(P[name], 2), *MANY)
    rest = list(range(17))
    with pytest.raises(TypeError, match="arg 'p0'"):
        run(Reshaped(code).view, *rest)
    with pytest.raises(TypeError, match="arg 'p0'"):
        run([1, 2, 3], *rest)
    assert run([1, 2], *rest) == [[1, 2], *rest]


@pytest.mark.parametrize("element", [P["u16"], P["bool"], P["char"], T.Tuple((P["u8"],))])
@pytest.mark.parametrize("rest", [[], MANY])
def test_a_list_of_fixed_length_may_be_any_iterable(element: T.ValType, rest: list[T.ValType]) -> None:
    values = {"u16": [1, 2], "bool": [True, False], "char": ["a", "b"]}.get(str(element), [(1,), (2,)])
    _, run = taker(T.FixedList(element, 2), *rest)
    numbers = list(range(len(rest)))
    assert run(iter(values), *numbers) == [values, *numbers]
    assert run({0: values[0], 1: values[1]}.values(), *numbers) == [values, *numbers]
    for wrong in (iter(values[:1]), iter([*values, values[0]]), "ab", 5):
        with pytest.raises(TypeError):
            run(wrong, *numbers)


def test_a_list_that_grows_while_its_elements_are_looked_at() -> None:
    element = T.Tuple((P["u32"],))
    _, run = taker(T.List(element), T.List(element))
    values: list[Any] = []

    class Adds:
        def __index__(self) -> int:
            values.extend([(9,)] * 3)
            return 1

    values.append((Adds(),))
    assert run(values, [(5,)]) == [[(1,)], [(5,)]]


def raises(error: BaseException) -> Iterator[int]:
    yield 1
    raise error


@pytest.mark.parametrize("error", [RuntimeError("mine"), KeyboardInterrupt(), ValueError("mine"), StopAsyncIteration()])
def test_what_an_iterator_raises_comes_out_and_the_guest_has_not_been_called(error: BaseException) -> None:
    world, run = taker(P["string"], T.List(P["u32"]))
    with pytest.raises(type(error)) as caught:
        run("x", raises(error))
    assert caught.value is error
    assert world.state.may_enter
    assert run("x", [3]) == ["x", [3]]


def test_an_iterator_with_numbers_that_do_not_fit_is_a_type_error() -> None:
    _, run = taker(T.List(P["u32"]))
    with pytest.raises(TypeError, match="an argument does not fit"):
        run(iter([1, -1]))
    assert run([3]) == [[3]]


def test_a_field_may_be_called_as_an_attribute_of_all_classes_is() -> None:
    record = T.Record((("mro", P["u8"]), ("self", P["u8"]), ("a", P["u8"])))
    world, run = taker(record)
    assert run({"mro": 1, "self": 2, "a": 3}) == [{"mro": 1, "self": 2, "a": 3}]
    class_ = world.namer.class_of(record)
    assert class_(1, 2, 3) == class_(mro=1, self=2, a=3)
    with pytest.raises(TypeError):
        class_(self=2, a=3)


def test_cases_whose_names_are_alike_are_different_classes() -> None:
    shape = T.Variant((("a1", P["u8"]), ("a-1", P["u16"]), ("b-c", None), ("BC", None)))
    world, run = taker(shape)
    class_ = world.namer.class_of(shape)
    assert run(class_.A1(1)) == [("a1", 1)]
    assert run(class_.A_1(2)) == [("a-1", 2)]
    assert run(class_.B_C()) == [("b-c", None)]
    assert run("BC") == [("BC", None)]
    assert world.call_result(shape, ("a-1", 300)) == class_.A_1(300)


def test_a_function_that_raises_the_error_of_its_result_still_does() -> None:
    world = World()
    type_ = T.FuncType((("p", T.List(P["u8"])),), T.Result(None, P["u8"]))

    def core(at: int, size: int) -> int:
        memoryview(world.memory)[8:10] = b"\1\7"
        return 8

    with pytest.raises(ResultError) as caught:
        world.function(type_, core)(b"x")
    assert caught.value.payload == 7
