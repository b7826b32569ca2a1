"""`wasmark objdump FILE`: what is in a module, and what became of it: machine code beside the wasm that it stands
for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.binary import decode_body, decode_module
from wasmark.binary.decoder import is_component
from wasmark.cli._input import MODULE_OPTION, InputError, core_module, naming, read_binary
from wasmark.cli._tables import print_table
from wasmark.registry.names import function_name
from wasmark.text.instruction_printer import format_instruction

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from wasmark import Module
    from wasmark.core.model import ModuleModel
    from wasmark.debug.disassembly import Disassembler

_SECTIONS: Final = {
    0: "custom",
    1: "type",
    2: "import",
    3: "function",
    4: "table",
    5: "memory",
    6: "global",
    7: "export",
    8: "start",
    9: "element",
    10: "code",
    11: "data",
    12: "data count",
    13: "tag",
}
"""Section ids (core §5.5.2)."""

_LINE: Final = "{address:>14}  {machine:<40}  {offset:>8}  {wasm}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a module or component, binary or text; - is standard input")
    parser.add_argument("-s", "--sections", action="store_true", help="the sections")
    parser.add_argument("-f", "--functions", action="store_true", help="the functions, and where their code lies")
    parser.add_argument("-d", "--disassemble", action="store_true", help="the machine code of every function")
    parser.add_argument("--function", metavar="NAME|INDEX", help="the machine code of this function")
    parser.add_argument("--module", **MODULE_OPTION)


def execute(args: argparse.Namespace) -> int:
    """Without options: sections and functions; of a component its definitions, unless a module of it is asked for.
    Raises InputError for an unknown function, Error without capstone."""
    data = read_binary(args.file)
    asks_for_code = args.functions or args.disassemble or args.function
    if is_component(data) and args.module is None and not asks_for_code:
        return _execute_for_component(args, data)
    data = core_module(data, args.file, args.module)
    with naming(args.file):
        model = decode_module(data)
    nothing_asked = not (args.sections or asks_for_code)
    if args.sections or nothing_asked:
        _print_sections(model)
    if not (asks_for_code or nothing_asked):
        return 0

    from wasmark.cli._progress import compile_module, eager_engine
    from wasmark.debug.disassembly import Disassembler

    chosen = None if args.function is None else _find_function(args.file, model, args.function)
    disassembler = Disassembler() if args.disassemble or chosen is not None else None
    with naming(args.file):
        module = compile_module(data, args.file, eager_engine())
    if args.functions or nothing_asked:
        _print_functions(module)
    if disassembler is not None:
        for index, start, end in module.finished_functions():
            if chosen is None or index == chosen:
                for line in _disassemble(module, disassembler, index, start, end):
                    print(line)
    return 0


def _execute_for_component(args: argparse.Namespace, data: bytes) -> int:
    from wasmark.cli._component_info import print_definitions
    from wasmark.component.binary import decode_component

    with naming(args.file):
        print_definitions(decode_component(data))
    return 0


def _find_function(file: str, model: ModuleModel, text: str) -> int:
    for index in range(model.imported["func"], len(model.func_types)):
        if text == str(index) or text == function_name(model, index):
            return index
    raise InputError(f"{file}: no function {text!r} is defined in the module")


def _print_sections(model: ModuleModel) -> None:
    counts: dict[int, object] = {
        1: len(model.types),
        2: len(model.imports),
        3: len(model.functions),
        4: len(model.tables),
        5: len(model.memories),
        6: len(model.globals),
        7: len(model.exports),
        9: len(model.elements),
        10: len(model.functions),
        11: len(model.data_segments),
        13: len(model.tags),
    }
    names = {custom.end: custom.name for custom in model.customs}
    rows = [
        (number, _SECTIONS[number], names.get(end) if number == 0 else counts.get(number), f"{start:#x}", end - start)
        for number, start, end in model.sections
    ]
    print_table("Sections", (">id", "section", ">count or name", ">offset", ">bytes"), rows)


def _print_functions(module: Module) -> None:
    model = module.model
    first = model.imported["func"]
    code = {index: (start, end) for index, start, end in module.finished_functions()}
    rows = []
    for index in range(first, len(model.func_types)):
        function = model.functions[index - first]
        start, end = code.get(index, (0, 0))
        rows.append(
            (
                index,
                function_name(model, index),
                model.func_type(index),
                f"{function.entry:#x}",
                function.end - function.entry,
                f"{start:#x}",
                end - start,
            )
        )
    columns = (">index", "name", "type", ">offset", ">wasm bytes", ">address", ">machine bytes")
    print_table("Functions", columns, rows)


def _disassemble(module: Module, disassembler: Disassembler, index: int, start: int, end: int) -> Iterator[str]:
    """Lines of machine code, each wasm instruction beside the first machine instruction of every run that it became."""
    model = module.model
    function = model.functions[index - model.imported["func"]]
    wasm = {offset: format_instruction(op, imm) for op, imm, offset in decode_body(model, function.start, function.end)}
    code = module.code_object()
    assert code is not None, "a module with functions has code"

    yield ""
    yield f"function {index} {function_name(model, index) or ''} {model.func_type(index)}"
    shown = None
    for address, _, mnemonic, operands in disassembler.instructions(start, end):
        offset, _ = code.find_line(address)
        beside = offset if offset != shown and offset in wasm else None
        shown = offset
        trap = code.trap_code(address)
        yield _LINE.format(
            address=f"{address:#x}",
            machine=f"{mnemonic} {operands}".rstrip(),
            offset="" if beside is None else f"{beside:#x}",
            wasm=("" if beside is None else wasm[beside]) + (f"  ; may trap: {trap.message}" if trap else ""),
        ).rstrip()
