"""What the two files for perf have in common: when they are opened, and when code is written to them."""

from __future__ import annotations

import abc
import os
import threading
import warnings
from typing import TYPE_CHECKING

from wasmark.registry.process_table import registered_codes
from wasmark.registry.watchers import unwatch, watch

if TYPE_CHECKING:
    from wasmark.registry.code_object import CodeObject


class PerfFile(abc.ABC):
    """A file to which all code is written, what there is and what comes."""

    def __init__(self) -> None:
        """Open the file, and write down the code that there is. Raises OSError where it cannot be written to."""
        # A finalizer that runs in the middle of writing may make code itself.
        self._lock = threading.RLock()
        self._descriptor = -1
        self._written: set[int] = set()
        self._has_runtime = False
        self._open()
        watch(self)
        self._write_all()
        os.register_at_fork(after_in_child=self._after_fork)

    @abc.abstractmethod
    def path(self) -> str:
        """The file of this process."""

    @abc.abstractmethod
    def runtime(self) -> bytes:
        """What tells of the functions that every process has; nothing where they are not there yet."""

    @abc.abstractmethod
    def entry(self, code: CodeObject) -> bytes:
        """What tells of a code object."""

    @abc.abstractmethod
    def end(self) -> bytes:
        """What comes last."""

    def keeps_contents(self) -> bool:
        """Whether somebody else writes to the file as well."""
        return False

    @abc.abstractmethod
    def opened(self, descriptor: int) -> None:
        """The file is open, and empty if it is all ours."""

    def _open(self) -> None:
        # Nobody else's link: the directory may be one that all users write to.
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        self._descriptor = os.open(self.path(), flags, 0o600)
        if not self.keeps_contents():
            os.ftruncate(self._descriptor, 0)
        self.opened(self._descriptor)
        self._has_runtime = False

    def _write_all(self) -> None:
        for code in registered_codes():
            self.arrived(code)

    def _write(self, data: bytes) -> None:
        # A debugger's file is no reason to stop a program.
        try:
            while data and self._descriptor >= 0:
                data = data[os.write(self._descriptor, data) :]
        except OSError as error:
            os.close(self._descriptor)
            self._descriptor = -1
            warnings.warn(f"{self.path()}: {error.strerror}; perf will not know all code", RuntimeWarning, 2)

    def arrived(self, code: CodeObject) -> None:
        """Write the code down, once."""
        with self._lock:
            if not self._has_runtime:
                runtime = self.runtime()
                self._has_runtime = bool(runtime)
                self._write(runtime)
            if code.id not in self._written:
                self._written.add(code.id)
                self._write(self.entry(code))

    def left(self, id_: int) -> None:
        """The id may be another one's later."""
        self._written.discard(id_)

    def close(self) -> None:
        """Write the end. Called twice, it does nothing."""
        unwatch(self)
        with self._lock:
            self._write(self.end())
            if self._descriptor >= 0:
                os.close(self._descriptor)
                self._descriptor = -1

    def _after_fork(self) -> None:
        self._lock = threading.RLock()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._written.clear()
            self._open()
            self._write_all()
