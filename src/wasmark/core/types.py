"""The types of WebAssembly (core §2.3) as immutable values.

Number, vector and reference types are interned: two equal value types are the same object, so the hot loops of the
validator compare them with `is`. A concrete heap type is a *module-local* type index here; what makes types of
different modules equal is decided by `validate.canon` (core §3.3.14, iso-recursive equality).
"""

from __future__ import annotations

import enum

from wasmark.core.record import FrozenRecord, set_

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class NumType(enum.Enum):
    """Number and vector types (core §2.3.1, §2.3.2); the value is the binary code of §5.3.1."""

    I32 = 0x7F
    I64 = 0x7E
    F32 = 0x7D
    F64 = 0x7C
    V128 = 0x7B

    # Enum's own hash goes through Python code; these are dictionary keys on hot paths.
    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.name.lower()

    __repr__ = __str__


class HeapType(enum.Enum):
    """Abstract heap types (core §2.3.3); the value is the binary code of §5.3.3."""

    NOEXN = 0x74
    NOFUNC = 0x73
    NOEXTERN = 0x72
    NONE = 0x71
    FUNC = 0x70
    EXTERN = 0x6F
    ANY = 0x6E
    EQ = 0x6D
    I31 = 0x6C
    STRUCT = 0x6B
    ARRAY = 0x6A
    EXN = 0x69

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.name.lower()

    __repr__ = __str__


class PackedType(enum.Enum):
    """Storage types of fields narrower than a value (core §2.3.8)."""

    I8 = 0x78
    I16 = 0x77

    __hash__ = object.__hash__

    def __str__(self) -> str:
        return self.name.lower()

    __repr__ = __str__


class RefType:
    """`(ref null? heap)`; `heap` is an abstract heap type or a module-local type index. Make it with `RefType.of`."""

    __slots__ = ("heap", "nullable")
    _interned: Final[dict[tuple[bool, HeapType | int], RefType]] = {}

    nullable: bool
    heap: HeapType | int

    @staticmethod
    def of(nullable: bool, heap: HeapType | int) -> RefType:
        """The one object for this type."""
        key = (nullable, heap)
        found = RefType._interned.get(key)
        if found is None:
            found = object.__new__(RefType)
            found.nullable = nullable
            found.heap = heap
            found = RefType._interned.setdefault(key, found)
        return found

    def __reduce__(self) -> tuple[object, tuple[bool, HeapType | int]]:
        return RefType.of, (self.nullable, self.heap)

    def __str__(self) -> str:
        if self.nullable and isinstance(self.heap, HeapType):
            return _NULLABLE_SHORTHAND.get(self.heap, f"{self.heap}ref")
        return f"(ref {'null ' if self.nullable else ''}{self.heap})"

    __repr__ = __str__


_NULLABLE_SHORTHAND = {
    HeapType.NONE: "nullref",
    HeapType.NOFUNC: "nullfuncref",
    HeapType.NOEXTERN: "nullexternref",
    HeapType.NOEXN: "nullexnref",
}

ValType = NumType | RefType
StorageType = NumType | RefType | PackedType

I32: Final = NumType.I32
I64: Final = NumType.I64
F32: Final = NumType.F32
F64: Final = NumType.F64
V128: Final = NumType.V128
FUNCREF: Final = RefType.of(True, HeapType.FUNC)
EXTERNREF: Final = RefType.of(True, HeapType.EXTERN)
ANYREF: Final = RefType.of(True, HeapType.ANY)


def is_defaultable(type_: ValType) -> bool:
    """Whether a local of this type starts with a value (core §3.2.3.4): all but non-nullable references."""
    return type_.nullable if isinstance(type_, RefType) else True


