"""Whether Python's functions can be called as components call them, as far as that can be seen without a call: plain
functions, methods and classes say how many arguments they take. What others take shows when they are called."""

from __future__ import annotations

from types import FunctionType, MethodType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_TAKES_MORE: Final = 0x04  # the flag of code with *args


def can_take(function: Any, count: int) -> bool:
    """Whether a callable may take so many arguments by their position. True where that cannot be seen."""
    bound = 0
    if isinstance(function, type):
        if type(function).__call__ is not type.__call__:  # a metaclass that does something else
            return True
        function, bound = function.__init__, 1  # type: ignore[misc]  # of this very class
    elif isinstance(function, MethodType):
        function, bound = function.__func__, 1
    if not isinstance(function, FunctionType):
        return True
    code = function.__code__
    most = code.co_argcount - bound
    least = most - len(function.__defaults__ or ())
    if code.co_kwonlyargcount > len(function.__kwdefaults__ or ()):
        return False
    return least <= count and (count <= most or bool(code.co_flags & _TAKES_MORE))


def shape(function: Any) -> str:
    """A callable with its parameters, for people."""
    import inspect

    name = getattr(function, "__qualname__", None) or repr(function)
    try:
        return f"{name}{inspect.signature(function)}"
    except (TypeError, ValueError):
        return name
