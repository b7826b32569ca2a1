"""Validation (core §3): whether a decoded module keeps the rules, and when two types are the same.

`validate_module` checks all sections of a model; the `ModuleValidator` it returns checks function bodies, one at a
time, so that they may be validated when they are compiled. `TypeRegistry` gives equal types of different modules one
identity: every engine has one, while the validator is loaded only when there is something to validate.
"""

from __future__ import annotations

from wasmark.validate.canon import TypeRegistry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.validate.module import ModuleValidator, validate_module

__all__ = ["ModuleValidator", "TypeRegistry", "validate_module"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from wasmark.validate import module

    return getattr(module, name)
