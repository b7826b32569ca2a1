"""What a descriptor number of the program stands for, and the table of them.

`Descriptor` answers every operation with the error that a descriptor of the wrong kind gives; `File` and `Directory`
here and the streams in `streams.py` override what they can do. Host descriptors have exactly one owner, a `HostFd`,
which closes late
rather than under the feet of another thread: a number that is closed too early could name a file outside the sandbox.
"""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import stat
import termios

from wasmark.runtime.forks import RenewedLock
from wasmark.wasi.abi import Errno, FdFlags, FileType, Rights, WasiError, file_type
from wasmark.wasi.patience import readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType
    from typing import Final, Self

MAX_OFFSET: Final = (1 << 63) - 1
"""Largest file offset or size that the host takes."""

DIRECTORY_RIGHTS: Final = Rights.ALL & ~(
    Rights.FD_SEEK | Rights.FD_FILESTAT_SET_SIZE | Rights.PATH_FILESTAT_SET_SIZE | Rights.FD_WRITE
)
PREOPEN_RIGHTS: Final = (
    Rights.PATH_CREATE_DIRECTORY
    | Rights.PATH_CREATE_FILE
    | Rights.PATH_LINK_SOURCE
    | Rights.PATH_LINK_TARGET
    | Rights.PATH_OPEN
    | Rights.FD_READDIR
    | Rights.PATH_READLINK
    | Rights.PATH_RENAME_SOURCE
    | Rights.PATH_RENAME_TARGET
    | Rights.PATH_SYMLINK
    | Rights.PATH_REMOVE_DIRECTORY
    | Rights.PATH_UNLINK_FILE
    | Rights.PATH_FILESTAT_GET
    | Rights.PATH_FILESTAT_SET_TIMES
    | Rights.FD_FILESTAT_GET
    | Rights.FD_FILESTAT_SET_TIMES
)
PREOPEN_INHERITING: Final = (
    PREOPEN_RIGHTS
    | Rights.FD_DATASYNC
    | Rights.FD_READ
    | Rights.FD_SEEK
    | Rights.FD_FDSTAT_SET_FLAGS
    | Rights.FD_SYNC
    | Rights.FD_TELL
    | Rights.FD_WRITE
    | Rights.FD_ADVISE
    | Rights.FD_ALLOCATE
    | Rights.FD_FILESTAT_SET_SIZE
    | Rights.POLL_FD_READWRITE
)


class HostFd:
    """A host descriptor. `with host as number:` keeps it open for the block, whoever closes it meanwhile."""

    __slots__ = ("_closed", "_lock", "_number", "_owned", "_users")

    def __init__(self, number: int, *, owned: bool = True) -> None:
        self._number = number
        self._owned = owned
        self._users = 0
        self._closed = False
        self._lock = RenewedLock()  # a signal handler may use the descriptor that it interrupts the use of

    def __enter__(self) -> int:
        with self._lock.held:
            if self._closed:
                raise WasiError(Errno.BADF)
            self._users += 1
        return self._number

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        with self._lock.held:
            self._users -= 1
            last = self._closed and not self._users
        if last and self._owned:
            os.close(self._number)

    def close(self) -> None:
        """Close it, at once or when the last user is done. May be called again."""
        with self._lock.held:
            if self._closed:
                return
            self._closed = True
            unused = not self._users
        if unused and self._owned:
            os.close(self._number)

    def __del__(self) -> None:
        if not self._closed:
            self.close()


