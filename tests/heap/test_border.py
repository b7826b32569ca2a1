"""Structures, arrays and i31 references as Python values."""

from __future__ import annotations

import gc
import weakref

import pytest

import wasmark
from tests.heap.support import BYTES, CONSTANT, NODE, NODES, NUMBERS, Machine, Thing
from tests.ways import WAYS


@pytest.fixture(scope="module", params=WAYS)
def machine(request: pytest.FixtureRequest) -> Machine:
    return Machine(request.param)


def test_fields_are_read_and_written(machine: Machine) -> None:
    numbers = machine.call("numbers")
    assert isinstance(numbers, wasmark.Struct)
    assert len(numbers) == 7
    assert [numbers.field(i) for i in range(7)] == [-1, -2, -3, -4, 1.5, 2.5, 9]
    for index, value in enumerate((-128, 0x7FFF, -(1 << 31), (1 << 63) - 1, -0.5, 1e300)):
        numbers[index] = value
        assert numbers[index] == value
    numbers[0] = 255
    assert numbers[0] == -1


@pytest.mark.parametrize(
    ("index", "value", "error"),
    [
        *((0, 256, OverflowError), (0, -129, OverflowError), (1, 1 << 16, OverflowError), (2, "1", TypeError)),
        *((6, 1, TypeError), (7, 1, IndexError), (-1, 1, IndexError)),
    ],
)
def test_what_does_not_fit_a_field_is_refused(
    machine: Machine, index: int, value: object, error: type[Exception]
) -> None:
    numbers = machine.call("numbers")
    with pytest.raises(error):
        numbers[index] = value
    assert [numbers[i] for i in range(7)] == [-1, -2, -3, -4, 1.5, 2.5, 9]


def test_arrays_are_sequences(machine: Machine) -> None:
    array = machine.call("bytes", -2, 3)
    assert isinstance(array, wasmark.Array)
    assert (len(array), list(array)) == (3, [-2, -2, -2])
    array[1] = 200
    assert list(array) == [-2, -56, -2]
    for index in (3, -1):
        with pytest.raises(IndexError):
            array[index]
    with pytest.raises(TypeError, match="immutable"):
        machine.call("constant")[0] = 5
    assert list(machine.call("longs", 0)) == []


def test_one_object_is_one_python_object(machine: Machine) -> None:
    first = machine.call("empty")
    second = machine.call("node", first, first, None)
    assert second[0] is first
    assert second[1] is first
    assert machine.call("any", second) is second
    assert machine.call("empty") is not first
    assert machine.call("same", first, first) == 1
    assert machine.call("same", first, second) == 0
    assert machine.call("same", first, None) == 0
    assert machine.call("same", 5, 5) == 1


@pytest.mark.parametrize("value", [0, -1, (1 << 30) - 1, -(1 << 30)])
def test_an_i31_is_an_int(machine: Machine, value: int) -> None:
    assert machine.call("i31", value) == value
    assert machine.call("any", value) == value
    assert machine.call("i31", value & 0x7FFFFFFF) == value


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("i31", 1 << 31, OverflowError),
        ("i31", -(1 << 30) - 1, OverflowError),
        ("any", 1 << 31, OverflowError),
        ("i31", "1", TypeError),
        ("i31", 1.0, TypeError),
        ("struct", 1, TypeError),
        ("struct", object(), TypeError),
        ("next", 1, TypeError),
    ],
)
def test_what_is_no_reference_of_a_type_is_refused(
    machine: Machine, name: str, value: object, error: type[Exception]
) -> None:
    with pytest.raises(error):
        machine.call(name, value)


def test_objects_of_other_types_and_stores_are_refused(machine: Machine) -> None:
    with pytest.raises(TypeError):
        machine.call("next", machine.call("numbers"))
    with pytest.raises(TypeError):
        machine.call("struct", machine.call("bytes", 0, 1))
    with pytest.raises(TypeError):
        machine.call("fill nodes", None)
    other = wasmark.Instance(machine.module, machine.host.imports())
    with pytest.raises(TypeError, match="another store"):
        machine.call("next", other.exports.empty())


