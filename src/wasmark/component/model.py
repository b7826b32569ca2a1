"""A component as it is written: what the binary decoder and the text parser produce, and all later rooms read.

A component is a sequence of definitions, each of which appends to one index space and refers to earlier ones by index
(Binary.md). The sequence is kept as it is; nothing is resolved here. In value types, `TypeRef` and `Handle` stand for
what only the index spaces tell; validation puts the types of `component.types` in their place.
"""

from __future__ import annotations

from wasmark.component.types import FuncType, ValType
from wasmark.core.model import Import as CoreImport
from wasmark.core.record import FrozenRecord, Record, set_
from wasmark.core.types import SubType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.core.model import ModuleModel
    from wasmark.core.types import GlobalType, MemoryType, TableType, TagType
    from wasmark.core.types import ValType as CoreValType

CORE_SORTS: Final = {
    0x00: "core func",
    0x01: "core table",
    0x02: "core memory",
    0x03: "core global",
    0x04: "core tag",
    0x10: "core type",
    0x11: "core module",
    0x12: "core instance",
}
"""What an index of core things can be of, by its code (Binary.md, `core:sort`)."""

SORTS: Final = {0x01: "func", 0x02: "value", 0x03: "type", 0x04: "component", 0x05: "instance"}
"""All other sorts, by their code; core ones are led in by a zero byte (Binary.md, `sort`)."""

INDEX_SPACES: Final = (*CORE_SORTS.values(), *SORTS.values())
"""The index spaces of a component, each by its sort."""

ATTRIBUTES: Final = ("implements", "versionsuffix", "external-id")
"""The attributes of a name by their codes (Binary.md, `attribute`)."""


class TypeRef(ValType):
    """The value type that a type index stands for."""

    __slots__ = ("index",)
    index: int

    def __init__(self, index: int) -> None:
        set_(self, "index", index)


class Handle(ValType):
    """`own` or `borrow` of the resource type that a type index stands for."""

    __slots__ = ("index", "is_own")
    is_own: bool
    index: int

    def __init__(self, is_own: bool, index: int) -> None:
        set_(self, "is_own", is_own)
        set_(self, "index", index)


class ExternName(FrozenRecord):
    """The name of an import or export with its attributes, as pairs `(one of ATTRIBUTES, value)`. `code` is 1 where an
    older way of writing the same name is to be kept."""

    __slots__ = ("attributes", "code", "name")
    name: str
    attributes: tuple[tuple[str, str], ...]
    code: int

    def __init__(self, name: str, attributes: tuple[tuple[str, str], ...] = (), code: int = 0) -> None:
        set_(self, "name", name)
        set_(self, "attributes", attributes)
        set_(self, "code", code)

    def attribute(self, kind: str) -> str | None:
        """What the attribute says, None where there is none."""
        return dict(self.attributes).get(kind)


class ExternDesc(FrozenRecord):
    """What is imported or exported. `kind` is a sort that can be, and `index` its type; for the kind "type", `index` is
    what it equals, or None for a resource type of its own."""

    __slots__ = ("index", "kind")
    kind: str
    index: int | None

    def __init__(self, kind: str, index: int | None) -> None:
        set_(self, "kind", kind)
        set_(self, "index", index)


class CoreModule(Record):
    """A core module. `model.data` is its binary, and `offset` where it starts: offsets in `model` count from there."""

    __slots__ = ("model", "offset")

    def __init__(self, model: ModuleModel, offset: int = 0) -> None:
        self.model = model
        self.offset = offset


class CoreInstantiate(Record):
    """An instance of the core module `module`; `args` are pairs `(module name of the imports, core instance)`."""

    __slots__ = ("args", "module", "offset")

    def __init__(self, module: int, args: list[tuple[str, int]], offset: int = 0) -> None:
        self.module = module
        self.args = args
        self.offset = offset


class CoreExports(Record):
    """A core instance made of what there is: triples `(name, sort, index)`."""

    __slots__ = ("exports", "offset")

    def __init__(self, exports: list[tuple[str, str, int]], offset: int = 0) -> None:
        self.exports = exports
        self.offset = offset


class CoreTypeDef(Record):
    """A core recursion group, each member of which gets an index, or the type of a module."""

    __slots__ = ("offset", "type")

    def __init__(self, type: tuple[SubType, ...] | ModuleTypeDef, offset: int = 0) -> None:
        self.type = type
        self.offset = offset


class CoreExportDecl(Record):
    """An export of a module type; `desc` is a type index for functions, otherwise the type itself."""

    __slots__ = ("desc", "kind", "name", "offset")

    def __init__(
        self, name: str, kind: str, desc: int | TableType | MemoryType | GlobalType | TagType, offset: int = 0
    ) -> None:
        self.name = name
        self.kind = kind
        self.desc = desc
        self.offset = offset


class ModuleTypeDef(Record):
    """The type of a core module, with an index space of types of its own."""

    __slots__ = ("decls",)

    def __init__(self, decls: list[CoreImport | CoreTypeDef | OuterAlias | CoreExportDecl]) -> None:
        self.decls = decls


class NestedComponent(Record):
    """A component in a component."""

    __slots__ = ("model", "offset")

    def __init__(self, model: ComponentModel, offset: int = 0) -> None:
        self.model = model
        self.offset = offset


