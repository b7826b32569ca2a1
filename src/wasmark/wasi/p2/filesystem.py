"""`wasi:filesystem/types` and `preopens`: files and directories below the preopened ones. Paths go through the sandbox
as those of preview 1 do."""

from __future__ import annotations

import functools
import os
import struct

from wasmark.component.values import ResultError
from wasmark.jit.digest import blake2b
from wasmark.wasi import files
from wasmark.wasi.abi import Errno, FdFlags, FileType, WasiError, file_type
from wasmark.wasi.descriptors import MAX_OFFSET, Directory, File, HostFd
from wasmark.wasi.p2.labels import descriptor_type, errno_of, error_code, flags, mode_type
from wasmark.wasi.p2.streams import MOST_AT_ONCE, InputStream, OutputStream
from wasmark.wasi.sandbox import check_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, ParamSpec, TypeVar

    from wasmark.wasi.p2.world import World

    _P = ParamSpec("_P")
    _T = TypeVar("_T")

_NANOSECONDS: Final = 10**9
_SYNCHRONISED: Final = (
    ("file-integrity-sync", FdFlags.SYNC),
    ("data-integrity-sync", FdFlags.DSYNC),
    ("requested-write-sync", FdFlags.RSYNC),
)
_ADVICE: Final = {
    "normal": os.POSIX_FADV_NORMAL,
    "sequential": os.POSIX_FADV_SEQUENTIAL,
    "random": os.POSIX_FADV_RANDOM,
    "will-need": os.POSIX_FADV_WILLNEED,
    "dont-need": os.POSIX_FADV_DONTNEED,
    "no-reuse": os.POSIX_FADV_NOREUSE,
}


