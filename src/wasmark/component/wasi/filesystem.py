"""`wasi:filesystem`: descriptors of preview 1, and paths that only `wasi.sandbox` walks."""

from __future__ import annotations

import functools
import hashlib
import os
import stat

from wasmark.component.values import ResultError
from wasmark.component.wasi.io import CHUNK, InputStream, IoError, OutputStream, Polling
from wasmark.wasi import sandbox
from wasmark.wasi.abi import Errno, FdFlags, FileType, WasiError, file_type, from_os_error
from wasmark.wasi.descriptors import Directory, File, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, TypeVar

    from wasmark.wasi.context import Context

    _F = TypeVar("_F", bound=Callable[..., Any])

_ERRORS: Final = {
    Errno.ACCES: "access",
    Errno.AGAIN: "would-block",
    Errno.ALREADY: "already",
    Errno.BADF: "bad-descriptor",
    Errno.BUSY: "busy",
    Errno.DEADLK: "deadlock",
    Errno.DQUOT: "quota",
    Errno.EXIST: "exist",
    Errno.FBIG: "file-too-large",
    Errno.ILSEQ: "illegal-byte-sequence",
    Errno.INPROGRESS: "in-progress",
    Errno.INTR: "interrupted",
    Errno.INVAL: "invalid",
    Errno.IO: "io",
    Errno.ISDIR: "is-directory",
    Errno.LOOP: "loop",
    Errno.MLINK: "too-many-links",
    Errno.MSGSIZE: "message-size",
    Errno.NAMETOOLONG: "name-too-long",
    Errno.NODEV: "no-device",
    Errno.NOENT: "no-entry",
    Errno.NOLCK: "no-lock",
    Errno.NOMEM: "insufficient-memory",
    Errno.NOSPC: "insufficient-space",
    Errno.NOTDIR: "not-directory",
    Errno.NOTEMPTY: "not-empty",
    Errno.NOTRECOVERABLE: "not-recoverable",
    Errno.NOTSUP: "unsupported",
    Errno.NOTTY: "no-tty",
    Errno.NXIO: "no-such-device",
    Errno.OVERFLOW: "overflow",
    Errno.PERM: "not-permitted",
    Errno.PIPE: "pipe",
    Errno.ROFS: "read-only",
    Errno.SPIPE: "invalid-seek",
    Errno.TXTBSY: "text-file-busy",
    Errno.XDEV: "cross-device",
}
_TYPES: Final = {
    FileType.BLOCK_DEVICE: "block-device",
    FileType.CHARACTER_DEVICE: "character-device",
    FileType.DIRECTORY: "directory",
    FileType.REGULAR_FILE: "regular-file",
    FileType.SOCKET_STREAM: "socket",
    FileType.SYMBOLIC_LINK: "symbolic-link",
}
_ADVICE: Final = {
    "normal": os.POSIX_FADV_NORMAL,
    "sequential": os.POSIX_FADV_SEQUENTIAL,
    "random": os.POSIX_FADV_RANDOM,
    "will-need": os.POSIX_FADV_WILLNEED,
    "dont-need": os.POSIX_FADV_DONTNEED,
    "no-reuse": os.POSIX_FADV_NOREUSE,
}
_ALWAYS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_OPEN: Final = {
    "CREATE": os.O_CREAT,
    "DIRECTORY": os.O_DIRECTORY,
    "EXCLUSIVE": os.O_EXCL,
    "TRUNCATE": os.O_TRUNC,
}
_SECOND: Final = 10**9


def _named(flags: Any) -> set[str]:
    """The names of the flags that are set."""
    return {flag.name for flag in flags}


def _failing(method: _F) -> _F:
    """The method, whose errors are those of the interface."""

    @functools.wraps(method)
    def call(*args: Any) -> Any:
        try:
            return method(*args)
        except (WasiError, OSError) as error:
            code = error.code if isinstance(error, WasiError) else from_os_error(error)
            raise ResultError(_ERRORS.get(code, "io")) from None

    return call  # type: ignore[return-value]


