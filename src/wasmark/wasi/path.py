"""The functions of preview 1 that name a file by a path: their numbers, rights and records. What they do is in
`files.py`."""

from __future__ import annotations

from wasmark.wasi import files, filestat
from wasmark.wasi.abi import LOOKUP_SYMLINK_FOLLOW, Errno, FdFlags, OFlags, Rights, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os

    from wasmark.wasi.context import Context
    from wasmark.wasi.descriptors import Directory
    from wasmark.wasi.memory import GuestMemory


def path_open(
    ctx: Context,
    memory: GuestMemory,
    fd: int,
    dirflags: int,
    path: int,
    path_len: int,
    oflags: int,
    base: int,
    inheriting: int,
    fdflags: int,
    opened_fd: int,
) -> None:
    memory.check(opened_fd, 4)
    name = memory.path(path, path_len)
    follow = _follow(dirflags)
    if oflags & ~OFlags.ALL or fdflags & ~FdFlags.ALL:
        raise WasiError(Errno.INVAL)
    if oflags & OFlags.DIRECTORY and oflags != OFlags.DIRECTORY:
        raise WasiError(Errno.INVAL)
    needed = Rights.PATH_OPEN
    if oflags & OFlags.CREAT:
        needed |= Rights.PATH_CREATE_FILE
    if oflags & OFlags.TRUNC:
        needed |= Rights.PATH_FILESTAT_SET_SIZE
    directory = _directory(ctx, fd, needed)
    ctx.table.check_room()
    result = files.open_at(
        directory,
        name,
        follow=follow,
        readable=bool(base & Rights.FD_READ),
        writable=bool(base & Rights.FD_WRITE),
        create=bool(oflags & OFlags.CREAT),
        only_directory=bool(oflags & OFlags.DIRECTORY),
        exclusive=bool(oflags & OFlags.EXCL),
        truncate=bool(oflags & OFlags.TRUNC),
        flags=fdflags,
    )
    memory.put_u32(opened_fd, ctx.table.add(result))


def path_create_directory(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    files.create_directory(_directory(ctx, fd, Rights.PATH_CREATE_DIRECTORY), name)


def path_filestat_get(
    ctx: Context, memory: GuestMemory, fd: int, flags: int, path: int, path_len: int, buf: int
) -> None:
    memory.check(buf, ctx.abi.filestat.size)
    name = memory.path(path, path_len)
    st = files.stat_at(_directory(ctx, fd, Rights.PATH_FILESTAT_GET), name, follow=_follow(flags))
    memory.write(buf, filestat.pack(ctx.abi, st))


def path_filestat_set_times(
    ctx: Context,
    memory: GuestMemory,
    fd: int,
    flags: int,
    path: int,
    path_len: int,
    atim: int,
    mtim: int,
    fst_flags: int,
) -> None:
    filestat.check_time_flags(fst_flags)
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_FILESTAT_SET_TIMES)

    def choose(st: os.stat_result) -> tuple[int, int] | None:
        return filestat.new_times(ctx.clocks, st, atim, mtim, fst_flags) if fst_flags else None

    files.set_times_at(directory, name, choose, follow=_follow(flags))


def path_link(
    ctx: Context,
    memory: GuestMemory,
    old_fd: int,
    old_flags: int,
    old_path: int,
    old_path_len: int,
    new_fd: int,
    new_path: int,
    new_path_len: int,
) -> None:
    old_name = memory.path(old_path, old_path_len)
    new_name = memory.path(new_path, new_path_len)
    old = _directory(ctx, old_fd, Rights.PATH_LINK_SOURCE).mutable()
    new = _directory(ctx, new_fd, Rights.PATH_LINK_TARGET).mutable()
    if old_flags:
        raise WasiError(Errno.INVAL)  # a link to what a symbolic link leads to is not offered
    files.link(old, old_name, new, new_name)


def path_readlink(
    ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int, buf: int, buf_len: int, bufused: int
) -> None:
    memory.check(bufused, 4)
    memory.check(buf, buf_len)
    name = memory.path(path, path_len)
    text = files.readlink(_directory(ctx, fd, Rights.PATH_READLINK), name)[:buf_len]
    memory.write(buf, text)
    memory.put_u32(bufused, len(text))


def path_remove_directory(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    files.remove_directory(_directory(ctx, fd, Rights.PATH_REMOVE_DIRECTORY), name)


def path_rename(
    ctx: Context,
    memory: GuestMemory,
    fd: int,
    old_path: int,
    old_path_len: int,
    new_fd: int,
    new_path: int,
    new_path_len: int,
) -> None:
    old_name = memory.path(old_path, old_path_len)
    new_name = memory.path(new_path, new_path_len)
    old = _directory(ctx, fd, Rights.PATH_RENAME_SOURCE).mutable()
    new = _directory(ctx, new_fd, Rights.PATH_RENAME_TARGET)
    files.rename(old, old_name, new, new_name)


def path_symlink(
    ctx: Context, memory: GuestMemory, old_path: int, old_path_len: int, fd: int, new_path: int, new_path_len: int
) -> None:
    text = memory.path(old_path, old_path_len)
    name = memory.path(new_path, new_path_len)
    files.symlink(text, _directory(ctx, fd, Rights.PATH_SYMLINK), name)


def path_unlink_file(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    files.unlink_file(_directory(ctx, fd, Rights.PATH_UNLINK_FILE), name)


def _directory(ctx: Context, fd: int, rights: int) -> Directory:
    return ctx.table.get(fd, rights).directory()


def _follow(lookup_flags: int) -> bool:
    if lookup_flags & ~LOOKUP_SYMLINK_FOLLOW:
        raise WasiError(Errno.INVAL)
    return bool(lookup_flags)
