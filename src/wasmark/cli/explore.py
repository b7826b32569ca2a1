"""`wasmark explore FILE -o out.html`: a page to look at a module with, its wasm text and its machine code side by
side."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from wasmark.cli._input import MODULE_OPTION, core_module, naming, read_binary
from wasmark.cli._output import output_of

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from wasmark.debug.explorer import TIERS

    parser.add_argument("file", metavar="FILE", help="a module or component, binary or text; - is standard input")
    parser.add_argument("--module", **MODULE_OPTION)
    parser.add_argument("-o", "--output", metavar="OUT", required=True, help="the page to write")
    parser.add_argument(
        "--tier",
        metavar="TIER",
        action="append",
        choices=tuple(TIERS),
        help=f"whose machine code to show: {' or '.join(TIERS)}; may be given twice (default: optimised)",
    )
    parser.add_argument(
        "--source",
        metavar="DIR",
        action="append",
        help="where source files may be that the module's DWARF names; may be given again (default: FILE's folder)",
    )


def execute(args: argparse.Namespace) -> int:
    """Raises Error without capstone."""
    from wasmark.cli._progress import compile_module
    from wasmark.debug.explorer import engine_of, write_page_of

    output = output_of(args.file, args.output)
    data = core_module(read_binary(args.file), args.file, args.module)
    tiers = args.tier or ["optimised"]
    with naming(args.file):
        modules = {tier: compile_module(data, args.file, engine_of(tier)) for tier in tiers}
    name = "standard input" if args.file == "-" else Path(args.file).name
    title = os.fsencode(name).decode(errors="replace")  # a name of a file is any bytes, a page is UTF-8
    folders = args.source or ([] if args.file == "-" else [Path(args.file).parent])
    write_page_of(modules, output, title, folders)
    return 0
