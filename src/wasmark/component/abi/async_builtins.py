"""The canonical built-ins for tasks, subtasks, sets of waitables, streams and futures (CanonicalABI.md, `canon
task.return` and those behind it). Each is made for the instance that calls it."""

from __future__ import annotations

from wasmark.component.abi.buffers import GuestBuffer, Port
from wasmark.component.abi.tasks import check_may_block, present
from wasmark.component.abi.waitables import Event, Subtask, Waitable, WaitableSet
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.carriers import CarrierType, End
    from wasmark.component.abi.guest import Guest
    from wasmark.component.abi.handles import InstanceState
    from wasmark.component.abi.tasks import Agreement

_M32: Final = 0xFFFFFFFF
_MOST_BACKPRESSURE: Final = 1 << 16


# --- tasks --------------------------------------------------------------------------------------------


def context_get(state: InstanceState, slot: int) -> Callable[[], int]:
    """A slot of the present thread's context."""
    return lambda: present(state).context[slot]


def context_set(state: InstanceState, slot: int) -> Callable[[int], None]:
    """Sets it."""

    def set_(value: int) -> None:
        present(state).context[slot] = value

    return set_


def task_return(state: InstanceState, accepts: Agreement) -> Callable[..., None]:
    """The result of the present task."""

    def return_(*core: Any) -> None:
        if not state.may_leave:
            state.cannot_leave()
        present(state).task.return_(accepts, core)

    return return_


def task_cancel(state: InstanceState) -> Callable[[], None]:
    """The present task ends without a result, as its caller wanted."""

    def cancel() -> None:
        if not state.may_leave:
            state.cannot_leave()
        present(state).task.cancel()

    return cancel


def backpressure(state: InstanceState, step: int) -> Callable[[], None]:
    """Counts who wants no more asynchronous tasks."""

    def count() -> None:
        state.backpressure += step
        if not 0 <= state.backpressure < _MOST_BACKPRESSURE:
            raise ComponentTrap(ComponentTrapCode.BACKPRESSURE_OVERFLOW)

    return count


# --- waiting ------------------------------------------------------------------------------------------


def set_new(state: InstanceState) -> Callable[[], int]:
    """A set of waitables."""

    def new() -> int:
        if not state.may_leave:
            state.cannot_leave()
        return state.handles.add(WaitableSet())

    return new


def set_wait(guest: Guest, *, cancellable: bool) -> Callable[[int, int], int]:
    """Waits for a member of a set."""
    state = guest.state

    def wait(index: int, pointer: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        check_may_block(state)
        found = state.handles.entry(index & _M32, WaitableSet)
        return _write_event(guest, pointer, found.wait(state, cancellable=cancellable))

    return wait


def set_poll(guest: Guest, *, cancellable: bool) -> Callable[[int, int], int]:
    """Looks whether a member of a set has something to tell."""
    state = guest.state

    def poll(index: int, pointer: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        found = state.handles.entry(index & _M32, WaitableSet)
        return _write_event(guest, pointer, found.poll(state, cancellable=cancellable))

    return poll


def _write_event(guest: Guest, pointer: int, event: Event) -> int:
    code, first, second = event
    at = pointer & (1 << 8 * guest.layout.pointer) - 1
    guest.reach_pointer(at, 8, 4)
    guest.view[at : at + 4] = first.to_bytes(4, "little")
    guest.view[at + 4 : at + 8] = (second & _M32).to_bytes(4, "little")
    return code


def set_drop(state: InstanceState) -> Callable[[int], None]:
    """Ends a set."""

    def drop(index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        state.handles.entry(index & _M32, WaitableSet).check_unused()
        state.handles.forget(index & _M32)

    return drop


def join(state: InstanceState) -> Callable[[int, int], None]:
    """Makes a waitable a member of a set, or of none."""

    def join_(index: int, set_index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        waitable = state.handles.entry(index & _M32, Waitable)
        if waitable.is_awaited:
            raise ComponentTrap(ComponentTrapCode.IN_WAITABLE_SET)
        waitable.join(state.handles.entry(set_index & _M32, WaitableSet) if set_index else None)

    return join_


# --- subtasks -----------------------------------------------------------------------------------------


def subtask_cancel(state: InstanceState, *, is_async: bool) -> Callable[[int], int]:
    """Asks for the end of a call."""

    def cancel(index: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        if not is_async:
            check_may_block(state)
        return state.handles.entry(index & _M32, Subtask).cancel(state, is_async=is_async)

    return cancel


def subtask_drop(state: InstanceState) -> Callable[[int], None]:
    """Ends the handle of a call that is over."""

    def drop(index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        subtask = state.handles.entry(index & _M32, Subtask)
        subtask.check_over()
        subtask.join(None)
        state.handles.forget(index & _M32)

    return drop


# --- streams and futures ------------------------------------------------------------------------------


def carrier_new(state: InstanceState, carrier: CarrierType) -> Callable[[], int]:
    """Both ends of a stream or future, the writable one in the upper half."""

    def new() -> int:
        if not state.may_leave:
            state.cannot_leave()
        shared = carrier.new()
        readable = carrier.put(state, shared)
        writable = carrier.writable(shared)
        writable.index = state.handles.add(writable)
        return readable | writable.index << 32

    return new


def stream_copy(port: Port, carrier: CarrierType, kind: type[End], *, is_async: bool) -> Callable[[int, int, int], int]:
    """Reads or writes so many values."""
    state = port.guest.state
    mask = (1 << 8 * port.guest.layout.pointer) - 1

    def copy(index: int, pointer: int, length: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        if not is_async:
            check_may_block(state)
        end: End = carrier.end(state, index & _M32, kind)
        end.check_idle()
        if not is_async:
            end.refuse_in_set()
        return end.copy(state, GuestBuffer(port, pointer & mask, length & mask), is_async=is_async)

    return copy


def future_copy(port: Port, carrier: CarrierType, kind: type[End], *, is_async: bool) -> Callable[[int, int], int]:
    """Reads or writes the value."""
    copy = stream_copy(port, carrier, kind, is_async=is_async)
    return lambda index, pointer: copy(index, pointer, 1)


def carrier_cancel(
    state: InstanceState, carrier: CarrierType, kind: type[End], *, is_async: bool
) -> Callable[[int], int]:
    """Stops reading or writing."""

    def cancel(index: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        if not is_async:
            check_may_block(state)
        end: End = carrier.end(state, index & _M32, kind)
        return end.cancel(state, is_async=is_async)

    return cancel


def carrier_drop(state: InstanceState, carrier: CarrierType, kind: type[End]) -> Callable[[int], None]:
    """Ends one side."""

    def drop(index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        end: End = carrier.end(state, index & _M32, kind)
        end.drop()
        state.handles.forget(index & _M32)

    return drop
