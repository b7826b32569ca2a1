"""How components look at a prompt, in `help`, and in a notebook."""

from __future__ import annotations

import inspect
import pydoc
import re
from typing import Any

import pytest

import wasmark
from tests.component.test_instances import COUNTER
from wasmark import Component, ComponentInstance, ComponentLinker


def test_everything_public_says_what_it_is() -> None:
    component = Component(COUNTER)
    instance = ComponentInstance(component)
    exports = instance.exports
    linker = ComponentLinker()
    assert repr(linker) == "<wasmark.ComponentLinker: nothing>"
    linker.define("ask", print)
    linker.define_wasi()
    counters = exports.counters
    expected = {
        component: "<wasmark.Component shop: 3 modules, 0 imports, 5 exports>",
        Component("(component)"): "<wasmark.Component (unnamed): 0 modules, 0 imports, 0 exports>",
        instance: "<wasmark.ComponentInstance of shop: 5 exports>",
        exports: "<exports of a component: demo:shop/counters@1.2.0, live, fail, half-of, loop>",
        counters.Counter(3): "<Counter resource, owned>",
        linker: "<wasmark.ComponentLinker: WASI 0.2, ask>",
    }
    assert {thing: repr(thing) for thing in expected} == expected
    for function, name in (
        (exports.half_of, "half_of"),
        (counters.take, "counters.take"),
        (counters.Counter.get_value, "Counter.get_value"),
        (counters.Counter.sum, "Counter.sum"),
    ):
        assert repr(function).startswith(f"<function {name} at ")
        assert function.__name__ == name.rpartition(".")[2]


def test_no_name_does_anything_to_the_terminal() -> None:
    component = Component("(component)", name="\x1b[2J")
    assert "\x1b" not in repr(component) + repr(ComponentInstance(component)) + component._repr_html_()


def test_help_says_what_a_function_is_in_the_component_and_in_python() -> None:
    exports = ComponentInstance(Component(COUNTER)).exports
    assert pydoc.plain(pydoc.render_doc(exports.half_of)).splitlines()[2:] == [
        "half_of(of: 'int') -> 'int'",
        "    half-of: func(of: u32) -> result<u32, u32>",
        "    ",
        "    Raises ResultError with int.",
    ]
    class_ = exports.counters.Counter
    assert inspect.getdoc(class_) == "resource counter of demo:shop/counters@1.2.0"
    assert str(inspect.signature(class_)) == "(start: 'int')"
    assert class_.get_value.__doc__ == (
        "demo:shop/counters@1.2.0#[method]counter.get-value: func(self: borrow<counter>) -> u32"
    )
    text = pydoc.plain(pydoc.render_doc(class_))
    assert "Counter(start: 'int')" in text
    assert "sum(a: 'Counter', b: 'Counter') -> 'int'" in text
    assert class_(start=4).get_value() == 4


def test_in_a_notebook_there_are_tables_of_what_goes_in_and_out() -> None:
    instance = ComponentInstance(Component(COUNTER))
    rows = [re.findall("<td>(.*?)</td>", row) for row in instance._repr_html_().split("<tr>")[2:]]
    assert ["export", "half-of", "func", "func(of: u32) -&gt; result&lt;u32, u32&gt;"] in rows
    assert [
        "export",
        "demo:shop/counters@1.2.0#[method]counter.get-value",
        "func",
        "func(self: borrow&lt;counter&gt;) -&gt; u32",
    ] in rows
    assert ["export", "demo:shop/counters@1.2.0#counter", "type", "resource"] in rows
    assert "take" in instance.exports.counters._repr_html_()
    html = Component('(component (import "a" (func)) (import "b:c/d" (instance (export "e" (func)))))')._repr_html_()
    assert "<td>import</td><td>a</td><td>func</td><td>func()</td>" in html
    assert "<td>import</td><td>b:c/d#e</td>" in html


def test_large_types_are_cut_and_long_tables_too() -> None:
    fields = " ".join(f'(field "f{number}" string)' for number in range(200))
    functions = " ".join(f'(import "f{number}" (func))' for number in range(80))
    component = Component(
        f'(component (type $r (record {fields})) (import "r" (type $t (eq $r)))'
        f'(import "f" (func (param "r" $t))) {functions})'
    )
    html = component._repr_html_()
    assert len(html) < 10_000
    assert "... and 32 more" in html
    with pytest.raises(wasmark.LinkError) as caught:
        ComponentInstance(component)
    assert len(str(caught.value)) < 1_000


@pytest.mark.parametrize("strategy", ["lazy", "eager", "baseline"])
def test_the_registry_names_component_module_and_function_together(strategy: Any) -> None:
    component = Component(COUNTER, wasmark.Engine(wasmark.Config(strategy=strategy)))
    instance = ComponentInstance(component)
    assert instance.exports.loop() == 2_000_000
    registry = instance.store.registry
    rows = {(row.component, row.module, row.function) for row in registry.dump()}
    assert {("shop", "Count", "live"), ("shop", "Main", "loop")} <= rows
    lines = [line.split()[:2] for line in str(registry.dump()).splitlines()]
    assert ["shop/Main", "loop"] in lines
    (module,) = [each for each in component.modules if each.name == "Main"]
    start = next(iter(module.finished_functions()))[1]
    frame = registry.lookup_frame_info(start)
    assert frame is not None
    assert (frame.component_name, frame.module_name) == ("shop", "Main")
