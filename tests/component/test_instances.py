"""Components in Python's hands: exports, imports, resources, linking, and what happens when something goes wrong."""

from __future__ import annotations

import gc
import inspect
import threading
from typing import Any

import pytest

import wasmark
from wasmark import Component, ComponentInstance, ComponentLinker, ComponentTrap, ComponentTrapCode, ResultError

LIBC = """
  (core module $Libc (memory (export "memory") 1) (global $next (mut i32) (i32.const 64))
    (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
      (global.set $next (i32.and (i32.add (global.get $next) (i32.const 15)) (i32.const -16)))
      (global.get $next)
      (global.set $next (i32.add (global.get $next) (local.get $new)))))
  (core instance $libc (instantiate $Libc))"""

COUNTER = f"""(component $shop {LIBC}
  (core module $Count (global $live (mut i32) (i32.const 0))
    (func (export "up") (global.set $live (i32.add (global.get $live) (i32.const 1))))
    (func (export "end") (param i32) (global.set $live (i32.sub (global.get $live) (i32.const 1))))
    (func (export "live") (result i32) (global.get $live)))
  (core instance $count (instantiate $Count))
  (type $T (resource (rep i32) (dtor (core func $count "end"))))
  (core func $new (canon resource.new $T))
  (core func $drop (canon resource.drop $T))
  (core module $Main
    (import "libc" "memory" (memory 1))
    (import "count" "up" (func $up))
    (import "r" "new" (func $new (param i32) (result i32)))
    (import "r" "drop" (func $drop (param i32)))
    (func (export "make") (param i32) (result i32)
      (call $up)
      (call $new (local.get 0)))
    (func (export "value") (param i32) (result i32) (local.get 0))
    (func (export "sum") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
    (func (export "take") (param i32) (call $drop (local.get 0)))
    (func (export "swap") (param i32 i32) (call $drop (local.get 0)))
    (func (export "break") (param i32) (result i32) (unreachable))
    (func (export "fail") (result i32) (i32.div_u (i32.const 1) (i32.const 0)))
    (func (export "half") (param i32) (result i32)
      (i32.store8 (i32.const 0) (i32.and (local.get 0) (i32.const 1)))
      (i32.store (i32.const 4) (i32.div_u (local.get 0) (i32.const 2)))
      (i32.const 0))
    (func (export "loop") (result i32) (local $i i32)
      (loop (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br_if 0 (i32.lt_u (local.get $i) (i32.const 2000000))))
      (local.get $i)))
  (core instance $main (instantiate $Main
    (with "libc" (instance $libc)) (with "count" (instance $count))
    (with "r" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func $make (param "start" u32) (result (own $T)) (canon lift (core func $main "make")))
  (func $value (param "self" (borrow $T)) (result u32) (canon lift (core func $main "value")))
  (func $sum (param "a" (borrow $T)) (param "b" (borrow $T)) (result u32) (canon lift (core func $main "sum")))
  (func $take (param "counter" (own $T)) (canon lift (core func $main "take")))
  (func $swap (param "counter" (own $T)) (param "n" u8) (canon lift (core func $main "swap")))
  (func $break (param "self" (borrow $T)) (result u32) (canon lift (core func $main "break")))
  (func $live (result u32) (canon lift (core func $count "live")))
  (func $fail (result u32) (canon lift (core func $main "fail")))
  (func $half (param "of" u32) (result (result u32 (error u32)))
    (canon lift (core func $main "half") (memory (core memory $libc "memory"))))
  (func $loop (result u32) (canon lift (core func $main "loop")))
  (component $Shim
    (import "t" (type $T (sub resource)))
    (import "make" (func $make (param "start" u32) (result (own $T))))
    (import "value" (func $value (param "self" (borrow $T)) (result u32)))
    (import "sum" (func $sum (param "a" (borrow $T)) (param "b" (borrow $T)) (result u32)))
    (import "take" (func $take (param "counter" (own $T))))
    (import "swap" (func $swap (param "counter" (own $T)) (param "n" u8)))
    (import "break" (func $break (param "self" (borrow $T)) (result u32)))
    (export $E "counter" (type $T))
    (export "[method]counter.break" (func $break) (func (param "self" (borrow $E)) (result u32)))
    (export "swap" (func $swap) (func (param "counter" (own $E)) (param "n" u8)))
    (export "[constructor]counter" (func $make) (func (param "start" u32) (result (own $E))))
    (export "[method]counter.get-value" (func $value) (func (param "self" (borrow $E)) (result u32)))
    (export "[static]counter.sum" (func $sum)
      (func (param "a" (borrow $E)) (param "b" (borrow $E)) (result u32)))
    (export "take" (func $take) (func (param "counter" (own $E)))))
  (instance $api (instantiate $Shim (with "t" (type $T)) (with "make" (func $make)) (with "value" (func $value))
    (with "sum" (func $sum)) (with "take" (func $take)) (with "swap" (func $swap)) (with "break" (func $break))))
  (export "demo:shop/counters@1.2.0" (instance $api))
  (export "live" (func $live))
  (export "fail" (func $fail))
  (export "half-of" (func $half))
  (export "loop" (func $loop)))"""

