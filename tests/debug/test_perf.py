"""Linux perf shows wasm functions by their names, in all code that there is, with both of its interfaces."""

from __future__ import annotations

import itertools
import os
import re
import sys
from typing import TYPE_CHECKING, Any

import pytest
from elftools.elf.elffile import ELFFile

from tests.debug.programs import SPIN, attempt, program, run, tool
from wasmark import Config, Engine, Instance, Module, Store
from wasmark.debug.code_names import native_functions
from wasmark.registry.process_table import find_code, registered_codes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPINNING = """
import wasmark
engine = wasmark.Engine(wasmark.Config(**settings, cache=False))
instance = wasmark.Instance(wasmark.Module(SPIN, engine), store=wasmark.Store(engine))
for _ in range(10):
    instance.exports.outer(5_000_000)
"""
TIERS: dict[str, dict[str, Any]] = {
    "eager": {"strategy": "eager"},
    "baseline": {"strategy": "baseline"},
    "tier-up": {"strategy": "lazy", "tier_up": 2, "tier_up_in_background": False},
}
TITLES = {"eager": "spin!inner", "baseline": "spin!inner [first tier]", "tier-up": "spin!inner"}


@pytest.fixture
def perf(tmp_path: Path) -> str:
    found = tool("perf")
    done = attempt([found, "record", "-q", "-e", "cpu-clock", "-o", "probe.data", "true"], tmp_path)
    if done.returncode:
        pytest.skip("perf may not record here")
    return found


@pytest.mark.parametrize("tier", TIERS)
def test_perf_report_names_functions_by_the_map(perf: str, tier: str, tmp_path: Path) -> None:
    words = program(tmp_path, SPINNING, settings=TIERS[tier])
    record = [perf, "record", "-q", "-e", "cpu-clock", "-F", "500", "-o", "perf.data", *words]
    run(record, tmp_path, WASMARK_DEBUG="perf-map")
    report = run([perf, "report", "-i", "perf.data", "--stdio", "-F", "overhead,symbol"], tmp_path).stdout
    named = re.search(r"^ +([\d.]+)% +\[\.\] " + re.escape(TITLES[tier]) + r" *$", report, re.MULTILINE)
    assert named, report
    assert float(named[1]) > 1, report


def test_perf_inject_names_functions_and_offsets_by_the_dump(perf: str, tmp_path: Path) -> None:
    words = program(tmp_path, SPINNING, settings=TIERS["eager"])
    options = ["-q", "-k", "mono", "-g", "-e", "cpu-clock", "-F", "500", "-o", "perf.data"]
    run([perf, "record", *options, *words], tmp_path, WASMARK_DEBUG="jitdump")
    assert len(list(tmp_path.glob("jit-*.dump"))) == 1
    run([perf, "inject", "--jit", "-i", "perf.data", "-o", "jit.data"], tmp_path)
    script = run([perf, "script", "-i", "jit.data", "-F", "ip,sym"], tmp_path).stdout
    # Each sample is a stack of lines, innermost first.
    stacks = [[" ".join(line.split()[1:]) for line in stack.strip("\n").splitlines()] for stack in script.split("\n\n")]
    inner = [stack for stack in stacks if stack and stack[0] == "spin!inner"]
    assert inner, script[:2000]
    assert any(stack[1:3] == ["spin!middle", "spin!outer"] for stack in inner)
    assert any("wasmark_enter [stub]" in stack for stack in inner)
    # What perf made of the dump: an object for each function, whose lines are offsets in the module.
    objects = [path for path in tmp_path.glob("jitted-*.so") if b"spin.wasm" in path.read_bytes()]
    found = sorted(min(lines_of(path)) for path in objects)
    entries = [function.entry for function in Module(SPIN, Engine(Config(cache=False))).model.functions]
    assert len(found) == len(entries)
    ends = [*entries[1:], len(SPIN)]
    assert all(entry <= line < end for entry, line, end in zip(entries, found, ends, strict=True)), found