class Instantiate(Record):
    """An instance of the component `component`; `args` are triples `(name, sort, index)`."""

    __slots__ = ("args", "component", "offset")

    def __init__(self, component: int, args: list[tuple[str, str, int]], offset: int = 0) -> None:
        self.component = component
        self.args = args
        self.offset = offset


class InlineExports(Record):
    """An instance made of what there is: triples `(name, sort, index)`."""

    __slots__ = ("exports", "offset")

    def __init__(self, exports: list[tuple[ExternName, str, int]], offset: int = 0) -> None:
        self.exports = exports
        self.offset = offset


class ExportAlias(Record):
    """What an instance exports as `name`; `core` says whether `instance` is a core instance."""

    __slots__ = ("core", "instance", "name", "offset", "sort")

    def __init__(self, sort: str, core: bool, instance: int, name: str, offset: int = 0) -> None:
        self.sort = sort
        self.core = core
        self.instance = instance
        self.name = name
        self.offset = offset


class OuterAlias(Record):
    """What has `index` in the `count`th enclosing component or type, counted from 0, the one in which this stands."""

    __slots__ = ("count", "index", "offset", "sort")

    def __init__(self, sort: str, count: int, index: int, offset: int = 0) -> None:
        self.sort = sort
        self.count = count
        self.index = index
        self.offset = offset


class ResourceDef(Record):
    """A new resource type, represented by a core value; `dtor` is the core function that ends a resource, or None."""

    __slots__ = ("dtor", "rep")

    def __init__(self, rep: CoreValType, dtor: int | None = None) -> None:
        self.rep = rep
        self.dtor = dtor


class InstanceTypeDef(Record):
    """The type of an instance, with index spaces of its own."""

    __slots__ = ("decls",)

    def __init__(self, decls: list[CoreTypeDef | TypeDef | ExportAlias | OuterAlias | ExportDecl]) -> None:
        self.decls = decls


class ComponentTypeDef(Record):
    """The type of a component, with index spaces of its own."""

    __slots__ = ("decls",)

    def __init__(self, decls: list[CoreTypeDef | TypeDef | ExportAlias | OuterAlias | ExportDecl | Import]) -> None:
        self.decls = decls


class TypeDef(Record):
    """A type: of values, functions, resources, instances or components."""

    __slots__ = ("offset", "type")

    def __init__(
        self, type: ValType | FuncType | ResourceDef | InstanceTypeDef | ComponentTypeDef, offset: int = 0
    ) -> None:
        self.type = type
        self.offset = offset


class Canon(Record):
    """A canonical definition. `name` and what its `operands` are stand in `component.canons`; `options` are pairs
    `(name of the option, index or None)` in the order in which they are written."""

    __slots__ = ("name", "offset", "operands", "options")

    def __init__(
        self,
        name: str,
        operands: tuple[object, ...],
        options: tuple[tuple[str, int | None], ...] = (),
        offset: int = 0,
    ) -> None:
        self.name = name
        self.operands = operands
        self.options = options
        self.offset = offset


class Import(Record):
    """An import, of a component or of the type of one."""

    __slots__ = ("desc", "name", "offset")

    def __init__(self, name: ExternName, desc: ExternDesc, offset: int = 0) -> None:
        self.name = name
        self.desc = desc
        self.offset = offset


class Export(Record):
    """An export, which gets an index of its own; `desc` is None where its type is that of what it exports."""

    __slots__ = ("desc", "index", "name", "offset", "sort")

    def __init__(
        self, name: ExternName, sort: str, index: int, desc: ExternDesc | None = None, offset: int = 0
    ) -> None:
        self.name = name
        self.sort = sort
        self.index = index
        self.desc = desc
        self.offset = offset


class ExportDecl(Record):
    """An export of the type of a component or instance."""

    __slots__ = ("desc", "name", "offset")

    def __init__(self, name: ExternName, desc: ExternDesc, offset: int = 0) -> None:
        self.name = name
        self.desc = desc
        self.offset = offset


class CustomSection(Record):
    """A custom section, which may stand anywhere."""

    __slots__ = ("contents", "name", "offset")

    def __init__(self, name: str, contents: bytes, offset: int = 0) -> None:
        self.name = name
        self.contents = contents
        self.offset = offset


Definition = (
    CoreModule
    | CoreInstantiate
    | CoreExports
    | CoreTypeDef
    | NestedComponent
    | Instantiate
    | InlineExports
    | ExportAlias
    | OuterAlias
    | TypeDef
    | Canon
    | Import
    | Export
    | CustomSection
)


class ComponentNames(Record):
    """The names of things, which only tools read: that of the component, and by sort those of each index."""

    __slots__ = ("component", "spaces")

    def __init__(self, component: str | None = None, spaces: dict[str, dict[int, str]] | None = None) -> None:
        self.component = component
        self.spaces = {} if spaces is None else spaces


class ComponentModel(Record):
    """A whole component. `definitions` stand in their order; offsets in them count from the start of the outermost
    component's binary."""

    __slots__ = ("definitions", "names", "offset")

    def __init__(
        self, definitions: list[Definition] | None = None, names: ComponentNames | None = None, offset: int = 0
    ) -> None:
        self.definitions = [] if definitions is None else definitions
        self.names = ComponentNames() if names is None else names
        self.offset = offset
