"""`wasi_unstable`, the forerunner: the same functions with three other layouts."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import pytest

from tests.wasi.guest import DATA, OUT, TEXT, Guest, quiet
from wasmark.wasi import Clocks, Preopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def old(root: Path) -> Iterator[Guest]:
    clocks = Clocks(monotonic=lambda: 50, sleep=lambda seconds: None)
    with quiet(preopens=[Preopen(root, "/")], clocks=clocks) as wasi:
        yield Guest(wasi, "wasi_unstable")


def test_it_has_no_sock_accept(old: Guest) -> None:
    assert len(old.functions) == 45
    assert "sock_accept" not in old.functions


@pytest.mark.parametrize(("whence", "result"), [(0, 3), (1, 6), (2, 1)])
def test_seeking_counts_its_origins_differently(old: Guest, whence: int, result: int) -> None:
    fd = old.open("file")
    old.read(fd, 2)
    assert old.seek(fd, 1, whence) == result


def test_the_attributes_of_a_file_are_shorter(old: Guest, root: Path) -> None:
    host = (root / "file").stat()
    expected = (host.st_dev, host.st_ino, 4, 1, 5, host.st_atime_ns, host.st_mtime_ns, host.st_ctime_ns)
    fd = old.open("file")
    for name, args in (("path_filestat_get", (3, 0, *old.text("file"))), ("fd_filestat_get", (fd,))):
        old.put(OUT + 56, b"\xee" * 8)
        old.do(name, *args, OUT)
        assert struct.unpack("<QQB3xIQQQQ", old.get(OUT, 56)) == expected
        assert old.get(OUT + 56, 8) == b"\xee" * 8


def test_subscriptions_are_longer(old: Guest) -> None:
    clock = struct.pack("<QB7xQI4xQQH6x", 1, 0, 999, 1, 70, 0, 1)
    stdin = struct.pack("<QB7xI36x", 2, 1, 0)
    assert len(clock) == len(stdin) == 56
    old.put(TEXT, clock + stdin)
    old.do("poll_oneoff", TEXT, DATA, 2, OUT)
    assert old.u32() == 1
    assert struct.unpack("<QHB5xQH6x", old.get(DATA, 32)) == (2, 0, 1, 1, 0)
    old.do("poll_oneoff", TEXT, DATA, 1, OUT)
    assert struct.unpack("<QHB5xQH6x", old.get(DATA, 32)) == (1, 0, 0, 0, 0)


def test_both_names_share_one_world(old: Guest) -> None:
    fd = old.open("file")
    new = Guest(old.wasi)
    assert new.read(fd, 2) == b"he"
    assert old.tell(fd) == 2
