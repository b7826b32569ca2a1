"""Objects of any size, types of any depth, and threads, processes and signals that come between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import wasmark
from tests.heap.support import Machine
from tests.interruption import interrupt
from tests.ways import WAYS, config

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("count", [1, 30, 31, 700, 1_100, 10_000])
def test_structures_of_many_fields(way: str, count: int) -> None:
    other = "(ref.i31 (i32.const 1))" if count == 1 else "(i64.const -1)"
    fields = "(field (mut i64))" * (count - 1) + "(field (mut anyref))"
    wide = (
        f"(module (type $wide (struct {fields})) (type $small (struct (field i32)))"
        '(func (export "make") (param i32) (result (ref $wide)) (local $wide (ref $wide))'
        "  (local.set $wide (struct.new_default $wide))"
        f"  (struct.set $wide {count - 1} (local.get $wide) (struct.new $small (local.get 0)))"
        f"  (struct.set $wide {max(0, count - 2)} (local.get $wide) {other})"
        "  (local.get $wide)))"
    )
    instance = wasmark.Instance(wasmark.Module(wide, wasmark.Engine(config(way, max_heap_bytes=8 << 20))))
    kept = [instance.exports.make(number) for number in range(20)]
    for number in range(2_000 if count < 2_000 else 300):
        instance.exports.make(number)
    instance.store.collect()
    for number, object_ in enumerate(kept):
        last = object_[count - 1]
        assert last == 1 if count == 1 else last[0] == number


@pytest.mark.parametrize("way", WAYS)
def test_arrays_of_every_size_around_those_of_cells_and_blocks(way: str) -> None:
    machine = Machine(way, max_heap_bytes=64 << 20)
    sizes = [size + more for size in (16, 256, 320, 4096, 8192, 65536, 131072) for more in (-17, -16, -15, 0, 1)]
    kept = {size: machine.call("bytes", size & 0x7F, size) for size in sizes if size >= 0}
    machine.call("drop arrays", 300, 8_000)
    for size, array in kept.items():
        assert len(array) == size
        if size:
            assert array[0] == array[size - 1] == size & 0x7F
    rest = {size: machine.call("bytes", 1, size) for size in kept}
    assert all(not size or array[size - 1] == 1 for size, array in rest.items())
    assert all(not size or array[size - 1] == size & 0x7F for size, array in kept.items())


@pytest.mark.parametrize("way", WAYS)
def test_types_as_deep_as_they_may_be(way: str) -> None:
    types = "(type $t0 (sub (struct)))" + "".join(
        f"(type $t{i} (sub $t{i - 1} (struct {'(field i32)' * i})))" for i in range(1, 64)
    )
    tests = "".join(
        f'(func (export "is {i}") (param anyref) (result i32) (ref.test (ref $t{i}) (local.get 0)))'
        f'(func (export "make {i}") (result anyref) (struct.new_default $t{i}))'
        for i in range(64)
    )
    exports = wasmark.Instance(wasmark.Module(f"(module {types}{tests})", wasmark.Engine(config(way)))).exports
    for made in (0, 1, 31, 62, 63):
        object_ = exports[f"make {made}"]()
        assert [exports[f"is {i}"](object_) for i in range(64)] == [int(i <= made) for i in range(64)]


@pytest.mark.parametrize("way", ["eager", "baseline", "tier-up-in-loops"])
def test_threads_take_turns_in_a_store(way: str) -> None:
    machine = Machine(way, max_heap_bytes=16 << 20)
    failures = []

    def work(number: int) -> None:
        try:
            node = machine.call("node", None, number, None)
            for turn in range(60):
                length = 1_000 + 100 * number + turn
                list_ = machine.call("chain", length)
                assert machine.call("length", list_) == length
                assert node[1] == number
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_stores_in_many_threads_collect_on_their_own() -> None:
    failures = []
    engine = Machine("eager").engine

    def work(number: int) -> None:
        try:
            machine = Machine("baseline" if number % 2 else "eager", max_heap_bytes=4 << 20)
            assert machine.engine is not engine
            for _ in range(20):
                machine.call("drop", 50_000)
                assert machine.call("keep in local", 200, 200) == 200
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        timeout=120,
    )


def test_a_forked_child_has_a_heap_of_its_own() -> None:
    done = run("""
        import os
        from tests.heap.support import Machine
        machine = Machine("baseline", max_heap_bytes=4 << 20)
        kept = machine.call("chain", 1000)
        child = os.fork()
        for _ in range(10):
            machine.call("drop", 100_000)
            assert machine.call("length", kept) == 1000
        if child:
            assert os.waitpid(child, 0)[1] == 0
        else:
            kept[1] = None
            os._exit(0 if kept[1] is None else 1)
        assert kept[1] == 1
        print("fine")
    """)
    assert (done.returncode, done.stdout) == (0, "fine\n"), done.stderr


def test_the_end_of_the_interpreter_with_objects_everywhere() -> None:
    done = run("""
        import atexit, sys
        from tests.heap.support import Machine, Thing
        machine = Machine("baseline")
        sys.everything = [machine.call("node", None, machine, machine.call("bytes", 1, 2)) for _ in range(1000)]
        thing = Thing(); thing.node = machine.call("node", None, thing, thing)
        atexit.register(machine.call, "drop", 1000)
        print("fine")
    """)
    assert (done.returncode, done.stdout, done.stderr) == (0, "fine\n", "")


def test_a_collection_that_is_interrupted_can_be_done_again() -> None:
    for step in range(1, 200):
        machine = Machine("eager")
        kept = machine.call("chain", 5)
        machine.call("drop", 10)
        files = ["collector.py", "heap.py", "held.py", "externs.py"]
        interrupted = interrupt(machine.store.collect, step, files)
        machine.store.collect()
        assert machine.store.collector.pauses == 0
        assert machine.call("length", kept) == 5
        if not interrupted:
            break
    assert step > 10


def test_a_signal_ends_code_that_only_allocates() -> None:
    class Enough(Exception):  # noqa: N818 - it is no error here
        pass

    def enough(*_: object) -> None:
        raise Enough

    def allocate() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        machine.call("drop", 2_000_000_000)

    machine = Machine("eager", max_heap_bytes=4 << 20)
    before = signal.signal(signal.SIGALRM, enough)
    try:
        with pytest.raises(Enough):
            allocate()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert machine.call("keep in local", 100, 100) == 100


@pytest.mark.parametrize("way", WAYS)
def test_recursion_ends_in_a_trap_with_objects_in_every_frame(way: str) -> None:
    text = """(module (type $node (struct (field (ref null $node))))
      (func $deep (export "deep") (param (ref null $node)) (result i32)
        (i32.add (call $deep (struct.new $node (local.get 0))) (ref.is_null (local.get 0)))))"""
    for collect_always in (False, True):
        engine = wasmark.Engine(config(way, collect_always=collect_always, max_wasm_stack=64 << 10))
        instance = wasmark.Instance(wasmark.Module(text, engine))
        with pytest.raises(wasmark.Trap) as caught:
            instance.exports.deep(None)
        assert caught.value.code is wasmark.TrapCode.STACK_OVERFLOW


def test_a_call_that_is_interrupted_leaves_a_collector_that_works() -> None:
    machine = Machine("eager")
    node = machine.call("node", None, 3, None)
    for step in range(1, 300):
        interrupted = interrupt(lambda: machine.call("any", node), step, ["func.py", "values.py", "collector.py"])
        assert (machine.store.collector.pauses, machine.store.collector.slots) == (0, None)
        if not interrupted:
            break
    assert step > 10
    machine.store.collect()
    assert machine.call("any", node)[1] == 3
