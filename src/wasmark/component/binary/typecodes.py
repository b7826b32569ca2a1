"""Types in the binary format of components (Binary.md, "Type Definitions"), both ways.

Readers take `(data, position)` and return `(value, position behind it)`, as those of core types do.
"""

from __future__ import annotations

from collections.abc import Callable

from wasmark.binary.leb import read_s, read_u32, write_s, write_u
from wasmark.binary.names import read_name, write_name
from wasmark.binary.typecodes import read_byte, read_vector
from wasmark.component.model import ATTRIBUTES, CORE_SORTS, SORTS, ExternDesc, ExternName, Handle, TypeRef
from wasmark.component.types import (
    PRIMITIVES,
    Enum,
    FixedList,
    Flags,
    FuncType,
    Future,
    List,
    Map,
    Option,
    Primitive,
    Record,
    Result,
    Stream,
    Tuple,
    ValType,
    Variant,
)
from wasmark.errors import InvalidError, MalformedError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeVar

    _T = TypeVar("_T")

RESOURCE: Final = 0x3F
FUNC: Final = 0x40
COMPONENT: Final = 0x41
INSTANCE: Final = 0x42
FUNC_ASYNC: Final = 0x43

_PRIMITIVES: Final = {type_.code: type_ for type_ in PRIMITIVES}
_SORT_CODES: Final = {
    **{sort: bytes([0, code]) for code, sort in CORE_SORTS.items()},
    **{sort: bytes([code]) for code, sort in SORTS.items()},
}
_DESC_SORTS: Final = ("core module", "func", "value", "type", "component", "instance")
_HAS_ATTRIBUTES: Final = 2


def wrong_byte(data: bytes, pos: int, what: str) -> MalformedError:
    """The error for a byte that cannot be where it is."""
    return MalformedError(f"invalid leading byte (0x{data[pos]:x}) for {what}", offset=pos)


def read_choice(data: bytes, pos: int, what: str, most: int = 1) -> tuple[int, int]:
    """A byte from 0 to `most`."""
    byte, behind = read_byte(data, pos)
    if byte > most:
        raise wrong_byte(data, pos, what)
    return byte, behind


def read_bool(data: bytes, pos: int) -> tuple[bool, int]:
    """A byte that says whether a word is there."""
    byte, behind = read_byte(data, pos)
    if byte > 1:
        raise MalformedError(f"invalid boolean value {byte:#x}", offset=pos)
    return byte == 1, behind


def read_optional(
    data: bytes, pos: int, read: Callable[[bytes, int], tuple[_T, int]], what: str
) -> tuple[_T | None, int]:
    """Something, or nothing, after a byte that says which."""
    present, pos = read_choice(data, pos, what)
    return read(data, pos) if present else (None, pos)


def read_sort(data: bytes, pos: int, what: str) -> tuple[str, int]:
    """A sort, those of core things included. Raises UnsupportedError for that of values."""
    code, behind = read_byte(data, pos)
    if code:
        sort = SORTS.get(code)
        if sort is None:
            raise wrong_byte(data, pos, what)
        if sort == "value":
            raise values_are_missing(pos)
        return sort, behind
    return read_core_sort(data, behind, what)


def read_core_sort(data: bytes, pos: int, what: str) -> tuple[str, int]:
    """The sort of a core thing."""
    code, behind = read_byte(data, pos)
    if code not in CORE_SORTS:
        raise wrong_byte(data, pos, what)
    return CORE_SORTS[code], behind


def values_are_missing(pos: int) -> UnsupportedError:
    """The error for a use of the part of the component model about values that are imported, exported and started."""
    message = f"values in components are not supported yet (at offset {pos:#x})"
    return UnsupportedError(message, part="component values")


def write_sort(sort: str) -> bytes:
    """Inverse of `read_sort`."""
    return _SORT_CODES[sort]


def write_core_sort(sort: str) -> bytes:
    """Inverse of `read_core_sort`."""
    return _SORT_CODES[sort][1:]


# Value types


def read_value_type(data: bytes, pos: int) -> tuple[ValType, int]:
    """A primitive type or a type index."""
    byte, behind = read_byte(data, pos)
    if 0x40 <= byte < 0x80:
        found = _PRIMITIVES.get(byte)
        if found is None:
            raise wrong_byte(data, pos, "component value type")
        return found, behind
    index, behind = read_s(data, pos, 33)
    if index < 0:
        raise wrong_byte(data, pos, "component value type")
    return TypeRef(index), behind


def read_optional_value_type(data: bytes, pos: int) -> tuple[ValType | None, int]:
    """A value type or nothing."""
    return read_optional(data, pos, read_value_type, "optional component value type")


def _read_labelled(data: bytes, pos: int) -> tuple[tuple[str, ValType], int]:
    label, pos = read_name(data, pos)
    type_, pos = read_value_type(data, pos)
    return (label, type_), pos


