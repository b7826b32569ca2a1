"""File attributes as records of guest memory, and the times to set."""

from __future__ import annotations

from wasmark.wasi.abi import Errno, FstFlags, WasiError, file_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from wasmark.wasi.abi import Abi
    from wasmark.wasi.clock import Clocks

_MAX_U64 = (1 << 64) - 1


def pack(abi: Abi, st: os.stat_result) -> bytes:
    """`st` as a `filestat`; times before 1970 are 0."""
    return abi.filestat.pack(
        st.st_dev & _MAX_U64,
        st.st_ino & _MAX_U64,
        file_type(st.st_mode),
        min(st.st_nlink, abi.max_links),
        st.st_size,
        _timestamp(st.st_atime_ns),
        _timestamp(st.st_mtime_ns),
        _timestamp(st.st_ctime_ns),
    )


def pack_stream(abi: Abi, filetype: int) -> bytes:
    """The `filestat` of a standard stream, which tells nothing but its type."""
    return abi.filestat.pack(0, 0, filetype, 0, 0, 0, 0, 0)


def _timestamp(nanoseconds: int) -> int:
    return min(max(nanoseconds, 0), _MAX_U64)


def check_time_flags(flags: int) -> None:
    """`INVAL` if a time is to be both given and now, or a flag is unknown."""
    given_and_now = (
        flags & FstFlags.ATIM and flags & FstFlags.ATIM_NOW,
        flags & FstFlags.MTIM and flags & FstFlags.MTIM_NOW,
    )
    if flags & ~FstFlags.ALL or any(given_and_now):
        raise WasiError(Errno.INVAL)


def new_times(clocks: Clocks, st: os.stat_result, atim: int, mtim: int, flags: int) -> tuple[int, int]:
    """Access and modification time to set, in nanoseconds; a time that no flag names stays what it is in `st`."""
    now = clocks.realtime() if flags & (FstFlags.ATIM_NOW | FstFlags.MTIM_NOW) else 0
    return (
        _choose(flags & FstFlags.ATIM, flags & FstFlags.ATIM_NOW, atim, now, st.st_atime_ns),
        _choose(flags & FstFlags.MTIM, flags & FstFlags.MTIM_NOW, mtim, now, st.st_mtime_ns),
    )


def _choose(given: int, to_now: int, value: int, now: int, old: int) -> int:
    if given:
        return value
    return now if to_now else old
