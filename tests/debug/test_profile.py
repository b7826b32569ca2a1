"""A profile shows what ran: stacks through wasm and Python in their order, whatever the code is made of, while modules
come and go; and what is profiled does not notice."""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

import wasmark
from tests import ways
from tests.debug.programs import SPIN, attempt, program, run
from wasmark import Config, Engine, Instance, Module, Store
from wasmark.debug import profile as profile_module
from wasmark.debug.code_log import CodeLog
from wasmark.runtime import sampler

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

TOWER = """
(module $tower
  (import "host" "python" (func $python (param i32) (result i32)))
  (func $spin (param i32) (result i32) (local i32)
    (loop $again
      (local.set 1 (i32.xor (i32.mul (local.get 1) (i32.const 1664525)) (local.get 0)))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br_if $again (local.get 0)))
    (local.get 1))
  (func $work (param i32) (result i32)
    (i32.add (call $spin (local.get 0)) (i32.const 1)))
  (func (export "top") (param i32) (result i32)
    (i32.add (call $work (local.get 0)) (i32.const 1)))
  (func (export "through") (param i32) (result i32)
    (i32.add (call $python (local.get 0)) (i32.const 1)))
  (func (export "fail") (param i32) (result i32)
    (drop (call $work (local.get 0)))
    (i32.div_u (i32.const 1) (i32.const 0))))
"""


def ticks(count: int) -> Callable[[], bool]:
    """Whether the sampler has not made so many rounds yet, from now on."""
    end = sampler.get(sampler.SAMPLER_TICK) + count
    return lambda: sampler.get(sampler.SAMPLER_TICK) < end


def samples(taken: wasmark.Profile, count: int, *threads: int) -> Callable[[], bool]:
    """Whether these threads, or else the calling one, have been found in wasm code fewer times than that, each: on a
    machine that has other work, rounds of the sampler are no samples."""
    wanted = threads or (threading.get_native_id(),)
    return lambda: any(id_ not in taken._threads or len(taken._threads[id_].times) < count for id_ in wanted)


def tower(config: Config, python: Callable[[int], int]) -> Instance:
    engine = Engine(config)
    return Instance(Module(TOWER, engine), {"host": {"python": python}}, Store(engine))


def short(stack: tuple[str, ...]) -> str:
    return " ".join(name.rpartition(".")[2] for name in stack)


def climb(config: Config) -> str:
    """The stacks in which `spin` was seen on the way Python, wasm, Python, wasm."""

    def host(turns: int) -> int:
        return go_on(turns)

    def go_on(turns: int) -> int:
        return instance.exports.top(turns)

    def begin(turns: int) -> int:
        return instance.exports.through(turns)

    instance = tower(config, host)
    begin(10)
    with wasmark.profile() as taken:
        more = samples(taken, 40)
        while more():
            begin(2_000_000)
    stacks = [short(stack) for stack in taken.seconds() if stack[-1] == "tower!spin"]
    assert stacks, taken.seconds()
    begins = "climb begin tower!through host go_on tower!top tower!work tower!spin"
    wrong = [stack for stack in stacks if not stack.endswith(begins)]
    # A sample may come while a function is made, or leaves its frame: then its caller is where it was.
    assert not wrong, wrong
    return stacks[0]


@pytest.mark.parametrize("way", ways.WAYS)
def test_python_frames_stand_between_wasm_frames(way: str) -> None:
    climb(ways.config(way, cache=False))


def test_python_frames_stand_between_wasm_frames_in_code_from_the_cache(tmp_path: Path) -> None:
    ways.run_cached(climb, str(tmp_path))


