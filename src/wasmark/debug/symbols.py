"""From a function and an offset of a module to the symbols of a frame: what debug information says, and names where it
says nothing."""

from __future__ import annotations

import importlib.util
import weakref

from wasmark.errors import Error
from wasmark.registry.frames import Symbol
from wasmark.registry.names import demangled, function_name
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel
    from wasmark.debug.dwarf import DebugInfo
    from wasmark.registry.code_object import RegisteredModule

_known: Final[weakref.WeakKeyDictionary[RegisteredModule, DebugInfo]] = weakref.WeakKeyDictionary()


def has_debug_info(model: ModuleModel) -> bool:
    """Whether the module has DWARF."""
    return any(custom.name == ".debug_info" for custom in model.customs)


def can_read_debug_info() -> bool:
    """Whether what reads it is installed: the `debug` extra."""
    return importlib.util.find_spec("elftools") is not None


def require_debug_extra() -> None:
    """Raises Error where the `debug` extra is not installed."""
    if not can_read_debug_info():
        raise Error("reading DWARF needs pyelftools; install it with: pip install 'wasmark[debug]'")


def symbols_at(module: RegisteredModule, func_index: int, module_offset: int) -> tuple[Symbol, ...]:
    """The symbols of a frame, the innermost one first; at least one. Never raises because of what is in the module."""
    symbols: tuple[Symbol, ...] = ()
    if has_debug_info(module.model) and can_read_debug_info():
        symbols = debug_info_of(module).symbols(module_offset)
    name = function_name(module.model, func_index)
    name = None if name is None else demangled(name)
    if not symbols:
        return (Symbol(name),)
    if symbols[-1].name is None:
        return (*symbols[:-1], symbols[-1]._replace(name=name))
    return symbols


def debug_info_of(module: RegisteredModule) -> DebugInfo:
    """The DWARF of a module; the same object as long as the module lives."""
    found = _known.get(module)
    if found is None:
        late_import("wasmark.debug.dwarf")
        from wasmark.debug.dwarf import DebugInfo

        found = _known.setdefault(module, DebugInfo(module.model))
    return found
