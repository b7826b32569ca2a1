"""Error contexts: what a component knows of an error besides that there was one (CanonicalABI.md, `canon
error-context.new` and those behind it)."""

from __future__ import annotations

from wasmark.component.abi import strings
from wasmark.component.abi.handles import Entry
from wasmark.component.values import ErrorContext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.guest import Guest

_M32: Final = 0xFFFFFFFF


class ErrorEntry(Entry):
    """An error context in the hands of a component."""

    __slots__ = ("error",)
    what = "error context"

    def __init__(self, error: ErrorContext) -> None:
        self.error = error


def take_error(guest: Guest, index: int) -> ErrorContext:
    """The error context with an index; it stays where it is (`lift_error_context`)."""
    return guest.state.handles.entry(index, ErrorEntry).error


def put_error(guest: Guest, error: Any) -> int:
    """A handle of an error context (`lower_error_context`)."""
    if not isinstance(error, ErrorContext):
        raise TypeError(f"expected an ErrorContext, got {type(error).__name__}")
    return guest.state.handles.add(ErrorEntry(error))


def error_new(guest: Guest) -> Callable[[int, int], int]:
    """An error context with this message."""
    load = strings.LOADERS[guest.encoding]
    mask = (1 << 8 * guest.layout.pointer) - 1

    def new(pointer: int, length: int) -> int:
        if not guest.state.may_leave:
            guest.state.cannot_leave()
        return guest.state.handles.add(ErrorEntry(ErrorContext(load(guest, pointer & mask, length & mask))))

    return new


def error_message(guest: Guest) -> Callable[[int, int], None]:
    """Writes where the message is and how long."""
    store = strings.STORERS[guest.encoding]
    size = guest.layout.pointer
    mask = (1 << 8 * size) - 1

    def message(index: int, pointer: int) -> None:
        if not guest.state.may_leave:
            guest.state.cannot_leave()
        error = take_error(guest, index & _M32)
        start, length = store(guest, error.message)
        at = pointer & mask
        guest.reach_pointer(at, 2 * size, size)
        guest.view[at : at + size] = start.to_bytes(size, "little")
        guest.view[at + size : at + 2 * size] = length.to_bytes(size, "little")

    return message


def error_drop(guest: Guest) -> Callable[[int], None]:
    """Ends a handle."""

    def drop(index: int) -> None:
        if not guest.state.may_leave:
            guest.state.cannot_leave()
        guest.state.handles.entry(index & _M32, ErrorEntry)
        guest.state.handles.forget(index & _M32)

    return drop
