"""Components in the binary format (Binary.md): bytes -> `ComponentModel`.

As in modules, every size and count comes from outside: nothing is allocated for one before the elements have been read,
and sizes are compared when what they are about is through. Components and types nest; how deep is limited.
"""

from __future__ import annotations

from collections.abc import Callable

from wasmark.binary.decoder import COMPONENT_VERSION, MAGIC, decode_module
from wasmark.binary.decoder import VERSION as MODULE_VERSION
from wasmark.binary.leb import read_count, read_u32, unexpected_end
from wasmark.binary.names import read_name
from wasmark.binary.typecodes import (
    read_byte,
    read_global_type,
    read_memory_type,
    read_rec_type,
    read_table_type,
    read_tag_type,
    read_value_type,
)
from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary.names import NAME_SECTION, read_names
from wasmark.component.binary.typecodes import (
    COMPONENT,
    FUNC,
    FUNC_ASYNC,
    INSTANCE,
    RESOURCE,
    read_bool,
    read_choice,
    read_core_sort,
    read_defined_value_type,
    read_extern_desc,
    read_extern_name,
    read_func_type,
    read_optional,
    read_optional_extern_desc,
    read_result,
    read_sort,
    values_are_missing,
    wrong_byte,
)
from wasmark.component.canons import BY_CODE, LIFT, OPTION_SORTS, OPTIONS
from wasmark.core.model import EXTERN_KINDS
from wasmark.core.model import Import as CoreImport
from wasmark.errors import InvalidError, MalformedError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final, TypeVar

    from wasmark.component.types import FuncType, ValType

    _T = TypeVar("_T")

MAX_NESTING: Final = 100
"""How deep components, and types of components, instances and modules, may be in each other."""

OUTER_SORTS: Final = ("core module", "core type", "component", "type")
"""What can be reached in an enclosing component or type."""

_VALUE_SECTIONS: Final = (9, 12)
_MODULE_TYPE: Final = 0x50
_SUB_PREFIX: Final = 0x00


def decode_component(data: bytes) -> M.ComponentModel:
    """Decode a component.

    Raises MalformedError with the offset; InvalidError for the few rules that the shape of a model already keeps;
    UnsupportedError for values that are imported, exported or started, for what is nested deeper than MAX_NESTING, and
    as `decode_module` does.
    """
    return _Decoder(bytes(data)).component(0, len(data), 0)


