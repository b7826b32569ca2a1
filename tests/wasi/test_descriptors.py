"""Descriptor numbers: what they stand for, who closes them and when, and the rights that go with them."""

from __future__ import annotations

import gc
import os
import threading
from typing import TYPE_CHECKING

import pytest

from tests.wasi.conftest import host_descriptors
from tests.wasi.guest import OUT, READ_WRITE, Failed, Guest, quiet
from wasmark.wasi import Capture, Errno, Preopen, Wasi
from wasmark.wasi.abi import FileType, OFlags, Rights, WasiError
from wasmark.wasi.descriptors import HostFd

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

STDIO = (0, 1, 2)

ON_A_DESCRIPTOR: dict[str, Callable[[Guest, int], int]] = {
    "fd_advise": lambda guest, fd: guest.call("fd_advise", fd, 0, 0, 0),
    "fd_allocate": lambda guest, fd: guest.call("fd_allocate", fd, 0, 1),
    "fd_close": lambda guest, fd: guest.call("fd_close", fd),
    "fd_datasync": lambda guest, fd: guest.call("fd_datasync", fd),
    "fd_fdstat_get": lambda guest, fd: guest.call("fd_fdstat_get", fd, OUT),
    "fd_fdstat_set_flags": lambda guest, fd: guest.call("fd_fdstat_set_flags", fd, 0),
    "fd_fdstat_set_rights": lambda guest, fd: guest.call("fd_fdstat_set_rights", fd, 0, 0),
    "fd_filestat_get": lambda guest, fd: guest.call("fd_filestat_get", fd, OUT),
    "fd_filestat_set_size": lambda guest, fd: guest.call("fd_filestat_set_size", fd, 0),
    "fd_filestat_set_times": lambda guest, fd: guest.call("fd_filestat_set_times", fd, 0, 0, 5),
    "fd_pread": lambda guest, fd: guest.call("fd_pread", fd, OUT, 0, 0, OUT),
    "fd_prestat_dir_name": lambda guest, fd: guest.call("fd_prestat_dir_name", fd, OUT, 9),
    "fd_prestat_get": lambda guest, fd: guest.call("fd_prestat_get", fd, OUT),
    "fd_pwrite": lambda guest, fd: guest.call("fd_pwrite", fd, OUT, 0, 0, OUT),
    "fd_read": lambda guest, fd: guest.call("fd_read", fd, OUT, 0, OUT),
    "fd_readdir": lambda guest, fd: guest.call("fd_readdir", fd, OUT, 9, 0, OUT),
    "fd_renumber": lambda guest, fd: guest.call("fd_renumber", fd, 0),
    "fd_renumber to": lambda guest, fd: guest.call("fd_renumber", 0, fd),
    "fd_seek": lambda guest, fd: guest.call("fd_seek", fd, 0, 0, OUT),
    "fd_sync": lambda guest, fd: guest.call("fd_sync", fd),
    "fd_tell": lambda guest, fd: guest.call("fd_tell", fd, OUT),
    "fd_write": lambda guest, fd: guest.call("fd_write", fd, OUT, 0, OUT),
    "path_create_directory": lambda guest, fd: guest.call("path_create_directory", fd, *guest.text("x")),
    "path_filestat_get": lambda guest, fd: guest.call("path_filestat_get", fd, 0, *guest.text("x"), OUT),
    "path_filestat_set_times": lambda guest, fd: guest.call(
        "path_filestat_set_times", fd, 0, *guest.text("x"), 0, 0, 5
    ),
    "path_link": lambda guest, fd: guest.call("path_link", fd, 0, *guest.text("x"), 3, *guest.text("x")),
    "path_link to": lambda guest, fd: guest.call("path_link", 3, 0, *guest.text("x"), fd, *guest.text("x")),
    "path_open": lambda guest, fd: guest.call("path_open", fd, 0, *guest.text("x"), 0, 0, 0, 0, OUT),
    "path_readlink": lambda guest, fd: guest.call("path_readlink", fd, *guest.text("x"), OUT, 9, OUT),
    "path_remove_directory": lambda guest, fd: guest.call("path_remove_directory", fd, *guest.text("x")),
    "path_rename": lambda guest, fd: guest.call("path_rename", fd, *guest.text("x"), 3, *guest.text("x")),
    "path_rename to": lambda guest, fd: guest.call("path_rename", 3, *guest.text("x"), fd, *guest.text("x")),
    "path_symlink": lambda guest, fd: guest.call("path_symlink", *guest.text("x"), fd, *guest.text("x")),
    "path_unlink_file": lambda guest, fd: guest.call("path_unlink_file", fd, *guest.text("x")),
    "sock_accept": lambda guest, fd: guest.call("sock_accept", fd, 0, OUT),
    "sock_recv": lambda guest, fd: guest.call("sock_recv", fd, OUT, 0, 0, OUT, OUT),
    "sock_send": lambda guest, fd: guest.call("sock_send", fd, OUT, 0, 0, OUT),
    "sock_shutdown": lambda guest, fd: guest.call("sock_shutdown", fd, 0),
}


