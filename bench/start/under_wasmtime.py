"""One program under wasmtime-py, in a process of its own: `under_wasmtime.py HOW WASM DIRECTORY CACHED ARG...`.

As `under_wasmark.py`; CACHED is "cached" or "uncached". HOW may be "compile", too: then nothing runs.
"""

import sys

import wasmtime
import wasmtime.component

how, path, directory, cached, *args = sys.argv[1:]
config = wasmtime.Config()
if cached == "cached":
    config.cache = True
engine = wasmtime.Engine(config)
if how == "component":
    with open(path, "rb") as file:
        component = wasmtime.component.Component(engine, file.read())
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    wasi.argv = args
    wasi.preopen_dir(directory, "/build")
    store.set_wasi(wasi)
    world = wasmtime.component.Linker(engine)
    world.add_wasip2()
    instance = world.instantiate(store, component)
    run = component.get_export_index("run", component.get_export_index("wasi:cli/run@0.2.6"))
    instance.get_func(store, run)(store)
    sys.exit()
module = wasmtime.Module.from_file(engine, path)
if how == "compile":
    sys.exit()
store = wasmtime.Store(engine)
wasi = wasmtime.WasiConfig()
wasi.argv = args
wasi.inherit_stdout()
wasi.preopen_dir(directory, "/build")
store.set_wasi(wasi)
linker = wasmtime.Linker(engine)
linker.define_wasi()
if how == "ruby":
    linker.define_unknown_imports_as_traps(module)
exports = linker.instantiate(store, module).exports(store)
if how == "command":
    try:
        exports["_start"](store)
    except wasmtime.ExitTrap as end:
        sys.exit(end.code)
elif how == "ruby":
    exports["_initialize"](store)
    exports["ruby-show-version: func() -> ()"](store)
else:
    memory = exports["memory"]
    pointers = []
    for text in (*args, ""):
        pointers.append(exports["malloc"](store, len(text) + 4))
        memory.write(store, text.encode() + b"\0", pointers[-1])
    picture = exports["graphviz_render"](store, *pointers)
    length = int.from_bytes(memory.read(store, pointers[-1], pointers[-1] + 4), "little")
    sys.stdout.buffer.write(memory.read(store, picture, picture + length))
