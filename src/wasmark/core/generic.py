"""`Generic` and `TypeVar`: `typing`'s for type checkers, and at run time what does without the price of that module."""

from __future__ import annotations

from types import GenericAlias

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, TypeVar
else:

    class Generic:
        """The root of classes that are written with types in brackets."""

        __slots__ = ()
        __class_getitem__ = classmethod(GenericAlias)

    def TypeVar(name: str) -> str:  # noqa: N802 - as the one of `typing`
        """What stands for any type."""
        return name


__all__ = ["Generic", "TypeVar"]
