"""What can be done with a path below an open directory, for every version of the interface.

The paths themselves are walked in `sandbox.py`. Directories and names come in as they are; errors are `WasiError` and
`OSError`. Whatever changes something asks for `mutable()` before it looks whether the path exists.
"""

from __future__ import annotations

import os
import stat

from wasmark.wasi import sandbox
from wasmark.wasi.abi import Errno, FdFlags, WasiError
from wasmark.wasi.descriptors import opened

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from wasmark.wasi.descriptors import Directory, File

_HOST_FDFLAGS: Final = (
    (FdFlags.APPEND, os.O_APPEND),
    (FdFlags.DSYNC, os.O_DSYNC),
    (FdFlags.NONBLOCK, os.O_NONBLOCK),
    (FdFlags.RSYNC, os.O_RSYNC),
    (FdFlags.SYNC, os.O_SYNC),
)
_ALWAYS: Final = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NOCTTY
_FILE_MODE: Final = 0o666
_DIRECTORY_MODE: Final = 0o777


def open_at(
    directory: Directory,
    path: bytes,
    *,
    follow: bool,
    readable: bool,
    writable: bool,
    create: bool = False,
    only_directory: bool = False,
    exclusive: bool = False,
    truncate: bool = False,
    flags: int = 0,
) -> File | Directory:
    """Open it. Who asks for neither reading nor writing gets reading. `flags` are `FdFlags`."""
    if only_directory and (create or exclusive or truncate):
        raise WasiError(Errno.INVAL)
    readable = readable or not writable
    if create or truncate or writable:
        directory.mutable()
    mode = _ALWAYS
    for ours, theirs in _HOST_FDFLAGS:
        if flags & ours:
            mode |= theirs
    for wanted, theirs in (
        (create, os.O_CREAT),
        (only_directory, os.O_DIRECTORY),
        (exclusive, os.O_EXCL),
        (truncate, os.O_TRUNC),
    ):
        if wanted:
            mode |= theirs
    if writable or truncate:
        mode |= os.O_RDWR if readable else os.O_WRONLY
    if create and exclusive:
        follow = False  # "if the path names a symbolic link, fail and set errno to EEXIST" (POSIX, open)
    with directory.host() as number, sandbox.resolve(number, path, follow=follow) as place:
        if place.is_dir:
            if create:
                raise WasiError(Errno.ISDIR)
            mode |= os.O_DIRECTORY
        host = os.open(place.name, mode, _FILE_MODE, dir_fd=place.dir_fd)
        return opened(host, directory, readable=readable, writable=writable, flags=flags)


def create_directory(directory: Directory, path: bytes) -> None:
    """Make it."""
    with directory.mutable().host() as number, sandbox.resolve_entry(number, path) as place:
        os.mkdir(place.name, _DIRECTORY_MODE, dir_fd=place.dir_fd)


def stat_at(directory: Directory, path: bytes, *, follow: bool) -> os.stat_result:
    """The attributes of what is there."""
    with directory.host() as number, sandbox.resolve(number, path, follow=follow) as place:
        return _stat(place)


def set_times_at(
    directory: Directory,
    path: bytes,
    choose: Callable[[os.stat_result], tuple[int, int] | None],
    *,
    follow: bool,
) -> None:
    """Set access and modification time, in nanoseconds: what `choose` makes of the present attributes, None to leave
    them alone."""
    with directory.mutable().host() as number, sandbox.resolve(number, path, follow=follow) as place:
        times = choose(_stat(place))
        if times is not None:
            os.utime(place.name, ns=times, dir_fd=place.dir_fd, follow_symlinks=False)


def link(old: Directory, old_path: bytes, new: Directory, new_path: bytes) -> None:
    """A second name for a file; a symbolic link is not followed but linked itself."""
    old.mutable()
    new.mutable()
    with (
        old.host() as old_number,
        new.host() as new_number,
        sandbox.resolve(old_number, old_path, follow=False) as source,
        sandbox.resolve_entry(new_number, new_path) as target,
    ):
        if source.is_dir:
            _stat(source)
        if target.is_dir:
            _refuse_slash(target)
        os.link(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd, follow_symlinks=False)


def readlink(directory: Directory, path: bytes) -> bytes:
    """The text of a symbolic link; an absolute one leads nowhere for the program, and would only tell it about the
    host."""
    with directory.host() as number, sandbox.resolve(number, path, follow=False) as place:
        if place.is_dir:
            _stat(place)
        text = os.readlink(place.name, dir_fd=place.dir_fd)
    if text.startswith(b"/"):
        raise WasiError(Errno.PERM)
    return text


def remove_directory(directory: Directory, path: bytes) -> None:
    """Remove an empty one."""
    with directory.mutable().host() as number, sandbox.resolve_entry(number, path) as place:
        os.rmdir(place.name, dir_fd=place.dir_fd)


def rename(old: Directory, old_path: bytes, new: Directory, new_path: bytes) -> None:
    """Give it another name; what has that one already is replaced, as on the host."""
    old.mutable()
    new.mutable()
    with (
        old.host() as old_number,
        new.host() as new_number,
        sandbox.resolve_entry(old_number, old_path) as source,
        sandbox.resolve_entry(new_number, new_path) as target,
    ):
        if source.is_dir or target.is_dir:
            source.is_dir = True
            _stat(source)
        os.rename(source.name, target.name, src_dir_fd=source.dir_fd, dst_dir_fd=target.dir_fd)


def symlink(text: bytes, directory: Directory, path: bytes) -> None:
    """Make a symbolic link, not to an absolute path."""
    directory.mutable()
    if text.startswith(b"/"):
        raise WasiError(Errno.PERM)
    with directory.host() as number, sandbox.resolve_entry(number, path) as place:
        if place.is_dir:
            _refuse_slash(place)
        os.symlink(text, place.name, dir_fd=place.dir_fd)


def unlink_file(directory: Directory, path: bytes) -> None:
    """Remove a name of anything but a directory."""
    with directory.mutable().host() as number, sandbox.resolve_entry(number, path) as place:
        if place.is_dir:
            _stat(place)
            raise WasiError(Errno.ISDIR)
        os.unlink(place.name, dir_fd=place.dir_fd)


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