def lines_of(path: Path) -> Iterator[int]:
    with open(path, "rb") as file:
        dwarf = ELFFile(file).get_dwarf_info()
        for unit in dwarf.iter_CUs():
            for entry in dwarf.line_program_for_CU(unit).get_entries():
                if entry.state is not None and not entry.state.end_sequence:
                    yield entry.state.line


def test_the_map_has_every_function_once(tmp_path: Path) -> None:
    source = """
        import os
        import wasmark
        engine = wasmark.Engine(wasmark.Config(strategy="eager", cache=False))
        early = wasmark.Instance(wasmark.Module(SPIN.replace("$spin", "$early"), engine))
        wasmark.enable_perf_map()
        wasmark.enable_perf_map()
        late = wasmark.Instance(wasmark.Module(SPIN.replace("$spin", "$late"), engine))
        late.exports.outer(1)
        if os.fork() == 0:
            child = wasmark.Instance(wasmark.Module(SPIN.replace("$spin", "$child"), engine))
            child.exports.outer(1)
            print(open(f"/tmp/perf-{os.getpid()}.map").read())
            os.unlink(f"/tmp/perf-{os.getpid()}.map")
            os._exit(0)
        os.wait()
        print("parent")
        print(open(f"/tmp/perf-{os.getpid()}.map").read())
        os.unlink(f"/tmp/perf-{os.getpid()}.map")
    """
    child, parent = run(program(tmp_path, source), tmp_path).stdout.split("parent\n")
    for text, modules in ((parent, {"early", "late"}), (child, {"early", "late", "child"})):
        rows = [line.split(" ", 2) for line in text.splitlines() if line]
        names = [name for _, _, name in rows]
        assert len(rows) == len({start for start, _, _ in rows})
        wanted = {f"{module}!{function}" for module in modules for function in ("inner", "middle", "outer")}
        assert wanted <= set(names)
        assert {name for name in names if "!" in name} == wanted
        assert "wasmark_enter [stub]" in names
        ranges = sorted((int(start, 16), int(size, 16)) for start, size, _ in rows)
        assert all(a + size <= b for (a, size), (b, _) in itertools.pairwise(ranges)), "ranges overlap"


def test_names_cover_all_code_of_a_module() -> None:
    for settings in TIERS.values():
        engine = Engine(Config(**settings, cache=False))
        module = Module(SPIN, engine)
        instance = Instance(module, store=Store(engine))
        instance.exports.outer(10)
        for code in module.code_objects():
            functions = native_functions(code)
            for func_index, start, end in code.modules[0].functions:
                assert any(f.start == start and f.end == end for f in functions), (func_index, settings)
                code_at = find_code(start)
                assert code_at is code
    stubs = [code for code in registered_codes() if not code.modules]
    assert stubs
    assert all(native_functions(code) for code in stubs)


def test_a_file_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    source = """
        import os, wasmark
        try:
            wasmark.enable_jitdump("/nowhere/at/all")
        except OSError as error:
            print(error.filename)
        wasmark.enable_jitdump(os.getcwd())
        wasmark.Instance(wasmark.Module(SPIN)).exports.outer(1)
        print(os.path.getsize(f"jit-{os.getpid()}.dump") > 1000)
    """
    done = run(program(tmp_path, source), tmp_path)
    assert re.fullmatch(r"/nowhere/at/all/jit-\d+\.dump\nTrue\n", done.stdout), done.stdout


def test_run_writes_the_map(tmp_path: Path) -> None:
    (tmp_path / "spin.wat").write_text(SPIN)
    words = [sys.executable, "-m", "wasmark", "run", "--perf", "jitdump", "spin.wat", "--invoke", "outer", "3"]
    done = run(words, tmp_path)
    assert done.stdout.strip().lstrip("-").isdigit()
    (dump,) = tmp_path.glob("jit-*.dump")
    assert b"spin!inner" in dump.read_bytes()
    assert os.path.getsize(dump) > 1000


def test_an_unknown_tool_is_an_error(tmp_path: Path) -> None:
    done = attempt([sys.executable, "-c", "import wasmark"], tmp_path, {"WASMARK_DEBUG": "perf-map,oprofile"})
    assert done.returncode == 1
    assert "unknown tool 'oprofile'; known: " in done.stderr