class Descriptor:
    """Anything that a descriptor number can stand for; every operation fails unless a subclass has it.

    `filetype`, `flags`, `rights` and `inheriting` are the fields of `fdstat`; `dropped` and `dropped_inheriting` are
    the rights that the program gave up with `fd_fdstat_set_rights`.
    """

    __slots__ = ("dropped", "dropped_inheriting", "filetype", "flags", "inheriting", "rights")

    preopen_name: bytes | None = None
    readonly: bool = False

    def __init__(self, filetype: int, rights: int, inheriting: int, flags: int = 0) -> None:
        self.filetype = filetype
        self.rights = rights
        self.inheriting = inheriting
        self.flags = flags
        self.dropped = 0
        self.dropped_inheriting = 0

    def close(self) -> None:
        """Release what the descriptor holds on the host."""

    def file(self) -> File:
        """This descriptor as a file."""
        raise WasiError(Errno.BADF)

    def directory(self) -> Directory:
        """This descriptor as a directory."""
        raise WasiError(Errno.BADF)

    def host(self) -> HostFd:
        """The host descriptor behind a file or directory."""
        raise WasiError(Errno.BADF)

    def mutable(self) -> Self:
        """This descriptor, if what is behind it may change; `PERM` under a read-only preopen."""
        if self.readonly:
            raise WasiError(Errno.PERM)
        return self

    def stat(self) -> os.stat_result | None:
        """The attributes on the host, or None where they are none of the program's business."""
        return None

    def read(self, buffers: Sequence[memoryview]) -> int:
        """Fill the buffers in order; the number of bytes, 0 at the end."""
        raise WasiError(Errno.BADF)

    def write(self, buffers: Sequence[memoryview]) -> int:
        """Write the buffers in order; the number of bytes taken."""
        raise WasiError(Errno.BADF)

    def pread(self, buffers: Sequence[memoryview], offset: int) -> int:
        """`read` at an offset, without moving the position."""
        raise WasiError(Errno.BADF)

    def pwrite(self, buffers: Sequence[memoryview], offset: int) -> int:
        """`write` at an offset, without moving the position."""
        raise WasiError(Errno.BADF)

    def seek(self, offset: int, whence: int) -> int:
        """Move the position; the new one."""
        raise WasiError(Errno.BADF)

    def waitable(self, *, write: bool) -> HostFd | None:
        """What to poll on the host before reading or writing would not block; None if it never does."""
        raise WasiError(Errno.BADF)

    def available(self, host_fd: int) -> int:
        """How many bytes wait to be read from `host_fd`, the number behind `waitable`, when that is ready."""
        return queued_bytes(host_fd)


