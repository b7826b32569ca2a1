"""The rules of the house about who imports whom, read out of the sources."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import wasmark

ROOT = Path(wasmark.__file__).parent


def name_of(path: Path) -> str:
    parts = ("wasmark", *path.relative_to(ROOT).with_suffix("").parts)
    return ".".join(parts).removesuffix(".__init__")


SOURCES = {name_of(path): ast.parse(path.read_text()) for path in ROOT.rglob("*.py")}


def imports(nodes: list[ast.stmt], *, late: bool) -> Iterator[str]:
    """What statements import when they run; with `late` also what functions in them do. Not what type checkers read."""
    for node in nodes:
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            yield from imports(node.orelse, late=late)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield inner if inner in SOURCES else module
        elif late or not isinstance(node, ast.FunctionDef):
            for field in ("body", "orelse", "finalbody", "handlers"):
                yield from imports(getattr(node, field, []), late=late)


def importers(of: str) -> set[str]:
    """The modules that import one, or what is in it, at some time."""
    return {
        name
        for name, source in SOURCES.items()
        if any(found == of or found.startswith(of + ".") for found in imports(source.body, late=True))
    }


def rooms(modules: set[str]) -> set[str]:
    return {name.split(".")[1] for name in modules}


def test_no_two_modules_need_each_other_to_be_imported() -> None:
    graph: dict[str, set[str]] = defaultdict(set)
    for name, source in SOURCES.items():
        graph[name] = {found for found in imports(source.body, late=False) if found in SOURCES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


@pytest.mark.parametrize(
    ("package", "only"),
    [
        ("llvmlite", {"wasmark.compile.llvm"}),
        ("capstone", {"wasmark.debug.disassembly"}),
        ("elftools", {"wasmark.debug.dwarf"}),
    ],
)
def test_a_library_has_one_door(package: str, only: set[str]) -> None:
    assert importers(package) == only


def test_what_runs_code_does_not_know_who_compiles_it() -> None:
    for compiler in ("wasmark.compile", "wasmark.baseline"):
        assert not rooms(importers(compiler)) & {"core", "binary", "text", "validate", "runtime", "registry", "wasi"}


def test_the_first_rooms_do_not_know_the_later_ones() -> None:
    assert not rooms(importers("wasmark.binary")) & {"core", "runtime"}
    assert not rooms(importers("wasmark.text")) & {"core", "binary", "validate", "compile", "baseline", "runtime"}
    assert not rooms(importers("wasmark.component")) & {"core", "binary", "validate", "compile", "baseline", "jit"}
    assert not rooms(importers("wasmark.cli")) - {"cli", "__main__"}


def test_only_code_memory_maps_pages_to_run() -> None:
    found = {name for name, source in SOURCES.items() if "PROT_EXEC" in ast.dump(source)}
    # perf finds the file of a jitdump by a mapping that is executable; nobody runs what is in it.
    assert found == {"wasmark.runtime.code_memory", "wasmark.debug.jitdump"}
