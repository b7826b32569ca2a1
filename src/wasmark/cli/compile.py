"""`wasmark compile FILE -o OUT`: a module or component with its machine code in one file, which `wasmark run OUT`
starts at once.

The file is for the same versions of Wasmark and Python on the same kind of processor. It holds machine code, so it is
to be trusted like a program.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark.cli._input import naming, read_binary
from wasmark.cli._output import output_of, write_output
from wasmark.cli._progress import eager_engine, load_program

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a module or component, binary or text; - is standard input")
    parser.add_argument(
        "-o", "--output", metavar="OUT", help="where to write; FILE with .wasmark at its end if not given"
    )


def execute(args: argparse.Namespace) -> int:
    file: str = args.file
    output = output_of(file, args.output, ".wasmark")
    data = read_binary(file)
    with naming(file):
        artefact = load_program(data, file, eager_engine()).serialize()
    write_output(output, [artefact])
    return 0
