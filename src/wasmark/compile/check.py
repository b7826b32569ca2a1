"""What a module has to pass before it is compiled. Nothing here needs LLVM: invalid modules are refused without it."""

from __future__ import annotations

from wasmark.compile.abi import signature
from wasmark.core.types import FuncType
from wasmark.runtime.layout import VMLayout
from wasmark.validate.module import ModuleValidator, validate_module

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from wasmark.core.features import Feature
    from wasmark.core.model import ModuleModel


def validated_layout(model: ModuleModel, features: frozenset[Feature]) -> VMLayout:
    """Check everything about a module; its layout follows from what is learned.

    Raises InvalidError, or UnsupportedError where it cannot be compiled.
    """
    validator, layout = layout_of(model, features)
    validate_bodies(model, validator)
    return layout


def layout_of(model: ModuleModel, features: frozenset[Feature]) -> tuple[ModuleValidator, VMLayout]:
    """Check everything but the bodies of functions. Raises as `validated_layout` does."""
    validator = validate_module(model, features)
    imported = model.imported["func"]
    return validator, VMLayout(model, sorted(f for f in validator.declared_functions if f >= imported))


def validate_bodies(model: ModuleModel, validator: ModuleValidator) -> None:
    """Check all bodies. Raises InvalidError, UnsupportedError, or MalformedError."""
    for index in range(len(model.functions)):
        validator.check_body(index)


def type_signature(model: ModuleModel, type_index: int) -> str:
    """The ABI string of a function type of a module."""
    type_ = model.types[type_index].composite
    assert isinstance(type_, FuncType)
    return signature(type_)


def signatures_of(model: ModuleModel) -> set[str]:
    """The ABI strings of all function types of a module."""
    return {signature(type_.composite) for type_ in model.types if isinstance(type_.composite, FuncType)}


def defined_signatures(model: ModuleModel) -> list[str]:
    """The ABI strings of all functions that the module defines."""
    indices = [function.type_index for function in model.functions]
    known = {type_index: type_signature(model, type_index) for type_index in dict.fromkeys(indices)}
    return [known[type_index] for type_index in indices]


def escaping_signatures(model: ModuleModel, layout: VMLayout) -> Iterator[str]:
    """The ABI strings of the functions that can become references."""
    return (type_signature(model, model.func_types[func_index]) for func_index in layout.escaping)


def border_signatures(model: ModuleModel) -> Iterator[str]:
    """The ABI strings of the functions that are imported or exported."""
    yield from (type_signature(model, import_.desc) for import_ in model.imports if isinstance(import_.desc, int))
    yield from (type_signature(model, model.func_types[e.index]) for e in model.exports if e.kind == "func")
