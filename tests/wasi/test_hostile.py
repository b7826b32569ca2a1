"""Whatever integers a program passes, a code comes back: no Python exception, nothing written outside, no hang."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest

from tests.wasi.conftest import host_descriptors
from tests.wasi.guest import PAGE, Guest, quiet
from wasmark.errors import Exit
from wasmark.wasi import Clocks, Errno, Preopen
from wasmark.wasi.functions import ROWS, HostFunction

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

I32 = [0, 1, 2, 3, 4, 5, 8, 16, 63, 0x1000, PAGE - 1, PAGE, PAGE + 1, (1 << 31) - 1, -(1 << 31), -1, -4, -PAGE]
I64 = [*I32, (1 << 63) - 1, -(1 << 63), 1 << 32, 1 << 62]
NAMES = [row.name for row in ROWS]


@pytest.fixture
def world(root: Path) -> Iterator[Guest]:
    """A program with a file of each kind open, whose waits take no time."""
    with quiet(
        args=["a", "b"],
        env={"A": "B"},
        stdin=b"input",
        preopens=[Preopen(root, "/")],
        clocks=Clocks(sleep=lambda _: None),
    ) as wasi:
        guest = Guest(wasi)
        guest.open("file", 0, 0x42)
        guest.open("dir", 2)
        yield guest


def attack(function: HostFunction, args: list[int]) -> int | None:
    """Call it; the code, or None if the program ended."""
    try:
        code = function.call(*args)
    except Exit:
        assert function.name == "proc_exit"
        return None
    assert code in Errno.__members__.values()
    return code


@pytest.mark.parametrize("name", NAMES)
def test_every_function_with_the_same_hostile_integer_everywhere(world: Guest, name: str) -> None:
    function = world.functions[name]
    for value in I64:
        attack(function, [value] * len(function.params))
        world.memory.append(0)
        world.memory.pop()


@pytest.mark.parametrize("name", NAMES)
def test_every_function_with_random_hostile_integers(world: Guest, name: str) -> None:
    function = world.functions[name]
    seed = random.Random(name)
    choices = [I64 if kind == "i64" else I32 for kind in function.params]
    for _ in range(400):
        attack(function, [seed.choice(values) for values in choices])


def test_a_long_random_program(world: Guest, tmp_path: Path, outside: Path) -> None:
    """Calls that mean something now and then: good descriptors, real paths, memory full of numbers."""
    seed = random.Random(1)
    before = {path: path.read_bytes() for path in outside.iterdir()}
    paths = [
        b"file",
        b"dir",
        b"new",
        b"dir/../file",
        b"../outside/secret",
        b"lout",
        b"loutdir/secret",
        b"/",
        b".",
        b"a/b",
    ]
    for i, path in enumerate(paths):
        world.put(0x100 * (i + 1), path)
    world.put(0x4000, b"".join(seed.randrange(1 << 32).to_bytes(4, "little") for _ in range(0x1000)))
    functions = [function for function in world.functions.values() if function.name != "proc_exit"]
    for _ in range(6000):
        function = seed.choice(functions)
        args = []
        for kind in function.params:
            roll = seed.random()
            if roll < 0.35:
                args.append(seed.randrange(8))
            elif roll < 0.6:
                args.append(0x100 * seed.randrange(1, len(paths) + 1))
            elif roll < 0.75:
                args.append(0x4000 + 4 * seed.randrange(0x1000))
            elif roll < 0.9:
                args.append(seed.randrange(30))
            else:
                args.append(seed.choice(I64 if kind == "i64" else I32))
        attack(function, args)
        if function.name == "fd_close" and len(world.wasi._table) < 4:
            break
    assert {path: path.read_bytes() for path in outside.iterdir()} == before
    assert sorted(os.listdir(tmp_path)) == ["outside", "root"]


OUT_OF_MEMORY: dict[str, list[tuple[int, ...]]] = {
    "args_get": [(PAGE - 7, 0), (0, PAGE - 3)],
    "args_sizes_get": [(PAGE - 3, 0), (0, PAGE - 3)],
    "clock_res_get": [(0, PAGE - 7)],
    "clock_time_get": [(0, 0, PAGE - 7)],
    "environ_get": [(PAGE - 3, 0), (0, PAGE - 3)],
    "environ_sizes_get": [(PAGE - 3, 0), (0, PAGE - 3)],
    "fd_fdstat_get": [(4, PAGE - 23)],
    "fd_filestat_get": [(4, PAGE - 63), (0, PAGE - 63)],
    "fd_pread": [(4, PAGE - 7, 1, 0, 0), (4, 0x40, 1, 0, PAGE - 3), (4, 0x48, 1, 0, 0)],
    "fd_prestat_dir_name": [(3, PAGE, 1), (3, PAGE - 1, 2), (3, -1, 1)],
    "fd_prestat_get": [(3, PAGE - 7)],
    "fd_pwrite": [(4, PAGE - 7, 1, 0, 0), (4, 0x40, 1, 0, PAGE - 3), (4, 0x48, 1, 0, 0)],
    "fd_read": [(4, PAGE - 7, 1, 0), (4, 0x40, 1, PAGE - 3), (4, 0x48, 1, 0), (0, 0x40, 2, 0)],
    "fd_readdir": [(3, PAGE - 9, 10, 0, 0), (3, 0, 10, 0, PAGE - 3), (3, 0, -1, 0, 0)],
    "fd_seek": [(4, 0, 0, PAGE - 7)],
    "fd_tell": [(4, PAGE - 7)],
    "fd_write": [(4, PAGE - 7, 1, 0), (4, 0x40, 1, PAGE - 3), (4, 0x48, 1, 0), (1, 0x40, 2, 0)],
    "path_create_directory": [(3, PAGE - 2, 3), (3, -2, 2), (3, 0, -1)],
    "path_filestat_get": [(3, 0, PAGE - 2, 3, 0), (3, 0, 0x10, 4, PAGE - 63)],
    "path_filestat_set_times": [(3, 0, PAGE - 2, 3, 1, 1, 5)],
    "path_link": [(3, 0, PAGE - 2, 3, 3, 0x20, 3), (3, 0, 0x10, 4, 3, PAGE - 2, 3)],
    "path_open": [(3, 0, PAGE - 2, 3, 1, 0, 0, 0, 0), (3, 0, 0x20, 3, 1, 0, 0, 0, PAGE - 3)],
    "path_readlink": [(3, PAGE - 2, 3, 0, 9, 0), (3, 0x10, 4, PAGE - 8, 9, 0), (3, 0x10, 4, 0, 9, PAGE - 3)],
    "path_remove_directory": [(3, PAGE - 2, 3)],
    "path_rename": [(3, PAGE - 2, 3, 3, 0x20, 3), (3, 0x10, 4, 3, PAGE - 2, 3)],
    "path_symlink": [(PAGE - 2, 3, 3, 0x20, 3), (0x10, 4, 3, PAGE - 2, 3)],
    "path_unlink_file": [(3, PAGE - 2, 3)],
    "poll_oneoff": [(PAGE - 47, 0, 1, 0), (0x200, PAGE - 31, 1, 0), (0x200, 0x300, 1, PAGE - 3)],
    "random_get": [(PAGE - 9, 10), (-1, 1), (0, -1)],
}
"""For every function with a pointer, calls that are right but for one pointer. 0x10 holds "file", 0x20 a new name, 0x40
a good buffer and a bad one, 0x200 a subscription."""

NO_POINTERS = {
    "fd_advise", "fd_allocate", "fd_close", "fd_datasync", "fd_fdstat_set_flags", "fd_fdstat_set_rights",
    "fd_filestat_set_size", "fd_filestat_set_times", "fd_renumber", "fd_sync", "proc_exit", "proc_raise", "sched_yield",
    "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
}  # fmt: skip


def attributes(root: Path) -> list[tuple[str, int, int]]:
    """What a call could have changed."""
    return sorted((str(path), path.lstat().st_mtime_ns, path.lstat().st_size) for path in root.rglob("*"))


def test_every_function_is_in_one_of_the_two_lists() -> None:
    assert OUT_OF_MEMORY.keys() | NO_POINTERS == set(NAMES)
    assert not OUT_OF_MEMORY.keys() & NO_POINTERS


@pytest.mark.parametrize("name", OUT_OF_MEMORY)
def test_a_pointer_out_of_memory_is_a_fault_and_nothing_happens(world: Guest, root: Path, name: str) -> None:
    world.put(0x10, b"file")
    world.put(0x20, b"new")
    world.put(
        0x40, (0x80).to_bytes(4, "little") + (4).to_bytes(4, "little") + (PAGE - 3).to_bytes(4, "little") + b"\4\0\0\0"
    )
    tree = attributes(root)
    memory = bytes(world.memory)
    descriptors = host_descriptors(collect=True)
    for args in OUT_OF_MEMORY[name]:
        assert world.call(name, *args) == Errno.FAULT, args
    assert bytes(world.memory) == memory
    assert host_descriptors() == descriptors
    assert attributes(root) == tree
    assert world.tell(4) == 0
    assert world.read(0, 9) == b"input", "nothing was taken from the input"


def test_memory_that_grows_is_seen_by_the_next_call(world: Guest) -> None:
    assert world.call("random_get", PAGE, 16) == Errno.FAULT
    world.memory.extend(bytes(PAGE))
    assert world.call("random_get", PAGE, 16) == Errno.SUCCESS
    assert any(world.get(PAGE, 16))


def test_a_program_without_memory_gets_faults() -> None:
    with quiet() as wasi:
        guest = Guest(wasi, size=0)
        assert guest.call("random_get", 0, 1) == Errno.FAULT
        assert guest.call("random_get", 0, 0) == Errno.SUCCESS
        assert guest.call("sched_yield") == Errno.SUCCESS