@pytest.mark.parametrize("name", ON_A_DESCRIPTOR)
def test_a_descriptor_that_is_not_there_is_a_bad_one(guest: Guest, name: str) -> None:
    closed = guest.open("file")
    guest.close(closed)
    for fd in (closed, 4, 99, -1, 1 << 31):
        assert ON_A_DESCRIPTOR[name](guest, fd) == Errno.BADF


@pytest.mark.parametrize("name", [name for name in ON_A_DESCRIPTOR if name.startswith("path_")])
@pytest.mark.parametrize("fd", STDIO)
def test_a_stream_is_no_directory(guest: Guest, name: str, fd: int) -> None:
    assert ON_A_DESCRIPTOR[name](guest, fd) == Errno.BADF


@pytest.mark.parametrize("name", ["sock_accept", "sock_recv", "sock_send", "sock_shutdown"])
@pytest.mark.parametrize("fd", [*STDIO, 3])
def test_nothing_that_a_program_has_is_a_socket(guest: Guest, name: str, fd: int) -> None:
    assert ON_A_DESCRIPTOR[name](guest, fd) == Errno.NOTSOCK


def test_the_lowest_free_number_is_given_out(guest: Guest) -> None:
    assert [guest.open("file") for _ in range(4)] == [4, 5, 6, 7]
    for fd in (6, 4):
        guest.close(fd)
    assert [guest.open("file") for _ in range(3)] == [4, 6, 8]
    guest.close(0)
    assert guest.open("file") == 0


def test_renumbering_replaces_and_frees(guest: Guest) -> None:
    first = guest.open("file")
    second = guest.open("dir/f")
    guest.do("fd_renumber", first, second)
    assert guest.read(second, 9) == b"hello"
    assert guest.call("fd_close", first) == Errno.BADF
    assert guest.open("file") == first
    guest.do("fd_renumber", second, second)
    assert guest.tell(second) == 5
    for fd, to in ((second, 99), (99, second)):
        assert guest.call("fd_renumber", fd, to) == Errno.BADF


def test_a_preopen_can_be_renumbered_and_closed(guest: Guest) -> None:
    fd = guest.open("file")
    guest.do("fd_renumber", 3, fd)
    guest.do("fd_prestat_get", fd, OUT)
    assert guest.stat("file", fd=fd).size == 5
    assert guest.call("fd_prestat_get", 3, OUT) == Errno.BADF
    guest.close(fd)
    assert guest.call("fd_prestat_get", fd, OUT) == Errno.BADF


def test_streams_can_be_replaced_by_files(guest: Guest, root: Path) -> None:
    fd = guest.open("log", OFlags.CREAT, READ_WRITE)
    guest.do("fd_renumber", fd, 1)
    guest.write(1, b"to the file")
    assert (root / "log").read_text() == "to the file"


def test_the_table_has_a_limit(root: Path) -> None:
    before = host_descriptors(collect=True)
    with quiet(preopens=[Preopen(root, "/")], max_descriptors=6) as wasi:
        guest = Guest(wasi)
        opened = [guest.open("file") for _ in range(2)]
        for _ in range(3):
            with pytest.raises(Failed, match="MFILE"):
                guest.open("made", OFlags.CREAT)
        assert not (root / "made").exists()
        guest.close(opened[0])
        guest.open("file")
    assert host_descriptors() == before
    with pytest.raises(ValueError, match="max_descriptors"):
        quiet(preopens=[Preopen(root, "/")], max_descriptors=3)


def test_closing_closes_everything(root: Path) -> None:
    before = host_descriptors(collect=True)
    wasi = quiet(preopens=[Preopen(root, "/"), Preopen(root / "dir", "/dir")])
    guest = Guest(wasi)
    for _ in range(20):
        guest.open("file")
        guest.open("dir", OFlags.DIRECTORY)
    assert len(host_descriptors()) == len(before) + 42
    wasi.close()
    assert host_descriptors() == before
    wasi.close()
    for fd in range(50):
        assert guest.call("fd_close", fd) == Errno.BADF
    assert guest.call("path_open", 3, 0, *guest.text("file"), 0, 0, 0, 0, OUT) == Errno.BADF


def test_leaving_the_block_closes_everything(root: Path) -> None:
    before = host_descriptors(collect=True)
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        Guest(wasi).open("file")
        assert host_descriptors() != before
    assert host_descriptors() == before


