"""Python values as wasm values and back, at every boundary there is."""

from __future__ import annotations

import decimal
import fractions
import gc
import math
import struct
import weakref
from collections.abc import Callable
from typing import Any

import pytest

import wasmark
from wasmark.core.types import EXTERNREF, F32, F64, FUNCREF, I32, I64, FuncType, GlobalType, NumType

TEXT = """(module
  (func (export "i32") (param i32) (result i32) (local.get 0))
  (func (export "i64") (param i64) (result i64) (local.get 0))
  (func (export "f32") (param f32) (result f32) (local.get 0))
  (func (export "f64") (param f64) (result f64) (local.get 0))
  (func (export "extern") (param externref) (result externref) (local.get 0))
  (func (export "func") (param funcref) (result funcref) (local.get 0))
  (func (export "typed") (param (ref null $t)) (result (ref null $t)) (local.get 0))
  (func (export "must") (param (ref extern)) (result externref) (local.get 0))
  (func (export "many") (param i32 i64 f32 f64 externref funcref) (result funcref externref f64 f32 i64 i32)
    (local.get 5) (local.get 4) (local.get 3) (local.get 2) (local.get 1) (local.get 0))
  (func (export "none"))
  (type $t (func (param i32) (result i32)))
  (func $add1 (export "add1") (type $t) (i32.add (local.get 0) (i32.const 1)))
  (func $add2 (export "add2") (type $t) (i32.add (local.get 0) (i32.const 2)))
  (func (export "choose") (param i32) (result funcref)
    (select (result funcref) (ref.func $add1) (ref.func $add2) (local.get 0)))
  (func (export "call") (param (ref $t) i32) (result i32) (call_ref $t (local.get 1) (local.get 0)))
  (table $table (export "table") 4 externref)
  (func (export "put") (param i32 externref) (table.set $table (local.get 0) (local.get 1)))
  (func (export "get") (param i32) (result externref) (table.get $table (local.get 0)))
  (global $global (export "global") (mut externref) (ref.null extern))
  (func (export "keep") (param externref) (global.set $global (local.get 0)))
  (func (export "kept") (result externref) (global.get $global)))"""


@pytest.fixture(scope="module")
def instance() -> wasmark.Instance:
    return wasmark.Instance(wasmark.Module(TEXT))


@pytest.fixture(scope="module")
def exports(instance: wasmark.Instance) -> Any:
    return instance.exports


Way = Callable[[NumType, Any], Any]


def through_global(instance: wasmark.Instance, type_: NumType, value: Any) -> Any:
    """The value that a new global has, and one that was set."""
    global_ = wasmark.Global(instance.store, GlobalType(type_, True), value)
    first = global_.value
    global_.value = value
    assert repr(global_.value) == repr(first)
    return first


@pytest.fixture(params=["call", "slow call", "host function", "global"])
def way(request: pytest.FixtureRequest, instance: wasmark.Instance) -> Way:
    """A way of a value into wasm and out of it again."""

    def call(type_: NumType, value: Any) -> Any:
        return instance.exports[str(type_)](value)

    def slow(type_: NumType, value: Any) -> Any:
        return instance.exports[str(type_)].call(value)

    def host(type_: NumType, value: Any) -> Any:
        function = wasmark.Func.from_callable(instance.store, FuncType((), (type_,)), lambda: value)
        return function()

    def global_(type_: NumType, value: Any) -> Any:
        return through_global(instance, type_, value)

    return {"call": call, "slow call": slow, "host function": host, "global": global_}[request.param]


# --- integers -------------------------------------------------------------------------------------------


