"""The directories of the host that a program may see, and under which names."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from wasmark.core.record import FrozenRecord, set_
from wasmark.wasi.args import encode
from wasmark.wasi.descriptors import Directory, HostFd


class Preopen(FrozenRecord):
    """A directory of the host, and the path by which the program knows it.

    host_path: must be a directory when `Wasi` is made; what the name means later is of no consequence.
    guest_path: not interpreted here; a program's C library matches the paths it is given against it.
    readonly: everything that would change something in or below the directory fails with `PERM`.
    """

    __slots__ = ("guest_path", "host_path", "readonly")

    host_path: str | os.PathLike[str]
    guest_path: str
    readonly: bool

    def __init__(self, host_path: str | os.PathLike[str], guest_path: str, readonly: bool = False) -> None:
        set_(self, "host_path", host_path)
        set_(self, "guest_path", guest_path)
        set_(self, "readonly", readonly)


Preopens = Mapping[str, str | os.PathLike[str]] | Iterable[Preopen]


def normalise(preopens: Preopens) -> list[Preopen]:
    """The preopens in order. A mapping leads from guest paths to host paths."""
    if isinstance(preopens, Mapping):
        return [Preopen(host, guest) for guest, host in preopens.items()]
    found = list(preopens)
    for preopen in found:
        if not isinstance(preopen, Preopen):
            raise TypeError(f"preopens must be Preopen objects or a mapping of guest to host paths, not {preopen!r}")
    return found


def open_directory(preopen: Preopen) -> Directory:
    """Open it on the host. Raises OSError if that is not possible, ValueError if the guest path contains a NUL."""
    name = encode(preopen.guest_path, "guest path")
    number = os.open(preopen.host_path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return Directory(HostFd(number), readonly=preopen.readonly, preopen_name=name)
