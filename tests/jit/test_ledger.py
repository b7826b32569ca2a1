"""What a lazy module compiled is there in the next process, whoever ends, forks, or writes at the same time."""

from __future__ import annotations

import gc
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import wasmark
from tests.jit.support import REPOSITORY, VARIED, answers, environment_for, python
from wasmark.binary import encode_module
from wasmark.compile.batch import hot_ir
from wasmark.compile.llvm import compile_ir
from wasmark.errors import InvalidError
from wasmark.jit import ledger
from wasmark.jit import modules as jit
from wasmark.jit.cache import CodeCache
from wasmark.registry import lookup_frame_info
from wasmark.text import parse_module


@pytest.fixture(autouse=True)
def everything_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_LEAST", 0)
    monkeypatch.setattr(ledger, "_LEAST_SHARE", 1 << 40)


def engine(directory: Path, tier_up: int | None = 3) -> wasmark.Engine:
    return wasmark.Engine(wasmark.Config(cache=directory, tier_up=tier_up, tier_up_in_background=False))


def compiled(module: wasmark.Module) -> list[int]:
    return [index for index, _, _ in module.finished_functions()]


def kept(directory: Path) -> dict[str, int]:
    """Names of the images of the one lazy module in a cache, and how many pieces each has."""
    cache = CodeCache(str(directory), 1 << 30)
    (name,) = (e.name for e in cache.entries() if cache.describe(e.name).get("kind") == "lazy")
    stored = cache.get(bytes.fromhex(name.partition(".")[0]))
    assert stored is not None
    stored.close()
    return {image: len(ledger._contents(stored.artefact, image)) for image in stored.artefact.images}


@pytest.mark.parametrize("tier_up", [None, 0, 3])
def test_code_comes_back_and_answers_the_same(tmp_path: Path, tier_up: int | None) -> None:
    module = wasmark.Module(VARIED, engine(tmp_path, tier_up))
    assert compiled(module) == []
    before = answers(module)
    functions = sorted(compiled(module))
    ledger.save_all()
    again = wasmark.Module(VARIED, engine(tmp_path, tier_up))
    assert sorted(compiled(again)) == functions
    assert answers(again) == before
    assert sorted(compiled(again)) == functions, "nothing was compiled"
    for index, start, end in again.finished_functions():
        for pc in range(start, end):
            frame = lookup_frame_info(pc)
            assert frame is not None
            assert (frame.module, frame.func_index) == (again, index)


def test_each_process_adds_what_it_has_compiled(tmp_path: Path) -> None:
    calls = [lambda e: e.div(5), lambda e: (e.float(1.0), e.div(5)), lambda e: (e.float(1.0), e.fib(20))]
    seen = []
    for call in calls:
        module = wasmark.Module(VARIED, engine(tmp_path))
        call(wasmark.Instance(module, {"env": {"twice": lambda x: x, "log": lambda *_: None}}).exports)
        del module
        ledger.save_all()
        seen.append(kept(tmp_path))
    assert seen[0] == {"first 0": 1}
    assert seen[1] == {"first 0": 1, "first 1": 1}
    assert seen[2] == {"first 0": 1, "first 1": 1, "first 2": 1, "second 2": 1}


def test_a_module_that_is_gone_is_saved_when_the_next_one_is_made(tmp_path: Path) -> None:
    answers(wasmark.Module(VARIED, engine(tmp_path)))
    gc.collect()
    wasmark.Module("(module (func))", engine(tmp_path))
    assert kept(tmp_path)["first 0"] > 5


def test_what_is_there_already_is_not_written_again(tmp_path: Path) -> None:
    # Two modules of the same contents, as two processes at once would have them.
    modules = [wasmark.Module(VARIED, engine(tmp_path)) for _ in range(2)]
    for module in modules:
        answers(module)
    ledger.save_all()
    assert sum(name.startswith("first") for name in kept(tmp_path)) == 1
    assert sum(name.startswith("second") for name in kept(tmp_path)) == 1


def test_what_was_compiled_twice_is_kept_once(tmp_path: Path) -> None:
    module = wasmark.Module(VARIED, engine(tmp_path, 0))
    expected = answers(module)
    lazy = module._lazy
    assert lazy is not None
    hot = [piece for piece in lazy._optimized if not piece.loop][:2]
    for wanted in ([hot[0]], hot):  # as where it was asked for once more when an exception came between
        lazy.install(wanted, compile_ir(hot_ir(module.model, lazy._layout, wanted)))
    assert answers(module) == expected
    ledger.save_all()
    assert kept(tmp_path)["second 0"] == len(lazy._optimized)
    assert answers(wasmark.Module(VARIED, engine(tmp_path, 0))) == expected


