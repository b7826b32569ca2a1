"""Python values to the 8-byte slots of calls, and back (the table in the docstring of `Codec`)."""

from __future__ import annotations

import ctypes
import operator
import struct

from wasmark.core.types import F32, F64, I32, I64, V128, NumType, RefType, ValType
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final, Protocol
else:
    Protocol = object


class References(Protocol):
    """Who turns references into Python objects and back: the store."""

    def reference_bits(self, value: Any, type_: RefType) -> int:
        """The reference that a Python value stands for. Raises TypeError."""

    def reference_value(self, bits: int, type_: RefType) -> Any:
        """The Python value of a reference."""


_FORMAT: Final[dict[object, str]] = {I32: "i4x", I64: "q", F32: "f4x", F64: "d"}
_INTEGER_BITS: Final[dict[object, int]] = {I32: 32, I64: 64}
_MASKS: Final[dict[object, int]] = {I32: 0xFFFFFFFF, F32: 0xFFFFFFFF}
V128_SIZE: Final = 16


def value_size(type_: ValType) -> int:
    """Bytes that a value takes in slots, and in the cell of a global."""
    return V128_SIZE if type_ is V128 else SLOT_SIZE


def _integer_bits(value: Any, bits: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"expected an int for i{bits}, got {type(value).__name__}") from None
    if not -(1 << (bits - 1)) <= number < 1 << bits:
        raise OverflowError(f"{number} does not fit i{bits}")
    return number & ((1 << bits) - 1)


def _float_bits(value: Any, type_: NumType) -> int:
    # float() itself would parse text, also out of buffers.
    class_ = type(value)
    if not (hasattr(class_, "__float__") or hasattr(class_, "__index__")):
        raise TypeError(f"expected a float for {type_}, got {class_.__name__}")
    number = float(value)
    if type_ is F64:
        return int(struct.unpack("<Q", struct.pack("<d", number))[0])
    # c_float rounds to nearest, beyond the largest value to infinity; struct would refuse.
    return int(ctypes.c_uint32.from_buffer(ctypes.c_float(number)).value)


def _vector_bits(value: Any) -> int:
    try:
        data = bytes(memoryview(value))
    except TypeError:
        raise TypeError(f"expected 16 bytes for v128, got {type(value).__name__}") from None
    if len(data) != V128_SIZE:
        raise TypeError(f"expected 16 bytes for v128, got {len(data)}")
    return int.from_bytes(data, "little")


def value_bits(value: Any, type_: ValType, references: References | None) -> int:
    """The unsigned bits of a Python value as a value of `type_`.

    Numbers need no `references`. Raises TypeError for the wrong kind of value and OverflowError for an integer that
    does not fit (signed and unsigned readings are both accepted).
    """
    if isinstance(type_, RefType):
        assert references is not None
        return references.reference_bits(value, type_)
    if type_ in _INTEGER_BITS:
        return _integer_bits(value, _INTEGER_BITS[type_])
    if type_ is V128:
        return _vector_bits(value)
    return _float_bits(value, type_)


def bits_value(bits: int, type_: ValType, references: References) -> Any:
    """The Python value of bits: integers signed."""
    if isinstance(type_, RefType):
        return references.reference_value(bits, type_)
    if type_ in _INTEGER_BITS:
        width = _INTEGER_BITS[type_]
        bits &= (1 << width) - 1
        return bits - (1 << width) if bits >> (width - 1) else bits
    if type_ is V128:
        return bits.to_bytes(V128_SIZE, "little")
    if type_ is F32:
        return struct.unpack("<f", struct.pack("<I", bits & 0xFFFFFFFF))[0]
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def say_where(error: Exception, where: str) -> None:
    """Put words in front of an error's message. An error of the caller's own that is more than a message stays as it
    is; all others stay the same objects."""
    if len(error.args) == 1 and isinstance(error.args[0], str):
        error.args = (where + error.args[0],)


class Codec:
    """Reads and writes a row of values as slots.

    i32, i64 <-> signed int; f32, f64 <-> float; v128 <-> 16 bytes, the first lane first; references <-> None, Func, or
    any object (externref). `slots` is how many slots they take. `noun` is what one of them is called in errors.
    """

    __slots__ = ("_noun", "_plain", "_sizes", "_struct", "slots", "types")

    def __init__(self, types: Sequence[ValType], noun: str) -> None:
        self._noun = noun
        self.types = tuple(types)
        self._plain = all(type_ in _FORMAT for type_ in self.types)
        self._struct = struct.Struct("<" + "".join(_FORMAT.get(type_, "Q") for type_ in self.types))
        self._sizes = [value_size(type_) for type_ in self.types]
        self.slots = sum(self._sizes) // SLOT_SIZE

    def pack(self, buffer: Any, values: Sequence[Any], references: References | None) -> None:
        """Write `values` (as many as there are types) to a writable buffer. Raises as `value_bits`; where there are
        several types the error says which one it is, counted from 1."""
        if self._plain:
            try:
                self._struct.pack_into(buffer, 0, *values)
                return
            except (struct.error, OverflowError):
                pass  # a wrong value, or an unsigned reading: say which, or take it
        bits: list[int] = []
        try:
            for value, type_ in zip(values, self.types, strict=True):
                bits.append(value_bits(value, type_, references))
        except (TypeError, OverflowError) as error:
            if len(self.types) > 1:
                say_where(error, f"{self._noun} {len(bits) + 1}: ")
            raise
        self.pack_bits(buffer, bits)

    def pack_bits(self, buffer: Any, bits: Sequence[int]) -> None:
        """Write values that are given as unsigned bits."""
        data = b"".join([value.to_bytes(size, "little") for value, size in zip(bits, self._sizes, strict=True)])
        memoryview(buffer).cast("B")[: len(data)] = data

    def unpack(self, buffer: Any, references: References) -> tuple[Any, ...]:
        """Read the values."""
        if self._plain:
            return self._struct.unpack_from(buffer)
        return tuple(
            bits_value(bits, type_, references)
            for bits, type_ in zip(self.unpack_bits(buffer), self.types, strict=True)
        )

    def unpack_bits(self, buffer: Any) -> list[int]:
        """Read the values as unsigned bits."""
        data = memoryview(buffer).cast("B")
        found = []
        at = 0
        for type_, size in zip(self.types, self._sizes, strict=True):
            found.append(int.from_bytes(data[at : at + size], "little") & _MASKS.get(type_, -1))
            at += size
        return found
