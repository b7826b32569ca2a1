"""`Struct` and `Array`: the garbage-collected objects of a store, as Python sees them.

There is one Python object for each of them as long as somebody holds it, so `is` and `==` say what `ref.eq` does. What
it refers to is kept with it.
"""

from __future__ import annotations

import ctypes
import operator

from wasmark.core.object_layout import ARRAY_ELEMENTS, ARRAY_LENGTH, size_log2
from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import I32, ArrayType, FieldType, PackedType, RefType, StructType
from wasmark.runtime.layout import TYPE_ID
from wasmark.values import bits_value, value_bits

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any, Final

    from wasmark.store import Store

_SHOWN: Final = 8
"""Values that are shown at a prompt."""

_PACKED_BITS: Final = {PackedType.I8: 8, PackedType.I16: 16}


def _read(store: Store, field: FieldType, address: int) -> Any:
    storage = field.storage
    bits = int.from_bytes(ctypes.string_at(address, 1 << size_log2(storage)), "little")
    if isinstance(storage, PackedType):
        width = _PACKED_BITS[storage]
        return bits - (1 << width) if bits >> (width - 1) else bits
    return bits_value(bits, storage, store)


def _bits(store: Store, field: FieldType, value: Any) -> int:
    """The bits of a value for a field. Raises TypeError and OverflowError."""
    storage = field.storage
    if not isinstance(storage, PackedType):
        return value_bits(value, storage, store)
    width = _PACKED_BITS[storage]
    value_bits(value, I32, store)
    if not -(1 << (width - 1)) <= operator.index(value) < 1 << width:
        raise OverflowError(f"{value} does not fit {storage}")
    return operator.index(value) & ((1 << width) - 1)


def _write(field: FieldType, address: int, bits: int) -> None:
    """Write the low bits."""
    size = 1 << size_log2(field.storage)
    ctypes.memmove(address, (bits & ((1 << 8 * size) - 1)).to_bytes(size, "little"), size)


class HeapObject(OfThisProcess):
    """What structures and arrays have in common; `type_id` is the engine's number of its type."""

    __slots__ = ("__weakref__", "_hold", "address", "store", "type_id")

    def __init__(self, store: Store, address: int, type_id: int) -> None:
        """For the store: the object at an address."""
        self._hold = store.collector.held.hold(address)
        self.store = store
        self.address = address
        self.type_id = type_id

    def _get(self, index: int) -> Any:
        field, address = self._place(index)
        return _read(self.store, field, address)

    def _set(self, index: int, value: Any) -> None:
        field, address = self._place(index)
        if not field.mutable:
            raise TypeError(f"item {index} of this {type(self).__name__} is immutable")
        _write(field, address, _bits(self.store, field, value))

    def _place(self, index: int) -> tuple[FieldType, int]:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def _beginning(self) -> str:
        """The first values. References are not read: that waits for a thread that runs in the store."""
        texts = []
        for index in range(min(len(self), _SHOWN)):
            field, address = self._place(index)
            is_reference = isinstance(field.storage, RefType)
            texts.append(str(field.storage) if is_reference else repr(_read(self.store, field, address)))
        if len(self) > _SHOWN:
            texts.append(f"... {len(self) - _SHOWN:,} more")
        return f"({', '.join(texts)})"

    def __getitem__(self, index: int) -> Any:
        return self.store.exclusively(self._get, operator.index(index))

    def __setitem__(self, index: int, value: Any) -> None:
        self.store.exclusively(self._set, operator.index(index), value)


