"""The canonical built-ins (CanonicalABI.md, `canon resource.new` and those behind it), and the end of a resource."""

from __future__ import annotations

from wasmark.component.abi.guest import uncaught
from wasmark.component.abi.handles import Handle
from wasmark.component.abi.tasks import present
from wasmark.component.traps import ComponentTrap, ComponentTrapCode
from wasmark.errors import UnsupportedError, WasmException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.abi.handles import InstanceState, Resource

_M32: Final = 0xFFFFFFFF
_MOST_BACKPRESSURE: Final = 1 << 16


def resource_new(state: InstanceState, resource: Resource) -> Callable[[int], int]:
    """A handle for a representation."""

    def new(rep: int) -> int:
        if not state.may_leave:
            state.cannot_leave()
        return state.handles.add(Handle(resource, rep & _M32))

    return new


def resource_rep(state: InstanceState, resource: Resource) -> Callable[[int], int]:
    """The representation behind a handle."""

    def rep(index: int) -> int:
        return state.handles.get(index & _M32, resource).rep

    return rep


def resource_drop(state: InstanceState, resource: Resource) -> Callable[[int], None]:
    """Ends a handle, and with one that owns it the resource."""

    def drop(index: int) -> None:
        if not state.may_leave:
            state.cannot_leave()
        handle = state.handles.remove(index & _M32, resource)
        if handle.scope is None:
            drop_as(state, resource, handle.rep)
        else:
            handle.scope.borrows -= 1

    return drop


def context_get(state: InstanceState, slot: int) -> Callable[[], int]:
    """A slot of the present task's context."""
    return lambda: present(state).context[slot]


def context_set(state: InstanceState, slot: int) -> Callable[[int], None]:
    """Sets it."""

    def set_(value: int) -> None:
        present(state).context[slot] = value

    return set_


def task_return(state: InstanceState) -> Callable[..., None]:
    """The result of the present task."""

    def return_(*core: Any) -> None:
        if not state.may_leave:
            state.cannot_leave()
        present(state).give(*core)

    return return_


def backpressure(state: InstanceState, step: int) -> Callable[[], None]:
    """Counts who wants no more asynchronous tasks; as each runs to its end, there is never more than one."""

    def count() -> None:
        state.backpressure += step
        if not 0 <= state.backpressure < _MOST_BACKPRESSURE:
            raise ComponentTrap(ComponentTrapCode.BACKPRESSURE_OVERFLOW)

    return count


def drop_as(caller: InstanceState | None, resource: Resource, rep: int) -> None:
    """The end of a resource that `caller` owned (None: the host): its owner is entered for the destructor."""
    owner = resource.owner
    entered = () if owner is None else owner.entered_from(caller)
    for state in entered:
        if not state.may_enter:
            state.cannot_enter()
    if resource.drop is None:
        return
    for state in entered:
        state.may_enter = False
    if owner is not None:
        outer, owner.task = owner.task, None
    try:
        resource.drop(rep)
    except WasmException as error:
        uncaught(error)
    if owner is not None:
        owner.task = outer
    for state in entered:
        state.may_enter = True


def can_be_entered(state: InstanceState) -> bool:
    """Whether Python could call it now: neither does it run, nor has something gone wrong in it."""
    return all(each.may_enter for each in state.chain)


def drain(state: InstanceState) -> None:
    """End the resources that Python has let go of, as far as their instances can still do so."""
    doomed = state.doomed
    while doomed and can_be_entered(state):
        resource, rep = doomed.popleft()
        # Nothing runs here, so one that cannot be entered never will be.
        if resource.owner is not None and can_be_entered(resource.owner):
            drop_as(None, resource, rep)


def unsupported(state: InstanceState, name: str) -> Callable[..., Any]:
    """A built-in of asynchronous components: there are none yet."""

    def call(*_: Any) -> Any:
        if not state.may_leave:
            state.cannot_leave()
        raise UnsupportedError(f"`canon {name}` is not supported yet", part="asynchronous components")

    return call
