"""A base class whose instances export native memory through the buffer protocol and read it natively.

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
from wasmark.runtime.native_type import PY_BF_GETBUFFER, PY_TP_METHODS, keep, native_type

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_READ_DOC: Final = b"read($self, offset, length, /)\n--\n\nA copy of `length` bytes. Raises IndexError."


@functools.cache
def native_buffer(get_buffer: int, read: int) -> type:
    """The class whose buffers are made, and whose `read` is done, by the functions at these addresses."""
    methods = (MethodDef * 2)()
    methods[0] = MethodDef(b"read", read, METH_FASTCALL | METH_KEYWORDS, _READ_DOC)
    keep(methods)
    slots = [(PY_BF_GETBUFFER, get_buffer), (PY_TP_METHODS, ctypes.addressof(methods))]
    return native_type("wasmark.NativeBuffer", BUFFER_SOURCE + 8, slots)


def source_address(object_: object) -> int:
    """Where an instance keeps the address of the MemoryDef that it exports."""
    return id(object_) + BUFFER_SOURCE
