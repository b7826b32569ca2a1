"""Twenty processes use one cache directory while somebody damages, replaces and removes its files under them: nobody
gets a wrong answer, and nobody crashes."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.jit import attack_worker
from tests.jit.support import REPOSITORY, environment_for
from wasmark.jit.cache import SUFFIX
from wasmark.runtime.code_memory import PAGE_SIZE

if TYPE_CHECKING:
    from collections.abc import Callable

PROCESSES = 20
ROUNDS = 25


def flip(path: Path, rng: random.Random) -> None:
    """One bit, or one in fifty bytes; not in the padding, of which there is much, and often behind the first page,
    where code is."""
    start = rng.choice((0, PAGE_SIZE))
    places = [at for at, byte in enumerate(path.read_bytes()) if byte and at >= start]
    with path.open("r+b") as file:
        for at in rng.choices(places, k=rng.choice((1, 1, 50))) if places else ():
            file.seek(at)
            byte = file.read(1) or b"\0"
            file.seek(at)
            file.write(bytes([byte[0] ^ 1 << rng.randrange(8)]))


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(path.stat().st_size + 1))


def lengthen(path: Path, rng: random.Random) -> None:
    with path.open("ab") as file:
        file.write(rng.randbytes(rng.randrange(1, 5000)))


def another_files_contents(path: Path, rng: random.Random) -> None:
    """Put there, whole, by a renaming: what has a right checksum, and belongs to another key."""
    other = rng.choice([path, *regular_files(path.parent)])
    copy = path.with_suffix(".copy")
    shutil.copyfile(other, copy)
    copy.chmod(0o600)
    copy.rename(path)


def damaged_copy(path: Path, rng: random.Random) -> None:
    copy = path.with_suffix(".copy")
    shutil.copyfile(path, copy)
    flip(copy, rng)
    copy.chmod(0o600)
    copy.rename(path)


def remove(path: Path, rng: random.Random) -> None:
    path.unlink()


def link(path: Path, rng: random.Random) -> None:
    target = path.with_suffix(".target")
    path.rename(target)
    path.symlink_to(target)


def pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def open_to_all(path: Path, rng: random.Random) -> None:
    path.chmod(0o666)


def garbage(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.randrange(3000)))


REPLACING = (another_files_contents, damaged_copy, remove, link, pipe, open_to_all)
IN_PLACE = (flip, flip, cut, lengthen, garbage)


def regular_files(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob(f"*{SUFFIX}") if path.is_file() and not path.is_symlink())


def attack(directory: Path, attacks: tuple[Callable[[Path, random.Random], None], ...], rng: random.Random) -> None:
    files = sorted(directory.glob(f"*{SUFFIX}")) if directory.is_dir() else []
    regular = regular_files(directory)
    for path in set(files) - set(regular):
        if rng.random() < 0.2:  # a link or a pipe: away with it from time to time, so that there is a file again
            path.unlink(missing_ok=True)
    if regular:
        # It may be gone, or be another one, by now: the others write and evict as they please.
        with contextlib.suppress(FileNotFoundError, FileExistsError):
            rng.choice(attacks)(rng.choice(regular), rng)


@pytest.mark.parametrize(
    ("arguments", "attacks"), [((), REPLACING + IN_PLACE), (("mapped",), REPLACING)], ids=["read", "mapped"]
)
def test_nobody_gets_a_wrong_answer(
    tmp_path: Path, arguments: tuple[str, ...], attacks: tuple[Callable[[Path, random.Random], None], ...]
) -> None:
    directory = tmp_path / "cache"
    workers = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", attack_worker.__name__, str(directory), str(seed), str(ROUNDS)),
                *arguments,
            ],
            cwd=REPOSITORY,
            env=environment_for(tmp_path),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for seed in range(PROCESSES)
    ]
    rng = random.Random(20)
    done = 0
    while any(worker.poll() is None for worker in workers):
        attack(directory, attacks, rng)
        time.sleep(0.001)
        done += 1
    results = [(*worker.communicate(timeout=60), worker.returncode) for worker in workers]
    assert [result for result in results if result[2]] == []
    assert done > PROCESSES
