"""The same calls on Wasmark and on wasmtime: the same codes, the same results, the same files afterwards.

Where the two differ on purpose, the difference is listed here with its reason.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.wasi.conftest import populate
from tests.wasi.guest import (
    OUT,
    READ_WRITE,
    Face,
    Failed,
    Guest,
    Peer,
    clock_subscription,
    fd_subscription,
    quiet,
)
from wasmark.wasi import Preopen
from wasmark.wasi.abi import FdFlags, FileType, OFlags, Rights
from wasmark.wasi.descriptors import DIRECTORY_RIGHTS, PREOPEN_INHERITING, PREOPEN_RIGHTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytest.importorskip("wasmtime", reason="wasmtime, the peer of these tests, is not installed")

PATHS: list[str | bytes] = [
    "", ".", "./", "..", "/", "/file", "file", "file/", "file/.", "file/..", "file/x", "./file", "dir", "dir/", "dir/.",
    "dir/..", "dir/../..", "dir/../file", "dir//f", "dir/../../root/file", "empty", "empty/", "lfile", "lfile/",
    "lfile_slash", "ldir", "ldir/", "ldir/.", "ldir/..", "ldir/f", "ldir_slash", "ldot", "ldot/", "ldot/file", "lback",
    "dangling", "dangling/", "dangling/x", "loop", "loop/", "loop/x", "ping", "labs", "labs/x", "lout", "loutdir",
    "loutdir/", "loutdir/secret", "lup", "lup/root/file", "new", "new/", "nodir/new", "a\0b", b"\xff\xfe", "x" * 300,
    "a/" * 3000,
]  # fmt: skip

OPERATIONS: dict[str, Callable[[Face, str | bytes], object]] = {
    "stat": lambda face, path: face.stat(path)[2:5],
    "stat follow": lambda face, path: face.stat(path, follow=1)[2:5],
    "set times": lambda face, path: face.set_times(path, 5, 6, 5),
    "set times follow": lambda face, path: face.set_times(path, 5, 6, 5, follow=1),
    "readlink": lambda face, path: face.readlink(path),
    "mkdir": lambda face, path: face.mkdir(path),
    "rmdir": lambda face, path: face.rmdir(path),
    "unlink": lambda face, path: face.unlink(path),
    "symlink": lambda face, path: face.symlink("target", path),
    "symlink to": lambda face, path: face.symlink(path, "made"),
    "link": lambda face, path: face.link(path, "made"),
    "link as": lambda face, path: face.link("file", path),
    "rename": lambda face, path: face.rename(path, "made"),
    "rename to a slash": lambda face, path: face.rename(path, "made/"),
    "rename a file to": lambda face, path: face.rename("file", path),
    "rename a directory to": lambda face, path: face.rename("dir", path),
}
for _follow in (0, 1):
    for _name, _oflags in {
        "": 0,
        " directory": OFlags.DIRECTORY,
        " create": OFlags.CREAT,
        " exclusive": OFlags.CREAT | OFlags.EXCL,
        " truncate": OFlags.TRUNC,
    }.items():
        for _rights in (Rights.FD_READ, READ_WRITE):
            _key = f"open{_name}{' follow' * _follow}{' for writing' * (_rights == READ_WRITE)}"
            OPERATIONS[_key] = (
                lambda face, path, oflags=_oflags, rights=_rights, follow=_follow: face.filestat(  # type: ignore[misc]
                    face.open(path, oflags, rights, follow=follow)
                )[2:5]
            )

LINKS = {"lfile", "lfile_slash", "ldir", "ldir_slash", "ldot", "lback", "dangling", "loop", "ping", "labs", "lout",
         "loutdir", "lup"}  # fmt: skip
LINKS_WITH_SLASH = {"ldir/", "ldot/", "dangling/", "loop/", "loutdir/"}

DIFFERENT: list[tuple[str, set[str], set[str], set[tuple[str | None, str]]]] = [
    (
        "As on the host, a directory is removed also where a slash is behind its name.",
        {"rmdir"},
        {"dir/", "empty/"},
        {("NOTEMPTY", "INVAL"), (None, "INVAL")},
    ),
    (
        "As on the host, an entry to make or remove is never followed, also where a slash is behind its name.",
        {"rmdir", "unlink", "symlink", "link as"},
        LINKS_WITH_SLASH,
        {("NOTDIR", there) for there in ("INVAL", "NOENT", "LOOP", "PERM", "ISDIR", "EXIST")},
    ),
    (
        "As on the host, opening a link as a directory without following it fails because it is none.",
        {"open directory", "open directory for writing"},
        LINKS,
        {("NOTDIR", "LOOP")},
    ),
    (
        "Where a path leads matters before the slash behind it does.",
        {name for name in OPERATIONS if name.startswith(("open create", "open exclusive"))},
        {"loop/", "loutdir/"},
        {("LOOP", "ISDIR"), ("PERM", "ISDIR")},
    ),
    (
        "Two errors at once.",
        {"rename a file to", *(name for name in OPERATIONS if name.startswith("open exclusive"))},
        {"./"},
        {("NOTDIR", "BUSY"), ("ISDIR", "EXIST")},
    ),
]
"""Reason, operations, paths, and pairs of what happens here and there."""


def _different(operation: str, path: str | bytes, ours: object, theirs: object) -> bool:
    return any(
        operation in operations and path in paths and (ours, theirs) in pairs
        for _, operations, paths, pairs in DIFFERENT
    )


def attempt(face: Face, operation: Callable[[Face, str | bytes], object], path: str | bytes) -> object:
    """The result, or the name of the code."""
    try:
        return operation(face, path)
    except Failed as error:
        return error.code.name


def contents(root: Path) -> list[tuple[object, ...]]:
    """Everything in a directory, without what depends on when it was made."""
    found: list[tuple[object, ...]] = []
    for path in sorted(root.rglob("*")):
        link = os.readlink(path) if path.is_symlink() else None
        data = path.read_bytes() if link is None and path.is_file() else b""
        found.append((str(path.relative_to(root)), path.lstat().st_mode, path.lstat().st_nlink, link, data))
    return found


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_path_gives_the_same_answer_and_effect(tmp_path: Path, operation: str) -> None:
    unexpected = []
    for number, path in enumerate(PATHS):
        results = []
        for name in ("ours", "theirs"):
            root = tmp_path / f"{name}{number}" / "root"
            root.mkdir(parents=True)
            (root.parent / "outside").mkdir()
            (root.parent / "outside" / "secret").write_text("secret")
            populate(root)
            if name == "ours":
                with quiet(preopens=[Preopen(root, "/")]) as wasi:
                    answer = attempt(Guest(wasi), OPERATIONS[operation], path)
            else:
                answer = attempt(Peer(root), OPERATIONS[operation], path)
            results.append((answer, contents(root.parent)))
        (ours, our_files), (theirs, their_files) = results
        same = ours == theirs and our_files == their_files
        if not same and not _different(operation, path, ours, theirs):
            unexpected.append((path if len(path) < 40 else path[:5], ours, theirs))
    assert not unexpected


@pytest.fixture(params=["ours", "theirs"])
def face(request: pytest.FixtureRequest, root: Path, tmp_path: Path) -> Iterator[Face]:
    """A program on either; `root` is descriptor 3, and read-only descriptor 4."""
    if request.param == "theirs":
        yield Peer(root, root)
    else:
        preopens = [Preopen(root, "/"), Preopen(root, "/ro", readonly=True)]
        with quiet(preopens=preopens) as wasi:
            yield Guest(wasi)


# Each of the tests that follow runs on both.


def test_rights_are_those_of_the_other_engine(face: Face) -> None:
    for fd in (3, 4):
        assert face.fdstat(fd) == (FileType.DIRECTORY, 0, PREOPEN_RIGHTS, PREOPEN_INHERITING)
    rest = Rights.ALL & ~(Rights.FD_READ | Rights.FD_READDIR | Rights.FD_WRITE)
    reading = rest | Rights.FD_READ | Rights.FD_READDIR
    assert face.fdstat(face.open("file"))[2:] == (reading, reading)
    assert face.fdstat(face.open("file", 0, Rights.FD_WRITE))[2:] == (rest | Rights.FD_WRITE,) * 2
    assert face.fdstat(face.open("file", 0, READ_WRITE))[2:] == (Rights.ALL,) * 2
    for fd in (3, 4):
        assert face.fdstat(face.open("dir", fd=fd))[2:] == (DIRECTORY_RIGHTS, DIRECTORY_RIGHTS)


CODES: dict[str, tuple[str, Callable[[Face], object]]] = {
    "set the size of a file opened for reading": ("INVAL", lambda f: f.do("fd_filestat_set_size", f.open("file"), 5)),
    "set a negative size": ("INVAL", lambda f: f.do("fd_filestat_set_size", f.open("file", 0, READ_WRITE), -1)),
    "set the largest size": (
        "FBIG",
        lambda f: f.do("fd_filestat_set_size", f.open("file", 0, READ_WRITE), (1 << 63) - 1),
    ),
    "seek before the start": ("INVAL", lambda f: f.seek(f.open("file"), -1)),
    "seek before the start from here": ("INVAL", lambda f: f.seek(f.open("file"), -1, 1)),
    "seek before the start from the end": ("INVAL", lambda f: f.seek(f.open("file"), -6, 2)),
    "seek a directory": ("BADF", lambda f: f.seek(3, 0)),
    "seek a stream": ("SPIPE", lambda f: f.seek(1, 0)),
    "tell a stream": ("SPIPE", lambda f: f.tell(0)),
    "tell a directory": ("BADF", lambda f: f.tell(3)),
    "read at a negative offset": ("INVAL", lambda f: f.pread(f.open("file"), 1, -1)),
    "write at a negative offset": ("INVAL", lambda f: f.pwrite(f.open("file", 0, READ_WRITE), b"x", -1)),
    "read at an offset of input": ("SPIPE", lambda f: f.pread(0, 1, 0)),
    "read at an offset of output": ("BADF", lambda f: f.pread(1, 1, 0)),
    "write at an offset of input": ("BADF", lambda f: f.pwrite(0, b"", 0)),
    "write at an offset of output": ("SPIPE", lambda f: f.pwrite(1, b"", 0)),
    "read output": ("BADF", lambda f: f.read(1, 1)),
    "write input": ("BADF", lambda f: f.write(0, b"x")),
    "read a directory": ("BADF", lambda f: f.read(3, 1)),
    "write a directory": ("BADF", lambda f: f.write(3, b"x")),
    "read a file opened for writing": ("BADF", lambda f: f.read(f.open("file", 0, Rights.FD_WRITE), 1)),
    "write a file opened for reading": ("BADF", lambda f: f.write(f.open("file"), b"x")),
    "synchronise from now on": (
        "INVAL",
        lambda f: f.do("fd_fdstat_set_flags", f.open("file", 0, READ_WRITE), FdFlags.DSYNC),
    ),
    "set flags of a directory": ("BADF", lambda f: f.do("fd_fdstat_set_flags", 3, FdFlags.APPEND)),
    "set flags of a stream": ("BADF", lambda f: f.do("fd_fdstat_set_flags", 0, FdFlags.NONBLOCK)),
    "synchronise a stream": ("BADF", lambda f: f.do("fd_sync", 1)),
    "set times of a stream": ("BADF", lambda f: f.do("fd_filestat_set_times", 1, 0, 0, 5)),
    "set both a time and now": ("INVAL", lambda f: f.do("fd_filestat_set_times", f.open("file"), 0, 0, 3)),
    "allocate in a directory": ("BADF", lambda f: f.do("fd_allocate", 3, 0, 1)),
    "advise about a directory": ("BADF", lambda f: f.do("fd_advise", 3, 0, 1, 0)),
    "advise about a negative length": ("INVAL", lambda f: f.do("fd_advise", f.open("file"), 0, -1, 0)),
    "name of a file as a preopen": ("NOTDIR", lambda f: f.do("fd_prestat_dir_name", f.open("file"), OUT, 9)),
    "name of no descriptor": ("BADF", lambda f: f.do("fd_prestat_dir_name", 99, OUT, 9)),
    "name in too small a buffer": ("NAMETOOLONG", lambda f: f.do("fd_prestat_dir_name", 4, OUT, 2)),
    "preopen of a file": ("BADF", lambda f: f.do("fd_prestat_get", f.open("file"), OUT)),
    "open below a file": ("NOTDIR", lambda f: f.open("x", fd=f.open("file"))),
    "open below a stream": ("BADF", lambda f: f.open("x", fd=1)),
    "renumber to nothing": ("BADF", lambda f: f.do("fd_renumber", f.open("file"), 99)),
    "renumber nothing": ("BADF", lambda f: f.do("fd_renumber", 99, f.open("file"))),
    "shut down a directory": ("NOTSOCK", lambda f: f.do("sock_shutdown", 3, 1)),
    "shut down nothing": ("BADF", lambda f: f.do("sock_shutdown", 99, 1)),
    "poll nothing": ("INVAL", lambda f: f.poll()),
    "create a directory exclusively": ("INVAL", lambda f: f.open("new", OFlags.DIRECTORY | OFlags.CREAT)),
    "follow a link to make a link to its target": ("INVAL", lambda f: f.link("lfile", "new", follow=1)),
    "read-only: write": ("PERM", lambda f: f.open("file", 0, READ_WRITE, fd=4)),
    "read-only: create": ("PERM", lambda f: f.open("new", OFlags.CREAT, fd=4)),
    "read-only: truncate": ("PERM", lambda f: f.open("file", OFlags.TRUNC, fd=4)),
    "read-only: write what is not there": ("PERM", lambda f: f.open("no/where", 0, READ_WRITE, fd=4)),
    "read-only: make a directory": ("PERM", lambda f: f.mkdir("new", fd=4)),
    "read-only: remove a directory": ("PERM", lambda f: f.rmdir("empty", fd=4)),
    "read-only: unlink": ("PERM", lambda f: f.unlink("file", fd=4)),
    "read-only: symlink": ("PERM", lambda f: f.symlink("file", "new", fd=4)),
    "read-only: link from": ("PERM", lambda f: f.link("file", "new", fd=4)),
    "read-only: link to": ("PERM", lambda f: f.link("file", "new", new_fd=4)),
    "read-only: rename from": ("PERM", lambda f: f.rename("file", "new", fd=4)),
    "read-only: rename to": ("PERM", lambda f: f.rename("file", "new", new_fd=4)),
    "read-only: set times": ("PERM", lambda f: f.set_times("file", 0, 0, 5, fd=4)),
    "read-only: set times of a file": ("PERM", lambda f: f.do("fd_filestat_set_times", f.open("file", fd=4), 0, 0, 5)),
    "read-only: set size of a file": ("PERM", lambda f: f.do("fd_filestat_set_size", f.open("file", fd=4), 0)),
    "read-only: set times of the directory": ("PERM", lambda f: f.do("fd_filestat_set_times", 4, 0, 0, 5)),
}


@pytest.mark.parametrize("what", CODES)
def test_error_codes_are_those_of_the_other_engine(face: Face, what: str) -> None:
    code, call = CODES[what]
    with pytest.raises(Failed, match=f"^{code}$"):
        call(face)


def test_reading_and_writing(face: Face, root: Path) -> None:
    fd = face.open("new", OFlags.CREAT, READ_WRITE)
    assert face.write(fd, b"0123456789") == 10
    assert face.seek(fd, 4) == 4
    assert face.read(fd, 3) == b"456"
    assert face.pwrite(fd, b"ab", 1) == 2
    assert face.pread(fd, 20, 0) == b"0ab3456789"
    assert (face.tell(fd), face.seek(fd, -2, 2)) == (7, 8)
    face.do("fd_fdstat_set_flags", fd, FdFlags.APPEND)
    assert face.write(fd, b"!") == 1
    assert face.pwrite(fd, b"?", 0) == 1
    assert face.fdstat(fd).flags == FdFlags.APPEND
    face.do("fd_filestat_set_size", fd, 3)
    assert (root / "new").read_bytes() == b"0ab"
    assert face.filestat(fd).size == 3
    assert face.read(fd, 9) == b""


def test_a_listing_is_that_of_the_other_engine(face: Face, root: Path) -> None:
    entries = face.readdir(3, 80)
    assert entries == face.readdir(3, 4096)
    assert [(e.next, e.name) for e in entries[:2]] == [(1, b"."), (2, b"..")]
    assert [e.name for e in entries[2:]] == [os.fsencode(name) for name in os.listdir(root)]
    assert {e.name: e.filetype for e in entries}[b"ldir"] == FileType.SYMBOLIC_LINK
    raw = face.readdir_raw(3, 30)
    assert (len(raw), raw[:8], raw[16:20], raw[20:21]) == (30, b"\1" + bytes(7), b"\1\0\0\0", b"\3")
    assert face.readdir_raw(3, 4096, 1000) == b""


def test_standard_streams_look_as_in_the_other_engine(face: Face) -> None:
    for fd, right in ((0, Rights.FD_READ), (1, Rights.FD_WRITE), (2, Rights.FD_WRITE)):
        assert face.fdstat(fd) == (FileType.UNKNOWN, 0, right, right)
        assert face.filestat(fd) == (0,) * 8


def test_polling_files_and_clocks(face: Face) -> None:
    fd = face.open("file", 0, READ_WRITE)
    events = face.poll(fd_subscription(1, fd), fd_subscription(2, fd, write=True), clock_subscription(3, 10**10))
    assert {(event.userdata, event.error, event.type) for event in events} <= {(1, 0, 1), (2, 0, 2)}
    assert [event[:3] for event in face.poll(clock_subscription(3, 10**6))] == [(3, 0, 0)]