def test_little_is_not_worth_a_file_nor_a_small_share_a_larger_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = "(drop (i32.div_u (i32.const 1) (local.get 0)))" * 100
    text = "".join(f'(func (export "f{n}") (param i32) {body if n < 60 else ""})' for n in range(64))

    def run(*numbers: int) -> None:
        exports = wasmark.Instance(wasmark.Module(f"(module {text})", engine(tmp_path, None))).exports
        for number in numbers:
            exports[f"f{number}"](1)
        ledger.save_all()

    monkeypatch.setattr(ledger, "_LEAST", 4 << 10)
    monkeypatch.setattr(ledger, "_SMALL_ONES", 0)
    run(62)
    cache = CodeCache(str(tmp_path), 1 << 30)
    assert "lazy" not in [cache.describe(entry.name).get("kind") for entry in cache.entries()]
    run(*range(60))
    first = kept(tmp_path)
    assert first == {"first 0": 60}
    monkeypatch.setattr(ledger, "_LEAST", 0)
    monkeypatch.setattr(ledger, "_LEAST_SHARE", 16)
    run(63)
    assert kept(tmp_path) == first


def test_the_first_small_modules_of_a_process_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ledger, "_LEAST", 1 << 30)
    monkeypatch.setattr(ledger, "_SMALL_ONES", 2)
    monkeypatch.setattr(ledger, "_small_ones", [0])
    for number in range(4):
        text = f"""(module (func (export "f") (result i32) (i32.const {number}))
            (func (export "g") (result i32) (i32.const {number})))"""
        assert wasmark.Instance(wasmark.Module(text, engine(tmp_path))).exports.f() == number
        ledger.save_all()
        again = wasmark.Module(text, engine(tmp_path))
        assert compiled(again) == ([0] if number < 2 else [])
        assert wasmark.Instance(again).exports.g() == number
        ledger.save_all()  # a small piece is added to none
        assert compiled(wasmark.Module(text, engine(tmp_path))) == ([0] if number < 2 else [])


def test_engines_that_count_and_engines_that_do_not_have_code_of_their_own(tmp_path: Path) -> None:
    answers(wasmark.Module(VARIED, engine(tmp_path, 3)))
    ledger.save_all()
    assert compiled(wasmark.Module(VARIED, engine(tmp_path, None))) == []
    assert compiled(wasmark.Module(VARIED, engine(tmp_path, 77))) != [], "how far is counted makes no difference"


def test_a_function_that_nobody_called_is_still_validated_when_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jit, "_VALIDATED_LATE", -1)
    text = '(module (func (export "good") (result i32) (i32.const 1)) (func (export "bad") (result i32) (i64.const 1)))'
    for _ in range(2):
        module = wasmark.Module(text, engine(tmp_path))
        exports = wasmark.Instance(module).exports
        assert exports.good() == 1
        with pytest.raises(InvalidError):
            exports.bad()
        ledger.save_all()
    monkeypatch.setattr(jit, "_VALIDATED_LATE", 1 << 20)
    with pytest.raises(InvalidError):  # that a part of it is in the cache says nothing of the rest
        wasmark.Module(text, engine(tmp_path))


RUN = """
import sys
from wasmark.jit import ledger
ledger._LEAST, ledger._LEAST_SHARE = 0, 1 << 40
import wasmark
from tests.jit.support import answers
module = wasmark.Module.from_file(sys.argv[1])
before = len(list(module.finished_functions()))
result = answers(module)
print(before, len(list(module.finished_functions())), "llvmlite" in sys.modules)
print(result)
"""


def test_the_next_process_compiles_nothing_and_loads_no_compiler(tmp_path: Path) -> None:
    binary = tmp_path / "varied.wasm"
    binary.write_bytes(encode_module(parse_module(VARIED)))
    outputs = [python(RUN, binary, cache_home=tmp_path).stdout.split("\n") for _ in range(3)]
    first, second, third = (output[0].split() for output in outputs)
    assert first[0] == "0"
    assert second[:2] == [first[1], first[1]]
    assert third == second
    assert second[2] == "False"
    assert outputs[0][1] == outputs[1][1] == outputs[2][1]


def test_processes_that_end_at_the_same_time_lose_nothing_of_each_other(tmp_path: Path) -> None:
    names = [f"f{n}" for n in range(12)]
    body = "(drop (i32.const 1))" * 50
    text = "".join(f'(func (export "{name}") (result i32) {body} (i32.const {n}))' for n, name in enumerate(names))
    binary = tmp_path / "many.wasm"
    binary.write_bytes(encode_module(parse_module(f"(module {text})")))
    code = textwrap.dedent(
        """
        import sys
        from wasmark.jit import ledger
        ledger._LEAST, ledger._LEAST_SHARE = 0, 1 << 40
        import wasmark
        exports = wasmark.Instance(wasmark.Module.from_file(sys.argv[1])).exports
        sys.stdin.readline()
        for name in sys.argv[2:]:
            assert exports[name]() == int(name[1:])
        """
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, binary, *names[n : n + 4]],
            stdin=subprocess.PIPE,
            env=environment_for(tmp_path),
            cwd=REPOSITORY,
        )
        for n in range(0, 12, 2)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write(b"\n")
        process.stdin.close()
    assert [process.wait(120) for process in processes] == [0] * len(processes)
    assert sum(kept(tmp_path / "wasmark").values()) == len(names)
