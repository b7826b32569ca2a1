"""Addresses of what native code calls in the process: libc, libm and the C API of CPython."""

from __future__ import annotations

import ctypes
import functools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_LIBRARIES: Final = (ctypes.pythonapi, ctypes.CDLL(None), ctypes.CDLL("libm.so.6"))


@functools.cache
def process_symbol(name: str) -> int | None:
    """The address of a function of the process; None where there is none of this name."""
    for library in _LIBRARIES:
        try:
            function = getattr(library, name)
        except AttributeError:
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None
