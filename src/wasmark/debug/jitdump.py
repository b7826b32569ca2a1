"""`jit-PID.dump`: all code with names, lines and times, for `perf inject --jit` (the format of perf's own
documentation, version 1).

    perf record -k mono ...        the times are those of the monotonic clock
    perf inject --jit -i perf.data -o perf.jit.data
    perf report -i perf.jit.data

perf learns of the file because the process maps it as code. A record has a copy of the code, so `perf annotate` works
as well; the code of a later record takes the place of an earlier one's where they overlap.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import struct
import threading
import time
from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from wasmark.debug.code_names import native_functions, runtime_functions, source_lines
from wasmark.debug.perf_file import PerfFile

if TYPE_CHECKING:
    from wasmark.debug.code_names import NativeFunction, SourceLine
    from wasmark.registry.code_object import CodeObject

_HEADER: Final = struct.Struct("<IIIIIIQQ")
_MAGIC: Final = 0x4A695444
_VERSION: Final = 1
_EM_X86_64: Final = 62
_PREFIX: Final = struct.Struct("<IIQ")
_LOAD: Final = struct.Struct("<IIQQQQ")
_LINES: Final = struct.Struct("<QQ")
_LINE: Final = struct.Struct("<QII")
_CODE_LOAD: Final = 0
_CODE_DEBUG_INFO: Final = 2
_CODE_CLOSE: Final = 3


class JitDump(PerfFile):
    """Writes the dump of this process from now on, and that of each forked one."""

    def __init__(self, directory: str | os.PathLike[str] = ".") -> None:
        """Into this directory. Raises OSError."""
        self._directory = os.path.abspath(directory)
        self._numbers = itertools.count(1)
        self._mapping: mmap.mmap | None = None
        super().__init__()

    def path(self) -> str:
        """perf takes the process id from the name."""
        return os.path.join(self._directory, f"jit-{os.getpid()}.dump")

    def opened(self, descriptor: int) -> None:
        """Map the file as code, which perf notes."""
        header = (_MAGIC, _VERSION, _HEADER.size, _EM_X86_64, 0, os.getpid(), time.monotonic_ns(), 0)
        os.write(descriptor, _HEADER.pack(*header))
        self._mapping = mmap.mmap(descriptor, 0, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC)

    def runtime(self) -> bytes:
        """The functions of the runtime image."""
        return b"".join(self._load(function) for function in runtime_functions())

    def entry(self, code: CodeObject) -> bytes:
        """The functions of one code object, each with its lines."""
        lines = source_lines(code)
        starts = [line.address for line in lines]
        parts = []
        for function in native_functions(code):
            own = lines[bisect_left(starts, function.start) : bisect_left(starts, function.end)]
            if own:
                parts.append(_debug_info(function, own))
            parts.append(self._load(function))
        return b"".join(parts)

    def end(self) -> bytes:
        """The last record."""
        return _record(_CODE_CLOSE, b"")

    def _load(self, function: NativeFunction) -> bytes:
        start, size = function.start, function.end - function.start
        fields = os.getpid(), threading.get_native_id(), start, start, size, next(self._numbers)
        return _record(_CODE_LOAD, _LOAD.pack(*fields) + _string(function.title) + ctypes.string_at(start, size))


def _debug_info(function: NativeFunction, lines: list[SourceLine]) -> bytes:
    rows = [_LINE.pack(address, line, 0) + _string(file) for address, file, line in lines]
    return _record(_CODE_DEBUG_INFO, _LINES.pack(function.start, len(rows)) + b"".join(rows))


def _record(kind: int, contents: bytes) -> bytes:
    return _PREFIX.pack(kind, _PREFIX.size + len(contents), time.monotonic_ns()) + contents


def _string(text: str) -> bytes:
    return text.replace("\0", "?").encode("utf-8", "replace") + b"\0"
