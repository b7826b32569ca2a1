"""What a process can be made to tell tools of its machine code, by name: on the command line, in the environment
(`WASMARK_DEBUG=perf-map,crash-reports`), and through functions of the package."""

from __future__ import annotations

import atexit
import threading
from typing import TYPE_CHECKING, Final, Protocol

from wasmark.errors import Error

if TYPE_CHECKING:
    import os
    from collections.abc import Callable


class _Tool(Protocol):
    def close(self) -> None:
        """The process ends."""


VARIABLE: Final = "WASMARK_DEBUG"
_lock = threading.Lock()
_enabled: set[str] = set()


def enable_perf_map() -> None:
    """Write the names of all code, what there is and what comes, to `/tmp/perf-PID.map`, where `perf report` finds
    them. Raises OSError where that is not possible. Doing it again changes nothing."""
    from wasmark.debug.perf_map import PerfMap

    _once("perf-map", PerfMap)


def enable_jitdump(directory: str | os.PathLike[str] = ".") -> None:
    """Write all code, with its names, lines and times, to `jit-PID.dump` in a directory: for `perf inject --jit` after
    `perf record -k mono`. Raises OSError where that is not possible. Doing it again changes nothing."""
    from wasmark.debug.jitdump import JitDump

    _once("jitdump", lambda: JitDump(directory))


def enable_crash_reports() -> None:
    """When the process crashes while wasm is on the stack, have the wasm functions listed on standard error: last,
    behind what `faulthandler` has to say, before the signal ends the process. Doing it again changes nothing."""
    from wasmark.debug.crash_reports import CrashReports

    _once("crash-reports", CrashReports)


def enable_debugger() -> None:
    """Let gdb and lldb know all code, so that backtraces name wasm functions and lines, through the interface that GDB
    has for code made at run time. Raises OSError where that is not possible. Doing it again changes nothing."""
    from wasmark.debug.gdb_jit import GdbJit

    _once("gdb", GdbJit)


def _once(name: str, start: Callable[[], _Tool]) -> None:
    with _lock:
        if name not in _enabled:
            atexit.register(start().close)
            _enabled.add(name)


TOOLS: Final[dict[str, Callable[[], None]]] = {
    "perf-map": enable_perf_map,
    "jitdump": enable_jitdump,
    "crash-reports": enable_crash_reports,
    "gdb": enable_debugger,
}


def enable(names: str) -> None:
    """Enable all of some names with commas between. Raises Error for one that is not known."""
    for name in filter(None, map(str.strip, names.split(","))):
        if name not in TOOLS:
            raise Error(f"{VARIABLE}: unknown tool {name!r}; known: {', '.join(TOOLS)}")
        TOOLS[name]()
