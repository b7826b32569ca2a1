"""The same calls of the same component on Wasmark and on wasmtime-py: the same errors, the same files afterwards.

Where the two differ on purpose, the difference is listed here with its reason.
"""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

import pytest
import wasmtime
from wasmtime import component as peer_component

from tests.wasi.conftest import populate
from tests.wasi.p2 import worlds
from tests.wasi.p2.forwarding import binary
from tests.wasi.p2.guest import Guest, error_of
from tests.wasi.test_peer import LINKS as LINK_NAMES
from tests.wasi.test_peer import PATHS as BYTE_PATHS
from wasmark.wasi import Preopen

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PATHS = [path for path in BYTE_PATHS if isinstance(path, str)]
FLAGS = {"nothing": set(), "create": {"create"}, "exclusive": {"create", "exclusive"}, "directory": {"directory"},
         "truncate": {"truncate"}, "directory and create": {"create", "directory"}}  # fmt: skip
MODES = {"reading": {"read"}, "writing": {"write"}, "both": {"read", "write"}, "none": set()}
if not os.environ.get("WASMARK_LONG"):
    del MODES["reading"], MODES["writing"], MODES["none"]
LINKS: dict[str, set[str]] = {"": set(), " follow": {"symlink-follow"}}


class Ours:
    """A component here. `base` is the directory that paths are relative to."""

    def __init__(self, root: Path) -> None:
        self._guest = Guest(preopens=[Preopen(root, "/")])
        self._root = self._guest.root
        self.base: Any = None

    def enter(self, name: str) -> None:
        """Make a directory below the root the base."""
        self.base = self._guest.descriptor_open_at(self._root, [], name, ["directory"], ["read", "mutate-directory"])

    def call(self, name: str, *args: Any) -> str | None:
        """The label of the error that a function returns."""
        return error_of(getattr(self._guest, name.replace("-", "_")), *args)

    def close(self) -> None:
        self._guest.wasi.close()


@functools.cache
def _peer() -> tuple[wasmtime.Engine, Any, Any]:
    engine = wasmtime.Engine()
    linker = peer_component.Linker(engine)
    linker.add_wasip2()
    return engine, peer_component.Component(engine, binary(worlds.INTERFACES)), linker


class Theirs:
    """The same on wasmtime-py."""

    def __init__(self, root: Path) -> None:
        engine, component, linker = _peer()
        self._store = wasmtime.Store(engine)
        config = wasmtime.WasiConfig()
        config.preopen_dir(str(root), "/")
        self._store.set_wasi(config)
        self._instance = linker.instantiate(self._store, component)
        ((self._root, _),) = self._call("get-directories")
        self.base: Any = None

    def _call(self, name: str, *args: Any) -> Any:
        function = self._instance.get_func(self._store, name)
        assert function is not None
        result = function(self._store, *args)
        function.post_return(self._store)
        return result

    def enter(self, name: str) -> None:
        self.base = self._call(
            "descriptor-open-at", self._root, set(), name, {"directory"}, {"read", "mutate-directory"}
        )

    def call(self, name: str, *args: Any) -> str | None:
        result = self._call(name, *args)
        # A result is its payload where the two cannot be confused.
        if isinstance(result, peer_component.Variant):
            return result.payload if result.tag == "err" else None
        return result if isinstance(result, str) else None

    def close(self) -> None:
        self._store.close()


Face = Ours | Theirs

OPERATIONS: dict[str, Callable[[Face, str], str | None]] = {
    "readlink": lambda face, path: face.call("descriptor-readlink-at", face.base, path),
    "create directory": lambda face, path: face.call("descriptor-create-directory-at", face.base, path),
    "remove directory": lambda face, path: face.call("descriptor-remove-directory-at", face.base, path),
    "unlink": lambda face, path: face.call("descriptor-unlink-file-at", face.base, path),
    "symlink": lambda face, path: face.call("descriptor-symlink-at", face.base, "target", path),
    "symlink to": lambda face, path: face.call("descriptor-symlink-at", face.base, path, "made"),
    "link": lambda face, path: face.call("descriptor-link-at", face.base, set(), path, face.base, "made"),
    "link as": lambda face, path: face.call("descriptor-link-at", face.base, set(), "file", face.base, path),
    "rename": lambda face, path: face.call("descriptor-rename-at", face.base, path, face.base, "made"),
    "rename a file to": lambda face, path: face.call("descriptor-rename-at", face.base, "file", face.base, path),
    "rename a directory to": lambda face, path: face.call("descriptor-rename-at", face.base, "dir", face.base, path),
}
for _suffix, _follow in LINKS.items():
    OPERATIONS[f"stat{_suffix}"] = lambda face, path, follow=_follow: face.call(  # type: ignore[misc]
        "descriptor-stat-at", face.base, follow, path
    )
    for _how, _flags in FLAGS.items():
        for _mode, _wanted in MODES.items():
            OPERATIONS[f"open {_how} for {_mode}{_suffix}"] = (
                lambda face, path, follow=_follow, flags=_flags, wanted=_wanted: face.call(  # type: ignore[misc]
                    "descriptor-open-at", face.base, follow, path, flags, wanted
                )
            )


