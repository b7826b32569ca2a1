"""Types whose instances are called through a native vectorcall function of their own.

`NativeFields` is the base: it has the native fields of a FuncObject (see `runtime.layout`). `callable_type` completes a
Python subclass of it: the result's instances are called by the function whose address is in their FUNC_VECTORCALL
field.
"""

from __future__ import annotations

import ctypes

from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.native_type import FLAG_VECTORCALL, PY_TP_CALL, PY_TP_MEMBERS, keep, native_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_T_PYSSIZET: Final = 19
_READONLY: Final = 1


class _Member(ctypes.Structure):
    _fields_ = (
        ("name", ctypes.c_char_p),
        ("type", ctypes.c_int),
        ("offset", ctypes.c_ssize_t),
        ("flags", ctypes.c_int),
        ("doc", ctypes.c_char_p),
    )


NativeFields: Final[type] = native_type("wasmark.NativeFields", L.FUNC_FIELDS_END)


def callable_type(name: str, base: type) -> type:
    """A subclass of `base`, itself one of NativeFields, with vectorcall."""
    members = (_Member * 2)()
    members[0] = _Member(b"__vectorcalloffset__", _T_PYSSIZET, L.FUNC_VECTORCALL, _READONLY, None)
    keep(members)
    call = ctypes.cast(ctypes.pythonapi.PyVectorcall_Call, ctypes.c_void_p).value
    assert call is not None
    slots = [(PY_TP_CALL, call), (PY_TP_MEMBERS, ctypes.addressof(members))]
    return native_type(name, base.__basicsize__, slots, flags=FLAG_VECTORCALL, base=base)


def fields_address(object_: object) -> int:
    """Where the native fields of an instance are: its vectorcall function, and then those from FUNC_CODE on."""
    assert isinstance(object_, NativeFields)
    return id(object_) + L.FUNC_VECTORCALL
