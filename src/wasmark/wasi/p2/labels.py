"""The names that WASI 0.2 has for error codes and kinds of files, and how values of flags are read."""

from __future__ import annotations

import stat

from wasmark.wasi.abi import Errno, FileType, WasiError, from_os_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

ERROR_CODES: Final = {
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
    Errno.MFILE: "insufficient-memory",  # there is no name for too many descriptors
    Errno.NFILE: "insufficient-memory",
    Errno.NOSPC: "insufficient-space",
    Errno.NOTDIR: "not-directory",
    Errno.NOTEMPTY: "not-empty",
    Errno.NOTRECOVERABLE: "not-recoverable",
    Errno.NOTSUP: "unsupported",
    Errno.NOSYS: "unsupported",
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
"""`error-code` of `wasi:filesystem/types`; what is not here is "io"."""

_DESCRIPTOR_TYPES: Final = {
    FileType.BLOCK_DEVICE: "block-device",
    FileType.CHARACTER_DEVICE: "character-device",
    FileType.DIRECTORY: "directory",
    FileType.REGULAR_FILE: "regular-file",
    FileType.SOCKET_STREAM: "socket",
    FileType.SOCKET_DGRAM: "socket",
    FileType.SYMBOLIC_LINK: "symbolic-link",
}


def errno_of(error: WasiError | OSError) -> Errno:
    """What went wrong."""
    return error.code if isinstance(error, WasiError) else from_os_error(error)


def error_code(code: Errno) -> str:
    """The label of it."""
    return ERROR_CODES.get(code, "io")


def descriptor_type(filetype: int) -> str:
    """The label of a `filetype`."""
    return _DESCRIPTOR_TYPES.get(filetype, "unknown")


def mode_type(mode: int, filetype: int) -> str:
    """The label of an `st_mode`, which tells a FIFO from what is unknown."""
    return "fifo" if stat.S_ISFIFO(mode) else descriptor_type(filetype)


def flags(value: Any) -> frozenset[str]:
    """The labels that are set in a value of flags."""
    class_ = type(value)
    return frozenset(label for label, name in class_._names_by_label.items() if class_[name] in value)
