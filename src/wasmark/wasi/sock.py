"""Sockets: a program cannot be given any, so every descriptor that it has is not one."""

from __future__ import annotations

from wasmark.wasi.abi import Errno, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory


def not_a_socket(ctx: Context, memory: GuestMemory, fd: int, *_: int) -> NoReturn:
    """`sock_accept`, `sock_recv`, `sock_send` and `sock_shutdown`."""
    ctx.table.get(fd)
    raise WasiError(Errno.NOTSOCK)
