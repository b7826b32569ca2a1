"""Tables in native memory: a TableDef, and an array of 8-byte references that is made anew when it gets too short."""

from __future__ import annotations

import ctypes

from wasmark.errors import Error
from wasmark.runtime.layout import TABLE_BASE, TABLE_DEF_SIZE, TABLE_LENGTH
from wasmark.runtime.native import in_the_middle_of_wasm

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_BASE: Final = TABLE_BASE // 8
_LENGTH: Final = TABLE_LENGTH // 8
_Definition: Final = ctypes.c_uint64 * (TABLE_DEF_SIZE // 8)
_REFUSED: Final = -1


class ReferenceTable:
    """One table. `definition` is the address of its TableDef, `most` how many elements it may ever have,
    `is_collected` whether a collection has to look at them."""

    __slots__ = ("_elements", "_words", "definition", "is_collected", "most")

    def __init__(self, elements: Any, length: int, most: int, *, is_collected: bool) -> None:
        """`elements`: a ctypes array of 64-bit words, as many as `length` or more."""
        words = self._words = _Definition()
        self._elements = elements
        words[_BASE] = ctypes.addressof(elements)
        words[_LENGTH] = length
        self.definition = ctypes.addressof(words)
        self.most = most
        self.is_collected = is_collected

    @staticmethod
    def filled(length: int, initial: int, most: int, *, is_collected: bool) -> ReferenceTable:
        """A table of equal elements. Raises Error where there is no room for it."""
        if length > most:
            raise Error(f"a table of {length} elements is more than the {most} that are allowed")
        try:
            elements = (ctypes.c_uint64 * length)()
            if initial:
                elements[:] = [initial] * length
        except (MemoryError, OverflowError):
            raise Error(f"no memory for a table of {length} elements") from None
        return ReferenceTable(elements, length, most, is_collected=is_collected)

    def __len__(self) -> int:
        return self._words[_LENGTH]

    def __getitem__(self, index: int) -> int:
        """The bits of an element that is there."""
        bits: int = self._elements[index]
        return bits

    def __setitem__(self, index: int, bits: int) -> None:
        self._elements[index] = bits

    @property
    def extent(self) -> tuple[int, int]:
        """(address, number) of the elements."""
        return self._words[_BASE], self._words[_LENGTH]

    def bits(self) -> list[int]:
        """All elements."""
        return list(self._elements[: len(self)])

    def write(self, start: int, bits: list[int]) -> None:
        """Overwrite elements, which have to be there."""
        self._elements[start : start + len(bits)] = bits

    def grow(self, count: int, bits: int) -> int:
        """What `table.grow` does: the old length, or -1, and nothing changed, where it cannot get that long.

        For the owner of the store: code that runs in another thread would take the old elements for as many as the new
        ones.
        """
        old = len(self)
        length = old + count
        if length > self.most:
            return _REFUSED
        try:
            if length > len(self._elements):
                if in_the_middle_of_wasm():  # which may know where the elements are
                    return _REFUSED
                grown = (ctypes.c_uint64 * max(length, min(2 * old, self.most)))()
                ctypes.memmove(grown, self._elements, 8 * old)
                self._words[_BASE] = ctypes.addressof(grown)
                self._elements = grown
            if bits:
                self._elements[old:length] = [bits & 0xFFFFFFFFFFFFFFFF] * count
        except (MemoryError, OverflowError):
            return _REFUSED
        self._words[_LENGTH] = length
        return old
