"""Fixtures: a directory `root` that a program may see, beside one that it must never reach."""

from __future__ import annotations

import gc
import os
import re
from typing import TYPE_CHECKING

import pytest

from tests.wasi.guest import Guest, quiet
from wasmark.wasi import Preopen

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "what the host keeps to itself"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A directory of the host beside `root`."""
    directory = tmp_path / "outside"
    directory.mkdir()
    (directory / "secret").write_text(SECRET)
    return directory


@pytest.fixture
def root(tmp_path: Path, outside: Path) -> Path:
    """The directory that is preopened as `/`, with something of every kind in it."""
    directory = tmp_path / "root"
    directory.mkdir()
    populate(directory)
    return directory


def populate(directory: Path) -> None:
    (directory / "file").write_text("hello")
    (directory / "empty").mkdir()
    (directory / "dir").mkdir()
    (directory / "dir" / "f").write_text("x")
    (directory / "dir" / "sub").mkdir()
    links = {
        "lfile": "file",
        "lfile_slash": "file/",
        "ldir": "dir",
        "ldir_slash": "dir/",
        "lback": "dir/../file",
        "ldot": ".",
        "dangling": "nowhere",
        "loop": "loop",
        "ping": "pong",
        "pong": "ping",
        "labs": "/etc/passwd",
        "lout": "../outside/secret",
        "loutdir": "../outside",
        "lup": "..",
    }
    for name, target in links.items():
        os.symlink(target, directory / name)


@pytest.fixture
def guest(root: Path) -> Iterator[Guest]:
    """A program with `root` as descriptor 3."""
    with quiet(preopens=[Preopen(root, "/")]) as wasi:
        yield Guest(wasi)


@pytest.fixture
def readonly(root: Path) -> Iterator[Guest]:
    """A program with `root` as descriptor 3, read-only."""
    with quiet(preopens=[Preopen(root, "/", readonly=True)]) as wasi:
        yield Guest(wasi)


_OF_THE_PROCESS = re.compile(r"\.wasmark$|/memfd:wasmark-memories|/#\d+ \(deleted\)$|^pipe:")
"""What the runtime itself opens, at any time: ready-made code, the contents of memories, and the pipes and the error
file of the process that optimises in the background."""


def host_descriptors(*, collect: bool = False) -> set[str]:
    """The descriptors of this process that programs may have opened, and what they lead to. `collect`: first have those
    closed that earlier tests have forgotten."""
    if collect:
        gc.collect()
    found = set()
    for number in os.listdir("/proc/self/fd"):
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:
            continue  # the one that the listing itself used
        if int(number) <= 2 or not _OF_THE_PROCESS.search(target):
            found.add(f"{number} {target}")
    return found
