"""What compiled code depends on besides the module: everything here is part of the key of what is cached.

None of it may need the compiler: a start from the cache knows the versions without importing `llvmlite`.
"""

from __future__ import annotations

import functools
import os
import sys

from wasmark.jit.digest import blake2b
from wasmark.runtime.processor import description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Final

_ROOMS: Final = ("baseline", "binary", "compile", "core", "jit", "registry", "runtime", "validate")
"""The parts of the package that decide what code looks like, and what is valid."""

_READ_SIZE: Final = 1 << 17
_SOURCES: Final = (".py", ".ll")

_CPU_FIELDS: Final = (b"vendor_id", b"cpu family", b"model", b"model name", b"stepping", b"flags")


@functools.cache
def environment() -> dict[str, str]:
    """What has to be equal for code to be used, by what it is called in messages."""
    return {
        "the version of Wasmark": sources(),
        "the layout of Python's objects": python_objects(),
        "the processor": _processor(),
        "the version of LLVM": _llvm(),
    }


def python_objects() -> str:
    """All that code knows of the inside of Python, the same for its usual builds of any version: the C API has the
    rest, by name."""
    return f"{object.__basicsize__}{getattr(sys, 'abiflags', '')}"


def make_key(kind: str, parts: Iterable[bytes | str]) -> bytes:
    """The 32 bytes under which something is found again, here and now."""
    state = blake2b(digest_size=32)
    for part in (kind, *environment().values(), *parts):
        data = part.encode() if isinstance(part, str) else part
        state.update(len(data).to_bytes(8, "little"))
        state.update(data)
    return state.digest()


@functools.cache
def sources() -> str:
    """A digest of the sources that decide about code."""
    state = blake2b(digest_size=16)
    root = os.path.dirname(os.path.dirname(__file__))
    for path in _source_files(root):
        try:
            # `open` asks the system three times as much.
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                while data := os.read(descriptor, _READ_SIZE):
                    state.update(data)
            finally:
                os.close(descriptor)
        except OSError:
            continue
    return state.hexdigest()


def _source_files(root: str) -> Iterator[str]:
    yield os.path.join(root, "errors.py")  # the numbers of traps are in the code
    pending = [os.path.join(root, room) for room in _ROOMS]
    while pending:
        try:
            with os.scandir(pending.pop()) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError:
            # Not on disk (a zip file): the file that is imported from there says which version it is.
            yield root
            return
        yield from (entry.path for entry in entries if entry.name.endswith(_SOURCES))
        pending += [entry.path for entry in entries if entry.is_dir() and entry.name != "__pycache__"]


def _processor() -> str:
    """A digest of the model and features of the processor, as the kernel tells them of the first one."""
    fields = description()
    state = blake2b(digest_size=16)
    for name in _CPU_FIELDS:
        state.update(name + b":" + fields.get(name, b"") + b"\n")
    return state.hexdigest()


def _llvm() -> str:
    """The version of llvmlite, and so of the LLVM in it; "none" where there is none."""
    if sys.modules.get("llvmlite", sys) is None:
        return "none"
    # As the import system finds it, but for a fraction of the time that `importlib.util` takes.
    for directory in sys.path:
        try:
            with open(os.path.join(directory, "llvmlite", "_version.py"), "rb", buffering=0) as file:
                return blake2b(file.read(), digest_size=16).hexdigest()
        except OSError:
            continue
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("llvmlite")
    except PackageNotFoundError:
        return "none"
