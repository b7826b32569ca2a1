"""Installs the runtime image in this process: signal handlers, alternate stacks, and the way into wasm.

`Runtime` is made once, of the loaded image. Where the image comes from (`compile.image`, or the cache) is not known
here, so this room needs no compiler.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading

from wasmark.errors import Error
from wasmark.registry.process_table import process_table_address
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.catch_sites import catch_sites_address
from wasmark.runtime.code_memory import map_zeroed
from wasmark.runtime.crash_names import crash_names_address
from wasmark.runtime.deadlines import Deadlines, deadlines
from wasmark.runtime.linear_memory import granules_address, set_natives
from wasmark.runtime.monitor import (
    ensure_monitor,
    give_back_thread_block,
    monitor_address,
    reset_after_fork,
    take_thread_block,
)
from wasmark.runtime.native_function import native_function
from wasmark.runtime.sampler import sampler_address
from wasmark.runtime.signal_state import STATE_KEY, set_word, signal_state_address, word
from wasmark.runtime.symbols import process_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from wasmark.runtime.image import LoadedImage

_SS_DISABLE: Final = 2
_ALTERNATE_STACK: Final = 128 << 10
_LEAST_ALTERNATE_STACK: Final = 32 << 10
_HEADROOM: Final = 256 << 10
"""Stack kept free below wasm's lowest frame: for host functions called at the limit, and for frames without a check."""

_libc = ctypes.CDLL(None, use_errno=True)
_libc.pthread_setspecific.argtypes = [ctypes.c_uint, ctypes.c_void_p]
_libc.pthread_getspecific.argtypes = [ctypes.c_uint]
_libc.pthread_getspecific.restype = ctypes.c_void_p

