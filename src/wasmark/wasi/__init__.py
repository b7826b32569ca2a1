"""WASI preview 1: the system interface that command-line programs compiled to wasm are linked against. See README.md.

    from wasmark.wasi import Capture, Preopen, Wasi

    out = Capture()
    with Wasi(args=["as", "x.s"], stdout=out, preopens=[Preopen("build", "/")]) as wasi:
        functions = wasi.host_functions(get_memory)

This package knows nothing of engines and instances: it turns integers and a view of memory into what the host does.
"""

from __future__ import annotations

from wasmark.wasi.abi import ABIS, Errno
from wasmark.wasi.clock import Clocks
from wasmark.wasi.functions import NOT_IMPLEMENTED, HostFunction
from wasmark.wasi.host import Wasi
from wasmark.wasi.preopens import Preopen
from wasmark.wasi.streams import Capture

MODULES = tuple(ABIS)
"""The import module names that `Wasi.host_functions` serves."""

__all__ = ["MODULES", "NOT_IMPLEMENTED", "Capture", "Clocks", "Errno", "HostFunction", "Preopen", "Wasi"]
