"""Where what a command makes goes: into a file, or to standard output; never over the file that it was made of."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wasmark.cli._input import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable


def output_of(file: str, output: str | None, suffix: str | None = None) -> str:
    """The path to write to, `-` for standard output: `output`, or else `file` with another suffix (standard output
    where there is none to give it). Raises InputError where that is `file` itself.
    """
    if output is None:
        output = "-" if file == "-" or suffix is None else str(Path(file).with_suffix(suffix))
    if "-" not in (file, output) and os.path.exists(output) and os.path.samefile(file, output):
        raise InputError(f"{file}: this file would be overwritten; name another one with -o")
    return output


def write_output(output: str, pieces: Iterable[bytes]) -> None:
    """Write to what `output_of` answered. Raises OSError."""
    if output == "-":
        sys.stdout.buffer.writelines(pieces)
    else:
        with open(output, "wb") as file:
            file.writelines(pieces)
