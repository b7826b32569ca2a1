"""Reading and writing through a descriptor, and the position in a file."""

from __future__ import annotations

import os

from wasmark.wasi.abi import Errno, Rights, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory


def fd_read(ctx: Context, memory: GuestMemory, fd: int, iovs: int, iovs_len: int, nread: int) -> None:
    memory.check(nread, 4)
    source = ctx.table.get(fd, Rights.FD_READ)
    memory.put_u32(nread, source.read(memory.buffers(iovs, iovs_len)))


def fd_write(ctx: Context, memory: GuestMemory, fd: int, iovs: int, iovs_len: int, nwritten: int) -> None:
    memory.check(nwritten, 4)
    sink = ctx.table.get(fd, Rights.FD_WRITE)
    memory.put_u32(nwritten, sink.write(memory.buffers(iovs, iovs_len)))


def fd_pread(ctx: Context, memory: GuestMemory, fd: int, iovs: int, iovs_len: int, offset: int, nread: int) -> None:
    memory.check(nread, 4)
    source = ctx.table.get(fd, Rights.FD_READ | Rights.FD_SEEK)
    memory.put_u32(nread, source.pread(memory.buffers(iovs, iovs_len), offset))


def fd_pwrite(ctx: Context, memory: GuestMemory, fd: int, iovs: int, iovs_len: int, offset: int, nwritten: int) -> None:
    memory.check(nwritten, 4)
    sink = ctx.table.get(fd, Rights.FD_WRITE | Rights.FD_SEEK)
    memory.put_u32(nwritten, sink.pwrite(memory.buffers(iovs, iovs_len), offset))


def fd_seek(ctx: Context, memory: GuestMemory, fd: int, offset: int, whence: int, newoffset: int) -> None:
    memory.check(newoffset, 8)
    if whence >= len(ctx.abi.whence):
        raise WasiError(Errno.INVAL)
    signed = offset - (1 << 64) if offset >> 63 else offset
    memory.put_u64(newoffset, ctx.table.get(fd, Rights.FD_SEEK).seek(signed, ctx.abi.whence[whence]))


def fd_tell(ctx: Context, memory: GuestMemory, fd: int, offset: int) -> None:
    memory.check(offset, 8)
    memory.put_u64(offset, ctx.table.get(fd, Rights.FD_TELL).seek(0, os.SEEK_CUR))