def test_time_in_python_is_that_of_the_function_it_was_spent_in() -> None:
    own = threading.get_native_id()

    first: list[int] = []

    def looks() -> list[tuple[int, Any]]:
        return taken._threads[own].looks if own in taken._threads else []

    def count_down(turns: int) -> int:
        first.append(len(looks()))
        while len(looks()) < first[0] + 10:
            pass
        return turns

    instance = tower(Config(cache=False), count_down)
    instance.exports.top(100)
    with wasmark.profile() as taken:
        instance.exports.through(1)
    seconds: Counter[str] = Counter()
    taken._threads = {own: taken._threads[own]}  # other threads of the tests are idle, and looked at, too
    for stack, spent in taken.seconds().items():
        seconds[short(stack)] += spent
    inside = {stack: spent for stack, spent in seconds.items() if "tower!through count_down" in stack}
    # What is before the first look in the function and behind the last one may be that of others.
    (begin, _), (end, _) = looks()[first[0]], looks()[first[0] + 9]
    assert sum(inside.values()) > 0.999 * (end - begin) / 1e9 > 0, seconds


def test_an_activation_that_is_not_over_has_its_python_frames_too() -> None:
    text = """
    (module $waiting (memory (export "memory") 1)
      (func (export "wait") (loop $again (br_if $again (i32.eqz (i32.load (i32.const 0)))))))
    """
    engine = Engine(Config(strategy="eager", cache=False))
    instance = Instance(Module(text, engine), store=Store(engine))
    memory = memoryview(instance.exports.memory)

    def wait() -> None:
        instance.exports.wait()

    thread = threading.Thread(target=wait)
    with wasmark.profile() as taken:
        thread.start()
        assert thread.native_id is not None
        more = samples(taken, 20, thread.native_id)
        while more():
            time.sleep(0.001)
    memory[0] = 1
    thread.join(120)
    stacks = [short(stack) for stack in taken.seconds() if stack[-1] == "waiting!wait"]
    assert stacks
    assert all(" run wait " in stack for stack in stacks), stacks


def test_a_profile_begun_inside_of_wasm_leaves_out_what_it_cannot_know() -> None:
    def host(turns: int) -> int:
        with taken:
            more = samples(taken, 20)
            while more():
                instance.exports.top(1_000_000)
        return turns

    taken = wasmark.profile()
    instance = tower(Config(cache=False), host)
    instance.exports.through(1)
    stacks = [short(stack) for stack in taken.seconds() if stack[-1] == "tower!spin"]
    assert stacks
    assert all(stack.endswith("host tower!top tower!work tower!spin") for stack in stacks), stacks
    assert not any("tower!through" in stack for stack in stacks)


def test_names_are_right_while_modules_come_and_go() -> None:
    """Each module has its own names, the same code, and soon the addresses of one that has gone."""
    engine = Engine(Config(strategy="eager", cache=False))
    addresses: Counter[int] = Counter()
    rounds = 0
    with wasmark.profile(rate=5000) as taken:
        more = samples(taken, 60)
        # Code that has gone leaves its place to the next, but behind all others of that size that were left before.
        while more() or rounds < 30 or max(addresses.values()) < 2:
            text = SPIN.replace("$spin", f"$m{rounds}").replace("$inner", f"$f{rounds}")
            module = Module(text, engine)
            addresses[min(start for _, start, _ in module.finished_functions())] += 1
            instance = Instance(module, store=Store(engine))
            instance.exports.outer(100_000)
            rounds += 1
            del module, instance
    seen = 0
    for stack in taken.seconds():
        wasm = [name for name in stack if name.startswith("m") and "!" in name]
        seen += bool(wasm)
        for name in wasm:
            module_name, _, function = name.partition("!")
            assert function in {f"f{module_name[1:]}", "middle", "outer"}, stack
        assert len({name.partition("!")[0] for name in wasm}) <= 1, stack
    assert seen > 3


