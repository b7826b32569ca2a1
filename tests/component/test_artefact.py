"""Components with their machine code as bytes, and pickled ones."""

from __future__ import annotations

import pickle
import random
from typing import Any

import pytest

import wasmark

SOURCE = """
(component
  (component $inner
    (core module $m (func (export "ten") (result i32) (i32.const 10)))
    (core instance $i (instantiate $m))
    (func (export "ten") (result u32) (canon lift (core func $i "ten"))))
  (core module $data (memory (export "memory") 1) (data (i32.const 0) "x"))
  (core module $add (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
  (core instance $d (instantiate $data))
  (core instance $a (instantiate $add))
  (instance $inner (instantiate $inner))
  (export "ten" (func $inner "ten"))
  (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $a "add"))))
"""


def answers(component: wasmark.Component) -> tuple[int, int]:
    exports = wasmark.ComponentInstance(component).exports
    return exports.add(1, 2), exports.ten()


@pytest.mark.parametrize("strategy", ["lazy", "eager", "baseline"])
def test_a_serialized_component_is_the_component(strategy: Any) -> None:
    engine = wasmark.Engine(wasmark.Config(strategy=strategy))
    component = wasmark.Component(SOURCE, engine, name="given")
    again = wasmark.Component.deserialize(component.serialize(), engine)
    assert answers(again) == answers(component) == (3, 10)
    assert again.name == "given"
    assert len({code for module in again.modules if (code := module.code_object()) is not None}) == 1
    assert wasmark.Component.deserialize(component.serialize(), engine, name="other").name == "other"


def test_what_is_no_component_with_its_code_is_an_error() -> None:
    data = wasmark.Component(SOURCE).serialize()
    rng = random.Random(5)
    for _ in range(20):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(wasmark.Error, match="artefact"):
            wasmark.Component.deserialize(damaged)
    with pytest.raises(wasmark.Error, match="this is a component"):
        wasmark.Module.deserialize(data)
    with pytest.raises(wasmark.Error, match="found that of a module"):
        wasmark.Component.deserialize(wasmark.Module("(module)").serialize())
    with pytest.raises(wasmark.Error, match="other features"):
        wasmark.Component.deserialize(data, wasmark.Engine(wasmark.Config(fuel=True)))


def test_a_component_can_be_pickled() -> None:
    again = pickle.loads(pickle.dumps(wasmark.Component(SOURCE, name="given")))
    assert answers(again) == (3, 10)
    assert again.name == "given"
