"""`ComponentModel` -> bytes: the inverse of the decoder.

The encoding is the shortest one: definitions of one kind that follow each other share a section. Core modules and
custom sections are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import groupby

from wasmark.binary.decoder import COMPONENT_VERSION, MAGIC
from wasmark.binary.leb import write_u
from wasmark.binary.names import write_name
from wasmark.binary.typecodes import (
    write_global_type,
    write_memory_type,
    write_rec_type,
    write_table_type,
    write_tag_type,
    write_value_type,
)
from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary.typecodes import (
    COMPONENT,
    INSTANCE,
    RESOURCE,
    write_core_sort,
    write_defined_value_type,
    write_extern_desc,
    write_extern_name,
    write_func_type,
    write_result,
    write_sort,
)
from wasmark.component.canons import BY_NAME, LIFT, OPTIONS
from wasmark.component.types import FuncType
from wasmark.core.model import EXTERN_KINDS
from wasmark.core.model import Import as CoreImport

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final


def encode_component(model: M.ComponentModel) -> bytes:
    """The binary of a component; `decode_component` gives back an equal model but for offsets."""
    out = [MAGIC, COMPONENT_VERSION]
    for section, group in groupby(model.definitions, lambda definition: _SECTIONS[definition.__class__]):
        definitions = list(group)
        if section in _WHOLE:
            out += [_sized(section, _WHOLE[section](definition)) for definition in definitions]
        else:
            out.append(_sized(section, _vector(map(_written, definitions))))
    return b"".join(out)


def _sized(section: int, contents: bytes) -> bytes:
    return bytes([section]) + write_u(len(contents)) + contents


def _vector(items: Iterable[bytes]) -> bytes:
    written = list(items)
    return write_u(len(written)) + b"".join(written)


def _written(definition: M.Definition | M.ExportDecl) -> bytes:
    return _DEFINITIONS[definition.__class__](definition)


def _custom(section: M.CustomSection) -> bytes:
    return write_name(section.name) + section.contents


def _core_instantiate(instance: M.CoreInstantiate) -> bytes:
    args = (write_name(name) + b"\x12" + write_u(index) for name, index in instance.args)
    return b"\x00" + write_u(instance.module) + _vector(args)


def _core_exports(instance: M.CoreExports) -> bytes:
    exports = (write_name(name) + write_core_sort(sort) + write_u(index) for name, sort, index in instance.exports)
    return b"\x01" + _vector(exports)


def _instantiate(instance: M.Instantiate) -> bytes:
    args = (write_name(name) + write_sort(sort) + write_u(index) for name, sort, index in instance.args)
    return b"\x00" + write_u(instance.component) + _vector(args)


def _inline_exports(instance: M.InlineExports) -> bytes:
    exports = (write_extern_name(name) + write_sort(sort) + write_u(index) for name, sort, index in instance.exports)
    return b"\x01" + _vector(exports)


def _export_alias(alias: M.ExportAlias) -> bytes:
    return write_sort(alias.sort) + bytes([alias.core]) + write_u(alias.instance) + write_name(alias.name)


def _outer_alias(alias: M.OuterAlias) -> bytes:
    return write_sort(alias.sort) + b"\x02" + write_u(alias.count) + write_u(alias.index)


def _core_type(definition: M.CoreTypeDef) -> bytes:
    type_ = definition.type
    if isinstance(type_, M.ModuleTypeDef):
        return b"\x50" + _vector(map(_module_decl, type_.decls))
    written = write_rec_type(type_)
    return b"\x00" + written if written[0] == 0x50 else written  # the code of a module type


def _module_decl(decl: CoreImport | M.CoreTypeDef | M.OuterAlias | M.CoreExportDecl) -> bytes:
    if isinstance(decl, M.CoreTypeDef):
        return b"\x01" + _core_type(decl)
    if isinstance(decl, M.OuterAlias):
        return b"\x02\x10\x01" + write_u(decl.count) + write_u(decl.index)
    desc = bytes([EXTERN_KINDS.index(decl.kind)]) + _CORE_DESCS[decl.kind](decl.desc)
    if isinstance(decl, CoreImport):
        return b"\x00" + write_name(decl.module) + write_name(decl.name) + desc
    return b"\x03" + write_name(decl.name) + desc


def _type(definition: M.TypeDef) -> bytes:
    type_ = definition.type
    if isinstance(type_, FuncType):
        return write_func_type(type_)
    if isinstance(type_, M.ResourceDef):
        dtor = b"\x00" if type_.dtor is None else b"\x01" + write_u(type_.dtor)
        return bytes([RESOURCE]) + write_value_type(type_.rep) + dtor
    if isinstance(type_, M.ComponentTypeDef | M.InstanceTypeDef):
        code = COMPONENT if isinstance(type_, M.ComponentTypeDef) else INSTANCE
        return bytes([code]) + _vector(_DECLS[decl.__class__] + _written(decl) for decl in type_.decls)
    return write_defined_value_type(type_)


def _canon(canon: M.Canon) -> bytes:
    row = BY_NAME[canon.name]
    out = row.code + b"".join(map(_operand, row.operands, canon.operands))
    if row.has_options:
        out += _vector(bytes([OPTIONS.index(name)]) + _index(index) for name, index in canon.options)
    return out + _operand("type", canon.operands[-1]) if row is LIFT else out


def _index(index: int | None) -> bytes:
    return b"" if index is None else write_u(index)


def _operand(kind: str, operand: Any) -> bytes:
    if kind in ("async", "cancellable", "shared"):
        return bytes([operand])
    if kind == "core valtype":
        return write_value_type(operand)
    return write_result(operand) if kind == "result" else write_u(operand)


def _import(import_: M.Import) -> bytes:
    return write_extern_name(import_.name) + write_extern_desc(import_.desc)


def _export(export: M.Export) -> bytes:
    desc = b"\x00" if export.desc is None else b"\x01" + write_extern_desc(export.desc)
    return write_extern_name(export.name) + write_sort(export.sort) + write_u(export.index) + desc


def _export_decl(decl: M.ExportDecl) -> bytes:
    return write_extern_name(decl.name) + write_extern_desc(decl.desc)


_WHOLE: Final[dict[int, Callable[[Any], bytes]]] = {
    0: _custom,
    1: lambda module: module.model.data,
    4: lambda nested: encode_component(nested.model),
}
"""Sections that hold one thing, and no vector."""

_SECTIONS: Final[dict[type, int]] = {
    M.CustomSection: 0,
    M.CoreModule: 1,
    M.CoreInstantiate: 2,
    M.CoreExports: 2,
    M.CoreTypeDef: 3,
    M.NestedComponent: 4,
    M.Instantiate: 5,
    M.InlineExports: 5,
    M.ExportAlias: 6,
    M.OuterAlias: 6,
    M.TypeDef: 7,
    M.Canon: 8,
    M.Import: 10,
    M.Export: 11,
}

_DEFINITIONS: Final[dict[type, Callable[[Any], bytes]]] = {
    M.CoreInstantiate: _core_instantiate,
    M.CoreExports: _core_exports,
    M.CoreTypeDef: _core_type,
    M.Instantiate: _instantiate,
    M.InlineExports: _inline_exports,
    M.ExportAlias: _export_alias,
    M.OuterAlias: _outer_alias,
    M.TypeDef: _type,
    M.Canon: _canon,
    M.Import: _import,
    M.Export: _export,
    M.ExportDecl: _export_decl,
}

_DECLS: Final[dict[type, bytes]] = {
    M.CoreTypeDef: b"\x00",
    M.TypeDef: b"\x01",
    M.ExportAlias: b"\x02",
    M.OuterAlias: b"\x02",
    M.Import: b"\x03",
    M.ExportDecl: b"\x04",
}
"""The code of each declaration in the type of a component or instance."""

_CORE_DESCS: Final[dict[str, Callable[[Any], bytes]]] = {
    "func": write_u,
    "table": write_table_type,
    "memory": write_memory_type,
    "global": write_global_type,
    "tag": write_tag_type,
}