class File(Descriptor):
    """An open file of any kind but a directory, to be read or written as the program asked for at `path_open`."""

    __slots__ = ("_host", "readable", "readonly", "writable")

    def __init__(self, host: HostFd, mode: int, *, readable: bool, writable: bool, readonly: bool, flags: int) -> None:
        rights = Rights.ALL
        if not readable:
            rights &= ~(Rights.FD_READ | Rights.FD_READDIR)
        if not writable:
            rights &= ~Rights.FD_WRITE
        super().__init__(file_type(mode), rights, rights, flags)
        self._host = host
        self.readable = readable
        self.writable = writable
        self.readonly = readonly

    def close(self) -> None:
        self._host.close()

    def file(self) -> File:
        return self

    def directory(self) -> Directory:
        raise WasiError(Errno.NOTDIR)

    def host(self) -> HostFd:
        return self._host

    def stat(self) -> os.stat_result:
        with self._host as fd:
            return os.fstat(fd)

    def read(self, buffers: Sequence[memoryview]) -> int:
        with self._reading() as fd:
            return os.readv(fd, buffers) if buffers and readable(fd) else 0

    def write(self, buffers: Sequence[memoryview]) -> int:
        with self._writing() as fd:
            return os.writev(fd, buffers) if buffers else 0

    def pread(self, buffers: Sequence[memoryview], offset: int) -> int:
        with self._reading() as fd:
            return os.preadv(fd, buffers, _offset(offset)) if buffers else 0

    def pwrite(self, buffers: Sequence[memoryview], offset: int) -> int:
        with self._writing() as fd:
            return os.pwritev(fd, buffers, _offset(offset)) if buffers else 0

    def seek(self, offset: int, whence: int) -> int:
        with self._host as fd:
            return os.lseek(fd, offset, whence)

    def set_size(self, size: int) -> None:
        """Truncate or extend with zeros."""
        if not self.mutable().writable:
            raise WasiError(Errno.INVAL)  # as ftruncate(2) does
        with self._host as fd:
            os.ftruncate(fd, _offset(size))

    def allocate(self, offset: int, length: int) -> None:
        """Make sure that the range is backed by storage, extending the file if need be."""
        with self._writing() as fd:
            # Where a file system cannot do it, the C library writes block by block until it is done or the disk full.
            room = os.fstatvfs(fd)
            if length > room.f_bavail * room.f_frsize + os.fstat(fd).st_blocks * 512:
                raise WasiError(Errno.NOSPC)
            os.posix_fallocate(fd, _offset(offset), length)

    def advise(self, offset: int, length: int, advice: int) -> None:
        """Tell the host about the access to come; `advice` is the host's constant."""
        with self._host as fd:
            os.posix_fadvise(fd, _offset(offset), _offset(length), advice)

    def set_flags(self, flags: int) -> None:
        """Switch append and non-blocking mode; the synchronised modes are fixed when a file is opened."""
        fixed = FdFlags.DSYNC | FdFlags.RSYNC | FdFlags.SYNC
        if flags & fixed & ~self.flags:
            raise WasiError(Errno.INVAL)
        with self._host as fd:
            status = fcntl.fcntl(fd, fcntl.F_GETFL) & ~(os.O_APPEND | os.O_NONBLOCK)
            if flags & FdFlags.APPEND:
                status |= os.O_APPEND
            if flags & FdFlags.NONBLOCK:
                status |= os.O_NONBLOCK
            fcntl.fcntl(fd, fcntl.F_SETFL, status)
        self.flags = (self.flags & fixed) | (flags & ~fixed)

    def waitable(self, *, write: bool) -> HostFd:
        if not (self.writable if write else self.readable):
            raise WasiError(Errno.BADF)
        return self._host

    def available(self, host_fd: int) -> int:
        if self.filetype == FileType.REGULAR_FILE:
            return max(0, os.fstat(host_fd).st_size - os.lseek(host_fd, 0, os.SEEK_CUR))
        return queued_bytes(host_fd)

    def _reading(self) -> HostFd:
        if not self.readable:
            raise WasiError(Errno.BADF)
        return self._host

    def _writing(self) -> HostFd:
        if not self.writable:
            raise WasiError(Errno.BADF)
        return self._host


class Directory(Descriptor):
    """An open directory. Everything opened below it inherits `readonly`; only a preopened one has a `preopen_name`."""

    __slots__ = ("_host", "_listing", "preopen_name", "readonly")

    def __init__(self, host: HostFd, *, readonly: bool, preopen_name: bytes | None = None) -> None:
        rights = DIRECTORY_RIGHTS, DIRECTORY_RIGHTS
        if preopen_name is not None:
            rights = PREOPEN_RIGHTS, PREOPEN_INHERITING
        super().__init__(FileType.DIRECTORY, *rights)
        self._host = host
        self.readonly = readonly
        self.preopen_name = preopen_name
        self._listing: list[tuple[bytes, int, int]] | None = None

    def close(self) -> None:
        self._host.close()

    def directory(self) -> Directory:
        return self

    def host(self) -> HostFd:
        return self._host

    def stat(self) -> os.stat_result:
        with self._host as fd:
            return os.fstat(fd)

    def listing(self, *, restart: bool) -> list[tuple[bytes, int, int]]:
        """Name, inode and filetype of every entry, `.` and `..` first.

        The list is taken once and kept until the program starts over, so that a position in it stays what it was
        however small the pieces are in which it is read. The inode given for `..` is that of `.`: what lies above is
        not told.
        """
        if restart or self._listing is None:
            with self._host as fd:
                own = os.fstat(fd).st_ino
                entries = [(b".", own, FileType.DIRECTORY), (b"..", own, FileType.DIRECTORY)]
                with os.scandir(fd) as found:
                    entries += [(os.fsencode(entry.name), entry.inode(), _entry_type(entry)) for entry in found]
            self._listing = entries
        return self._listing


