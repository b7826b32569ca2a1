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


def wasmtime_instance(
    binary: bytes, host: Callable[[int], int] | None = None, fuel: int | None = None
) -> tuple[wasmtime.Store, Any]:
    """(store, exports) in an engine of its own; `host` is what a module with one import, i32 to i32, imports. With
    `fuel`, code counts what it executes, and has so much."""
    config = wasmtime.Config()
    config.consume_fuel = fuel is not None
    store = wasmtime.Store(wasmtime.Engine(config))
    if fuel is not None:
        store.set_fuel(fuel)
    imports = []
    if host is not None:
        type_ = wasmtime.FuncType([wasmtime.ValType.i32()], [wasmtime.ValType.i32()])
        imports.append(wasmtime.Func(store, type_, host))
    return store, wasmtime.Instance(store, wasmtime.Module(store.engine, binary), imports).exports(store)


def wasm3_runtime(binary: bytes, host: Callable[[int], int] | None = None) -> Wasm3:
    """A wasm3 runtime with the module in it; `host` is linked as `host.next`. Raises UnavailableError where there is
    no pywasm3, or where it does not know what the module has."""
    if wasm3 is None:
        raise UnavailableError("pywasm3 is not installed")
    environment = wasm3.Environment()
    runtime = environment.new_runtime(_WASM3_STACK)
    try:
        module = environment.parse_module(binary)
        runtime.load(module)
        if host is not None:
            module.link_function("host", "next", "i(i)", host)
    except RuntimeError as error:
        raise UnavailableError(f"pywasm3: {error}") from None
    return Wasm3(environment, module, runtime)


class Wasm3:
    """A runtime, and what must not go before it."""

    def __init__(self, environment: Any, module: Any, runtime: Any) -> None:
        self._kept = (environment, module)
        self._runtime = runtime

    def find_function(self, name: str) -> Callable[..., Any]:
        """An exported function. It is compiled now: raises UnavailableError where that fails."""
        try:
            found: Callable[..., Any] = self._runtime.find_function(name)
        except RuntimeError as error:
            raise UnavailableError(f"pywasm3: {error}") from None
        return found

    def get_memory(self) -> memoryview:
        """The memory."""
        memory: memoryview = self._runtime.get_memory(0)
        return memory
