"""Types in the text format (core §6.4), and the type index space with its implicit members (§6.4.7, §6.6.4).

Explicit definitions come first, whatever their place among the fields. A type use without an index takes the first
definition that is equal, or else makes one at the end of the space.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

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
    ValType,
)
from wasmark.text.cursor import Cursor
from wasmark.text.lexer import Tokens

_HEAP_TYPES: Final = {str(heap): heap for heap in HeapType}
_VALUE_TYPES: Final[dict[str, ValType]] = {
    **{str(num): num for num in NumType},
    **{str(ref): ref for ref in (RefType.of(True, heap) for heap in HeapType)},
}
_PACKED_TYPES: Final = {str(packed): packed for packed in PackedType}

_MAX_TYPE_INDEX: Final = 1_000_000


Bind = Callable[[str | None, str | None, int], None]
"""Takes the identifier of something, what an annotation says that it is called, and its index."""


class TypeSpace:
    """The types of a module, by index and by name, as they come to be known."""

    def __init__(self) -> None:
        self.names: dict[str, int] = {}
        self.types: list[SubType] = []
        self.groups: list[tuple[int, int]] = []
        self.field_names: list[dict[str, int]] = []  # of the explicit definitions
        self._plain: dict[FuncType, int] = {}

    def define(self, group: list[SubType]) -> None:
        """Add a recursion group."""
        first = len(self.types)
        self.groups.append((first, len(group)))
        self.types += group
        if len(group) == 1:
            (type_,) = group
            if isinstance(type_.composite, FuncType) and type_.final and not type_.supertypes:
                self._plain.setdefault(type_.composite, first)

    def implicit(self, type_: FuncType) -> int:
        """The index for a type use without one."""
        index = self._plain.get(type_)
        if index is None:
            index = len(self.types)
            self.define([SubType(type_)])
        return index


class TypeParser(Cursor):
    """Reads types; `types` is the index space that their indices refer to."""

    def __init__(self, tokens: Tokens, pos: int = 0) -> None:
        super().__init__(tokens, pos)
        self.types = TypeSpace()

    def index(self, names: dict[str, int], space: str) -> int:
        """An index, numeric or by name (§6.3.5), into the space that is called `space` in errors."""
        token = self.toks[self.pos]
        if token[:1] == "$":
            index = names.get(token)
            if index is None:
                index = names.get(self.canonical_id(token, self.pos))
                if index is None:
                    raise self.error(f"unknown {space} {token}")
            self.pos += 1
            return index
        return self.uint(32, f"a {space} index")

    def bind(self, names: dict[str, int], space: str, name: str, index: int) -> None:
        """Give a name to an index; the identifier has just been passed."""
        if name in names:
            raise self.error(f"duplicate {space} {name}", self.pos - 1)
        names[name] = index

    def binder(self, ids: dict[str, int], names: dict[int, str], space: str) -> Bind:
        """What gives identifiers to indices, and names to be kept: those that annotations say, or the identifiers."""

        def bind(id_: str | None, annotated: str | None, index: int) -> None:
            if id_ is not None:
                self.bind(ids, space, id_, index)
            if annotated is not None:
                names[index] = annotated
            elif id_ is not None:
                names[index] = id_[1:]

        return bind

    def named(self, bind: Bind, index: int) -> bool:
        """Step over an identifier and an annotation with a name; whether one of them was there."""
        at = self.pos
        id_ = self.optional_id()
        behind = self.pos
        annotated = self.name_annotation()
        if self.pos == at:
            return False
        after, self.pos = self.pos, behind
        bind(id_, annotated, index)
        self.pos = after
        return True

    def heap_type(self) -> HeapType | int:
        """An abstract heap type or a type index."""
        token = self.toks[self.pos]
        heap = _HEAP_TYPES.get(token)
        if heap is not None:
            self.pos += 1
            return heap
        if token[:1] != "$" and not token[:1].isdecimal():
            raise self.unexpected("a heap type")
        index = self.index(self.types.names, "type")
        if index >= _MAX_TYPE_INDEX:
            raise self.error(f"unknown type {index}", self.pos - 1)
        return index

    def optional_value_type(self) -> ValType | None:
        """A value type, if there is one."""
        token = self.toks[self.pos]
        short = _VALUE_TYPES.get(token)
        if short is not None:
            self.pos += 1
            return short
        if token != "(" or self.toks[self.pos + 1] != "ref":
            return None
        self.pos += 2
        nullable = self.toks[self.pos] == "null"
        if nullable:
            self.pos += 1
        heap = self.heap_type()
        self.expect(")")
        return RefType.of(nullable, heap)

    def value_type(self) -> ValType:
        """A value type."""
        type_ = self.optional_value_type()
        if type_ is None:
            raise self.unexpected("a value type")
        return type_

    def ref_type(self) -> RefType:
        """A reference type."""
        at = self.pos
        type_ = self.optional_value_type()
        if not isinstance(type_, RefType):
            raise self.unexpected("a reference type", at)
        return type_

    def value_types(self) -> list[ValType]:
        """Value types up to the closing bracket, which is passed."""
        types = []
        while (type_ := self.optional_value_type()) is not None:
            types.append(type_)
        self.expect(")", " or a value type")
        return types

    def _params(self, bind: Bind | None) -> list[ValType]:
        params: list[ValType] = []
        while self.at_form("param"):
            self.pos += 2
            if bind is not None and self.named(bind, len(params)):
                params.append(self.value_type())
                self.expect(")")
            else:
                params += self.value_types()
        return params

    def results(self) -> list[ValType]:
        """`(result ...)*`."""
        results: list[ValType] = []
        while self.at_form("result"):
            self.pos += 2
            results += self.value_types()
        return results

    def func_type(self, bind: Bind | None) -> FuncType:
        """`(param ...)* (result ...)*`. Parameters may have names if there is a `bind` to take them."""
        return FuncType(tuple(self._params(bind)), tuple(self.results()))

    def type_use(self, bind: Bind | None) -> int:
        """A type use (§6.4.7); answers with the type index."""
        if not self.at_form("type"):
            return self.types.implicit(self.func_type(bind))
        self.pos += 2
        at = self.pos
        index = self.index(self.types.names, "type")
        self.expect(")")
        inline = self.func_type(bind)
        if inline.params or inline.results:
            if index >= len(self.types.types):
                raise self.error(f"unknown type {index}", at)
            explicit = self.types.types[index].composite
            if explicit != inline:
                what = f"type {index} is {explicit}, and not {inline}"
                raise self.error(f"inline function type does not match explicit type: {what}", at)
        return index

    def _storage_type(self) -> StorageType:
        packed = _PACKED_TYPES.get(self.toks[self.pos])
        if packed is not None:
            self.pos += 1
            return packed
        type_ = self.optional_value_type()
        if type_ is None:
            raise self.unexpected("a storage type")
        return type_

    def _field_type(self) -> FieldType:
        if not self.at_form("mut"):
            return FieldType(self._storage_type(), False)
        self.pos += 2
        storage = self._storage_type()
        self.expect(")")
        return FieldType(storage, True)

    def _struct_type(self) -> StructType:
        fields: list[FieldType] = []
        names: dict[str, int] = {}
        while self.at_form("field"):
            self.pos += 2
            name = self.optional_id()
            if name is not None:
                self.bind(names, "field", name, len(fields))
                fields.append(self._field_type())
            else:
                while self.toks[self.pos] != ")":
                    fields.append(self._field_type())
            self.expect(")")
        self.types.field_names[-1] = names
        return StructType(tuple(fields))

    def _composite_type(self) -> CompositeType:
        self.expect("(", " and a function, structure or array type")
        keyword = self.toks[self.pos]
        self.pos += 1
        type_: CompositeType
        if keyword == "func":
            type_ = self.func_type(self.binder({}, {}, "param"))
        elif keyword == "struct":
            type_ = self._struct_type()
        elif keyword == "array":
            type_ = ArrayType(self._field_type())
        else:
            raise self.unexpected("'func', 'struct' or 'array'", self.pos - 1)
        self.expect(")")
        return type_

    def sub_type(self) -> SubType:
        """The contents of a type definition (§6.4.8)."""
        self.types.field_names.append({})
        if not self.at_form("sub"):
            return SubType(self._composite_type())
        self.pos += 2
        final = self.toks[self.pos] == "final"
        if final:
            self.pos += 1
        supertypes = []
        while self.toks[self.pos] not in ("(", ")"):
            supertypes.append(self.index(self.types.names, "type"))
        type_ = SubType(self._composite_type(), tuple(supertypes), final)
        self.expect(")")
        return type_

    def address_type(self) -> bool:
        """`i64`, `i32` or nothing; whether addresses have 64 bits."""
        token = self.toks[self.pos]
        if token not in ("i32", "i64"):
            return False
        self.pos += 1
        return token == "i64"

    def limits(self, is64: bool, *, shareable: bool = False) -> Limits:
        """Size range (§6.4.9), behind its address type."""
        minimum = self.uint(64, "a size")
        maximum = self.uint(64) if self.toks[self.pos][:1].isdecimal() else None
        shared = shareable and self.toks[self.pos] == "shared"
        if shared:
            self.pos += 1
        return Limits(minimum, maximum, is64, shared)

    def page_size(self) -> int:
        """The logarithm of the size in `(pagesize n)`, if that is here, otherwise of the usual size."""
        if not self.at_form("pagesize"):
            return 16
        self.pos += 2
        size = self.uint(64)
        if size & (size - 1) or not size:
            raise self.error(f"invalid custom page size: {size} is not a power of two", self.pos - 1)
        self.expect(")")
        return size.bit_length() - 1

    def memory_type(self) -> MemoryType:
        """§6.4.10."""
        limits = self.limits(self.address_type(), shareable=True)
        return MemoryType(limits, self.page_size())

    def table_type(self) -> TableType:
        """§6.4.11."""
        limits = self.limits(self.address_type())
        return TableType(self.ref_type(), limits)

    def global_type(self) -> GlobalType:
        """§6.4.12."""
        if not self.at_form("mut"):
            return GlobalType(self.value_type(), False)
        self.pos += 2
        type_ = GlobalType(self.value_type(), True)
        self.expect(")")
        return type_
