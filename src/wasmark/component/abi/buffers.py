"""What streams and futures read from and write into: memory of a guest (`GuestBuffer`), or what Python has
(`component.streams`)."""

from __future__ import annotations

from wasmark.component.abi.lifting import BLOCKS
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
    from wasmark.component.abi.codecs import Codec
    from wasmark.component.abi.guest import Guest

MAX_LENGTH: Final = (1 << 28) - 1
"""The most values that are read or written at once."""


class Port:
    """How a guest reads and writes what a stream or future carries, with the options of a built-in. `make(for_host)`
    answers the codec, and the guest with the resources that it wants."""

    __slots__ = ("_made", "_make", "element", "guest")

    def __init__(self, element: T.ValType | None, guest: Guest, make: Callable[[bool], tuple[Codec, Guest]]) -> None:
        self.element = element
        self.guest = guest
        self._make = make
        self._made: dict[bool, tuple[Codec, Guest]] = {}

    def side(self, *, for_host: bool) -> tuple[Codec, Guest]:
        """The codec and the guest for values that Python, or another guest, gets or gives."""
        found = self._made.get(for_host)
        if found is None:
            found = self._made[for_host] = self._make(for_host)
        return found


class Buffer:
    """Room for `length` values, `progress` of which have been read or written. `is_plain`: they are numbers, or
    nothing at all; `is_host`: they are Python's."""

    __slots__ = ("is_plain", "length", "progress")
    is_host = False

    def __init__(self, length: int, *, is_plain: bool) -> None:
        self.length = length
        self.progress = 0
        self.is_plain = is_plain

    @property
    def remaining(self) -> int:
        """How many more there is room for."""
        return self.length - self.progress

    def copy_to(self, target: Buffer, count: int) -> None:
        """Read so many values, and write them into `target`."""
        with_host = self.is_host or target.is_host
        target.write(self.read(count, with_host=with_host), count, with_host=with_host)
        self.progress += count
        target.progress += count

    def read(self, count: int, *, with_host: bool) -> Any:
        """The next values; what they are depends on whether Python gets or gives them."""
        raise NotImplementedError

    def write(self, values: Any, count: int, *, with_host: bool) -> None:
        """So many values that the other one has read."""
        raise NotImplementedError


class GuestBuffer(Buffer):
    """Values in the memory of a guest, from an address on. Traps where they cannot lie there."""

    __slots__ = ("_address", "_port", "_size")

    def __init__(self, port: Port, address: int, length: int) -> None:
        element, guest = port.element, port.guest
        if length > MAX_LENGTH:
            raise ComponentTrap(ComponentTrapCode.TOO_LONG)
        super().__init__(length, is_plain=element is None or type(element) in BLOCKS)
        self._port = port
        self._address = address
        self._size = 0
        if element is not None and length:
            self._size, alignment = guest.layout.size_and_alignment(element)
            guest.reach_pointer(address, self._size * length, alignment)

    def _place(self) -> int:
        return self._address + self._size * self.progress

    def read(self, count: int, *, with_host: bool) -> Any:
        if self._port.element is None:
            return [()] * count if with_host else None
        codec, guest = self._port.side(for_host=with_host)
        return codec.load(guest, self._place(), count)

    def write(self, values: Any, count: int, *, with_host: bool) -> None:
        if self._port.element is not None:
            codec, guest = self._port.side(for_host=with_host)
            codec.store(guest, values, self._place())
