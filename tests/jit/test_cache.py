"""The cache directory: who may be trusted, how much it holds, and that nothing that goes wrong with it matters."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from tests.jit.support import environment_for
from wasmark.config import Config
from wasmark.jit import cache as cache_module
from wasmark.jit import identity
from wasmark.jit.artefact import Artefact
from wasmark.jit.cache import SUFFIX, CodeCache, default_directory, open_cache


def artefact(number: int, size: int = 100) -> Artefact:
    return Artefact(number.to_bytes(32, "big"), {"kind": "test", "number": number}, {}, {"blob": bytes(size)})


def has(cache: CodeCache, number: int) -> bool:
    stored = cache.get(number.to_bytes(32, "big"))
    if stored is None:
        return False
    stored.close()
    assert stored.artefact.info["number"] == number
    return True


def path_of(cache: CodeCache, number: int) -> Path:
    return Path(cache.directory, number.to_bytes(32, "big").hex() + SUFFIX)


@pytest.fixture
def cache(tmp_path: Path) -> CodeCache:
    return CodeCache(str(tmp_path / "cache"), 1 << 30)


def test_what_is_put_is_got_and_is_nobody_elses_business(cache: CodeCache) -> None:
    assert not has(cache, 1)
    cache.put(artefact(1))
    assert has(cache, 1)
    assert not has(cache, 2)
    assert os.stat(cache.directory).st_mode & 0o777 == 0o700
    assert path_of(cache, 1).stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in cache.entries()] == [path_of(cache, 1).name]
    assert cache.describe(path_of(cache, 1).name) == {"kind": "test", "number": 1}
    assert os.listdir(cache.directory) == [path_of(cache, 1).name]


def test_a_file_or_directory_that_others_may_write_is_not_used(
    cache: CodeCache, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "wasmark.cache")
    cache.put(artefact(1))
    for mode, fine in [(0o620, False), (0o602, False), (0o644, True), (0o600, True)]:
        path_of(cache, 1).chmod(mode)
        assert has(cache, 1) == fine
    for mode, fine in [(0o770, False), (0o707, False), (0o755, True)]:
        os.chmod(cache.directory, mode)
        assert has(cache, 1) == fine
        cache.put(artefact(mode))
        assert path_of(cache, mode).exists() == fine
    assert "others may write the file (mode 620)" in caplog.text
    assert "others may write the directory (mode 770)" in caplog.text


def test_what_belongs_to_another_user_is_not_used(cache: CodeCache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.put(artefact(1))
    me = os.geteuid()
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: me + 1)
        assert not has(cache, 1)
        cache.put(artefact(2))
    assert has(cache, 1)
    assert not has(cache, 2)
    if me == 0:
        os.chown(path_of(cache, 1), 4711, -1)
        assert not has(cache, 1)


def test_links_and_directories_are_not_followed(cache: CodeCache, tmp_path: Path) -> None:
    cache.put(artefact(1))
    path_of(cache, 1).rename(tmp_path / "elsewhere")
    path_of(cache, 1).symlink_to(tmp_path / "elsewhere")
    assert not has(cache, 1)
    path_of(cache, 1).unlink()
    path_of(cache, 1).mkdir()
    assert not has(cache, 1)
    path_of(cache, 2).write_bytes(b"")
    assert not has(cache, 2)


def test_a_file_under_another_files_name_is_not_used(cache: CodeCache) -> None:
    cache.put(artefact(1))
    path_of(cache, 1).rename(path_of(cache, 2))
    assert not has(cache, 2)


@pytest.mark.parametrize("directory", ["/dev/null/cache", "/proc/cache"])
def test_where_nothing_can_be_written_nothing_happens(directory: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "wasmark.cache")
    cache = CodeCache(directory, 1 << 30)
    cache.put(artefact(1))
    assert not has(cache, 1)
    assert cache.entries() == []
    assert cache.clear() == 0
    with cache.lock(bytes(32)):
        pass
    assert "cannot write to" in caplog.text
    assert {record.levelno for record in caplog.records} == {logging.DEBUG}


def test_a_full_disk_leaves_nothing_behind(cache: CodeCache) -> None:
    code = f"""
