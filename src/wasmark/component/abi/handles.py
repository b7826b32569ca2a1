"""Resources at run time: the tables of handles that component instances have, what is lent for a call, and the state of
an instance that decides whether it may be entered and left (CanonicalABI.md, "Component Instances", "Table State",
"Resource State")."""

from __future__ import annotations

from collections import deque

from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn

    from wasmark.component.abi.tasks import Task
    from wasmark.store import Store

MAX_HANDLES: Final = (1 << 28) - 1
"""The largest index of a table."""


class Resource:
    """A resource type of one component instance, or of the host (`owner` is None).

    `drop` takes a representation that nobody owns any more: the destructor.
    """

    __slots__ = ("drop", "name", "owner")

    def __init__(
        self, name: str | None, owner: InstanceState | None, drop: Callable[[int], object] | None = None
    ) -> None:
        self.name = name
        self.owner = owner
        self.drop = drop

    def __repr__(self) -> str:
        return f"<resource {self.name or 'type'} of the {'host' if self.owner is None else 'component'}>"


class Handle:
    """An entry of a table. `scope` is the call that a borrow was lent for, None where the handle owns the resource."""

    __slots__ = ("lends", "rep", "resource", "scope")

    def __init__(self, resource: Resource, rep: int, scope: Scope | None = None) -> None:
        self.resource = resource
        self.rep = rep
        self.scope = scope
        self.lends = 0


class Scope:
    """One call, as far as borrows go: the handles that the caller lent for it, and how many borrows the callee still
    has. `ends` is what else is to be done when it is over."""

    __slots__ = ("borrows", "ends", "lenders")

    def __init__(self) -> None:
        self.borrows = 0
        self.lenders: list[Any] = []
        self.ends: list[Callable[[], object]] = []

    def lend(self, lender: Any) -> None:
        """Let something with `lends` know that it is lent."""
        lender.lends += 1
        self.lenders.append(lender)

    def check_returned(self) -> None:
        """Trap where the callee has not dropped what it borrowed."""
        if self.borrows:
            raise ComponentTrap(ComponentTrapCode.BORROWS_REMAIN)

    def end(self) -> None:
        """The call is over."""
        for lender in self.lenders:
            lender.lends -= 1
        for end in self.ends:
            end()


class HandleTable:
    """The handles of one component instance. Indices begin with 1, and what was freed last is used first."""

    __slots__ = ("_free", "_handles")

    def __init__(self) -> None:
        self._handles: list[Handle | None] = [None]
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many handles there are."""
        return len(self._handles) - 1 - len(self._free)

    def add(self, handle: Handle) -> int:
        """The index of a new handle."""
        if self._free:
            index = self._free.pop()
            self._handles[index] = handle
            return index
        index = len(self._handles)
        if index > MAX_HANDLES:
            raise ComponentTrap(ComponentTrapCode.HANDLE_TABLE_FULL)
        self._handles.append(handle)
        return index

    def get(self, index: int, resource: Resource) -> Handle:
        """The handle with an index, for a resource of this type."""
        handle = self._handles[index] if index < len(self._handles) else None
        if handle is None:
            raise ComponentTrap(ComponentTrapCode.UNKNOWN_HANDLE, f"unknown handle index {index}")
        if handle.resource is not resource:
            _wrong_type(index, handle.resource, resource)
        return handle

    def remove(self, index: int, resource: Resource) -> Handle:
        """The same, taken out; it must not be lent."""
        handle = self.get(index, resource)
        if handle.lends:
            raise ComponentTrap(ComponentTrapCode.HANDLE_LENT)
        self._handles[index] = None
        self._free.append(index)
        return handle

    def take(self, index: int, resource: Resource) -> int:
        """The representation of a resource that is given away (`lift_own`)."""
        handle = self.remove(index, resource)
        if handle.scope is not None:
            raise ComponentTrap(ComponentTrapCode.NOT_OWNED)
        return handle.rep


def _wrong_type(index: int, found: Resource, wanted: Resource) -> NoReturn:
    def kind(resource: Resource) -> str:
        return "host-defined" if resource.owner is None else "guest-defined"

    different = "different " if kind(found) == kind(wanted) else ""
    raise ComponentTrap(
        ComponentTrapCode.WRONG_HANDLE_TYPE,
        f"handle index {index} used with the wrong type, expected {kind(wanted)} resource but found a {different}"
        f"{kind(found)} resource",
    )


class InstanceState:
    """What the canonical ABI knows of a component instance.

    `may_enter` is False while it runs, and for good once something has gone through it that it did not expect: a trap
    or an exception. `chain` are the instance and those that it is nested in. `doomed` are resources that Python has let
    go of, `(resource, representation)`, which are dropped before the instance is entered the next time. `task` is what
    runs in it, where that was asked for.
    """

    __slots__ = (
        "backpressure",
        "chain",
        "doomed",
        "handles",
        "may_enter",
        "may_leave",
        "store",
        "task",
    )

    def __init__(self, store: Store, parent: InstanceState | None = None) -> None:
        self.store = store
        self.handles = HandleTable()
        self.may_enter = True
        self.may_leave = True
        self.backpressure = 0
        self.task: Task | None = None
        self.chain: tuple[InstanceState, ...] = (self, *(parent.chain if parent is not None else ()))
        self.doomed: deque[tuple[Resource, int]] = parent.doomed if parent is not None else deque()

    def entered_from(self, caller: InstanceState | None) -> tuple[InstanceState, ...]:
        """The instances that a call from `caller` enters. (None: the host.)"""
        if caller is None:
            return self.chain
        return tuple(state for state in self.chain if state not in caller.chain)

    def cannot_enter(self) -> NoReturn:
        """Trap."""
        raise ComponentTrap(ComponentTrapCode.CANNOT_ENTER)

    def cannot_leave(self) -> NoReturn:
        """Trap."""
        raise ComponentTrap(ComponentTrapCode.CANNOT_LEAVE)
