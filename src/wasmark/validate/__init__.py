"""Validation (core §3): whether a decoded module keeps the rules, and when two types are the same.

`validate_module` checks all sections of a model; the `ModuleValidator` it returns checks function bodies, one at a
time, so that they may be validated when they are compiled. `TypeRegistry` gives equal types of different modules one
identity.
"""

from wasmark.validate.canon import TypeRegistry
from wasmark.validate.module import ModuleValidator, validate_module

__all__ = ["ModuleValidator", "TypeRegistry", "validate_module"]
