"""The on-disk code cache: artefacts by key, in one directory of the user's own.

It is safe for many processes at once and never needed: a file appears whole or not at all (it is renamed into place),
is never changed afterwards, and what cannot be read, or does not belong to the user alone, is as good as not there.
A small file is read before it is checked, so that nothing that happens to it later matters. A large one is mapped, and
its pages are shared with all who run it: they rely, as with a shared library, on nobody changing it in place.
Whatever goes wrong with the directory is told to `logging`, and to nobody else.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import stat
import struct
import sys
import time

from wasmark.core.record import Record
from wasmark.jit.artefact import Artefact, ArtefactError, decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Final

    from wasmark.config import Config

SUFFIX: Final = ".wasmark"
_KEY_DIGITS: Final = 64
_TEMPORARY: Final = ".tmp"
_LOCK: Final = "lock"
MAPPED_FROM: Final = 1 << 20
"""Bytes from which on a file is mapped and not read."""
_TOUCH_SECONDS: Final = 60  # how exact the time of the last use is
_STALE_SECONDS: Final = 3600  # after this long nobody is still writing a temporary file
_KEPT_SHARE: Final = 0.8  # of the limit, after an eviction
_LOCK_FORMAT: Final = struct.Struct("hhqqi4x")  # struct flock


def _debug(message: str, *args: object) -> None:
    import logging

    logging.getLogger("wasmark.cache").debug(message, *args)


def default_directory() -> str | None:
    """`$XDG_CACHE_HOME/wasmark` or `~/.cache/wasmark`; None where there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):  # XDG Base Directory Specification: a relative path is to be ignored
        base = os.path.expanduser("~/.cache")
    return os.path.join(base, "wasmark") if os.path.isabs(base) else None


def open_cache(config: Config) -> CodeCache | None:
    """The cache that a configuration asks for."""
    if config.cache is False:
        return None
    directory = default_directory() if config.cache is True else os.path.abspath(os.fspath(config.cache))
    return CodeCache(directory, config.cache_limit) if directory is not None else None


def _is_artefact(name: str) -> bool:
    """Whether a file of that name is one of ours: others may lie in a directory that the user named."""
    key = name.removesuffix(SUFFIX)
    return name.endswith(SUFFIX) and len(key) == _KEY_DIGITS and not key.strip("0123456789abcdef")


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(_TEMPORARY)


class Entry(Record):
    """A file of the cache: bytes, and the time of its last use in seconds since the epoch."""

    __slots__ = ("name", "size", "used")

    def __init__(self, name: str, size: int, used: float) -> None:
        self.name = name
        self.size = size
        self.used = used


class StoredArtefact:
    """An artefact of the cache, and the open file that it is mapped from, or None where it was read. Closing lets go of
    the file; what was mapped of it stays."""

    __slots__ = ("artefact", "descriptor")

    def __init__(self, artefact: Artefact, descriptor: int | None) -> None:
        self.artefact = artefact
        self.descriptor = descriptor

    def close(self) -> None:
        """Close the file."""
        if self.descriptor is not None:
            os.close(self.descriptor)
            self.descriptor = None


