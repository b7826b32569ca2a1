"""Ties a WASI context to one instance: its functions find the memory of the instance that imported them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmark.compile.abi import llvm_type
from wasmark.core.types import FuncType
from wasmark.errors import LinkError
from wasmark.memory import exported_bytes
from wasmark.wasi import MODULES

if TYPE_CHECKING:
    from wasmark.instance import Instance
    from wasmark.module import Module
    from wasmark.wasi import HostFunction, Wasi

_LLVM_TO_WASM = {"i32": "i32", "i64": "i64", "float": "f32", "double": "f64", "ptr": "ref"}


class WasiBinding:
    """The imports of one instance to come; `bind` tells it which one it became."""

    def __init__(self, wasi: Wasi) -> None:
        self._wasi = wasi
        self._memory: Any = bytearray()  # until there is one

    def bind(self, instance: Instance) -> None:
        """Use this instance's exported memory, or its first one."""
        model = instance.module.model
        exported = [e.index for e in model.exports if e.kind == "memory" and e.name == "memory"]
        if exported or model.memory_types:
            # Not the memory's own object: that keeps its store alive, which keeps what is bound here.
            memory = instance.state.memories[exported[0] if exported else 0]
            self._memory = exported_bytes(memory, instance.store.runtime)

    def _view(self) -> memoryview:
        return memoryview(self._memory)

    def imports(self, module: Module) -> dict[str, dict[str, Any]]:
        """{module name: {name: callable}} for what `module` imports from WASI. Raises LinkError for a wrong
        signature."""
        offered: dict[str, dict[str, Any]] = {}
        functions: dict[str, dict[str, HostFunction]] = {}
        for import_ in module.model.imports:
            if import_.module not in MODULES or not isinstance(import_.desc, int):
                continue
            if import_.module not in functions:
                functions[import_.module] = self._wasi.host_functions(self._view, import_.module)
            function = functions[import_.module].get(import_.name)
            if function is None:
                continue  # unknown to WASI: reported as a missing import
            type_ = module.model.types[import_.desc].composite
            assert isinstance(type_, FuncType)
            wanted = tuple(_LLVM_TO_WASM[llvm_type(t)] for t in type_.params)
            results = tuple(_LLVM_TO_WASM[llvm_type(t)] for t in type_.results)
            if (wanted, results) != (tuple(function.params), tuple(function.results)):
                raise LinkError(
                    f"import {import_.module!r} {import_.name!r}: incompatible import type: WASI has "
                    f"[{' '.join(function.params)}] -> [{' '.join(function.results)}], the module wants {type_}"
                )
            offered.setdefault(import_.module, {})[import_.name] = function.call
        return offered