def test_names_are_right_while_threads_tier_up_and_unload() -> None:
    """For a minute where WASMARK_LONG is set."""
    rounds = 180_000 if os.environ.get("WASMARK_LONG") else 500

    def work(number: int) -> None:
        count = 0
        while more():
            name = f"t{number}x{count}"
            engine = engines[count % 2]
            text = SPIN.replace("$spin", f"${name}").replace("$inner", f"$f_{name}")
            instance = Instance(Module(text, engine), store=Store(engine))
            for _ in range(5):
                instance.exports.outer(20_000)
            count += 1
            del instance
            gc.collect(0)
        counts.append(count)

    lazy = {"strategy": "lazy", "tier_up": 2, "tier_up_in_background": False}
    engines = [Engine(Config(strategy="baseline", cache=False)), Engine(Config(**lazy, cache=False))]
    counts: list[int] = []
    with wasmark.profile(rate=3000) as taken:
        enough_rounds, enough_samples = ticks(rounds), threading.Event()

        def more() -> bool:
            return enough_rounds() or not enough_samples.is_set()

        threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        wanted = samples(taken, 40, *(thread.native_id or 0 for thread in threads))
        while wanted() and any(thread.is_alive() for thread in threads):
            time.sleep(0.01)
        enough_samples.set()
        for thread in threads:
            thread.join(300)
    assert len(counts) == 3
    seen = set()
    for line in taken.timelines():
        for span in line.spans:
            modules = {
                name.name.partition("!")[0] for name in span.stack if name.name.startswith("t") and "!" in name.name
            }
            assert len(modules) <= 1, span.stack
            for name in (frame.name for frame in span.stack if "!" in frame.name):
                module, _, function = name.partition("!")
                assert function in {f"f_{module}", "middle", "outer"}, span.stack
            seen |= modules
    assert len(seen) > 3


@pytest.mark.alone
def test_what_is_known_of_code_goes_when_its_samples_have_been_looked_at() -> None:
    engine = Engine(Config(strategy="eager", cache=False))
    Instance(Module(SPIN, engine), store=Store(engine)).exports.outer(1)  # some code of the process stays
    gc.collect()
    log = CodeLog()
    log.start()
    try:
        log.settle()
        before = len(log)
        for _ in range(20):
            instance = Instance(Module(SPIN, engine), store=Store(engine))
            instance.exports.outer(1)
            del instance
        gc.collect()
        log.settle()
        assert len(log) > before
        log.forget(sampler.head())
        assert len(log) <= before  # other code may have gone, too
    finally:
        log.stop()


def test_traps_and_exceptions_come_out_the_same() -> None:
    def python(turns: int) -> int:
        if turns == 1:
            raise KeyError(turns)
        return turns

    instance = tower(Config(strategy="eager", cache=False), python)
    counts: Counter[str] = Counter()
    with wasmark.profile(rate=10_000) as taken:
        enough_rounds, enough_samples = ticks(500), samples(taken, 60)
        while enough_rounds() or enough_samples():
            try:
                instance.exports.fail(20_000)
            except wasmark.Trap as trap:
                counts[trap.code.name + " " + " ".join(str(frame.func_name) for frame in trap.frames)] += 1
            with pytest.raises(KeyError):
                instance.exports.through(1)
            assert instance.exports.through(2) == 3
    assert list(counts) == ["INTEGER_DIVISION_BY_ZERO fail"]
    assert any("tower!fail" in stack for stack in taken.seconds())


def test_threads_are_kept_apart() -> None:
    engine = Engine(Config(cache=False))
    names = [f"worker{number}" for number in range(4)]

    def work(name: str) -> None:
        instance = Instance(Module(SPIN.replace("$spin", f"${name}"), engine), store=Store(engine))
        more = samples(taken, 20)
        while more():
            instance.exports.outer(200_000)

    with wasmark.profile(rate=2000) as taken:
        threads = [threading.Thread(target=work, args=(name,), name=name) for name in names]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(300)
    lines = {line.name: line for line in taken.timelines()}
    for name in names:
        modules = {frame.name.partition("!")[0] for span in lines[name].spans for frame in span.stack}
        assert name in modules
        assert not modules & (set(names) - {name})