class CodeCache:
    """The artefacts in `directory`, at most `limit` bytes of them (checked now and then, after writing)."""

    __slots__ = ("_unchecked", "directory", "limit")

    def __init__(self, directory: str, limit: int) -> None:
        self.directory = directory
        self.limit = limit
        self._unchecked = limit  # bytes written since the sizes were added up; at first nobody knows

    def __repr__(self) -> str:
        return f"<wasmark code cache in {self.directory}>"

    # --- reading ----------------------------------------------------------------------------------

    def get(self, key: bytes, *, counts: bool = True) -> StoredArtefact | None:
        """The artefact of a key, checked from the first to the last byte; None where there is none to be trusted.

        counts: whether that is a use of it, which keeps it from being removed for a while.
        """
        path = self._path(key)
        try:
            # O_NONBLOCK: somebody may have put a pipe there.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            _debug("cannot read %s: %s", path, error)
            return None
        try:
            self._check_owner(os.stat(self.directory), directory=True)
            status = os.fstat(descriptor)
            self._check_owner(status, directory=False)
            if status.st_size < MAPPED_FROM:
                data = memoryview(os.read(descriptor, MAPPED_FROM))
            else:
                data = memoryview(mmap.mmap(descriptor, status.st_size, prot=mmap.PROT_READ))
            artefact = decode(data, key)
            if counts and time.time() - status.st_mtime > _TOUCH_SECONDS:
                os.utime(descriptor)
        except (ArtefactError, OSError, ValueError) as error:
            os.close(descriptor)
            _debug("%s is not used: %s", path, error)
            return None
        if status.st_size >= MAPPED_FROM:
            return StoredArtefact(artefact, descriptor)
        os.close(descriptor)
        return StoredArtefact(artefact, None)

    def _check_owner(self, status: os.stat_result, *, directory: bool) -> None:
        kind = stat.S_ISDIR if directory else stat.S_ISREG
        what = "directory" if directory else "file"
        if not kind(status.st_mode):
            raise ArtefactError(f"not a {what}")
        if status.st_uid != os.geteuid():
            raise ArtefactError(f"the {what} belongs to user {status.st_uid}")
        if status.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise ArtefactError(f"others may write the {what} (mode {stat.S_IMODE(status.st_mode):o})")

    def _path(self, key: bytes) -> str:
        return os.path.join(self.directory, key.hex() + SUFFIX)

    # --- writing ----------------------------------------------------------------------------------

    def put(self, artefact: Artefact) -> None:
        """Store an artefact under its key. Failing to do so changes nothing."""
        data = encode(artefact)
        temporary = os.path.join(self.directory, f".{os.getpid()}-{os.urandom(6).hex()}{_TEMPORARY}")
        try:
            os.makedirs(self.directory, 0o700, exist_ok=True)
            self._check_owner(os.stat(self.directory), directory=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
            descriptor = os.open(temporary, flags, 0o600)
            try:
                with open(descriptor, "wb", buffering=0) as file:
                    rest = memoryview(data)
                    while rest:
                        rest = rest[file.write(rest) :]
                os.rename(temporary, self._path(artefact.key))
            except BaseException:
                os.unlink(temporary)
                raise
        except (ArtefactError, OSError) as error:
            _debug("cannot write to %s: %s", self.directory, error)
            return
        self._unchecked += len(data)
        if self._unchecked > self.limit // 16:
            self._evict()

    def _evict(self) -> None:
        """Remove what was not used for the longest time until there is room again."""
        self._unchecked = 0
        entries = self.entries()
        total = sum(entry.size for entry in entries)
        if total > self.limit:
            for entry in sorted(entries, key=lambda entry: entry.used):
                if total <= self.limit * _KEPT_SHARE:
                    break
                self._remove(entry.name)
                total -= entry.size
        now = time.time()
        for entry in self._files(_is_temporary):
            if now - entry.used > _STALE_SECONDS:
                self._remove(entry.name)

    def _remove(self, name: str) -> None:
        try:
            os.unlink(os.path.join(self.directory, name))
        except OSError as error:
            # Another process was faster, or may do what this one may not.
            _debug("cannot remove %s: %s", name, error)

    # --- who compiles -----------------------------------------------------------------------------

    def lock(self, key: bytes) -> CacheLock:
        """A context in which no other process or thread that asks for it too compiles what belongs to `key`.

        Where the system has no such locks it is no hindrance: then two may do the same work.
        """
        return CacheLock(os.path.join(self.directory, _LOCK), int.from_bytes(key[:7], "little"))

    # --- looking at it ----------------------------------------------------------------------------

    def entries(self) -> list[Entry]:
        """The artefacts there are, damaged ones included."""
        return self._files(_is_artefact)

    def _files(self, wanted: Callable[[str], bool]) -> list[Entry]:
        found = []
        try:
            with os.scandir(self.directory) as files:
                for file in files:
                    if wanted(file.name):
                        try:
                            status = file.stat(follow_symlinks=False)
                        except FileNotFoundError:
                            continue
                        found.append(Entry(file.name, status.st_size, status.st_mtime))
        except OSError as error:
            _debug("cannot list %s: %s", self.directory, error)
        return found

    def describe(self, name: str) -> dict[str, object]:
        """The information in the artefact of that file name; empty where it cannot be used. To look is no use of it."""
        stored = self.get(bytes.fromhex(name.removesuffix(SUFFIX)), counts=False)
        if stored is None:
            return {}
        stored.close()
        return stored.artefact.info

    def clear(self) -> int:
        """Remove all artefacts, and answer how many bytes that freed."""
        entries = [*self.entries(), *self._files(_is_temporary)]
        for entry in entries:
            self._remove(entry.name)
        return sum(entry.size for entry in entries)


class CacheLock:
    """One byte of a file that is locked while the context lasts; its offset is the key's. It ends with the process."""

    __slots__ = ("_descriptor", "_offset", "_path")

    def __init__(self, path: str, offset: int) -> None:
        self._path = path
        self._offset = offset
        self._descriptor = -1

    def __enter__(self) -> None:
        try:
            os.makedirs(os.path.dirname(self._path), 0o700, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
            self._descriptor = os.open(self._path, flags, 0o600)
            self._set(fcntl.F_WRLCK)
        except OSError as error:
            _debug("cannot lock %s: %s", self._path, error)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._descriptor >= 0:
            try:
                # By hand, and not only by closing: a child of `fork` has this file open as well.
                self._set(fcntl.F_UNLCK)
            except OSError as problem:
                _debug("cannot unlock %s: %s", self._path, problem)
            os.close(self._descriptor)
            self._descriptor = -1

    def _set(self, kind: int) -> None:
        if sys.platform == "linux":
            fcntl.fcntl(self._descriptor, fcntl.F_OFD_SETLKW, _LOCK_FORMAT.pack(kind, os.SEEK_SET, self._offset, 1, 0))
