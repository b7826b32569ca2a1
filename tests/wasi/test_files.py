"""Open files: how they are opened, read, written, measured and dated."""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from tests.wasi.guest import DATA, OUT, READ_WRITE, Failed, Guest, quiet
from wasmark.wasi import Clocks, Errno, Preopen
from wasmark.wasi.abi import FdFlags, FileType, FstFlags, OFlags, Rights
from wasmark.wasi.descriptors import File
from wasmark.wasi.memory import MAX_IOVECS

if TYPE_CHECKING:
    from pathlib import Path

MAX_U64 = (1 << 64) - 1


def test_reading_moves_on_and_ends_with_nothing(guest: Guest) -> None:
    fd = guest.open("file")
    assert guest.read(fd, 2) == b"he"
    assert guest.read(fd, 10) == b"llo"
    assert guest.read(fd, 10) == b""
    assert guest.tell(fd) == 5


def test_reading_fills_several_buffers_in_order(guest: Guest) -> None:
    fd = guest.open("file")
    assert guest.read(fd, 1, 0, 2, 10) == b"hello"
    assert guest.read(fd) == b""


def test_writing_gathers_several_buffers(guest: Guest, root: Path) -> None:
    fd = guest.open("new", OFlags.CREAT, READ_WRITE)
    guest.put(DATA, b"abcdef")
    guest.do("fd_write", fd, *guest.iovecs(1, 0, 2, 3), OUT)
    assert guest.u32() == 6
    assert (root / "new").read_bytes() == b"abcdef"
    guest.do("fd_write", fd, OUT, 0, OUT)
    assert guest.u32() == 0


def test_more_buffers_than_the_host_takes_are_refused(guest: Guest) -> None:
    fd = guest.open("file")
    guest.put(0x4000, struct.pack("<II", DATA, 1) * MAX_IOVECS)
    guest.do("fd_read", fd, 0x4000, MAX_IOVECS, OUT)
    assert guest.u32() == 5
    assert guest.call("fd_read", fd, 0x4000, MAX_IOVECS + 1, OUT) == Errno.INVAL


def test_positioned_reads_and_writes_leave_the_position_alone(guest: Guest, root: Path) -> None:
    fd = guest.open("file", 0, READ_WRITE)
    assert guest.read(fd, 1) == b"h"
    assert guest.pread(fd, 3, 2) == b"llo"
    assert guest.pwrite(fd, b"LL", 2) == 2
    assert guest.tell(fd) == 1
    assert guest.pread(fd, 3, 100) == b""
    assert (root / "file").read_text() == "heLLo"
    for call in (lambda: guest.pread(fd, 1, -1), lambda: guest.pwrite(fd, b"x", 1 << 63)):
        with pytest.raises(Failed, match="INVAL"):
            call()


@pytest.mark.parametrize(
    ("offset", "whence", "result"), [(3, 0, 3), (2, 1, 4), (-1, 1, 1), (0, 2, 5), (-5, 2, 0), (10, 2, 15)]
)
def test_seeking_goes_where_it_says(guest: Guest, offset: int, whence: int, result: int) -> None:
    fd = guest.open("file")
    guest.read(fd, 2)
    assert guest.seek(fd, offset, whence) == result
    assert guest.tell(fd) == result


@pytest.mark.parametrize(("offset", "whence"), [(-1, 0), (-3, 1), (-6, 2), (0, 3), (0, 255), (0, -1)])
def test_seeking_before_the_beginning_is_an_error(guest: Guest, offset: int, whence: int) -> None:
    fd = guest.open("file")
    guest.read(fd, 2)
    with pytest.raises(Failed, match="INVAL"):
        guest.seek(fd, offset, whence)
    assert guest.tell(fd) == 2


