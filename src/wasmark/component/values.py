"""The Python values that have no class of their own in the language: `Some`, `Ok`, `Err`, and what variants, resources
and failed calls are made of.

    bool, integers, floats      bool, int, float
    char, string                str
    list<u8>                    bytes (given: anything like bytes)
    list<T>, list<T, n>         list
    map<K, V>                   dict
    tuple                       tuple
    record                      a dataclass (given: a dict or a tuple as well)
    enum, flags                 enum.Enum, enum.Flag (given: labels as well)
    variant                     a class for each case
    option<T>                   T or None; `Some` where T can be None itself
    result<T, E>                Ok or Err; as the result of a function, what is returned or raised (`ResultError`)
    own<R>, borrow<R>           an object of the resource's class
    stream<T>, future<T>        a StreamReader, a FutureReader (given: an iterable, a value as well)
    error-context               an ErrorContext
"""

from __future__ import annotations

from wasmark.core.generic import Generic, TypeVar
from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, ClassVar

_T = TypeVar("_T")


class Case:
    """A value of a variant: the case is its class, `value` the payload, None where the case has none."""

    __slots__ = ("value",)
    __match_args__ = ("value",)
    label: ClassVar[str]

    def __init__(self, value: Any = None) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return bool(other.__class__ is self.__class__ and other.value == self.value)

    def __hash__(self) -> int:
        return hash((self.__class__, self.value))

    def __repr__(self) -> str:
        return f"{self.__class__.__qualname__}({'' if self.value is None else repr(self.value)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self.__class__, (self.value,)


class Some(Case, Generic[_T]):
    """An option that is there, of a type that can be None itself."""

    __slots__ = ()
    label = "some"


class Ok(Case, Generic[_T]):
    """A result that went well."""

    __slots__ = ()
    label = "ok"


class Err(Case, Generic[_T]):
    """A result that did not."""

    __slots__ = ()
    label = "error"


class ErrorContext(Error):  # noqa: N818 - the name of the type
    """What a component says of an error besides that there was one (`error-context`): a message for people."""

    def __init__(self, message: str = "") -> None:
        self.message = message
        super().__init__(message)


class ResultError(Error):
    """A function returned the error of its `result`; `payload` is what it says, None where it says nothing. A host
    function raises it to do the same."""

    def __init__(self, payload: Any = None) -> None:
        self.payload = payload
        super().__init__(payload)

    def __str__(self) -> str:
        return "the function returned an error" + ("" if self.payload is None else f": {self.payload!r}")
