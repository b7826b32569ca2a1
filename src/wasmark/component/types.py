"""The types of the component model, resolved: no indices, nothing that has to be looked up.

Validation makes them of the definitions of `component.model`, and all that runs a component reads them. Value types
are immutable and compare by structure; a definition that is used twice is the same object in both places, so that who
wants to know the *name* of a type can compare with `is`. Each definition of a resource type makes another one.
"""

from __future__ import annotations

from wasmark.core.record import FrozenRecord, set_
from wasmark.core.record import Record as PlainRecord
from wasmark.core.types import GlobalType, MemoryType, TableType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final


class ValType(FrozenRecord):
    """What a parameter, a field or an element can be of."""

    __slots__ = ()

    def children(self) -> tuple[ValType, ...]:
        """The value types that it is made of, in order."""
        return ()


class Primitive(ValType):
    """A type without parts. `code` is its code in a binary (Binary.md, `primvaltype`)."""

    __slots__ = ()
    name: str
    code: int

    def __eq__(self, other: object) -> bool:
        return other.__class__ is self.__class__

    def __hash__(self) -> int:
        return self.code

    def __str__(self) -> str:
        return self.name


class Bool(Primitive):
    """`bool`."""

    __slots__ = ()
    name = "bool"
    code = 0x7F


class S8(Primitive):
    """`s8`."""

    __slots__ = ()
    name = "s8"
    code = 0x7E


class U8(Primitive):
    """`u8`."""

    __slots__ = ()
    name = "u8"
    code = 0x7D


class S16(Primitive):
    """`s16`."""

    __slots__ = ()
    name = "s16"
    code = 0x7C


class U16(Primitive):
    """`u16`."""

    __slots__ = ()
    name = "u16"
    code = 0x7B


class S32(Primitive):
    """`s32`."""

    __slots__ = ()
    name = "s32"
    code = 0x7A


class U32(Primitive):
    """`u32`."""

    __slots__ = ()
    name = "u32"
    code = 0x79


class S64(Primitive):
    """`s64`."""

    __slots__ = ()
    name = "s64"
    code = 0x78


class U64(Primitive):
    """`u64`."""

    __slots__ = ()
    name = "u64"
    code = 0x77


class F32(Primitive):
    """`f32`."""

    __slots__ = ()
    name = "f32"
    code = 0x76


class F64(Primitive):
    """`f64`."""

    __slots__ = ()
    name = "f64"
    code = 0x75


class Char(Primitive):
    """`char`."""

    __slots__ = ()
    name = "char"
    code = 0x74


class String(Primitive):
    """`string`."""

    __slots__ = ()
    name = "string"
    code = 0x73


class ErrorContext(Primitive):
    """`error-context`."""

    __slots__ = ()
    name = "error-context"
    code = 0x64


PRIMITIVES: Final = tuple(
    made() for made in (Bool, S8, U8, S16, U16, S32, U32, S64, U64, F32, F64, Char, String, ErrorContext)
)
"""One object of each primitive type."""


class List(ValType):
    """`(list element)`."""

    __slots__ = ("element",)
    element: ValType

    def __init__(self, element: ValType) -> None:
        set_(self, "element", element)

    def children(self) -> tuple[ValType, ...]:
        return (self.element,)


class FixedList(ValType):
    """`(list element length)`: `length` elements, which lie in place. `length` is positive."""

    __slots__ = ("element", "length")
    element: ValType
    length: int

    def __init__(self, element: ValType, length: int) -> None:
        set_(self, "element", element)
        set_(self, "length", length)

    def children(self) -> tuple[ValType, ...]:
        return (self.element,)


class Map(ValType):
    """`(map key value)`: in memory a list of pairs."""

    __slots__ = ("key", "value")
    key: ValType
    value: ValType

    def __init__(self, key: ValType, value: ValType) -> None:
        set_(self, "key", key)
        set_(self, "value", value)

    def children(self) -> tuple[ValType, ...]:
        return (self.key, self.value)


class Record(ValType):
    """`fields` are pairs `(label, type)`, one at least."""

    __slots__ = ("fields",)
    fields: tuple[tuple[str, ValType], ...]

    def __init__(self, fields: tuple[tuple[str, ValType], ...]) -> None:
        set_(self, "fields", fields)

    def children(self) -> tuple[ValType, ...]:
        return tuple(type_ for _, type_ in self.fields)


class Tuple(ValType):
    """One type at least."""

    __slots__ = ("types",)
    types: tuple[ValType, ...]

    def __init__(self, types: tuple[ValType, ...]) -> None:
        set_(self, "types", types)

    def children(self) -> tuple[ValType, ...]:
        return self.types


class Variant(ValType):
    """`cases` are pairs `(label, type or None)`, one at least."""

    __slots__ = ("cases",)
    cases: tuple[tuple[str, ValType | None], ...]

    def __init__(self, cases: tuple[tuple[str, ValType | None], ...]) -> None:
        set_(self, "cases", cases)

    def children(self) -> tuple[ValType, ...]:
        return tuple(type_ for _, type_ in self.cases if type_ is not None)


class Enum(ValType):
    """One label at least."""

    __slots__ = ("labels",)
    labels: tuple[str, ...]

    def __init__(self, labels: tuple[str, ...]) -> None:
        set_(self, "labels", labels)


