"""Nothing outside a preopened directory can be named, whatever the path and whoever changes the directory meanwhile."""

from __future__ import annotations

import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.conftest import SECRET, host_descriptors
from tests.wasi.guest import TEXT, TEXT2, Failed, Guest, quiet
from wasmark.wasi import Errno, Preopen, sandbox
from wasmark.wasi.abi import OFlags, Rights

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OUTSIDE = [
    "..",
    "../outside/secret",
    "/",
    "/etc/passwd",
    "//etc/passwd",
    "dir/../..",
    "dir/../../root/file",
    "dir/../../outside/secret",
    "./../outside",
    "dir/sub/../../../outside/secret",
    "loutdir/secret",
    "loutdir/",
    "loutdir/.",
    "lup/outside/secret",
    "ldir/../../outside/secret",
    "ldot/../outside/secret",
    "lup/",
]
"""Paths that lead out of `root`, with or without following a link at their end."""

OUTSIDE_FOLLOWED = ["labs", "lout", "loutdir", "lup"]
"""Links whose target is outside."""

EVERY_PATH_CALL: dict[str, Callable[[Guest, str], None]] = {
    "open": lambda guest, path: guest.do("path_open", 3, 0, *guest.text(path), 0, 2, 0, 0, 0x100),
    "open_follow": lambda guest, path: guest.do("path_open", 3, 1, *guest.text(path), 0, 2, 0, 0, 0x100),
    "open_directory": lambda guest, path: guest.do("path_open", 3, 1, *guest.text(path), 2, 2, 0, 0, 0x100),
    "open_create": lambda guest, path: guest.do("path_open", 3, 1, *guest.text(path), 1, 0x42, 0, 0, 0x100),
    "open_truncate": lambda guest, path: guest.do("path_open", 3, 1, *guest.text(path), 8, 0x42, 0, 0, 0x100),
    "stat": lambda guest, path: guest.do("path_filestat_get", 3, 0, *guest.text(path), 0x100),
    "stat_follow": lambda guest, path: guest.do("path_filestat_get", 3, 1, *guest.text(path), 0x100),
    "set_times": lambda guest, path: guest.do("path_filestat_set_times", 3, 1, *guest.text(path), 1, 1, 5),
    "readlink": lambda guest, path: guest.do("path_readlink", 3, *guest.text(path), 0x8000, 99, 0x100),
    "create_directory": lambda guest, path: guest.mkdir(path),
    "remove_directory": lambda guest, path: guest.rmdir(path),
    "unlink_file": lambda guest, path: guest.unlink(path),
    "symlink": lambda guest, path: guest.symlink("file", path),
    "link_from": lambda guest, path: guest.link(path, "made"),
    "link_to": lambda guest, path: guest.link("file", path),
    "rename_from": lambda guest, path: guest.rename(path, "made"),
    "rename_to": lambda guest, path: guest.rename("file", path),
}


ENTRY_CALLS = {"create_directory", "remove_directory", "unlink_file", "symlink", "link_to", "rename_from", "rename_to"}


