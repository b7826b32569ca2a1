"""What Python programs see of types: classes, names, signatures; what else they may give; and what they are told where
a value does not fit."""

from __future__ import annotations

import dataclasses
import enum
import inspect
from typing import Any

import pytest

from tests.component.abi.support import P, World, python
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.values import Err, Ok, ResultError, Some

LEVEL = T.Enum(("debug", "read-only", "warn"))
MODE = T.Flags(("read", "write-back", "exec"))
CONFIG = T.Record((("level", P["u8"]), ("max-size", P["u32"]), ("from", P["string"])))
SHAPE = T.Variant((("circle", P["f64"]), ("rect", T.Tuple((P["u32"], P["u32"]))), ("empty", None)))
NESTED = T.Option(T.Option(P["u8"]))


def world() -> World:
    made = World()
    for type_, name in ((LEVEL, "log-level"), (MODE, "mode"), (CONFIG, "config"), (SHAPE, "shape")):
        made.namer.name(type_, name, "demo")
    return made


def given(type_: T.ValType, value: Any) -> Any:
    """The neutral value that a guest gets for a Python value."""
    here = world()
    seen: list[Any] = []
    call = here.function(T.FuncType((("p", type_),)), lambda *args: seen.extend(here.lift_params([type_], args)))
    call(value)
    return seen[0]


def test_records_are_dataclasses() -> None:
    here = world()
    class_ = here.namer.class_of(CONFIG)
    found = here.call_result(CONFIG, {"level": 1, "max-size": 2, "from": "x"})
    assert dataclasses.is_dataclass(found)
    assert found == class_(1, 2, "x")
    assert found == class_(level=1, max_size=2, from_="x")
    assert repr(found) == "Config(level=1, max_size=2, from_='x')"
    assert class_.__module__ == "demo"
    assert class_.__doc__ == "record Config: level: int, max_size: int, from_: str"


@pytest.mark.parametrize(
    "value",
    [
        {"level": 1, "max-size": 2, "from": "x"},
        {"level": 1, "max_size": 2, "from_": "x"},
        (1, 2, "x"),
        type("Other", (), {"level": 1, "max_size": 2, "from_": "x"})(),
    ],
)
def test_a_record_may_be_a_dictionary_a_tuple_or_alike(value: Any) -> None:
    assert given(CONFIG, value) == {"level": 1, "max-size": 2, "from": "x"}


def test_enums_and_flags_are_enum_types() -> None:
    here = world()
    level = here.call_result(LEVEL, "read-only")
    assert isinstance(level, enum.Enum)
    assert level is here.namer.class_of(LEVEL).READ_ONLY
    assert level.value == "read-only"
    mode = here.call_result(MODE, {"read", "write-back"})
    assert isinstance(mode, enum.Flag)
    class_ = here.namer.class_of(MODE)
    assert mode == class_.READ | class_.WRITE_BACK
    assert given(LEVEL, "read-only") == "read-only"
    assert given(MODE, ["read", "exec"]) == {"read", "exec"}
    assert given(MODE, "exec") == {"exec"}
    assert given(MODE, ()) == frozenset()


def test_variants_are_classes_to_match() -> None:
    here = world()
    class_ = here.namer.class_of(SHAPE)

    def described(shape: Any) -> str:
        match shape:
            case class_.Circle(radius):
                return f"circle {radius}"
            case class_.Rect((width, height)):
                return f"rect {width} {height}"
            case class_.Empty():
                return "empty"
        return "?"

    found = [here.call_result(SHAPE, v) for v in (("circle", 1.5), ("rect", (2, 3)), ("empty", None))]
    assert [described(shape) for shape in found] == ["circle 1.5", "rect 2 3", "empty"]
    assert all(isinstance(shape, class_) for shape in found)
    assert repr(found) == "[Shape.Circle(1.5), Shape.Rect((2, 3)), Shape.Empty()]"
    assert found[1] == class_.Rect((2, 3)) != class_.Rect((2, 4))
    assert len({*found, class_.Empty()}) == 3
    for value in (("circle", 1.5), {"circle": 1.5}):
        assert given(SHAPE, value) == ("circle", 1.5)
    assert given(SHAPE, "empty") == ("empty", None)