def test_a_thread_that_ends_after_its_first_samples_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "_LOOK_EVERY", 3600.0)
    monkeypatch.setattr(profile_module.Profile, "_look_at_python", lambda self: None)
    instance = tower(Config(strategy="eager", cache=False), lambda turns: turns)
    sampled, done = threading.Event(), threading.Event()

    def work() -> None:
        while sampler.head() == before:
            instance.exports.top(1_000_000)
        sampled.set()
        assert done.wait(300)

    with wasmark.profile(rate=2000) as taken:
        before = sampler.head()
        worker = threading.Thread(target=work, name="short-lived")
        worker.start()
        assert sampled.wait(300)
        taken._drain()
        done.set()
        worker.join(300)
    assert "short-lived" in {line.name for line in taken.timelines()}


def test_what_finds_no_room_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(profile_module, "_LOOK_EVERY", 3600.0)
    instance = tower(Config(strategy="eager", cache=False), lambda turns: turns)
    with wasmark.profile(rate=10_000) as taken:
        while not sampler.get(sampler.SAMPLER_DROPPED):
            instance.exports.top(3_000_000)
    assert taken.dropped > 0
    assert sum(len(thread.times) for thread in taken._threads.values()) == sampler.SLOTS
    # The ring is as good as new.
    with monkeypatch.context() as patch:
        patch.setattr(profile_module, "_LOOK_EVERY", 0.005)
        with wasmark.profile(rate=100) as after:
            more = samples(after, 10)
            while more():
                instance.exports.top(1_000_000)
    assert after.dropped == 0
    assert any(stack[-1] == "tower!spin" for stack in after.seconds())


def test_deep_stacks_keep_both_ends() -> None:
    text = """
    (module $deep
      (func $spin (param i32) (loop $again (br_if $again (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
      (func $down (export "down") (param i32)
        (if (local.get 0)
          (then (call $down (i32.sub (local.get 0) (i32.const 1))))
          (else (call $spin (i32.const 1000000))))
        (call $after))
      (func $after))
    """
    engine = Engine(Config(strategy="eager", cache=False))
    instance = Instance(Module(text, engine), store=Store(engine))
    with wasmark.profile() as taken:
        more = samples(taken, 30)
        while more():
            instance.exports.down(1000)
    deep = [stack for stack in taken.seconds() if stack[-1] == "deep!spin"]
    assert deep
    for stack in deep:
        names = Counter(stack)
        assert names["(frames omitted)"] == 1
        assert 200 < names["deep!down"] < 256
        assert "test_deep_stacks_keep_both_ends" in short(stack).split(" deep!down")[0]


def test_one_profile_at_a_time() -> None:
    first = wasmark.profile()
    with first:
        with pytest.raises(wasmark.Error, match="there is a profile already"):
            wasmark.profile().start()
        with pytest.raises(wasmark.Error, match="not over"):
            first.timelines()
    first.stop()
    with pytest.raises(wasmark.Error, match="taken once"):
        first.start()
    with pytest.raises(ValueError, match="10,000"):
        wasmark.profile(rate=0)


def test_a_profile_that_nobody_ends_ends_with_the_process(tmp_path: Path) -> None:
    source = """
        import wasmark
        instance = wasmark.Instance(wasmark.Module(SPIN))

        class Late:
            def __del__(self, call=instance.exports.outer):
                print(call(3_000_000) == expected)

        wasmark.profile(rate=10_000).start()
        expected = instance.exports.outer(3_000_000)
        late = Late()
        late.itself = late
    """
    assert run(program(tmp_path, source), tmp_path).stdout == "True\n"


def test_a_forked_process_goes_on_without_the_profile(tmp_path: Path) -> None:
    source = """
        import os, sys, wasmark
        instance = wasmark.Instance(wasmark.Module(SPIN))
        with wasmark.profile() as taken:
            expected = instance.exports.outer(3_000_000)
            child = os.fork()
            if child == 0:
                assert instance.exports.outer(3_000_000) == expected
                taken.stop()
                with wasmark.profile() as own:
                    for _ in range(50):
                        instance.exports.outer(3_000_000)
                print(any(stack[-1] == "spin!inner" for stack in own.seconds()))
                sys.stdout.flush()
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
        print("parent")
    """
    assert run(program(tmp_path, source), tmp_path).stdout == "True\nparent\n"