def snapshot(directory: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """Everything in a directory: type, times, contents."""
    found = {}
    for path in sorted([directory, *directory.rglob("*")]):
        st = path.lstat()
        data = path.read_bytes() if path.is_file() and not path.is_symlink() else b""
        found[str(path)] = (st.st_mode, st.st_mtime_ns, st.st_size if data else 0, data)
    return found


@pytest.mark.parametrize("operation", EVERY_PATH_CALL)
@pytest.mark.parametrize("path", OUTSIDE)
def test_a_path_that_leads_out_is_refused_and_changes_nothing(
    guest: Guest, outside: Path, operation: str, path: str
) -> None:
    before = snapshot(outside)
    with pytest.raises(Failed) as caught:
        EVERY_PATH_CALL[operation](guest, path)
    if operation in ENTRY_CALLS and path in ("loutdir/", "lup/"):
        # Making, removing or renaming an entry does not follow a link at its end: this is the link itself.
        assert caught.value.code in (Errno.EXIST, Errno.NOTDIR)
    else:
        assert caught.value.code == Errno.PERM
    assert snapshot(outside) == before


@pytest.mark.parametrize("operation", ["open_follow", "open_directory", "open_create", "open_truncate", "stat_follow"])
@pytest.mark.parametrize("path", OUTSIDE_FOLLOWED)
def test_a_link_that_leads_out_is_not_followed(guest: Guest, outside: Path, operation: str, path: str) -> None:
    before = snapshot(outside)
    with pytest.raises(Failed, match="PERM"):
        EVERY_PATH_CALL[operation](guest, path)
    assert snapshot(outside) == before


def test_set_times_through_a_link_that_leads_out_is_refused(guest: Guest, outside: Path) -> None:
    before = (outside / "secret").stat().st_mtime_ns
    with pytest.raises(Failed, match="PERM"):
        guest.set_times("lout", 1, 1, 5, follow=1)
    assert (outside / "secret").stat().st_mtime_ns == before


def test_a_chain_of_links_is_followed_inside_and_refused_where_it_leaves(guest: Guest, root: Path) -> None:
    for i in range(10):
        os.symlink(f"chain{i + 1}", root / f"chain{i}")
    os.symlink("file", root / "chain10")
    assert guest.read(guest.open("chain0"), 10) == b"hello"
    (root / "chain10").unlink()
    os.symlink("../outside/secret", root / "chain10")
    with pytest.raises(Failed, match="PERM"):
        guest.open("chain0")


def test_links_in_the_middle_of_a_path_and_dot_dot_after_them_stay_inside(guest: Guest, root: Path) -> None:
    os.symlink("dir/sub", root / "deep")
    # `..` is the directory that the link led into, as on the host.
    assert guest.stat("deep/../f").size == 1
    assert guest.stat("deep/../../file").size == 5
    with pytest.raises(Failed, match="PERM"):
        guest.stat("deep/../../../file")
    os.symlink("../../file", root / "dir" / "sub" / "up")
    assert guest.stat("deep/up", follow=1).size == 5


@pytest.mark.parametrize("path", ["loop", "ping", "loop/x", "ping/.", "loop/"])
def test_loops_of_links_end(guest: Guest, path: str) -> None:
    with pytest.raises(Failed, match="LOOP"):
        guest.open(path)


def test_the_limit_of_links_is_that_of_the_host(guest: Guest, root: Path) -> None:
    os.symlink("file", root / "n0")
    for i in range(1, sandbox.MAX_LINKS + 1):
        os.symlink(f"n{i - 1}", root / f"n{i}")
    last = sandbox.MAX_LINKS - 1
    assert guest.stat(f"n{last}", follow=1).size == 5
    assert os.stat(root / f"n{last}").st_size == 5
    with pytest.raises(Failed, match="LOOP"):
        guest.stat(f"n{last + 1}", follow=1)
    with pytest.raises(OSError, match="symbolic links"):
        os.stat(root / f"n{last + 1}")


def test_a_link_to_a_directory_through_many_links_counts_all_of_them(guest: Guest, root: Path) -> None:
    os.symlink(".", root / "self")
    assert guest.stat("self/" * sandbox.MAX_LINKS + "file").size == 5
    with pytest.raises(Failed, match="LOOP"):
        guest.stat("self/" * (sandbox.MAX_LINKS + 1) + "file")


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("", "NOENT"),
        ("a\0b", "INVAL"),
        ("file\0", "INVAL"),
        (b"\xff\xfe", "ILSEQ"),
        (b"dir/\xc0\xaf", "ILSEQ"),
        ("x" * 256, "NAMETOOLONG"),
        ("a/" * 2047 + "a", "NOENT"),
        ("a/" * 2048, "NAMETOOLONG"),
        ("dangling", "NOENT"),
        ("dangling/x", "NOENT"),
        ("file/", "NOTDIR"),
        ("file/.", "NOTDIR"),
        ("file/..", "NOTDIR"),
        ("file/x", "NOTDIR"),
        ("lfile/", "NOTDIR"),
        ("lfile_slash", "NOTDIR"),
        ("nowhere/../file", "NOENT"),
    ],
)
def test_paths_that_name_nothing(guest: Guest, path: str | bytes, code: str) -> None:
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.open(path)
    with pytest.raises(Failed, match=f"^{code}$"):
        guest.stat(path, follow=1)


