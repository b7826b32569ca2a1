"""A base class whose instances export native memory through the buffer protocol, made with the C API's
`PyType_FromSpec`: Python 3.11 has no other way to do this from Python.

`native_buffer(get_buffer)` is that class; `set_source(x, definition)` names a {base, length} pair in native memory (a
MemoryDef) that is read at each export. `get_buffer` is native code (`wasmark_get_buffer` of the runtime image): a
callback into Python could be interrupted by an exception, which `ctypes` has no way to hand on.
"""

from __future__ import annotations

import ctypes
import functools
from typing import Final

from wasmark.runtime.layout import BUFFER_SOURCE

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


_from_spec = ctypes.pythonapi.PyType_FromSpec
_from_spec.restype = ctypes.py_object
_from_spec.argtypes = [ctypes.POINTER(_Spec)]


@functools.cache
def native_buffer(get_buffer: int) -> type:
    """The class whose buffers are made by the function at this address."""
    slots = (_Slot * 2)(_Slot(_PY_BF_GETBUFFER, get_buffer), _Slot(0, None))
    flags = _PY_TPFLAGS_DEFAULT | _PY_TPFLAGS_BASETYPE
    class_: type = _from_spec(ctypes.byref(_Spec(b"wasmark.NativeBuffer", BUFFER_SOURCE + 8, 0, flags, slots)))
    return class_


def set_source(object_: object, definition: int) -> None:
    """Let an instance of a subclass of a native buffer export what the MemoryDef at this address describes. The
    definition has to live as long as the object."""
    ctypes.c_uint64.from_address(id(object_) + BUFFER_SOURCE).value = definition