SIGNALLED = """
    import os, signal, wasmark
    instance = wasmark.Instance(wasmark.Module(SPIN))
    seen = []
    if handled:
        signal.signal(signal.SIGPROF, lambda *_: seen.append("handled"))
    with wasmark.profile() as taken:
        for _ in range(30):
            instance.exports.outer(1_000_000)
        os.kill(os.getpid(), signal.SIGPROF)
        for _ in range(30):
            instance.exports.outer(1_000_000)
    print(seen, any(stack[-1] == "spin!inner" for stack in taken.seconds()))
"""


def test_the_signal_still_goes_to_who_had_it_before(tmp_path: Path) -> None:
    done = run(program(tmp_path, SIGNALLED, handled=True), tmp_path)
    assert done.stdout == "['handled'] True\n"


def test_the_signal_ends_a_process_that_does_not_handle_it(tmp_path: Path) -> None:
    done = attempt(program(tmp_path, SIGNALLED, handled=False), tmp_path)
    assert done.returncode == -signal.SIGPROF


def test_run_writes_a_profile_of_a_program_that_traps(tmp_path: Path) -> None:
    (tmp_path / "tower.wat").write_text(
        TOWER.replace('(import "host" "python" (func $python (param i32) (result i32)))', "").replace(
            "(call $python (local.get 0))", "(i32.const 1)"
        )
    )
    words = ["--profile", "out.json", "tower.wat", "--invoke", "fail", "300000000"]
    done = attempt([sys.executable, "-m", "wasmark", "run", *words], tmp_path)
    assert done.returncode == 134, done.stderr
    events = json.loads((tmp_path / "out.json").read_text())
    names = {
        node["callFrame"]["functionName"]
        for event in events
        if event["name"] == "ProfileChunk"
        for node in event["args"]["data"]["cpuProfile"]["nodes"]
    }
    assert {"tower!spin", "tower!work", "tower!fail"} <= names


def rebuilt(events: list[dict[str, Any]]) -> dict[tuple[str, ...], float]:
    """Seconds by stack, out of a file, as those who open it see them."""
    found: dict[tuple[str, ...], float] = {}
    starts = {event["id"]: event["args"]["data"]["startTime"] for event in events if event["name"] == "Profile"}
    for chunk in (event for event in events if event["name"] == "ProfileChunk"):
        data = chunk["args"]["data"]
        nodes = {node["id"]: node for node in data["cpuProfile"]["nodes"]}
        samples, deltas = data["cpuProfile"]["samples"], data["timeDeltas"]
        assert len(samples) == len(deltas)
        assert all(delta >= 0 for delta in deltas)
        assert starts[chunk["id"]] + sum(deltas) == data["endTime"]
        for sample, delta in zip(samples, deltas[1:], strict=False):
            names: list[str] = []
            while "parent" in nodes[sample]:
                names.append(nodes[sample]["callFrame"]["functionName"])
                sample = nodes[sample]["parent"]
            found[tuple(reversed(names))] = found.get(tuple(reversed(names)), 0.0) + delta / 1e6
    return found


def test_the_file_says_what_the_profile_says(tmp_path: Path) -> None:
    instance = tower(Config(cache=False), lambda turns: instance.exports.top(turns))
    with wasmark.profile() as taken:
        more = ticks(100)
        while more():
            instance.exports.through(500_000)
    taken.save(tmp_path / "out.json")
    wanted = taken.seconds()
    found = rebuilt(json.loads((tmp_path / "out.json").read_text()))
    found.pop(("(idle)",), None)
    wanted.pop((), None)
    assert found.keys() == wanted.keys()
    for stack, spent in wanted.items():
        assert found[stack] == pytest.approx(spent, abs=1e-3)
