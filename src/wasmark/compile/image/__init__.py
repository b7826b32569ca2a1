"""The native code that every process needs once: the way into wasm and out, the signal handlers, the monitor.

It is written in LLVM IR, in the `.ll` files of this folder; `$NAME` stands for a number of the tables below.
"""

from __future__ import annotations

import re
from importlib.resources import files
from typing import Final

from wasmark.core.object_layout import ARRAY_ELEMENTS
from wasmark.errors import TrapCode
from wasmark.runtime import catch_sites, crash_names, layout, monitor, sampler, signal_state
from wasmark.runtime.linear_memory import GRANULE_COUNT, GRANULE_SHIFT

_PARTS: Final = (
    *("prelude.ll", "entry.ll", "spread.ll", "signals.ll", "stopping.ll", "exceptions.ll", "tracebacks.ll"),
    *("monitor.ll", "methods.ll", "heap.ll", "profile.ll", "crashes.ll"),
)
_NAME: Final = re.compile(r"\$([A-Z][A-Z_0-9]*)")

_LINUX_X86_64: Final = {
    "CONTEXT_REGISTERS": 40,  # in ucontext_t: r8 to r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip, ...
    "REGISTERS": 17,
    "CONTEXT_RBP": 120,
    "CONTEXT_RSP": 160,
    "CONTEXT_RIP": 168,
    "SIGINFO_CODE": 8,
    "SIGINFO_ADDRESS": 16,
    "SIGINFO_PID": 16,
    "SIGINFO_VALUE": 24,
    "SIGINFO_SIZE": 128,
    "SI_TKILL": -6,
    "SI_QUEUE": -1,
    "SIGILL": 4,
    "SIGABRT": 6,
    "SIGFPE": 8,
    "SIGBUS": 7,
    "SIGSEGV": 11,
    "SIGSET_SIZE": 128,
    "SIGACTION_SIZE": 152,
    "SIGACTION_FLAGS": 136,
    "SA_FLAGS": 0x4 | 0x08000000 | 0x10000000,  # SA_SIGINFO, SA_ONSTACK, SA_RESTART
    "SYS_FUTEX": 202,
    "SYS_TGKILL": 234,
    "CLOCK_MONOTONIC": 1,
    "SYS_CLOCK_NANOSLEEP": 230,
    "SYS_TGSIGQUEUEINFO": 297,
    "TIMER_ABSTIME": 1,
    "FUTEX_WAIT": 128,  # private
    "FUTEX_WAKE": 129,
    "MADV_DONTNEED": 4,
    "TRAP_BYTES": int.from_bytes(bytes.fromhex("670fb940"), "little"),  # ud1l code(%eax), %eax; the code follows
}

_NUMBERS: Final[dict[str, int]] = {
    **{
        name: value
        for module in (layout, signal_state, monitor, catch_sites, sampler, crash_names)
        for name, value in vars(module).items()
        if isinstance(value, int)
    },
    **_LINUX_X86_64,
    "BELOW_STACK": 1 << 20,  # how far below a stack's end a probe may touch
    "NEAR_STACK": 16 << 10,  # how far from the stack pointer a push or a probe may touch
    "GRANULE_SHIFT": GRANULE_SHIFT,
    "GRANULE_COUNT": GRANULE_COUNT,
    "MEMORY_TRAP": TrapCode.MEMORY_OUT_OF_BOUNDS,
    "STACK_TRAP": TrapCode.STACK_OVERFLOW,
    "INTERRUPT": TrapCode.INTERRUPT,
    "TRANSIENT_FIRST": layout.STORE_TRANSIENT[0],
    "TRANSIENT_SIZE": layout.STORE_TRANSIENT[1] - layout.STORE_TRANSIENT[0],
    "ARRAY_ELEMENTS": ARRAY_ELEMENTS,
}


def runtime_image_ir() -> str:
    """The IR module with all numbers filled in."""
    folder = files(__name__)
    text = "\n".join((folder / part).read_text() for part in _PARTS)
    return _NAME.sub(lambda match: str(int(_NUMBERS[match.group(1)])), text)
