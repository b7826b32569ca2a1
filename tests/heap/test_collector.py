"""What can be reached stays, what cannot be goes, and memory is bounded."""

from __future__ import annotations

import ctypes
import gc
import weakref
from typing import Any

import pytest

import wasmark
from tests.heap.support import NODE, Machine, Thing, is_gone
from tests.ways import WAYS
from wasmark.core.object_layout import ARRAY_ELEMENTS

MIB = 1 << 20


@pytest.fixture(params=WAYS)
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(request.param)


@pytest.fixture(params=["eager", "baseline", "tier-up-in-loops"])
def small(request: pytest.FixtureRequest) -> Machine:
    """One with little room."""
    return Machine(request.param, max_heap_bytes=8 * MIB)


@pytest.fixture(params=WAYS)
def stressed(request: pytest.FixtureRequest) -> Machine:
    """One that collects before every allocation."""
    return Machine(request.param, collect_always=True)


def count_lists(machine: Machine, length: int) -> int:
    return int(machine.call("length", machine.call("chain", length)))


def test_garbage_takes_no_more_room_than_the_limit(small: Machine) -> None:
    small.call("drop", 2_000_000)
    small.call("drop arrays", 2_000, 5_000)
    assert small.used <= 8 * MIB
    assert small.store.collector.heap.collections >= 3


def test_what_does_not_fit_traps_and_leaves_a_good_heap(small: Machine) -> None:
    for _ in range(3):
        for name, args in (("chain", (1_000_000,)), ("longs", (2 * MIB,)), ("longs", (0xFFFFFFFF,))):
            with pytest.raises(wasmark.Trap) as caught:
                small.call(name, *args)
            assert caught.value.code is wasmark.TrapCode.GC_HEAP_EXHAUSTED
            assert caught.value.frames
        assert count_lists(small, 10_000) == 10_000
    with pytest.raises(wasmark.Trap):
        wasmark.Array.of(small.store, small.type_id(4), [0] * (2 * MIB))


def test_a_heap_without_any_room(small: Machine) -> None:
    machine = Machine("eager", max_heap_bytes=64 << 10)
    nodes = [machine.call("empty") for _ in range(100)]
    with pytest.raises(wasmark.Trap):
        machine.call("bytes", 0, 40_000)
    assert machine.call("next", nodes[50]) is None


def test_every_kind_of_root_keeps_its_object(stressed: Machine) -> None:
    exports = stressed.exports
    in_python = stressed.call("node", stressed.call("chain", 3), 1, None)
    exports.table[2] = stressed.call("node", None, 2, None)
    exports["global"].value = stressed.call("node", None, 3, None)
    exports.anys[0] = stressed.call("node", None, 4, None)
    exports.anys[1] = thing = Thing()
    watch = weakref.ref(thing)
    del thing
    stressed.call("drop", 50)
    assert stressed.call("length", in_python[0]) == 3
    assert (exports.table[2][1], exports["global"].value[1], exports.anys[0][1]) == (2, 3, 4)
    assert exports.anys[1] is watch()
    assert stressed.call("passive")[1] == 5
    assert exports.made.value[0][1] is None
    assert stressed.call("keep in local", 20, 5) == 20


def test_an_object_inside_of_calls_is_kept(stressed: Machine) -> None:
    def back(value: Any) -> Any:
        gc.collect()
        stressed.call("drop", 3)
        stressed.store.collect()
        depth = value[1]
        del value
        again = stressed.call("through host", depth - 1) if depth else stressed.call("node", None, 77, None)
        gc.collect()
        return again

    stressed.host.back = back
    assert stressed.call("through host", 5)[1] == 77


def test_arguments_are_kept_while_results_are_made(stressed: Machine) -> None:
    thing = Thing()
    assert stressed.call("pass", thing) is thing
    stressed.host.pass_ = lambda value: [value]
    assert stressed.call("pass", 1) == [1]
    for _ in range(50):
        node = stressed.call("node", stressed.call("empty"), stressed.call("bytes", 1, 2), "x")
        assert (list(node[1]), node[2], node[0][1]) == ([1, 1], "x", None)


def test_an_array_is_kept_while_only_its_elements_are_used(stressed: Machine) -> None:
    assert stressed.call("inside", 100) == 300


def test_arrays_of_references_keep_what_is_in_them(small: Machine) -> None:
    array = small.call("nodes", 20_000)
    small.call("fill nodes", array)
    small.call("drop", 1_000_000)
    assert small.call("sum nodes", array) == sum(range(20_000))
    large = [small.call("longs", 3_000) for _ in range(10)]
    for number, longs in enumerate(large):
        longs[2_999] = number
    small.call("drop arrays", 1_000, 3_000)
    assert [longs[2_999] for longs in large] == list(range(10))


def test_a_long_list_is_gone_through_without_recursion(machine: Machine) -> None:
    assert count_lists(machine, 1_000_000) == 1_000_000
    list_ = machine.call("chain", 500_000)
    machine.store.collect()
    assert machine.call("length", list_) == 500_000