class Descriptor:
    """`descriptor`: an open file or directory. `readable` and `writable` are what it was opened for."""

    def __init__(self, polling: Polling, clock: Callable[[], int], opened_: File | Directory) -> None:
        self._polling = polling
        self._clock = clock
        self._it = opened_

    def _file(self) -> File:
        return self._it.file()

    def _directory(self) -> Directory:
        return self._it.directory()

    # --- contents -----------------------------------------------------------------------------------

    @_failing
    def read_via_stream(self, offset: int) -> InputStream:
        """A stream from a place on."""
        return InputStream(self._polling, self._file(), offset)

    @_failing
    def write_via_stream(self, offset: int) -> OutputStream:
        """A stream to a place on."""
        return OutputStream(self._polling, self._writable(), offset)

    @_failing
    def append_via_stream(self) -> OutputStream:
        """A stream to the end."""
        return OutputStream(self._polling, self._writable(), append=True)

    def _writable(self) -> File:
        file = self._file()
        if not file.writable:
            raise WasiError(Errno.BADF)
        return file

    @_failing
    def read(self, length: int, offset: int) -> tuple[bytes, bool]:
        """What is there, and whether that is the end."""
        buffer = bytearray(min(length, CHUNK))
        with memoryview(buffer) as view:
            count = self._file().pread([view], offset)
        return bytes(buffer[:count]), count == 0 < length

    @_failing
    def write(self, data: bytes, offset: int) -> int:
        """How many bytes were written."""
        return self._file().pwrite([memoryview(data)], offset)

    @_failing
    def set_size(self, size: int) -> None:
        """Truncate or extend with zeros."""
        self._file().set_size(size)

    @_failing
    def advise(self, offset: int, length: int, advice: Any) -> None:
        """Tell the host about the access to come."""
        self._file().advise(offset, length, _ADVICE[advice.value])

    @_failing
    def sync(self) -> None:
        """Have it on the disk."""
        with self._it.host() as number:
            os.fsync(number)

    @_failing
    def sync_data(self) -> None:
        """The same, without its times."""
        with self._it.host() as number:
            os.fdatasync(number)

    # --- what it is ---------------------------------------------------------------------------------

    @_failing
    def get_flags(self) -> list[str]:
        """What it was opened for."""
        if isinstance(self._it, Directory):
            return ["read"] if self._it.readonly else ["read", "mutate-directory"]
        flags = [name for name, on in (("read", self._it.readable), ("write", self._it.writable)) if on]
        names = ((FdFlags.SYNC, "file-integrity-sync"), (FdFlags.DSYNC, "data-integrity-sync"))
        return flags + [name for bit, name in names if self._it.flags & bit]

    @_failing
    def get_type(self) -> str:
        """What kind of thing it is."""
        return _TYPES.get(self._it.filetype, "unknown")

    @_failing
    def stat(self) -> tuple[Any, ...]:
        """Its attributes."""
        found = self._it.stat()
        assert found is not None
        return _attributes(found)

    @_failing
    def metadata_hash(self) -> tuple[int, int]:
        """A number for its identity and its contents' age."""
        found = self._it.stat()
        assert found is not None
        return _hash(found)

    def is_same_object(self, other: Descriptor) -> bool:
        """Whether both are the same on the host."""
        ours, theirs = self._it.stat(), other._it.stat()
        assert ours is not None
        assert theirs is not None
        return os.path.samestat(ours, theirs)

    @_failing
    def set_times(self, access: Any, modification: Any) -> None:
        """Set its times."""
        self._it.mutable()
        with self._it.host() as number:
            found = os.fstat(number)
            os.utime(number, ns=self._times(found, access, modification))

    def _times(self, found: os.stat_result, access: Any, modification: Any) -> tuple[int, int]:
        return self._time(access, found.st_atime_ns), self._time(modification, found.st_mtime_ns)

    def _time(self, wanted: Any, old: int) -> int:
        if wanted.label == "no-change":
            return old
        if wanted.label == "now":
            return self._clock()
        return int(wanted.value.seconds * _SECOND + wanted.value.nanoseconds)

    # --- directories --------------------------------------------------------------------------------

    @_failing
    def read_directory(self) -> DirectoryEntryStream:
        """A stream of the entries."""
        return DirectoryEntryStream(self._directory().listing(restart=True)[2:])

    @_failing
    def open_at(self, path_flags: Any, path: str, open_flags: Any, flags: Any) -> Descriptor:
        """Open what a path names."""
        directory, wanted, access = self._directory(), _named(open_flags), _named(flags)
        readable, writable = "READ" in access or "WRITE" not in access, "WRITE" in access
        if "DIRECTORY" in wanted and len(wanted) > 1:
            raise WasiError(Errno.INVAL)
        if writable or wanted & {"CREATE", "TRUNCATE"} or "MUTATE_DIRECTORY" in access:
            directory.mutable()
        host_flags = _ALWAYS | sum(_OPEN[name] for name in wanted)
        if writable or "TRUNCATE" in wanted:
            host_flags |= os.O_RDWR if readable else os.O_WRONLY
        kept = 0
        for name, ours, theirs in (
            ("FILE_INTEGRITY_SYNC", FdFlags.SYNC, os.O_SYNC),
            ("DATA_INTEGRITY_SYNC", FdFlags.DSYNC, os.O_DSYNC),
        ):
            if name in access:
                kept |= ours
                host_flags |= theirs
        follow = _follow(path_flags) and not {"CREATE", "EXCLUSIVE"} <= wanted
        with directory.host() as number, sandbox.resolve(number, _path(path), follow=follow) as place:
            if place.is_dir:
                if "CREATE" in wanted:
                    raise WasiError(Errno.ISDIR)
                host_flags |= os.O_DIRECTORY
            host = os.open(place.name, host_flags, 0o666, dir_fd=place.dir_fd)
            made = opened(host, directory, readable=readable, writable=writable, flags=kept)
        return Descriptor(self._polling, self._clock, made)

    @_failing
    def stat_at(self, path_flags: Any, path: str) -> tuple[Any, ...]:
        """The attributes of what a path names."""
        return _attributes(self._stat_at(path_flags, path))

    @_failing
    def metadata_hash_at(self, path_flags: Any, path: str) -> tuple[int, int]:
        """`metadata_hash` of what a path names."""
        return _hash(self._stat_at(path_flags, path))

    def _stat_at(self, path_flags: Any, path: str) -> os.stat_result:
        with (
            self._directory().host() as number,
            sandbox.resolve(number, _path(path), follow=_follow(path_flags)) as place,
        ):
            return _stat(place)

    @_failing
    def set_times_at(self, path_flags: Any, path: str, access: Any, modification: Any) -> None:
        """Set the times of what a path names."""
        directory = self._directory().mutable()
        with (
            directory.host() as number,
            sandbox.resolve(number, _path(path), follow=_follow(path_flags)) as place,
        ):
            times = self._times(_stat(place), access, modification)
            os.utime(place.name, ns=times, dir_fd=place.dir_fd, follow_symlinks=False)

    @_failing
    def create_directory_at(self, path: str) -> None:
        """Make a directory."""
        directory = self._directory().mutable()
        with directory.host() as number, sandbox.resolve_entry(number, _path(path)) as place:
            os.mkdir(place.name, 0o777, dir_fd=place.dir_fd)

    @_failing
    def remove_directory_at(self, path: str) -> None:
        """Remove an empty directory."""
        directory = self._directory().mutable()
        with directory.host() as number, sandbox.resolve_entry(number, _path(path)) as place:
            os.rmdir(place.name, dir_fd=place.dir_fd)

    @_failing
    def unlink_file_at(self, path: str) -> None:
        """Remove anything but a directory."""
        directory = self._directory().mutable()
        with directory.host() as number, sandbox.resolve_entry(number, _path(path)) as place:
            if place.is_dir:
                _stat(place)
                raise WasiError(Errno.ISDIR)
            os.unlink(place.name, dir_fd=place.dir_fd)

    @_failing
    def rename_at(self, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        """Give something another name."""
        old, new = self._directory().mutable(), new_descriptor._directory().mutable()
        with (
            old.host() as old_number,
            new.host() as new_number,
            sandbox.resolve_entry(old_number, _path(old_path)) as source,
            sandbox.resolve_entry(new_number, _path(new_path)) as target,
        ):
            if source.is_dir or target.is_dir:
                source.is_dir = True
                _stat(source)
            os.rename(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)

    @_failing
    def link_at(self, old_flags: Any, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        """Give a file one more name."""
        old, new = self._directory().mutable(), new_descriptor._directory().mutable()
        if _follow(old_flags):
            raise WasiError(Errno.INVAL)  # a link to what a symbolic link leads to is not offered
        with (
            old.host() as old_number,
            new.host() as new_number,
            sandbox.resolve(old_number, _path(old_path), follow=False) as source,
            sandbox.resolve_entry(new_number, _path(new_path)) as target,
        ):
            os.link(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd, follow_symlinks=False)

    @_failing
    def symlink_at(self, old_path: str, new_path: str) -> None:
        """Make a symbolic link."""
        directory, text = self._directory().mutable(), _path(old_path)
        if text.startswith(b"/"):
            raise WasiError(Errno.PERM)
        with directory.host() as number, sandbox.resolve_entry(number, _path(new_path)) as place:
            os.symlink(text, place.name, dir_fd=place.dir_fd)

    @_failing
    def readlink_at(self, path: str) -> str:
        """The text of a symbolic link."""
        with self._directory().host() as number, sandbox.resolve(number, _path(path), follow=False) as place:
            text = os.readlink(place.name, dir_fd=place.dir_fd)
        if text.startswith(b"/"):
            raise WasiError(Errno.PERM)  # it leads nowhere for the program, and would only tell it about the host
        return _text(text)


class DirectoryEntryStream:
    """`directory-entry-stream`: the entries of a directory, as they were when it was made."""

    def __init__(self, entries: list[tuple[bytes, int, int]]) -> None:
        self._entries = iter(entries)

    @_failing
    def read_directory_entry(self) -> tuple[str, str] | None:
        """The next one: its type and its name."""
        entry = next(self._entries, None)
        return None if entry is None else (_TYPES.get(entry[2], "unknown"), _text(entry[0]))


def _path(path: str) -> bytes:
    if "\0" in path:
        raise WasiError(Errno.INVAL)
    return path.encode()


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise WasiError(Errno.ILSEQ) from None


def _follow(path_flags: Any) -> bool:
    return "SYMLINK_FOLLOW" in _named(path_flags)


def _stat(place: sandbox.Place) -> os.stat_result:
    """The attributes of what is there; NOTDIR where a path with a slash at its end names anything but a directory."""
    found = os.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
    if place.is_dir and not stat.S_ISDIR(found.st_mode):
        raise WasiError(Errno.NOTDIR)
    return found


def _attributes(found: os.stat_result) -> tuple[Any, ...]:
    times = (found.st_atime_ns, found.st_mtime_ns, found.st_ctime_ns)
    return (
        _TYPES.get(file_type(found.st_mode), "unknown"),
        found.st_nlink,
        found.st_size,
        *(divmod(max(0, time), _SECOND) for time in times),
    )


def _hash(found: os.stat_result) -> tuple[int, int]:
    words = f"{found.st_dev} {found.st_ino} {found.st_size} {found.st_mtime_ns}".encode()
    digest = hashlib.blake2b(words, digest_size=16).digest()
    return int.from_bytes(digest[:8], "little"), int.from_bytes(digest[8:], "little")


def _error_code(error: IoError) -> str | None:
    return _ERRORS.get(error.code)


def filesystem_interfaces(context: Context) -> dict[str, Any]:
    """The interfaces of the package."""
    polling = Polling(context.clocks)

    def directories() -> list[tuple[Descriptor, str]]:
        return [
            (Descriptor(polling, context.clocks.realtime, each), _text(each.preopen_name))
            for each in context.table.preopened()
            if each.preopen_name is not None
        ]

    return {
        "wasi:filesystem/types": {
            "Descriptor": Descriptor,
            "DirectoryEntryStream": DirectoryEntryStream,
            "filesystem_error_code": _error_code,
        },
        "wasi:filesystem/preopens": {"get_directories": directories},
    }
