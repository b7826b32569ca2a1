"""The other end of `process`: gets work and answers object code.

On both pipes a block is its length (8 bytes, little-endian) and its bytes. The worker first sends `GREETING`; then it
answers each request, a marshalled tuple whose first item is a key of `Worker.requests`, by FINE and a result, or by
FAILED and a message. When its input ends, it ends.
"""

from __future__ import annotations

import marshal
import os
import signal
from typing import IO, TYPE_CHECKING, Any, Final

from wasmark.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable

    from wasmark.core.flavour import Flavour
    from wasmark.core.model import ModuleModel
    from wasmark.runtime.layout import VMLayout

GREETING: Final = b"wasmark compiler 1"
FINE: Final = b"+"
FAILED: Final = b"-"
_LARGEST_PIECE: Final = 1 << 20
_MODULES_KEPT: Final = 4


def write_block(stream: IO[bytes], data: bytes) -> None:
    """Send a block through an unbuffered stream."""
    rest = memoryview(len(data).to_bytes(8, "little") + data)
    while rest:
        rest = rest[stream.write(rest) :]


def read_block(stream: IO[bytes]) -> bytes:
    """Receive a block. Raises EOFError where the other end is gone."""
    return _read(stream, int.from_bytes(_read(stream, 8), "little"))


def _read(stream: IO[bytes], size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        piece = stream.read(min(size - len(data), _LARGEST_PIECE))
        if not piece:
            raise EOFError
        data += piece
    return bytes(data)


class Worker:
    """What the process knows, and what it can be asked."""

    def __init__(self) -> None:
        # The one that was asked for last comes last.
        self._modules: dict[int, tuple[ModuleModel, VMLayout, Flavour]] = {}
        self.requests: dict[str, Callable[..., bytes]] = {"ir": self._ir, "module": self._module, "hot": self._hot}

    def answer(self, request: bytes) -> bytes:
        """The answer to a request, whole."""
        kind, *arguments = marshal.loads(request)
        try:
            return FINE + self.requests[kind](*arguments)
        except Error as error:
            return FAILED + str(error).encode()

    def _ir(self, text: str) -> bytes:
        from wasmark.compile.llvm import compile_ir

        return compile_ir(text)

    def _module(self, number: int, binary: bytes, escaping: list[int], flavour: list[bool]) -> bytes:
        from wasmark.binary.decoder import decode_module
        from wasmark.core.flavour import Flavour
        from wasmark.runtime.layout import VMLayout

        model = decode_module(binary)
        self._modules[number] = model, VMLayout(model, escaping), Flavour(*flavour)
        if len(self._modules) > _MODULES_KEPT:
            del self._modules[next(iter(self._modules))]
        return b""

    def _hot(self, number: int, wanted: list[Any]) -> bytes:
        from wasmark.compile.batch import hot_ir
        from wasmark.compile.hot import Hot
        from wasmark.compile.llvm import compile_ir

        if number not in self._modules:
            raise Error(UNKNOWN_MODULE)
        model, layout, flavour = self._modules[number] = self._modules.pop(number)
        return compile_ir(hot_ir(model, layout, [Hot(*item) for item in wanted], flavour))


UNKNOWN_MODULE: Final = "the module is not known"


def main() -> None:
    """Serve until there is nothing more to read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = open(0, "rb", buffering=0), open(os.dup(1), "wb", buffering=0)  # noqa: SIM115 - until the end
    os.dup2(2, 1)  # whatever else is printed does not go between the blocks
    import wasmark.compile.llvm  # noqa: F401 - who waits for the greeting wants no more waiting afterwards

    worker = Worker()
    try:
        write_block(sink, GREETING)
        while True:
            write_block(sink, worker.answer(read_block(source)))
    except (EOFError, BrokenPipeError):
        pass
