"""Resources as Python sees them: objects that stand for a guest's (`ResourceObject`), and Python's own objects in the
hands of guests (`HostResource`)."""

from __future__ import annotations

from wasmark.component.abi.builtins import drop_as
from wasmark.component.abi.handles import Resource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Self

    from wasmark.component.abi.handles import InstanceState, Scope


class ResourceObject:
    """A resource of a component. Its methods are those that the component exports.

    It is dropped by `drop`, at the end of a `with` statement, or, where Python lets go of it, before its component is
    called the next time. One that was given away (`own`), or lent by a guest for a call that is over, cannot be used
    any more: that raises ValueError.
    """

    __slots__ = ("__weakref__", "_is_owned", "_rep", "lends")

    _resource: GuestResource
    _rep: int | None
    _is_owned: bool
    lends: int

    def __init__(self) -> None:
        raise TypeError(f"{type(self).__name__} has no constructor: the component makes them itself")

    def drop(self) -> None:
        """Have the component end the resource now, or, while it runs, after that; again, nothing happens. Raises
        ValueError where it is lent."""
        if self._rep is not None:
            rep = self._resource.taken(self)
            self._resource.drop_from_host(rep)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.drop()

    def __del__(self) -> None:
        rep = getattr(self, "_rep", None)
        if rep is not None and self._is_owned:
            owner = self._resource.owner
            assert owner is not None
            owner.doomed.append((self._resource, rep))

    def _expire(self) -> None:
        self._rep = None

    def __repr__(self) -> str:
        state = "gone" if self._rep is None else "owned" if self._is_owned else "borrowed"
        return f"<{type(self).__name__} resource, {state}>"


class GuestResource(Resource):
    """A resource type that a component instance defines. `class_` is the class of its objects, `is_named` whether that
    is the one of an exported interface."""

    __slots__ = ("class_", "is_named")

    def __init__(self, name: str | None, owner: InstanceState, drop: Callable[[int], object] | None = None) -> None:
        super().__init__(name, owner, drop)
        self.is_named = False
        self.class_: type[ResourceObject] = type(
            "Resource", (ResourceObject,), {"__slots__": (), "_resource": self, "__module__": "wasmark.component"}
        )

    def owned(self, rep: int) -> ResourceObject:
        """The object of a resource that Python gets."""
        return self._object(rep, is_owned=True)

    def borrowed(self, rep: int, scope: Scope) -> ResourceObject:
        """The object of a resource that Python may use for a call."""
        made = self._object(rep, is_owned=False)
        scope.ends.append(made._expire)
        return made

    def _object(self, rep: int, *, is_owned: bool) -> ResourceObject:
        made = object.__new__(self.class_)
        made._rep = rep
        made._is_owned = is_owned
        made.lends = 0
        return made

    def _rep_of(self, value: Any) -> int:
        if not isinstance(value, ResourceObject) or value._resource is not self:
            name = self.class_.__name__
            raise TypeError(f"expected a {name} of this instance, got {value!r}")
        if value._rep is None:
            raise ValueError(f"the {type(value).__name__} has been dropped or given away")
        return value._rep

    def lent(self, value: Any, scope: Scope) -> int:
        """The representation of an object that a guest may use for a call."""
        rep = self._rep_of(value)
        scope.lend(value)
        return rep

    def given(self, value: Any) -> int:
        """The representation of an object that a guest gets."""
        self._rep_of(value)
        return self.taken(value)

    def taken(self, value: ResourceObject) -> int:
        """The representation of an object that is an empty shell from now on."""
        rep = self._rep_of(value)
        if not value._is_owned:
            raise ValueError(f"the {type(value).__name__} is only borrowed")
        if value.lends:
            raise ValueError(f"the {type(value).__name__} is lent to a call that is not over")
        value._rep = None
        return rep

    def take_back(self, value: Any, rep: int) -> None:
        """Undo `given`."""
        value._rep = rep

    def drop_from_host(self, rep: int) -> None:
        """Call the destructor, as the host; where the instance cannot be entered now, when that is so again."""
        owner = self.owner
        assert owner is not None
        with owner.store.owned():
            if owner.can_be_entered:
                drop_as(None, self, rep)
            else:
                owner.doomed.append((self, rep))


class HostResource(Resource):
    """A resource type of Python's: any object can be one. Guests know them by a number, as long as they have a handle.

    `class_` is what the objects have to be of, None where that is left open. If it has a `drop`, that is called when a
    guest drops what it owns.
    """

    __slots__ = ("_next", "_objects", "class_")

    def __init__(self, name: str | None, class_: type | None = None) -> None:
        super().__init__(name, None, self._dropped)
        self.class_ = class_
        self._objects: dict[int, Any] = {}
        self._next = 1

    def _forget(self, rep: int) -> None:
        self._objects.pop(rep, None)

    def _dropped(self, rep: int) -> None:
        dropped = self._objects.pop(rep)
        if self.class_ is not None and hasattr(self.class_, "drop"):
            dropped.drop()

    def owned(self, rep: int) -> Any:
        """The object that a guest gives back."""
        return self._objects.pop(rep)

    def borrowed(self, rep: int, scope: Scope) -> Any:
        """The object that a guest lends."""
        return self._objects[rep]

    def given(self, value: Any) -> int:
        """The number of an object that a guest gets."""
        if self.class_ is not None and not isinstance(value, self.class_):
            raise TypeError(f"expected a {self.class_.__name__}, got {value!r}")
        rep = self._next
        self._next = rep + 1 & 0x7FFFFFFF
        while self._next in self._objects or not self._next:
            self._next = self._next + 1 & 0x7FFFFFFF
        self._objects[rep] = value
        return rep

    def take_back(self, value: Any, rep: int) -> None:
        """Undo `given`."""
        self._forget(rep)

    def lent(self, value: Any, scope: Scope) -> int:
        """The number of an object that a guest may use for a call."""
        rep = self.given(value)
        scope.ends.append(lambda: self._forget(rep))
        return rep
