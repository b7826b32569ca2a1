"""What a module has to pass before it is compiled. Nothing here needs LLVM: invalid modules are refused without it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wasmark.binary import decode_body
from wasmark.compile.abi import signature
from wasmark.core.types import FuncType
from wasmark.runtime.layout import VMLayout
from wasmark.validate.module import validate_module

if TYPE_CHECKING:
    from wasmark.core.features import Feature
    from wasmark.core.model import ModuleModel


def validated_layout(model: ModuleModel, features: frozenset[Feature]) -> VMLayout:
    """Check everything about a module; its layout follows from what is learned.

    Raises InvalidError, or UnsupportedError where it cannot be compiled.
    """
    validator = validate_module(model, features)
    for index, function in enumerate(model.functions):
        validator.validate_body(index, decode_body(model, function.start, function.end))
    for type_index in model.func_types:
        type_signature(model, type_index)
    imported = model.imported["func"]
    return VMLayout(model, sorted(f for f in validator.declared_functions if f >= imported))


def type_signature(model: ModuleModel, type_index: int) -> str:
    """The ABI string of a function type of a module. Raises UnsupportedError where it has none."""
    type_ = model.types[type_index].composite
    assert isinstance(type_, FuncType)
    return signature(type_)