def test_options_are_none_or_the_value() -> None:
    here = world()
    option = T.Option(P["string"])
    assert here.call_result(option, ("none", None)) is None
    assert here.call_result(option, ("some", "")) == ""
    assert here.call_result(NESTED, ("none", None)) is None
    assert here.call_result(NESTED, ("some", ("none", None))) == Some(None)
    assert here.call_result(NESTED, ("some", ("some", 3))) == Some(3)
    assert given(NESTED, Some(None)) == ("some", ("none", None))
    with pytest.raises(TypeError, match="arg 'p': expected Some"):
        given(NESTED, 3)


def test_a_result_is_returned_or_raised() -> None:
    here = world()
    type_ = T.Result(P["u32"], P["string"])
    assert here.call_result(type_, ("ok", 5)) == 5
    with pytest.raises(ResultError) as caught:
        here.call_result(type_, ("error", "no room"))
    assert caught.value.payload == "no room"
    assert str(caught.value) == "the function returned an error: 'no room'"
    with pytest.raises(ResultError, match=r"^the function returned an error$"):
        here.call_result(T.Result(), ("error", None))
    assert here.call_result(T.List(type_), [("ok", 5), ("error", "x")]) == [Ok(5), Err("x")]


def test_a_host_function_returns_or_raises_its_result() -> None:
    here = world()
    func = T.FuncType((), T.Result(None, P["u8"]))

    def answer(host: Any) -> Any:
        place = here.allocate(4, 8)
        here.import_(func, host)(place)
        return here.model().load(func.result, place)  # type: ignore[arg-type]

    def fails() -> None:
        raise ResultError(7)

    assert answer(lambda: None) == ("ok", None)
    assert answer(lambda: Ok()) == ("ok", None)
    assert answer(lambda: Err(9)) == ("error", 9)
    assert answer(fails) == ("error", 7)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine"), SystemExit(3)])
def test_what_a_host_function_raises_comes_out_as_it_is(error: BaseException) -> None:
    here = world()

    def fails() -> None:
        raise error

    core = here.import_(T.FuncType(()), fails)
    with pytest.raises(type(error)) as caught:
        here.function(T.FuncType(()), core)()
    assert caught.value is error


def test_a_function_has_a_signature_and_takes_keywords() -> None:
    here = world()
    seen: list[Any] = []
    func = T.FuncType((("config", CONFIG), ("for", T.List(P["u8"]))), T.Result(T.Option(SHAPE), LEVEL))
    call = here.function(func, lambda *args: seen.append(args) or 0, "ns:pkg/demo#[method]thing.do-it")
    assert str(inspect.signature(call)) == "(config: 'Config', for_: 'bytes') -> 'Shape | None'"
    assert call.__name__ == "do_it"
    assert call.__doc__.endswith("\n\nRaises ResultError with LogLevel.")
    call(for_=b"", config=(1, 2, "x"))
    with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'for_'"):
        call((1, 2, "x"))
    assert len(seen) == 1


def test_parameters_may_be_called_what_the_code_uses_itself() -> None:
    here = world()
    names = [
        "g",
        "p",
        "core",
        "value",
        "char",
        "scope",
        "r",
        "own",
        "block",
        "explain",
        "owning",
        "outer",
        "doomed",
        "s0",
    ]
    func = T.FuncType(tuple((name, P["string"]) for name in names[:8]))
    seen: list[Any] = []
    call = here.function(func, lambda *args: seen.extend(here.lift_params([P["string"]] * 8, args)))
    call(**{name: name for name in names[:8]})
    assert seen == names[:8]


