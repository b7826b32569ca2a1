"""One program under wasmark, in a process of its own: `under_wasmark.py HOW WASM DIRECTORY ARG...`.

HOW is "command", "component", "graphviz" or "ruby". DIRECTORY is what the program sees as /build.
`under_wasmtime.py` does the same.
"""

import sys

import wasmark


def absent(*_: object) -> None:
    raise RuntimeError("this program is not to call its embedder")


how, path, directory, *args = sys.argv[1:]
engine = wasmark.Engine(wasmark.Config(strategy="lazy"))
if how == "component":
    world = wasmark.ComponentLinker(engine)
    world.define_wasi(args=args, preopens={"/build": directory})
    world.instantiate(wasmark.Component.from_file(path, engine)).exports["wasi:cli/run@0.2.0"].run()
    sys.exit()
module = wasmark.Module.from_file(path, engine)
linker = wasmark.Linker(engine)
linker.define_wasi(args=args, preopens={"/build": directory})
if how == "ruby":
    for wanted in module.model.imports:
        if wanted.module != "wasi_snapshot_preview1":
            linker.define(wanted.module, wanted.name, absent)
exports = linker.instantiate(module).exports
if how == "command":
    try:
        exports["_start"]()
    except wasmark.Exit as end:
        sys.exit(end.code)
elif how == "ruby":
    exports["_initialize"]()
    exports["ruby-show-version: func() -> ()"]()
else:
    memory = exports["memory"]
    pointers = []
    for text in (*args, ""):  # the last is for the length of the picture
        pointers.append(exports["malloc"](len(text) + 4))
        memory.write(pointers[-1], text.encode() + b"\0")
    picture = exports["graphviz_render"](*pointers)
    length = int.from_bytes(memory.read(pointers[-1], 4), "little")
    sys.stdout.buffer.write(memory.read(picture, length))