def _read_record(data: bytes, pos: int) -> tuple[ValType, int]:
    fields, pos = read_vector(data, pos, _read_labelled)
    return Record(fields), pos


def _read_case(data: bytes, pos: int) -> tuple[tuple[str, ValType | None], int]:
    label, pos = read_name(data, pos)
    type_, pos = read_optional_value_type(data, pos)
    _, pos = read_choice(data, pos, "zero byte required", 0)
    return (label, type_), pos


def _read_variant(data: bytes, pos: int) -> tuple[ValType, int]:
    cases, pos = read_vector(data, pos, _read_case)
    return Variant(cases), pos


def _read_list(data: bytes, pos: int) -> tuple[ValType, int]:
    element, pos = read_value_type(data, pos)
    return List(element), pos


def _read_fixed_list(data: bytes, pos: int) -> tuple[ValType, int]:
    element, pos = read_value_type(data, pos)
    length, pos = read_u32(data, pos)
    return FixedList(element, length), pos


def _read_map(data: bytes, pos: int) -> tuple[ValType, int]:
    key, pos = read_value_type(data, pos)
    value, pos = read_value_type(data, pos)
    return Map(key, value), pos


def _read_tuple(data: bytes, pos: int) -> tuple[ValType, int]:
    types, pos = read_vector(data, pos, read_value_type)
    return Tuple(types), pos


def _read_flags(data: bytes, pos: int) -> tuple[ValType, int]:
    labels, pos = read_vector(data, pos, read_name)
    return Flags(labels), pos


def _read_enum(data: bytes, pos: int) -> tuple[ValType, int]:
    labels, pos = read_vector(data, pos, read_name)
    return Enum(labels), pos


def _read_option(data: bytes, pos: int) -> tuple[ValType, int]:
    some, pos = read_value_type(data, pos)
    return Option(some), pos


def _read_result(data: bytes, pos: int) -> tuple[ValType, int]:
    ok, pos = read_optional_value_type(data, pos)
    error, pos = read_optional_value_type(data, pos)
    return Result(ok, error), pos


def _read_own(data: bytes, pos: int) -> tuple[ValType, int]:
    index, pos = read_u32(data, pos)
    return Handle(True, index), pos


def _read_borrow(data: bytes, pos: int) -> tuple[ValType, int]:
    index, pos = read_u32(data, pos)
    return Handle(False, index), pos


def _read_stream(data: bytes, pos: int) -> tuple[ValType, int]:
    element, pos = read_optional_value_type(data, pos)
    return Stream(element), pos


def _read_future(data: bytes, pos: int) -> tuple[ValType, int]:
    element, pos = read_optional_value_type(data, pos)
    return Future(element), pos


_VALUE_TYPES: Final[dict[int, tuple[type[ValType], Callable[[bytes, int], tuple[ValType, int]]]]] = {
    0x72: (Record, _read_record),
    0x71: (Variant, _read_variant),
    0x70: (List, _read_list),
    0x67: (FixedList, _read_fixed_list),
    0x6F: (Tuple, _read_tuple),
    0x6E: (Flags, _read_flags),
    0x6D: (Enum, _read_enum),
    0x6B: (Option, _read_option),
    0x6A: (Result, _read_result),
    0x69: (Handle, _read_own),
    0x68: (Handle, _read_borrow),
    0x66: (Stream, _read_stream),
    0x65: (Future, _read_future),
    0x63: (Map, _read_map),
}
_CODES: Final = {made: bytes([code]) for code, (made, _) in _VALUE_TYPES.items() if made is not Handle}


def read_defined_value_type(data: bytes, pos: int) -> tuple[ValType, int]:
    """What a type definition can say of values."""
    code, behind = read_byte(data, pos)
    primitive = _PRIMITIVES.get(code)
    if primitive is not None:
        return primitive, behind
    row = _VALUE_TYPES.get(code)
    if row is None:
        raise wrong_byte(data, pos, "component defined type")
    return row[1](data, behind)


def read_result(data: bytes, pos: int) -> tuple[ValType | None, int]:
    """The result of a function."""
    kind, pos = read_choice(data, pos, "component function results")
    if not kind:
        return read_value_type(data, pos)
    _, pos = read_choice(data, pos, "number of results", 0)
    return None, pos


def read_func_type(data: bytes, pos: int, is_async: bool) -> tuple[FuncType, int]:
    """A function type, behind its code."""
    params, pos = read_vector(data, pos, _read_labelled)
    result, pos = read_result(data, pos)
    return FuncType(params, result, is_async), pos


def write_value_type(type_: ValType) -> bytes:
    """Inverse of `read_value_type`."""
    if isinstance(type_, Primitive):
        return bytes([type_.code])
    assert isinstance(type_, TypeRef)
    return write_s(type_.index)


