"""A program for these tests: a piece of memory, the functions it imports, and short names for calling them.

`Guest` calls Wasmark's functions on a bytearray. `Peer` has the same face and calls those of wasmtime, so that one test
can ask both the same question.
"""

from __future__ import annotations

import functools
import struct
from typing import TYPE_CHECKING, Any, NamedTuple

from wasmark.wasi import Capture, Errno, Wasi
from wasmark.wasi.abi import Rights
from wasmark.wasi.functions import ROWS

if TYPE_CHECKING:
    from pathlib import Path

PAGE = 1 << 16
OUT = 0x100
"""Where results are written."""
TEXT = 0x1000
"""Where the first path goes; the second one follows at `TEXT2`."""
TEXT2 = 0x3000
DATA = 0x8000
"""Buffers of reads and writes."""
READ_WRITE = Rights.FD_READ | Rights.FD_WRITE


class Failed(Exception):  # noqa: N818 - the tests read `raises(Failed)`
    """A call returned this error code."""

    def __init__(self, code: int) -> None:
        self.code = Errno(code)
        super().__init__(self.code.name)


class Stat(NamedTuple):
    dev: int
    ino: int
    filetype: int
    nlink: int
    size: int
    atim: int
    mtim: int
    ctim: int


class FdStat(NamedTuple):
    filetype: int
    flags: int
    base: int
    inheriting: int


class Entry(NamedTuple):
    next: int
    ino: int
    filetype: int
    name: bytes


class Event(NamedTuple):
    userdata: int
    error: int
    type: int
    nbytes: int
    flags: int


class Face:
    """The calls, on top of `call`, `put` and `get`. Each raises `Failed` for an error code and returns the result."""

    def call(self, name: str, *args: int) -> int:
        raise NotImplementedError

    def put(self, address: int, data: bytes) -> None:
        raise NotImplementedError

    def get(self, address: int, length: int) -> bytes:
        raise NotImplementedError

    def do(self, name: str, *args: int) -> None:
        code = self.call(name, *args)
        if code:
            raise Failed(code)

    def u32(self, address: int = OUT) -> int:
        return int.from_bytes(self.get(address, 4), "little")

    def u64(self, address: int = OUT) -> int:
        return int.from_bytes(self.get(address, 8), "little")

    def text(self, text: str | bytes, address: int = TEXT) -> tuple[int, int]:
        data = text.encode() if isinstance(text, str) else text
        self.put(address, data)
        return address, len(data)

    def open(
        self,
        path: str | bytes,
        oflags: int = 0,
        rights: int = Rights.FD_READ,
        *,
        fd: int = 3,
        flags: int = 0,
        follow: int = 1,
    ) -> int:
        self.do("path_open", fd, follow, *self.text(path), oflags, rights, rights, flags, OUT)
        return self.u32()

    def close(self, fd: int) -> None:
        self.do("fd_close", fd)

    def iovecs(self, *lengths: int) -> tuple[int, int]:
        at = DATA
        table = b""
        for length in lengths:
            table += struct.pack("<II", at, length)
            at += length
        self.put(OUT + 0x40, table)
        return OUT + 0x40, len(lengths)

    def write(self, fd: int, data: bytes) -> int:
        self.put(DATA, data)
        self.do("fd_write", fd, *self.iovecs(len(data)), OUT)
        return self.u32()

    def pwrite(self, fd: int, data: bytes, offset: int) -> int:
        self.put(DATA, data)
        self.do("fd_pwrite", fd, *self.iovecs(len(data)), offset, OUT)
        return self.u32()

    def read(self, fd: int, *lengths: int) -> bytes:
        self.do("fd_read", fd, *self.iovecs(*lengths), OUT)
        return self.get(DATA, self.u32())

    def pread(self, fd: int, length: int, offset: int) -> bytes:
        self.do("fd_pread", fd, *self.iovecs(length), offset, OUT)
        return self.get(DATA, self.u32())

    def seek(self, fd: int, offset: int, whence: int = 0) -> int:
        self.do("fd_seek", fd, offset, whence, OUT)
        return self.u64()

    def tell(self, fd: int) -> int:
        self.do("fd_tell", fd, OUT)
        return self.u64()

    def fdstat(self, fd: int) -> FdStat:
        self.do("fd_fdstat_get", fd, OUT)
        return FdStat(*struct.unpack("<BxH4xQQ", self.get(OUT, 24)))

    def filestat(self, fd: int) -> Stat:
        self.do("fd_filestat_get", fd, OUT)
        return Stat(*struct.unpack("<QQB7xQQQQQ", self.get(OUT, 64)))

    def stat(self, path: str | bytes, *, fd: int = 3, follow: int = 0) -> Stat:
        self.do("path_filestat_get", fd, follow, *self.text(path), OUT)
        return Stat(*struct.unpack("<QQB7xQQQQQ", self.get(OUT, 64)))

    def mkdir(self, path: str | bytes, *, fd: int = 3) -> None:
        self.do("path_create_directory", fd, *self.text(path))

    def rmdir(self, path: str | bytes, *, fd: int = 3) -> None:
        self.do("path_remove_directory", fd, *self.text(path))

    def unlink(self, path: str | bytes, *, fd: int = 3) -> None:
        self.do("path_unlink_file", fd, *self.text(path))

    def rename(self, old: str | bytes, new: str | bytes, *, fd: int = 3, new_fd: int = 3) -> None:
        self.do("path_rename", fd, *self.text(old), new_fd, *self.text(new, TEXT2))

    def link(self, old: str | bytes, new: str | bytes, *, fd: int = 3, new_fd: int = 3, follow: int = 0) -> None:
        self.do("path_link", fd, follow, *self.text(old), new_fd, *self.text(new, TEXT2))

    def symlink(self, target: str | bytes, path: str | bytes, *, fd: int = 3) -> None:
        self.do("path_symlink", *self.text(target), fd, *self.text(path, TEXT2))

    def readlink(self, path: str | bytes, size: int = 4096, *, fd: int = 3) -> bytes:
        self.do("path_readlink", fd, *self.text(path), DATA, size, OUT)
        return self.get(DATA, self.u32())

    def set_times(self, path: str | bytes, atim: int, mtim: int, flags: int, *, fd: int = 3, follow: int = 0) -> None:
        self.do("path_filestat_set_times", fd, follow, *self.text(path), atim, mtim, flags)

    def readdir_raw(self, fd: int, size: int, cookie: int = 0) -> bytes:
        self.do("fd_readdir", fd, DATA, size, cookie, OUT)
        return self.get(DATA, self.u32())

    def readdir(self, fd: int, size: int = 4096, cookie: int = 0) -> list[Entry]:
        """The whole directory, read through a buffer of `size` bytes, as a C library does it."""
        found = []
        while True:
            raw = self.readdir_raw(fd, size, cookie)
            at = 0
            while at + 24 <= len(raw):
                following, ino, length, filetype = struct.unpack_from("<QQIB", raw, at)
                if at + 24 + length > len(raw):
                    break
                found.append(Entry(following, ino, filetype, raw[at + 24 : at + 24 + length]))
                cookie = following
                at += 24 + length
            if len(raw) < size:
                return found
            assert at, "a buffer that holds no entry can never advance"

    def poll(self, *subscriptions: bytes) -> list[Event]:
        self.put(TEXT, b"".join(subscriptions))
        self.do("poll_oneoff", TEXT, DATA, len(subscriptions), OUT)
        raw = self.get(DATA, 32 * self.u32())
        return [Event(*fields) for fields in struct.iter_unpack("<QHB5xQH6x", raw)]


