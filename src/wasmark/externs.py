"""`ExternTable`: the Python objects that wasm holds through `externref`, by handle.

A handle is a number that wasm code treats as opaque, the same for the same object as long as it is held. Handles live
in wasm locals, tables and globals; nothing tells when a local lets go of one. So handles are swept when no wasm code of
the store is
running: then only its tables and globals can hold any.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

_FIRST_SWEEP: Final = 1024


class ExternTable:
    """Handles of one store. 0 is null and never a handle."""

    __slots__ = ("_by_handle", "_by_identity", "_next", "_sweep_at")

    def __init__(self) -> None:
        self._by_handle: dict[int, Any] = {}
        self._by_identity: dict[int, int] = {}
        self._next = 1
        self._sweep_at = _FIRST_SWEEP

    def __len__(self) -> int:
        """How many objects are held."""
        return len(self._by_handle)

    def handle(self, value: Any) -> int:
        """The handle of an object."""
        found = self._by_identity.get(id(value))
        if found is None:
            found = self._next
            self._next += 1
            self._by_handle[found] = value
            self._by_identity[id(value)] = found
        return found

    def value(self, handle: int) -> Any:
        """The object of a handle."""
        return self._by_handle[handle]

    @property
    def wants_sweep(self) -> bool:
        """Whether enough handles have come together for a sweep to be worth its cost."""
        return len(self._by_handle) >= self._sweep_at

    def sweep(self, live: Iterable[int]) -> None:
        """Let go of all handles but the `live` ones. Only while no wasm code of the store is running."""
        keep = {handle: self._by_handle[handle] for handle in set(live) if handle}
        identities = {id(value): handle for handle, value in keep.items()}
        sweep_at = max(_FIRST_SWEEP, 2 * len(keep))
        # What is dropped may run code of its own as it goes, which must find a whole table. And a signal handler may
        # raise anywhere but between the stores of one assignment.
        dropped = self._by_handle
        self._by_handle, self._by_identity, self._sweep_at = keep, identities, sweep_at
        del dropped
