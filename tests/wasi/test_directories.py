"""Directory entries: making, removing, renaming and linking them, and reading a directory piece by piece."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

import pytest

from tests.wasi.guest import DATA, OUT, Failed, Guest, quiet
from wasmark.wasi import Errno, Preopen
from wasmark.wasi.abi import FileType, OFlags

if TYPE_CHECKING:
    from pathlib import Path


def test_making_and_removing_directories(guest: Guest, root: Path) -> None:
    guest.mkdir("new")
    guest.mkdir("new/inner/")
    assert (root / "new" / "inner").is_dir()
    with pytest.raises(Failed, match="NOTEMPTY"):
        guest.rmdir("new")
    guest.rmdir("new/inner/")
    guest.rmdir("new")
    assert not (root / "new").exists()


@pytest.mark.parametrize(
    ("path", "code"),
    [("dir", "EXIST"), ("dir/", "EXIST"), ("file", "EXIST"), ("lfile", "EXIST"), ("dangling", "EXIST"), (".", "EXIST"),
     ("no/new", "NOENT"), ("file/new", "NOTDIR"), ("dir/..", "EXIST")],
)  # fmt: skip
def test_directories_that_cannot_be_made(guest: Guest, path: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.mkdir(path)


@pytest.mark.parametrize(
    ("path", "code"),
    [("dir", "NOTEMPTY"), ("file", "NOTDIR"), ("file/", "NOTDIR"), ("ldir", "NOTDIR"), ("ldir/", "NOTDIR"),
     ("nothing", "NOENT"), (".", "INVAL"), ("empty/.", "INVAL"), ("empty/..", "INVAL")],
)  # fmt: skip
def test_directories_that_cannot_be_removed(guest: Guest, root: Path, path: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.rmdir(path)
    assert (root / "empty").is_dir()


def test_unlinking_removes_the_link_and_not_what_it_leads_to(guest: Guest, root: Path) -> None:
    guest.unlink("lfile")
    assert (root / "file").exists()
    guest.unlink("file")
    guest.unlink("ldir")
    guest.unlink("lout")
    assert not (root / "file").exists()
    assert (root / "dir").is_dir()


@pytest.mark.parametrize(
    ("path", "code"),
    [("dir", "ISDIR"), ("dir/", "ISDIR"), (".", "ISDIR"), ("file/", "NOTDIR"), ("lfile/", "NOTDIR"),
     ("ldir/", "NOTDIR"), ("nothing", "NOENT"), ("nothing/", "NOENT"), ("file/x", "NOTDIR")],
)  # fmt: skip
def test_what_cannot_be_unlinked(guest: Guest, root: Path, path: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.unlink(path)
    assert (root / "file").exists()
    assert (root / "lfile").is_symlink()


def test_renaming_moves_files_directories_and_links(guest: Guest, root: Path) -> None:
    guest.rename("file", "dir/moved")
    assert (root / "dir" / "moved").read_text() == "hello"
    guest.rename("dir/moved", "dir/f")
    assert (root / "dir" / "f").read_text() == "hello"
    guest.rename("dir/", "empty/")
    assert (root / "empty" / "f").exists()
    guest.rename("lout", "moved link")
    assert os.readlink(root / "moved link") == "../outside/secret"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("nothing", "new", "NOENT"),
        ("file", "no/new", "NOENT"),
        ("file", "dir", "ISDIR"),
        ("dir", "file", "NOTDIR"),
        ("empty", "dir", "NOTEMPTY"),
        ("dir", "dir/sub/new", "INVAL"),
        ("file/", "new", "NOTDIR"),
        ("file", "new/", "NOTDIR"),
        ("lfile/", "new", "NOTDIR"),
        ("ldir/", "new", "NOTDIR"),
        ("dir", "ldir/", "NOTDIR"),
        (".", "new", "BUSY"),
        ("dir", ".", "BUSY"),
    ],
)
def test_what_cannot_be_renamed(guest: Guest, root: Path, old: str, new: str, code: str) -> None:
    before = sorted(os.listdir(root))
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.rename(old, new)
    assert sorted(os.listdir(root)) == before


def test_a_hard_link_is_the_same_file(guest: Guest, root: Path) -> None:
    guest.link("file", "dir/again")
    assert guest.stat("file").nlink == 2
    assert guest.stat("dir/again").ino == guest.stat("file").ino
    guest.link("dangling", "second")
    assert os.readlink(root / "second") == "nowhere"
    guest.link("lout", "third")
    assert (root / "third").is_symlink()


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("nothing", "new", "NOENT"),
        ("file", "lfile", "EXIST"),
        ("file", "file", "EXIST"),
        ("file", "dir", "EXIST"),
        ("file", "dangling", "EXIST"),
        ("dir", "new", "PERM"),
        ("dir/", "new", "PERM"),
        ("file/", "new", "NOTDIR"),
        ("file", "new/", "NOENT"),
        ("file", "dir/", "EXIST"),
    ],
)
def test_what_cannot_be_linked(guest: Guest, root: Path, old: str, new: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.link(old, new)
    assert not (root / "new").exists()


def test_linking_to_the_target_of_a_link_is_not_offered(guest: Guest, root: Path) -> None:
    with pytest.raises(Failed, match="INVAL"):
        guest.link("lfile", "new", follow=1)
    assert not (root / "new").exists()


def test_a_symbolic_link_is_made_and_read(guest: Guest, root: Path) -> None:
    guest.symlink("dir/f", "new")
    assert os.readlink(root / "new") == "dir/f"
    assert guest.read(guest.open("new"), 9) == b"x"
    assert guest.readlink("new") == b"dir/f"
    assert guest.readlink("new", 3) == b"dir"
    assert guest.readlink("new", 0) == b""
    guest.symlink("nowhere/at/all/", "dir/other")
    assert guest.readlink("dir/other") == b"nowhere/at/all/"


@pytest.mark.parametrize(
    ("target", "path", "code"),
    [
        ("file", "lfile", "EXIST"),
        ("file", "dir/", "EXIST"),
        ("file", "new/", "NOENT"),
        ("file", "file/", "NOTDIR"),
        ("", "new", "NOENT"),
        ("a\0b", "new", "INVAL"),
        ("file", "no/new", "NOENT"),
        ("x" * 5000, "new", "NAMETOOLONG"),
    ],
)
def test_symbolic_links_that_cannot_be_made(guest: Guest, root: Path, target: str, path: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.symlink(target, path)
    assert not (root / "new").is_symlink()


@pytest.mark.parametrize(
    ("path", "code"), [("file", "INVAL"), ("dir", "INVAL"), ("ldir/", "INVAL"), ("lfile/", "NOTDIR"), ("no", "NOENT")]
)
def test_what_is_no_link_cannot_be_read_as_one(guest: Guest, path: str, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.readlink(path)


def test_a_directory_lists_everything_once(guest: Guest, root: Path) -> None:
    entries = guest.readdir(3)
    assert [entry.name for entry in entries[:2]] == [b".", b".."]
    assert [entry.next for entry in entries] == list(range(1, len(entries) + 1))
    assert entries[0].ino == root.stat().st_ino
    assert entries[1].ino == root.stat().st_ino, "what lies above the sandbox is not told"
    named = {os.fsdecode(entry.name): entry for entry in entries[2:]}
    assert sorted(named) == sorted(os.listdir(root))
    for name, entry in named.items():
        assert entry.ino == (root / name).lstat().st_ino
    assert named["dir"].filetype == FileType.DIRECTORY
    assert named["file"].filetype == FileType.REGULAR_FILE
    assert named["ldir"].filetype == FileType.SYMBOLIC_LINK


def test_every_buffer_size_gives_the_same_listing(guest: Guest, root: Path) -> None:
    whole = guest.readdir(3)
    longest = max(len(entry.name) for entry in whole)
    for size in [*range(24 + longest, 24 + longest + 60), 200, 1000]:
        assert guest.readdir(3, size) == whole, size


def test_a_buffer_too_small_for_an_entry_gets_the_first_part_of_it(guest: Guest) -> None:
    whole = guest.readdir_raw(3, 4096)
    for size in range(30):
        assert guest.readdir_raw(3, size) == whole[:size]
        guest.put(DATA, b"\xee" * 64)
        guest.readdir_raw(3, size)
        assert guest.get(DATA + size, 8) == b"\xee" * 8
    # The header is enough to know how large the buffer must be.
    following, _, length, _ = struct.unpack_from("<QQIB", guest.readdir_raw(3, 24, 2))
    assert following == 3
    assert len(guest.readdir_raw(3, 24 + length, 2)) == 24 + length


def test_cookies_stay_what_they_are_while_the_directory_changes(guest: Guest, root: Path) -> None:
    first = guest.readdir(3)
    (root / "aaa").touch()
    (root / "file").unlink()
    for index in range(1, len(first)):
        assert guest.readdir(3, 4096, index) == first[index:]
    # Starting over sees what is there now.
    names = {entry.name for entry in guest.readdir(3)}
    assert b"aaa" in names
    assert b"file" not in names


def test_cookies_past_the_end_give_nothing(guest: Guest) -> None:
    count = len(guest.readdir(3))
    for cookie in (count, count + 1, 1 << 32, (1 << 63) - 1, -1):
        assert guest.readdir_raw(3, 4096, cookie) == b""


def test_a_cookie_works_on_a_descriptor_that_was_not_read_before(guest: Guest) -> None:
    whole = guest.readdir(3)
    fd = guest.open(".", OFlags.DIRECTORY)
    assert guest.readdir(fd, 4096, 3) == whole[3:]


def test_two_descriptors_of_a_directory_are_read_independently(guest: Guest) -> None:
    other = guest.open(".", OFlags.DIRECTORY)
    assert guest.readdir(3, 64) == guest.readdir(other, 80)


def test_names_that_are_not_text_are_listed_as_they_are(guest: Guest, root: Path) -> None:
    name = b"\xff\xfename"
    os.close(os.open(os.fsencode(root) + b"/" + name, os.O_CREAT | os.O_WRONLY))
    assert name in [entry.name for entry in guest.readdir(3)]
    with pytest.raises(Failed, match="ILSEQ"):
        guest.open(name)


def test_names_with_long_characters_are_cut_anywhere(guest: Guest, root: Path) -> None:
    (root / "dir" / "Действие").touch()
    fd = guest.open("dir", OFlags.DIRECTORY)
    whole = guest.readdir(fd)
    assert "Действие".encode() in [entry.name for entry in whole]
    for size in range(24 + 16, 24 + 16 + 30):
        assert guest.readdir(fd, size) == whole


def test_a_thousand_entries(guest: Guest, root: Path) -> None:
    for i in range(1000):
        (root / "empty" / f"file.{i}").touch()
    fd = guest.open("empty", OFlags.DIRECTORY)
    entries = guest.readdir(fd, 256)
    assert len(entries) == 1002
    assert len({entry.name for entry in entries}) == 1002


def test_a_directory_that_was_removed_lists_only_itself(guest: Guest, root: Path) -> None:
    fd = guest.open("empty", OFlags.DIRECTORY)
    (root / "empty").rmdir()
    assert [entry.name for entry in guest.readdir(fd)] == [b".", b".."]
    with pytest.raises(Failed, match="NOENT"):
        guest.open("new", OFlags.CREAT, fd=fd)


def test_preopens_say_their_names(root: Path) -> None:
    with quiet(preopens={"/": root, "/töst": root / "dir"}) as wasi:
        guest = Guest(wasi)
        for fd, name in ((3, b"/"), (4, "/töst".encode())):
            guest.do("fd_prestat_get", fd, OUT)
            assert struct.unpack("<BxxxI", guest.get(OUT, 8)) == (0, len(name))
            guest.put(DATA, b"\xee" * 32)
            guest.do("fd_prestat_dir_name", fd, DATA, 31)
            assert guest.get(DATA, len(name) + 1) == name + b"\xee"
            assert guest.call("fd_prestat_dir_name", fd, DATA, len(name) - 1) == Errno.NAMETOOLONG
        assert guest.call("fd_prestat_get", 5, OUT) == Errno.BADF


def test_only_preopens_are_preopens(guest: Guest) -> None:
    for fd in (0, guest.open("dir", OFlags.DIRECTORY), guest.open("file")):
        assert guest.call("fd_prestat_get", fd, OUT) == Errno.BADF
        assert guest.call("fd_prestat_dir_name", fd, DATA, 99) == Errno.NOTDIR
    assert guest.call("fd_prestat_dir_name", 99, DATA, 99) == Errno.BADF


def test_a_readonly_directory_says_so_to_every_descriptor_below(root: Path) -> None:
    with quiet(preopens=[Preopen(root, "/", readonly=True)]) as wasi:
        guest = Guest(wasi)
        inner = guest.open("dir/sub", OFlags.DIRECTORY)
        deeper = guest.open(".", OFlags.DIRECTORY, fd=inner)
        with pytest.raises(Failed, match="PERM"):
            guest.open("new", OFlags.CREAT, fd=deeper)
