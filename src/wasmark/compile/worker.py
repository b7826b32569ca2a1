"""The other end of `parallel`: `python -m wasmark.compile.worker` reads LLVM IR and writes object code.

On both pipes a block is its length (8 bytes, little-endian) and its bytes. The worker first sends `GREETING`; when its
input ends, it ends.
"""

from __future__ import annotations

import os
import signal
from typing import IO, Final

GREETING: Final = b"wasmark compiler 1"
_LARGEST_PIECE: Final = 1 << 20


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


def main() -> None:
    """Serve until there is nothing more to read."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    source, sink = open(0, "rb", buffering=0), open(os.dup(1), "wb", buffering=0)  # noqa: SIM115 - until the end
    os.dup2(2, 1)  # whatever else is printed does not go between the blocks
    from wasmark.compile.llvm import compile_ir

    try:
        write_block(sink, GREETING)
        while True:
            write_block(sink, compile_ir(read_block(source).decode()))
    except (EOFError, BrokenPipeError):
        pass


if __name__ == "__main__":
    main()
