"""Where a trap has to be: offsets come from decoding the module once more, never from a number in a test."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import pytest

import wasmark
from tests.ways import WAYS, config
from wasmark.binary import decode_body
from wasmark.registry import is_wasm_trap_pc, lookup_frame_info

ENGINES: Final = {way: wasmark.Engine(config(way)) for way in WAYS if way != "lazy"}
"""One engine for each way to compile, but for the one that changes code at any time: stacks are measured here."""


class Place(NamedTuple):
    """A frame as it should be: its function by name, and the byte of the binary that it is at."""

    module: wasmark.Module
    func_index: int
    func_name: str
    module_offset: int


def function_index(module: wasmark.Module, name: str) -> int:
    """The index of a named function."""
    return next(index for index, found in module.model.names.functions.items() if found == name)


def place(module: wasmark.Module, func_name: str, instruction: str, nth: int = 0) -> Place:
    """The nth instruction of that name in a function; "" is the function's entry, where the stack is checked."""
    func_index = function_index(module, func_name)
    function = module.model.functions[func_index - module.model.imported["func"]]
    if not instruction:
        return Place(module, func_index, func_name, function.entry)
    offsets = [
        offset for row, _, offset in decode_body(module.model, function.start, function.end) if row.name == instruction
    ]
    return Place(module, func_index, func_name, offsets[nth])


def catch(function: Any, *args: Any) -> wasmark.Trap:
    """The trap that a call ends in."""
    with pytest.raises(wasmark.Trap) as caught:
        function(*args)
    return caught.value


def check(trap: wasmark.Trap, store: wasmark.Store, code: wasmark.TrapCode, places: list[Place]) -> None:
    """The trap has this code, and its innermost frames are these; the registry says the same of its pc."""
    assert trap.code is code
    found = [Place(f.module, f.func_index, f.func_name, f.module_offset) for f in trap.frames[: len(places)]]
    assert found == places
    innermost = places[0]
    function = innermost.module.model.functions[innermost.func_index - innermost.module.model.imported["func"]]
    assert trap.frames[0].func_offset == innermost.module_offset - function.entry
    assert trap.frames[0].pc == trap.pc
    assert store.registry.lookup_trap_code(trap.pc) is code
    for frame in (store.registry.lookup_frame_info(trap.pc), lookup_frame_info(trap.pc)):
        assert frame is not None
        assert Place(frame.module, frame.func_index, frame.func_name, frame.module_offset) == innermost
    assert store.registry.lookup_module(trap.pc) is innermost.module
    assert is_wasm_trap_pc(trap.pc)
    ranges = store.registry.function_ranges(innermost.module, innermost.func_index)
    assert any(start <= trap.pc < end for start, end in ranges)
    for other in (0, ranges[0][0], ranges[0][1], id(trap), -1, 1 << 64):
        assert not is_wasm_trap_pc(other) or other == trap.pc
        assert store.registry.lookup_trap_code(other) is None or other == trap.pc
    if code is not wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS:  # an explicit trap is at the first byte of its instruction
        assert not is_wasm_trap_pc(trap.pc + 1)
        before = store.registry.lookup_trap_code(trap.pc - 1)  # perhaps an access, which may fault
        assert before in (None, wasmark.TrapCode.MEMORY_OUT_OF_BOUNDS)
        assert is_wasm_trap_pc(trap.pc - 1) == (before is not None)