def _entry_type(entry: os.DirEntry[str]) -> int:
    try:
        if entry.is_symlink():
            return FileType.SYMBOLIC_LINK
        if entry.is_dir(follow_symlinks=False):
            return FileType.DIRECTORY
        if entry.is_file(follow_symlinks=False):
            return FileType.REGULAR_FILE
        return file_type(entry.stat(follow_symlinks=False).st_mode)
    except OSError:
        return FileType.UNKNOWN  # gone since


def _offset(value: int) -> int:
    if value > MAX_OFFSET:
        raise WasiError(Errno.INVAL)
    return value


def queued_bytes(fd: int) -> int:
    """What waits to be read from a pipe, socket or terminal; at least 1, also where the host cannot tell."""
    try:
        answer = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
    except OSError:
        return 1
    return max(1, int.from_bytes(answer, "little"))


def opened(number: int, directory: Directory, *, readable: bool, writable: bool, flags: int) -> File | Directory:
    """The descriptor for a host descriptor just opened below `directory`. Takes over `number`, also when it fails."""
    host = HostFd(number)
    try:
        mode = os.fstat(number).st_mode
    except OSError:
        host.close()
        raise
    result: File | Directory
    if stat.S_ISDIR(mode):
        result = Directory(host, readonly=directory.readonly)
    else:
        result = File(host, mode, readable=readable, writable=writable, readonly=directory.readonly, flags=flags)
    result.dropped = result.dropped_inheriting = directory.dropped_inheriting
    return result


class DescriptorTable:
    """Descriptor numbers, the lowest free one given out first (as POSIX does), at most `limit` at a time."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._used: dict[int, Descriptor] = {}
        self._free: list[int] = []
        self._numbers = itertools.count()
        self._lock = RenewedLock()  # as above: what is done under it is whole after every step

    def __len__(self) -> int:
        return len(self._used)

    def get(self, number: int, rights: int = 0) -> Descriptor:
        """What `number` stands for: `BADF` if nothing, `NOTCAPABLE` if one of `rights` was given up."""
        found = self._used.get(number)
        if found is None:
            raise WasiError(Errno.BADF)
        if found.dropped & rights:
            raise WasiError(Errno.NOTCAPABLE)
        return found

    def check_room(self) -> None:
        """`MFILE` if no descriptor can be added."""
        if len(self._used) >= self._limit:
            raise WasiError(Errno.MFILE)

    def add(self, descriptor: Descriptor) -> int:
        """Give it the lowest free number. When the table is full, `descriptor` is closed and `MFILE` raised."""
        with self._lock.held:
            if len(self._used) < self._limit:
                try:
                    number = heapq.heappop(self._free)
                except IndexError:
                    number = next(self._numbers)
                self._used[number] = descriptor
                return number
        descriptor.close()
        raise WasiError(Errno.MFILE)

    def close(self, number: int) -> None:
        """Forget `number` and close what it stood for."""
        with self._lock.held:
            descriptor = self._used.pop(number, None)
            if descriptor is None:
                raise WasiError(Errno.BADF)
            heapq.heappush(self._free, number)
        descriptor.close()

    def discard(self, number: int, descriptor: Descriptor) -> None:
        """Forget and close `number`, if it still stands for `descriptor`."""
        with self._lock.held:
            if self._used.get(number) is not descriptor:
                return
            del self._used[number]
            heapq.heappush(self._free, number)
        descriptor.close()

    def renumber(self, number: int, to: int) -> None:
        """Close `to` and let it stand for what `number` did, which becomes free."""
        with self._lock.held:
            if number not in self._used or to not in self._used:
                raise WasiError(Errno.BADF)
            if number == to:
                return
            replaced = self._used[to]
            self._used[to] = self._used.pop(number)
            heapq.heappush(self._free, number)
        replaced.close()

    def close_all(self) -> None:
        """Close everything; every number is `BADF` from now on."""
        with self._lock.held:
            descriptors = list(self._used.values())
            self._used.clear()
            self._limit = 0
        for descriptor in descriptors:
            descriptor.close()
