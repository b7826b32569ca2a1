"""`StorePlan`: what all stores of an engine have in common, made once, so that a store is mostly copying.

A store's native memory is its StoreBlock, and behind that a host context for each function of Python that wasm code
calls through the block. Which callable such a context leads to is up to the store, but for what is the same in all.
"""

from __future__ import annotations

import ctypes
from array import array

from wasmark.jit import stubs
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.type_descriptors import WORDS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.config import Config
    from wasmark.jit.cache import CodeCache
    from wasmark.module import Module
    from wasmark.validate.canon import TypeRegistry

_CONTEXTS: Final = {
    builtin: L.STORE_BLOCK_SIZE + L.HOST_CONTEXT_SIZE * number for number, builtin in enumerate(L.BUILTIN_SIGNATURES)
}
CALLABLES: Final = {builtin: context + L.HOST_CALLABLE for builtin, context in _CONTEXTS.items()}
"""Where in a store's native memory the callable of each builtin is."""


def _compile_function(address: int) -> None:
    """What a thunk calls that finds a function not compiled yet: the slots hold the vmctx and the function's number."""
    slots = (ctypes.c_int64 * 2).from_address(address)
    slots[0] = _module(slots[0]).compile_function(slots[1])


def _tier_up(address: int) -> None:
    """What code calls that finds itself hot; the slots hold where it is as well."""
    slots = (ctypes.c_int64 * 3).from_address(address)
    slots[0] = _module(slots[0]).tier_up(slots[1], slots[2])


def _module(vmctx: int) -> Module:
    found: Any = ctypes.py_object.from_address(vmctx + L.VMLayout.MODULE)
    module: Module = found.value
    return module


class StorePlan:
    """See the head of this file. `template` and `own` are for `Runtime.stamp`."""

    __slots__ = ("_is_subtype", "own", "runtime", "template")

    def __init__(self, config: Config, types: TypeRegistry, cache: CodeCache | None) -> None:
        self.runtime = stubs.runtime(cache)
        stubs.prepare_stubs(stubs.BASIC_SIGNATURES, cache)

        def is_subtype(sub: int, super_: int) -> int:
            return int(types.is_subtype_id(sub, super_))

        self._is_subtype = is_subtype
        words = array("Q", bytes(L.STORE_SIZE))
        words[L.STORE_BUDGET // 8] = config.max_wasm_stack
        words[L.STORE_SPREAD // 8], words[L.STORE_SPREAD_RETURN // 8] = self.runtime.spread
        new = "wasmark_gc_new_after_collection" if config.collect_always else "wasmark_gc_new"
        words[L.STORE_GC_NEW // 8] = self.runtime.symbol(new) or 0
        words[L.STORE_GC_WORDS // 8] = WORDS[0]
        words[L.STORE_FILL // 8] = self.runtime.symbol("wasmark_fill") or 0
        words[L.STORE_COPY // 8] = self.runtime.symbol("wasmark_copy") or 0
        own = array("I")
        for builtin, context in _CONTEXTS.items():
            words[builtin // 8] = stubs.stubs(L.BUILTIN_SIGNATURES[builtin], cache).host
            words[builtin // 8 + 1] = context
            words[(context + L.HOST_CONVERT) // 8] = id(None)
            own.extend((builtin + 8, context + L.HOST_STORE))
        for builtin, code in self.runtime.exception_functions.items():
            words[builtin // 8] = code
            own.append(builtin + 8)  # their context is the store itself
        words[CALLABLES[L.STORE_IS_SUBTYPE] // 8] = id(is_subtype)
        words[CALLABLES[L.STORE_COMPILE] // 8] = id(_compile_function)
        words[CALLABLES[L.STORE_TIER_UP] // 8] = id(_tier_up)
        self.template = words.tobytes()
        self.own = own.tobytes()
