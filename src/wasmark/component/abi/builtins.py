"""The canonical built-ins for resources (CanonicalABI.md, `canon resource.new` and those behind it), and the end of a
resource."""

from __future__ import annotations

from wasmark.component.abi.guest import uncaught
from wasmark.component.abi.handles import Handle
from wasmark.errors import WasmException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final

    from wasmark.component.abi.handles import InstanceState, Resource

_M32: Final = 0xFFFFFFFF


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
        outer, owner.thread = owner.thread, None
    try:
        resource.drop(rep)
    except WasmException as error:
        uncaught(error)
    if owner is not None:
        owner.end_call()
        owner.thread = outer
    for state in entered:
        state.may_enter = True


def drain(state: InstanceState) -> None:
    """End the resources that Python has let go of, as far as their instances can still do so."""
    doomed = state.doomed
    while doomed and state.can_be_entered:
        resource, rep = doomed.popleft()
        # Nothing runs here, so one that cannot be entered never will be.
        if resource.owner is not None and resource.owner.can_be_entered:
            drop_as(None, resource, rep)
