"""`wasmark addr2line FILE OFFSET...`: which function, file and line a byte of a module belongs to, and what the source
compiler inlined there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.binary import decode_module
from wasmark.cli._input import MODULE_OPTION, InputError, core_module, naming, read_binary
from wasmark.debug.symbols import has_debug_info, require_debug_extra
from wasmark.registry.frames import Symbol
from wasmark.registry.names import demangled, function_name, printable

if TYPE_CHECKING:
    import argparse

    from wasmark.core.model import ModuleModel

_UNKNOWN: Final = "??"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a module or component, binary or text; - is standard input")
    parser.add_argument(
        "offsets",
        metavar="OFFSET",
        nargs="+",
        help="a byte of the module, decimal or 0x..., as traps say it",
    )
    parser.add_argument("--module", **MODULE_OPTION)


def execute(args: argparse.Namespace) -> int:
    """Two lines for each offset: the function, and file:line:column, ?? for what is not known. More of them, with
    "(inlined by)", lead from an inlined function to the one that it is part of.

    Raises InputError for an offset that is no number or not in the module, Error without the `debug` extra.
    """
    offsets = [_offset(text) for text in args.offsets]
    data = core_module(read_binary(args.file), args.file, args.module)
    with naming(args.file):
        model = decode_module(data)
    for text, offset in zip(args.offsets, offsets, strict=True):
        if not 0 <= offset < len(model.data):
            raise InputError(f"{args.file}: {text} is not in the module, which has {len(model.data):#x} bytes")
    info = None
    if has_debug_info(model):
        require_debug_extra()
        from wasmark.debug.dwarf import DebugInfo

        info = DebugInfo(model)
    for offset in offsets:
        symbols = (info.symbols(offset) if info is not None else ()) or (Symbol(None),)
        name = _function_at(model, offset)
        for number, symbol in enumerate(symbols):
            known = symbol.name if symbol.name is not None or number < len(symbols) - 1 else name
            print(f"{' (inlined by) ' if number else ''}{_UNKNOWN if known is None else printable(known)}")
            print(symbol.position or _UNKNOWN)
    return 0


def _offset(text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise InputError(f"{text!r} is not an offset: a number, decimal or 0x...") from None


def _function_at(model: ModuleModel, offset: int) -> str | None:
    """The name of the function whose code entry has the byte; its number where it has none. None for other bytes."""
    first = model.imported["func"]
    for index, function in enumerate(model.functions, first):
        if function.entry <= offset < function.end:
            name = function_name(model, index)
            return f"func[{index}]" if name is None else demangled(name)
    return None