def test_cycles_are_freed(machine: Machine) -> None:
    exports = machine.exports
    first = machine.call("empty")
    second = machine.call("node", first, first, Thing())
    first[0] = second
    first[1] = exports.table
    watches = [weakref.ref(second[2])]
    exports.table[0] = first
    del first, second
    machine.store.collect()
    assert exports.table[0][0][0] is exports.table[0]
    assert not is_gone(watches[0])
    exports.table[0] = None
    machine.call("drop", 10)
    gc.collect()
    machine.store.collect()
    assert is_gone(watches[0])
    assert len(machine.store.collector.externs) == 0


def test_an_object_of_the_host_goes_with_the_structure_that_holds_it(machine: Machine) -> None:
    thing = Thing()
    watch = weakref.ref(thing)
    holder = machine.call("node", None, thing, thing)
    del thing
    machine.store.collect()
    assert holder[1] is watch()
    assert not is_gone(watch)
    del holder
    machine.call("drop", 10)  # over what is left of it on the stack
    machine.store.collect()
    assert is_gone(watch)


def test_a_store_that_is_given_up_frees_cycles_through_python() -> None:
    machine = Machine("eager")
    thing = Thing()
    thing.node = machine.call("node", None, thing, None)  # type: ignore[attr-defined]
    watch = weakref.ref(thing)
    del thing
    machine.store.collect()
    assert not is_gone(watch)
    del machine
    assert is_gone(watch)


def test_many_objects_of_the_host_pass_without_piling_up(machine: Machine) -> None:
    for _ in range(5_000):
        machine.call("extern", Thing())
    assert len(machine.store.collector.externs) < 3_000
    kept = [machine.call("node", None, None, Thing()) for _ in range(3_000)]
    for _ in range(3_000):
        machine.call("extern", Thing())
    assert all(isinstance(node[2], Thing) for node in kept)


def test_the_elements_of_a_dropped_segment_are_freed(machine: Machine) -> None:
    machine.call("drop", 1)
    machine.store.collect()
    machine.call("drop passive")
    with pytest.raises(wasmark.Trap):
        machine.call("passive")
    assert machine.call("list")[0][0] is None


def test_a_trap_in_the_middle_leaves_nothing_behind(small: Machine) -> None:
    for _ in range(10):
        with pytest.raises(wasmark.Trap):
            small.call("divide", 0)
    assert small.call("divide", 1) == 1
    small.store.collect()
    assert small.used <= MIB


def test_finalizers_may_use_the_store_while_it_is_collected(stressed: Machine) -> None:
    seen = []

    class Last:
        def __del__(self) -> None:
            seen.append(stressed.call("length", stressed.call("chain", 5)))

    holder = stressed.call("node", None, Last(), None)
    del holder
    stressed.call("drop", 10)
    stressed.call("drop", 10)
    stressed.store.collect()
    assert seen == [5]
    for _ in range(20):
        stressed.call("node", None, Last(), None)
    stressed.call("drop", 10)
    stressed.call("drop", 10)
    assert set(seen) == {5}


def test_an_object_in_garbage_is_good_until_the_end() -> None:
    machine = Machine("eager")
    seen = []

    class Owner:
        def __init__(self) -> None:
            self.node = machine.call("node", None, 5, None)
            self.me = self

        def __del__(self) -> None:
            machine.call("drop", 100)
            machine.store.collect()
            seen.append((self.node[1], machine.call("same", self.node, machine.call("any", self.node))))

    Owner()
    gc.collect()
    assert seen == [(5, 1)]
    machine.store.collect()
    assert len(machine.store.collector.held) == 0


def test_instances_of_a_store_share_objects_by_canonical_types() -> None:
    machine = Machine("eager")
    other = wasmark.Instance(
        wasmark.Module(
            """(module
        (rec (type $unlike (struct)) (type $like (struct (field i32))))
        (type $node (struct (field (mut (ref null $node))) (field (mut anyref)) (field (mut externref))))
        (type $more (sub (struct (field i32))))
        (func (export "is node") (param anyref) (result i32) (ref.test (ref $node) (local.get 0)))
        (func (export "is like") (param anyref) (result i32) (ref.test (ref $like) (local.get 0)))
        (func (export "make") (result (ref $node)) (struct.new_default $node)))""",
            machine.engine,
        ),
        {},
        machine.store,
    )
    node = machine.call("node", None, 1, None)
    assert (other.exports["is node"](node), other.exports["is like"](node)) == (1, 0)
    made = other.exports.make()
    assert made.type_id == machine.type_id(NODE)
    assert machine.call("next", made) is None


def test_an_object_of_words_keeps_what_it_refers_to(stressed: Machine) -> None:
    collector, store = stressed.store.collector, stressed.store
    thing = Thing()
    watch = weakref.ref(thing)
    with store.owned():
        cell = store.allocate(16)
        collector.hold(cell, 1)
        with collector.paused():
            node = stressed.call("node", None, 21, thing)
            words = collector.allocate_words(3)
            (ctypes.c_uint64 * 3).from_address(words + ARRAY_ELEMENTS)[:] = [5, node.address, 1 << 63]
            ctypes.c_uint64.from_address(cell).value = words
        address = node.address
        del node, thing
        stressed.call("drop", 20)
        store.collect()
        assert watch() is not None
        assert store.object_at(address)[1] == 21
        ctypes.c_uint64.from_address(cell).value = 0
        stressed.call("drop", 20)
        store.collect()
    assert is_gone(watch)
