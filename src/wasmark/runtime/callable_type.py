"""Types whose instances are called through a native vectorcall function of their own, made with the C API.

`NativeFields` is the base: it has the native fields of a FuncObject (see `runtime.layout`). `callable_type` completes a
Python subclass of it: the result's instances are called by the function whose address is in their FUNC_VECTORCALL
field.
"""

from __future__ import annotations

import ctypes

from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_PY_TP_CALL: Final = 50
_PY_TP_MEMBERS: Final = 72
_T_PYSSIZET: Final = 19
_READONLY: Final = 1
_FLAG_DEFAULT: Final = 1 << 18
_FLAG_BASETYPE: Final = 1 << 10
_FLAG_VECTORCALL: Final = 1 << 11


class _Slot(ctypes.Structure):
    _fields_ = (("slot", ctypes.c_int), ("value", ctypes.c_void_p))


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


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
_kept: list[object] = []  # what types point to for good


def _make(name: str, size: int, flags: int, slots: list[_Slot], base: type) -> type:
    table = (_Slot * (len(slots) + 1))(*slots, _Slot(0, None))
    spec = _Spec(name.encode(), size, 0, _FLAG_DEFAULT | _FLAG_BASETYPE | flags, table)
    _kept.extend((table, spec))
    made: type = _from_spec(ctypes.byref(spec), (base,))
    return made


NativeFields: Final[type] = _make("wasmark.NativeFields", L.FUNC_FIELDS_END, 0, [], object)


def callable_type(name: str, base: type) -> type:
    """A subclass of `base`, itself one of NativeFields, with vectorcall."""
    members = (_Member * 2)()
    members[0] = _Member(b"__vectorcalloffset__", _T_PYSSIZET, L.FUNC_VECTORCALL, _READONLY, None)
    _kept.append(members)
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, ctypes.c_void_p).value
    slots = [_Slot(_PY_TP_CALL, call), _Slot(_PY_TP_MEMBERS, ctypes.addressof(members))]
    return _make(name, base.__basicsize__, _FLAG_VECTORCALL, slots, base)


def fields_address(object_: object) -> int:
    """Where the native fields of an instance are: its vectorcall function, and then those from FUNC_CODE on."""
    assert isinstance(object_, NativeFields)
    return id(object_) + L.FUNC_VECTORCALL
