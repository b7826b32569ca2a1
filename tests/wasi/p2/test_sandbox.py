"""Nothing outside a preopened directory can be named by a component either."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.wasi.p2.guest import FOLLOW, READ, READ_WRITE, Guest, error_of
from tests.wasi.test_sandbox import OUTSIDE, OUTSIDE_FOLLOWED, snapshot

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

EVERY_PATH_CALL: dict[str, Callable[[Guest, str], Any]] = {
    "open": lambda guest, path: guest.open(path, follow=[]),
    "open_follow": lambda guest, path: guest.open(path),
    "open_directory": lambda guest, path: guest.open(path, ["directory"]),
    "open_create": lambda guest, path: guest.open(path, ["create"], READ_WRITE),
    "open_truncate": lambda guest, path: guest.open(path, ["truncate"], READ_WRITE),
    "stat": lambda guest, path: guest.stat(path),
    "stat_follow": lambda guest, path: guest.stat(path, FOLLOW),
    "hash": lambda guest, path: guest.descriptor_metadata_hash_at(guest.root, FOLLOW, path),
    "set_times": lambda guest, path: guest.descriptor_set_times_at(guest.root, FOLLOW, path, "now", "now"),
    "readlink": lambda guest, path: guest.descriptor_readlink_at(guest.root, path),
    "create_directory": lambda guest, path: guest.descriptor_create_directory_at(guest.root, path),
    "remove_directory": lambda guest, path: guest.descriptor_remove_directory_at(guest.root, path),
    "unlink_file": lambda guest, path: guest.descriptor_unlink_file_at(guest.root, path),
    "symlink": lambda guest, path: guest.descriptor_symlink_at(guest.root, "file", path),
    "link_from": lambda guest, path: guest.descriptor_link_at(guest.root, [], path, guest.root, "made"),
    "link_to": lambda guest, path: guest.descriptor_link_at(guest.root, [], "file", guest.root, path),
    "rename_from": lambda guest, path: guest.descriptor_rename_at(guest.root, path, guest.root, "made"),
    "rename_to": lambda guest, path: guest.descriptor_rename_at(guest.root, "file", guest.root, path),
}
ENTRY_CALLS = {"create_directory", "remove_directory", "unlink_file", "symlink", "link_to", "rename_from", "rename_to"}


@pytest.mark.parametrize("operation", EVERY_PATH_CALL)
def test_a_path_that_leads_out_is_refused_and_changes_nothing(guest: Guest, outside: Path, operation: str) -> None:
    before = snapshot(outside)
    for path in OUTSIDE:
        error = error_of(EVERY_PATH_CALL[operation], guest, path)
        if operation in ENTRY_CALLS and path in ("loutdir/", "lup/"):
            # Making, removing or renaming an entry does not follow a link at its end: this is the link itself.
            assert error in ("exist", "not-directory")
        else:
            assert error == "not-permitted", path
    assert snapshot(outside) == before


@pytest.mark.parametrize(
    "operation", ["open_follow", "open_directory", "open_create", "open_truncate", "stat_follow", "hash", "set_times"]
)
def test_a_link_that_leads_out_is_not_followed(guest: Guest, outside: Path, operation: str) -> None:
    before = snapshot(outside)
    for path in OUTSIDE_FOLLOWED:
        assert error_of(EVERY_PATH_CALL[operation], guest, path) == "not-permitted", path
    assert snapshot(outside) == before


def test_a_link_to_an_absolute_path_is_neither_made_nor_read(guest: Guest, root: Path) -> None:
    assert error_of(guest.descriptor_symlink_at, guest.root, "/etc/passwd", "made") == "not-permitted"
    assert not (root / "made").is_symlink()
    assert error_of(guest.descriptor_readlink_at, guest.root, "labs") == "not-permitted"


def test_a_directory_that_was_opened_is_a_root_of_its_own(guest: Guest) -> None:
    directory = guest.open("dir")
    assert error_of(guest.descriptor_open_at, directory, FOLLOW, "../file", [], READ) == "not-permitted"
    assert error_of(guest.descriptor_open_at, directory, FOLLOW, "sub/../../file", [], READ) == "not-permitted"
    assert error_of(guest.descriptor_open_at, directory, FOLLOW, "sub/../f", [], READ) is None
