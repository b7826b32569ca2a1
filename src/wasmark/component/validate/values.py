"""Value types and function types: the rules for each of them (Binary.md, the notes on type definitions)."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.layout import LAYOUTS
from wasmark.component.model import Handle, TypeRef
from wasmark.component.validate.names import check_labels
from wasmark.component.validate.rebuild import mentions, with_parts
from wasmark.errors import InvalidError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.component.validate.scope import Scope

MAX_FLAGS: Final = 32
MAX_SIZE: Final = 1 << 28
"""A value takes less than so many bytes, where addresses have 64 bits."""

_KEYS: Final = (T.Bool, T.S8, T.U8, T.S16, T.U16, T.S32, T.U32, T.S64, T.U64, T.Char, T.String)


def resolved(scope: Scope, written: T.ValType) -> T.ValType:
    """The type with what its indices stand for. Raises InvalidError."""
    if isinstance(written, TypeRef):
        found = scope.lookup("type", written.index)
        if not isinstance(found, T.ValType):
            raise InvalidError(f"type index {written.index} is not a defined type")
        return found
    if isinstance(written, Handle):
        resource = scope.lookup("type", written.index)
        if not isinstance(resource, T.ResourceType):
            raise InvalidError(f"type index {written.index} is not a resource type")
        return T.Own(resource) if written.is_own else T.Borrow(resource)
    return with_parts(written, lambda part: resolved(scope, part))


def copy_of(type_: T.DefinedType, name: str) -> T.DefinedType:
    """An equal type that can be told apart with `is`, of values or resources; other types as they are. `name` is that
    of the import or export which makes it."""
    if isinstance(type_, T.ResourceType):
        return T.ResourceType(name, type_)
    if isinstance(type_, T.ValType):
        return type_.__class__(*(getattr(type_, field) for field in type_.field_names))
    return type_


def check_value_type(type_: T.ValType) -> None:
    """Raises InvalidError unless a type, whose parts are valid, is valid as well."""
    check = _CHECKS.get(type_.__class__)
    if check is not None:
        check(type_)
    size = LAYOUTS[8].size(type_)
    if size >= MAX_SIZE:
        raise InvalidError(f"a value of {size} bytes exceeds maximum byte size {MAX_SIZE - 1}")


def check_func_type(type_: T.FuncType) -> None:
    """The same for a function type."""
    check_labels([label for label, _ in type_.params], "function parameter")
    if type_.result is not None and mentions(type_.result, T.Borrow):
        raise InvalidError("function result cannot contain a `borrow` type")


def _check_record(type_: T.Record) -> None:
    if not type_.fields:
        raise InvalidError("record type must have at least one field")
    check_labels([label for label, _ in type_.fields], "record field")


def _check_variant(type_: T.Variant) -> None:
    if not type_.cases:
        raise InvalidError("variant type must have at least one case")
    check_labels([label for label, _ in type_.cases], "variant case")


def _check_tuple(type_: T.Tuple) -> None:
    if not type_.types:
        raise InvalidError("tuple type must have at least one type")


def _check_enum(type_: T.Enum) -> None:
    if not type_.labels:
        raise InvalidError("enum type must have at least one variant")
    check_labels(type_.labels, "enum tag")


def _check_flags(type_: T.Flags) -> None:
    if not type_.labels:
        raise InvalidError("flags must have at least one entry")
    if len(type_.labels) > MAX_FLAGS:
        raise InvalidError(f"cannot have more than {MAX_FLAGS} flags, and these are {len(type_.labels)}")
    check_labels(type_.labels, "flag")


def _check_fixed_list(type_: T.FixedList) -> None:
    if not type_.length:
        raise InvalidError("a list of fixed length must have at least one element")


def _check_map(type_: T.Map) -> None:
    if not isinstance(type_.key, _KEYS):
        raise InvalidError("the keys of a map are booleans, integers, characters or strings")


def _check_carrier(type_: Any) -> None:
    if type_.element is not None and mentions(type_.element, T.Borrow):
        raise InvalidError("a stream or future cannot carry a `borrow` type")
    if isinstance(type_, T.Stream) and isinstance(type_.element, T.Char):
        raise InvalidError("`stream<char>` is not valid at this time")


_CHECKS: Final[dict[type, Callable[[Any], None]]] = {
    T.Record: _check_record,
    T.Variant: _check_variant,
    T.Tuple: _check_tuple,
    T.Enum: _check_enum,
    T.Flags: _check_flags,
    T.FixedList: _check_fixed_list,
    T.Map: _check_map,
    T.Stream: _check_carrier,
    T.Future: _check_carrier,
}
