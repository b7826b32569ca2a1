"""GDB's interface for code that is made at run time, which lldb has as well: a list of symbol files in memory, and a
function that is called when it changes, where the debugger has a breakpoint.

The debugger looks for the function and the list by name, among the symbols of loaded files. So a tiny shared object
that has both is written to a file, and loaded.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import struct
import tempfile
import threading
from collections import deque
from typing import TYPE_CHECKING, Final

from wasmark.debug.code_names import native_functions, runtime_functions, source_lines
from wasmark.debug.debug_object import debug_object
from wasmark.debug.elf_writer import shared_object
from wasmark.registry.process_table import registered_codes
from wasmark.registry.watchers import unwatch, watch

if TYPE_CHECKING:
    from wasmark.registry.code_object import CodeObject

_FUNCTION: Final = "__jit_debug_register_code"
_DESCRIPTOR: Final = "__jit_debug_descriptor"
_DESCRIPTOR_SIZE: Final = 24
_VERSION: Final = 1
_REGISTER: Final = 1
_UNREGISTER: Final = 2
_RETURN: Final = b"\x90\xc3"


class _Entry(ctypes.Structure):
    """An entry of the debugger's list, with what it points to."""

    _fields_ = (
        ("next", ctypes.c_void_p),
        ("previous", ctypes.c_void_p),
        ("file", ctypes.c_void_p),
        ("size", ctypes.c_uint64),
    )
    contents: object


class _Descriptor(ctypes.Structure):
    _fields_ = (
        ("version", ctypes.c_uint32),
        ("action", ctypes.c_uint32),
        ("relevant", ctypes.c_void_p),
        ("first", ctypes.c_void_p),
    )


class GdbJit:
    """Tells a debugger of all code, what there is and what comes and goes. Raises OSError where the shared object
    cannot be loaded."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._gone: deque[int] = deque()
        self._entries: dict[int, _Entry] = {}  # by the id of the code object; 0: the runtime image
        # The debugger opens it as well, also one that comes later.
        self._directory, self._owner = tempfile.mkdtemp(prefix="wasmark-gdb-"), os.getpid()
        path = os.path.join(self._directory, "libwasmark-gdb.so")
        data = struct.pack("<IIQQ", _VERSION, 0, 0, 0)
        with open(path, "wb") as file:
            file.write(shared_object(_RETURN, _FUNCTION, data, _DESCRIPTOR))
        library = ctypes.PyDLL(path)
        self._changed = library[_FUNCTION]
        self._descriptor = _Descriptor.in_dll(library, _DESCRIPTOR)
        os.register_at_fork(after_in_child=self._after_fork)
        watch(self)
        for code in registered_codes():
            self.arrived(code)

    def arrived(self, code: CodeObject) -> None:
        """Enter the code, once."""
        with self._lock:
            if 0 not in self._entries:
                functions = runtime_functions()
                if functions:
                    text = functions[0].start, functions[-1].end
                    self._enter(0, debug_object(text, "wasmark runtime", functions, []))
            if code.id not in self._entries:
                text = code.text_start, code.text_end
                name = next((part.module.name for part in code.modules if part.module is not None), None)
                functions = native_functions(code)
                self._enter(code.id, debug_object(text, name or "wasm", functions, source_lines(code)))
        self._drain()

    def left(self, id_: int) -> None:
        """Take it out: now, or when the list is not being changed."""
        self._gone.append(id_)
        self._drain()

    def _drain(self) -> None:
        while self._gone and self._lock.acquire(blocking=False):
            try:
                while self._gone:
                    entry = self._entries.pop(self._gone.popleft(), None)
                    if entry is not None:
                        self._remove(entry)
            finally:
                self._lock.release()

    def _enter(self, id_: int, contents: bytes) -> None:
        buffer = ctypes.create_string_buffer(contents, len(contents))
        first = self._descriptor.first
        entry = _Entry(first, None, ctypes.addressof(buffer), len(contents))
        entry.contents = buffer
        address = ctypes.addressof(entry)
        if first:
            _Entry.from_address(first).previous = address
        self._entries[id_] = entry
        self._descriptor.first = address
        self._tell(_REGISTER, address)

    def _remove(self, entry: _Entry) -> None:
        if entry.previous:
            _Entry.from_address(entry.previous).next = entry.next
        else:
            self._descriptor.first = entry.next
        if entry.next:
            _Entry.from_address(entry.next).previous = entry.previous
        self._tell(_UNREGISTER, ctypes.addressof(entry))

    def _tell(self, action: int, address: int) -> None:
        self._descriptor.action, self._descriptor.relevant = action, address
        self._changed()

    def close(self) -> None:
        """The process ends. Its forked children leave the file to it."""
        unwatch(self)
        if self._owner == os.getpid():
            shutil.rmtree(self._directory, ignore_errors=True)

    def _after_fork(self) -> None:
        self._lock = threading.Lock()  # it may have been another thread's
