"""Descriptors themselves: their state, attributes and numbers, and the listing of a directory."""

from __future__ import annotations

import os

from wasmark.wasi import filestat
from wasmark.wasi.abi import DIRENT, FDSTAT, PREOPEN_DIR, PRESTAT, Errno, FdFlags, Rights, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory

_ADVICE: Final = (
    os.POSIX_FADV_NORMAL,
    os.POSIX_FADV_SEQUENTIAL,
    os.POSIX_FADV_RANDOM,
    os.POSIX_FADV_WILLNEED,
    os.POSIX_FADV_DONTNEED,
    os.POSIX_FADV_NOREUSE,
)


def fd_advise(ctx: Context, memory: GuestMemory, fd: int, offset: int, length: int, advice: int) -> None:
    if advice >= len(_ADVICE):
        raise WasiError(Errno.INVAL)
    ctx.table.get(fd, Rights.FD_ADVISE).file().advise(offset, length, _ADVICE[advice])


def fd_allocate(ctx: Context, memory: GuestMemory, fd: int, offset: int, length: int) -> None:
    ctx.table.get(fd, Rights.FD_ALLOCATE).file().allocate(offset, length)


def fd_close(ctx: Context, memory: GuestMemory, fd: int) -> None:
    ctx.table.close(fd)


def fd_datasync(ctx: Context, memory: GuestMemory, fd: int) -> None:
    with ctx.table.get(fd, Rights.FD_DATASYNC).host() as number:
        os.fdatasync(number)


def fd_sync(ctx: Context, memory: GuestMemory, fd: int) -> None:
    with ctx.table.get(fd, Rights.FD_SYNC).host() as number:
        os.fsync(number)


def fd_fdstat_get(ctx: Context, memory: GuestMemory, fd: int, stat: int) -> None:
    found = ctx.table.get(fd)
    rights = found.rights & ~found.dropped
    inheriting = found.inheriting & ~found.dropped_inheriting
    memory.write(stat, FDSTAT.pack(found.filetype, found.flags, rights, inheriting))


def fd_fdstat_set_flags(ctx: Context, memory: GuestMemory, fd: int, flags: int) -> None:
    if flags & ~FdFlags.ALL:
        raise WasiError(Errno.INVAL)
    ctx.table.get(fd, Rights.FD_FDSTAT_SET_FLAGS).file().set_flags(flags)


def fd_fdstat_set_rights(ctx: Context, memory: GuestMemory, fd: int, base: int, inheriting: int) -> None:
    found = ctx.table.get(fd)
    held = found.rights & ~found.dropped
    held_inheriting = found.inheriting & ~found.dropped_inheriting
    if base & ~held or inheriting & ~held_inheriting:
        raise WasiError(Errno.NOTCAPABLE)
    found.dropped |= held & ~base
    found.dropped_inheriting |= held_inheriting & ~inheriting


def fd_filestat_get(ctx: Context, memory: GuestMemory, fd: int, buf: int) -> None:
    found = ctx.table.get(fd, Rights.FD_FILESTAT_GET)
    st = found.stat()
    memory.write(buf, filestat.pack_stream(ctx.abi, found.filetype) if st is None else filestat.pack(ctx.abi, st))


def fd_filestat_set_size(ctx: Context, memory: GuestMemory, fd: int, size: int) -> None:
    ctx.table.get(fd, Rights.FD_FILESTAT_SET_SIZE).file().set_size(size)


def fd_filestat_set_times(ctx: Context, memory: GuestMemory, fd: int, atim: int, mtim: int, flags: int) -> None:
    filestat.check_time_flags(flags)
    found = ctx.table.get(fd, Rights.FD_FILESTAT_SET_TIMES)
    with found.host() as number:
        found.mutable()
        if flags:
            os.utime(number, ns=filestat.new_times(ctx.clocks, os.fstat(number), atim, mtim, flags))


def fd_prestat_get(ctx: Context, memory: GuestMemory, fd: int, buf: int) -> None:
    name = ctx.table.get(fd).preopen_name
    if name is None:
        raise WasiError(Errno.BADF)
    memory.write(buf, PRESTAT.pack(PREOPEN_DIR, len(name)))


def fd_prestat_dir_name(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = ctx.table.get(fd).preopen_name
    if name is None:
        raise WasiError(Errno.NOTDIR)
    memory.check(path, path_len)
    if len(name) > path_len:
        raise WasiError(Errno.NAMETOOLONG)
    memory.write(path, name)


def fd_readdir(ctx: Context, memory: GuestMemory, fd: int, buf: int, buf_len: int, cookie: int, bufused: int) -> None:
    """A cookie is the number of entries before it. What does not fit is cut off: a full buffer means there is more."""
    memory.check(bufused, 4)
    window = memory.window(buf, buf_len)
    entries = ctx.table.get(fd, Rights.FD_READDIR).directory().listing(restart=not cookie)
    used = 0
    for index in range(cookie, len(entries)):
        name, inode, filetype = entries[index]
        record = DIRENT.pack(index + 1, inode, len(name), filetype) + name
        record = record[: buf_len - used]
        window[used : used + len(record)] = record
        used += len(record)
        if used == buf_len:
            break
    memory.put_u32(bufused, used)


def fd_renumber(ctx: Context, memory: GuestMemory, fd: int, to: int) -> None:
    ctx.table.renumber(fd, to)