USER = """(component $user
  (import "demo:shop/counters@1.1.0" (instance $api
    (export "counter" (type $T (sub resource)))
    (export "[constructor]counter" (func (param "start" u32) (result (own $T))))
    (export "[method]counter.get-value" (func (param "self" (borrow $T)) (result u32)))
    (export "take" (func (param "counter" (own $T))))))
  (alias export $api "counter" (type $T))
  (core func $make (canon lower (func $api "[constructor]counter")))
  (core func $value (canon lower (func $api "[method]counter.get-value")))
  (core func $take (canon lower (func $api "take")))
  (core func $drop (canon resource.drop $T))
  (core module $Main
    (import "api" "make" (func $make (param i32) (result i32)))
    (import "api" "value" (func $value (param i32) (result i32)))
    (import "api" "take" (func $take (param i32)))
    (import "api" "drop" (func $drop (param i32)))
    (func (export "run") (param i32) (result i32) (local $a i32) (local $b i32)
      (local.set $a (call $make (local.get 0)))
      (local.set $b (call $make (i32.const 1000)))
      (i32.add (call $value (local.get $a)) (call $value (local.get $b)))
      (call $drop (local.get $a))
      (call $take (local.get $b)))
    (func (export "keep") (param i32) (result i32)
      (local.get 0)))
  (core instance $main (instantiate $Main (with "api" (instance
    (export "make" (func $make)) (export "value" (func $value))
    (export "take" (func $take)) (export "drop" (func $drop))))))
  (func (export "run") (param "n" u32) (result u32) (canon lift (core func $main "run")))
  (func (export "keep") (param "counter" (borrow $T)) (result u32) (canon lift (core func $main "keep"))))"""

HOST = f"""(component $hosted {LIBC}
  (import "ask" (func $ask (param "question" string) (result string)))
  (core func $ask' (canon lower (func $ask) (memory (core memory $libc "memory"))
    (realloc (core func $libc "realloc"))))
  (core module $Main
    (import "host" "ask" (func $ask (param i32 i32 i32)))
    (func $inner (export "relay") (param i32 i32) (result i32)
      (call $ask (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
  (core instance $main (instantiate $Main (with "host" (instance (export "ask" (func $ask'))))))
  (func (export "relay") (param "question" string) (result string) (canon lift (core func $main "relay")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc")))))"""


@pytest.fixture(scope="module")
def shop() -> Component:
    return Component(COUNTER)


@pytest.fixture(scope="module")
def user() -> Component:
    return Component(USER)


@pytest.fixture(scope="module")
def hosted() -> Component:
    return Component(HOST)


def test_exports_are_found_by_their_names_and_as_python_writes_them(shop: Component) -> None:
    exports = ComponentInstance(shop).exports
    assert list(exports) == ["demo:shop/counters@1.2.0", "live", "fail", "half-of", "loop"]
    api = exports["demo:shop/counters@1.2.0"]
    assert exports.counters is exports["counters"] is exports["demo:shop/counters"] is api
    assert exports["demo:shop/counters@1.0.7"] is api
    assert "demo:shop/counters@2.0.0" not in exports
    assert exports.half_of is exports["half-of"]
    assert "half_of" in dir(exports)
    with pytest.raises(AttributeError, match="the component exports no 'nothing'"):
        exports.nothing  # noqa: B018 - the access is the test
    with pytest.raises(KeyError):
        exports["nothing"]


def test_a_function_returns_or_raises_its_result(shop: Component) -> None:
    half_of = ComponentInstance(shop).exports.half_of
    assert half_of(10) == 5
    with pytest.raises(ResultError) as caught:
        half_of(of=11)
    assert caught.value.payload == 5
    assert str(inspect.signature(half_of)) == "(of: 'int') -> 'int'"


