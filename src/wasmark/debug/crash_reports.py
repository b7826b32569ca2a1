"""Keeps the names of all code where a report of a crash finds them (`runtime/crash_names.py`,
`compile/image/crashes.ll`)."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

from wasmark.debug.code_names import native_functions
from wasmark.engine import default_engine
from wasmark.jit.stubs import runtime
from wasmark.registry.process_table import registered_codes
from wasmark.registry.watchers import watch
from wasmark.runtime import crash_names

if TYPE_CHECKING:
    from wasmark.registry.code_object import CodeObject


class CrashReports:
    """Publishes the names of all code that there is, and of what comes."""

    def __init__(self) -> None:
        # A finalizer that runs in the middle of publishing may make code itself.
        self._lock = threading.RLock()
        self._slots: dict[int, int] = {}  # by the id of the code object
        runtime(default_engine().cache).watch_crashes()
        os.register_at_fork(after_in_child=self._after_fork)
        watch(self)
        for code in registered_codes():
            self.arrived(code)
        crash_names.enable()

    def arrived(self, code: CodeObject) -> None:
        """Publish the names, once."""
        with self._lock:
            if code.id not in self._slots and code.modules:
                functions = [(f.start, f.end, f.name.encode("utf-8", "replace")) for f in native_functions(code)]
                self._slots[code.id] = crash_names.publish(code.text_start, code.text_end, functions)

    def left(self, id_: int) -> None:
        """Take them back."""
        number = self._slots.pop(id_, -1)
        if number >= 0:
            crash_names.withdraw(number)

    def _after_fork(self) -> None:
        self._lock = threading.RLock()  # it may have been another thread's

    def close(self) -> None:
        """Nothing: the process may still crash."""
