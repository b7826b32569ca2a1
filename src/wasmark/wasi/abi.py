"""The numbers of WASI preview 1: error codes, flags, rights, and the layout of every record that crosses guest memory.

Everything here is a fact of the `wasi_snapshot_preview1` and `wasi_unstable` witx files; no other file of this
package knows a number or an offset. Flags and rights are plain integers, because `enum.IntFlag` costs a microsecond
for each `&`.
"""

from __future__ import annotations

import enum
import errno
import io
import stat
from struct import Struct

from wasmark.core.record import FrozenRecord, set_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class Errno(enum.IntEnum):
    """`errno`: what a function returns. `TOOBIG` is the witx name `2big`."""

    SUCCESS = 0
    TOOBIG = 1
    ACCES = 2
    ADDRINUSE = 3
    ADDRNOTAVAIL = 4
    AFNOSUPPORT = 5
    AGAIN = 6
    ALREADY = 7
    BADF = 8
    BADMSG = 9
    BUSY = 10
    CANCELED = 11
    CHILD = 12
    CONNABORTED = 13
    CONNREFUSED = 14
    CONNRESET = 15
    DEADLK = 16
    DESTADDRREQ = 17
    DOM = 18
    DQUOT = 19
    EXIST = 20
    FAULT = 21
    FBIG = 22
    HOSTUNREACH = 23
    IDRM = 24
    ILSEQ = 25
    INPROGRESS = 26
    INTR = 27
    INVAL = 28
    IO = 29
    ISCONN = 30
    ISDIR = 31
    LOOP = 32
    MFILE = 33
    MLINK = 34
    MSGSIZE = 35
    MULTIHOP = 36
    NAMETOOLONG = 37
    NETDOWN = 38
    NETRESET = 39
    NETUNREACH = 40
    NFILE = 41
    NOBUFS = 42
    NODEV = 43
    NOENT = 44
    NOEXEC = 45
    NOLCK = 46
    NOLINK = 47
    NOMEM = 48
    NOMSG = 49
    NOPROTOOPT = 50
    NOSPC = 51
    NOSYS = 52
    NOTCONN = 53
    NOTDIR = 54
    NOTEMPTY = 55
    NOTRECOVERABLE = 56
    NOTSOCK = 57
    NOTSUP = 58
    NOTTY = 59
    NXIO = 60
    OVERFLOW = 61
    OWNERDEAD = 62
    PERM = 63
    PIPE = 64
    PROTO = 65
    PROTONOSUPPORT = 66
    PROTOTYPE = 67
    RANGE = 68
    ROFS = 69
    SPIPE = 70
    SRCH = 71
    STALE = 72
    TIMEDOUT = 73
    TXTBSY = 74
    XDEV = 75
    NOTCAPABLE = 76


class WasiError(Exception):
    """Ends one host call with an error code. Never leaves this package: the dispatcher makes it the return value."""

    def __init__(self, code: Errno) -> None:
        self.code = code
        super().__init__(code.name)


_HOST_NAMES = {"E2BIG": Errno.TOOBIG} | {f"E{code.name}": code for code in Errno if code.name != "TOOBIG"}
_FROM_HOST: Final = {number: _HOST_NAMES[name] for number, name in errno.errorcode.items() if name in _HOST_NAMES} | {
    errno.EWOULDBLOCK: Errno.AGAIN,
    errno.EOPNOTSUPP: Errno.NOTSUP,
}


def from_os_error(error: OSError) -> Errno:
    """The code for an error of the host; what has no counterpart is `IO`."""
    if isinstance(error, io.UnsupportedOperation):
        return Errno.NOTSUP
    return _FROM_HOST.get(error.errno or 0, Errno.IO)


class Rights:
    """`rights`: what may be done with a descriptor."""

    FD_DATASYNC: Final = 1 << 0
    FD_READ: Final = 1 << 1
    FD_SEEK: Final = 1 << 2
    FD_FDSTAT_SET_FLAGS: Final = 1 << 3
    FD_SYNC: Final = 1 << 4
    FD_TELL: Final = 1 << 5
    FD_WRITE: Final = 1 << 6
    FD_ADVISE: Final = 1 << 7
    FD_ALLOCATE: Final = 1 << 8
    PATH_CREATE_DIRECTORY: Final = 1 << 9
    PATH_CREATE_FILE: Final = 1 << 10
    PATH_LINK_SOURCE: Final = 1 << 11
    PATH_LINK_TARGET: Final = 1 << 12
    PATH_OPEN: Final = 1 << 13
    FD_READDIR: Final = 1 << 14
    PATH_READLINK: Final = 1 << 15
    PATH_RENAME_SOURCE: Final = 1 << 16
    PATH_RENAME_TARGET: Final = 1 << 17
    PATH_FILESTAT_GET: Final = 1 << 18
    PATH_FILESTAT_SET_SIZE: Final = 1 << 19
    PATH_FILESTAT_SET_TIMES: Final = 1 << 20
    FD_FILESTAT_GET: Final = 1 << 21
    FD_FILESTAT_SET_SIZE: Final = 1 << 22
    FD_FILESTAT_SET_TIMES: Final = 1 << 23
    PATH_SYMLINK: Final = 1 << 24
    PATH_REMOVE_DIRECTORY: Final = 1 << 25
    PATH_UNLINK_FILE: Final = 1 << 26
    POLL_FD_READWRITE: Final = 1 << 27
    SOCK_SHUTDOWN: Final = 1 << 28
    SOCK_ACCEPT: Final = 1 << 29
    ALL: Final = (1 << 30) - 1


