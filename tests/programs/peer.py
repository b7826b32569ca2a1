"""The same programs under wasmtime-py: what our outputs are compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

import wasmtime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Result(NamedTuple):
    """How a WASI program ended and what it wrote."""

    status: int
    stdout: bytes
    stderr: bytes


class Command:
    """A WASI command."""

    def __init__(self, program: Path) -> None:
        config = wasmtime.Config()
        config.wasm_exceptions = True
        self.engine = wasmtime.Engine(config)
        self.name = program.stem
        self.module = wasmtime.Module.from_file(self.engine, str(program))

    def run(
        self, args: Sequence[str], streams: Path, directory: Path | Mapping[str, Path] | None = None, stdin: bytes = b""
    ) -> Result:
        """Run it with `directory` as `/build`, or with several. `streams` is one for what it reads and writes."""
        (streams / "stdin").write_bytes(stdin)
        config = wasmtime.WasiConfig()
        config.argv = [self.name, *args]
        for name, path in (directory if isinstance(directory, Mapping) else {"/build": directory}).items():
            if path is not None:
                config.preopen_dir(str(path), name)
        config.stdin_file = str(streams / "stdin")
        config.stdout_file = str(streams / "stdout")
        config.stderr_file = str(streams / "stderr")
        status = 0
        with wasmtime.Linker(self.engine) as linker, wasmtime.Store(self.engine) as store:
            linker.define_wasi()
            store.set_wasi(config)
            start = linker.instantiate(store, self.module).exports(store)["_start"]
            assert isinstance(start, wasmtime.Func)
            try:
                start(store)
            except wasmtime.ExitTrap as exit_:
                status = exit_.code
        return Result(status, (streams / "stdout").read_bytes(), (streams / "stderr").read_bytes())


class Graphviz:
    """`graphviz.wasm` under wasmtime-py, driven as `examples/draw_graph.py` does it under wasmark."""

    def __init__(self, program: Path) -> None:
        engine = wasmtime.Engine()
        linker = wasmtime.Linker(engine)
        linker.define_wasi()
        self.store = wasmtime.Store(engine)
        self.store.set_wasi(wasmtime.WasiConfig())
        self.exports = linker.instantiate(self.store, wasmtime.Module.from_file(engine, str(program))).exports(
            self.store
        )

    def call(self, name: str, *args: int) -> int:
        func = self.exports[name]
        assert isinstance(func, wasmtime.Func)
        return int(func(self.store, *args))

    def render(self, source: str, format_: str, layout: str) -> bytes:
        """The picture's bytes."""
        memory = self.exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        pointers = []
        for text in (source, format_, layout):
            data = text.encode() + b"\0"
            pointers.append(self.call("malloc", len(data)))
            memory.write(self.store, data, pointers[-1])
        length = self.call("malloc", 4)
        result = self.call("graphviz_render", *pointers, length)
        assert result, "graphviz_render failed"
        size = int.from_bytes(memory.read(self.store, length, length + 4), "little")
        return bytes(memory.read(self.store, result, result + size))
