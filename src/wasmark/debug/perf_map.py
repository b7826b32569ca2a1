"""`/tmp/perf-PID.map`: the names of all code, for Linux perf.

A line says where a function starts, how long it is, and what it is called, in hex and without a prefix. The file can
only be added to: of code that has gone and other code that has its addresses now perf knows both names. Where that
happens, `jitdump` tells them apart by time.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

from wasmark.debug.code_names import native_functions, runtime_functions
from wasmark.debug.perf_file import PerfFile

if TYPE_CHECKING:
    from wasmark.debug.code_names import NativeFunction
    from wasmark.registry.code_object import CodeObject

_LONGEST: Final = 400


class PerfMap(PerfFile):
    """Writes the map of this process from now on, and that of each forked one."""

    def path(self) -> str:
        """Where perf looks for it."""
        return f"/tmp/perf-{os.getpid()}.map"

    def opened(self, descriptor: int) -> None:
        """Nothing is needed."""

    def runtime(self) -> bytes:
        """The functions of the runtime image."""
        return _lines(runtime_functions())

    def entry(self, code: CodeObject) -> bytes:
        """The functions of one code object."""
        return _lines(native_functions(code))

    def end(self) -> bytes:
        """Nothing."""
        return b""

    def keeps_contents(self) -> bool:
        """CPython may be writing the same file (`-X perf`, from 3.12 on)."""
        return getattr(sys, "is_stack_trampoline_active", lambda: False)()


def _lines(functions: list[NativeFunction]) -> bytes:
    lines = [f"{f.start:x} {f.end - f.start:x} {_one_line(f)}\n" for f in functions]
    return "".join(lines).encode("utf-8", "replace")


def _one_line(function: NativeFunction) -> str:
    return "".join(c if c.isprintable() else "?" for c in function.title[:_LONGEST])
