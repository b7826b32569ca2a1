"""`Global`: a global variable."""

from __future__ import annotations

import ctypes

from wasmark.core.types import RefType
from wasmark.values import bits_value, value_bits, value_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.core.types import GlobalType
    from wasmark.store import Store


def _write(address: int, type_: GlobalType, bits: int) -> None:
    size = value_size(type_.value)
    ctypes.memmove(address, bits.to_bytes(size, "little"), size)


class Global:
    """A global of a store; `value` reads it, and writes it where it is mutable."""

    def __init__(self, store: Store, type_: GlobalType, address: int) -> None:
        """For the store: the global in the cell at `address`; `type_` in the engine's canonical types."""
        self.store = store
        self.type = type_
        self.address = address

    @staticmethod
    def of(store: Store, type_: GlobalType, value: Any) -> Global:
        """A new global with an initial value. Raises TypeError or OverflowError."""
        return store.exclusively(Global._of, store, type_, value)

    @staticmethod
    def _of(store: Store, type_: GlobalType, value: Any) -> Global:
        bits = value_bits(value, type_.value, store)
        address = store.allocate(16)
        _write(address, type_, bits)
        if isinstance(type_.value, RefType) and store.engine.types.is_collected(type_.value):
            store.collector.hold(address, 1)
        return Global(store, type_, address)

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
