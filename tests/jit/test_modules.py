"""Modules out of the cache, out of artefacts and out of pickles are the modules they were."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import wasmark
from tests.jit.support import (
    REPOSITORY,
    VARIED,
    answers,
    engine,
    environment_for,
    python,
    stored_modules,
)
from tests.spec.official import SCRIPTS, TESTSUITE, needs_testsuite
from wasmark.binary import encode_module
from wasmark.compile import module as compile_module
from wasmark.jit import cache as cache_module
from wasmark.jit import modules as jit
from wasmark.jit.artefact import decode
from wasmark.runtime.code_memory import arenas
from wasmark.text import parse_module

NO_COMPILER = """
import sys
loaded = [name for name in ("llvmlite", "numpy", "wasmark.compile.module", "wasmark.validate.module", "wasmark.text")
          if name in sys.modules]
"""


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Counts how often modules are really compiled."""
    counts: Counter[str] = Counter()
    compile_modules = compile_module.compile_modules

    def counting(*args: object, **keywords: object) -> object:
        counts["modules"] += 1
        return compile_modules(*args, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(compile_module, "compile_modules", counting)
    return counts


def test_importing_wasmark_imports_neither_the_compiler_nor_numpy(tmp_path: Path) -> None:
    done = python("import wasmark" + NO_COMPILER + "print(loaded)", cache_home=tmp_path)
    assert done.stdout == "[]\n"


def test_the_second_start_needs_no_compiler_and_gives_the_same(tmp_path: Path) -> None:
    binary = tmp_path / "varied.wasm"
    wasmark_wat2wasm(binary)
    code = (
        "import sys, wasmark\nfrom tests.jit.support import answers\n"
        "engine = wasmark.Engine(wasmark.Config(strategy='eager'))\n"
        "results = answers(wasmark.Module.from_file(sys.argv[1], engine))"
        + NO_COMPILER
        + "print(loaded)\nprint(results)"
    )
    first, second = (python(code, binary, cache_home=tmp_path).stdout.split("\n", 1) for _ in range(2))
    assert "'llvmlite'" in first[0]
    assert second[0] == "[]"
    assert first[1] == second[1]
    assert "INTEGER_DIVISION_BY_ZERO" in second[1]


def wasmark_wat2wasm(path: Path) -> None:
    from wasmark.binary import encode_module
    from wasmark.text import parse_module

    path.write_bytes(encode_module(parse_module(VARIED)))


def test_the_cache_can_be_turned_off(tmp_path: Path, compilations: Counter[str]) -> None:
    off = wasmark.Engine(wasmark.Config(strategy="eager", cache=False))
    for _ in range(2):
        assert answers(wasmark.Module(VARIED, off))[0] == 610
    assert compilations["modules"] == 2
    assert off.cache is None


def test_each_module_compiles_once_for_all_engines_with_equal_features(
    tmp_path: Path, compilations: Counter[str]
) -> None:
    expected = answers(wasmark.Module(VARIED, engine(tmp_path)))
    assert compilations["modules"] == 1
    assert answers(wasmark.Module(VARIED, engine(tmp_path))) == expected
    assert compilations["modules"] == 1
    fewer = frozenset(wasmark.Feature) - {wasmark.Feature.MULTI_MEMORY}
    answers(wasmark.Module(VARIED, wasmark.Engine(wasmark.Config(strategy="eager", cache=tmp_path, features=fewer))))
    answers(wasmark.Module(VARIED.replace("i32.const 55", "i32.const 56"), engine(tmp_path)))
    assert compilations["modules"] == 3


def test_what_stands_in_custom_sections_at_the_end_makes_no_other_code(
    tmp_path: Path, compilations: Counter[str]
) -> None:
    binary = encode_module(parse_module(VARIED))
    custom = b"\0\4\2ab?"
    modules = [wasmark.Module(data, engine(tmp_path)) for data in (binary, binary + custom, binary + 2 * custom)]
    assert compilations["modules"] == 1
    assert len({str(answers(module)) for module in modules}) == 1
    assert [module.model.data for module in modules] == [binary, binary + custom, binary + 2 * custom]
    moved = wasmark.Module(binary[:8] + custom + binary[8:], engine(tmp_path))
    assert compilations["modules"] == 2
    assert answers(moved) != answers(modules[0]), "offsets in it are others"
    assert wasmark.Module(binary[:8] + custom, engine(tmp_path)).model.customs[0].name == "ab"


def test_what_one_engine_may_not_use_is_refused_though_another_engine_left_it_in_the_cache(tmp_path: Path) -> None:
    source = '(module (memory 1) (memory 1) (func (export "f")))'
    wasmark.Module(source, engine(tmp_path))
    fewer = frozenset(wasmark.Feature) - {wasmark.Feature.MULTI_MEMORY}
    with pytest.raises(wasmark.InvalidError):
        wasmark.Module(source, wasmark.Engine(wasmark.Config(strategy="eager", cache=tmp_path, features=fewer)))


def test_invalid_modules_stay_invalid(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(wasmark.InvalidError, match="type mismatch"):
            wasmark.Module("(module (func (result i32) i64.const 1))", engine(tmp_path))
    assert stored_modules(tmp_path) == []


def test_the_registry_answers_the_same_for_every_byte_of_cached_code(tmp_path: Path) -> None:
    fresh = wasmark.Module(VARIED, engine(tmp_path))
    cached = wasmark.Module(VARIED, engine(tmp_path))
    tables = []
    for module in (fresh, cached):
        store = wasmark.Store(module.engine)
        registry = store.registry
        registry.register_module(module)
        code = module.code_object()
        assert code is not None
        rows = []
        for pc in range(code.text_start, code.text_end):
            info = registry.lookup_frame_info(pc)
            trap = registry.lookup_trap_code(pc)
            rows.append((info and (info.func_index, info.module_offset, info.func_name), trap))
            assert (registry.lookup_module(pc) is module) == (info is not None)
            assert wasmark.registry.is_wasm_trap_pc(pc) == (trap is not None)
        functions = [(i, a - code.text_start, b - code.text_start) for i, a, b in module.finished_functions()]
        trampolines = {s: address - code.text_start for s, address in code.trampolines.items()}
        tables.append((rows, functions, trampolines))
    assert tables[0] == tables[1]
    assert {row[1] for row in tables[1][0]} >= {
        None,
        wasmark.TrapCode.UNREACHABLE,
        wasmark.TrapCode.INTEGER_DIVISION_BY_ZERO,
        wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS,
    }


# --- attacks ---


def test_damage_anywhere_in_the_file_is_compiled_away(tmp_path: Path, compilations: Counter[str]) -> None:
    expected = answers(wasmark.Module(VARIED, engine(tmp_path)))
    (path,) = stored_modules(tmp_path)
    good = path.read_bytes()
    rng = random.Random(5)
    damages = [("flip", place) for place in (0, 8, 12, 16, 24, 56, 88, 100)]
    damages += [("flip", rng.randrange(len(good))) for _ in range(30)]
    damages += [("cut", size) for size in (0, 1, 87, 88, 4096, len(good) - 1, rng.randrange(len(good)))]
    for number, (kind, place) in enumerate(damages, 2):
        data = bytearray(good)
        if kind == "flip":
            data[place] ^= 1 << rng.randrange(8)
        else:
            del data[place:]
        path.write_bytes(data)
        assert answers(wasmark.Module(VARIED, engine(tmp_path))) == expected
        assert compilations["modules"] == number
        assert path.read_bytes() == good


def test_twenty_processes_in_one_directory_never_disagree(tmp_path: Path) -> None:
    binary = tmp_path / "varied.wasm"
    wasmark_wat2wasm(binary)
    code = """
import os, random, sys, time, wasmark
from pathlib import Path
from tests.jit.support import VARIED, answers
seed = int(sys.argv[2])
rng = random.Random(seed)
directory = Path(os.environ["XDG_CACHE_HOME"], "wasmark")
expected = None
for turn in range(6):
    source = VARIED.replace("i32.const 55", f"i32.const {55 + rng.randrange(3)}")
    module = wasmark.Module(source, wasmark.Engine())
    result = answers(module)
    value = result[4].pop()
    assert value == int(source.split("i32.const 5")[-1][0]) + 50, value
    if expected is None:
        expected = result
    # The frames tell addresses in the module, which are the same in all variants.
    assert result == expected, [(a, b) for a, b in zip(result, expected) if a != b]
    if seed % 2:
        files = [path for path in directory.glob("*.wasmark")]
        if files:
            victim = rng.choice(files)
            try:
                damaged = bytearray(victim.read_bytes())
            except FileNotFoundError:  # one of the others has thrown it away
                damaged = bytearray()
            if damaged:
                damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
                if rng.random() < 0.3:
                    del damaged[rng.randrange(len(damaged)):]
                other = directory / f"attack-{seed}"
                other.write_bytes(damaged)
                other.chmod(0o600)
                os.rename(other, victim)
print(repr(expected))
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(binary), str(seed)],
            cwd=REPOSITORY,
            env=environment_for(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(20)
    ]
    outputs = set()
    for process in processes:
        out, err = process.communicate(timeout=300)
        assert process.returncode == 0, err
        outputs.add(out)
    assert len(outputs) == 1


# --- memory ---


def mappings() -> list[tuple[int, int, str, str]]:
    """(start, end, permissions, file) of this process."""
    found = []
    for line in Path("/proc/self/maps").read_text().splitlines():
        match = re.match(r"(\w+)-(\w+) (\S+) \S+ \S+ \d+ *(.*)", line)
        assert match is not None
        found.append((int(match[1], 16), int(match[2], 16), match[3], match[4]))
    return found


def test_cached_code_is_the_file_itself_and_never_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "MAPPED_FROM", 0)
    wasmark.Module(VARIED, engine(tmp_path))
    module = wasmark.Module(VARIED, engine(tmp_path))
    code = module.code_object()
    assert code is not None
    (path,) = stored_modules(tmp_path)
    (mapping,) = [row for row in mappings() if row[0] <= code.text_start < row[1]]
    assert mapping[1] >= code.text_end
    assert mapping[2:] == ("r-xp", str(path))
    (rodata,) = [row for row in mappings() if row[0] <= code.code_memory.rodata_start < row[1]]
    assert rodata[2] == "r--p"
    ours = [range(arena.base, arena.base + arena.size) for arena in arenas()]
    assert not [row for row in mappings() if "w" in row[2] and "x" in row[2] and any(row[0] in r for r in ours)]
    # What shows the sharing: none of the pages of code is this process's own.
    smaps = Path("/proc/self/smaps").read_text()
    block = smaps[smaps.index(f"{mapping[0]:x}-") :].split("VmFlags")[0]
    assert re.search(r"Private_Dirty: +0 kB", block)


def test_a_small_file_is_read_and_may_be_changed_while_its_code_runs(tmp_path: Path) -> None:
    expected = answers(wasmark.Module(VARIED, engine(tmp_path)))
    module = wasmark.Module(VARIED, engine(tmp_path))
    (path,) = stored_modules(tmp_path)
    assert not [row for row in mappings() if row[3] == str(path)]
    with path.open("r+b") as file:
        file.write(b"\xcc" * path.stat().st_size)
        file.truncate(5000)
    assert answers(module) == expected
    code = module.code_object()
    assert code is not None
    assert len(code.line_tables()) == 1


def test_code_outlives_its_file(tmp_path: Path) -> None:
    expected = answers(wasmark.Module(VARIED, engine(tmp_path)))
    module = wasmark.Module(VARIED, engine(tmp_path))
    for path in tmp_path.iterdir():
        path.unlink()
    assert answers(module) == expected


def test_where_files_cannot_be_mapped_as_code_it_is_copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wasmark.runtime.code_memory import CodeMemory

    monkeypatch.setattr(cache_module, "MAPPED_FROM", 0)
    expected = answers(wasmark.Module(VARIED, engine(tmp_path)))
    monkeypatch.setattr(CodeMemory, "map_file", staticmethod(lambda *_: None))
    module = wasmark.Module(VARIED, engine(tmp_path))
    assert answers(module) == expected
    code = module.code_object()
    assert code is not None
    (mapping,) = [row for row in mappings() if row[0] <= code.text_start < row[1]]
    assert mapping[2:] == ("r-xp", "")


# --- serialized ---


def test_a_serialized_module_is_the_module(tmp_path: Path, compilations: Counter[str]) -> None:
    for module in (wasmark.Module(VARIED, engine(tmp_path), name="given") for _ in range(2)):
        data = module.serialize()
        again = wasmark.Module.deserialize(data, engine(tmp_path))
        assert answers(again) == answers(module)
        assert again.name == "varied"
        assert again.serialize() == data
    assert compilations["modules"] == 1


def test_a_serialized_module_keeps_its_given_name_or_gets_another(tmp_path: Path) -> None:
    module = wasmark.Module("(module (func unreachable))", engine(tmp_path), name="given")
    assert wasmark.Module.deserialize(module.serialize()).name == "given"
    assert wasmark.Module.deserialize(module.serialize(), name="other").name == "other"


def test_modules_without_code_serialize_too() -> None:
    module = wasmark.Module('(module (memory (export "m") 1))')
    again = wasmark.Module.deserialize(module.serialize())
    assert again.code_object() is None
    assert wasmark.Instance(again).exports.m.size == wasmark.Instance(module).exports.m.size


def test_an_artefact_needs_neither_compiler_nor_cache(tmp_path: Path) -> None:
    path = tmp_path / "varied"
    path.write_bytes(wasmark.Module(VARIED).serialize())
    code = (
        "import sys, wasmark\nfrom tests.jit.support import answers\n"
        "engine = wasmark.Engine(wasmark.Config(strategy='eager', cache=False))\n"
        "results = answers(wasmark.Module.deserialize(open(sys.argv[1], 'rb').read(), engine))"
        + NO_COMPILER
        + "print(loaded)\nprint(results)"
    )
    loaded, results = python(code, path, cache_home=tmp_path).stdout.split("\n", 1)
    assert loaded == "[]"
    assert results.strip() == repr(answers(wasmark.Module(VARIED)))
    assert os.listdir(tmp_path) == ["varied"]


def test_a_damaged_serialized_module_is_an_error() -> None:
    data = wasmark.Module(VARIED).serialize()
    rng = random.Random(9)
    for _ in range(50):
        damaged = bytearray(data)
        damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        with pytest.raises(wasmark.Error, match="artefact"):
            wasmark.Module.deserialize(damaged)
    for size in (0, 50, 4096, len(data) - 1):
        with pytest.raises(wasmark.Error, match="artefact"):
            wasmark.Module.deserialize(data[:size])


def test_a_module_for_another_place_says_what_is_different(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    data = wasmark.Module(VARIED).serialize()
    fewer = frozenset(wasmark.Feature) - {wasmark.Feature.MULTI_MEMORY}
    with pytest.raises(wasmark.Error, match="other features"):
        wasmark.Module.deserialize(data, wasmark.Engine(wasmark.Config(features=fewer)))
    here = dict(jit.environment())
    monkeypatch.setattr(jit, "environment", lambda: {**here, "the processor": "x", "the version of Wasmark": "y"})
    with pytest.raises(wasmark.Error, match="the version of Wasmark and the processor must be the same"):
        wasmark.Module.deserialize(data)


def test_a_file_of_the_cache_is_no_module(tmp_path: Path) -> None:
    wasmark.Module(VARIED, engine(tmp_path))
    (path,) = stored_modules(tmp_path)
    with pytest.raises(wasmark.Error, match="part of the cache"):
        wasmark.Module.deserialize(path.read_bytes())


def test_an_artefact_is_not_taken_for_a_module(tmp_path: Path) -> None:
    data = wasmark.Module(VARIED).serialize()
    with pytest.raises(wasmark.MalformedError):
        wasmark.Module(data)
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(wasmark.Error):
        wasmark.Module.from_file(tmp_path / "m")
    assert decode(memoryview(data)).info["kind"] == "module"


# --- pickled ---


def test_modules_pickle_into_their_engine(tmp_path: Path, compilations: Counter[str]) -> None:
    default = pickle.loads(pickle.dumps(wasmark.Module(VARIED, name="x")))
    assert default.engine is wasmark.Store().engine
    before = compilations["modules"]
    module = wasmark.Module(VARIED, engine(tmp_path))
    one, two = (pickle.loads(pickle.dumps(module)) for _ in range(2))
    assert one.engine is two.engine
    assert one.engine.config == module.engine.config
    assert answers(one) == answers(module)
    assert compilations["modules"] == before + 1


def test_modules_travel_to_other_processes(tmp_path: Path) -> None:
    (tmp_path / "pickle").write_bytes(pickle.dumps(wasmark.Module(VARIED, name="x")))
    code = (
        "import pickle, sys\nfrom tests.jit.support import answers\n"
        "print(answers(pickle.load(open(sys.argv[1], 'rb'))))"
    )
    done = python(code, tmp_path / "pickle", cache_home=tmp_path)
    assert done.stdout.strip() == repr(answers(wasmark.Module(VARIED)))


# --- the official tests ---

_SCRIPT = """
import json, sys
from collections import Counter
from wasmark.text.runner import run_file
for path in sys.argv[1:]:
    result = run_file(path)
    print(json.dumps([path, result.passed, result.failed, result.failures]))
print(json.dumps("llvmlite" in sys.modules))
"""


@needs_testsuite
def test_official_scripts_give_the_same_out_of_the_cache(tmp_path: Path) -> None:
    wanted = (
        "call_indirect",
        "br_table",
        "memory_trap",
        "f32",
        "i64",
        "linking",
        "elem",
        "switch",
        "fac",
        "left-to-right",
    )
    scripts = [str(TESTSUITE / name) for name in SCRIPTS if name.removesuffix(".wast") in wanted]
    assert len(scripts) == len(wanted)
    first, second = (
        [json.loads(line) for line in python(_SCRIPT, *scripts, cache_home=tmp_path).stdout.splitlines()]
        for _ in range(2)
    )
    assert first[:-1] == second[:-1]
    assert (first[-1], second[-1]) == (True, False)
    assert not any(failed for _, _, failed, _ in first[:-1])
    assert sum(passed for _, passed, _, _ in first[:-1]) > 3000
