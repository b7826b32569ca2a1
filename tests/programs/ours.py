"""Running a WASI command with its streams captured: the counterpart of `peer.Command.run`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import wasmark
from tests.programs.peer import Result
from wasmark.wasi import Capture

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def run(module: wasmark.Module, args: Sequence[str], directory: Path | None = None, stdin: bytes = b"") -> Result:
    """Run a WASI command with `directory` as `/build`, if there is one, and nothing else of the host."""
    stdout, stderr = Capture(), Capture()
    linker = wasmark.Linker()
    linker.define_wasi(
        args=[module.name or "program", *args],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        preopens={} if directory is None else {"/build": directory},
    )
    status = 0
    try:
        linker.instantiate(module, wasmark.Store()).exports["_start"]()
    except wasmark.Exit as exit_:
        status = exit_.code
    return Result(status, stdout.getvalue(), stderr.getvalue())
