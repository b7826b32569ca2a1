"""A component for these tests that calls what it is told to: `guest.descriptor_stat(...)` is a call of `forwarding`."""

from __future__ import annotations

import functools
from typing import Any

from tests.wasi.guest import quiet
from tests.wasi.p2 import worlds
from tests.wasi.p2.forwarding import binary
from wasmark import Component, ComponentLinker, ResultError

READ = ["read"]
READ_WRITE = ["read", "write"]
FOLLOW = ["symlink-follow"]


@functools.cache
def component(version: str = "@0.2.0") -> Component:
    """It imports all of them but sockets."""
    return Component(binary([*worlds.INTERFACES, worlds.TIMEZONE, worlds.LOGGING], version))


class Guest:
    """An instance of it in a world of its own. `root` is its first directory."""

    def __init__(self, of: Component | None = None, **options: Any) -> None:
        self.wasi = quiet(**options)
        linker = ComponentLinker()
        linker.define_wasi(self.wasi)
        self.instance = linker.instantiate(of or component())
        self.exports = self.instance.exports

    def __getattr__(self, name: str) -> Any:
        return getattr(self.exports, name)

    @functools.cached_property
    def root(self) -> Any:
        return self.exports.get_directories()[0][0]

    def open(self, path: str, how: list[str] | None = None, mode: list[str] | None = None, **more: Any) -> Any:
        """`open-at` below the root."""
        follow = more.get("follow", FOLLOW)
        return self.exports.descriptor_open_at(self.root, follow, path, how or [], mode or READ)

    def stat(self, path: str, follow: list[str] | None = None) -> Any:
        return self.exports.descriptor_stat_at(self.root, follow or [], path)


def error_of(call: Any, *args: Any) -> str | None:
    """The label of the error that a call returns, None where it returns none."""
    try:
        call(*args)
    except ResultError as error:
        payload = error.payload
        return str(payload.label if hasattr(payload, "label") else payload.value)
    return None
