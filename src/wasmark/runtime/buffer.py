"""A base class whose instances export native memory through the buffer protocol, made with the C API's
`PyType_FromSpec`.

`class X(NativeBuffer)`: `set_source(x, definition)` names a {base, length} pair in native memory (a MemoryDef) that is
read at each export. Python 3.11 has no other way to do this from Python.
"""

from __future__ import annotations

import ctypes
from typing import Final

from wasmark.runtime.layout import MEMORY_BASE, MEMORY_LENGTH

_SOURCE_AT: Final = object.__basicsize__  # behind the object header
_PY_BF_GETBUFFER: Final = 1
_PY_TPFLAGS_DEFAULT: Final = 1 << 18
_PY_TPFLAGS_BASETYPE: Final = 1 << 10


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("function", ctypes.c_void_p))


class _Spec(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("basicsize", ctypes.c_int),
        ("itemsize", ctypes.c_int),
        ("flags", ctypes.c_uint),
        ("slots", ctypes.POINTER(_Slot)),
    )


_fill_info = ctypes.pythonapi.PyBuffer_FillInfo
_fill_info.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_ssize_t, ctypes.c_int, ctypes.c_int]


def _fill_view(self: int, view: int, flags: int) -> int:
    definition = ctypes.c_uint64.from_address(self + _SOURCE_AT).value
    base = ctypes.c_uint64.from_address(definition + MEMORY_BASE).value
    length = ctypes.c_uint64.from_address(definition + MEMORY_LENGTH).value
    return int(_fill_info(view, self, base, length, 0, flags))


_get_buffer = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int)(_fill_view)
_slots = (_Slot * 2)(_Slot(_PY_BF_GETBUFFER, ctypes.cast(_get_buffer, ctypes.c_void_p).value), _Slot(0, None))
_spec = _Spec(b"wasmark.NativeBuffer", _SOURCE_AT + 8, 0, _PY_TPFLAGS_DEFAULT | _PY_TPFLAGS_BASETYPE, _slots)
_from_spec = ctypes.pythonapi.PyType_FromSpec
_from_spec.restype = ctypes.py_object
_from_spec.argtypes = [ctypes.POINTER(_Spec)]

NativeBuffer: Final[type] = _from_spec(ctypes.byref(_spec))


def set_source(object_: object, definition: int) -> None:
    """Let an instance of a subclass of NativeBuffer export what the MemoryDef at this address describes. The definition
    has to live as long as the object."""
    assert isinstance(object_, NativeBuffer)
    ctypes.c_uint64.from_address(id(object_) + _SOURCE_AT).value = definition