class _Decoder:
    """A cursor over the bytes of the outermost component."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0
        self._depth = 0

    # Primitives

    def _read(self, read: Callable[[bytes, int], tuple[_T, int]]) -> _T:
        value, self._pos = read(self._data, self._pos)
        return value

    def _u32(self) -> int:
        return self._read(read_u32)

    def _name(self) -> str:
        return self._read(read_name)

    def _choice(self, what: str, most: int = 1) -> int:
        value, self._pos = read_choice(self._data, self._pos, what, most)
        return value

    def _sort(self, what: str) -> str:
        value, self._pos = read_sort(self._data, self._pos, what)
        return value

    def _vector(self, read: Callable[[], _T]) -> list[_T]:
        return [read() for _ in range(self._read(read_count))]

    def _enter(self) -> None:
        self._depth += 1
        if self._depth > MAX_NESTING:
            raise UnsupportedError(
                f"components or types nested more than {MAX_NESTING} deep (at offset {self._pos:#x})",
                part="deep nesting",
            )

    # Components

    def component(self, start: int, end: int, at: int) -> M.ComponentModel:
        """The component in `data[start:end]`, and nothing else in there."""
        self._enter()
        data = self._data
        model = M.ComponentModel(offset=at)
        self._pos = start
        self._header(end)
        while self._pos < end:
            at = self._pos
            section = data[at]
            size, begin = read_count(data, at + 1)
            if section not in _SECTIONS:
                if section in _VALUE_SECTIONS:
                    raise values_are_missing(at)
                raise MalformedError(f"malformed section id {section}", offset=at)
            behind = begin + size
            if behind > end:
                unexpected_end(data[:end])
            self._pos = begin
            _SECTIONS[section](self, model, behind)
            if self._pos != behind:
                used = self._pos - begin
                message = f"section size mismatch: section {section} has {size} bytes, and {used} are used"
                raise MalformedError(message, offset=begin)
        self._depth -= 1
        return model

    def _header(self, end: int) -> None:
        start = self._pos
        found = self._data[start : min(end, start + 8)]
        if found[:4] != MAGIC[: len(found)]:
            raise MalformedError(f"magic header not detected: found {found[:4].hex(' ')}", offset=start)
        if len(found) < 8:
            raise MalformedError("unexpected end: a component has 8 bytes at least", offset=end)
        if found[4:] == MODULE_VERSION:
            raise MalformedError("expected a version header for a component, found that of a module", offset=start + 4)
        if found[4:] != COMPONENT_VERSION:
            message = f"unknown binary version: found {found[4:].hex(' ')}, not {COMPONENT_VERSION.hex(' ')}"
            raise MalformedError(message, offset=start + 4)
        self._pos = start + 8

    def _custom(self, model: M.ComponentModel, end: int) -> None:
        at = self._pos
        name = self._name()
        if self._pos > end:
            message = f"unexpected end of section: the custom section ends in its name, at {end:#x}"
            raise MalformedError(message, offset=at)
        contents = self._data[self._pos : end]
        if name == NAME_SECTION and not any(
            isinstance(other, M.CustomSection) and other.name == name for other in model.definitions
        ):
            model.names = read_names(contents)
        model.definitions.append(M.CustomSection(name, contents, at))
        self._pos = end

    def _core_module(self, model: M.ComponentModel, end: int) -> None:
        start = self._pos
        binary = self._data[start:end]
        if binary[4:8] == COMPONENT_VERSION:
            raise MalformedError("expected a version header for a module, found that of a component", offset=start + 4)
        try:
            module = decode_module(binary)
        except MalformedError as error:
            raise MalformedError(error.message, offset=start + (error.offset or 0)) from None
        except InvalidError as error:
            raise InvalidError(error.message, offset=start + (error.offset or 0)) from None
        model.definitions.append(M.CoreModule(module, start))
        self._pos = end

    def _nested(self, model: M.ComponentModel, end: int) -> None:
        start = self._pos
        model.definitions.append(M.NestedComponent(self.component(start, end, start), start))

    # Instances and aliases

    def core_instance(self) -> M.CoreInstantiate | M.CoreExports:
        at = self._pos
        if self._choice("core instance"):
            return M.CoreExports(self._vector(self._core_inline_export), at)
        return M.CoreInstantiate(self._u32(), self._vector(self._core_argument), at)

    def _core_inline_export(self) -> tuple[str, str, int]:
        name = self._name()
        sort, self._pos = read_core_sort(self._data, self._pos, "core instance export kind")
        return name, sort, self._u32()

    def _core_argument(self) -> tuple[str, int]:
        name = self._name()
        at = self._pos
        byte = self._read(read_byte)
        if byte != 0x12:
            raise wrong_byte(self._data, at, "instantiation arg kind")
        return name, self._u32()

    def instance(self) -> M.Instantiate | M.InlineExports:
        at = self._pos
        if self._choice("instance"):
            return M.InlineExports(self._vector(self._inline_export), at)
        return M.Instantiate(self._u32(), self._vector(self._argument), at)

    def _inline_export(self) -> tuple[Any, str, int]:
        return self._read(read_extern_name), self._sort("component external kind"), self._u32()

    def _argument(self) -> tuple[str, str, int]:
        return self._name(), self._sort("component external kind"), self._u32()

    def alias(self) -> M.ExportAlias | M.OuterAlias:
        at = self._pos
        sort = self._sort("component outer alias kind")
        target = self._choice("alias", 2)
        if target == 2:
            if sort not in OUTER_SORTS:
                raise wrong_byte(self._data, at, "component outer alias kind")
            return M.OuterAlias(sort, self._u32(), self._u32(), at)
        if target == 1 and not sort.startswith("core "):
            raise wrong_byte(self._data, at, "the alias of an export of a core instance")
        return M.ExportAlias(sort, target == 1, self._u32(), self._name(), at)

    # Types

    def core_type(self) -> M.CoreTypeDef:
        at = self._pos
        byte = self._read(read_byte)
        if byte == _MODULE_TYPE:
            self._enter()
            decls = self._vector(self._module_decl)
            self._depth -= 1
            return M.CoreTypeDef(M.ModuleTypeDef(decls), at)
        if byte != _SUB_PREFIX:
            self._pos = at
        return M.CoreTypeDef(self._read(read_rec_type), at)

    def _module_decl(self) -> CoreImport | M.CoreTypeDef | M.OuterAlias | M.CoreExportDecl:
        at = self._pos
        read = _MODULE_DECLS[self._choice("type definition", len(_MODULE_DECLS) - 1)]
        return read(self, at)

    def module_import(self, at: int) -> CoreImport:
        module = self._name()
        name = self._name()
        kind, desc = self._core_desc()
        return CoreImport(module, name, kind, desc, at)

    def module_type(self, at: int) -> M.CoreTypeDef:
        start = self._pos
        type_ = self.core_type()
        if isinstance(type_.type, M.ModuleTypeDef):
            raise InvalidError("a module type cannot be defined in a module type: invalid leading byte", offset=start)
        type_.offset = at
        return type_

    def module_alias(self, at: int) -> M.OuterAlias:
        start = self._pos
        if self._read(read_byte) != 0x10:
            raise wrong_byte(self._data, start, "outer alias kind")
        start = self._pos
        if self._read(read_byte) != 0x01:
            raise wrong_byte(self._data, start, "outer alias target")
        return M.OuterAlias("core type", self._u32(), self._u32(), at)

    def module_export(self, at: int) -> M.CoreExportDecl:
        name = self._name()
        kind, desc = self._core_desc()
        return M.CoreExportDecl(name, kind, desc, at)

    def _core_desc(self) -> tuple[str, Any]:
        code = self._choice("external kind of a core module", len(EXTERN_KINDS) - 1)
        return EXTERN_KINDS[code], self._read(_CORE_DESCS[code])

    def type(self) -> M.TypeDef:
        at = self._pos
        code = self._read(read_byte)
        read = _TYPES.get(code)
        if read is not None:
            return M.TypeDef(read(self), at)
        self._pos = at
        return M.TypeDef(self._read(read_defined_value_type), at)

    def _resource(self) -> M.ResourceDef:
        rep = self._read(read_value_type)
        dtor, self._pos = read_optional(self._data, self._pos, read_u32, "resource destructor")
        return M.ResourceDef(rep, dtor)

    def _func(self) -> FuncType:
        is_async = self._data[self._pos - 1] == FUNC_ASYNC
        type_, self._pos = read_func_type(self._data, self._pos, is_async)
        return type_

    def _component_type(self) -> M.ComponentTypeDef:
        self._enter()
        decls = self._vector(self._component_decl)
        self._depth -= 1
        return M.ComponentTypeDef(decls)

    def _instance_type(self) -> M.InstanceTypeDef:
        self._enter()
        decls = self._vector(self._instance_decl)
        self._depth -= 1
        return M.InstanceTypeDef(decls)

    def _component_decl(self) -> Any:
        if self._data[self._pos : self._pos + 1] == b"\x03":
            at = self._pos
            self._pos += 1
            return self.import_(at)
        return self._instance_decl()

    def _instance_decl(self) -> Any:
        at = self._pos
        byte = self._read(read_byte)
        read = _DECLS.get(byte)
        if read is None:
            raise wrong_byte(self._data, at, "component or instance type declaration")
        return read(self)

    # Canonical definitions, imports and exports

    def canon(self) -> M.Canon:
        at = self._pos
        code = self._read(read_byte)
        row = BY_CODE.get(code)
        if row is None:
            raise wrong_byte(self._data, at, "canonical function")
        if len(row.code) > 1:
            self._choice(f"canonical function {row.name}", 0)
        operands = tuple([self._operand(kind) for kind in row.operands])
        options = self._vector(self._option) if row.has_options else ()
        if row is LIFT:
            operands = (*operands, self._u32())
        return M.Canon(row.name, operands, tuple(options), at)

    def _operand(self, kind: str) -> object:
        if kind in ("async", "cancellable", "shared"):
            return self._read(read_bool)
        if kind == "core valtype":
            return self._read(read_value_type)
        return self._read(read_result) if kind == "result" else self._u32()

    def _option(self) -> tuple[str, int | None]:
        name = OPTIONS[self._choice("canonical option", len(OPTIONS) - 1)]
        return name, self._u32() if name in OPTION_SORTS else None

    def import_(self, at: int | None = None) -> M.Import:
        at = self._pos if at is None else at
        return M.Import(self._read(read_extern_name), self._read(read_extern_desc), at)

    def export(self) -> M.Export:
        at = self._pos
        name = self._read(read_extern_name)
        sort = self._sort("component external kind")
        return M.Export(name, sort, self._u32(), self._read(read_optional_extern_desc), at)

    def export_decl(self) -> M.ExportDecl:
        at = self._pos - 1
        return M.ExportDecl(self._read(read_extern_name), self._read(read_extern_desc), at)


def _definitions(read: Callable[[_Decoder], M.Definition]) -> Callable[[_Decoder, M.ComponentModel, int], None]:
    """What reads a section that is a vector of definitions."""

    def section(decoder: _Decoder, model: M.ComponentModel, end: int) -> None:
        for _ in range(decoder._read(read_count)):
            model.definitions.append(read(decoder))

    return section


_SECTIONS: Final[dict[int, Callable[[_Decoder, M.ComponentModel, int], None]]] = {
    0: _Decoder._custom,
    1: _Decoder._core_module,
    2: _definitions(_Decoder.core_instance),
    3: _definitions(_Decoder.core_type),
    4: _Decoder._nested,
    5: _definitions(_Decoder.instance),
    6: _definitions(_Decoder.alias),
    7: _definitions(_Decoder.type),
    8: _definitions(_Decoder.canon),
    10: _definitions(_Decoder.import_),
    11: _definitions(_Decoder.export),
}

_MODULE_DECLS: Final[
    tuple[Callable[[_Decoder, int], CoreImport | M.CoreTypeDef | M.OuterAlias | M.CoreExportDecl], ...]
] = (
    _Decoder.module_import,
    _Decoder.module_type,
    _Decoder.module_alias,
    _Decoder.module_export,
)

_CORE_DESCS: Final[tuple[Callable[[bytes, int], tuple[Any, int]], ...]] = (
    read_u32,
    read_table_type,
    read_memory_type,
    read_global_type,
    read_tag_type,
)
"""What follows each of EXTERN_KINDS."""

_TYPES: Final[
    dict[int, Callable[[_Decoder], ValType | FuncType | M.ResourceDef | M.ComponentTypeDef | M.InstanceTypeDef]]
] = {
    RESOURCE: _Decoder._resource,
    FUNC: _Decoder._func,
    FUNC_ASYNC: _Decoder._func,
    COMPONENT: _Decoder._component_type,
    INSTANCE: _Decoder._instance_type,
}

_DECLS: Final[dict[int, Callable[[_Decoder], Any]]] = {
    0: _Decoder.core_type,
    1: _Decoder.type,
    2: _Decoder.alias,
    4: _Decoder.export_decl,
}
