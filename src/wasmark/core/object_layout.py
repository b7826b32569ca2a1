"""Where the fields of structures and the elements of arrays lie in an object of the heap.

An object starts with a word that points to its type's descriptor. Fields follow in their order, each at a multiple of
its size: so a structure has the fields of its supertypes where those have them. An array has its length behind the
first word, and its elements from ARRAY_ELEMENTS on.
"""

from __future__ import annotations

from wasmark.core.types import F32, F64, I32, I64, V128, PackedType, RefType, StorageType, StructType, SubType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

ARRAY_LENGTH: Final = 8  # 32 bits
ARRAY_ELEMENTS: Final = 16
_FIRST_FIELD: Final = 8

_SIZE_LOG2: Final[dict[object, int]] = {PackedType.I8: 0, PackedType.I16: 1, I32: 2, F32: 2, I64: 3, F64: 3, V128: 4}
_REFERENCE_SIZE_LOG2: Final = 3


def size_log2(storage: StorageType) -> int:
    """Log2 of the bytes that a field or an element takes."""
    return _REFERENCE_SIZE_LOG2 if isinstance(storage, RefType) else _SIZE_LOG2[storage]


class StructLayouts:
    """The layouts of the structures of a module, by type index."""

    def __init__(self, types: Sequence[SubType]) -> None:
        self._types = types
        self._found: dict[int, tuple[tuple[int, ...], int]] = {}

    def __getitem__(self, index: int) -> tuple[tuple[int, ...], int]:
        found = self._found.get(index)
        if found is None:
            composite = self._types[index].composite
            assert isinstance(composite, StructType)
            found = self._found[index] = struct_layout(composite)
        return found


def struct_layout(type_: StructType) -> tuple[tuple[int, ...], int]:
    """(offset of each field, size of the object) in bytes."""
    at = _FIRST_FIELD
    offsets = []
    for field in type_.fields:
        size = 1 << size_log2(field.storage)
        at = (at + size - 1) & -size
        offsets.append(at)
        at += size
    return tuple(offsets), max(at, 16)
