"""Reading modules for the commands: a file or, for `-`, standard input; binary or text, told apart by how it starts."""

from __future__ import annotations

import contextlib
import os
import sys

from wasmark.binary.decoder import is_component
from wasmark.errors import Error, Exit, InvalidError, MalformedError, Trap, WasmException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Final

_TEXT_STARTS: Final = (b"(", b";;")  # core §6.3.2, §6.3.3: a module's text begins with a parenthesis or a comment


MODULE_OPTION: Final[dict[str, Any]] = {
    "metavar": "NAME|NUMBER",
    "help": "of a component, the core module that is meant: as tracebacks call it, or its number",
}
"""The option `--module` of the commands that show a module."""


class InputError(Error):
    """Something is wrong with what the user gave; the message is the line that the user sees."""


def read_binary(file: str) -> bytes:
    """The module or component in `file` as a binary; text is translated. Raises OSError, or InputError for bad text."""
    if file == "-":
        data = sys.stdin.buffer.read()
    else:
        with open(file, "rb") as opened:
            data = opened.read()
    if not _is_text(data):
        return data
    from wasmark.text.any_text import binary_of
    from wasmark.text.lexer import decode_source

    with naming(file):
        return binary_of(decode_source(data))


def stem(file: str) -> str | None:
    """What a module in `file` is called where it does not say itself."""
    return None if file == "-" else os.path.splitext(os.path.basename(file))[0]


def _is_text(data: bytes) -> bool:
    return data.lstrip(b" \t\r\n").startswith(_TEXT_STARTS)


def core_module(data: bytes, file: str, wanted: str | None) -> bytes:
    """A module as it is; of a component, the core module `wanted`, or the only one there is. Raises InputError where it
    has others or none, and MalformedError."""
    if not is_component(data):
        if wanted is not None:
            raise InputError(f"{file}: --module is for components; this is a module")
        return data
    from wasmark.component.binary import decode_component
    from wasmark.component.component import core_modules

    with naming(file):
        component = decode_component(data)
    models = [definition.model for definition, _ in core_modules(component, None)]
    if wanted is None and len(models) == 1:
        return bytes(models[0].data)
    for number, model in enumerate(models):
        if wanted is not None and wanted in (str(number), f"module {number}", model.names.module):
            return bytes(model.data)
    names = ", ".join(model.names.module or str(number) for number, model in enumerate(models))
    found = f"this is a component with the modules {names}" if models else "this is a component without core modules"
    if wanted is None:
        raise InputError(f"{file}: {found}" + ("; --module says which one is meant" if models else ""))
    raise InputError(f"{file}: no module {wanted!r}: {found}")


@contextlib.contextmanager
def naming(file: str) -> Iterator[None]:
    """Put the file's name in front of what goes wrong with the module in it. What its code does is its own affair."""
    try:
        yield
    except (Trap, WasmException, Exit, InputError):
        raise
    except Error as problem:
        error = _located(problem, file) if isinstance(problem, InvalidError) else problem
        has_line = isinstance(error, MalformedError | InvalidError) and error.line is not None
        raise InputError(f"{file}:{'' if has_line else ' '}{error}") from problem


def _located(error: InvalidError, file: str) -> InvalidError:
    """The error with its line, where the file is still there and is a text."""
    if not os.path.isfile(file):  # what came through a pipe does not come again
        return error
    with open(file, "rb") as opened:
        data = opened.read()
    if not _is_text(data):
        return error
    from wasmark.text.lexer import decode_source
    from wasmark.text.locate import located

    return located(error, decode_source(data))
