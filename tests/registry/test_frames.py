"""How frames name themselves, and how stacks are printed."""

from __future__ import annotations

import pytest

from tests.registry.support import ENTRY, OPERATION, STEP, StandInModule, make_model
from wasmark.errors import Trap, TrapCode
from wasmark.registry import FrameInfo, Symbol, format_frames


def frame(func_index: int = 1, *, line: int | None = None, name: str | None = None, **names: str | None) -> FrameInfo:
    model = make_model(("add", "div_s"), imports=1)
    model.names.module = names.get("module")
    if names.get("function"):
        model.names.functions[func_index] = names["function"] or ""
    module = StandInModule(model, name)
    return FrameInfo(module, func_index, ENTRY + STEP * (func_index - 1) + OPERATION if line is None else line, 0x1234)


def test_a_frame_says_where_it_is_in_wasm() -> None:
    info = frame(2)
    assert (info.func_index, info.module_offset, info.func_offset, info.pc) == (2, 0x65, 5, 0x1234)
    assert str(info) == "<module>!div_s @ +0x5 (wasm offset 0x65)"
    assert repr(info) == f"<FrameInfo {info}>"


def test_code_of_no_instruction_belongs_to_the_start_of_its_function() -> None:
    info = frame(2, line=0)
    assert (info.module_offset, info.func_offset) == (ENTRY + STEP, 0)


def test_a_function_offset_is_never_negative() -> None:
    assert frame(2, line=3).func_offset == 0


def test_names_come_from_the_name_section_then_from_exports() -> None:
    assert frame(1).func_name == "add"
    assert frame(1, function="plus").func_name == "plus"
    info = frame(1)
    info.module.model.exports.clear()
    assert info.func_name is None
    assert str(info) == "<module>!func[1] @ +0x5 (wasm offset 0x45)"


def test_module_names_come_from_the_name_section_then_from_outside() -> None:
    assert str(frame(1, name="file")).startswith("file!add")
    assert str(frame(1, name="file", module="plugin")).startswith("plugin!add")


def test_the_symbols_of_a_frame_have_at_least_its_name() -> None:
    assert frame(1).symbols == (Symbol("add", None, None, None),)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("größe", "größe"),
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202egnp", "\\u202egnp"),
        ("\U000e0001", "\\U000e0001"),
        ("x" * 1000, "x" * 199 + "…"),
        ("", ""),
    ],
)
def test_names_out_of_modules_do_not_reach_the_terminal_as_commands(name: str, printed: str) -> None:
    info = frame(1)
    info.module.model.names.functions[1] = name
    assert str(info) == f"<module>!{printed} @ +0x5 (wasm offset 0x45)"
    assert info.func_name == name


def test_a_stack_is_printed_innermost_first() -> None:
    assert format_frames([frame(2), frame(1)], 0) == [
        "    0: <module>!div_s @ +0x5 (wasm offset 0x65)",
        "    1: <module>!add @ +0x5 (wasm offset 0x45)",
    ]
    assert format_frames([], 0) == []


def test_omitted_frames_are_named_in_the_middle_and_counted() -> None:
    lines = format_frames([frame(2), frame(2), frame(1)], 32104)
    assert [line.split("!")[0] for line in lines] == [
        "    0: <module>",
        "    1: <module>",
        "    ... 32,104 frames omitted ...",
        "    32106: <module>",
    ]
    assert format_frames([frame(1)], 1)[1] == "    ... 1 frame omitted ..."


def test_a_trap_prints_its_frames() -> None:
    trap = Trap(TrapCode.INTEGER_DIVISION_BY_ZERO, pc=5, frames=[frame(2), frame(1)])
    assert str(trap).splitlines() == [
        "wasm trap: integer divide by zero",
        "    0: <module>!div_s @ +0x5 (wasm offset 0x65)",
        "    1: <module>!add @ +0x5 (wasm offset 0x45)",
    ]
