"""`Table`: a table of references, as a Python sequence."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from wasmark.core.types import Limits, TableType
from wasmark.errors import Error
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

if TYPE_CHECKING:
    from wasmark.store import Store

_REFUSED: Final = -1


class Table:
    """A table of a store. `table[i]` reads and writes elements; a negative or too large index is an IndexError.

    Both wait for another thread that runs in the store, as `grow` does.
    """

    def __init__(self, store: Store, type_: TableType, initial: int = 0) -> None:
        """A new table; `type_` in the engine's canonical types, `initial` the bits of its elements.

        Raises Error where its minimum is beyond what the engine allows, ValueError for limits that contradict each
        other.
        """
        self.store = store
        self.type = type_
        if type_.limits.maximum is not None and type_.limits.maximum < type_.limits.minimum:
            raise ValueError(f"a table of at least {type_.limits.minimum} and at most {type_.limits.maximum} elements")
        most = store.engine.config.max_table_elements
        if type_.limits.minimum > most:
            raise Error(f"a table of {type_.limits.minimum} elements is more than the {most} that are allowed")
        self._most = most if type_.limits.maximum is None else min(most, type_.limits.maximum)
        self._definition = (ctypes.c_uint64 * (L.TABLE_DEF_SIZE // 8))()
        self.definition = ctypes.addressof(self._definition)
        self._elements = (ctypes.c_uint64 * 0)()
        try:
            self._resize(type_.limits.minimum, initial)
        except (MemoryError, OverflowError):
            raise Error(f"no memory for a table of {type_.limits.minimum} elements") from None
        store.tables[self.definition] = self

    def _resize(self, length: int, fill: int) -> None:
        old = len(self)
        if length > len(self._elements):
            grown = (ctypes.c_uint64 * max(length, min(2 * old, self._most)))()
            ctypes.memmove(grown, self._elements, 8 * old)
            self._elements = grown
            self._definition[L.TABLE_BASE // 8] = ctypes.addressof(grown)
        if fill:
            self._elements[old:length] = [fill] * (length - old)
        self._definition[L.TABLE_LENGTH // 8] = length

    @property
    def present_type(self) -> TableType:
        """The type with the present size as its minimum, which is what imports are matched with (core §4.5.2)."""
        limits = self.type.limits
        return TableType(self.type.element, Limits(len(self), limits.maximum, limits.is64))

    def __len__(self) -> int:
        return int(self._definition[L.TABLE_LENGTH // 8])

    def element_bits(self) -> list[int]:
        """All elements as bits."""
        return list(self._elements[: len(self)])

    def write_bits(self, start: int, bits: list[int]) -> None:
        """Overwrite elements, which have to be there."""
        self._elements[start : start + len(bits)] = bits  # type: ignore[assignment]

    def grow(self, count: int, value: Any = None) -> int:
        """Add `count` elements; the old length. Raises ValueError where the table cannot get that long, TypeError for
        the value."""
        old = self.store.exclusively(self._grow, count, value)
        if old == _REFUSED:
            raise ValueError(f"cannot grow a table of {len(self)} elements by {count} (at most {self._most})")
        return old

    def _grow(self, count: int, value: Any) -> int:
        bits = self.store.reference_bits(value, self.type.element)
        return self.grow_or_refuse(count, bits) if count >= 0 else _REFUSED

    def grow_or_refuse(self, count: int, bits: int) -> int:
        """What `table.grow` does: the old length, or -1. For the owner of the store: code that runs in another thread
        would take the old elements for as many as the new ones."""
        old = len(self)
        if old + count > self._most:
            return _REFUSED
        try:
            self._resize(old + count, bits & 0xFFFFFFFFFFFFFFFF)
        except (MemoryError, OverflowError):
            return _REFUSED
        return old

    def _check(self, index: int) -> None:
        if not 0 <= index < len(self):
            raise IndexError(f"element {index} of a table of {len(self)}")

    def __getitem__(self, index: int) -> Any:
        return self.store.exclusively(self._get, index)

    def __setitem__(self, index: int, value: Any) -> None:
        self.store.exclusively(self._set, index, value)

    def _get(self, index: int) -> Any:
        self._check(index)
        return self.store.reference_value(self._elements[index], self.type.element)

    def _set(self, index: int, value: Any) -> None:
        self._check(index)
        self._elements[index] = self.store.reference_bits(value, self.type.element)

    def __repr__(self) -> str:
        return f"<wasmark.Table {len(self)} x {self.type.element}>"