def _fresh(face: Face, root: Path, number: int) -> Path:
    """A new directory for the operations to come, with something of every kind in it."""
    place = root / f"{number}" / "root"
    place.mkdir(parents=True)
    populate(place)
    face.enter(f"{number}/root")
    return place


def _tree(root: Path) -> list[tuple[str, bytes | str]]:
    found: list[tuple[str, bytes | str]] = []
    for path in sorted(root.rglob("*")):
        contents = os.readlink(path) if path.is_symlink() else b"directory" if path.is_dir() else path.read_bytes()
        found.append((str(path.relative_to(root)), contents))
    return found


_SLASHED_LINKS = {"ldir/", "ldot/", "dangling/", "loop/", "loutdir/"}
_NO_DIRECTORIES = {"file/", "file/.", "lfile/", "new/", *_SLASHED_LINKS}

DIFFERENT: list[tuple[str, Callable[[str, str], bool], set[tuple[str | None, str | None]]]] = [
    (
        "As on the host, a directory is removed also where a slash is behind its name.",
        lambda operation, path: operation == "remove directory" and path in ("dir/", "empty/"),
        {("not-empty", "invalid"), (None, "invalid")},
    ),
    (
        "As on the host, an entry to make or remove is never followed, also where a slash is behind its name.",
        lambda operation, path: (
            operation in ("remove directory", "unlink", "symlink", "link as") and path in _SLASHED_LINKS
        ),
        {
            ("not-directory", there)
            for there in ("invalid", "no-entry", "loop", "not-permitted", "is-directory", "exist")
        },
    ),
    (
        "As on the host, a file does not become what a slash is behind the name of.",
        lambda operation, path: operation == "rename a file to" and path in ("./", "dir/", "empty/", *_NO_DIRECTORIES),
        {("not-directory", there) for there in ("busy", "is-directory", None)},
    ),
    (
        "As on the host, a slash behind a name asks for a directory, also where links are not followed.",
        lambda operation, path: operation == "stat" and path in _NO_DIRECTORIES,
        {("not-directory", None), ("no-entry", None), ("loop", None), ("not-permitted", None)},
    ),
    (
        "As on the host, opening a link as a directory without following it fails because it is none.",
        lambda operation, path: operation.startswith("open directory for") and path in LINK_NAMES,
        {("not-directory", "loop")},
    ),
    (
        "Where a path leads matters before the slash behind it does.",
        lambda operation, path: (
            operation.startswith(("open create", "open exclusive")) and path in ("loop/", "loutdir/")
        ),
        {("loop", "is-directory"), ("not-permitted", "is-directory")},
    ),
    (
        "Two errors at once.",
        lambda operation, path: path == "./" or len(path) > 4096,
        {("is-directory", "exist"), ("name-too-long", "invalid")},
    ),
]
"""Reason, which operations and paths, and pairs of what happens here and there."""


def _is_known(operation: str, path: str, ours: str | None, theirs: str | None) -> bool:
    return any(where(operation, path) and (ours, theirs) in pairs for _, where, pairs in DIFFERENT)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_the_same_happens(operation: str, tmp_path: Path) -> None:
    roots = [tmp_path / whose for whose in ("ours", "theirs")]
    for root in roots:
        root.mkdir()
    faces: list[Face] = [Ours(roots[0]), Theirs(roots[1])]
    places = [_fresh(face, root, 0) for face, root in zip(faces, roots, strict=True)]
    untouched = _tree(places[0])
    wrong = []
    for number, path in enumerate(PATHS, 1):
        ours, theirs = (OPERATIONS[operation](face, path) for face in faces)
        trees = [_tree(place) for place in places]
        if (ours != theirs or trees[0] != trees[1]) and not _is_known(operation, path, ours, theirs):
            wrong.append((path[:99], ours, theirs))
        if trees != [untouched, untouched]:
            places = [_fresh(face, root, number) for face, root in zip(faces, roots, strict=True)]
    for face in faces:
        face.close()
    assert not wrong
