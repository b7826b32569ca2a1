"""`ExternTable`: the Python objects that wasm holds through `externref`, by handle.

A handle is a word that wasm code treats as opaque, the same for the same object as long as it is held: a number above
the tag of objects of the host. Handles live wherever references do; the collector of the store finds those that are in
use, and the others are let go of. Then their numbers are given again.
"""

from __future__ import annotations

from wasmark.runtime.layout import HOST_TAG

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_FIRST_SWEEP: Final = 1024
_TAG_BITS: Final = 3


class ExternTable:
    """Handles of one store. 0 is null and never a handle."""

    __slots__ = ("_by_identity", "_by_number", "_free", "_sweep_at", "size")

    def __init__(self) -> None:
        self._by_number: dict[int, Any] = {}
        self._by_identity: dict[int, int] = {}
        self._free: list[int] = []
        self._sweep_at = _FIRST_SWEEP
        self.size = 0
        """All numbers are below this one."""

    def __len__(self) -> int:
        """How many objects are held."""
        return len(self._by_number)

    def handle(self, value: Any) -> int:
        """The handle of an object."""
        found = self._by_identity.get(id(value))
        if found is None:
            if self._free:
                found = self._free.pop()
            else:
                found = self.size
                self.size += 1
            self._by_number[found] = value
            self._by_identity[id(value)] = found
        return found << _TAG_BITS | HOST_TAG

    def value(self, handle: int) -> Any:
        """The object of a handle."""
        return self._by_number[handle >> _TAG_BITS]

    @property
    def wants_sweep(self) -> bool:
        """Whether enough handles have come together for a sweep to be worth its cost."""
        return len(self._by_number) >= self._sweep_at

    def sweep(self, live: bytes | bytearray) -> None:
        """Let go of all handles whose number has a 0 in `live`, which has a byte for each number that there was when
        somebody began to look."""
        known = len(live)
        keep = {number: value for number, value in self._by_number.items() if number >= known or live[number]}
        identities = {id(value): number for number, value in keep.items()}
        free = [number for number in range(self.size) if number not in keep]
        sweep_at = max(_FIRST_SWEEP, 2 * len(keep))
        # What is dropped may run code of its own as it goes, which must find a whole table. And a signal handler may
        # raise anywhere but between the stores of one assignment.
        dropped = self._by_number
        self._by_number, self._by_identity, self._free, self._sweep_at = keep, identities, free, sweep_at
        del dropped