def test_a_resource_is_an_object_with_methods(shop: Component) -> None:
    instance = ComponentInstance(shop)
    counter_class = instance.exports.counters.Counter
    first, second = counter_class(3), counter_class(start=4)
    assert isinstance(first, counter_class)
    assert first.get_value() == 3
    assert counter_class.sum(first, second) == 7
    assert str(inspect.signature(counter_class.get_value)) == "(self: 'Counter') -> 'int'"
    assert instance.exports.live() == 2
    first.drop()
    first.drop()
    assert instance.exports.live() == 1
    with pytest.raises(ValueError, match="dropped or given away"):
        first.get_value()
    with second as same:
        assert same is second
    assert instance.exports.live() == 0
    assert repr(second) == "<Counter resource, gone>"


def test_a_resource_that_python_lets_go_of_is_dropped(shop: Component) -> None:
    instance = ComponentInstance(shop)
    counter = instance.exports.counters.Counter(1)
    assert instance.exports.live() == 1
    del counter
    gc.collect()
    assert instance.exports.live() == 0


def test_a_resource_that_was_given_away_is_gone(shop: Component) -> None:
    instance = ComponentInstance(shop)
    counter = instance.exports.counters.Counter(1)
    instance.exports.counters.take(counter)
    assert instance.exports.live() == 0
    with pytest.raises(ValueError, match="dropped or given away"):
        instance.exports.counters.take(counter)
    other = ComponentInstance(shop).exports.counters.Counter(1)
    with pytest.raises(TypeError, match="expected a Counter of this instance"):
        instance.exports.counters.take(other)
    assert other.get_value() == 1


def test_a_resource_stays_where_the_call_does_not_come_about(shop: Component) -> None:
    instance = ComponentInstance(shop)
    api = instance.exports.counters
    counter = api.Counter(1)
    with pytest.raises(TypeError, match="arg 'n': expected u8, got 300"):
        api.swap(counter, 300)
    assert counter.get_value() == 1
    api.swap(counter, 30)
    assert instance.exports.live() == 0


def test_a_trap_in_a_method_comes_out_of_a_with_statement(shop: Component) -> None:
    """The end of the statement cannot drop the resource any more, and says nothing of it."""
    instance = ComponentInstance(shop)
    with pytest.raises(wasmark.Trap, match="unreachable executed"), instance.exports.counters.Counter(1) as counter:
        counter.break_()
    assert counter.lends == 0
    with pytest.raises(ComponentTrap, match="cannot enter component instance"):
        instance.exports.live()


def test_one_component_uses_another(shop: Component, user: Component) -> None:
    store = wasmark.Store()
    shop_instance = ComponentInstance(shop, store=store)
    for imports in (shop_instance.exports, {"demo:shop/counters@1.2.0": shop_instance.exports.counters}):
        instance = ComponentInstance(user, imports, store)
        assert instance.exports.run(5) == 1005
        assert shop_instance.exports.live() == 0
    counter = shop_instance.exports.counters.Counter(7)
    with pytest.raises(ComponentTrap, match="borrow handles still remain") as caught:
        instance.exports.keep(counter)
    assert caught.value.code is ComponentTrapCode.BORROWS_REMAIN


def test_a_linker_gives_what_it_was_given(shop: Component, user: Component) -> None:
    store = wasmark.Store()
    linker = ComponentLinker()
    linker.define_instance(linker.instantiate(shop, store))
    assert linker.instantiate(user, store).exports.run(1) == 1001
    with pytest.raises(wasmark.LinkError, match="is defined already"):
        linker.define("live", print)


def test_a_class_of_pythons_is_a_resource_for_a_component(user: Component) -> None:
    dropped = []

    class Counter:
        def __init__(self, start: int) -> None:
            self.start = start

        def get_value(self) -> int:
            return self.start * 2

        def __del__(self) -> None:
            dropped.append(self.start)

    taken: list[Any] = []
    api = {"Counter": Counter, "take": taken.append}
    instance = ComponentInstance(user, {"demo:shop/counters": api})
    assert instance.exports.run(5) == 2010
    assert [counter.start for counter in taken] == [1000]
    gc.collect()
    assert dropped == [5]
    with pytest.raises(TypeError, match="expected a Counter"):
        instance.exports.keep("not one")


