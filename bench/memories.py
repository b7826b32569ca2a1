"""Reading a linear memory from Python."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING

import wasmtime

import wasmark
from measure import Goal, InProcess
from peers import wasm3_runtime, wasmtime_instance

if TYPE_CHECKING:
    from collections.abc import Callable

READS = 2_000
LONG = 1 << 20
_OFFSET = 64


@cache
def _memory() -> bytes:
    return bytes(wasmtime.wat2wasm('(module (memory (export "memory") 32) (data (i32.const 64) "wasmark!"))'))


def _repeated(read: Callable[[], bytes]) -> Callable[[], object]:
    def run() -> bytes:
        result = b""
        for _ in range(READS):
            result = read()
        return result

    return run


def _our_read(length: int) -> Callable[[], object]:
    memory = wasmark.Instance(wasmark.Module(_memory())).exports["memory"]
    return _repeated(lambda: memory.read(_OFFSET, length))


def _their_read(length: int) -> Callable[[], object]:
    store, exports = wasmtime_instance(_memory())
    memory = exports["memory"]
    return _repeated(lambda: bytes(memory.read(store, _OFFSET, _OFFSET + length)))


def _wasm3_read(length: int) -> Callable[[], object]:
    runtime = wasm3_runtime(_memory())
    memory = runtime.get_memory()
    run = _repeated(lambda: memory[_OFFSET : _OFFSET + length].tobytes())
    return lambda: (run(), runtime)[0]


def _copy(length: int) -> Callable[[], object]:
    """What `bytes` makes of as many bytes of Python's own: an allocation and a memcpy."""
    memory = bytearray(_OFFSET + length)
    memory[_OFFSET : _OFFSET + 8] = b"wasmark!"
    view = memoryview(memory)[_OFFSET:]
    return _repeated(lambda: bytes(view))


CASES = (
    InProcess(
        "memory",
        "read 8 bytes",
        {"wasmark": partial(_our_read, 8), "wasmtime": partial(_their_read, 8), "pywasm3": partial(_wasm3_read, 8)},
        (Goal("wasmtime", 1 / 20),),
        READS,
        compare=True,
    ),
    InProcess(
        "memory",
        "read 1 MiB",
        {
            "wasmark": partial(_our_read, LONG),
            "wasmtime": partial(_their_read, LONG),
            "pywasm3": partial(_wasm3_read, LONG),
            "memcpy": partial(_copy, LONG),
        },
        (Goal("memcpy", 1.05),),  # no slower; the rest is noise
        READS,
        rounds=5,
        compare=True,
    ),
)
