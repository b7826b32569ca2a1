"""Native code as builtin functions and methods of Python, made with the C API: a call costs tens of nanoseconds, where
one through `ctypes` costs hundreds."""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

METH_FASTCALL: Final = 0x80
METH_KEYWORDS: Final = 0x02


class MethodDef(ctypes.Structure):
    """PyMethodDef."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("function", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


_new = ctypes.pythonapi.PyCFunction_NewEx
_new.restype = ctypes.py_object
_new.argtypes = [ctypes.POINTER(MethodDef), ctypes.c_void_p, ctypes.c_void_p]
_kept: list[MethodDef] = []  # what functions point to for good


def native_function(name: str, address: int) -> Callable[..., Any]:
    """The function at `address`, `PyObject *f(PyObject *self, PyObject **args, ssize_t count)`, which gets NULL for
    `self`."""
    definition = MethodDef(name.encode(), address, METH_FASTCALL, None)
    _kept.append(definition)
    made: Callable[..., Any] = _new(ctypes.byref(definition), None, None)
    return made
