"""Installs the runtime image in this process: signal handlers, alternate stacks, and the way into wasm.

`install` is called once with the linked image. The image itself is made elsewhere (`compile.runtime_image`, or a
cache), so this room needs no compiler.
"""

from __future__ import annotations

import ctypes
import mmap
import signal
import threading
from typing import TYPE_CHECKING, Final

from wasmark.errors import Error
from wasmark.registry.process_table import process_table_address
from wasmark.runtime.linear_memory import granules_address
from wasmark.runtime.signal_state import STATE_ACTIONS, STATE_KEY, set_word, signal_state_address
from wasmark.runtime.symbols import process_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.runtime.image import LoadedImage

_SIGNALS: Final = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL)
_SA_SIGINFO: Final = 4
_SA_ONSTACK: Final = 0x08000000
_SS_DISABLE: Final = 2
_ALTERNATE_STACK: Final = 128 << 10
_LEAST_ALTERNATE_STACK: Final = 32 << 10
_HEADROOM: Final = 256 << 10
"""Stack kept free below wasm's lowest frame: for host functions called at the limit, and for frames without a check."""

_libc = ctypes.CDLL(None, use_errno=True)


class _SigAction(ctypes.Structure):
    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_uint8 * 128),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class _StackT(ctypes.Structure):
    _fields_ = (("sp", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


class Runtime:
    """The installed image. `enter` and `host_call` are its entry points; there is one a process."""

    __slots__ = ("_handler", "_image", "enter")

    def __init__(self, image: LoadedImage) -> None:
        self._image = image
        key = ctypes.c_uint()
        if _libc.pthread_key_create(ctypes.byref(key), None) != 0:
            raise Error("the process has no thread-specific keys left")
        set_word(STATE_KEY, key.value)
        self._handler = image.symbols["wasmark_signal"][0]
        prototype = ctypes.PYFUNCTYPE(ctypes.c_int, *[ctypes.c_void_p] * 6, *[ctypes.c_uint64] * 3)
        self.enter: Callable[..., int] = prototype(image.symbols["wasmark_enter"][0])
        self.claim_signals()

    def symbol(self, name: str) -> int | None:
        """Address of a function of the image or of the process, for linking stubs against."""
        found = self._image.symbols.get(name)
        return found[0] if found is not None else process_symbol(name)

    def claim_signals(self) -> None:
        """Make our handler the first in line, with whoever is there now behind it. Cheap when it is already first."""
        for number in _SIGNALS:
            current = _SigAction()
            _libc.sigaction(int(number), None, ctypes.byref(current))
            if current.handler == self._handler:
                continue
            set_word(STATE_ACTIONS + 8 * int(number), current.handler or 0)
            action = _SigAction(handler=self._handler, flags=_SA_SIGINFO | _SA_ONSTACK)
            if _libc.sigaction(int(number), ctypes.byref(action), None) != 0:
                raise Error(f"cannot handle {number.name}")


def image_symbol(name: str) -> int | None:
    """Resolves what the runtime image refers to."""
    match name:
        case "wasmark_signal_state":
            return signal_state_address()
        case "wasmark_process_table":
            return process_table_address()
        case "wasmark_memory_granules":
            return granules_address()
        case _:
            return process_symbol(name)


class _AlternateStacks:
    """Stacks for signal handlers. One goes back for reuse when its thread ends, and is never unmapped: the dying thread
    may still be on it."""

    def __init__(self) -> None:
        self._free: list[mmap.mmap] = []
        self._lock = threading.Lock()

    def take(self) -> mmap.mmap:
        with self._lock:
            if self._free:
                return self._free.pop()
        return mmap.mmap(-1, _ALTERNATE_STACK)

    def give_back(self, stack: mmap.mmap) -> None:
        with self._lock:
            self._free.append(stack)


_alternate_stacks = _AlternateStacks()


class ThreadState:
    """What a thread needs before it enters wasm: an alternate signal stack, and to know where its own stack ends.

    `low` is the lowest address of the stack; `lowest` the lowest frame address that wasm code may have on it.
    """

    __slots__ = ("_alternate", "low", "lowest")

    def __init__(self) -> None:
        self._alternate: mmap.mmap | None = None
        low, size = _stack_of_this_thread()
        self.low = low
        self.lowest = low + min(_HEADROOM, size // 2)
        current = _StackT()
        _libc.sigaltstack(None, ctypes.byref(current))
        if current.flags & _SS_DISABLE or current.size < _LEAST_ALTERNATE_STACK:
            self._alternate = _alternate_stacks.take()
            base = ctypes.addressof(ctypes.c_char.from_buffer(self._alternate))
            wanted = _StackT(sp=base, flags=0, size=_ALTERNATE_STACK)
            if _libc.sigaltstack(ctypes.byref(wanted), None) != 0:
                raise Error("cannot set an alternate signal stack")

    def __del__(self) -> None:
        if self._alternate is not None:
            _alternate_stacks.give_back(self._alternate)


class _ThreadStates(threading.local):
    def __init__(self) -> None:
        self.state = ThreadState()


_thread_states: _ThreadStates | None = None


def thread_state() -> ThreadState:
    """The calling thread's state; made at its first call."""
    global _thread_states
    if _thread_states is None:
        _thread_states = _ThreadStates()
    return _thread_states.state


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
