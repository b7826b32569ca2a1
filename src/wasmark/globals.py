"""`Global`: a global variable."""

from __future__ import annotations

import ctypes

from wasmark.core.own_process import OfThisProcess
from wasmark.core.types import GlobalType, RefType
from wasmark.errors import wrong_type
from wasmark.values import bits_value, value_bits, value_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.store import Store


def _write(address: int, type_: GlobalType, bits: int) -> None:
    size = value_size(type_.value)
    ctypes.memmove(address, bits.to_bytes(size, "little"), size)


def _cell(store: Store, type_: GlobalType, value: Any) -> int:
    """The address of a new cell of a store with a value. Raises TypeError or OverflowError."""
    bits = value_bits(value, type_.value, store)
    address = store.allocate(16)
    _write(address, type_, bits)
    if isinstance(type_.value, RefType) and store.engine.types.is_collected(type_.value):
        store.collector.hold(address, 1)
    return address


class Global(OfThisProcess):
    """A global of a store; `value` reads it, and writes it where it is mutable."""

    store: Store
    type: GlobalType
    address: int

    def __init__(self, store: Store, type_: GlobalType, value: Any) -> None:
        """A new global with an initial value. Raises TypeError or OverflowError."""
        if not isinstance(type_, GlobalType):
            raise wrong_type("a GlobalType", type_)
        self._become(store, type_, store.exclusively(_cell, store, type_, value))

    @staticmethod
    def at(store: Store, type_: GlobalType, address: int) -> Global:
        """For the store: the global in the cell at `address`; `type_` in the engine's canonical types."""
        found = object.__new__(Global)
        found._become(store, type_, address)
        return found

    def _become(self, store: Store, type_: GlobalType, address: int) -> None:
        self.store = store
        self.type = type_
        self.address = address

    @property
    def bits(self) -> int:
        """The raw bits (of an i32 or f32, the lower half counts)."""
        return int.from_bytes(ctypes.string_at(self.address, value_size(self.type.value)), "little")

    @property
    def value(self) -> Any:
        """The present value. A reference waits for another thread that runs in the store."""
        if isinstance(self.type.value, RefType):
            return self.store.exclusively(self._get)
        return self._get()

    @value.setter
    def value(self, value: Any) -> None:
        if not self.type.mutable:
            raise TypeError("the global is immutable")
        if isinstance(self.type.value, RefType):
            self.store.exclusively(self._set, value)
        else:
            self._set(value)

    def _get(self) -> Any:
        return bits_value(self.bits, self.type.value, self.store)

    def _set(self, value: Any) -> None:
        _write(self.address, self.type, value_bits(value, self.type.value, self.store))

    def __repr__(self) -> str:
        # A reference is not read: that waits for a thread that runs in the store.
        value = "" if isinstance(self.type.value, RefType) else f" = {self.value!r}"
        return f"<wasmark.Global {'mut ' if self.type.mutable else ''}{self.type.value}{value}>"
