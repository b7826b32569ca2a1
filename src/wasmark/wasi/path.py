"""Everything that names a file by a path. The paths themselves are walked in `sandbox.py`."""

from __future__ import annotations

import os
import stat

from wasmark.wasi import filestat, sandbox
from wasmark.wasi.abi import LOOKUP_SYMLINK_FOLLOW, Errno, FdFlags, OFlags, Rights, WasiError
from wasmark.wasi.descriptors import Directory, opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory

_HOST_FDFLAGS: Final = (
    (FdFlags.APPEND, os.O_APPEND),
    (FdFlags.DSYNC, os.O_DSYNC),
    (FdFlags.NONBLOCK, os.O_NONBLOCK),
    (FdFlags.RSYNC, os.O_RSYNC),
    (FdFlags.SYNC, os.O_SYNC),
)
_HOST_OFLAGS: Final = (
    (OFlags.CREAT, os.O_CREAT),
    (OFlags.DIRECTORY, os.O_DIRECTORY),
    (OFlags.EXCL, os.O_EXCL),
    (OFlags.TRUNC, os.O_TRUNC),
)
_ALWAYS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_FILE_MODE: Final = 0o666
_DIRECTORY_MODE: Final = 0o777


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
    create = oflags & OFlags.CREAT
    truncate = oflags & OFlags.TRUNC
    needed = Rights.PATH_OPEN
    if create:
        needed |= Rights.PATH_CREATE_FILE
    if truncate:
        needed |= Rights.PATH_FILESTAT_SET_SIZE
    directory = _directory(ctx, fd, needed)
    writable = bool(base & Rights.FD_WRITE)
    readable = bool(base & Rights.FD_READ) or not writable
    if create or truncate or writable:
        directory.mutable()
    ctx.table.check_room()

    flags = _ALWAYS | _translate(oflags, _HOST_OFLAGS) | _translate(fdflags, _HOST_FDFLAGS)
    if writable or truncate:
        flags |= os.O_RDWR if readable else os.O_WRONLY
    if create and oflags & OFlags.EXCL:
        follow = False  # "if the path names a symbolic link, fail and set errno to EEXIST" (POSIX, open)
    with directory.host() as number, sandbox.resolve(number, name, follow=follow) as place:
        if place.is_dir:
            if create:
                raise WasiError(Errno.ISDIR)
            flags |= os.O_DIRECTORY
        host = os.open(place.name, flags, _FILE_MODE, dir_fd=place.dir_fd)
        result = opened(host, directory, readable=readable, writable=writable, flags=fdflags)
    memory.put_u32(opened_fd, ctx.table.add(result))


def path_create_directory(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_CREATE_DIRECTORY).mutable()
    with directory.host() as number, sandbox.resolve_entry(number, name) as place:
        os.mkdir(place.name, _DIRECTORY_MODE, dir_fd=place.dir_fd)


def path_filestat_get(
    ctx: Context, memory: GuestMemory, fd: int, flags: int, path: int, path_len: int, buf: int
) -> None:
    memory.check(buf, ctx.abi.filestat.size)
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_FILESTAT_GET)
    with directory.host() as number, sandbox.resolve(number, name, follow=_follow(flags)) as place:
        st = _stat(place)
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
    directory = _directory(ctx, fd, Rights.PATH_FILESTAT_SET_TIMES).mutable()
    with directory.host() as number, sandbox.resolve(number, name, follow=_follow(flags)) as place:
        st = _stat(place)
        if fst_flags:
            times = filestat.new_times(ctx.clocks, st, atim, mtim, fst_flags)
            os.utime(place.name, ns=times, dir_fd=place.dir_fd, follow_symlinks=False)


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
    with (
        old.host() as old_number,
        new.host() as new_number,
        sandbox.resolve(old_number, old_name, follow=False) as source,
        sandbox.resolve_entry(new_number, new_name) as target,
    ):
        if source.is_dir:
            _stat(source)
        if target.is_dir:
            _refuse_slash(target)
        os.link(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd, follow_symlinks=False)


def path_readlink(
    ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int, buf: int, buf_len: int, bufused: int
) -> None:
    memory.check(bufused, 4)
    memory.check(buf, buf_len)
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_READLINK)
    with directory.host() as number, sandbox.resolve(number, name, follow=False) as place:
        if place.is_dir:
            _stat(place)
        text = os.readlink(place.name, dir_fd=place.dir_fd)
    if text.startswith(b"/"):
        raise WasiError(Errno.PERM)  # it leads nowhere for the program, and would only tell it about the host
    text = text[:buf_len]
    memory.write(buf, text)
    memory.put_u32(bufused, len(text))


def path_remove_directory(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_REMOVE_DIRECTORY).mutable()
    with directory.host() as number, sandbox.resolve_entry(number, name) as place:
        os.rmdir(place.name, dir_fd=place.dir_fd)


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
    new = _directory(ctx, new_fd, Rights.PATH_RENAME_TARGET).mutable()
    with (
        old.host() as old_number,
        new.host() as new_number,
        sandbox.resolve_entry(old_number, old_name) as source,
        sandbox.resolve_entry(new_number, new_name) as target,
    ):
        if source.is_dir or target.is_dir:
            source.is_dir = True
            _stat(source)
        os.rename(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)


def path_symlink(
    ctx: Context, memory: GuestMemory, old_path: int, old_path_len: int, fd: int, new_path: int, new_path_len: int
) -> None:
    text = memory.path(old_path, old_path_len)
    name = memory.path(new_path, new_path_len)
    directory = _directory(ctx, fd, Rights.PATH_SYMLINK).mutable()
    if text.startswith(b"/"):
        raise WasiError(Errno.PERM)
    with directory.host() as number, sandbox.resolve_entry(number, name) as place:
        if place.is_dir:
            _refuse_slash(place)
        os.symlink(text, place.name, dir_fd=place.dir_fd)


def path_unlink_file(ctx: Context, memory: GuestMemory, fd: int, path: int, path_len: int) -> None:
    name = memory.path(path, path_len)
    directory = _directory(ctx, fd, Rights.PATH_UNLINK_FILE).mutable()
    with directory.host() as number, sandbox.resolve_entry(number, name) as place:
        if place.is_dir:
            _stat(place)
            raise WasiError(Errno.ISDIR)
        os.unlink(place.name, dir_fd=place.dir_fd)


def _directory(ctx: Context, fd: int, rights: int) -> Directory:
    return ctx.table.get(fd, rights).directory()


def _follow(lookup_flags: int) -> bool:
    if lookup_flags & ~LOOKUP_SYMLINK_FOLLOW:
        raise WasiError(Errno.INVAL)
    return bool(lookup_flags)


def _translate(flags: int, table: tuple[tuple[int, int], ...]) -> int:
    host = 0
    for ours, theirs in table:
        if flags & ours:
            host |= theirs
    return host


def _stat(place: sandbox.Place) -> os.stat_result:
    """The attributes of what is there; `NOTDIR` where a path with a slash at its end names anything but a directory."""
    st = os.stat(place.name, dir_fd=place.dir_fd, follow_symlinks=False)
    if place.is_dir and not stat.S_ISDIR(st.st_mode):
        raise WasiError(Errno.NOTDIR)
    return st


def _refuse_slash(place: sandbox.Place) -> None:
    """Fail as the host does where something that is no directory should get a name with a slash at its end."""
    _stat(place)
    raise WasiError(Errno.EXIST)
