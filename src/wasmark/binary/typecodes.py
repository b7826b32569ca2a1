"""Types in the binary format (core §5.3): reading and writing each, and the errors for what is none.

Readers take `(data, position)` and return `(type, position behind it)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmark.binary.leb import read_count, read_s, read_u, read_u32, read_u32_vector, unexpected_end, write_s, write_u
from wasmark.core.types import (
    ArrayType,
    CompositeType,
    FieldType,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    NumType,
    PackedType,
    RefType,
    StorageType,
    StructType,
    SubType,
    TableType,
    TagType,
    ValType,
)
from wasmark.errors import InvalidError, MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeVar

    _T = TypeVar("_T")


_HEAP: Final = {heap.value: heap for heap in HeapType}
SHORT_VALUE_TYPES: Final[dict[int, ValType]] = {
    **{num.value: num for num in NumType},
    **{heap.value: RefType.of(True, heap) for heap in HeapType},
}
_PACKED: Final = {packed.value: packed for packed in PackedType}

_REF: Final = 0x64
_REF_NULL: Final = 0x63
_FUNC: Final = 0x60
_STRUCT: Final = 0x5F
_ARRAY: Final = 0x5E
_SUB: Final = 0x50
_SUB_FINAL: Final = 0x4F
_REC: Final = 0x4E
EMPTY_BLOCK: Final = 0x40
_TABLE_WITH_INIT: Final = 0x40

MAX_TYPES: Final = 1_000_000
"""How many types a module may have, the limit of the JavaScript interface (js-api, "Limits")."""

_HAS_MAXIMUM: Final = 0x01
_SHARED: Final = 0x02
_IS_64: Final = 0x04
_HAS_PAGE_SIZE: Final = 0x08
_DEFAULT_PAGE_SIZE_LOG2: Final = 16


def read_byte(data: bytes, pos: int) -> tuple[int, int]:
    """One byte."""
    if pos >= len(data):
        unexpected_end(data)
    return data[pos], pos + 1


def _read_code(data: bytes, pos: int) -> int:
    """The code of a type is an s7 (core §5.3.1), so a byte with a continuation bit is too long a number."""
    code, behind = read_byte(data, pos)
    if code >= 0x80:
        raise MalformedError(f"integer representation too long: the type {code:02x} has one byte", offset=behind)
    return code


def read_zero(data: bytes, pos: int) -> tuple[None, int]:
    """A byte that is reserved."""
    byte, behind = read_byte(data, pos)
    if byte:
        raise MalformedError(f"zero byte expected, found {byte:02x}", offset=pos)
    return None, behind


def read_vector(data: bytes, pos: int, read: Callable[[bytes, int], tuple[_T, int]]) -> tuple[tuple[_T, ...], int]:
    """A vector of what `read` reads."""
    count, pos = read_count(data, pos)
    items = []
    for _ in range(count):
        item, pos = read(data, pos)
        items.append(item)
    return tuple(items), pos


def read_type_index(data: bytes, pos: int) -> tuple[int, int] | None:
    """A type index as a non-negative s33, None where something else stands."""
    if pos >= len(data):
        unexpected_end(data)
    # A negative number of one byte is the code of an abstract type; decide before paying for a number.
    if 0x40 <= data[pos] < 0x80:
        return None
    index, behind = read_s(data, pos, 33)
    if index < 0:
        return None
    if index >= MAX_TYPES:
        # Without this, what damaged modules name would pile up without end in the interned reference types.
        raise InvalidError(f"unknown type {index}", offset=pos)
    return index, behind


def read_heap_type(data: bytes, pos: int) -> tuple[HeapType | int, int]:
    """Core §5.3.3."""
    index = read_type_index(data, pos)
    if index is not None:
        return index
    heap = _HEAP.get(_read_code(data, pos))
    if heap is None:
        raise MalformedError(f"malformed heap type {data[pos]:02x}", offset=pos)
    return heap, pos + 1


def read_value_type(data: bytes, pos: int) -> tuple[ValType, int]:
    """Core §5.3.5."""
    code = _read_code(data, pos)
    short = SHORT_VALUE_TYPES.get(code)
    if short is not None:
        return short, pos + 1
    if code != _REF and code != _REF_NULL:
        raise MalformedError(f"malformed value type {code:02x}", offset=pos)
    heap, behind = read_heap_type(data, pos + 1)
    return RefType.of(code == _REF_NULL, heap), behind


def read_ref_type(data: bytes, pos: int) -> tuple[RefType, int]:
    """Core §5.3.4."""
    code = _read_code(data, pos)
    if code in (_REF, _REF_NULL):
        heap, behind = read_heap_type(data, pos + 1)
        return RefType.of(code == _REF_NULL, heap), behind
    type_ = SHORT_VALUE_TYPES.get(code)
    if not isinstance(type_, RefType):
        raise MalformedError(f"malformed reference type {code:02x}", offset=pos)
    return type_, pos + 1


def read_value_types(data: bytes, pos: int) -> tuple[tuple[ValType, ...], int]:
    """A result type (core §5.3.6)."""
    return read_vector(data, pos, read_value_type)


def _read_storage_type(data: bytes, pos: int) -> tuple[StorageType, int]:
    code = _read_code(data, pos)
    packed = _PACKED.get(code)
    if packed is not None:
        return packed, pos + 1
    if code not in SHORT_VALUE_TYPES and code not in (_REF, _REF_NULL):
        raise MalformedError(f"malformed storage type {code:02x}", offset=pos)
    return read_value_type(data, pos)


def _read_mutability(data: bytes, pos: int) -> tuple[bool, int]:
    byte, behind = read_byte(data, pos)
    if byte > 1:
        raise MalformedError(f"malformed mutability {byte:02x}, expected 00 or 01", offset=pos)
    return byte == 1, behind


def _read_field(data: bytes, pos: int) -> tuple[FieldType, int]:
    storage, pos = _read_storage_type(data, pos)
    mutable, pos = _read_mutability(data, pos)
    return FieldType(storage, mutable), pos


def _read_composite(data: bytes, pos: int) -> tuple[CompositeType, int]:
    code = _read_code(data, pos)
    if code == _FUNC:
        params, pos = read_value_types(data, pos + 1)
        results, pos = read_value_types(data, pos)
        return FuncType(params, results), pos
    if code == _STRUCT:
        fields, pos = read_vector(data, pos + 1, _read_field)
        return StructType(fields), pos
    if code == _ARRAY:
        field, pos = _read_field(data, pos + 1)
        return ArrayType(field), pos
    raise MalformedError(f"malformed definition type {code:02x}", offset=pos)


def _read_sub_type(data: bytes, pos: int) -> tuple[SubType, int]:
    code, behind = read_byte(data, pos)
    supertypes: tuple[int, ...] = ()
    if code in (_SUB, _SUB_FINAL):
        supertypes, pos = read_u32_vector(data, behind)
    composite, pos = _read_composite(data, pos)
    return SubType(composite, supertypes, code != _SUB), pos


def read_rec_type(data: bytes, pos: int) -> tuple[tuple[SubType, ...], int]:
    """A recursion group (core §5.3.10); a type on its own is a group of one."""
    code, behind = read_byte(data, pos)
    if code == _REC:
        return read_vector(data, behind, _read_sub_type)
    type_, pos = _read_sub_type(data, pos)
    return (type_,), pos


def _read_limits(data: bytes, pos: int, allowed: int) -> tuple[Limits, int, int]:
    flags, behind = read_byte(data, pos)
    # A page size flag with nothing behind it is taken for a wrong flag, as readers without that proposal take it.
    if flags & ~allowed or (flags & _HAS_PAGE_SIZE and behind == len(data)):
        raise MalformedError(f"malformed limits flags {flags:02x}", offset=pos)
    minimum, pos = read_u(data, behind, 64)
    maximum = None
    if flags & _HAS_MAXIMUM:
        maximum, pos = read_u(data, pos, 64)
    return Limits(minimum, maximum, bool(flags & _IS_64), bool(flags & _SHARED)), flags, pos


def read_memory_type(data: bytes, pos: int) -> tuple[MemoryType, int]:
    """Core §5.3.12, with the flags of the threads and custom-page-sizes proposals."""
    limits, flags, pos = _read_limits(data, pos, _HAS_MAXIMUM | _SHARED | _IS_64 | _HAS_PAGE_SIZE)
    page_size_log2 = _DEFAULT_PAGE_SIZE_LOG2
    if flags & _HAS_PAGE_SIZE:
        at = pos
        page_size_log2, pos = read_u32(data, at)
        if page_size_log2 >= 64:
            raise MalformedError(f"invalid custom page size: 2 to the power of {page_size_log2}", offset=at)
    return MemoryType(limits, page_size_log2), pos


def read_table_type(data: bytes, pos: int) -> tuple[TableType, int]:
    """Core §5.3.13."""
    element, pos = read_ref_type(data, pos)
    limits, _, pos = _read_limits(data, pos, _HAS_MAXIMUM | _IS_64)
    return TableType(element, limits), pos


def read_global_type(data: bytes, pos: int) -> tuple[GlobalType, int]:
    """Core §5.3.14."""
    value, pos = read_value_type(data, pos)
    mutable, pos = _read_mutability(data, pos)
    return GlobalType(value, mutable), pos


def read_tag_type(data: bytes, pos: int) -> tuple[TagType, int]:
    """Core §5.3.15."""
    _, pos = read_zero(data, pos)
    type_index, pos = read_u32(data, pos)
    return TagType(type_index), pos


def read_table_with_init(data: bytes, pos: int) -> tuple[bool, int]:
    """The mark before a table that has an initialiser (core §5.5.7); False, and nothing read, where there is none."""
    byte, behind = read_byte(data, pos)
    if byte != _TABLE_WITH_INIT:
        return False, pos
    return True, read_zero(data, behind)[1]


TABLE_WITH_INIT: Final = bytes([_TABLE_WITH_INIT, 0])


def write_heap_type(heap: HeapType | int) -> bytes:
    """Inverse of `read_heap_type`."""
    return write_s(heap) if isinstance(heap, int) else bytes([heap.value])


def write_value_type(type_: ValType) -> bytes:
    """Inverse of `read_value_type` and `read_ref_type`; the shorthand where there is one."""
    if isinstance(type_, NumType):
        return bytes([type_.value])
    heap = write_heap_type(type_.heap)
    if not type_.nullable:
        return bytes([_REF]) + heap
    return bytes([_REF_NULL]) + heap if isinstance(type_.heap, int) else heap


def write_value_types(types: Sequence[ValType]) -> bytes:
    """Inverse of `read_value_types`."""
    return write_u(len(types)) + b"".join(map(write_value_type, types))


def _write_field(field: FieldType) -> bytes:
    storage = field.storage
    written = bytes([storage.value]) if isinstance(storage, PackedType) else write_value_type(storage)
    return written + bytes([field.mutable])


def _write_sub_type(type_: SubType) -> bytes:
    head = b""
    if type_.supertypes or not type_.final:
        head = bytes([_SUB_FINAL if type_.final else _SUB]) + write_u(len(type_.supertypes))
        head += b"".join(map(write_u, type_.supertypes))
    composite = type_.composite
    if isinstance(composite, FuncType):
        return head + bytes([_FUNC]) + write_value_types(composite.params) + write_value_types(composite.results)
    if isinstance(composite, StructType):
        fields = composite.fields
        return head + bytes([_STRUCT]) + write_u(len(fields)) + b"".join(map(_write_field, fields))
    return head + bytes([_ARRAY]) + _write_field(composite.field)


def write_rec_type(types: Sequence[SubType]) -> bytes:
    """Inverse of `read_rec_type`; a group of one goes without its frame, which means the same (core §5.3.10)."""
    written = b"".join(map(_write_sub_type, types))
    return written if len(types) == 1 else bytes([_REC]) + write_u(len(types)) + written


def _write_limits(limits: Limits, flags: int = 0) -> bytes:
    if limits.is64:
        flags |= _IS_64
    if limits.shared:
        flags |= _SHARED
    if limits.maximum is None:
        return bytes([flags]) + write_u(limits.minimum)
    return bytes([flags | _HAS_MAXIMUM]) + write_u(limits.minimum) + write_u(limits.maximum)


def write_memory_type(type_: MemoryType) -> bytes:
    """Inverse of `read_memory_type`."""
    if type_.page_size_log2 == _DEFAULT_PAGE_SIZE_LOG2:
        return _write_limits(type_.limits)
    return _write_limits(type_.limits, _HAS_PAGE_SIZE) + write_u(type_.page_size_log2)


def write_table_type(type_: TableType) -> bytes:
    """Inverse of `read_table_type`."""
    return write_value_type(type_.element) + _write_limits(type_.limits)


def write_global_type(type_: GlobalType) -> bytes:
    """Inverse of `read_global_type`."""
    return write_value_type(type_.value) + bytes([type_.mutable])


def write_tag_type(type_: TagType) -> bytes:
    """Inverse of `read_tag_type`."""
    return b"\x00" + write_u(type_.type_index)