@pytest.mark.parametrize(
    ("type_", "value", "message"),
    [
        (P["u8"], 256, "arg 'p': expected u8, got 256"),
        (P["u8"], -1, "arg 'p': expected u8, got -1"),
        (P["s16"], 1.0, r"arg 'p': expected s16, got 1\.0"),
        (P["u64"], 1 << 64, "arg 'p': expected u64, got 18446744073709551616"),
        (P["bool"], 2, "arg 'p': expected bool, got 2"),
        (P["f64"], "1", "arg 'p': expected f64, got '1'"),
        (P["f32"], b"1", "arg 'p': expected f32, got b'1'"),
        (P["char"], "ab", "arg 'p': expected char, got 'ab'"),
        (P["char"], "\ud800", r"arg 'p': expected char, got '\\ud800'"),
        (P["string"], b"x", "arg 'p': expected string, got b'x'"),
        (P["string"], "\udfff", r"arg 'p': expected string, got '\\udfff'"),
        (T.List(P["string"]), "abc", r"arg 'p': expected list\[str\], got 'abc'"),
        (T.List(P["string"]), ["a", 1], r"arg 'p'\[1\]: expected string, got 1"),
        (T.List(P["u8"]), [1, 256], r"arg 'p'\[1\]: expected u8, got 256"),
        (T.List(P["u8"]), "abc", "arg 'p': expected bytes, got 'abc'"),
        (T.List(P["char"]), ["ab", ""], r"arg 'p'\[0\]: expected char, got 'ab'"),
        (T.FixedList(P["u8"], 2), b"abc", r"arg 'p': expected bytes, got b'abc'"),
        (T.Tuple((P["u8"], P["bool"])), (1,), r"arg 'p': expected tuple\[int, bool\], got \(1,\)"),
        (T.Tuple((P["u8"], P["bool"])), (1, "x"), r"arg 'p'\[1\]: expected bool, got 'x'"),
        (CONFIG, {"level": 300, "max-size": 1, "from": ""}, r"arg 'p'\.level: expected u8, got 300"),
        (CONFIG, {"level": 3}, r"arg 'p': expected Config, got \{'level': 3\}"),
        (T.List(CONFIG), [(1, 2, "a"), (1, 2, 3)], r"arg 'p'\[1\]\.from_: expected string, got 3"),
        (LEVEL, "loud", r"arg 'p': expected LogLevel \(one of debug, read-only, warn\), got 'loud'"),
        (MODE, ["read", "loud"], r"arg 'p': expected Mode \(one of read, write-back, exec\), got \['read', 'loud'\]"),
        (SHAPE, "square", "arg 'p': expected Shape, got 'square'"),
        (SHAPE, ("circle", "x"), r"arg 'p'\.circle: expected f64, got 'x'"),
        (T.Option(P["u8"]), "x", "arg 'p': expected u8, got 'x'"),
        (T.Map(P["string"], P["u8"]), {"a": 300}, r"arg 'p'\['a'\]: expected u8, got 300"),
        (T.Map(P["string"], P["u8"]), 3, r"arg 'p': expected dict\[str, int\], got 3"),
    ],
)
@pytest.mark.parametrize("in_memory", [False, True])
def test_what_does_not_fit_is_named(type_: T.ValType, value: Any, message: str, in_memory: bool) -> None:
    """In core values and, where there are too many of them, in memory."""
    here = world()
    more = [(f"q{i}", P["u64"]) for i in range(17)] if in_memory else []
    call = here.function(T.FuncType((("p", type_), *more)), lambda *args: None)
    rest = [0] * len(more)
    with pytest.raises(TypeError, match=message):
        call(value, *rest)
    # Nothing has happened to the instance.
    assert here.state.may_enter
    good = {P["u8"]: 1, P["string"]: "x"}.get(type_)
    if good is not None:
        call(good, *rest)


def test_what_a_host_function_returns_is_checked() -> None:
    here = world()
    core = here.import_(T.FuncType((), P["u8"]), lambda: 300, "ns:pkg/demo#f")
    with pytest.raises(TypeError, match="ns:pkg/demo#f returned: expected u8, got 300"):
        core()
    with pytest.raises(TypeError, match="f returned int, but it has no result"):
        here.import_(T.FuncType(()), lambda: 3)()


def test_types_without_a_name_are_called_by_what_they_are() -> None:
    here = World()
    assert repr(here.call_result(CONFIG, {"level": 1, "max-size": 2, "from": "x"})).startswith("Record(level=1")
    assert python(here.namer, SHAPE, ("empty", None)).__class__.__qualname__ == "Variant.Empty"


def test_numbers_beyond_the_largest_f32_are_infinite() -> None:
    assert given(T.List(P["f32"]), [1e300, -1e300]) == [float("inf"), float("-inf")]
    assert given(T.Tuple((P["f32"],) * 17), (1e300,) * 17) == (float("inf"),) * 17