_hooks = (ctypes.c_uint64 * (L.HOOKS_SIZE // 8))()
_kept_hooks: list[object] = []


def python_hooks_address() -> int:
    """Where native code finds its Python callables (`runtime.layout`: HOOK_*)."""
    return ctypes.addressof(_hooks)


def set_python_hook(offset: int, hook: object) -> None:
    """Let native code use `hook`: a callable or, as HOOK_EXCEPTION, a class."""
    _kept_hooks.append(hook)
    _hooks[offset // 8] = id(hook)


class _StackT(ctypes.Structure):
    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


class Runtime:
    """The installed image; there is one a process.

    `enter(store, trampoline, code, context, slots, report)` answers a STATUS_*, with the activation in `report` where
    it trapped; `own(store, answer)` 1, 0 or -1, which is also left in the 32-bit word `answer`; `disown(store)`.
    `arrived(store, exception)`: Python has what stands for an exception that nobody caught.
    `allocate(heap, descriptor, size, length)` and `collect(...)` are for `Heap`.
    `claim()` makes our signal handlers the first in line, with whoever is there now behind them; cheap when that is so
    already. `stamp` and `poke` are explained in `compile/image/methods.ll`, `raise_with` in `tracebacks.ll`.
    `get_buffer` and `read` are addresses of what memories export and read their bytes with, `spread` that of
    `wasmark_spread` and of where its callees return (`compile/image/spread.ll`), `exception_functions` those of the
    native functions that a store offers to code, by their place in it.
    """

    __slots__ = (
        "_image",
        "allocate",
        "arrived",
        "claim",
        "collect",
        "disown",
        "enter",
        "exception_functions",
        "get_buffer",
        "own",
        "poke",
        "raise_with",
        "read",
        "spread",
        "stamp",
    )

    def __init__(self, image: LoadedImage) -> None:
        self._image = image
        key = ctypes.c_uint()
        if _libc.pthread_key_create(ctypes.byref(key), None) != 0:
            raise Error("the process has no thread-specific keys left")
        set_word(STATE_KEY, key.value)
        self.get_buffer = image.symbols["wasmark_get_buffer"][0]
        self.read = image.symbols["wasmark_read"][0]
        self.spread = tuple(image.symbols[name][0] for name in ("wasmark_spread", "wasmark_spread_return"))
        self.exception_functions = {
            offset: image.symbols[f"wasmark_{name}"][0]
            for offset, name in (
                (L.STORE_NEW_EXCEPTION, "exception_new"),
                (L.STORE_THROW, "throw"),
            )
        }
        # PYFUNCTYPE: the GIL is held.
        self.enter: Callable[..., int] = self._function("wasmark_enter_reporting", 6)
        self.own: Callable[..., int] = self._function("wasmark_own", 2)
        self.disown: Callable[..., int] = self._function("wasmark_disown", 1)
        self.arrived: Callable[..., int] = self._function("wasmark_arrived", 2)
        self.collect: Callable[..., int] = self._function("wasmark_gc_collect", 8)
        allocate = ctypes.PYFUNCTYPE(
            ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint32
        )
        self.allocate: Callable[..., int | None] = allocate(image.symbols["wasmark_gc_allocate"][0])
        self.stamp: Callable[[bytes, bytes, bytes, int], tuple[bytearray, int]] = self._method("wasmark_stamp")
        self.poke: Callable[..., None] = self._method("wasmark_poke")
        self.raise_with: Callable[[BaseException, list[Any]], NoReturn] = self._method("wasmark_raise_with")
        set_natives(self._method("wasmark_discard"), self._method("wasmark_untrack"))
        self.claim: Callable[[], None] = self._method("wasmark_claim_method")
        self.claim()
        ensure_monitor(image.symbols["wasmark_monitor_thread"][0])

    def _function(self, name: str, arguments: int) -> Callable[..., int]:
        return ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * arguments)(self._image.symbols[name][0])

    def _method(self, name: str) -> Callable[..., Any]:
        return native_function(name, self._image.symbols[name][0])

    @property
    def symbols(self) -> dict[str, tuple[int, int]]:
        """(address, size) of each function of the image."""
        return self._image.symbols

    def watch_crashes(self) -> None:
        """Put our handler in line for the signals that end a process and are never a trap."""
        self._function("wasmark_watch_crashes", 0)()

    def symbol(self, name: str) -> int | None:
        """Address of a function of the image or of the process, for linking stubs against."""
        found = self._image.symbols.get(name)
        return found[0] if found is not None else process_symbol(name)


def image_symbol(name: str) -> int | None:
    """Resolves what the runtime image refers to."""
    match name:
        case "wasmark_signal_state":
            return signal_state_address()
        case "wasmark_process_table":
            return process_table_address()
        case "wasmark_memory_granules":
            return granules_address()
        case "wasmark_monitor":
            return monitor_address()
        case "wasmark_crash_names":
            return crash_names_address()
        case "wasmark_sampler":
            return sampler_address()
        case "wasmark_catch_sites":
            return catch_sites_address()
        case "wasmark_python":
            return python_hooks_address()
        case _:
            return process_symbol(name)


class _AlternateStacks:
    """Stacks for signal handlers, by address. One goes back for reuse when its thread ends, and is never unmapped: the
    dying thread may still be on it, and at the end of the interpreter other threads are still running."""

    def __init__(self) -> None:
        self._free: list[int] = []

    def take(self) -> int:
        try:
            return self._free.pop()
        except IndexError:
            return map_zeroed(_ALTERNATE_STACK)

    def give_back(self, stack: int) -> None:
        self._free.append(stack)


_alternate_stacks = _AlternateStacks()


class ThreadState:
    """What a thread needs before it enters wasm: its ThreadBlock, and an alternate stack for signals."""

    __slots__ = ("_alternate", "_deadlines", "block")

    def __init__(self) -> None:
        self._alternate = 0
        self._deadlines: Deadlines | None = None
        self.block: ctypes.Array[ctypes.c_uint64] | None = None
        low, size = _stack_of_this_thread()
        self.block = take_thread_block()
        self.block[L.THREAD_LOW // 8] = low
        self.block[L.THREAD_LOWEST // 8] = low + min(_HEADROOM, size // 2)
        current = _StackT()
        _libc.sigaltstack(None, ctypes.byref(current))
        if current.flags & _SS_DISABLE or current.size < _LEAST_ALTERNATE_STACK:
            self._alternate = _alternate_stacks.take()
        self.install()

    def install(self) -> None:
        """Make it what the native code of the calling thread finds. May be done again."""
        assert self.block is not None
        if self._alternate:
            wanted = _StackT(sp=self._alternate, flags=0, size=_ALTERNATE_STACK)
            if _libc.sigaltstack(ctypes.byref(wanted), None) != 0:
                raise Error("cannot set an alternate signal stack")
        _libc.pthread_setspecific(word(STATE_KEY), ctypes.addressof(self.block))
        own = self._deadlines = deadlines()
        own.block = self.block
        own.publish()

    def __del__(self, is_finalizing: Callable[[], bool] = sys.is_finalizing) -> None:
        if is_finalizing():  # nothing is to be given back any more, and the names below may be gone
            return
        if self.block is not None:  # else an exception came in the middle of making it
            if _libc.pthread_getspecific(word(STATE_KEY)) == ctypes.addressof(self.block):
                _libc.pthread_setspecific(word(STATE_KEY), None)
            if self._deadlines is not None and self._deadlines.block is self.block:
                self._deadlines.block = None
            give_back_thread_block(self.block)
        if self._alternate:
            # In its own thread, which ends: nobody else may get the stack while signals still come to it.
            current = _StackT()
            _libc.sigaltstack(None, ctypes.byref(current))
            if current.sp == self._alternate:
                _libc.sigaltstack(ctypes.byref(_StackT(flags=_SS_DISABLE)), None)
            _alternate_stacks.give_back(self._alternate)


_here = threading.local()
"""Made before there is a second thread: of two made at once one would be thrown away, with a state that is in use."""


def thread_state() -> ThreadState:
    """The calling thread's state; made at its first call."""
    state: ThreadState | None = getattr(_here, "state", None)
    if state is None:
        made = ThreadState()
        # A signal handler may have come in between that used wasm: what is in use by now is the state.
        state = _here.__dict__.setdefault("state", made)
        if state is not made:
            state.install()
    return state


def in_the_middle_of_wasm() -> bool:
    """Whether this is called by a Python signal handler that came between two instructions of wasm code: what the code
    has in registers must stay true."""
    state: ThreadState | None = getattr(_here, "state", None)
    return state is not None and state.block is not None and bool(state.block[L.THREAD_INJECTED // 8])


def _after_fork_in_child() -> None:
    state: ThreadState | None = getattr(_here, "state", None)
    reset_after_fork(state.block if state is not None else None)


os.register_at_fork(after_in_child=_after_fork_in_child)


def _stack_of_this_thread() -> tuple[int, int]:
    """(lowest address, size) of the calling thread's stack, its guard not included."""
    attributes = (ctypes.c_uint8 * 64)()  # pthread_attr_t has 56 bytes on x86-64 (glibc)
    if _libc.pthread_getattr_np(ctypes.c_void_p(_libc_self()), ctypes.byref(attributes)) != 0:
        raise Error("cannot find out where this thread's stack ends")
    low, size = ctypes.c_void_p(), ctypes.c_size_t()
    _libc.pthread_attr_getstack(ctypes.byref(attributes), ctypes.byref(low), ctypes.byref(size))
    _libc.pthread_attr_destroy(ctypes.byref(attributes))
    return low.value or 0, size.value


_libc.pthread_self.restype = ctypes.c_void_p


def _libc_self() -> int:
    value: int = _libc.pthread_self()
    return value


class _Timespec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


_SYS_FUTEX: Final = 202
_FUTEX_WAIT_PRIVATE: Final = 128
_moment: Final = _Timespec(0, 50_000_000)


def futex_wait(address: int, seen: int) -> None:
    """Wait, without the GIL, until the 32-bit word at `address` is no longer `seen` and somebody says so, for at most
    50 ms."""
    _libc.syscall(
        ctypes.c_long(_SYS_FUTEX),
        ctypes.c_void_p(address),
        ctypes.c_int(_FUTEX_WAIT_PRIVATE),
        ctypes.c_uint32(seen),
        ctypes.byref(_moment),
    )