class Flags(ValType):
    """Between one and 32 labels; the first one is the lowest bit."""

    __slots__ = ("labels",)
    labels: tuple[str, ...]

    def __init__(self, labels: tuple[str, ...]) -> None:
        set_(self, "labels", labels)


class Option(ValType):
    """`(option some)`."""

    __slots__ = ("some",)
    some: ValType

    def __init__(self, some: ValType) -> None:
        set_(self, "some", some)

    def children(self) -> tuple[ValType, ...]:
        return (self.some,)


class Result(ValType):
    """`ok` and `error` are None where there is no payload."""

    __slots__ = ("error", "ok")
    ok: ValType | None
    error: ValType | None

    def __init__(self, ok: ValType | None = None, error: ValType | None = None) -> None:
        set_(self, "ok", ok)
        set_(self, "error", error)

    def children(self) -> tuple[ValType, ...]:
        return tuple(type_ for type_ in (self.ok, self.error) if type_ is not None)


class HandleType(ValType):
    """A handle of a resource: `Own` or `Borrow`."""

    __slots__ = ("resource",)
    resource: ResourceType

    def __init__(self, resource: ResourceType) -> None:
        set_(self, "resource", resource)


class Own(HandleType):
    """A handle that owns the resource."""

    __slots__ = ()


class Borrow(HandleType):
    """A handle lent for the time of a call."""

    __slots__ = ()


class ChannelType(ValType):
    """What carries values later: a `Stream` or a `Future`. `element` is None where there are none to carry."""

    __slots__ = ("element",)
    element: ValType | None

    def __init__(self, element: ValType | None = None) -> None:
        set_(self, "element", element)

    def children(self) -> tuple[ValType, ...]:
        return () if self.element is None else (self.element,)


class Stream(ChannelType):
    """The readable end of a stream; without an element it only counts."""

    __slots__ = ()


class Future(ChannelType):
    """The readable end of a future."""

    __slots__ = ()


class ResourceType:
    """A type of resources, equal to no other one: defined in a component, or standing for one that is imported or
    exported. An export of a type gives it a second identity, `ResourceType(name, original)`: both are equal, and only
    `is` tells them apart. `name` is what it was imported or exported as."""

    __slots__ = ("_original", "name")

    def __init__(self, name: str | None = None, original: ResourceType | None = None) -> None:
        self.name = name
        self._original: ResourceType = self if original is None else original._original

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ResourceType) and self._original is other._original

    def __hash__(self) -> int:
        return id(self._original)

    def __repr__(self) -> str:
        return f"<resource {self.name or 'type'} at {id(self._original):#x}>"


class FuncType(FrozenRecord):
    """`params` are pairs `(label, type)`; `result` is None where there is none."""

    __slots__ = ("is_async", "params", "result")
    params: tuple[tuple[str, ValType], ...]
    result: ValType | None
    is_async: bool

    def __init__(
        self, params: tuple[tuple[str, ValType], ...], result: ValType | None = None, is_async: bool = False
    ) -> None:
        set_(self, "params", params)
        set_(self, "result", result)
        set_(self, "is_async", is_async)


class InstanceType(PlainRecord):
    """What an instance exports, by name, in order. `resources` are the resource types that its exports introduce: who
    makes use of the type puts fresh ones in their place, or those of the instance that is given."""

    __slots__ = ("exports", "resources")

    def __init__(self, exports: dict[str, ExternType], resources: tuple[ResourceType, ...] = ()) -> None:
        self.exports = exports
        self.resources = resources


class ComponentType(PlainRecord):
    """What a component imports and exports, by name, in order. `imported` are the resource types that its imports
    introduce, `exported` those that its exports do, as in `InstanceType.resources`."""

    __slots__ = ("exported", "exports", "imported", "imports")

    def __init__(
        self,
        imports: dict[str, ExternType],
        exports: dict[str, ExternType],
        imported: tuple[ResourceType, ...] = (),
        exported: tuple[ResourceType, ...] = (),
    ) -> None:
        self.imports = imports
        self.exports = exports
        self.imported = imported
        self.exported = exported


class CoreTyped(FrozenRecord):
    """What has a defined core type, by the id of that among an engine's (`validate.canon.TypeRegistry`)."""

    __slots__ = ("type_id",)
    type_id: int

    def __init__(self, type_id: int) -> None:
        set_(self, "type_id", type_id)


class CoreFunc(CoreTyped):
    """A core function."""

    __slots__ = ()


class CoreTag(CoreTyped):
    """A core tag."""

    __slots__ = ()


class CoreModuleType(PlainRecord):
    """What a core module imports and exports. References to defined types are ids as in `CoreTyped`."""

    __slots__ = ("exports", "imports")

    def __init__(self, imports: dict[tuple[str, str], CoreExtern], exports: dict[str, CoreExtern]) -> None:
        self.imports = imports
        self.exports = exports


class TypeExtern(PlainRecord):
    """A type that is imported or exported. A resource type is either one that is known otherwise, or one of those that
    the imports or exports introduce."""

    __slots__ = ("type",)

    def __init__(self, type: DefinedType) -> None:
        self.type = type


CoreExtern = CoreFunc | CoreTag | TableType | MemoryType | GlobalType
"""What a core module can import and export."""
DefinedType = ValType | FuncType | InstanceType | ComponentType | ResourceType
"""What a type index can stand for."""
ExternType = CoreModuleType | FuncType | InstanceType | ComponentType | TypeExtern
"""What can be imported and exported."""
