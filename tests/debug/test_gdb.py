"""gdb and lldb walk through wasm code, and name its functions and lines."""

from __future__ import annotations

import io
import re
import struct
from typing import TYPE_CHECKING

import pytest
from elftools.elf.elffile import ELFFile

from tests.debug.programs import attempt, program, run, tool
from wasmark import Config, Engine, Instance, Module, Store
from wasmark.debug.code_names import native_functions, source_lines
from wasmark.debug.debug_object import debug_object
from wasmark.debug.elf_writer import shared_object

if TYPE_CHECKING:
    from pathlib import Path

TOWER = """
(module $tower
  (import "host" "stop" (func $stop (param i32) (result i32)))
  (func $inner (param i32) (result i32) (i32.add (call $stop (local.get 0)) (i32.const 1)))
  (func $middle (param i32) (result i32) (i32.add (call $inner (local.get 0)) (i32.const 1)))
  (func (export "outer") (param i32) (result i32) (i32.add (call $middle (local.get 0)) (i32.const 1))))
"""
STOPPING = """
import os, signal
import wasmark
if before:
    wasmark.enable_debugger()
engine = wasmark.Engine(wasmark.Config(strategy=strategy, cache=False))

def stop(n):
    os.kill(os.getpid(), signal.SIGUSR1)
    return n

signal.signal(signal.SIGUSR1, lambda *_: None)
instance = wasmark.Instance(wasmark.Module(TOWER, engine), {"host": {"stop": stop}}, wasmark.Store(engine))
wasmark.enable_debugger()
assert instance.exports.outer(10) == 13
"""
GDB = ("-q", "-batch", "-nx", "-ex", "handle SIGUSR1 stop print", "-ex", "handle SIGURG nostop noprint pass")


def offsets() -> list[int]:
    """Where in the module each function makes its call: inner, middle, outer."""
    model = Module(TOWER, Engine(Config(cache=False))).model
    return [function.entry for function in model.functions]


def gdb(directory: Path, commands: list[str], words: list[str]) -> str:
    options = [part for command in commands for part in ("-ex", command)]
    return run([tool("gdb"), *GDB, *options, "--args", *words], directory).stdout


@pytest.mark.parametrize(("strategy", "before"), [("eager", False), ("baseline", True), ("lazy", True)])
def test_gdb_walks_through_wasm_and_names_functions_and_lines(strategy: str, before: bool, tmp_path: Path) -> None:
    words = program(tmp_path, STOPPING, TOWER=TOWER, strategy=strategy, before=before)
    text = gdb(tmp_path, ["run", "bt", "continue"], words)
    frames = re.findall(r"^#\d+ +(?:0x[0-9a-f]+ in )?(.+?) \(", text, re.MULTILINE)
    at = frames.index("tower!inner") if "tower!inner" in frames else pytest.fail(text)
    assert frames[at - 1 : at + 5] == [
        *("host i:i", "tower!inner", "tower!middle", "tower!outer", "trampoline i:i", "wasmark_enter"),
    ]
    # And on through Python, of which a stripped one has names for few functions, to the first one of the process.
    assert any(frame.startswith(("Py", "_Py")) for frame in frames[:at])
    assert any(frame.startswith(("Py", "_Py")) for frame in frames[at + 5 :])
    assert frames[-1] == "_start"
    lines = [int(line) for line in re.findall(r" in tower!\w+ \(\) at tower\.wasm:(\d+)", text)]
    entries = offsets()
    assert len(lines) == len(entries)
    assert all(entry < line < entry + 10 for entry, line in zip(entries, lines, strict=True)), (entries, lines)
    assert "exited normally" in text


def test_gdb_stops_in_a_wasm_function_by_name(tmp_path: Path) -> None:
    words = program(tmp_path, STOPPING, TOWER=TOWER, strategy="eager", before=True)
    commands = ["set breakpoint pending on", "break tower!middle", "run", "bt 2", "delete", "continue", "continue"]
    text = gdb(tmp_path, commands, words)
    assert re.search(r"^#0 .*tower!middle \(\)", text, re.MULTILINE), text
    assert re.search(r"^#1 .*tower!outer \(\)", text, re.MULTILINE), text


