"""What Wasmark asks of the Python that imports it: the GIL, and to be the only interpreter of its process that does.

Native code counts on the GIL between leaving wasm and coming back. The signal handlers, the monitor and the tables that
they read are one for a process, while each interpreter of it would bring its own, and take them away when it ends.
"""

from __future__ import annotations

import ctypes
import sys

if not getattr(sys, "_is_gil_enabled", lambda: True)():
    raise ImportError("Wasmark needs the GIL, which is off in this Python (set PYTHON_GIL=1, or give -X gil=1)")

_current, _main = ctypes.pythonapi.PyInterpreterState_Get, ctypes.pythonapi.PyInterpreterState_Main
_current.restype = _main.restype = ctypes.c_void_p
if _current() != _main():
    raise ImportError("Wasmark needs the main interpreter: what it installs is one for a process")
