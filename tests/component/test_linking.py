"""What is found out when a component is linked: what is missing, of another kind, or cannot take its arguments."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

import wasmark
from tests.component.test_instances import COUNTER, USER
from wasmark import Component, ComponentInstance
from wasmark.component.fitting import can_take

ASK = """(component
  (import "ask" (func $ask (param "question" u32) (param "again" bool) (result u32)))
  (import "demo:shop/till@1.2.0" (instance $till
    (export "tax" (type $tax (sub resource)))
    (export "price" (func (param "item" u32) (result (result u32 (error u8)))))
    (export "note" (func))))
  (import "plain" (instance $plain (type $t u8) (export "t" (type (eq $t)))))
  (core module $none)
  (import "module" (core module $given)))"""
MODULE = wasmark.Module("(module)")
TILL: dict[str, Callable[..., Any]] = {"price": lambda item: item, "note": lambda: None}


class Till:
    class Tax:
        pass

    def price(self, item: int) -> int:
        return item

    def note(self, *words: str, loud: bool = False) -> None:
        pass


def ask(question: int, again: bool) -> int:
    return question


@pytest.fixture(scope="module")
def asking() -> Component:
    return Component(ASK)


@pytest.mark.parametrize("till", [TILL, Till(), {**TILL, "tax": Till.Tax}])
@pytest.mark.parametrize("function", [ask, max, functools.partial(ask, 1), lambda *all_: 1, lambda a, b, c=1: 1])
def test_what_may_fit_is_taken(asking: Component, till: Any, function: Any) -> None:
    given = {"ask": function, "demo:shop/till": till, "module": MODULE}
    assert len(ComponentInstance(asking, given).exports) == 0


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "ask",
            lambda question: 1,
            "import 'ask': func(question: u32, again: bool) -> u32 is called with 2 arguments, which "
            "<lambda>(question) does not take",
        ),
        ("ask", lambda a, b, *, c: 1, "which <lambda>(a, b, *, c) does not take"),
        ("ask", Till().price, "which Till.price(item: 'int') -> 'int' does not take"),
        ("ask", 3, "import 'ask': what is given is int, not a function: func(question: u32, again: bool) -> u32 is"),
        (
            "demo:shop/till",
            {**TILL, "price": lambda: 1},
            "import 'demo:shop/till@1.2.0#price': func(item: u32) -> result<u32, u8> is called with 1 argument, which "
            "<lambda>() does not take",
        ),
        (
            "demo:shop/till",
            {"cost": max, "note": min},
            "import 'demo:shop/till@1.2.0#price': what is given has no such function: "
            "func(item: u32) -> result<u32, u8> is wanted, and the dict has cost, note",
        ),
        ("demo:shop/till", {**TILL, "note": "n"}, "#note': what is given is str, not a function: func() is wanted"),
        (
            "demo:shop/till",
            {**TILL, "tax": 3},
            "import 'demo:shop/till@1.2.0#tax': a class is wanted for a resource, not a int",
        ),
        ("module", 3, "import 'module': a core module is wanted, and a int is given"),
    ],
)
def test_what_does_not_fit_is_named_with_both_shapes(asking: Component, name: str, value: Any, message: str) -> None:
    given = {"ask": ask, "demo:shop/till": TILL, "module": MODULE, name: value}
    with pytest.raises(wasmark.LinkError) as caught:
        ComponentInstance(asking, given)
    assert message in str(caught.value)
    assert "test_linking" not in str(caught.value)


def test_everything_that_is_missing_is_named_at_once(asking: Component) -> None:
    with pytest.raises(wasmark.LinkError) as caught:
        ComponentInstance(asking, {"demo:shop/till@2.0.0": TILL})
    assert str(caught.value) == (
        "unknown import: nothing is given for 'ask' (func(question: u32, again: bool) -> u32), "
        "nor for 'demo:shop/till@1.2.0', 'module'"
    )
    with pytest.raises(wasmark.LinkError) as caught:
        ComponentInstance(asking, {"ask": ask, "module": MODULE, "demo:shop/till@2.0.0": TILL})
    assert str(caught.value) == (
        "unknown import: nothing is given for 'demo:shop/till@1.2.0' (interface {tax, price, note}); "
        "given is demo:shop/till@2.0.0"
    )


def test_methods_and_constructors_of_classes_are_looked_at() -> None:
    user = Component(USER)

    class Counter:
        def __init__(self, start: int) -> None:
            pass

        def get_value(self) -> int:
            return 1

    class Endless(Counter):
        def __init__(self, start: int, end: int) -> None:
            pass

    class Asking(Counter):
        def get_value(self, why: str) -> int:  # type: ignore[override]
            return 1

    ComponentInstance(user, {"demo:shop/counters": {"Counter": Counter, "take": print}})
    for class_, message in (
        (Endless, r"\[constructor\]counter': func\(start: u32\) -> counter is called with 1 argument"),
        (Asking, r"\[method\]counter.get-value': func\(self: borrow<counter>\) -> u32 is called with 1 argument"),
        (int, r"get-value': .* func\(self: borrow<counter>\) -> u32 is wanted, and int has "),
    ):
        with pytest.raises(wasmark.LinkError, match=message):
            ComponentInstance(user, {"demo:shop/counters": {"Counter": class_, "take": print}})


def test_a_class_of_another_store_is_refused() -> None:
    counters = ComponentInstance(Component(COUNTER)).exports.counters
    with pytest.raises(wasmark.LinkError, match="the class that is given belongs to another store"):
        ComponentInstance(Component(USER), {"demo:shop/counters": {"Counter": counters.Counter, "take": print}})


def test_functions_of_other_components_are_compared_by_their_types() -> None:
    component = Component('(component (import "ask" (func (param "of" u8) (result u32))))')
    store = wasmark.Store()
    shop = ComponentInstance(Component(COUNTER), store=store)
    with pytest.raises(wasmark.LinkError) as caught:
        ComponentInstance(component, {"ask": shop.exports.half_of}, store)
    assert str(caught.value) == (
        "import 'ask': type mismatch in function parameter `of`: expected primitive `u8`, found primitive `u32` "
        "(expected func(of: u8) -> u32, found func(of: u32) -> result<u32, u32>)"
    )


class Meta(type):
    def __call__(cls, *args: Any) -> Any:
        return args


class Made(metaclass=Meta):
    def __init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("function", "counts"),
    [
        (lambda: 0, {0}),
        (lambda a, b=1: 0, {1, 2}),
        (lambda a, *b: 0, {1, 2, 3, 4}),
        (lambda a, /, *, b=1: 0, {1}),
        (lambda *, b: 0, set()),
        (Till.price, {2}),
        (Till().price, {1}),
        (Till, {0, 1, 2, 3, 4}),
        (Made, {0, 1, 2, 3, 4}),
        (len, {0, 1, 2, 3, 4}),
    ],
)
def test_only_what_can_be_seen_is_refused(function: Any, counts: set[int]) -> None:
    assert {count for count in range(5) if can_take(function, count)} == counts
