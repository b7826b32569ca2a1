"""Every type goes through a guest's memory and back unharmed: what is written for it does what the definition by
recursion (`model`) does, in both directions, for Python and from one guest to another."""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.component.abi import model
from tests.component.abi.support import TYPES, P, World, python, signature, values
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.functions import guest_calls_guest
from wasmark.component.abi.layout import LAYOUTS
from wasmark.component.values import Err, ResultError

ENCODINGS = ("utf8", "utf16", "latin1+utf16")
THOROUGH = settings(
    max_examples=2000 if os.environ.get("WASMARK_LONG") else 40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)


def returned(call: Any, type_: T.ValType) -> Any:
    """What a call gives, with the two ways of a result made one again."""
    try:
        found = call()
    except ResultError as error:
        return Err(error.payload)
    if isinstance(type_, T.Result):
        from wasmark.component.values import Ok

        return Ok(found)
    return found


@given(TYPES)
@THOROUGH
def test_sizes_alignments_and_core_types_are_those_of_the_definition(type_: T.ValType) -> None:
    layout = LAYOUTS[4]
    assert layout.size_and_alignment(type_) == model.size_align(type_)
    assert list(layout.flat(type_)) == model.flat(type_)[:17]


@given(st.data(), st.sampled_from(ENCODINGS))
@THOROUGH
def test_arguments_reach_the_guest(data: st.DataObject, encoding: str) -> None:
    world = World(encoding)
    types = data.draw(st.lists(TYPES, min_size=1, max_size=4))
    given_ = [data.draw(values(type_)) for type_ in types]
    func = T.FuncType(tuple((f"p{i}", type_) for i, type_ in enumerate(types)))
    seen: list[Any] = []

    def core(*args: Any) -> None:
        assert len(args) == len(signature(func, lowered=False)[0])
        seen.extend(world.lift_params(types, args))

    world.function(func, core)(*[python(world.namer, t, v) for t, v in zip(types, given_, strict=True)])
    assert seen == given_


@given(st.data(), st.sampled_from(ENCODINGS))
@THOROUGH
def test_results_reach_python(data: st.DataObject, encoding: str) -> None:
    world = World(encoding)
    type_ = data.draw(TYPES)
    value = data.draw(values(type_))
    assert returned(lambda: world.call_result(type_, value), type_) == python(world.namer, type_, value)


@given(st.data(), st.sampled_from(ENCODINGS))
@THOROUGH
def test_a_guest_calls_python(data: st.DataObject, encoding: str) -> None:
    world = World(encoding)
    types = data.draw(st.lists(TYPES, max_size=4))
    given_ = [data.draw(values(type_)) for type_ in types]
    result = data.draw(st.none() | TYPES)
    answer = None if result is None else data.draw(values(result))
    func = T.FuncType(tuple((f"p{i}", type_) for i, type_ in enumerate(types)), result)
    seen: list[Any] = []

    def host(*args: Any) -> Any:
        seen.extend(args)
        return None if result is None else python(world.namer, result, answer)

    params, results = signature(func, lowered=True)
    core: list[Any] = []
    if len([each for type_ in types for each in model.flat(type_)]) > 16:
        whole = T.Tuple(tuple(types))
        size, align = model.size_align(whole)
        at = world.allocate(align, size)
        world.store(whole, tuple(given_), at)
        core.append(at)
    else:
        for type_, value in zip(types, given_, strict=True):
            core += world.model().lower(type_, value)
    place = None
    if len(core) < len(params):
        assert result is not None
        size, align = model.size_align(result)
        place = world.allocate(align, size)
        core.append(place)
    found = world.import_(func, host)(*core)
    assert seen == [python(world.namer, t, v) for t, v in zip(types, given_, strict=True)]
    if result is not None:
        memory = world.model()
        assert answer == (memory.load(result, place) if place is not None else memory.lift(result, [found]))
    assert len(results) == (result is not None and place is None)


@given(st.data(), st.sampled_from(ENCODINGS), st.sampled_from(ENCODINGS))
@THOROUGH
def test_a_guest_calls_another(data: st.DataObject, ours: str, theirs: str) -> None:
    caller = World(ours)
    callee = World(theirs, caller.instance.store)
    type_ = data.draw(TYPES)
    value, answer = data.draw(values(type_)), data.draw(values(type_))
    func = T.FuncType((("p", type_),), type_)
    seen: list[Any] = []

    def core(*args: Any) -> Any:
        seen.extend(callee.lift_params([type_], args))
        if len(model.flat(type_)) <= 1:
            return callee.model().lower(type_, answer)[0]
        at = callee.allocate(*reversed(model.size_align(type_)))
        callee.store(type_, answer, at)
        return at

    maker, _ = guest_calls_guest(func, caller.options, func, callee.options, "f", 1)
    call = maker.make(caller.guest(), callee.guest(), core, None, callee.state.chain)
    params, results = signature(func, lowered=True)
    args: list[Any] = []
    if len(model.flat(type_)) > 16:
        at = caller.allocate(*reversed(model.size_align(type_)))
        caller.store(type_, value, at)
        args.append(at)
    else:
        args += caller.model().lower(type_, value)
    place = None
    if len(args) < len(params):
        place = caller.allocate(*reversed(model.size_align(type_)))
        args.append(place)
    found = call(*args)
    assert seen == [value]
    memory = caller.model()
    assert answer == (memory.load(type_, place) if place is not None else memory.lift(type_, [found]))
    assert len(results) == (place is None)