def _coded(function: Callable[_P, _T]) -> Callable[_P, _T]:
    """The function, with errors of the host as the interface's `error-code`."""

    @functools.wraps(function)
    def call(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        try:
            return function(*args, **kwargs)
        except (WasiError, OSError) as error:
            raise ResultError(error_code(errno_of(error))) from None

    return call


class Descriptor:
    """Resource `descriptor`: an open file or directory. `number` is its number in the table, None for one that stays
    open when the program drops it, because it was preopened."""

    __slots__ = ("_inner", "_number", "_world")

    def __init__(self, world: World, inner: File | Directory, number: int | None) -> None:
        self._world = world
        self._inner = inner
        self._number = number

    def drop(self) -> None:
        """The program has no use for it any more."""
        if self._number is not None:
            number, self._number = self._number, None
            self._world.table.discard(number, self._inner)

    # --- contents -----------------------------------------------------------------------------------

    @_coded
    def read_via_stream(self, offset: int) -> InputStream:
        file = self._inner.file()
        _check_mode(file.readable)
        position = _position(file, offset)
        return InputStream(self._world, *self._duplicate(file), position=position)

    @_coded
    def write_via_stream(self, offset: int) -> OutputStream:
        file = self._inner.file()
        _check_mode(file.writable)
        position = _position(file, offset)
        return OutputStream(self._world, *self._duplicate(file), position=position)

    @_coded
    def append_via_stream(self) -> OutputStream:
        file = self._inner.file()
        _check_mode(file.writable)
        position = _position(file, 0)
        return OutputStream(self._world, *self._duplicate(file), position=position, append=True)

    @_coded
    def read(self, length: int, offset: int) -> tuple[memoryview, bool]:
        buffer = memoryview(bytearray(min(length, MOST_AT_ONCE)))
        count = self._inner.file().pread([buffer], offset) if buffer else 0
        return buffer[:count], bool(buffer) and not count

    @_coded
    def write(self, buffer: bytes, offset: int) -> int:
        return self._inner.file().pwrite([memoryview(buffer)], offset)

    @_coded
    def advise(self, offset: int, length: int, advice: Any) -> None:
        self._inner.file().advise(offset, length, _ADVICE[advice.value])

    @_coded
    def set_size(self, size: int) -> None:
        self._inner.file().set_size(size)

    @_coded
    def sync(self) -> None:
        with self._inner.host() as number:
            os.fsync(number)

    @_coded
    def sync_data(self) -> None:
        with self._inner.host() as number:
            os.fdatasync(number)

    def _duplicate(self, file: File) -> tuple[File, int]:
        """The same file, for a stream that may be there longer than this descriptor: itself, and its number."""
        with file.host() as number:
            mode = os.fstat(number).st_mode
            host = HostFd(os.dup(number))
        made = File(
            host,
            mode,
            readable=file.readable,
            writable=file.writable,
            readonly=file.readonly,
            flags=file.flags,
        )
        return made, self._world.table.add(made)

    # --- attributes ---------------------------------------------------------------------------------

    @_coded
    def get_flags(self) -> list[str]:
        inner = self._inner
        if isinstance(inner, Directory):
            return ["read"] if inner.readonly else ["read", "mutate-directory"]
        found = [label for label, bit in _SYNCHRONISED if inner.flags & bit]
        return [*found, *["read"] * inner.readable, *["write"] * inner.writable]

    @_coded
    def get_type(self) -> str:
        st = self._inner.stat()
        return mode_type(st.st_mode, file_type(st.st_mode))

    @_coded
    def stat(self) -> dict[str, Any]:
        return _attributes(self._inner.stat())

    @_coded
    def stat_at(self, path_flags: Any, path: str) -> dict[str, Any]:
        return _attributes(files.stat_at(self._inner.directory(), _path(path), follow=_follow(path_flags)))

    @_coded
    def set_times(self, access: Any, modification: Any) -> None:
        with self._inner.host() as number:
            self._inner.mutable()
            times = self._times(os.fstat(number), access, modification)
            if times is not None:
                os.utime(number, ns=times)

    @_coded
    def set_times_at(self, path_flags: Any, path: str, access: Any, modification: Any) -> None:
        files.set_times_at(
            self._inner.directory(),
            _path(path),
            lambda st: self._times(st, access, modification),
            follow=_follow(path_flags),
        )

    def _times(self, st: os.stat_result, access: Any, modification: Any) -> tuple[int, int] | None:
        """What to set; None where neither time is to change."""
        if access.label == modification.label == "no-change":
            return None
        now = self._world.clocks.realtime()
        return _new_time(access, st.st_atime_ns, now), _new_time(modification, st.st_mtime_ns, now)

    @_coded
    def is_same_object(self, other: Descriptor) -> bool:
        ours, theirs = self._inner.stat(), other._inner.stat()
        return (ours.st_dev, ours.st_ino) == (theirs.st_dev, theirs.st_ino)

    @_coded
    def metadata_hash(self) -> dict[str, int]:
        return self._hash(self._inner.stat())

    @_coded
    def metadata_hash_at(self, path_flags: Any, path: str) -> dict[str, int]:
        return self._hash(files.stat_at(self._inner.directory(), _path(path), follow=_follow(path_flags)))

    def _hash(self, st: os.stat_result) -> dict[str, int]:
        """Of what tells a file from others and from itself after a change. The key keeps what goes in a secret."""
        facts = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns)
        data = struct.pack("<4Q", *(fact & 0xFFFF_FFFF_FFFF_FFFF for fact in facts))
        digest = blake2b(data, digest_size=16, key=self._world.hash_key).digest()
        lower, upper = struct.unpack("<QQ", digest)
        return {"lower": lower, "upper": upper}

    # --- what is below ------------------------------------------------------------------------------

    @_coded
    def open_at(self, path_flags: Any, path: str, open_flags: Any, wanted: Any) -> Descriptor:
        directory = self._inner.directory()
        how, mode = flags(open_flags), flags(wanted)
        if "mutate-directory" in mode:
            directory.mutable()
        self._world.table.check_room()
        found = files.open_at(
            directory,
            _path(path),
            follow=_follow(path_flags),
            readable="read" in mode,
            writable="write" in mode,
            create="create" in how,
            only_directory="directory" in how,
            exclusive="exclusive" in how,
            truncate="truncate" in how,
            flags=sum(bit for label, bit in _SYNCHRONISED if label in mode),
        )
        return Descriptor(self._world, found, self._world.table.add(found))

    @_coded
    def read_directory(self) -> DirectoryEntryStream:
        # Without `.` and `..`.
        return DirectoryEntryStream(self._inner.directory().listing(restart=True)[2:])

    @_coded
    def create_directory_at(self, path: str) -> None:
        files.create_directory(self._inner.directory(), _path(path))

    @_coded
    def link_at(self, old_path_flags: Any, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        old, new = self._inner.directory(), new_descriptor._inner.directory()
        if _follow(old_path_flags):
            raise WasiError(Errno.INVAL)  # a link to what a symbolic link leads to is not offered
        files.link(old, _path(old_path), new, _path(new_path))

    @_coded
    def readlink_at(self, path: str) -> str:
        return _text(files.readlink(self._inner.directory(), _path(path)))

    @_coded
    def remove_directory_at(self, path: str) -> None:
        files.remove_directory(self._inner.directory(), _path(path))

    @_coded
    def rename_at(self, old_path: str, new_descriptor: Descriptor, new_path: str) -> None:
        new = new_descriptor._inner.directory()
        files.rename(self._inner.directory(), _path(old_path), new, _path(new_path))

    @_coded
    def symlink_at(self, old_path: str, new_path: str) -> None:
        files.symlink(_path(old_path), self._inner.directory(), _path(new_path))

    @_coded
    def unlink_file_at(self, path: str) -> None:
        files.unlink_file(self._inner.directory(), _path(path))


class DirectoryEntryStream:
    """Resource `directory-entry-stream`: the entries that were there when it was made."""

    __slots__ = ("_entries",)

    def __init__(self, entries: list[tuple[bytes, int, int]]) -> None:
        self._entries = iter(entries)

    @_coded
    def read_directory_entry(self) -> dict[str, str] | None:
        entry = next(self._entries, None)
        if entry is None:
            return None
        name, _, filetype = entry
        return {"type": descriptor_type(filetype), "name": _text(name)}


def _check_mode(allowed: bool) -> None:
    if not allowed:
        raise WasiError(Errno.BADF)


def _path(path: str) -> bytes:
    return check_path(path.encode())


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise WasiError(Errno.ILSEQ) from None


def _follow(path_flags: Any) -> bool:
    return "symlink-follow" in flags(path_flags)


def _position(file: File, offset: int) -> int | None:
    """Where a stream over a file starts; None for pipes and devices, which have no places."""
    if offset > MAX_OFFSET:
        raise WasiError(Errno.INVAL)
    return offset if file.filetype in (FileType.REGULAR_FILE, FileType.BLOCK_DEVICE) else None


def _datetime(nanoseconds: int) -> dict[str, int] | None:
    """A moment as a `datetime`, None before 1970."""
    if nanoseconds < 0:
        return None
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return {"seconds": seconds, "nanoseconds": rest}


def _new_time(wanted: Any, old: int, now: int) -> int:
    """What a `new-timestamp` stands for, in nanoseconds."""
    if wanted.label == "no-change":
        return old
    if wanted.label == "now":
        return now
    moment = wanted.value
    if moment.nanoseconds >= _NANOSECONDS:
        raise WasiError(Errno.INVAL)
    if moment.seconds > MAX_OFFSET:
        raise WasiError(Errno.OVERFLOW)
    seconds: int = moment.seconds
    rest: int = moment.nanoseconds
    return seconds * _NANOSECONDS + rest


def _attributes(st: os.stat_result) -> dict[str, Any]:
    return {
        "type": mode_type(st.st_mode, file_type(st.st_mode)),
        "link-count": st.st_nlink,
        "size": st.st_size,
        "data-access-timestamp": _datetime(st.st_atime_ns),
        "data-modification-timestamp": _datetime(st.st_mtime_ns),
        "status-change-timestamp": _datetime(st.st_ctime_ns),
    }
