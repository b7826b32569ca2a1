"""How a path becomes a directory descriptor and one name in it: the wall of the sandbox.

A path of the program is never handed to the host. It is taken apart here and walked one name at a time, from the
directory descriptor that it is relative to, with `openat(O_NOFOLLOW | O_DIRECTORY)`. Therefore

- the host never sees a slash, a `..` or a symbolic link to follow: those are dealt with by this file alone;
- `..` goes back to the descriptor that the walk came from, and above the first one there is nothing (`PERM`);
- a symbolic link is read and its text put in front of what is left of the path, at most `MAX_LINKS` times (`LOOP`);
  an absolute text, like an absolute path, is refused (`PERM`);
- who swaps a directory for a link during the walk gains nothing: a name is either opened as a directory, or read as a
  link.

What comes out, a `Place`, is a descriptor and a name without a slash. The operation on it must not follow a final link
(`O_NOFOLLOW`, `follow_symlinks=False`); `resolve` has already followed it where that was asked for.
"""

from __future__ import annotations

import errno
import os

from wasmark.wasi.abi import Errno, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Final

MAX_LINKS: Final = 40
"""Symbolic links expanded in one path, as on Linux."""
MAX_PATH: Final = 4096
"""Longest path in bytes, its end marker included, as on the host (`PATH_MAX`)."""
MAX_DEPTH: Final = 256
"""Directories that one path may be inside of at once: each holds a host descriptor while the path is walked."""

_INTERMEDIATE: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Place:
    """The end of a walk: `name` (one component, perhaps `.`) in the directory `dir_fd`.

    A context manager, because it owns the descriptors on the way there. `is_dir` is set when the path ended in a slash,
    so that only a directory will do.
    """

    __slots__ = ("_opened", "dir_fd", "is_dir", "name")

    def __init__(self, base: int, path: bytes, *, follow: bool, follow_slash: bool) -> None:
        self._opened: list[int] = []
        self.dir_fd = base
        self.name = b"."
        self.is_dir = path.endswith(b"/")
        try:
            self._walk(base, path, follow or (follow_slash and self.is_dir))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Place:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the directories that the walk opened."""
        while self._opened:
            os.close(self._opened.pop())

    def _walk(self, base: int, path: bytes, follow: bool) -> None:
        opened = self._opened
        pending = _components(path)
        links = 0
        while True:
            name = pending.pop()
            current = opened[-1] if opened else base
            if name == b"..":
                if not opened:
                    raise WasiError(Errno.PERM)
                os.close(opened.pop())
                name = b"."
                current = opened[-1] if opened else base
            if name == b".":
                if pending:
                    continue
                break
            if pending:
                target = self._enter(current, name)
            elif follow:
                target = _link_text(current, name)
                if target is None:
                    break
            else:
                break
            if target is None:
                continue
            links += 1
            if links > MAX_LINKS:
                raise WasiError(Errno.LOOP)
            if not pending and target.endswith(b"/"):
                self.is_dir = True
            pending += _components(target)
        self.dir_fd = current
        self.name = name

    def _enter(self, current: int, name: bytes) -> bytes | None:
        """Step into the directory `name`, or return the text of the link of that name."""
        try:
            fd = os.open(name, _INTERMEDIATE, dir_fd=current)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            target = _link_text(current, name)
            if target is None:
                raise WasiError(Errno.NOTDIR) from None
            return target
        self._opened.append(fd)
        if len(self._opened) > MAX_DEPTH:
            raise WasiError(Errno.NAMETOOLONG)
        return None


def resolve(base: int, path: bytes, *, follow: bool) -> Place:
    """The place of what `path` names, relative to the directory descriptor `base`.

    With `follow`, or when the path ends in a slash, a final symbolic link is followed. Whether the place is occupied
    is not known. Raises `WasiError` and `OSError`.
    """
    return Place(base, path, follow=follow, follow_slash=True)


def resolve_entry(base: int, path: bytes) -> Place:
    """The place of the directory entry `path` itself, to make, remove or rename; a final link is never followed."""
    return Place(base, path, follow=False, follow_slash=False)


def check_path(path: bytes) -> bytes:
    """A path as a program gives it, if it is valid UTF-8 without NUL and shorter than `MAX_PATH`; it may be empty,
    relative or absolute."""
    if len(path) >= MAX_PATH:
        raise WasiError(Errno.NAMETOOLONG)
    if b"\0" in path:
        raise WasiError(Errno.INVAL)
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        raise WasiError(Errno.ILSEQ) from None
    return path


def _components(path: bytes) -> list[bytes]:
    """The names in a relative path, last one first."""
    if path.startswith(b"/"):
        raise WasiError(Errno.PERM)
    names = [name for name in path.split(b"/") if name]
    if not names:
        raise WasiError(Errno.NOENT)
    names.reverse()
    return names


def _link_text(current: int, name: bytes) -> bytes | None:
    """The text of the symbolic link `name`, or None if that is something else or nothing."""
    try:
        return os.readlink(name, dir_fd=current)
    except OSError as error:
        if error.errno in (errno.EINVAL, errno.ENOENT):
            return None
        raise