@pytest.mark.parametrize(
    ("rights", "readable", "writable"),
    [
        (0, True, False),
        (Rights.FD_READ, True, False),
        (Rights.FD_WRITE, False, True),
        (READ_WRITE, True, True),
        (MAX_U64, True, True),
    ],
)
@pytest.mark.parametrize("oflags", [0, OFlags.CREAT, OFlags.TRUNC])
def test_the_rights_asked_for_say_how_a_file_is_opened(
    guest: Guest, rights: int, readable: bool, writable: bool, oflags: int
) -> None:
    fd = guest.open("file", oflags, rights)
    granted = guest.fdstat(fd).base
    assert bool(granted & Rights.FD_READ) == readable
    assert bool(granted & Rights.FD_WRITE) == writable
    contents = b"" if oflags & OFlags.TRUNC else b"hello"
    if readable:
        assert guest.read(fd, 9) == contents
        assert guest.pread(fd, 9, 0) == contents
    else:
        assert guest.call("fd_read", fd, *guest.iovecs(1), OUT) == Errno.BADF
        assert guest.call("fd_pread", fd, *guest.iovecs(1), 0, OUT) == Errno.BADF
    if writable:
        assert guest.write(fd, b"x") == 1
        guest.do("fd_filestat_set_size", fd, 3)
        guest.do("fd_allocate", fd, 0, 4)
    else:
        assert guest.call("fd_write", fd, *guest.iovecs(1), OUT) == Errno.BADF
        assert guest.call("fd_pwrite", fd, *guest.iovecs(1), 0, OUT) == Errno.BADF
        assert guest.call("fd_filestat_set_size", fd, 3) == Errno.INVAL
        assert guest.call("fd_allocate", fd, 0, 4) == Errno.BADF


def test_a_file_that_is_created_has_the_usual_mode(guest: Guest, root: Path) -> None:
    mask = os.umask(0o027)
    try:
        guest.close(guest.open("new", OFlags.CREAT, 0))
    finally:
        os.umask(mask)
    assert stat.S_IMODE((root / "new").stat().st_mode) == 0o640
    guest.close(guest.open("new", OFlags.CREAT, 0))
    with pytest.raises(Failed, match="EXIST"):
        guest.open("new", OFlags.CREAT | OFlags.EXCL, 0)
    guest.close(guest.open("other", OFlags.CREAT | OFlags.EXCL, READ_WRITE))
    guest.close(guest.open("dangling", OFlags.CREAT, READ_WRITE))
    assert (root / "nowhere").exists()


def test_creating_exclusively_does_not_follow_a_link(guest: Guest, root: Path) -> None:
    with pytest.raises(Failed, match="EXIST"):
        guest.open("dangling", OFlags.CREAT | OFlags.EXCL)
    assert not (root / "nowhere").exists()


def test_creating_where_a_directory_is_asked_for_is_refused(guest: Guest, root: Path) -> None:
    with pytest.raises(Failed, match="ISDIR"):
        guest.open("new/", OFlags.CREAT)
    for extra in (OFlags.CREAT, OFlags.EXCL, OFlags.TRUNC):
        with pytest.raises(Failed, match="INVAL"):
            guest.open("new", OFlags.DIRECTORY | extra)
    assert not (root / "new").exists()


def test_a_file_that_is_opened_for_it_is_truncated(guest: Guest, root: Path) -> None:
    guest.close(guest.open("file", OFlags.TRUNC, READ_WRITE))
    assert (root / "file").read_bytes() == b""


