"""Types made with the C API (`PyType_FromSpecWithBases`): for what Python 3.11 has no other way to do from Python.

What a type points to, here and in what its maker puts into its slots, stays for good: types do.
"""

from __future__ import annotations

import ctypes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

PY_BF_GETBUFFER: Final = 1
PY_TP_CALL: Final = 50
PY_TP_METHODS: Final = 64
PY_TP_MEMBERS: Final = 72
FLAG_VECTORCALL: Final = 1 << 11
_FLAG_DEFAULT: Final = 1 << 18
_FLAG_BASETYPE: Final = 1 << 10


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_from_spec = ctypes.pythonapi.PyType_FromSpecWithBases
_from_spec.restype = ctypes.py_object
_from_spec.argtypes = [ctypes.POINTER(_Spec), ctypes.py_object]
_kept: list[object] = []


def native_type(
    name: str, size: int, slots: Sequence[tuple[int, int]] = (), *, flags: int = 0, base: type = object
) -> type:
    """A class that can be inherited from, whose instances have `size` bytes; slots are (number, address)."""
    table = (_Slot * (len(slots) + 1))(*(_Slot(number, address) for number, address in slots), _Slot(0, None))
    spec = _Spec(name.encode(), size, 0, _FLAG_DEFAULT | _FLAG_BASETYPE | flags, table)
    keep(table, spec)
    made: type = _from_spec(ctypes.byref(spec), (base,))
    return made


def keep(*things: object) -> None:
    """Let what a type points to live as long as the process."""
    _kept.extend(things)
