"""`wasmark validate FILE...`: decode and validate, compile nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from wasmark.binary import decode_module
from wasmark.binary.decoder import is_component
from wasmark.cli._input import naming, read_binary
from wasmark.config import Config
from wasmark.errors import Error
from wasmark.validate import TypeRegistry, validate_module

if TYPE_CHECKING:
    import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files", metavar="FILE", nargs="+", help="a module or component, binary or text; - is standard input"
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing about valid modules")


def execute(args: argparse.Namespace) -> int:
    """Look at every file, also behind a bad one; 0 if all are valid, else 1."""
    status = 0
    for file in args.files:
        try:
            data = read_binary(file)
            with naming(file):
                check(data)
        except (Error, OSError) as error:
            message = f"{file}: {error.strerror}" if isinstance(error, OSError) and error.strerror else str(error)
            print(f"wasmark: {message}", file=sys.stderr)
            status = 1
        else:
            if not args.quiet:
                print(f"{file}: valid")
    return status


def check(data: bytes) -> None:
    """Raise MalformedError, InvalidError or UnsupportedError if `data` is not a valid module or component."""
    if is_component(data):
        from wasmark.component.binary import decode_component
        from wasmark.component.validate import validate_component

        validate_component(decode_component(data), TypeRegistry(), Config().features)
        return
    model = decode_module(data)
    validator = validate_module(model, Config().features)
    for index in range(len(model.functions)):
        validator.check_body(index)
