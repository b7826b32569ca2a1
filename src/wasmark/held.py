"""`Held`: which objects of a store's heap Python holds, by address.

A Python object for one has a `Hold`, which lets go when the last reference to it is gone. It is an int, as what the
garbage collector of Python does not know it does not finalize early: an object in the same garbage can use the other
one until the very end.
"""

from __future__ import annotations

import itertools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_ADDRESS_BITS: Final = 64
_numbers: Final = itertools.count()
_counts: Final[dict[int, dict[int, int]]] = {}


class Hold(int):
    """Holds an object as long as it lives."""

    __slots__ = ()

    def __del__(self, counts: dict[int, dict[int, int]] = _counts, bits: int = _ADDRESS_BITS) -> None:
        held = counts.get(int(self) >> bits)
        if held is not None:
            address = int(self) & ((1 << bits) - 1)
            left = held.get(address, 0) - 1
            if left > 0:
                held[address] = left
            else:
                held.pop(address, None)


class Held:
    """The objects that Python holds of one store."""

    __slots__ = ("_counts", "_number")

    def __init__(self) -> None:
        self._number = next(_numbers)
        self._counts: dict[int, int] = {}
        _counts[self._number] = self._counts

    def __del__(self, counts: dict[int, dict[int, int]] = _counts) -> None:
        counts.pop(self._number, None)

    def hold(self, address: int) -> Hold:
        """What holds the object at an address."""
        self._counts[address] = self._counts.get(address, 0) + 1
        return Hold(self._number << _ADDRESS_BITS | address)

    def addresses(self) -> list[int]:
        """All that are held."""
        return list(self._counts)

    def __len__(self) -> int:
        return len(self._counts)
