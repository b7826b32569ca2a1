"""`TypeDescriptors`: what native code knows of the structure and array types of an engine (`runtime.layout`: TYPE_*).

A descriptor is made when a module with its type is instantiated first, and stays: objects point to it.
"""

from __future__ import annotations

import ctypes
import struct

from wasmark.core.object_layout import struct_layout
from wasmark.core.types import FuncType, RefType, StructType
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.validate.canon import TypeRegistry

_head: Final = struct.Struct("<IIIxxxxQ")


def _descriptor(type_id: int, kind: int, references: int, offsets: bytes, chain: tuple[int, ...]) -> tuple[int, Any]:
    """(its address, which is even: the lowest bit is the collector's; what keeps it)"""
    memory = (ctypes.c_uint64 * ((L.TYPE_DESCRIPTOR_SIZE + len(offsets) + 7) // 8))()
    address = ctypes.addressof(memory)
    _head.pack_into(memory, 0, type_id, kind, references, address + L.TYPE_DESCRIPTOR_SIZE)
    struct.pack_into(f"<{len(chain)}I", memory, L.TYPE_DISPLAY, *chain)
    ctypes.memmove(address + L.TYPE_DESCRIPTOR_SIZE, offsets, len(offsets))
    return address, memory


WORDS: Final = _descriptor(0, L.KIND_WORDS, 1, b"", ())
"""The descriptor of objects that are like arrays of words, any of which may be a reference; they have no wasm type. It
is for what carries values of any types, such as exceptions."""


class TypeDescriptors:
    """Addresses of descriptors, and layouts, by canonical id."""

    def __init__(self, types: TypeRegistry) -> None:
        self._types = types
        self._made: dict[int, tuple[int, Any]] = {}
        self._layouts: dict[int, tuple[tuple[int, ...], int]] = {}

    def layout(self, type_id: int) -> tuple[tuple[int, ...], int]:
        """(offset of each field, size) of a structure."""
        found = self._layouts.get(type_id)
        if found is None:
            composite = self._types.sub_type(type_id).composite
            assert isinstance(composite, StructType)
            found = self._layouts[type_id] = struct_layout(composite)
        return found

    def address(self, type_id: int) -> int:
        """The address of a type's descriptor; 0 for a function type."""
        found = self._made.get(type_id)
        if found is not None:
            return found[0]
        composite = self._types.sub_type(type_id).composite
        if isinstance(composite, FuncType):
            return 0
        chain = self._types.supertypes(type_id)
        if isinstance(composite, StructType):
            places, _ = self.layout(type_id)
            references = [
                at for at, field in zip(places, composite.fields, strict=True) if isinstance(field.storage, RefType)
            ]
            offsets = struct.pack(f"<{len(references)}I", *references)
            made = _descriptor(type_id, L.KIND_STRUCT, len(references), offsets, chain)
        else:
            is_reference = isinstance(composite.field.storage, RefType)
            made = _descriptor(type_id, L.KIND_ARRAY, int(is_reference), b"", chain)
        # Of two threads that make the same one, both take that of the first.
        return self._made.setdefault(type_id, made)[0]
