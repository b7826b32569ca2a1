"""Each function of `wasi:filesystem/types`, called by a component."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.p2.guest import FOLLOW, READ, READ_WRITE, Guest, error_of
from wasmark import ComponentTrap
from wasmark.wasi import Preopen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_preopens_have_their_names_in_order(tmp_path: Path) -> None:
    preopens = [Preopen(tmp_path, "/b"), Preopen(tmp_path, "a"), Preopen(tmp_path, "/ünï")]
    guest = Guest(preopens=preopens)
    with guest.wasi:
        assert [name for _, name in guest.get_directories()] == ["/b", "a", "/ünï"]


def test_a_preopen_that_was_dropped_can_be_asked_for_again(guest: Guest) -> None:
    guest.drop_descriptor(guest.root)
    ((again, name),) = guest.get_directories()
    assert name == "/"
    assert guest.descriptor_stat_at(again, [], "file").size == 5


def test_reading_and_writing_at_offsets(guest: Guest, root: Path) -> None:
    file = guest.open("file", mode=READ_WRITE)
    assert guest.descriptor_read(file, 3, 1) == (b"ell", False)
    assert guest.descriptor_read(file, 99, 0) == (b"hello", False)
    assert guest.descriptor_read(file, 99, 5) == (b"", True)
    assert guest.descriptor_read(file, 0, 99) == (b"", False)
    assert guest.descriptor_write(file, b"J", 0) == 1
    assert guest.descriptor_write(file, b"!", 7) == 1
    assert (root / "file").read_bytes() == b"Jello\0\0!"
    assert guest.descriptor_write(file, b"", 0) == 0


def test_a_large_read_comes_in_pieces(guest: Guest, root: Path) -> None:
    data = os.urandom(3 << 20)
    (root / "large").write_bytes(data)
    file = guest.open("large")
    found = b""
    while True:
        piece, is_end = guest.descriptor_read(file, 1 << 40, len(found))
        if is_end:
            break
        found += piece
        guest.forget()
    assert found == data


def test_the_mode_that_a_file_is_opened_with_counts(guest: Guest) -> None:
    for mode, can_read, can_write in ((READ, True, False), (["write"], False, True), (READ_WRITE, True, True)):
        file = guest.open("file", mode=mode)
        assert (error_of(guest.descriptor_read, file, 1, 0) is None) == can_read
        assert (error_of(guest.descriptor_read_via_stream, file, 0) is None) == can_read
        assert (error_of(guest.descriptor_write, file, b"h", 0) is None) == can_write
        assert (error_of(guest.descriptor_write_via_stream, file, 0) is None) == can_write
        assert (error_of(guest.descriptor_append_via_stream, file) is None) == can_write
        assert error_of(guest.descriptor_set_size, file, 5) == (None if can_write else "invalid")
    assert error_of(guest.descriptor_write, guest.open("file"), b"x", 0) == "bad-descriptor"


@pytest.mark.parametrize(
    ("path", "how", "mode", "error"),
    [
        ("file", [], READ, None),
        ("file", ["create"], READ, None),
        ("file", ["create", "exclusive"], READ, "exist"),
        ("lfile", ["create", "exclusive"], READ, "exist"),
        ("file", ["directory"], READ, "not-directory"),
        ("file/", [], READ, "not-directory"),
        ("new", [], READ, "no-entry"),
        ("new", ["create"], READ_WRITE, None),
        ("new", ["create", "exclusive"], READ_WRITE, None),
        ("new/", ["create"], READ_WRITE, "is-directory"),
        ("dir", [], READ, None),
        ("dir", ["directory"], READ, None),
        ("dir", ["directory"], ["read", "mutate-directory"], None),
        ("dir", [], READ_WRITE, "is-directory"),
        ("dir", ["directory", "create"], READ, "invalid"),
        ("dangling", [], READ, "no-entry"),
        ("loop", [], READ, "loop"),
        ("", [], READ, "no-entry"),
        ("a\0b", [], READ, "invalid"),
        ("x" * 300, [], READ, "name-too-long"),
        ("a/" * 3000, [], READ, "name-too-long"),
    ],
)
def test_what_may_be_opened_how(guest: Guest, path: str, how: list[str], mode: list[str], error: str | None) -> None:
    assert error_of(guest.open, path, how, mode) == error


def test_a_file_that_is_opened_for_it_is_truncated(guest: Guest, root: Path) -> None:
    guest.open("file", ["truncate"], READ_WRITE)
    assert (root / "file").read_bytes() == b""


def test_a_link_is_followed_when_asked_to_only(guest: Guest) -> None:
    assert guest.descriptor_read(guest.open("lfile"), 9, 0)[0] == b"hello"
    assert error_of(lambda: guest.open("lfile", follow=[])) == "loop"


def test_flags_of_descriptors(guest: Guest, readonly: Guest) -> None:
    def flags(of: Guest, descriptor: Any) -> set[str]:
        return {each.name for each in of.descriptor_get_flags(descriptor)}

    assert flags(guest, guest.root) == {"READ", "MUTATE_DIRECTORY"}
    assert flags(readonly, readonly.root) == {"READ"}
    assert flags(guest, guest.open("file")) == {"READ"}
    assert flags(guest, guest.open("file", mode=["write"])) == {"WRITE"}
    synchronised = ["write", "file-integrity-sync", "data-integrity-sync", "requested-write-sync"]
    assert flags(guest, guest.open("file", mode=synchronised)) == {
        label.upper().replace("-", "_") for label in synchronised
    }


def test_types_of_everything(guest: Guest, root: Path) -> None:
    os.mkfifo(root / "pipe")
    found = {name: guest.stat(name).type.value for name in ("file", "dir", "lfile", "pipe")}
    assert found == {"file": "regular-file", "dir": "directory", "lfile": "symbolic-link", "pipe": "fifo"}
    assert guest.stat("lfile", FOLLOW).type.value == "regular-file"
    assert guest.descriptor_get_type(guest.root).value == "directory"
    assert guest.descriptor_get_type(guest.open("file")).value == "regular-file"


def test_attributes_are_those_of_the_host(guest: Guest, root: Path) -> None:
    os.utime(root / "file", ns=(1_000_000_000_000_000_007, 2_000_000_000_000_000_009))
    os.link(root / "file", root / "second")
    for found in (guest.stat("file"), guest.descriptor_stat(guest.open("file"))):
        assert (found.link_count, found.size) == (2, 5)
        assert (found.data_access_timestamp.seconds, found.data_access_timestamp.nanoseconds) == (10**9, 7)
        modified = found.data_modification_timestamp
        assert (modified.seconds, modified.nanoseconds) == (2 * 10**9, 9)
        assert found.status_change_timestamp.seconds == (root / "file").stat().st_ctime_ns // 10**9


def test_a_time_before_1970_is_not_told(guest: Guest, root: Path) -> None:
    os.utime(root / "file", ns=(-1, 5))
    assert guest.stat("file").data_access_timestamp is None
    assert guest.stat("file").data_modification_timestamp.nanoseconds == 5


def test_times_are_set(guest: Guest, root: Path) -> None:
    given = ("timestamp", (7, 8))
    guest.descriptor_set_times(guest.open("file"), given, "no-change")
    before = (root / "file").stat()
    assert before.st_atime_ns == 7 * 10**9 + 8
    guest.descriptor_set_times_at(guest.root, [], "file", "no-change", given)
    after = (root / "file").stat()
    assert (after.st_atime_ns, after.st_mtime_ns) == (7 * 10**9 + 8,) * 2
    guest.descriptor_set_times_at(guest.root, [], "file", "now", "no-change")
    assert (root / "file").stat().st_atime_ns > 10**18
    guest.descriptor_set_times_at(guest.root, [], "lfile", given, given)
    assert (root / "lfile").lstat().st_mtime_ns == 7 * 10**9 + 8
    unchanged = (root / "file").stat()
    guest.descriptor_set_times(guest.open("file"), "no-change", "no-change")
    assert (root / "file").stat().st_ctime_ns == unchanged.st_ctime_ns


@pytest.mark.parametrize(
    ("moment", "error"), [((1, 10**9), "invalid"), (((1 << 64) - 1, 0), "overflow"), (((1 << 63) - 1, 0), None)]
)
def test_times_that_are_none(guest: Guest, moment: tuple[int, int], error: str | None) -> None:
    found = error_of(guest.descriptor_set_times_at, guest.root, [], "file", ("timestamp", moment), "no-change")
    assert found == error


def test_sizes(guest: Guest, root: Path) -> None:
    file = guest.open("file", mode=READ_WRITE)
    guest.descriptor_set_size(file, 2)
    assert (root / "file").read_bytes() == b"he"
    guest.descriptor_set_size(file, 4)
    assert (root / "file").read_bytes() == b"he\0\0"
    assert error_of(guest.descriptor_set_size, file, 1 << 63) == "invalid"


def test_synchronising_and_advice(guest: Guest) -> None:
    file = guest.open("file", mode=READ_WRITE)
    guest.descriptor_sync(file)
    guest.descriptor_sync_data(file)
    guest.descriptor_sync(guest.root)
    for advice in ("normal", "sequential", "random", "will-need", "dont-need", "no-reuse"):
        guest.descriptor_advise(file, 0, 10, advice)
    assert error_of(guest.descriptor_advise, file, 1 << 63, 0, "normal") == "invalid"


def test_entries_of_a_directory(guest: Guest, root: Path) -> None:
    stream = guest.descriptor_read_directory(guest.root)
    found = {}
    while (entry := guest.directory_entry_stream_read_directory_entry(stream)) is not None:
        found[entry.name] = entry.type.value
    assert found.keys() == set(os.listdir(root))
    assert (found["file"], found["dir"], found["loop"]) == ("regular-file", "directory", "symbolic-link")
    assert guest.directory_entry_stream_read_directory_entry(stream) is None


def test_a_listing_starts_at_the_beginning_each_time_and_stays_as_it_was(guest: Guest, root: Path) -> None:
    first = guest.descriptor_read_directory(guest.open("dir"))
    (root / "dir" / "later").touch()
    second = guest.descriptor_read_directory(guest.open("dir"))
    read = guest.directory_entry_stream_read_directory_entry
    assert {read(first).name, read(first).name} == {"f", "sub"}
    assert read(first) is None
    assert {read(second).name for _ in range(3)} == {"f", "sub", "later"}
    guest.drop_directory_entry_stream(first)


def test_a_name_that_is_no_text_is_an_error_of_its_own(guest: Guest, root: Path) -> None:
    os.mkdir(os.fsencode(root / "dir2"))
    os.close(os.open(os.fsencode(root / "dir2") + b"/\xff", os.O_CREAT))
    os.symlink(b"\xfe", os.fsencode(root / "odd"))
    stream = guest.descriptor_read_directory(guest.open("dir2"))
    assert error_of(guest.directory_entry_stream_read_directory_entry, stream) == "illegal-byte-sequence"
    assert guest.directory_entry_stream_read_directory_entry(stream) is None
    assert error_of(guest.descriptor_readlink_at, guest.root, "odd") == "illegal-byte-sequence"


def test_directories_are_made_and_removed(guest: Guest, root: Path) -> None:
    guest.descriptor_create_directory_at(guest.root, "made")
    assert (root / "made").is_dir()
    assert error_of(guest.descriptor_create_directory_at, guest.root, "made") == "exist"
    guest.descriptor_remove_directory_at(guest.root, "made")
    assert not (root / "made").exists()
    assert error_of(guest.descriptor_remove_directory_at, guest.root, "made") == "no-entry"
    assert error_of(guest.descriptor_remove_directory_at, guest.root, "dir") == "not-empty"
    assert error_of(guest.descriptor_remove_directory_at, guest.root, "file") == "not-directory"


def test_links(guest: Guest, root: Path) -> None:
    guest.descriptor_link_at(guest.root, [], "file", guest.open("dir"), "second")
    assert os.path.samefile(root / "file", root / "dir" / "second")
    assert error_of(guest.descriptor_link_at, guest.root, FOLLOW, "file", guest.root, "third") == "invalid"
    guest.descriptor_symlink_at(guest.root, "dir/f", "soft")
    assert os.readlink(root / "soft") == "dir/f"
    assert guest.descriptor_readlink_at(guest.root, "soft") == "dir/f"
    assert error_of(guest.descriptor_readlink_at, guest.root, "file") == "invalid"
    assert error_of(guest.descriptor_symlink_at, guest.root, "dir/f", "soft") == "exist"


def test_renaming_and_unlinking(guest: Guest, root: Path) -> None:
    guest.descriptor_rename_at(guest.root, "file", guest.open("dir"), "moved")
    assert (root / "dir" / "moved").read_bytes() == b"hello"
    guest.descriptor_unlink_file_at(guest.root, "dir/moved")
    assert not (root / "dir" / "moved").exists()
    assert error_of(guest.descriptor_unlink_file_at, guest.root, "dir/moved") == "no-entry"
    assert error_of(guest.descriptor_unlink_file_at, guest.root, "dir") == "is-directory"


def test_the_same_object(guest: Guest) -> None:
    file, again, link, other = guest.open("file"), guest.open("dir/../file"), guest.open("lfile"), guest.open("dir/f")
    assert guest.descriptor_is_same_object(file, again)
    assert guest.descriptor_is_same_object(file, link)
    assert not guest.descriptor_is_same_object(file, other)
    assert guest.descriptor_is_same_object(guest.root, guest.root)


def test_hashes_tell_files_and_their_changes_apart(guest: Guest, root: Path) -> None:
    def at(path: str, follow: list[str]) -> Any:
        return guest.descriptor_metadata_hash_at(guest.root, follow, path)

    first = guest.descriptor_metadata_hash(guest.open("file"))
    assert first == at("file", []) == at("lfile", FOLLOW)
    assert first != at("dir/f", [])
    assert first != at("lfile", [])
    (root / "file").write_text("something else")
    assert first != at("file", [])


def test_hashes_of_two_worlds_have_nothing_in_common(guest: Guest, readonly: Guest) -> None:
    hashes = [each.descriptor_metadata_hash(each.open("file")) for each in (guest, readonly)]
    assert hashes[0] != hashes[1]


FILE_CALLS: dict[str, Callable[[Guest, Any], Any]] = {
    "read": lambda guest, it: guest.descriptor_read(it, 1, 0),
    "write": lambda guest, it: guest.descriptor_write(it, b"x", 0),
    "read via stream": lambda guest, it: guest.descriptor_read_via_stream(it, 0),
    "write via stream": lambda guest, it: guest.descriptor_write_via_stream(it, 0),
    "append via stream": lambda guest, it: guest.descriptor_append_via_stream(it),
    "set size": lambda guest, it: guest.descriptor_set_size(it, 0),
    "advise": lambda guest, it: guest.descriptor_advise(it, 0, 0, "normal"),
}
DIRECTORY_CALLS: dict[str, Callable[[Guest, Any], Any]] = {
    "open": lambda guest, it: guest.descriptor_open_at(it, [], "x", [], READ),
    "read directory": lambda guest, it: guest.descriptor_read_directory(it),
    "create directory": lambda guest, it: guest.descriptor_create_directory_at(it, "x"),
    "remove directory": lambda guest, it: guest.descriptor_remove_directory_at(it, "x"),
    "unlink": lambda guest, it: guest.descriptor_unlink_file_at(it, "x"),
    "stat": lambda guest, it: guest.descriptor_stat_at(it, [], "x"),
    "set times": lambda guest, it: guest.descriptor_set_times_at(it, [], "x", "now", "now"),
    "link": lambda guest, it: guest.descriptor_link_at(it, [], "x", it, "y"),
    "link to": lambda guest, it: guest.descriptor_link_at(guest.root, [], "file", it, "y"),
    "rename": lambda guest, it: guest.descriptor_rename_at(it, "x", it, "y"),
    "rename to": lambda guest, it: guest.descriptor_rename_at(guest.root, "file", it, "y"),
    "symlink": lambda guest, it: guest.descriptor_symlink_at(it, "x", "y"),
    "readlink": lambda guest, it: guest.descriptor_readlink_at(it, "x"),
    "hash": lambda guest, it: guest.descriptor_metadata_hash_at(it, [], "x"),
}


@pytest.mark.parametrize("name", FILE_CALLS)
def test_a_directory_is_no_file(guest: Guest, name: str) -> None:
    assert error_of(FILE_CALLS[name], guest, guest.root) in ("bad-descriptor", "is-directory")


@pytest.mark.parametrize("name", DIRECTORY_CALLS)
def test_a_file_is_no_directory(guest: Guest, name: str) -> None:
    assert error_of(DIRECTORY_CALLS[name], guest, guest.open("file")) == "not-directory"


@pytest.mark.parametrize("calls", [FILE_CALLS, DIRECTORY_CALLS], ids=["file", "directory"])
def test_what_was_dropped_is_refused_by_everything(guest: Guest, calls: dict[str, Any]) -> None:
    it = guest.open("file" if calls is FILE_CALLS else "dir", mode=READ)
    guest.drop_descriptor(it)
    for name, call in calls.items():
        assert error_of(call, guest, it) is not None, name


READONLY_CALLS: dict[str, Callable[[Guest], Any]] = {
    "open for writing": lambda guest: guest.open("file", [], READ_WRITE),
    "create": lambda guest: guest.open("new", ["create"], READ),
    "truncate": lambda guest: guest.open("file", ["truncate"], READ),
    "open to change": lambda guest: guest.open("dir", [], ["read", "mutate-directory"]),
    "set times": lambda guest: guest.descriptor_set_times(guest.open("file"), "now", "now"),
    "set times at": lambda guest: guest.descriptor_set_times_at(guest.root, [], "file", "now", "now"),
    "set size": lambda guest: guest.descriptor_set_size(guest.open("file"), 0),
    "create directory": lambda guest: guest.descriptor_create_directory_at(guest.root, "new"),
    "remove directory": lambda guest: guest.descriptor_remove_directory_at(guest.root, "empty"),
    "unlink": lambda guest: guest.descriptor_unlink_file_at(guest.root, "file"),
    "link": lambda guest: guest.descriptor_link_at(guest.root, [], "file", guest.root, "new"),
    "rename": lambda guest: guest.descriptor_rename_at(guest.root, "file", guest.root, "new"),
    "symlink": lambda guest: guest.descriptor_symlink_at(guest.root, "file", "new"),
    "below": lambda guest: guest.descriptor_open_at(guest.open("dir"), [], "f", [], READ_WRITE),
}


@pytest.mark.parametrize("name", READONLY_CALLS)
def test_nothing_changes_under_a_readonly_preopen(readonly: Guest, root: Path, name: str) -> None:
    before = sorted((path, path.lstat().st_mtime_ns) for path in root.rglob("*"))
    assert error_of(READONLY_CALLS[name], readonly) == "not-permitted"
    assert sorted((path, path.lstat().st_mtime_ns) for path in root.rglob("*")) == before


def test_too_many_open_files_are_an_error(root: Path) -> None:
    guest = Guest(preopens=[Preopen(root, "/")], max_descriptors=6)
    with guest.wasi:
        first, second = guest.open("file"), guest.open("file")
        assert error_of(guest.open, "file") == "insufficient-memory"
        assert error_of(guest.descriptor_read_via_stream, first, 0) == "insufficient-memory"
        guest.drop_descriptor(second)
        guest.descriptor_read_via_stream(first, 0)


def test_a_handle_that_is_none_traps(guest: Guest) -> None:
    with pytest.raises(TypeError, match="Descriptor"):
        guest.descriptor_stat("not a descriptor")
    with pytest.raises(ComponentTrap, match="permitted"):
        guest.output_stream_write(guest.get_stdout(), b"without asking first")