class FdFlags:
    """`fdflags`: the mode of an open descriptor."""

    APPEND: Final = 1
    DSYNC: Final = 2
    NONBLOCK: Final = 4
    RSYNC: Final = 8
    SYNC: Final = 16
    ALL: Final = 31


class OFlags:
    """`oflags` of `path_open`."""

    CREAT: Final = 1
    DIRECTORY: Final = 2
    EXCL: Final = 4
    TRUNC: Final = 8
    ALL: Final = 15


class FstFlags:
    """`fstflags`: which times to set, and from where."""

    ATIM: Final = 1
    ATIM_NOW: Final = 2
    MTIM: Final = 4
    MTIM_NOW: Final = 8
    ALL: Final = 15


LOOKUP_SYMLINK_FOLLOW: Final = 1
SUBCLOCK_ABSTIME: Final = 1
EVENT_HANGUP: Final = 1
PREOPEN_DIR: Final = 0


class ClockId:
    """`clockid`."""

    REALTIME: Final = 0
    MONOTONIC: Final = 1
    PROCESS_CPUTIME: Final = 2
    THREAD_CPUTIME: Final = 3


class EventType:
    """`eventtype`."""

    CLOCK: Final = 0
    FD_READ: Final = 1
    FD_WRITE: Final = 2


class FileType:
    """`filetype`."""

    UNKNOWN: Final = 0
    BLOCK_DEVICE: Final = 1
    CHARACTER_DEVICE: Final = 2
    DIRECTORY: Final = 3
    REGULAR_FILE: Final = 4
    SOCKET_DGRAM: Final = 5
    SOCKET_STREAM: Final = 6
    SYMBOLIC_LINK: Final = 7


_FILE_TYPES = {
    stat.S_IFBLK: FileType.BLOCK_DEVICE,
    stat.S_IFCHR: FileType.CHARACTER_DEVICE,
    stat.S_IFDIR: FileType.DIRECTORY,
    stat.S_IFREG: FileType.REGULAR_FILE,
    stat.S_IFSOCK: FileType.SOCKET_STREAM,
    stat.S_IFLNK: FileType.SYMBOLIC_LINK,
}


def file_type(mode: int) -> int:
    """The `filetype` for an `st_mode`; FIFOs have none and are `UNKNOWN`."""
    return _FILE_TYPES.get(stat.S_IFMT(mode), FileType.UNKNOWN)


IOVEC: Final = Struct("<II")
"""buf, buf_len"""
FDSTAT: Final = Struct("<BxH4xQQ")
"""fs_filetype, fs_flags, fs_rights_base, fs_rights_inheriting"""
PRESTAT: Final = Struct("<B3xI")
"""tag, pr_name_len"""
DIRENT: Final = Struct("<QQIB3x")
"""d_next, d_ino, d_namlen, d_type"""
EVENT: Final = Struct("<QHB5xQH6x")
"""userdata, error, type, fd_readwrite.nbytes, fd_readwrite.flags"""
SUBSCRIPTION_HEAD: Final = Struct("<QB7xI")
"""userdata, tag, and the descriptor where the tag is one of the two descriptor events"""


class Abi(FrozenRecord):
    """What differs between the two names under which preview 1 is known.

    whence: what the numbers 0, 1, 2 of `fd_seek` mean, as host constants.
    filestat: dev, ino, filetype, nlink, size, atim, mtim, ctim.
    subscription: a clock subscription: userdata, tag, id, timeout, precision, flags; its size is that of every
        subscription.
    max_links: the largest `nlink` that the record can hold.
    absent: functions that this version does not have.
    """

    __slots__ = ("absent", "filestat", "max_links", "module", "subscription", "whence")

    module: str
    whence: tuple[int, int, int]
    filestat: Struct
    subscription: Struct
    max_links: int
    absent: frozenset[str]

    def __init__(
        self,
        module: str,
        whence: tuple[int, int, int],
        filestat: Struct,
        subscription: Struct,
        max_links: int,
        absent: frozenset[str] = frozenset(),
    ) -> None:
        set_(self, "module", module)
        set_(self, "whence", whence)
        set_(self, "filestat", filestat)
        set_(self, "subscription", subscription)
        set_(self, "max_links", max_links)
        set_(self, "absent", absent)


SNAPSHOT_PREVIEW1: Final = Abi(
    module="wasi_snapshot_preview1",
    whence=(io.SEEK_SET, io.SEEK_CUR, io.SEEK_END),
    filestat=Struct("<QQB7xQQQQQ"),
    subscription=Struct("<QB7xI4xQQH6x"),
    max_links=(1 << 64) - 1,
)
UNSTABLE: Final = Abi(
    module="wasi_unstable",
    whence=(io.SEEK_CUR, io.SEEK_END, io.SEEK_SET),
    filestat=Struct("<QQB3xIQQQQ"),
    subscription=Struct("<QB7x8xI4xQQH6x"),
    max_links=(1 << 32) - 1,
    absent=frozenset({"sock_accept"}),
)
ABIS: Final = {abi.module: abi for abi in (SNAPSHOT_PREVIEW1, UNSTABLE)}