class FuncType(FrozenRecord):
    """`[params] -> [results]` (core §2.3.6)."""

    __slots__ = ("params", "results")

    params: tuple[ValType, ...]
    results: tuple[ValType, ...]

    def __init__(self, params: tuple[ValType, ...], results: tuple[ValType, ...]) -> None:
        set_(self, "params", params)
        set_(self, "results", results)

    def __str__(self) -> str:
        return f"[{' '.join(map(str, self.params))}] -> [{' '.join(map(str, self.results))}]"


class FieldType(FrozenRecord):
    """A field of a structure or the element of an array (core §2.3.8)."""

    __slots__ = ("mutable", "storage")

    storage: StorageType
    mutable: bool

    def __init__(self, storage: StorageType, mutable: bool) -> None:
        set_(self, "storage", storage)
        set_(self, "mutable", mutable)


class StructType(FrozenRecord):
    """A structure (core §2.3.8)."""

    __slots__ = ("fields",)

    fields: tuple[FieldType, ...]

    def __init__(self, fields: tuple[FieldType, ...]) -> None:
        set_(self, "fields", fields)


class ArrayType(FrozenRecord):
    """An array (core §2.3.8)."""

    __slots__ = ("field",)

    field: FieldType

    def __init__(self, field: FieldType) -> None:
        set_(self, "field", field)


CompositeType = FuncType | StructType | ArrayType


class SubType(FrozenRecord):
    """A member of a recursion group (core §2.3.10): its declared supertypes are module-local type indices."""

    __slots__ = ("composite", "final", "supertypes")

    composite: CompositeType
    supertypes: tuple[int, ...]
    final: bool

    def __init__(self, composite: CompositeType, supertypes: tuple[int, ...] = (), final: bool = True) -> None:
        set_(self, "composite", composite)
        set_(self, "supertypes", supertypes)
        set_(self, "final", final)


class Limits(FrozenRecord):
    """Size range of a memory (pages) or table (elements); `is64` is the address type (core §2.3.11)."""

    __slots__ = ("is64", "maximum", "minimum", "shared")

    minimum: int
    maximum: int | None
    is64: bool
    shared: bool

    def __init__(self, minimum: int, maximum: int | None = None, is64: bool = False, shared: bool = False) -> None:
        set_(self, "minimum", minimum)
        set_(self, "maximum", maximum)
        set_(self, "is64", is64)
        set_(self, "shared", shared)

    def __str__(self) -> str:
        text = f"{'i64 ' if self.is64 else ''}{self.minimum}"
        if self.maximum is not None:
            text += f" {self.maximum}"
        return text + " shared" if self.shared else text


class MemoryType(FrozenRecord):
    """A linear memory (core §2.3.12), counted in pages of `1 << page_size_log2` bytes."""

    __slots__ = ("limits", "page_size_log2")

    limits: Limits
    page_size_log2: int

    def __init__(self, limits: Limits, page_size_log2: int = 16) -> None:
        set_(self, "limits", limits)
        set_(self, "page_size_log2", page_size_log2)

    @property
    def is_guarded(self) -> bool:
        """Whether every access out of bounds faults: an address has 32 bits, and the memory ends with a page of the
        host's. Others are accessed with explicit checks."""
        return not self.limits.is64 and self.page_size_log2 == 16


class TableType(FrozenRecord):
    """A table (core §2.3.13)."""

    __slots__ = ("element", "limits")

    element: RefType
    limits: Limits

    def __init__(self, element: RefType, limits: Limits) -> None:
        set_(self, "element", element)
        set_(self, "limits", limits)


class GlobalType(FrozenRecord):
    """A global (core §2.3.14)."""

    __slots__ = ("mutable", "value")

    value: ValType
    mutable: bool

    def __init__(self, value: ValType, mutable: bool) -> None:
        set_(self, "value", value)
        set_(self, "mutable", mutable)


class TagType(FrozenRecord):
    """An exception tag (core §2.3.15): the index of its function type."""

    __slots__ = ("type_index",)

    type_index: int

    def __init__(self, type_index: int) -> None:
        set_(self, "type_index", type_index)