def test_the_collector_closes_what_was_forgotten(root: Path) -> None:
    before = host_descriptors(collect=True)
    guest = Guest(quiet(preopens=[Preopen(root, "/")]))
    guest.open("file")
    functions = guest.functions
    del guest
    gc.collect()
    assert len(host_descriptors()) == len(before) + 2, "the functions alone keep the world open"
    del functions
    gc.collect()
    assert host_descriptors() == before


def test_a_preopen_that_is_none_fails_and_leaves_nothing_open(root: Path) -> None:
    before = host_descriptors(collect=True)
    for bad in (root / "nothing", root / "file"):
        with pytest.raises(OSError, match=r"nothing|file"):
            quiet(preopens=[Preopen(root, "/"), Preopen(bad, "/bad")])
    with pytest.raises(ValueError, match="NUL"):
        quiet(preopens=[Preopen(root, "/"), Preopen(root, "/a\0b")])
    with pytest.raises(TypeError, match="Preopen objects"):
        quiet(preopens=[str(root)])
    assert host_descriptors() == before


def test_descriptors_of_the_process_stay_open() -> None:
    before = host_descriptors(collect=True)
    with Wasi() as wasi:
        guest = Guest(wasi)
        for fd in STDIO:
            guest.close(fd)
    Wasi().close()
    assert host_descriptors() == before


def test_descriptors_are_not_inherited_by_other_programs(root: Path) -> None:
    before = host_descriptors(collect=True)
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        Guest(wasi).open("file")
        for entry in host_descriptors() - before:
            assert not os.get_inheritable(int(entry.split()[0]))


def test_a_host_descriptor_in_use_is_closed_when_its_last_user_is_done(tmp_path: Path) -> None:
    number = os.open(tmp_path, os.O_RDONLY)
    host = HostFd(number)
    with host:
        with host:
            host.close()
            host.close()
            os.fstat(number)
        os.fstat(number)
        with pytest.raises(WasiError), host:
            pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(number)


def test_a_descriptor_closed_while_another_thread_reads_from_it_is_not_reused_under_its_feet(root: Path) -> None:
    os.mkfifo(root / "pipe")
    keep = os.open(root / "pipe", os.O_RDWR)
    try:
        with quiet(preopens=[Preopen(root, "/")]) as wasi:
            guest = Guest(wasi)
            fd = guest.open("pipe")
            host = wasi._table.get(fd).host()
            result = []
            thread = threading.Thread(target=lambda: result.append(Guest(wasi).read(fd, 9)))
            thread.start()
            while not host._users:
                pass
            guest.close(fd)
            with pytest.raises(Failed, match="BADF"):
                guest.tell(fd)
            os.fstat(host._number)
            os.write(keep, b"late")
            thread.join(60)
            assert result == [b"late"]
            with pytest.raises(OSError, match="Bad file descriptor"):
                os.fstat(host._number)
    finally:
        os.close(keep)


def test_threads_that_open_and_close_never_share_a_number(root: Path) -> None:
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        held: set[int] = set()
        clashes = []

        def work() -> None:
            guest = Guest(wasi)
            for _ in range(200):
                fd = guest.open("file")
                if fd in held:
                    clashes.append(fd)
                held.add(fd)
                held.discard(fd)
                guest.close(fd)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not clashes
        assert len(wasi._table) == 4


def test_streams_say_what_they_are(guest: Guest) -> None:
    assert guest.fdstat(0) == (FileType.UNKNOWN, 0, Rights.FD_READ, Rights.FD_READ)
    for fd in (1, 2):
        assert guest.fdstat(fd) == (FileType.UNKNOWN, 0, Rights.FD_WRITE, Rights.FD_WRITE)
        assert guest.filestat(fd) == (0,) * 8


def test_rights_can_only_be_given_up(guest: Guest) -> None:
    fd = guest.open("file", 0, READ_WRITE)
    stat = guest.fdstat(fd)
    guest.do("fd_fdstat_set_rights", fd, stat.base, stat.inheriting)
    assert guest.fdstat(fd) == stat
    guest.do("fd_fdstat_set_rights", fd, stat.base & ~READ_WRITE, stat.inheriting)
    assert guest.fdstat(fd).base == stat.base & ~READ_WRITE
    for call in (lambda: guest.read(fd, 1), lambda: guest.write(fd, b"x"), lambda: guest.pread(fd, 1, 0)):
        with pytest.raises(Failed, match="NOTCAPABLE"):
            call()
    assert guest.seek(fd, 2) == 2
    assert guest.call("fd_fdstat_set_rights", fd, stat.base, stat.inheriting) == Errno.NOTCAPABLE
    assert guest.call("fd_fdstat_set_rights", fd, 0, -1) == Errno.NOTCAPABLE
    assert guest.fdstat(fd).base == stat.base & ~READ_WRITE


