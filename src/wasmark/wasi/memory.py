"""`GuestMemory`: the only way this package reads or writes the memory of a program.

Every access is checked against the memory's size first and answers `FAULT`; nothing is written before all ranges of a
call are known to be good. A `GuestMemory` lives for one host call, because the memory may grow between calls, and
gives back every view that it handed out when the call ends.
"""

from __future__ import annotations

from wasmark.wasi.abi import IOVEC, Errno, WasiError
from wasmark.wasi.sandbox import MAX_PATH, check_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MAX_IOVECS: Final = 1024
"""Most buffers of one read or write, as on the host (`IOV_MAX`)."""
MAX_TRANSFER: Final = 0x7FFF_F000
"""Most bytes of one read or write, as on the host; more is a short read or write."""


class GuestMemory:
    """The linear memory during one host call. Addresses and lengths are unsigned."""

    __slots__ = ("_loans", "_view", "size")

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self._loans: list[memoryview] = []
        self.size = view.nbytes

    def release(self) -> None:
        """Give back the view of the memory and all windows."""
        for loan in self._loans:
            loan.release()
        self._view.release()

    def check(self, address: int, length: int) -> None:
        """Raise `FAULT` unless the range lies in memory."""
        if address + length > self.size:
            raise WasiError(Errno.FAULT)

    def read(self, address: int, length: int) -> bytes:
        """A copy of the range."""
        if address + length > self.size:
            raise WasiError(Errno.FAULT)
        return bytes(self._view[address : address + length])

    def write(self, address: int, data: bytes) -> None:
        """Put `data` at `address`."""
        end = address + len(data)
        if end > self.size:
            raise WasiError(Errno.FAULT)
        self._view[address:end] = data

    def put_u32(self, address: int, value: int) -> None:
        """Write a little-endian `u32`."""
        self.write(address, value.to_bytes(4, "little"))

    def put_u64(self, address: int, value: int) -> None:
        """Write a little-endian `u64`."""
        self.write(address, value.to_bytes(8, "little"))

    def window(self, address: int, length: int) -> memoryview:
        """The range itself, writable, valid until the call ends."""
        if address + length > self.size:
            raise WasiError(Errno.FAULT)
        loan = self._view[address : address + length]
        self._loans.append(loan)
        return loan

    def buffers(self, address: int, count: int) -> list[memoryview]:
        """The non-empty ranges named by an array of `count` (c)iovec records, at most `MAX_TRANSFER` bytes in all."""
        if count > MAX_IOVECS:
            raise WasiError(Errno.INVAL)
        found: list[memoryview] = []
        room = MAX_TRANSFER
        for start, length in IOVEC.iter_unpack(self.read(address, count * IOVEC.size)):
            if length:
                self.check(start, length)
                length = min(length, room)
                if length:
                    found.append(self.window(start, length))
                    room -= length
        return found

    def path(self, address: int, length: int) -> bytes:
        """A path argument: valid UTF-8 without NUL, shorter than `MAX_PATH`; it may be empty, relative or absolute."""
        self.check(address, length)
        if length >= MAX_PATH:
            raise WasiError(Errno.NAMETOOLONG)
        return check_path(self.read(address, length))