@pytest.mark.parametrize(
    "path", ["file", "./file", ".//file", "dir/../file", "dir/sub/../../file", "ldir/../file", "ldot/file", "lback"]
)
def test_paths_that_stay_inside_work(guest: Guest, path: str) -> None:
    assert guest.read(guest.open(path), 10) == b"hello"


@pytest.mark.parametrize("path", [".", "./", "dir/..", "dir/../", "ldot", "ldot/", "dir/sub/../.."])
def test_the_directory_itself_has_many_names(guest: Guest, root: Path, path: str) -> None:
    assert guest.stat(path, follow=1).ino == root.stat().st_ino


def test_a_directory_opened_by_the_program_is_a_sandbox_of_its_own(guest: Guest) -> None:
    inner = guest.open("dir", OFlags.DIRECTORY)
    assert guest.stat("f", fd=inner).size == 1
    for path in ("..", "../file", "sub/../../file"):
        with pytest.raises(Failed, match="PERM"):
            guest.stat(path, fd=inner)


def test_more_directories_than_the_limit_are_not_entered_at_once(guest: Guest, root: Path) -> None:
    path = root
    for _ in range(sandbox.MAX_DEPTH + 2):
        path = path / "d"
        path.mkdir()
    (path / "end").write_text("end")
    before = host_descriptors(collect=True)
    with pytest.raises(Failed, match="NAMETOOLONG"):
        guest.stat("d/" * (sandbox.MAX_DEPTH + 2) + "end")
    assert host_descriptors() == before
    half = guest.open("d/" * (sandbox.MAX_DEPTH // 2), OFlags.DIRECTORY)
    assert guest.stat("d/" * (sandbox.MAX_DEPTH // 2 + 2) + "end", fd=half).size == 3


def test_a_directory_swapped_for_a_link_between_calls_is_not_followed_out(guest: Guest, root: Path) -> None:
    assert guest.read(guest.open("dir/f"), 10) == b"x"
    inner = guest.open("dir", OFlags.DIRECTORY)
    (root / "dir").rename(root / "moved")
    os.symlink("../outside", root / "dir")
    for path in ("dir/secret", "dir/."):
        with pytest.raises(Failed, match="PERM"):
            guest.open(path)
    # What was opened before is still the old directory, wherever it is now.
    assert guest.read(guest.open("f", fd=inner), 10) == b"x"


def test_a_directory_moved_out_does_not_take_the_sandbox_with_it(guest: Guest, root: Path, outside: Path) -> None:
    inner = guest.open("dir", OFlags.DIRECTORY)
    (root / "dir").rename(outside / "dir")
    for path in ("../secret", ".."):
        with pytest.raises(Failed, match="PERM"):
            guest.stat(path, fd=inner)


def test_a_swap_in_the_middle_of_a_walk_gains_nothing(
    guest: Guest, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The host swaps `dir` for a link to the outside at every step that the walk makes."""
    os.symlink("../outside", root / "bait")
    (root / "dir" / "secret").write_text("inside")
    real_open, real_readlink = os.open, os.readlink
    steps = 0

    def swap() -> None:
        nonlocal steps
        steps += 1
        os.rename(root / "dir", root / "swap")
        os.rename(root / "bait", root / "dir")
        os.rename(root / "swap", root / "bait")

    def swapping_open(*args: Any, **options: Any) -> int:
        swap()
        return real_open(*args, **options)

    def swapping_readlink(*args: Any, **options: Any) -> bytes:
        swap()
        return real_readlink(*args, **options)  # type: ignore[no-any-return]

    monkeypatch.setattr(os, "open", swapping_open)
    monkeypatch.setattr(os, "readlink", swapping_readlink)
    seen = set()
    for _ in range(20):
        try:
            seen.add(guest.read(guest.open("dir/secret"), 100))
        except Failed as error:
            seen.add(error.code.name.encode())
        swap()
    assert steps > 40
    assert SECRET.encode() not in seen
    assert seen <= {b"inside", b"PERM", b"NOTDIR", b"LOOP"}


def test_a_thread_that_swaps_all_the_time_never_opens_the_way_out(guest: Guest, root: Path) -> None:
    os.symlink("../outside", root / "bait")
    (root / "dir" / "secret").write_text("inside")
    stop = threading.Event()

    def swap() -> None:
        while not stop.is_set():
            os.rename(root / "dir", root / "swap")
            os.rename(root / "bait", root / "dir")
            os.rename(root / "swap", root / "bait")

    thread = threading.Thread(target=swap)
    thread.start()
    seen: dict[bytes, int] = {}
    try:
        end = time.monotonic() + 0.7
        while time.monotonic() < end:
            try:
                fd = guest.open("dir/secret")
                result = guest.read(fd, 100)
                guest.close(fd)
            except Failed as error:
                result = error.code.name.encode()
            seen[result] = seen.get(result, 0) + 1
    finally:
        stop.set()
        thread.join()
    assert SECRET.encode() not in seen
    assert set(seen) <= {b"inside", b"PERM", b"NOTDIR", b"NOENT", b"LOOP"}


def test_special_links_of_the_host_lead_nowhere(tmp_path: Path) -> None:
    """Links under /proc lead where their text does not say; the host must not be asked to follow one."""
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        with quiet(preopens=[Preopen("/proc/self", "/")]) as wasi:
            guest = Guest(wasi)
            for path in (f"fd/{handle}", f"fd/{handle}/", "root/etc/passwd", "cwd", "exe"):
                with pytest.raises(Failed, match="PERM"):
                    guest.open(path)
            reader, writer = os.pipe()
            try:
                with pytest.raises(Failed, match="NOENT"):  # its text is "pipe:[1234]"
                    guest.open(f"fd/{reader}")
            finally:
                os.close(reader)
                os.close(writer)
    finally:
        os.close(handle)


def test_a_link_with_an_absolute_target_is_neither_made_nor_read(guest: Guest, root: Path) -> None:
    with pytest.raises(Failed, match="PERM"):
        guest.symlink("/etc", "made")
    assert not (root / "made").is_symlink()
    with pytest.raises(Failed, match="PERM"):
        guest.readlink("labs")


def test_a_link_that_leads_out_may_be_made_and_moved_but_not_followed(guest: Guest, root: Path) -> None:
    guest.symlink("../outside/secret", "made")
    assert guest.readlink("made") == b"../outside/secret"
    guest.rename("made", "dir/made")
    with pytest.raises(Failed, match="NOENT"):
        guest.open("dir/made")  # from there, `..` is the root
    guest.symlink("../../outside/secret", "dir/again")
    with pytest.raises(Failed, match="PERM"):
        guest.open("dir/again")


def test_two_preopens_do_not_reach_into_each_other(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).write_text(name)
    with quiet(preopens=[Preopen(tmp_path / "a", "/a"), Preopen(tmp_path / "b", "/b")]) as wasi:
        guest = Guest(wasi)
        assert guest.read(guest.open("a", fd=3), 9) == b"a"
        assert guest.read(guest.open("b", fd=4), 9) == b"b"
        for fd, path in ((3, "../b/b"), (4, "../a/a"), (3, "/b/b")):
            with pytest.raises(Failed, match="PERM"):
                guest.open(path, fd=fd)
        # Moving from one to the other is what the program may do: it holds both.
        guest.rename("a", "moved", fd=3, new_fd=4)
        assert (tmp_path / "b" / "moved").read_text() == "a"


def test_what_a_preopen_stands_for_is_settled_when_it_is_opened(guest: Guest, root: Path, tmp_path: Path) -> None:
    root.rename(tmp_path / "elsewhere")
    os.symlink("outside", root)
    assert guest.read(guest.open("file"), 9) == b"hello"
    with pytest.raises(Failed, match="NOENT"):
        guest.open("secret")


def test_a_guest_path_is_data_for_the_program_only(root: Path) -> None:
    with quiet(preopens=[Preopen(root, "../../etc")]) as wasi:
        guest = Guest(wasi)
        guest.do("fd_prestat_get", 3, 0x100)
        assert guest.get(0x100, 8) == b"\0\0\0\0\x09\0\0\0"
        guest.do("fd_prestat_dir_name", 3, 0x200, 9)
        assert guest.get(0x200, 9) == b"../../etc"
        assert guest.stat("file").size == 5


READONLY_REFUSED: dict[str, Callable[[Guest], None]] = {
    "open for writing": lambda guest: guest.close(guest.open("file", 0, Rights.FD_WRITE)),
    "open to create": lambda guest: guest.close(guest.open("made", OFlags.CREAT)),
    "open to create what exists": lambda guest: guest.close(guest.open("file", OFlags.CREAT)),
    "open to truncate": lambda guest: guest.close(guest.open("file", OFlags.TRUNC)),
    "set times": lambda guest: guest.set_times("file", 1, 1, 5),
    "set times to what they are": lambda guest: guest.set_times("file", 0, 0, 0),
    "create directory": lambda guest: guest.mkdir("made"),
    "remove directory": lambda guest: guest.rmdir("empty"),
    "unlink": lambda guest: guest.unlink("file"),
    "symlink": lambda guest: guest.symlink("file", "made"),
    "link": lambda guest: guest.link("file", "made"),
    "rename": lambda guest: guest.rename("file", "made"),
    "write in a directory opened below": lambda guest: guest.mkdir("x", fd=guest.open("dir", OFlags.DIRECTORY)),
    "set the size of an open file": lambda guest: guest.do("fd_filestat_set_size", guest.open("file"), 0),
    "set the times of an open file": lambda guest: guest.do("fd_filestat_set_times", guest.open("file"), 1, 1, 5),
    "set the times of the directory": lambda guest: guest.do("fd_filestat_set_times", 3, 1, 1, 5),
}


@pytest.mark.parametrize("what", READONLY_REFUSED)
def test_a_readonly_preopen_refuses_to(readonly: Guest, root: Path, what: str) -> None:
    before = snapshot(root)
    with pytest.raises(Failed, match=r"^PERM$"):
        READONLY_REFUSED[what](readonly)
    assert snapshot(root) == before


def test_a_readonly_preopen_can_be_read(readonly: Guest) -> None:
    assert readonly.read(readonly.open("file"), 9) == b"hello"
    assert readonly.stat("dir/f").size == 1
    assert readonly.readlink("lfile") == b"file"
    assert b"file" in [entry.name for entry in readonly.readdir(3)]


def test_a_file_of_a_readonly_preopen_cannot_be_written(readonly: Guest, root: Path) -> None:
    fd = readonly.open("file")
    with pytest.raises(Failed, match="BADF"):
        readonly.write(fd, b"x")
    with pytest.raises(Failed, match="BADF"):
        readonly.pwrite(fd, b"x", 0)
    with pytest.raises(Failed, match="BADF"):
        readonly.do("fd_allocate", fd, 0, 100)
    assert (root / "file").read_text() == "hello"


def test_nothing_moves_between_a_readonly_and_a_writable_preopen(root: Path, tmp_path: Path) -> None:
    (tmp_path / "free").mkdir()
    (tmp_path / "free" / "file").write_text("free")
    with quiet(preopens=[Preopen(root, "/", readonly=True), Preopen(tmp_path / "free", "/free")]) as wasi:
        guest = Guest(wasi)
        for fd, new_fd in ((3, 4), (4, 3)):
            with pytest.raises(Failed, match="PERM"):
                guest.rename("file", "made", fd=fd, new_fd=new_fd)
            with pytest.raises(Failed, match="PERM"):
                guest.link("file", "made", fd=fd, new_fd=new_fd)


@pytest.mark.parametrize("operation", EVERY_PATH_CALL)
def test_no_call_leaves_a_descriptor_of_its_walk_open(guest: Guest, operation: str) -> None:
    before = host_descriptors(collect=True)
    for path in ("dir/sub/../f", "dir/sub/../../../x", "ldir/sub/x", "dir/f/x", "loop/x", "", "dir/sub/nothing/x"):
        guest.call("fd_close", 4)
        code = None
        try:
            EVERY_PATH_CALL[operation](guest, path)
        except Failed as error:
            code = error.code
        guest.call("fd_close", 4)
        assert host_descriptors() == before, (path, code)


def test_a_path_next_to_the_end_of_memory_is_read(guest: Guest) -> None:
    end = len(guest.memory)
    guest.put(end - 4, b"file")
    guest.do("path_filestat_get", 3, 0, end - 4, 4, 0x100)
    assert guest.call("path_filestat_get", 3, 0, end - 4, 5, 0x100) == Errno.FAULT
    assert guest.call("path_rename", 3, TEXT, 0, 3, TEXT2, 0) == Errno.NOENT