@pytest.mark.parametrize(
    ("imports", "message"),
    [
        ({}, "nothing is given for 'demo:shop/counters@1.1.0'"),
        ({"demo:shop/counters@2.1.0": {}}, "nothing is given for 'demo:shop/counters@1.1.0'"),
        (
            {"demo:shop/counters@1.0.0": {}},
            r"counters@1.1.0#\[constructor\]counter': what is given has no such function",
        ),
        ({"demo:shop/counters": {"Counter": int}}, r"\[method\]counter.get-value': what is given has no such function"),
        (
            {"demo:shop/counters": {"counter": int, "take": 3, "[method]counter.get-value": abs}},
            "is int, not a function",
        ),
    ],
)
def test_an_import_that_is_not_there_or_does_not_fit(user: Component, imports: Any, message: str) -> None:
    with pytest.raises(wasmark.LinkError, match=message):
        ComponentInstance(user, imports)


def test_what_another_instance_exports_must_have_the_right_type(shop: Component, hosted: Component) -> None:
    store = wasmark.Store()
    instance = ComponentInstance(shop, store=store)
    with pytest.raises(wasmark.LinkError, match="import 'ask'"):
        ComponentInstance(hosted, {"ask": instance.exports.half_of}, store)


def test_strings_go_to_python_and_back(hosted: Component) -> None:
    instance = ComponentInstance(hosted, {"ask": lambda question: f"{question}? {len(question)}"})
    assert instance.exports.relay("wie spät") == "wie spät? 8"
    assert instance.exports.relay("") == "? 0"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), ValueError("mine")])
def test_an_exception_of_a_host_function_comes_out_as_it_is(hosted: Component, error: BaseException) -> None:
    def ask(question: str) -> str:
        raise error

    instance = ComponentInstance(hosted, {"ask": ask})
    with pytest.raises(type(error)) as caught:
        instance.exports.relay("x")
    assert caught.value is error
    # It went through the instance in the middle of something.
    with pytest.raises(ComponentTrap, match="cannot enter component instance"):
        instance.exports.relay("x")


def test_a_trap_has_its_frames_and_names_the_component(shop: Component) -> None:
    instance = ComponentInstance(shop)
    with pytest.raises(wasmark.Trap) as caught:
        instance.exports.fail()
    (frame,) = caught.value.frames
    assert (frame.component_name, frame.func_name) == ("shop", "fail")
    assert "shop/Main!fail @ +0x" in str(caught.value)
    with pytest.raises(ComponentTrap, match="cannot enter component instance"):
        instance.exports.live()


@pytest.mark.parametrize("strategy", ["eager", "baseline"])
def test_the_modules_of_a_component_share_their_code(strategy: Any) -> None:
    engine = wasmark.Engine(wasmark.Config(strategy=strategy))
    component = Component(COUNTER, engine)
    code = component.code_object()
    assert code is not None
    assert {module.code_object() for module in component.modules} == {code}
    instance = ComponentInstance(component)
    registry = instance.store.registry
    assert len(registry) == 1
    for module in component.modules:
        for index, start, end in module.finished_functions():
            for pc in (start, end - 1):
                frame = registry.lookup_frame_info(pc)
                assert frame is not None
                assert (frame.module, frame.func_index, frame.component_name) == (module, index, "shop")


def test_threads_wait_for_each_other(shop: Component) -> None:
    instance = ComponentInstance(shop)
    found: list[Any] = []

    def work() -> None:
        try:
            found.extend(instance.exports.loop() for _ in range(5))
        except BaseException as error:
            found.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [2_000_000] * 20


def test_an_instance_ends_with_its_last_reference(shop: Component) -> None:
    import weakref

    instance = ComponentInstance(shop)
    instance.exports.counters.Counter(3)
    gone = weakref.ref(instance.store)
    del instance
    gc.collect()
    assert gone() is None


def test_memories_with_64_bit_addresses() -> None:
    instance = ComponentInstance(
        Component("""(component
          (core module $M (memory (export "memory") i64 1) (global $next (mut i64) (i64.const 64))
            (func (export "realloc") (param i64 i64 i64 i64) (result i64)
              (global.get $next)
              (global.set $next (i64.add (global.get $next) (local.get 3))))
            (func (export "echo") (param i64 i64) (result i64)
              (i64.store (i64.const 0) (local.get 0)) (i64.store (i64.const 8) (local.get 1)) (i64.const 0)))
          (core instance $m (instantiate $M))
          (func (export "echo") (param "text" string) (result string) (canon lift (core func $m "echo")
            (memory (core memory $m "memory")) (realloc (core func $m "realloc")))))""")
    )
    assert instance.exports.echo("bücher") == "bücher"
