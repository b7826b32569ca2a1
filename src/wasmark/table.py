"""`Table`: a table of references, as a Python sequence."""

from __future__ import annotations

import operator

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import Limits, TableType
from wasmark.errors import wrong_type
from wasmark.runtime.reference_table import ReferenceTable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.config import Config
    from wasmark.store import Store


def most_elements(type_: TableType, config: Config) -> int:
    """How many elements a table of this type may have in an engine with this configuration.

    Raises ValueError for limits that contradict each other.
    """
    limits = type_.limits
    if limits.maximum is None:
        return config.max_table_elements
    if limits.maximum < limits.minimum:
        raise ValueError(f"a table of at least {limits.minimum} and at most {limits.maximum} elements")
    return min(config.max_table_elements, limits.maximum)


class Table(OfThisProcess):
    """A table of a store. `table[i]` reads and writes elements; a negative or too large index is an IndexError.

    Both wait for another thread that runs in the store, as `grow` does.
    """

    def __init__(
        self, store: Store, type_: TableType, initial: int = 0, *, elements: ReferenceTable | None = None
    ) -> None:
        """A new table, or, for instances, the one that `elements` is; `type_` in the engine's canonical types,
        `initial` the bits of all elements of a new one.

        Raises Error where its minimum is beyond what the engine allows, ValueError for limits that contradict each
        other.
        """
        self.store = store
        self.type = type_
        if elements is None:
            if not isinstance(type_, TableType):
                raise wrong_type("a TableType", type_)
            most = most_elements(type_, store.engine.config)
            elements = ReferenceTable.filled(
                type_.limits.minimum, initial, most, is_collected=store.engine.types.is_collected(type_.element)
            )
            store.add_table(elements)
        self.elements = elements

    @property
    def definition(self) -> int:
        """The address of its TableDef."""
        return self.elements.definition

    @property
    def present_type(self) -> TableType:
        """The type with the present size as its minimum, which is what imports are matched with (core §4.5.2)."""
        limits = self.type.limits
        return TableType(self.type.element, Limits(len(self), limits.maximum, limits.is64))

    def __len__(self) -> int:
        return len(self.elements)

    def element_bits(self) -> list[int]:
        """All elements as bits."""
        return self.elements.bits()

    def write_bits(self, start: int, bits: list[int]) -> None:
        """Overwrite elements, which have to be there."""
        self.elements.write(start, bits)

    def grow(self, count: int, value: Any = None) -> int:
        """Add `count` elements; the old length. Raises ValueError where the table cannot get that long, TypeError for
        the value."""
        old = self.store.exclusively(self._grow, operator.index(count), value)
        if old < 0:
            raise ValueError(f"cannot grow a table of {len(self)} elements by {count} (at most {self.elements.most})")
        return old

    def _grow(self, count: int, value: Any) -> int:
        bits = self.store.reference_bits(value, self.type.element)
        return self.elements.grow(count, bits) if count >= 0 else -1

    def _index(self, index: int) -> int:
        number = operator.index(index)
        if not 0 <= number < len(self):
            raise IndexError(f"element {number} of a table of {len(self)}")
        return number

    def __getitem__(self, index: int) -> Any:
        return self.store.exclusively(self._get, index)

    def __setitem__(self, index: int, value: Any) -> None:
        self.store.exclusively(self._set, index, value)

    def _get(self, index: int) -> Any:
        return self.store.reference_value(self.elements[self._index(index)], self.type.element)

    def _set(self, index: int, value: Any) -> None:
        self.elements[self._index(index)] = self.store.reference_bits(value, self.type.element)

    def __repr__(self) -> str:
        most = self.type.limits.maximum
        return f"<wasmark.Table: {len(self):,} x {self.type.element}{'' if most is None else f', at most {most:,}'}>"
