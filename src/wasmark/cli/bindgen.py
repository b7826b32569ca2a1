"""`wasmark bindgen FILE [-o OUT]`: the types of a component as a Python stub file, for type checkers and for people."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from wasmark.cli._input import naming
from wasmark.cli._output import output_of, write_output
from wasmark.component import Component
from wasmark.component.bindgen import stub
from wasmark.module import source_of

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a component, binary or text")
    parser.add_argument("-o", "--output", metavar="OUT", help="where to write; standard output if not given")


def execute(args: argparse.Namespace) -> int:
    output = output_of(args.file, args.output)
    with open(args.file, "rb") as file:
        data = file.read()
    with naming(args.file):
        text = stub(Component(source_of(data)), os.path.basename(args.file))
    write_output(output, [text.encode()])
    return 0