@pytest.mark.parametrize(
    ("path", "oflags", "rights", "follow", "code"),
    [
        ("nothing", 0, 0, 1, "NOENT"),
        ("file", OFlags.DIRECTORY, 0, 1, "NOTDIR"),
        ("lfile", OFlags.DIRECTORY, 0, 1, "NOTDIR"),
        ("dir", 0, Rights.FD_WRITE, 1, "ISDIR"),
        ("dir", OFlags.CREAT, 0, 1, "ISDIR"),
        ("dir", OFlags.TRUNC, 0, 1, "ISDIR"),
        ("lfile", 0, 0, 0, "LOOP"),
        ("ldir", 0, 0, 0, "LOOP"),
        ("file", 16, 0, 1, "INVAL"),
        ("file", 1 << 16, 0, 1, "INVAL"),
        ("file", 0, 0, 2, "INVAL"),
    ],
)
def test_what_cannot_be_opened(guest: Guest, path: str, oflags: int, rights: int, follow: int, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.open(path, oflags, rights, follow=follow)


def test_a_link_to_a_directory_is_not_opened_as_one_unless_followed(guest: Guest) -> None:
    with pytest.raises(Failed, match=r"LOOP|NOTDIR"):
        guest.open("ldir", OFlags.DIRECTORY, follow=0)
    assert guest.fdstat(guest.open("ldir", OFlags.DIRECTORY)).filetype == FileType.DIRECTORY
    assert guest.fdstat(guest.open("ldir/", OFlags.DIRECTORY, follow=0)).filetype == FileType.DIRECTORY


def test_appending_goes_to_the_end_wherever_the_position_is(guest: Guest, root: Path) -> None:
    fd = guest.open("file", 0, READ_WRITE, flags=FdFlags.APPEND)
    assert guest.fdstat(fd).flags == FdFlags.APPEND
    guest.write(fd, b" world")
    guest.seek(fd, 0)
    guest.write(fd, b"!")
    assert (root / "file").read_text() == "hello world!"
    guest.do("fd_fdstat_set_flags", fd, 0)
    assert guest.fdstat(fd).flags == 0
    guest.seek(fd, 0)
    guest.write(fd, b"J")
    guest.do("fd_fdstat_set_flags", fd, FdFlags.APPEND)
    guest.write(fd, b"?")
    assert (root / "file").read_text() == "Jello world!?"


@pytest.mark.parametrize("flag", [FdFlags.DSYNC, FdFlags.RSYNC, FdFlags.SYNC])
def test_synchronised_files_stay_so(guest: Guest, root: Path, flag: int) -> None:
    fd = guest.open("file", 0, READ_WRITE, flags=flag)
    host = os.open(root / "file", os.O_RDONLY)
    os.close(host)
    assert guest.fdstat(fd).flags == flag
    guest.write(fd, b"J")
    guest.do("fd_fdstat_set_flags", fd, FdFlags.APPEND | flag)
    guest.do("fd_fdstat_set_flags", fd, FdFlags.APPEND)
    assert guest.fdstat(fd).flags == FdFlags.APPEND | flag
    plain = guest.open("file", 0, READ_WRITE)
    with pytest.raises(Failed, match="INVAL"):
        guest.do("fd_fdstat_set_flags", plain, flag)
    with pytest.raises(Failed, match="INVAL"):
        guest.do("fd_fdstat_set_flags", plain, 32)


def test_flags_of_the_program_reach_the_host(guest: Guest) -> None:
    import fcntl

    fd = guest.open("file", 0, READ_WRITE, flags=FdFlags.ALL)
    descriptor = guest.wasi._table.get(fd)
    assert isinstance(descriptor, File)
    with descriptor.host() as number:
        status = fcntl.fcntl(number, fcntl.F_GETFL)
        for bit in (os.O_APPEND, os.O_NONBLOCK, os.O_DSYNC, os.O_SYNC):
            assert status & bit == bit
        assert not os.get_inheritable(number)
        guest.do("fd_fdstat_set_flags", fd, 0)
        assert not fcntl.fcntl(number, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK)


def test_a_pipe_without_a_writer_can_be_opened_without_blocking(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "pipe")
    reader = guest.open("pipe", 0, Rights.FD_READ, flags=FdFlags.NONBLOCK)
    assert guest.fdstat(reader).filetype == FileType.UNKNOWN
    assert guest.read(reader, 9) == b""
    writer = guest.open("pipe", 0, Rights.FD_WRITE, flags=FdFlags.NONBLOCK)
    with pytest.raises(Failed, match="AGAIN"):
        guest.read(reader, 9)
    guest.write(writer, b"through")
    assert guest.read(reader, 9) == b"through"
    with pytest.raises(Failed, match="SPIPE"):
        guest.seek(reader, 0)
    with pytest.raises(Failed, match="SPIPE"):
        guest.pread(reader, 1, 0)


def test_the_attributes_of_a_file_are_those_of_the_host(guest: Guest, root: Path) -> None:
    os.utime(root / "file", ns=(1_000_000_001, 2_000_000_002))
    host = (root / "file").stat()
    fd = guest.open("file")
    for found in (guest.filestat(fd), guest.stat("file"), guest.stat("lfile", follow=1)):
        assert found == (host.st_dev, host.st_ino, 4, 1, 5, 1_000_000_001, 2_000_000_002, host.st_ctime_ns)


@pytest.mark.parametrize(
    ("path", "filetype"), [("file", 4), ("dir", 3), ("lfile", 7), ("dangling", 7), ("pipe", 0), ("socket", 6)]
)
def test_a_descriptor_knows_its_kind_of_file(
    guest: Guest, root: Path, path: str, filetype: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    os.mkfifo(root / "pipe")
    monkeypatch.chdir(root)  # a socket's path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        assert guest.stat(path).filetype == filetype
        names = {entry.name: entry.filetype for entry in guest.readdir(3)}
        assert names[path.encode()] == filetype


def test_times_out_of_range_are_clipped(guest: Guest, root: Path) -> None:
    os.utime(root / "file", ns=(-5_000_000_000, -1))
    found = guest.stat("file")
    assert (found.atim, found.mtim) == (0, 0)


@pytest.mark.parametrize("follow", [0, 1])
@pytest.mark.parametrize("path", ["file", "lfile", "dir"])
def test_setting_times_by_path(guest: Guest, path: str, follow: int) -> None:
    before = guest.stat(path, follow=follow)
    guest.set_times(path, 1_000_000_003, 7, FstFlags.ATIM, follow=follow)
    after = guest.stat(path, follow=follow)
    assert (after.atim, after.mtim) == (1_000_000_003, before.mtim)
    guest.set_times(path, 5, 2_000_000_007, FstFlags.MTIM, follow=follow)
    after = guest.stat(path, follow=follow)
    assert (after.atim, after.mtim) == (1_000_000_003, 2_000_000_007)
    if path == "lfile":
        assert guest.stat(path, follow=1 - follow).mtim != 2_000_000_007


def test_setting_times_to_now_asks_the_programs_clock(root: Path) -> None:
    with quiet(preopens=[Preopen(root, "/")], clocks=Clocks(realtime=lambda: 1_234_567_890_000_000_001)) as wasi:
        guest = Guest(wasi)
        guest.set_times("file", 0, 0, FstFlags.ATIM_NOW | FstFlags.MTIM_NOW)
        found = guest.stat("file")
        assert (found.atim, found.mtim) == (1_234_567_890_000_000_001,) * 2
        fd = guest.open("file")
        guest.do("fd_filestat_set_times", fd, 5, 0, FstFlags.ATIM | FstFlags.MTIM_NOW)
        found = guest.filestat(fd)
        assert (found.atim, found.mtim) == (5, 1_234_567_890_000_000_001)


def test_setting_times_of_open_files_and_directories(guest: Guest) -> None:
    for fd in (guest.open("file"), guest.open("dir", OFlags.DIRECTORY), 3):
        guest.do("fd_filestat_set_times", fd, 11, 12, FstFlags.ATIM | FstFlags.MTIM)
        found = guest.filestat(fd)
        assert (found.atim, found.mtim) == (11, 12)
        guest.do("fd_filestat_set_times", fd, 11, 12, 0)


@pytest.mark.parametrize("flags", [3, 12, 15, 16, -1])
def test_contradictory_times_are_refused(guest: Guest, flags: int) -> None:
    before = guest.stat("file")
    fd = guest.open("file")
    assert guest.call("fd_filestat_set_times", fd, 1, 1, flags) == Errno.INVAL
    with pytest.raises(Failed, match="INVAL"):
        guest.set_times("file", 1, 1, flags)
    assert guest.stat("file") == before


def test_the_largest_times_are_an_answer_of_the_host(guest: Guest) -> None:
    code = guest.call("path_filestat_set_times", 3, 0, *guest.text("file"), -1, -1, FstFlags.ATIM | FstFlags.MTIM)
    assert code in (Errno.SUCCESS, Errno.INVAL, Errno.OVERFLOW)


def test_changing_the_size(guest: Guest, root: Path) -> None:
    fd = guest.open("file", 0, READ_WRITE)
    guest.do("fd_filestat_set_size", fd, 7)
    assert (root / "file").read_bytes() == b"hello\0\0"
    guest.do("fd_filestat_set_size", fd, 1)
    assert (root / "file").read_bytes() == b"h"
    assert guest.call("fd_filestat_set_size", fd, -1) == Errno.INVAL
    assert guest.call("fd_filestat_set_size", fd, (1 << 63) - 1) in (Errno.FBIG, Errno.INVAL)


def test_allocating_makes_files_longer_and_never_shorter(guest: Guest, root: Path) -> None:
    fd = guest.open("file", 0, READ_WRITE)
    guest.do("fd_allocate", fd, 0, 100)
    assert (root / "file").stat().st_size == 100
    guest.do("fd_allocate", fd, 10, 10)
    assert (root / "file").stat().st_size == 100
    guest.do("fd_allocate", fd, 90, 20)
    assert (root / "file").stat().st_size == 110
    assert guest.call("fd_allocate", fd, 0, 0) == Errno.INVAL
    assert guest.call("fd_allocate", fd, -1, 1) == Errno.INVAL
    assert guest.call("fd_allocate", fd, 0, 1 << 62) == Errno.NOSPC
    assert guest.call("fd_allocate", fd, 0, -1) == Errno.NOSPC


@pytest.mark.parametrize("advice", range(6))
def test_advice_is_taken(guest: Guest, advice: int) -> None:
    guest.do("fd_advise", guest.open("file"), 0, 5, advice)


def test_strange_advice_is_refused(guest: Guest) -> None:
    fd = guest.open("file")
    assert guest.call("fd_advise", fd, 0, 5, 6) == Errno.INVAL
    assert guest.call("fd_advise", fd, 0, 5, -1) == Errno.INVAL
    assert guest.call("fd_advise", fd, -1, 5, 0) == Errno.INVAL


def test_files_and_directories_can_be_synchronised(guest: Guest) -> None:
    for fd in (guest.open("file", 0, READ_WRITE), guest.open("file"), guest.open("dir", OFlags.DIRECTORY), 3):
        guest.do("fd_sync", fd)
        guest.do("fd_datasync", fd)


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("fd_read", (OUT, 0, OUT)),
        ("fd_write", (OUT, 0, OUT)),
        ("fd_pread", (OUT, 0, 0, OUT)),
        ("fd_pwrite", (OUT, 0, 0, OUT)),
        ("fd_seek", (0, 0, OUT)),
        ("fd_tell", (OUT,)),
        ("fd_allocate", (0, 1)),
        ("fd_advise", (0, 1, 0)),
        ("fd_filestat_set_size", (0,)),
        ("fd_fdstat_set_flags", (0,)),
    ],
)
def test_a_directory_is_no_file(guest: Guest, name: str, args: tuple[int, ...]) -> None:
    assert guest.call(name, 3, *args) == Errno.BADF


def test_a_file_is_no_directory(guest: Guest) -> None:
    fd = guest.open("file")
    for call in (
        lambda: guest.open("x", fd=fd),
        lambda: guest.stat("x", fd=fd),
        lambda: guest.mkdir("x", fd=fd),
        lambda: guest.readdir(fd),
    ):
        with pytest.raises(Failed, match="NOTDIR"):
            call()


def test_a_file_that_was_removed_can_still_be_used(guest: Guest) -> None:
    fd = guest.open("file", 0, READ_WRITE)
    guest.unlink("file")
    assert guest.read(fd, 9) == b"hello"
    assert guest.filestat(fd).nlink == 0


def test_a_transfer_of_megabytes_in_one_call(root: Path) -> None:
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        guest = Guest(wasi, size=8 << 20)
        data = os.urandom(5 << 20)
        fd = guest.open("big", OFlags.CREAT, READ_WRITE)
        assert guest.write(fd, data) == len(data)
        guest.seek(fd, 0)
        assert guest.read(fd, 3 << 20, 3 << 20) == data
