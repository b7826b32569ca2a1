"""Ties a WASI context to one instance: its functions find the memory of the instance that imported them."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from wasmark.compile.abi import llvm_type
from wasmark.core.types import FuncType
from wasmark.errors import LinkError
from wasmark.memory import exported_bytes
from wasmark.wasi.abi import ABIS
from wasmark.wasi.functions import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.core.model import Import
    from wasmark.instance import Instance
    from wasmark.module import Module
    from wasmark.wasi import Wasi
    from wasmark.wasi.functions import Row

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
        wasi, view = self._wasi, self._view
        return {
            space: {row.name: wasi.bind(row, view, space) for row in rows} for space, rows in _wanted(module).items()
        }


_found: WeakKeyDictionary[Module, dict[str, list[Row]]] = WeakKeyDictionary()


def _wanted(module: Module) -> dict[str, list[Row]]:
    """The functions that a module imports from each WASI module, as far as there are such functions."""
    wanted = _found.get(module)
    if wanted is None:
        wanted = {}
        for import_ in module.model.imports:
            abi = ABIS.get(import_.module)
            row = BY_NAME.get(import_.name)
            # What is unknown to WASI is reported as a missing import.
            if abi is not None and row is not None and import_.name not in abi.absent and import_.kind == "func":
                _check(import_, row, module)
                wanted.setdefault(import_.module, []).append(row)
        _found[module] = wanted
    return wanted


def _check(import_: Import, row: Row, module: Module) -> None:
    assert isinstance(import_.desc, int)
    type_ = module.model.types[import_.desc].composite
    assert isinstance(type_, FuncType)
    wanted = [" ".join(_LLVM_TO_WASM[llvm_type(t)] for t in types) for types in (type_.params, type_.results)]
    if wanted != [row.params, row.results]:
        raise LinkError(
            f"import {import_.module!r} {import_.name!r}: incompatible import type: WASI has "
            f"[{row.params}] -> [{row.results}], the module wants {type_}"
        )
