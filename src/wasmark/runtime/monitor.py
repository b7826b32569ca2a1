"""The monitor's state in native memory, and the list of threads that it looks at.

The monitor itself is native code (`compile/image/monitor.ll`). It keeps wasm calls from starving other Python threads:
a call holds the GIL as any C function does; where it stays in wasm for longer than a period or two, the monitor's
signal has the GIL released for it. In the same way it ends calls whose time is up, and lets Python signal handlers run
in the middle of them. Short calls pay nothing.
"""

from __future__ import annotations

import ctypes
import os
import signal
import threading

from wasmark.errors import Error
from wasmark.runtime.apart import in_main_thread, unbroken
from wasmark.runtime.code_memory import map_zeroed
from wasmark.runtime.layout import THREAD_BLOCK_SIZE, THREAD_ID, THREAD_IN_WASM, THREAD_MAIN, THREAD_NEXT
from wasmark.runtime.processor import description

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

MONITOR_HEAD: Final = 0  # the newest ThreadBlock
MONITOR_IDLE: Final = 8  # 32 bits, a futex: 1 while the monitor sleeps and wants to be woken
MONITOR_XSAVE: Final = 16  # 1 where the processor has XSAVE
_MONITOR_SIZE: Final = 32

MONITOR_PERIOD_US: Final = 2500
"""Between two looks; a thread found in the same stretch of wasm twice is signalled, so after 2.5 to 5 ms (the
interpreter's own switch interval is 5 ms)."""
MONITOR_PATIENCE: Final = 40  # looks without anything running before it goes to sleep
LOOK_EVERY: Final = 10_000_000
"""Nanoseconds between two looks of the main thread, in a long call, for Python signal handlers that wait to run."""
LOOK_PATIENCE: Final = 8
"""To look takes the GIL. Where that takes long, others need it, and the next look is so many times as far away."""
LOOK_AT_LEAST_EVERY: Final = 30_000_000
MONITOR_SIGNAL: Final = int(signal.SIGURG)
"""Ignored by default, so that a stray one does no harm."""

_libc = ctypes.CDLL(None, use_errno=True)
_address: Final = map_zeroed(_MONITOR_SIZE)  # as the blocks: the monitor outlives the interpreter
_state = (ctypes.c_uint64 * (_MONITOR_SIZE // 8)).from_address(_address)
_state[MONITOR_XSAVE // 8] = b"xsave" in description().get(b"flags", b"").split()
_lock = threading.Lock()
_all_blocks: list[ctypes.Array[ctypes.c_uint64]] = []  # the monitor may be looking at any of them: never freed
_free_blocks: list[ctypes.Array[ctypes.c_uint64]] = []
_started_in: int | None = None  # process id
_start_routine = 0


def monitor_address() -> int:
    """Where the state is."""
    return _address


def thread_blocks() -> tuple[ctypes.Array[ctypes.c_uint64], ...]:
    """All blocks, those without a thread included."""
    return tuple(_all_blocks)


def take_thread_block() -> ctypes.Array[ctypes.c_uint64]:
    """A zeroed ThreadBlock for the calling thread, on the monitor's list."""
    try:
        block = _free_blocks.pop()
    except IndexError:
        block = unbroken(_new_block)
    else:
        # All but the link: the monitor may be on its way along it, and an exception may end this at any step.
        address, behind = ctypes.addressof(block), THREAD_NEXT + 8
        ctypes.memset(address, 0, THREAD_NEXT)
        ctypes.memset(address + behind, 0, THREAD_BLOCK_SIZE - behind)
    block[THREAD_ID // 8] = threading.get_native_id()
    block[THREAD_MAIN // 8] = in_main_thread()
    return block


def _new_block() -> ctypes.Array[ctypes.c_uint64]:
    with _lock:
        block = (ctypes.c_uint64 * (THREAD_BLOCK_SIZE // 8)).from_address(map_zeroed(THREAD_BLOCK_SIZE))
        block[THREAD_NEXT // 8] = _state[MONITOR_HEAD // 8]
        _all_blocks.append(block)
        _state[MONITOR_HEAD // 8] = ctypes.addressof(block)
        return block


def give_back_thread_block(block: ctypes.Array[ctypes.c_uint64]) -> None:
    """The block's thread ends."""
    block[THREAD_ID // 8] = 0
    _free_blocks.append(block)


def ensure_monitor(start_routine: int) -> None:
    """Start the monitor thread in this process unless it runs."""
    if _started_in != os.getpid():
        unbroken(lambda: _start(start_routine))


def _start(start_routine: int) -> None:
    global _started_in, _start_routine
    with _lock:
        if _started_in == os.getpid():
            return
        _state[MONITOR_IDLE // 8] = 0
        thread = ctypes.c_uint64()
        attributes = (ctypes.c_uint8 * 64)()  # pthread_attr_t has 56 bytes on x86-64 (glibc)
        _libc.pthread_attr_init(ctypes.byref(attributes))
        _libc.pthread_attr_setdetachstate(ctypes.byref(attributes), 1)
        create: Callable[..., int] = _libc.pthread_create
        # It inherits the mask of signals: all blocked, they are for the threads of Python.
        old = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        try:
            failed = create(ctypes.byref(thread), ctypes.byref(attributes), ctypes.c_void_p(start_routine), None)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, old)
            _libc.pthread_attr_destroy(ctypes.byref(attributes))
        if failed:
            raise Error(f"cannot start the monitor thread: {os.strerror(failed)}")
        _started_in, _start_routine = os.getpid(), start_routine


def reset_after_fork(mine: ctypes.Array[ctypes.c_uint64] | None) -> None:
    """In a forked child only the forking thread is left (`mine` is its block): the others' blocks have no thread any
    more, the lock may have been theirs, and the monitor has to be started again."""
    global _lock
    _lock = threading.Lock()
    for block in _all_blocks:
        if block is mine:
            block[THREAD_ID // 8] = threading.get_native_id()
            block[THREAD_MAIN // 8] = 1
        else:
            block[THREAD_ID // 8] = block[THREAD_IN_WASM // 8] = 0
    if _started_in is not None:
        ensure_monitor(_start_routine)