def write_optional_value_type(type_: ValType | None) -> bytes:
    """Inverse of `read_optional_value_type`."""
    return b"\x00" if type_ is None else b"\x01" + write_value_type(type_)


def _write_labelled(fields: tuple[tuple[str, ValType], ...]) -> bytes:
    return write_u(len(fields)) + b"".join(write_name(label) + write_value_type(type_) for label, type_ in fields)


def write_defined_value_type(type_: ValType) -> bytes:
    """Inverse of `read_defined_value_type`."""
    if isinstance(type_, Primitive):
        return bytes([type_.code])
    if isinstance(type_, Handle):
        return (b"\x69" if type_.is_own else b"\x68") + write_u(type_.index)
    code = _CODES[type_.__class__]
    match type_:
        case Record(fields=fields):
            return code + _write_labelled(fields)
        case Variant(cases=cases):
            written = [write_name(label) + write_optional_value_type(payload) + b"\x00" for label, payload in cases]
            return code + write_u(len(cases)) + b"".join(written)
        case FixedList(element=element, length=length):
            return code + write_value_type(element) + write_u(length)
        case Tuple(types=types):
            return code + write_u(len(types)) + b"".join(map(write_value_type, types))
        case Flags(labels=labels) | Enum(labels=labels):
            return code + write_u(len(labels)) + b"".join(map(write_name, labels))
        case Result(ok=ok, error=error):
            return code + write_optional_value_type(ok) + write_optional_value_type(error)
        case Stream(element=carried) | Future(element=carried):
            return code + write_optional_value_type(carried)
    return code + b"".join(map(write_value_type, type_.children()))  # lists, maps and options


def write_result(type_: ValType | None) -> bytes:
    """Inverse of `read_result`."""
    return b"\x01\x00" if type_ is None else b"\x00" + write_value_type(type_)


def write_func_type(type_: FuncType) -> bytes:
    """A function type with its code."""
    code = FUNC_ASYNC if type_.is_async else FUNC
    return bytes([code]) + _write_labelled(type_.params) + write_result(type_.result)


# Names and what they stand for


def _read_attribute(data: bytes, pos: int) -> tuple[tuple[str, str], int]:
    code, pos = read_choice(data, pos, "name option", len(ATTRIBUTES) - 1)
    value, pos = read_name(data, pos)
    return (ATTRIBUTES[code], value), pos


def read_extern_name(data: bytes, pos: int) -> tuple[ExternName, int]:
    """The name of an import or export. Raises InvalidError where an attribute is there twice."""
    at = pos
    code, pos = read_choice(data, pos, "component name", _HAS_ATTRIBUTES)
    name, pos = read_name(data, pos)
    if code != _HAS_ATTRIBUTES:
        return ExternName(name, (), code), pos
    attributes, pos = read_vector(data, pos, _read_attribute)
    kinds = [kind for kind, _ in attributes]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise InvalidError(f"duplicate '{kind}' option in name `{name}`", offset=at)
    return ExternName(name, attributes), pos


def write_extern_name(name: ExternName) -> bytes:
    """Inverse of `read_extern_name`; a name without attributes is written the short way."""
    if not name.attributes:
        return bytes([name.code]) + write_name(name.name)
    written = [bytes([ATTRIBUTES.index(kind)]) + write_name(value) for kind, value in name.attributes]
    return bytes([_HAS_ATTRIBUTES]) + write_name(name.name) + write_u(len(written)) + b"".join(written)


def read_extern_desc(data: bytes, pos: int) -> tuple[ExternDesc, int]:
    """What is imported or exported. Raises UnsupportedError for values."""
    at = pos
    code, pos = read_choice(data, pos, "component external kind", len(_DESC_SORTS) - 1)
    sort = _DESC_SORTS[code]
    if sort == "value":
        raise values_are_missing(at)
    if sort == "core module":
        kind, behind = read_byte(data, pos)
        if CORE_SORTS.get(kind) != sort:
            raise wrong_byte(data, pos, "component external kind")
        pos = behind
    elif sort == "type":
        is_sub, pos = read_choice(data, pos, "type bound")
        if is_sub:
            return ExternDesc(sort, None), pos
    index, pos = read_u32(data, pos)
    return ExternDesc(sort, index), pos


def read_optional_extern_desc(data: bytes, pos: int) -> tuple[ExternDesc | None, int]:
    """What an export is said to be, or nothing."""
    return read_optional(data, pos, read_extern_desc, "optional component export type")


def write_extern_desc(desc: ExternDesc) -> bytes:
    """Inverse of `read_extern_desc`."""
    code = write_sort(desc.kind)
    if desc.kind == "type":
        return code + (b"\x01" if desc.index is None else b"\x00" + write_u(desc.index))
    assert desc.index is not None
    return code + write_u(desc.index)
