"""Resources at run time: the tables of handles that component instances have, what is lent for a call, and the state of
an instance that decides whether it may be entered and left (CanonicalABI.md, "Component Instances", "Table State",
"Resource State")."""

from __future__ import annotations

from collections import deque

from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final, NoReturn, TypeVar

    from wasmark.component.abi.threads import Thread
    from wasmark.store import Store

    _E = TypeVar("_E", bound="Entry")

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


class Entry:
    """Something that a component instance knows by an index. `resource` is the type of a resource, None for all else,
    which has `what` it is instead."""

    __slots__ = ()
    resource: Resource | None = None
    what = "resource"


class Handle(Entry):
    """An entry of a table. `scope` is the call that a borrow was lent for, None where the handle owns the resource."""

    __slots__ = ("lends", "rep", "resource", "scope")
    resource: Resource

    def __init__(self, resource: Resource, rep: int, scope: Scope | None = None) -> None:
        self.resource = resource
        self.rep = rep
        self.scope = scope
        self.lends = 0


class Scope:
    """One call, as far as borrows go: the handles that the caller lent for it, and how many borrows the callee still
    has. `ends` is what else is to be done when it is over, and may be done twice."""

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
        """The call is over. What an exception leaves undone, the next time does."""
        lenders, ends = self.lenders, self.ends
        while lenders:
            lenders[-1].lends -= 1
            del lenders[-1]
        while ends:
            ends[-1]()
            del ends[-1]


class HandleTable:
    """The handles of one component instance, and all else that it knows by indices. They begin with 1, and what was
    freed last is used first."""

    __slots__ = ("_free", "_handles")

    def __init__(self) -> None:
        self._handles: list[Any] = [None]
        self._free: list[int] = []

    def __len__(self) -> int:
        """How many handles there are."""
        return len(self._handles) - 1 - len(self._free)

    def add(self, handle: Entry) -> int:
        """The index of a new entry."""
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
            _unknown(index)
        if handle.resource is not resource:
            _wrong_type(index, handle, resource)
        found: Handle = handle
        return found

    def entry(self, index: int, kind: type[_E]) -> _E:
        """What has an index, of this kind."""
        found = self._handles[index] if index < len(self._handles) else None
        if found is None:
            _unknown(index)
        if not isinstance(found, kind):
            raise ComponentTrap(
                ComponentTrapCode.WRONG_HANDLE_TYPE,
                f"handle index {index} used with the wrong type, expected {kind.what} but found {found.what}",
            )
        return found

    def forget(self, index: int) -> None:
        """Take out what is there."""
        self._handles[index] = None
        self._free.append(index)

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


def _unknown(index: int) -> NoReturn:
    raise ComponentTrap(ComponentTrapCode.UNKNOWN_HANDLE, f"unknown handle index {index}")


def _wrong_type(index: int, entry: Entry, wanted: Resource) -> NoReturn:
    def kind(resource: Resource) -> str:
        return "host-defined" if resource.owner is None else "guest-defined"

    found = entry.what
    if entry.resource is not None:
        found = f"{'different ' if kind(entry.resource) == kind(wanted) else ''}{kind(entry.resource)} resource"
    raise ComponentTrap(
        ComponentTrapCode.WRONG_HANDLE_TYPE,
        f"handle index {index} used with the wrong type, expected {kind(wanted)} resource but found a {found}",
    )


class InstanceState:
    """What the canonical ABI knows of a component instance.

    `may_enter` is False while it runs, and for good once something has gone through it that it did not expect: a trap
    or an exception. `chain` are the instance and those that it is nested in. `doomed` are resources that Python has let
    go of, `(resource, representation)`, which are dropped before the instance is entered the next time.

    `thread` is the one that runs in it, where that was asked for; `threads` are all, by their indices. `exclusive` is
    the one of those that take turns whose turn it is, `waits_to_enter` counts calls that have not begun because of it
    or of `backpressure`, `waits_here` synchronous calls that wait in their middle. `can_block` says that its code could
    have to wait in its middle.
    """

    __slots__ = (
        "backpressure",
        "can_block",
        "chain",
        "doomed",
        "exclusive",
        "handles",
        "may_enter",
        "may_leave",
        "store",
        "thread",
        "threads",
        "waits_here",
        "waits_to_enter",
    )

    def __init__(self, store: Store, parent: InstanceState | None = None) -> None:
        self.store = store
        self.handles = HandleTable()
        self.threads = HandleTable()
        self.may_enter = True
        self.may_leave = True
        self.backpressure = 0
        self.waits_to_enter = 0
        self.waits_here = 0
        self.can_block = False
        self.thread: Thread | None = None
        self.exclusive: Thread | None = None
        self.chain: tuple[InstanceState, ...] = (self, *(parent.chain if parent is not None else ()))
        self.doomed: deque[tuple[Resource, int]] = parent.doomed if parent is not None else deque()

    @property
    def can_be_entered(self) -> bool:
        """Whether Python could call it now: neither does it run, nor has something gone wrong in it."""
        return all(each.may_enter for each in self.chain)

    def entered_from(self, caller: InstanceState | None) -> tuple[InstanceState, ...]:
        """The instances that a call from `caller` enters. (None: the host.)"""
        if caller is None:
            return self.chain
        return tuple(state for state in self.chain if state not in caller.chain)

    def end_call(self) -> None:
        """A synchronous call is over in which somebody asked for the thread."""
        if self.thread is not None:
            self.thread.end()
            self.thread = None

    def refuse_kin(self, *_: object) -> NoReturn:
        """In the place of a call to an instance that this one is nested in, or that is nested in this one, or of its
        own: trap. (The specification would have it both ways; its tests want this.)"""
        if not self.may_leave:
            self.cannot_leave()
        self.cannot_enter()

    def cannot_enter(self) -> NoReturn:
        """Trap."""
        raise ComponentTrap(ComponentTrapCode.CANNOT_ENTER)

    def cannot_leave(self) -> NoReturn:
        """Trap."""
        raise ComponentTrap(ComponentTrapCode.CANNOT_LEAVE)