import resource, signal, sys
from tests.jit.test_cache import CodeCache, artefact
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
CodeCache({cache.directory!r}, 1 << 30).put(artefact(1, 100_000))
"""
    subprocess.run([sys.executable, "-c", code], check=True, env=environment_for(Path(cache.directory)), timeout=60)
    assert os.listdir(cache.directory) == []


def test_the_least_recently_used_go_first(tmp_path: Path) -> None:
    cache = CodeCache(str(tmp_path), 100_000)
    now = time.time()
    for number in range(8):
        cache.put(artefact(number, 8_000))
        os.utime(path_of(cache, number), (now - 10_000 + number, now - 10_000 + number))
    assert has(cache, 0)  # the oldest one is in use again
    assert path_of(cache, 0).stat().st_mtime >= now - 1
    for number in range(8, 12):
        cache.put(artefact(number, 8_000))
    left = {number for number in range(12) if path_of(cache, number).exists()}
    assert sum(entry.size for entry in cache.entries()) <= 100_000
    assert 0 in left
    assert 11 in left
    assert 1 not in left
    assert left - {0} == set(range(min(left - {0}), 12))


def test_temporary_files_of_the_dead_are_removed(tmp_path: Path) -> None:
    old, new = tmp_path / ".1-a.tmp", tmp_path / ".1-b.tmp"
    old.touch()
    new.touch()
    os.utime(old, (1, 1))
    tmp_path.chmod(0o700)
    CodeCache(str(tmp_path), 1 << 20).put(artefact(1))
    assert not old.exists()
    assert new.exists()


def test_clearing_removes_artefacts_and_nothing_else(cache: CodeCache) -> None:
    cache.put(artefact(1))
    cache.put(artefact(2))
    other = Path(cache.directory, "notes.txt")
    other.write_text("mine")
    freed = sum(entry.size for entry in cache.entries())
    assert cache.clear() == freed > 0
    assert os.listdir(cache.directory) == ["notes.txt"]


def test_the_key_changes_with_everything_that_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = {identity.make_key("module", ["a"]), identity.make_key("module", ["b"]), identity.make_key("stubs", ["a"])}
    keys |= {identity.make_key("module", ["a", ""]), identity.make_key("module", ["", "a"])}
    here = identity.environment()
    assert len(here) == 4
    for what in here:
        monkeypatch.setattr(identity, "environment", lambda what=what: {**here, what: "another"})
        keys.add(identity.make_key("module", ["a"]))
    assert len(keys) == 9


def test_the_version_of_the_sources_is_that_of_their_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "wasmark"
    for room in identity._ROOMS:
        (package / room).mkdir(parents=True)
    monkeypatch.setattr(identity, "__file__", str(package / "jit" / "identity.py"))
    source = package / "compile" / "numeric.py"
    source.write_text("one")
    one = identity.sources.__wrapped__()
    assert identity.sources.__wrapped__() == one
    source.write_text("two")
    two = identity.sources.__wrapped__()
    assert two != one
    (package / "compile" / "deeper").mkdir()
    (package / "compile" / "deeper" / "entry.ll").write_text("ir")
    (package / "compile" / "__pycache__").mkdir()
    three = identity.sources.__wrapped__()
    assert three not in (one, two)
    (package / "compile" / "__pycache__" / "left.py").write_text("over")
    assert identity.sources.__wrapped__() == three


def test_a_lock_is_held_by_one_at_a_time_and_only_for_its_key(cache: CodeCache) -> None:
    key, other = b"\1" * 32, b"\2" * 32
    order: list[str] = []
    with cache.lock(key):
        with cache.lock(other):
            order.append("other key")
        thread = threading.Thread(target=lambda: _enter(cache, key, order))
        thread.start()
        process = subprocess.Popen(
            [
                sys.executable,
                "-c",
                f"from wasmark.jit.cache import CodeCache\nwith CodeCache({cache.directory!r}, 1).lock({key!r}):\n"
                " print('entered', flush=True)",
            ],
            stdout=subprocess.PIPE,
            env=environment_for(Path(cache.directory)),
        )
        time.sleep(0.5)
        assert process.poll() is None
        order.append("released")
    thread.join(60)
    output, _ = process.communicate(timeout=60)
    assert output == b"entered\n"
    assert order == ["other key", "released", "thread"]


def _enter(cache: CodeCache, key: bytes, order: list[str]) -> None:
    with cache.lock(key):
        order.append("thread")


def test_the_directory_is_where_the_standard_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert default_directory() == str(tmp_path / "wasmark")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", "/home/somebody")
    assert default_directory() == "/home/somebody/.cache/wasmark"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_directory() == "/home/somebody/.cache/wasmark"
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert default_directory() is None
    assert open_cache(Config()) is None
    assert open_cache(Config(cache=False)) is None
    chosen = open_cache(Config(cache=tmp_path / "chosen", cache_limit=5))
    assert chosen is not None
    assert (chosen.directory, chosen.limit) == (str(tmp_path / "chosen"), 5)


def test_the_tests_do_not_use_the_users_cache() -> None:
    directory = default_directory()
    assert directory is not None
    assert "wasmark-tests-" in directory
    assert cache_module.SUFFIX == ".wasmark"


@pytest.mark.parametrize("wrong", [{"cache_limit": -1}, {"compile_processes": 0}])
def test_senseless_settings_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Config(**wrong)  # type: ignore[arg-type]


def test_files_that_are_not_the_caches_are_neither_listed_nor_removed(cache: CodeCache) -> None:
    cache.put(artefact(1))
    for name in ("program.wasmark", "z" * 64 + ".wasmark", "download.tmp"):
        Path(cache.directory, name).touch()
    assert [entry.name for entry in cache.entries()] == [path_of(cache, 1).name]
    cache.clear()
    assert sorted(os.listdir(cache.directory)) == ["download.tmp", "program.wasmark", "z" * 64 + ".wasmark"]


def test_looking_at_a_file_is_no_use_of_it(cache: CodeCache) -> None:
    cache.put(artefact(1))
    path = path_of(cache, 1)
    os.utime(path, (1_000, 1_000))
    assert cache.describe(path.name)["number"] == 1
    assert path.stat().st_mtime == 1_000
