"""Where the fields of structures and the elements of arrays lie in an object of the heap.

An object starts with a word that points to its type's descriptor. Fields follow in their order, each at a multiple of
its size: so a structure has the fields of its supertypes where those have them. An array has its length behind the
first word, and its elements from ARRAY_ELEMENTS on.
"""

from __future__ import annotations

from wasmark.core.types import (
    F32,
    F64,
    I32,
    I64,
    V128,
    ArrayType,
    PackedType,
    RefType,
    StorageType,
    StructType,
    SubType,
)

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


class ObjectLayouts:
    """The layouts of the structures and arrays of a module, by type index."""

    def __init__(self, types: Sequence[SubType]) -> None:
        self._types = types
        self._structs: dict[int, tuple[tuple[StorageType, ...], tuple[int, ...], int]] = {}

    def struct(self, index: int) -> tuple[tuple[StorageType, ...], tuple[int, ...], int]:
        """(type of each field, its offset, size of the object) of a structure; offsets and size in bytes."""
        found = self._structs.get(index)
        if found is None:
            composite = self._types[index].composite
            assert isinstance(composite, StructType)
            storages = tuple(field.storage for field in composite.fields)
            found = self._structs[index] = (storages, *struct_layout(composite))
        return found

    def field(self, imm: tuple[int, int]) -> tuple[StorageType, int]:
        """(type, offset) of a field of a structure."""
        storages, offsets, _ = self.struct(imm[0])
        return storages[imm[1]], offsets[imm[1]]

    def element(self, index: int) -> StorageType:
        """The type of the elements of an array."""
        composite = self._types[index].composite
        assert isinstance(composite, ArrayType)
        return composite.field.storage


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
