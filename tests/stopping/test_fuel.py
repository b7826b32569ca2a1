"""Fuel: every way of making code counts alike, to the instruction, and stops at the same one."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

import pytest

import wasmark
from tests.stopping import machine
from tests.ways import CACHED, WAYS, config, run_cached
from wasmark.runtime.native import in_the_middle_of_wasm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLENTY = 1 << 62

TEXT = """(module $m
  (import "host" "look" (func $look))
  (memory 1)
  (tag $tag (param i32))
  (global $g (mut i32) (i32.const 0))
  (func (export "nothing"))
  (func (export "three") (result i32) (i32.add (i32.const 1) (i32.const 2)))
  (func (export "structure") (block (loop (block (nop) (nop) (drop (i32.const 1))))))
  (func (export "count") (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func (export "either") (param i32) (result i32)
    (if (result i32) (local.get 0) (then (i32.const 1)) (else (i32.mul (i32.const 2) (i32.const 3)))))
  (func (export "table") (param i32)
    (block (block (block (br_table 0 1 2 (local.get 0))) (return)) (drop (i32.const 1))))
  (func $callee (param i32) (result i32) (local.get 0))
  (func (export "calls") (result i32) (call $callee (call $callee (i32.const 5))))
  (func (export "host") (global.set $g (i32.const 1)) (call $look) (global.set $g (i32.const 2)) (call $look))
  (func (export "trap") (drop (i32.const 1)) (drop (i32.load (i32.const -1))) (drop (i32.const 2)))
  (func $thrower (param i32) (i32.const 7) (throw $tag))
  (func (export "catches") (result i32)
    (block $h (result i32) (try_table (catch $tag $h) (call $thrower (i32.const 0))) (i32.const 1)))
  (func $down (param i32) (result i32) (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call $down (i32.sub (local.get 0) (i32.const 1))))
  (func (export "tails") (param i32) (result i32) (return_call $down (local.get 0)))
  (func (export "endless") (loop (br 0)))
  (func $recurse (call $recurse))
  (func (export "recursion") (call $recurse))
  (func (export "dead") (result i32) (return (i32.const 1)) (block (br 0)) (i32.add (i32.const 1) (i32.const 2))))"""

COSTS: dict[str, tuple[tuple[int, ...], int]] = {
    "nothing": ((), 0),
    "three": ((), 3),
    "structure": ((), 1),
    "count": ((10,), 10 * 5),
    "calls": ((), 1 + 1 + 1 + 1 + 1),
    "catches": ((), 1 + 1 + 2),
    "tails": ((3,), 2 + 3 * (3 + 4) + 3 + 2),
    "dead": ((), 2),
}
"""What a call costs: of each run that it comes to, all instructions."""


class Machine:
    def __init__(self, chosen: wasmark.Config) -> None:
        self.engine = wasmark.Engine(chosen)
        self.module = wasmark.Module(TEXT, self.engine)
        self.store = wasmark.Store(self.engine)
        self.seen: list[int] = []
        host = {"host": {"look": lambda: self.seen.append(self.store.fuel)}}
        self.exports = wasmark.Instance(self.module, host, self.store).exports

    def cost(self, name: str, *arguments: Any) -> int:
        self.store.fuel = PLENTY
        getattr(self.exports, name)(*arguments)
        return PLENTY - self.store.fuel


def everywhere(check: Callable[[wasmark.Config], None], way: str, directory: Path) -> None:
    if way == CACHED:
        run_cached(check, str(directory), fuel=True)
    else:
        check(config(way, fuel=True))


every_way = pytest.mark.parametrize("way", [*WAYS, CACHED])


def check_costs(chosen: wasmark.Config) -> None:
    machine = Machine(chosen)
    for _ in range(5):  # in more than one compiler's code, where there is more than one
        for name, (arguments, cost) in COSTS.items():
            assert machine.cost(name, *arguments) == cost, name
        assert [machine.cost("either", n) for n in (1, 0)] == [2 + 1, 2 + 3]
        assert [machine.cost("table", n) for n in range(4)] == [2 + 1, 2 + 1, 2, 2]
        machine.seen.clear()
        assert machine.cost("host") == 6
        assert machine.seen == [PLENTY - 3, PLENTY - 6]


@every_way
def test_what_a_call_costs(way: str, tmp_path: Path) -> None:
    everywhere(check_costs, way, tmp_path)


def check_ends(chosen: wasmark.Config) -> None:
    machine = Machine(chosen)
    places: dict[tuple[str, int], tuple[int, int]] = {}
    for _ in range(3):
        for name, (arguments, cost) in COSTS.items():
            for amount in range(cost + 2):
                machine.store.fuel = amount
                if amount >= cost:
                    getattr(machine.exports, name)(*arguments)
                    assert machine.store.fuel == amount - cost
                    continue
                with pytest.raises(wasmark.Trap) as caught:
                    getattr(machine.exports, name)(*arguments)
                assert caught.value.code is wasmark.TrapCode.OUT_OF_FUEL
                frame = caught.value.frames[0]
                place = frame.module_offset, machine.store.fuel
                assert places.setdefault((name, amount), place) == place
    found.append(places)


found: list[dict[tuple[str, int], tuple[int, int]]] = []


@every_way
def test_with_too_little_a_call_ends_at_the_same_instruction_everywhere(way: str, tmp_path: Path) -> None:
    found.clear()
    check_ends(config("eager", fuel=True))
    everywhere(check_ends, way, tmp_path)
    assert all(places == found[0] for places in found)
    assert len({place for place, _ in found[0].values()}) > 10


def check_endless(chosen: wasmark.Config) -> None:
    machine = Machine(chosen)
    for amount in (0, 1, 5, 12_345):
        machine.store.fuel = amount
        with pytest.raises(wasmark.Trap, match="all fuel consumed"):
            machine.exports.endless()
        assert machine.store.fuel == 0
        machine.store.fuel = amount % 7
        with pytest.raises(wasmark.Trap, match="all fuel consumed") as caught:
            machine.exports.recursion()
        assert caught.value.code is wasmark.TrapCode.OUT_OF_FUEL
        assert machine.cost("three") == 3


@every_way
def test_what_never_ends_ends(way: str, tmp_path: Path) -> None:
    everywhere(check_endless, way, tmp_path)


def check_large(chosen: wasmark.Config) -> None:
    engine = wasmark.Engine(chosen)
    module = wasmark.Module(machine.TEXT, engine)
    store = wasmark.Store(engine)
    exports = machine.make(store, module)
    costs = {}
    for name, turns in machine.TURNS.items():
        store.fuel = PLENTY
        answer = getattr(exports, name)(turns // 100)
        costs[name] = PLENTY - store.fuel, answer
    large.append(costs)


large: list[dict[str, tuple[int, Any]]] = []


@every_way
def test_programs_cost_the_same_in_all_ways(way: str, tmp_path: Path) -> None:
    large.clear()
    check_large(config("baseline", fuel=True))
    everywhere(check_large, way, tmp_path)
    assert all(costs == large[0] for costs in large)
    assert all(cost > machine.TURNS[name] // 100 for name, (cost, _) in large[0].items())


def test_a_trap_in_a_run_comes_after_it_is_paid_for() -> None:
    for way in ("eager", "baseline"):
        machine = Machine(config(way, fuel=True))
        machine.store.fuel = 10
        with pytest.raises(wasmark.Trap, match="out of bounds memory"):
            machine.exports.trap()
        assert machine.store.fuel == 10 - 4


def test_a_host_function_may_give_more() -> None:
    engine = wasmark.Engine(wasmark.Config(fuel=True))
    store = wasmark.Store(engine)
    given = 0

    def look() -> None:
        nonlocal given
        if given < 3:
            given += 1
            store.fuel = 100

    text = '(module (import "host" "look" (func $look)) (func (export "run") (loop (call $look) (br 0))))'
    exports = wasmark.Instance(wasmark.Module(text, engine), {"host": {"look": look}}, store).exports
    store.fuel = 1
    with pytest.raises(wasmark.Trap, match="fuel"):
        exports.run()
    assert given == 3
    assert store.fuel == 0


def test_stores_have_fuel_of_their_own_and_none_at_first() -> None:
    engine = wasmark.Engine(wasmark.Config(fuel=True))
    module = wasmark.Module('(module (func (export "run") (drop (i32.const 1))))', engine)
    first, second = (wasmark.Store(engine) for _ in range(2))
    assert first.fuel == 0
    run, other = (wasmark.Instance(module, None, store).exports.run for store in (first, second))
    with pytest.raises(wasmark.Trap, match="fuel"):
        run()
    second.fuel = 1
    other()
    assert (first.fuel, second.fuel) == (0, 0)
    for amount in (-1, 1 << 63):
        with pytest.raises(ValueError, match="fuel"):
            first.fuel = amount
    first.fuel = (1 << 63) - 1
    run()
    assert first.fuel == (1 << 63) - 2


def test_without_the_configuration_there_is_no_fuel() -> None:
    store = wasmark.Store()
    with pytest.raises(wasmark.Error, match=r"Config\(fuel=True\)"):
        store.fuel = 1
    with pytest.raises(wasmark.Error, match=r"Config\(fuel=True\)"):
        print(store.fuel)


@pytest.mark.parametrize("strategy", ["eager", "baseline", "lazy"])
def test_code_with_fuel_is_another_entry_of_the_cache(strategy: str, tmp_path: Path) -> None:
    for fuel in (False, True, False, True):
        engine = wasmark.Engine(wasmark.Config(strategy=strategy, cache=tmp_path, fuel=fuel))
        store = wasmark.Store(engine)
        exports = wasmark.Instance(wasmark.Module(TEXT, engine), {"host": {"look": print}}, store).exports
        if fuel:
            store.fuel = 3
        assert exports.three() == 3
        if fuel:
            assert store.fuel == 0


def test_a_file_of_code_with_fuel_is_for_engines_with_fuel() -> None:
    with_fuel, without = (wasmark.Engine(wasmark.Config(fuel=fuel)) for fuel in (True, False))
    data = wasmark.Module(TEXT, with_fuel).serialize()
    wasmark.Module.deserialize(data, with_fuel)
    with pytest.raises(wasmark.Error):
        wasmark.Module.deserialize(data, without)


def test_deadlines_and_fuel_go_together() -> None:
    engine = wasmark.Engine(wasmark.Config(fuel=True))
    store = wasmark.Store(engine)
    exports = wasmark.Instance(wasmark.Module(TEXT, engine), {"host": {"look": print}}, store).exports
    store.fuel = PLENTY
    seconds = 0.02
    while store.fuel == PLENTY and seconds < 30:  # the time may be over before the call has begun
        with pytest.raises(wasmark.Timeout), wasmark.deadline(seconds):
            exports.endless()
        seconds *= 2
    assert 0 < store.fuel < PLENTY
    left = store.fuel
    assert exports.three() == 3
    assert store.fuel == left - 3


@pytest.mark.parametrize("way", ["eager", "baseline"])
def test_what_a_signal_handler_executes_in_the_middle_is_not_counted(way: str) -> None:
    engine = wasmark.Engine(config(way, fuel=True))
    module = wasmark.Module(machine.TEXT, engine)
    store = wasmark.Store(engine)
    exports, others = machine.make(store, module), machine.make(store, module)
    turns = 1_000_000
    runs = 0

    def handler(*_: object) -> None:
        nonlocal runs
        if in_the_middle_of_wasm():
            others.ints(machine.FEW)
            runs += 1

    store.fuel = PLENTY
    exports.ints(turns)
    cost = PLENTY - store.fuel
    main = threading.main_thread().ident
    assert main is not None
    old = signal.signal(signal.SIGUSR1, handler)
    try:
        with machine.pestered(lambda: signal.pthread_kill(main, signal.SIGUSR1)):
            while runs < 5:
                store.fuel = PLENTY
                exports.ints(turns)
                assert PLENTY - store.fuel == cost
    finally:
        signal.signal(signal.SIGUSR1, old)