def test_objects_of_the_host_go_in_and_out(machine: Machine) -> None:
    thing, node = Thing(), machine.call("empty")
    assert machine.call("in", thing) is thing
    assert machine.call("any", thing) is thing
    assert machine.call("out", thing) is thing
    assert machine.call("out", node) is node
    assert machine.call("in", node) is node
    assert machine.call("extern", node) is node
    assert machine.call("out", 5) == 5
    assert machine.call("extern", "text") == "text"
    holder = machine.call("node", None, thing, thing)
    assert holder[1] is thing
    assert holder[2] is thing


def test_objects_are_made_in_python(machine: Machine) -> None:
    store = machine.store
    leaf = wasmark.Struct.of(store, machine.type_id(NODE), [None, 7, "host"])
    root = wasmark.Struct.of(store, machine.type_id(NODE), [leaf, leaf, None])
    assert machine.call("next", root) is leaf
    assert (leaf[1], leaf[2]) == (7, "host")
    array = wasmark.Array.of(store, machine.type_id(NODES), [leaf, None, root])
    assert list(array) == [leaf, None, root]
    assert list(wasmark.Array.of(store, machine.type_id(BYTES), range(5))) == list(range(5))
    assert list(wasmark.Array.of(store, machine.type_id(CONSTANT), [])) == []
    numbers = wasmark.Struct.of(store, machine.type_id(NUMBERS), [1, 2, 3, 4, 5.0, 6.0, 7])
    assert list(numbers) == [1, 2, 3, 4, 5.0, 6.0, 7]
    for index, values in ((NODE, [None]), (NODE, [1, None, None]), (BYTES, [None]), (NUMBERS, "1234567")):
        with pytest.raises(TypeError):
            wasmark.Struct.of(store, machine.type_id(index), values)
    with pytest.raises(OverflowError):
        wasmark.Array.of(store, machine.type_id(BYTES), [256])


def test_globals_and_tables_hold_objects(machine: Machine) -> None:
    exports = machine.exports
    assert exports.made.value[1] == 7
    assert exports.made.value[0][1] is None
    assert list(exports.fixed.value) == [1, 2, 3]
    node = machine.call("empty")
    exports["global"].value = node
    exports.table[3] = node
    exports.anys[0] = 5
    exports.anys[1] = exports
    assert exports["global"].value is exports.table[3] is node
    assert exports.anys[0] == 5
    assert exports.anys[1] is exports
    with pytest.raises(TypeError):
        exports.table[3] = 5
    exports["global"].value = exports.table[3] = None


def test_the_python_object_ends_and_the_object_stays(machine: Machine) -> None:
    node = machine.call("node", None, 11, None)
    machine.call("set global", node)
    watch = weakref.ref(node)
    del node
    assert watch() is None
    gc.collect()
    machine.store.collect()
    assert machine.exports["global"].value[1] == 11
    machine.call("set global", None)


def test_a_global_of_python_holds_objects(machine: Machine) -> None:
    type_ = wasmark.GlobalType(machine.exports["global"].type.value, True)
    own = wasmark.Global(machine.store, type_, machine.call("node", None, 12, None))
    machine.store.collect()
    machine.call("drop", 1000)
    assert own.value[1] == 12


def test_bounds_of_segments(machine: Machine) -> None:
    assert list(machine.call("data", 1, 3)) == [2, 3, 4]
    for start, length in ((0, 9), (8, 1), (0xFFFFFFFF, 2), (1, 0xFFFFFFFF)):
        with pytest.raises(wasmark.Trap) as caught:
            machine.call("data", start, length)
        assert caught.value.code is wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS
    nodes = machine.call("list")
    assert len(nodes[0]) == 3
    assert nodes[1] is None