class Index:
    """A number by `__index__` only."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


@pytest.mark.parametrize("type_", [I32, I64])
def test_integers_are_accepted_signed_and_unsigned_and_nothing_beyond(way: Way, type_: NumType) -> None:
    bits = int(str(type_)[1:])
    half, top = 1 << (bits - 1), 1 << bits
    for value in (-half, -half + 1, -1, 0, 1, half - 1, half, half + 1, top - 1):
        expected = value - top if value >= half else value
        assert way(type_, value) == expected
        assert way(type_, Index(value)) == expected
    for value in (-half - 1, top, top + 1, -top, 1 << 64, -(1 << 63) - 1, 1 << 65, 10**30, -(10**30), 1 << 5000):
        for given in (value, Index(value)):
            with pytest.raises(OverflowError, match=f"does not fit {type_}"):
                way(type_, given)


@pytest.mark.parametrize("type_", [I32, I64])
def test_what_has_no_index_is_no_integer(way: Way, type_: NumType) -> None:
    for value in (1.0, "1", b"1", None, [1], (1,), 1j, fractions.Fraction(1), decimal.Decimal(1), object(), math.nan):
        with pytest.raises(TypeError, match=f"expected an int for {type_}, got {type(value).__name__}"):
            way(type_, value)


@pytest.mark.parametrize("type_", [I32, I64])
def test_booleans_and_subclasses_are_integers(way: Way, type_: NumType) -> None:
    class Sub(int):
        def __add__(self, other: Any) -> Any:
            raise AssertionError

    result = way(type_, True)
    assert result == 1
    assert type(result) is int
    assert type(way(type_, Sub(5))) is int
    assert way(type_, Sub(-5)) == -5


@pytest.mark.parametrize("type_", [I32, I64])
def test_integers_of_numpy(way: Way, type_: NumType) -> None:
    numpy = pytest.importorskip("numpy")
    bits = int(str(type_)[1:])
    for name in ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"):
        info = numpy.iinfo(name)
        for number in (info.min, info.max, 0, 1):
            value = getattr(numpy, name)(number)
            if -(1 << (bits - 1)) <= number < 1 << bits:
                assert way(type_, value) == (int(number) + (1 << (bits - 1))) % (1 << bits) - (1 << (bits - 1))
            else:
                with pytest.raises(OverflowError):
                    way(type_, value)
    with pytest.raises(TypeError):
        way(type_, numpy.float64(1))


def test_an_index_that_raises_is_heard_and_one_that_lies_is_refused(exports: Any) -> None:
    class Bad:
        def __index__(self) -> Any:
            raise ZeroDivisionError

    class Lie:
        def __index__(self) -> Any:
            return "5"

    for name in ("i32", "i64"):
        with pytest.raises(ZeroDivisionError):
            exports[name](Bad())
        with pytest.raises(TypeError):
            exports[name](Lie())


def test_an_index_may_call_wasm_itself(exports: Any) -> None:
    class Calling:
        def __index__(self) -> int:
            thing = object()
            assert exports.extern(thing) is thing
            return int(exports.i32(41)) + 1

    assert exports.i64(Calling()) == 42
    # While one argument is converted, the references among the others must not be let go of.
    first = object()

    class Sweeping:
        def __index__(self) -> int:
            for _ in range(3000):
                exports.extern([])
            return 5

    assert exports.many(1, 2, 3.0, 4.0, first, None)[1] is first
    assert exports.many(Sweeping(), Sweeping(), 3.0, 4.0, first, None)[1] is first
    assert exports.put(0, first) is None
    assert exports.get(0) is first


# --- floats -------------------------------------------------------------------------------------------------

DOUBLES = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    math.pi,
    5e-324,
    2.2250738585072014e-308,
    2.225073858507201e-308,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    2.0**53 + 2,
]
SINGLE_LIMIT = 2.0**128 - 2.0**103  # from here on, rounding to nearest gives infinity


def test_doubles_come_back_bit_by_bit(way: Way) -> None:
    for value in DOUBLES:
        assert struct.pack("<d", way(F64, value)) == struct.pack("<d", value)
    assert math.isnan(way(F64, math.nan))


def test_singles_are_rounded_to_nearest_even_and_beyond_the_largest_to_infinity(way: Way) -> None:
    single = struct.Struct("<f")
    for value in (0.1, 1 + 2.0**-24, 1 + 3 * 2.0**-24, 1e-45, 7e-46, 1.1754942e-38, 3.4028234663852886e38, -0.0):
        assert single.pack(way(F32, value)) == single.pack(value)
    largest = 3.4028234663852886e38
    assert way(F32, math.nextafter(SINGLE_LIMIT, 0)) == largest
    for value in (SINGLE_LIMIT, 1e39, 1.7976931348623157e308, math.inf):
        assert way(F32, value) == math.inf
        assert way(F32, -value) == -math.inf
    assert math.isnan(way(F32, math.nan))


@pytest.mark.parametrize("type_", [F32, F64])
def test_whole_numbers_and_number_like_objects_are_floats(way: Way, type_: NumType) -> None:
    class Real:
        def __float__(self) -> float:
            return 2.5

    for value, expected in (
        (3, 3.0),
        (True, 1.0),
        (-(1 << 60), -float(1 << 60)),
        (Index(7), 7.0),
        (Real(), 2.5),
        (fractions.Fraction(1, 4), 0.25),
        (decimal.Decimal("0.5"), 0.5),
    ):
        assert way(type_, value) == expected
    with pytest.raises(OverflowError):
        way(type_, 10**400)


@pytest.mark.parametrize("type_", [F32, F64])
def test_text_and_buffers_are_no_floats(way: Way, type_: NumType) -> None:
    for value in ("1.5", b"1.5", bytearray(b"1"), memoryview(b"1.5"), None, [1.0], 1j, object()):
        with pytest.raises(TypeError, match=f"expected a float for {type_}, got {type(value).__name__}"):
            way(type_, value)


def test_floats_of_numpy(way: Way) -> None:
    numpy = pytest.importorskip("numpy")
    assert way(F64, numpy.float64(0.1)) == 0.1
    assert way(F32, numpy.float32(0.1)) == float(numpy.float32(0.1))
    assert way(F64, numpy.float16(0.5)) == 0.5
    assert way(F64, numpy.int64(3)) == 3.0


def test_payloads_of_nans_survive_as_bits(exports: Any) -> None:
    for bits in (0x7FC00000, 0x7FC00001, 0x7FA00000, 0x7F800001, 0xFFFFFFFF, 0xFF800001, 0x80000001):
        assert exports.f32.call_bits([bits]) == [bits]
    for bits in (0x7FF8000000000000, 0x7FF0000000000001, 0xFFF7FFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 1):
        assert exports.f64.call_bits([bits]) == [bits]
    nan = struct.unpack("<d", struct.pack("<Q", 0xFFF8000000000123))[0]
    assert struct.pack("<d", exports.f64(nan)) == struct.pack("<d", nan)


def test_bits_are_masked_to_their_type(exports: Any) -> None:
    assert exports.i32.call_bits([0xFFFFFFFF12345678]) == [0x12345678]
    assert exports.i64.call_bits([0xFFFFFFFFFFFFFFFF]) == [0xFFFFFFFFFFFFFFFF]
    assert exports.extern.call_bits([0]) == [0]
    with pytest.raises(TypeError, match="takes 1 argument"):
        exports.i32.call_bits([])


# --- how many -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["i32", "f64", "extern", "many", "none"])
def test_too_many_or_too_few_arguments_are_named(exports: Any, name: str) -> None:
    function = exports[name]
    wanted = len(function.type.params)
    for given in {0, 1, wanted - 1, wanted + 1, 100} - {wanted, -1}:
        plural = "" if wanted == 1 else "s"
        for call in (function, function.call):
            with pytest.raises(TypeError, match=rf"{name}\(\) takes {wanted} argument{plural} \({given} given\)"):
                call(*[1] * given)
    with pytest.raises(TypeError):
        function(*[1] * wanted, extra=1)


def test_values_of_all_types_keep_their_places(exports: Any) -> None:
    thing = {}
    assert exports.many(1, -2, 3.5, -4.5, thing, exports.none) == (exports.none, thing, -4.5, 3.5, -2, 1)
    assert exports.many(1, 2, 3, 4, None, None) == (None, None, 4.0, 3.0, 2, 1)


# --- externref ----------------------------------------------------------------------------------------------


class Odd:
    """An object that is difficult to compare, to hash and to print."""

    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise AssertionError

    def __bool__(self) -> bool:
        raise AssertionError

    def __repr__(self) -> str:
        raise AssertionError


THINGS: list[Any] = [
    None,
    False,
    0,
    0.0,
    "",
    (),
    1 << 100,
    math.nan,
    [],
    {},
    object(),
    Odd(),
    Odd,
    print,
    lambda: None,
    wasmark,
    NotImplemented,
    ...,
    ValueError("x"),
    memoryview(b"x"),
    iter([]),
]


@pytest.mark.parametrize("number", range(len(THINGS)))
def test_an_externref_is_the_very_object(exports: Any, number: int) -> None:
    thing = THINGS[number]
    assert exports.extern(thing) is thing
    exports.put(1, thing)
    assert exports.get(1) is thing
    assert exports.table[1] is thing
    exports.table[2] = thing
    assert exports.get(2) is thing
    exports.keep(thing)
    assert exports.kept() is thing
    assert exports["global"].value is thing
    exports["global"].value = thing
    assert exports.kept() is thing


def test_wasms_own_objects_can_be_externrefs(exports: Any, instance: wasmark.Instance) -> None:
    for thing in (exports.i32, exports.table, exports["global"], instance, instance.store, instance.module, exports):
        assert exports.extern(thing) is thing


def test_an_externref_that_may_not_be_null(exports: Any) -> None:
    assert exports.must(5) == 5
    with pytest.raises(TypeError, match=r"None is not a \(ref extern\)"):
        exports.must(None)


def test_objects_are_let_go_of_when_wasm_does(instance: wasmark.Instance, exports: Any) -> None:
    class Thing:
        pass

    held: dict[str, Thing] = {name: Thing() for name in ("table", "global", "own global", "python table", "dropped")}
    watched = {name: weakref.ref(thing) for name, thing in held.items()}
    exports.put(3, held["table"])
    exports.keep(held["global"])
    own = wasmark.Global(instance.store, GlobalType(EXTERNREF, True), held["own global"])
    mine = wasmark.Table(instance.store, wasmark.TableType(EXTERNREF, wasmark.Limits(1)))
    mine[0] = held["python table"]
    exports.extern(held["dropped"])
    del held
    for _ in range(5000):
        exports.extern(Thing())
    gc.collect()
    assert len(instance.store.collector.externs) < 3000
    assert {name for name, watch in watched.items() if watch() is not None} == set(watched) - {"dropped"}
    assert exports.get(3) is watched["table"]()
    assert exports.kept() is watched["global"]()
    assert own.value is watched["own global"]()
    assert mine[0] is watched["python table"]()
    exports.put(3, None)
    exports.keep(None)
    own.value = mine[0] = None
    for _ in range(5000):
        exports.extern(Thing())
    gc.collect()
    assert [watch() for watch in watched.values()] == [None] * 5


def test_objects_in_passive_segments_stay() -> None:
    store = wasmark.Store()
    thing = object()
    global_ = wasmark.Global(store, GlobalType(EXTERNREF, False), thing)
    module = wasmark.Module(
        """(module (import "m" "g" (global $g externref)) (table $t 2 externref)
        (elem $e externref (global.get $g) (ref.null extern))
        (func (export "init") (table.init $t $e (i32.const 0) (i32.const 0) (i32.const 2)))
        (func (export "get") (result externref) (table.get $t (i32.const 0)))
        (func (export "any") (param externref) (result externref) (local.get 0)))"""
    )
    exports = wasmark.Instance(module, {"m": {"g": global_}}, store).exports
    for _ in range(3000):
        exports.any([])
    exports.init()
    assert exports.get() is thing


def test_objects_on_their_way_through_nested_calls_stay() -> None:
    module = wasmark.Module(
        """(module (import "h" "f" (func $f (param externref) (result externref)))
        (func (export "run") (param externref externref) (result externref externref externref)
          (local.get 0) (call $f (local.get 1)) (local.get 1)))"""
    )
    depth = 0

    def function(value: Any) -> Any:
        nonlocal depth
        if depth:
            return value
        depth += 1
        for _ in range(3000):
            fresh, other = [1], [2]
            first, second, third = exports.run(fresh, other)
            assert first is fresh
            assert second is third is other
        depth -= 1
        return answer

    answer, one, two = object(), object(), object()
    exports = wasmark.Instance(module, {"h": {"f": function}}).exports
    first, second, third = exports.run(one, two)
    assert first is one
    assert second is answer
    assert third is two


# --- funcref ------------------------------------------------------------------------------------------------


def test_functions_are_the_same_object_wherever_they_come_from(exports: Any, instance: wasmark.Instance) -> None:
    assert exports.func(exports.add1) is exports.add1
    assert exports.choose(1) is exports.add1
    assert exports.choose(0) is exports.add2
    assert exports.typed(exports.add2) is exports.add2
    assert exports.func(None) is None
    host = wasmark.Func.from_callable(instance.store, FuncType((I32,), (I32,)), lambda x: x * 10)
    assert exports.func(host) is host
    assert exports.typed(host) is host
    assert exports.call(host, 4) == 40
    assert exports.call(exports.add2, 4) == 6


def test_functions_of_the_wrong_type_are_refused(exports: Any, instance: wasmark.Instance) -> None:
    with pytest.raises(TypeError, match="is not a"):
        exports.typed(exports.none)
    with pytest.raises(TypeError, match="is not a"):
        exports.call(exports.i64, 1)
    with pytest.raises(TypeError, match="None is not a"):
        exports.call(None, 1)
    for value in (print, 5, "f", object()):
        with pytest.raises(TypeError, match=r"expected a wasmark\.Func or None for funcref"):
            exports.func(value)
    other = wasmark.Instance(instance.module)
    with pytest.raises(TypeError, match="belongs to another store"):
        exports.func(other.exports.add1)


def test_a_functions_object_comes_and_goes_and_the_function_stays(exports: Any) -> None:
    fresh = wasmark.Instance(wasmark.Module(TEXT)).exports
    first = fresh.choose(1)
    number = first.address
    assert first(1) == 2
    watch = weakref.ref(first)
    del first
    gc.collect()
    assert watch() is None
    again = fresh.choose(1)
    assert (again.address, again(5)) == (number, 6)
    assert again is fresh.add1


def test_the_results_of_a_host_function_may_be_functions(exports: Any, instance: wasmark.Instance) -> None:
    maker = wasmark.Func.from_callable(instance.store, FuncType((I32,), (FUNCREF,)), lambda n: exports[f"add{n}"])
    assert maker(1) is exports.add1
    assert maker(2)(3) == 5
