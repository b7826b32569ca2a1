"""Classes that are little more than their fields. `dataclasses` would write the same methods at each import, out of
text, and bring `inspect` along; that took a quarter of the time of a start."""

from __future__ import annotations

import collections
import operator

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn


class Record:
    """The fields are the class's own `__slots__`, one that starts with a line being behind a property; `__init__` takes
    those that have no beginning of their own. Records of one class with equal fields are equal."""

    __slots__ = ()
    field_names: tuple[str, ...] = ()
    """Their names, in the order of the parameters of `__init__` where it takes them all."""
    _values: Callable[[Any], Any]
    if not TYPE_CHECKING:  # where it says that each class hashes as it says itself
        __hash__ = None

    def __init_subclass__(cls) -> None:
        own = tuple(name.removeprefix("_") for name in cls.__dict__["__slots__"])
        if own:
            code = cls.__init__.__code__
            taken = code.co_varnames[1 : code.co_argcount]
            cls.field_names = taken if len(taken) == len(own) else own
            cls._values = operator.attrgetter(*own)

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        values = self.__class__._values
        return bool(values(self) == values(other))

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.field_names)
        return f"{self.__class__.__qualname__}({fields})"


class FrozenRecord(Record):
    """A record that stays as it is, and can be the key of a dictionary. Its `__init__` sets fields with `set_`."""

    __slots__ = ()

    def __hash__(self) -> int:
        return hash(self.__class__._values(self))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: cannot set {name!r}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{self.__class__.__name__} is immutable: cannot delete {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, tuple(getattr(self, name) for name in self.field_names)


set_ = object.__setattr__
"""How the `__init__` of a FrozenRecord sets a field."""


class _NamedTupleType(type):
    def __new__(cls, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> type:
        if not bases:
            return super().__new__(cls, name, bases, body)
        fields = body.pop("__annotations__")
        defaults = [body.pop(field) for field in fields if field in body]
        make: Callable[..., type] = vars(collections)["namedtuple"]  # mypy knows it with literals only
        made = make(name, fields, defaults=defaults, module=body["__module__"])
        for key, value in body.items():
            if key not in ("__module__", "__qualname__"):
                setattr(made, key, value)
        return made


class NamedTuple(metaclass=_NamedTupleType):
    """Does what `typing.NamedTuple` does, for modules that show that one to type checkers only."""
