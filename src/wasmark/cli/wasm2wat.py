"""`wasmark wasm2wat FILE [-o OUT]`: binary format to text format. What comes out is the same module again for
`wat2wasm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark.binary import decode_module
from wasmark.binary.decoder import is_component
from wasmark.cli._input import MODULE_OPTION, core_module, naming, read_binary
from wasmark.cli._output import output_of, write_output
from wasmark.text.printer import print_module

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help="a module or component, binary or text; - is standard input")
    parser.add_argument("--module", **MODULE_OPTION)
    parser.add_argument("-o", "--output", metavar="OUT", help="where to write; standard output if not given")


def _print(data: bytes) -> Iterator[str]:
    if not is_component(data):
        return print_module(decode_module(data))
    from wasmark.component.binary import decode_component
    from wasmark.component.text.printer import print_component

    return print_component(decode_component(data))


def execute(args: argparse.Namespace) -> int:
    output = output_of(args.file, args.output)
    data = read_binary(args.file)
    if args.module is not None:
        data = core_module(data, args.file, args.module)
    with naming(args.file):
        write_output(output, (piece.encode() for piece in _print(data)))
    return 0