class Struct(HeapObject):
    """A structure. `struct.field(i)`, or `struct[i]`, is a field; `struct[i] = value` changes it where it is mutable.

    Fields of 8 and 16 bits are read as signed numbers; both readings may be written. Raises IndexError, TypeError and
    OverflowError.
    """

    __slots__ = ("type",)

    def __init__(self, store: Store, address: int, type_id: int, type_: StructType) -> None:
        """For the store: the structure at an address."""
        super().__init__(store, address, type_id)
        self.type = type_

    @staticmethod
    def of(store: Store, type_id: int, values: Sequence[Any]) -> Struct:
        """A new structure of a type of the store's engine, with a value for each field.

        Raises TypeError where the type is no structure, or as the values of a call do, and Trap where there is no room.
        """
        return store.exclusively(Struct._of, store, type_id, values)

    @staticmethod
    def _of(store: Store, type_id: int, values: Sequence[Any]) -> Struct:
        type_ = store.engine.types.sub_type(type_id).composite
        if not isinstance(type_, StructType):
            raise TypeError(f"type {type_id} is no structure")
        if len(values) != len(type_.fields):
            raise TypeError(f"a structure of {len(type_.fields)} fields takes as many values, not {len(values)}")
        bits = [_bits(store, field, value) for field, value in zip(type_.fields, values, strict=True)]
        made = store.object_at(new_struct(store, type_id, type_, bits))
        assert isinstance(made, Struct)
        return made

    def __len__(self) -> int:
        return len(self.type.fields)

    def _place(self, index: int) -> tuple[FieldType, int]:
        if not 0 <= index < len(self.type.fields):
            raise IndexError(f"field {index} of a structure of {len(self.type.fields)}")
        return self.type.fields[index], self.address + self.store.engine.descriptors.layout(self.type_id)[0][index]

    def field(self, index: int) -> Any:
        """The value of a field."""
        return self[index]

    def __repr__(self) -> str:
        return f"<wasmark.Struct of type {self.type_id}: {self._beginning()}>"


class Array(HeapObject):
    """An array: `array[i]`, `array[i] = value` where it is mutable, `len(array)`, iteration; otherwise as `Struct`."""

    __slots__ = ("type",)

    def __init__(self, store: Store, address: int, type_id: int, type_: ArrayType) -> None:
        """For the store: the array at an address."""
        super().__init__(store, address, type_id)
        self.type = type_

    @staticmethod
    def of(store: Store, type_id: int, values: Sequence[Any]) -> Array:
        """A new array with these elements. Raises as `Struct.of`."""
        return store.exclusively(Array._of, store, type_id, values)

    @staticmethod
    def _of(store: Store, type_id: int, values: Sequence[Any]) -> Array:
        type_ = store.engine.types.sub_type(type_id).composite
        if not isinstance(type_, ArrayType):
            raise TypeError(f"type {type_id} is no array")
        bits = [_bits(store, type_.field, value) for value in values]
        made = store.object_at(new_array(store, type_id, type_, bits, len(bits)))
        assert isinstance(made, Array)
        return made

    def __len__(self) -> int:
        return ctypes.c_uint32.from_address(self.address + ARRAY_LENGTH).value

    def _place(self, index: int) -> tuple[FieldType, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"element {index} of an array of {len(self)}")
        return self.type.field, self.address + ARRAY_ELEMENTS + (index << size_log2(self.type.field.storage))

    def __iter__(self) -> Iterator[Any]:
        return (self[index] for index in range(len(self)))

    def __repr__(self) -> str:
        return f"<wasmark.Array of type {self.type_id}: {self._beginning()}>"


def object_of(store: Store, address: int) -> HeapObject:
    """A Python object for the one at an address."""
    descriptor = ctypes.c_uint64.from_address(address).value
    type_id = ctypes.c_uint32.from_address(descriptor + TYPE_ID).value
    type_ = store.engine.types.sub_type(type_id).composite
    if isinstance(type_, StructType):
        return Struct(store, address, type_id, type_)
    assert isinstance(type_, ArrayType)
    return Array(store, address, type_id, type_)


def new_struct(store: Store, type_id: int, type_: StructType, bits: Sequence[int]) -> int:
    """The address of a new structure with these bits in its fields; to be called while nothing is collected."""
    offsets, size = store.engine.descriptors.layout(type_id)
    address = store.collector.allocate(store.engine.descriptors.address(type_id), size)
    for field, offset, word in zip(type_.fields, offsets, bits, strict=True):
        _write(field, address + offset, word)
    return address


def new_array(store: Store, type_id: int, type_: ArrayType, bits: Iterable[int], count: int) -> int:
    """The address of a new array of `count` elements, the first of which have these bits and the others are 0; to be
    called while nothing is collected."""
    shift = size_log2(type_.field.storage)
    size = ARRAY_ELEMENTS + (count << shift)
    address = store.collector.allocate(store.engine.descriptors.address(type_id), size, count)
    for number, word in enumerate(bits):
        _write(type_.field, address + ARRAY_ELEMENTS + (number << shift), word)
    return address