GIVEN_UP = {
    "fd_advise": Rights.FD_ADVISE,
    "fd_allocate": Rights.FD_ALLOCATE,
    "fd_datasync": Rights.FD_DATASYNC,
    "fd_fdstat_set_flags": Rights.FD_FDSTAT_SET_FLAGS,
    "fd_filestat_get": Rights.FD_FILESTAT_GET,
    "fd_filestat_set_size": Rights.FD_FILESTAT_SET_SIZE,
    "fd_filestat_set_times": Rights.FD_FILESTAT_SET_TIMES,
    "fd_pread": Rights.FD_READ | Rights.FD_SEEK,
    "fd_pwrite": Rights.FD_WRITE | Rights.FD_SEEK,
    "fd_read": Rights.FD_READ,
    "fd_seek": Rights.FD_SEEK,
    "fd_sync": Rights.FD_SYNC,
    "fd_tell": Rights.FD_TELL,
    "fd_write": Rights.FD_WRITE,
}
GIVEN_UP_ON_DIRECTORIES = {
    "fd_readdir": Rights.FD_READDIR,
    "path_create_directory": Rights.PATH_CREATE_DIRECTORY,
    "path_filestat_get": Rights.PATH_FILESTAT_GET,
    "path_filestat_set_times": Rights.PATH_FILESTAT_SET_TIMES,
    "path_link": Rights.PATH_LINK_SOURCE,
    "path_link to": Rights.PATH_LINK_TARGET,
    "path_open": Rights.PATH_OPEN,
    "path_readlink": Rights.PATH_READLINK,
    "path_remove_directory": Rights.PATH_REMOVE_DIRECTORY,
    "path_rename": Rights.PATH_RENAME_SOURCE,
    "path_rename to": Rights.PATH_RENAME_TARGET,
    "path_symlink": Rights.PATH_SYMLINK,
    "path_unlink_file": Rights.PATH_UNLINK_FILE,
}


@pytest.mark.parametrize("name", [*GIVEN_UP, *GIVEN_UP_ON_DIRECTORIES])
def test_every_call_needs_its_rights_and_no_others(guest: Guest, name: str) -> None:
    if name in GIVEN_UP:
        right = GIVEN_UP[name]
        fd = guest.open("file", 0, READ_WRITE)
    else:
        right = GIVEN_UP_ON_DIRECTORIES[name]
        fd = guest.open(".", OFlags.DIRECTORY)
    stat = guest.fdstat(fd)
    assert stat.base & right == right
    assert ON_A_DESCRIPTOR[name](guest, fd) != Errno.NOTCAPABLE
    guest.do("fd_fdstat_set_rights", fd, stat.base & ~right, stat.inheriting)
    assert ON_A_DESCRIPTOR[name](guest, fd) == Errno.NOTCAPABLE
    others = ON_A_DESCRIPTOR.keys() - {"fd_close", "fd_fdstat_set_rights", "fd_renumber", "fd_renumber to"}
    for other in others:
        needed = GIVEN_UP.get(other, 0) | GIVEN_UP_ON_DIRECTORIES.get(other, 0)
        assert (ON_A_DESCRIPTOR[other](guest, fd) == Errno.NOTCAPABLE) == bool(needed & right), other


def test_creating_needs_a_right_of_its_own(guest: Guest, root: Path) -> None:
    fd = guest.open(".", OFlags.DIRECTORY)
    stat = guest.fdstat(fd)
    guest.do("fd_fdstat_set_rights", fd, stat.base & ~Rights.PATH_CREATE_FILE, stat.inheriting)
    with pytest.raises(Failed, match="NOTCAPABLE"):
        guest.open("new", OFlags.CREAT, fd=fd)
    assert not (root / "new").exists()
    guest.open("file", fd=fd)


def test_what_is_opened_has_no_right_that_its_directory_does_not_pass_on(guest: Guest) -> None:
    stat = guest.fdstat(3)
    guest.do("fd_fdstat_set_rights", 3, stat.base, stat.inheriting & ~Rights.FD_WRITE)
    fd = guest.open("file", 0, READ_WRITE)
    assert guest.read(fd, 1) == b"h"
    assert not guest.fdstat(fd).base & Rights.FD_WRITE
    with pytest.raises(Failed, match="NOTCAPABLE"):
        guest.write(fd, b"x")
    inner = guest.open("dir", OFlags.DIRECTORY)
    with pytest.raises(Failed, match="NOTCAPABLE"):
        guest.write(guest.open("f", 0, READ_WRITE, fd=inner), b"x")


def test_the_memory_is_given_back_when_an_exception_passes_through() -> None:
    class Broken(Capture):
        def write(self, data: bytes, /) -> int:
            raise KeyboardInterrupt

    with quiet(stdout=Broken()) as wasi:
        guest = Guest(wasi)
        with pytest.raises(KeyboardInterrupt) as caught:
            guest.write(1, b"x")
        guest.memory.append(0)  # not possible with a view of it left, though the traceback still holds the frames
        assert caught.tb is not None