def test_gdb_forgets_code_that_has_gone(tmp_path: Path) -> None:
    source = """
        import gc, os, signal, wasmark
        wasmark.enable_debugger()
        engine = wasmark.Engine(wasmark.Config(strategy="eager", cache=False))
        signal.signal(signal.SIGUSR1, lambda *_: None)
        instances = [
            wasmark.Instance(wasmark.Module(SPIN.replace("$spin", f"$m{number}"), engine)) for number in range(8)
        ]
        os.kill(os.getpid(), signal.SIGUSR1)
        del instances[1::2]
        gc.collect()
        os.kill(os.getpid(), signal.SIGUSR1)
    """
    listing = "info functions -n !outer"
    text = gdb(tmp_path, ["run", listing, "echo then\\n", "continue", listing, "continue"], program(tmp_path, source))
    both = [sorted(set(re.findall(r"m\d!outer", part))) for part in text.split("then\n")]
    assert both == [[f"m{number}!outer" for number in range(8)], [f"m{number}!outer" for number in range(0, 8, 2)]]


def test_lldb_names_wasm_functions_too(tmp_path: Path) -> None:
    words = program(tmp_path, STOPPING, TOWER=TOWER, strategy="eager", before=True)
    commands = ["settings set plugin.jit-loader.gdb.enable on", "process launch"]
    options = [part for command in commands for part in ("-o", command)]
    # For lldb a signal that stops a process is a crash, and that has commands of its own.
    options += ["-k", "bt", "-k", "process kill"]
    done = attempt([tool("lldb"), "-b", *options, "--", *words], tmp_path)
    frames = re.findall(r"frame #\d+: 0x[0-9a-f]+ (?:\S+`)?(.*)", done.stdout)
    if not frames:
        pytest.skip("lldb cannot run a process here")
    assert any(frame.startswith("tower!inner") for frame in frames), done.stdout


def test_the_object_of_a_piece_of_code_is_whole() -> None:
    engine = Engine(Config(strategy="eager", cache=False))
    module = Module(TOWER, engine)
    Instance(module, {"host": {"stop": lambda n: n}}, Store(engine))
    code = module.code_object()
    assert code is not None
    data = debug_object((code.text_start, code.text_end), "tower", native_functions(code), source_lines(code))
    elf = ELFFile(io.BytesIO(data))
    symbols = {symbol.name: symbol for symbol in elf.get_section_by_name(".symtab").iter_symbols()}
    dwarf = elf.get_dwarf_info()
    (unit,) = dwarf.iter_CUs()
    programs = {
        die.attributes["DW_AT_name"].value.decode(): die for die in unit.iter_DIEs() if die.tag == "DW_TAG_subprogram"
    }
    names = {0: "stop", 1: "tower!inner", 2: "tower!middle", 3: "tower!outer"}
    rows = [entry.state for entry in dwarf.line_program_for_CU(unit).get_entries() if entry.state is not None]
    frames = [entry for entry in dwarf.CFI_entries() if "initial_location" in entry.header]
    for func_index, start, end in module.finished_functions():
        name = names[func_index]
        assert (symbols[name]["st_value"], symbols[name]["st_size"]) == (start, end - start)
        assert programs[name].attributes["DW_AT_low_pc"].value == start
        assert programs[name].attributes["DW_AT_high_pc"].value == end - start
        assert any(row.address == start for row in rows)
        (frame,) = [entry for entry in frames if entry.header["initial_location"] == start]
        table = frame.get_decoded().table
        assert [(row["cfa"].reg, row["cfa"].offset) for row in table] == [(7, 8), (7, 16), (6, 16)]
    assert [row.address for row in rows] == sorted(row.address for row in rows)


def test_the_shared_object_exports_a_function_and_a_variable() -> None:
    data = shared_object(b"\xc3", "some_function", struct.pack("<QQ", 1, 2), "some_variable")
    elf = ELFFile(io.BytesIO(data))
    for section in (".dynsym", ".symtab"):
        names = [symbol.name for symbol in elf.get_section_by_name(section).iter_symbols()]
        assert names == ["", "some_function", "some_variable"]
    assert elf.get_section_by_name(".text").data() == b"\xc3"
    assert elf.get_section_by_name(".data").data() == struct.pack("<QQ", 1, 2)
    # A C library from 2.41 on loads nothing that does not say it can do without an executable stack.
    assert [segment["p_flags"] for segment in elf.iter_segments("PT_GNU_STACK")] == [4 | 2]