@pytest.mark.parametrize("name", ["u16", "s32", "u64", "f32", "f64", "s8"])
def test_numbers_may_come_in_a_buffer(name: str) -> None:
    from array import array

    code = {"u16": "H", "s32": "i", "u64": "Q", "f32": "f", "f64": "d", "s8": "b"}[name]
    world = World()
    seen: list[Any] = []
    type_ = T.List(P[name])
    call = world.function(T.FuncType((("p", type_),)), lambda *args: seen.extend(world.lift_params([type_], args)))
    call(array(code, [1, 2, 3]))
    call(memoryview(array(code, [4, 9, 5, 9]))[::2])
    call(array(code))
    call(array("l", [6]))
    assert seen == [[1, 2, 3], [4, 5], [], [6]]
    if not name.startswith("f"):
        with pytest.raises(TypeError, match=r"arg 'p'\[0\]: expected " + name):
            call(array("d", [1, 1.5]))


@pytest.mark.parametrize("given_", [b"abc", bytearray(b"abc"), memoryview(b"a.b.c")[::2], [97, 98, 99], (97, 98, 99)])
def test_bytes_may_be_anything_like_bytes(given_: Any) -> None:
    world = World()
    seen: list[Any] = []
    type_ = T.List(P["u8"])
    world.function(T.FuncType((("p", type_),)), lambda *args: seen.extend(world.lift_params([type_], args)))(given_)
    assert bytes(seen[0]) == b"abc"


def test_a_megabyte_of_bytes_and_a_memory_that_grows() -> None:
    world = World()
    data = bytes(range(256)) * 4096
    type_ = T.List(P["u8"])
    call = world.function(T.FuncType((("p", type_),), type_), lambda at, count: _pair_at(world, at, count))
    assert call(data) == data
    assert len(world.memory) > len(data)


def _pair_at(world: World, *words: int) -> int:
    at = world.allocate(4, 8)
    memoryview(world.memory)[at : at + 8] = b"".join(word.to_bytes(4, "little") for word in words)
    return at


def test_what_lies_beside_a_variant_is_not_padding() -> None:
    """Numbers before and behind a variant are written by themselves."""
    type_ = T.Record((("a", P["u8"]), ("b", T.Option(P["u8"])), ("c", P["u32"])))
    world = World()
    value = {"a": 1, "b": ("some", 7), "c": 0xFFFFFFFF}
    listed = T.List(type_)
    seen: list[Any] = []
    call = world.function(T.FuncType((("p", listed),)), lambda *args: seen.extend(world.lift_params([listed], args)))
    call([python(world.namer, type_, value)] * 3)
    assert seen == [[value] * 3]


@pytest.mark.parametrize("count", [40, 41, 300])
@pytest.mark.parametrize("name", ["u8", "string"])
def test_records_of_any_number_of_fields(count: int, name: str) -> None:
    part = P[name]
    type_ = T.Record(tuple((f"f{number}", part) for number in range(count)))
    value = {f"f{number}": number % 256 if name == "u8" else str(number) for number in range(count)}
    inside = T.Tuple((P["u16"], T.List(type_), type_, T.Option(type_)))
    whole = (7, [value, value], value, ("some", value))
    world = World()
    seen: list[Any] = []
    call = world.function(T.FuncType((("p", inside),)), lambda at: seen.extend(world.lift_params([inside], (at,))))
    call(python(world.namer, inside, whole))
    assert seen == [whole]
    assert world.call_result(inside, whole) == python(world.namer, inside, whole)


def test_types_may_be_nested_as_deep_as_the_limit() -> None:
    type_, value = P["u8"], 5
    for _ in range(99):
        type_, value = T.List(type_), [value]
    world = World()
    seen: list[Any] = []
    call = world.function(T.FuncType((("p", type_),)), lambda *core: seen.extend(world.lift_params([type_], core)))
    call(python(world.namer, type_, value))
    assert world.call_result(type_, value) == python(world.namer, type_, value)
    other = World("utf16", world.instance.store)
    func = T.FuncType((("p", type_),))
    maker, _ = guest_calls_guest(func, world.options, func, other.options, "f", 1)
    given: list[Any] = []
    pass_on = maker.make(world.guest(), other.guest(), lambda *core: given.extend(core), None, other.state.chain)
    pass_on(*world.model().lower(type_, value))
    assert other.lift_params([type_], tuple(given)) == seen == [value]
