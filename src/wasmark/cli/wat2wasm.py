"""`wasmark wat2wasm FILE -o OUT`: text format to binary format. What is not valid is written only if asked for."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wasmark.binary import decode_module
from wasmark.binary.decoder import is_component
from wasmark.cli._input import naming
from wasmark.cli._output import output_of, write_output
from wasmark.cli.validate import check
from wasmark.text.any_text import binary_of
from wasmark.text.lexer import decode_source
from wasmark.validate.metadata import check_branch_hints

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a module or component in the text format; - is standard input")
    parser.add_argument("-o", "--output", metavar="OUT", help="where to write; FILE with .wasm at its end if not given")
    parser.add_argument("--no-check", action="store_true", help="write the module even if it is not valid")


def execute(args: argparse.Namespace) -> int:
    file: str = args.file
    output = output_of(file, args.output, ".wasm")
    source = sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    with naming(file):
        data = binary_of(decode_source(source))
        if not args.no_check:
            check(data)
            if not is_component(data):
                check_branch_hints(decode_module(data))
    write_output(output, [data])
    return 0
