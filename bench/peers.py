"""The other runtimes, for cases that drive them in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import wasmtime

from measure import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

try:
    import wasm3
except ImportError:
    wasm3 = None

HAS_WASM3 = wasm3 is not None
_WASM3_STACK = 64 << 10


def wasmtime_instance(binary: bytes, host: Callable[[int], int] | None = None) -> tuple[wasmtime.Store, Any]:
    """(store, exports) in an engine of its own; `host` is what a module with one import, i32 to i32, imports."""
    store = wasmtime.Store(wasmtime.Engine())
    imports = []
    if host is not None:
        type_ = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
        imports.append(wasmtime.Func(store, type_, host))
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, binary), imports).exports(store)


def wasm3_runtime(binary: bytes, host: Callable[[int], int] | None = None) -> Any:
    """A wasm3 runtime with the module in it; `host` is linked as `host.next`. Raises UnavailableError where there is
    no pywasm3."""
    if wasm3 is None:
        raise UnavailableError("pywasm3 is not installed")
    environment = wasm3.Environment()
    runtime = environment.new_runtime(_WASM3_STACK)
    module = environment.parse_module(binary)
    runtime.load(module)
    if host is not None:
        module.link_function("host", "next", "i(i)", host)
    return _Kept(environment, module, runtime)


class _Kept:
    """A runtime, and what must not go before it."""

    def __init__(self, *parts: Any) -> None:
        self._parts = parts
        self.find_function = parts[-1].find_function
        self.get_memory = parts[-1].get_memory
