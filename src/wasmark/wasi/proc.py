"""The process: its end, and its place in the queue for the processor."""

from __future__ import annotations

import os

from wasmark.errors import Exit
from wasmark.wasi.abi import Errno, WasiError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from wasmark.wasi.context import Context
    from wasmark.wasi.memory import GuestMemory


def proc_exit(ctx: Context, memory: GuestMemory, code: int) -> NoReturn:
    raise Exit(code)


def proc_raise(ctx: Context, memory: GuestMemory, signal: int) -> NoReturn:
    # There is no signal that would reach this program and not the whole Python process.
    raise WasiError(Errno.NOSYS)


def sched_yield(ctx: Context, memory: GuestMemory) -> None:
    os.sched_yield()
