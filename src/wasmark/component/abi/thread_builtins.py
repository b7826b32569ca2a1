"""The canonical built-ins for threads that take turns (CanonicalABI.md, `canon thread.index` and those behind it)."""

from __future__ import annotations

from wasmark.component.abi.tasks import present
from wasmark.component.abi.threads import Thread
from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Final

    from wasmark.component.abi.handles import InstanceState
    from wasmark.func import Func
    from wasmark.table import Table

_M32: Final = 0xFFFFFFFF


def thread_index(state: InstanceState) -> Callable[[], int]:
    """The index of the present thread."""

    def index() -> int:
        if not state.may_leave:
            state.cannot_leave()
        return present(state).index

    return index


def thread_new(state: InstanceState, table: Table, type_id: int) -> Callable[[int, int], int]:
    """A thread of the present task, which runs a function of a table when somebody lets it."""

    def new(element: int, context: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        element &= _M32
        function = table[element] if element < len(table) else None
        if function is None or function.type_id != type_id:
            raise ComponentTrap(ComponentTrapCode.NO_FUNCTION)
        task = present(state).task
        life: Iterator[None] = _life(function, context)
        thread = Thread(task, life, needs_stack=True)
        task.add(thread)
        return thread.index

    def _life(function: Func, context: int) -> Iterator[None]:
        thread = present(state)
        thread.call(function, context)
        thread.end()
        yield from ()

    return new


def _other(state: InstanceState, index: int) -> Thread:
    return state.threads.entry(index & _M32, Thread)


def _suspended(state: InstanceState, index: int) -> Thread:
    thread = _other(state, index)
    if not thread.is_suspended:
        raise ComponentTrap(ComponentTrapCode.NOT_SUSPENDED)
    return thread


def resume_later(state: InstanceState) -> Callable[[int], None]:
    """Lets another thread run when its turn comes."""

    def resume(index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        _other(state, index).resume_later()

    return resume


def suspend(state: InstanceState, *, cancellable: bool) -> Callable[[], int]:
    """Waits until another thread lets this one run."""

    def suspend_() -> int:
        if not state.may_leave:
            state.cannot_leave()
        return present(state).suspend(cancellable=cancellable)

    return suspend_


def yield_(state: InstanceState, *, cancellable: bool) -> Callable[[], int]:
    """Lets others run."""

    def yield__() -> int:
        if not state.may_leave:
            state.cannot_leave()
        return present(state).yield_(cancellable=cancellable)

    return yield__


def hand_over(state: InstanceState, *, cancellable: bool, suspends: bool, wants_ready: bool) -> Callable[[int], int]:
    """Lets a certain thread run next, and suspends this one or has it wait for its turn. `wants_ready`: the other one
    has to be ready for that, and is left alone otherwise; it has to be suspended where this is False."""

    def hand(index: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        thread = present(state)
        other = _other(state, index) if wants_ready else _suspended(state, index)
        return thread.hand_over(
            other if not wants_ready or other.is_ready else None, cancellable=cancellable, suspends=suspends
        )

    return hand
