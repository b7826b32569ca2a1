"""A base class whose instances export native memory through the buffer protocol and read it natively, made with the C
API's `PyType_FromSpec`: Python 3.11 has no other way to do this from Python.

An instance's native field names a {base, length} pair in native memory (a MemoryDef) that is looked at each time; the
pair, and what it describes, have to live as long as the object. The functions are native code of the runtime image
(`wasmark_get_buffer`, `wasmark_read`): a callback into Python could be interrupted by an exception, which `ctypes` has
no way to hand on.
"""

from __future__ import annotations

import ctypes
import functools

from wasmark.runtime.layout import BUFFER_SOURCE
from wasmark.runtime.native_function import METH_FASTCALL, METH_KEYWORDS, MethodDef

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PY_BF_GETBUFFER: Final = 1
_PY_TP_METHODS: Final = 64
_PY_TPFLAGS_DEFAULT: Final = 1 << 18
_PY_TPFLAGS_BASETYPE: Final = 1 << 10
_READ_DOC: Final = b"read($self, offset, length, /)\n--\n\nA copy of `length` bytes. Raises IndexError."


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


_from_spec = ctypes.pythonapi.PyType_FromSpec
_from_spec.restype = ctypes.py_object
_from_spec.argtypes = [ctypes.POINTER(_Spec)]
_kept: list[object] = []  # what types point to for good


@functools.cache
def native_buffer(get_buffer: int, read: int) -> type:
    """The class whose buffers are made, and whose `read` is done, by the functions at these addresses."""
    methods = (MethodDef * 2)()
    methods[0] = MethodDef(b"read", read, METH_FASTCALL | METH_KEYWORDS, _READ_DOC)
    _kept.append(methods)
    slots = (_Slot * 3)(
        _Slot(_PY_BF_GETBUFFER, get_buffer), _Slot(_PY_TP_METHODS, ctypes.addressof(methods)), _Slot(0, None)
    )
    flags = _PY_TPFLAGS_DEFAULT | _PY_TPFLAGS_BASETYPE
    class_: type = _from_spec(ctypes.byref(_Spec(b"wasmark.NativeBuffer", BUFFER_SOURCE + 8, 0, flags, slots)))
    return class_


def source_address(object_: object) -> int:
    """Where an instance keeps the address of the MemoryDef that it exports."""
    return id(object_) + BUFFER_SOURCE