class Guest(Face):
    """A program that runs on Wasmark's functions. `wasi` may be any `Wasi`; the memory is `memory`, a bytearray."""

    def __init__(self, wasi: Wasi, module: str = "wasi_snapshot_preview1", size: int = PAGE) -> None:
        self.wasi = wasi
        self.memory = bytearray(size)
        self.functions = wasi.host_functions(lambda: memoryview(self.memory), module)

    def call(self, name: str, *args: int) -> int:
        result = self.functions[name].call(*args)
        assert isinstance(result, int)
        # Whatever happened, the memory may be replaced now: a bytearray with a view of it left could not be resized.
        self.memory.append(0)
        self.memory.pop()
        return result

    def put(self, address: int, data: bytes) -> None:
        assert address + len(data) <= len(self.memory)
        self.memory[address : address + len(data)] = data

    def get(self, address: int, length: int) -> bytes:
        return bytes(self.memory[address : address + length])


def clock_subscription(userdata: int, timeout: int, *, clock: int = 1, absolute: bool = False) -> bytes:
    return struct.pack("<QB7xI4xQQH6x", userdata, 0, clock, timeout, 0, int(absolute))


def fd_subscription(userdata: int, fd: int, *, write: bool = False) -> bytes:
    return struct.pack("<QB7xI28x", userdata, 2 if write else 1, fd)


def quiet(**options: Any) -> Wasi:
    """A `Wasi` that touches none of the streams of the test process."""
    return Wasi(**{"stdin": b"", "stdout": Capture(), "stderr": Capture(), **options})


class Peer(Face):
    """The same program on wasmtime. `readonly` is preopened as descriptor 4, named "/ro", if given."""

    def __init__(self, root: Path, readonly: Path | None = None) -> None:
        import wasmtime

        engine, module, linker = _wasmtime()
        self.store = wasmtime.Store(engine)
        config = wasmtime.WasiConfig()
        config.preopen_dir(str(root), "/")
        if readonly is not None:
            config.preopen_dir(str(readonly), "/ro", False)
        self.store.set_wasi(config)
        self.exports = linker.instantiate(self.store, module).exports(self.store)
        self.memory = self.exports["memory"]

    def call(self, name: str, *args: int) -> int:
        return self.exports[name](self.store, *args)  # type: ignore[no-any-return]

    def put(self, address: int, data: bytes) -> None:
        self.memory.write(self.store, data, address)

    def get(self, address: int, length: int) -> bytes:
        return bytes(self.memory.read(self.store, address, address + length))


@functools.cache
def _wasmtime() -> tuple[Any, Any, Any]:
    import wasmtime

    engine = wasmtime.Engine()
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    return engine, wasmtime.Module(engine, _trampolines()), linker


def _trampolines() -> str:
    """A module that exports every function it imports, since wasmtime offers them to wasm only."""
    imports, exports = [], []
    for row in ROWS:
        if row.name == "proc_exit":
            continue
        params = f"(param {row.params})" if row.params else ""
        imports.append(f'(import "wasi_snapshot_preview1" "{row.name}" (func ${row.name} {params} (result i32)))')
        passed = " ".join(f"local.get {i}" for i in range(len(row.params.split())))
        exports.append(f'(func (export "{row.name}") {params} (result i32) {passed} call ${row.name})')
    return "\n".join(["(module", *imports, '(memory (export "memory") 4)', *exports, ")"])
