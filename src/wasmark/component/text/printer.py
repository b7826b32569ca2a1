"""`ComponentModel` -> the text format: the inverse of `component.text.parser`, a piece at a time.

Each definition is printed as it is, without the shorter forms that a text may have, so indices stay what they are.
Names are printed as modules have them (`text.printer`): as identifiers and annotations where the text says exactly what
the section with the names does, otherwise as the custom section that it is.
"""

from __future__ import annotations

from wasmark.component import model as M  # noqa: N812 - a page of names, read like a table
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary.names import NAME_SECTION, write_names
from wasmark.component.canons import BY_NAME, LIFT, OPTION_SORTS
from wasmark.core.model import Import as CoreImport
from wasmark.text.literals import byte_strings, identifier, name_string
from wasmark.text.naming import Space
from wasmark.text.printer import external_text, print_module, sub_type_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any, Final

_STEP: Final = "  "


def print_component(model: M.ComponentModel) -> Iterator[str]:
    """The text of a decoded component in pieces, which are lines or more.

    Raises as `print_module` does where a body of a core module cannot be decoded.
    """
    name = model.names.component
    head = "(component" if name is None else f"(component {identifier(name)}" if name else '(component (@name "")'
    yield from _Printer(model, "").component(head)


class _Scope:
    """Names of the things in one component or type, and how many there are so far. In a type, nothing has a name."""

    def __init__(self, names: M.ComponentNames, sizes: dict[str, int]) -> None:
        self.spaces = {sort: Space(names.spaces.get(sort, {}), sizes.get(sort, 0)) for sort in M.INDEX_SPACES}
        self.counts = dict.fromkeys(M.INDEX_SPACES, 0)

    def declare(self, sort: str, count: int = 1) -> str:
        """What stands behind the keyword of a definition."""
        index = self.counts[sort]
        self.counts[sort] += count
        return self.spaces[sort].declare(index)

    def index(self, sort: str, index: int) -> str:
        """How something is referred to: by its name once it has been declared, and only so much may be said."""
        return self.spaces[sort].index(index) if index < self.counts[sort] else str(index)


def _sizes(model: M.ComponentModel) -> dict[str, int]:
    """How many things each index space of a component has."""
    sizes = dict.fromkeys(M.INDEX_SPACES, 0)
    for definition in model.definitions:
        sort = _MAKES.get(definition.__class__)
        if isinstance(definition, M.CoreTypeDef) and isinstance(definition.type, tuple):
            sizes["core type"] += len(definition.type)
        elif sort is not None:
            sizes[sort(definition)] += 1
    return sizes


_MAKES: Final[dict[type, Callable[[Any], str]]] = {
    M.CoreModule: lambda each: "core module",
    M.CoreInstantiate: lambda each: "core instance",
    M.CoreExports: lambda each: "core instance",
    M.CoreTypeDef: lambda each: "core type",
    M.NestedComponent: lambda each: "component",
    M.Instantiate: lambda each: "instance",
    M.InlineExports: lambda each: "instance",
    M.ExportAlias: lambda each: each.sort,
    M.OuterAlias: lambda each: each.sort,
    M.TypeDef: lambda each: "type",
    M.Canon: lambda each: "func" if each.name == LIFT.name else "core func",
    M.Import: lambda each: each.desc.kind,
    M.Export: lambda each: each.sort,
}
"""The sort of what each definition makes."""


class _Printer:
    """Prints one component, each line behind `pad`. `says_name` is whether its first line gives it its name."""

    def __init__(self, model: M.ComponentModel, pad: str, *, says_name: bool = True) -> None:
        self._model = model
        self._pad = pad
        self._name = model.names.component if says_name else None
        self._scope = _Scope(model.names, _sizes(model))

    def component(self, head: str) -> Iterator[str]:
        """The text, which starts with `head`."""
        yield f"{self._pad}{head}\n"
        inner = self._pad + _STEP
        for definition in self._model.definitions:
            if isinstance(definition, M.CoreModule):
                yield from self._core_module(definition, inner)
            elif isinstance(definition, M.NestedComponent):
                yield from self._nested(definition, inner)
            elif isinstance(definition, M.CustomSection):
                yield from self._custom(definition, inner)
            else:
                yield f"{inner}{self._definition(definition, inner)}\n"
        yield f"{self._pad})\n"

    # Modules and components

    def _core_module(self, definition: M.CoreModule, pad: str) -> Iterator[str]:
        model = definition.model
        declared, says_name = self._declare_named("core module", model.names.module)
        yield from _indented(print_module(model, f"(core module{declared}\n", says_name=says_name), pad)

    def _nested(self, definition: M.NestedComponent, pad: str) -> Iterator[str]:
        model = definition.model
        declared, says_name = self._declare_named("component", model.names.component)
        yield from _Printer(model, pad, says_name=says_name).component(f"(component{declared}")

    def _declare_named(self, sort: str, own: str | None) -> tuple[str, bool]:
        """The declaration of what has a name of its own beside the one that it has here, and whether it says that. An
        identifier alone says both; of two annotations, the second is the thing's own name."""
        index = self._scope.counts[sort]
        declared = self._scope.declare(sort)
        if not self._scope.spaces[sort].is_named(index):
            return declared, False
        if own and declared == f" {identifier(own)}":
            return declared, True
        if "(@name" not in declared:
            declared += f" (@name {name_string(self._model.names.spaces[sort][index])})"
        if own is None:
            return declared, False
        return f"{declared} (@name {name_string(own)})", True

    def _custom(self, definition: M.CustomSection, pad: str) -> Iterator[str]:
        contents = definition.contents
        if definition.name == NAME_SECTION and self._is_said(contents):
            if definition is self._model.definitions[-1]:
                return
            contents = b""
        strings = f"\n{pad}{_STEP}".join(byte_strings(contents))
        yield f"{pad}(@custom {name_string(definition.name)} {strings})\n"

    def _is_said(self, contents: bytes) -> bool:
        """Whether the text gives exactly the names of this, the only section of its kind."""
        sections = [each for each in self._model.definitions if isinstance(each, M.CustomSection)]
        if sum(each.name == NAME_SECTION for each in sections) > 1:
            return False
        spaces = self._scope.spaces
        names = {index: name for index, name in self._model.names.spaces.items() if name}
        said = {sort: {i: n for i, n in names[sort].items() if spaces[sort].is_named(i)} for sort in names}
        return bool(contents) and write_names(M.ComponentNames(self._name, said)) == contents

    # Definitions

    def _definition(self, definition: Any, pad: str) -> str:
        return _DEFINITIONS[definition.__class__](self, definition, pad)

    def core_instantiate(self, definition: M.CoreInstantiate, pad: str) -> str:
        args = "".join(
            f"\n{pad}{_STEP * 2}(with {name_string(name)} (instance {self._scope.index('core instance', index)}))"
            for name, index in definition.args
        )
        module = self._scope.index("core module", definition.module)
        return f"(core instance{self._scope.declare('core instance')} (instantiate {module}{args}))"

    def core_exports(self, definition: M.CoreExports, pad: str) -> str:
        exports = "".join(
            f"\n{pad}{_STEP}(export {name_string(name)} "
            f"({sort.removeprefix('core ')} {self._scope.index(sort, index)}))"
            for name, sort, index in definition.exports
        )
        return f"(core instance{self._scope.declare('core instance')}{exports})"

    def core_type(self, definition: M.CoreTypeDef, pad: str) -> str:
        type_ = definition.type
        if isinstance(type_, M.ModuleTypeDef):
            return f"(core type{self._scope.declare('core type')} (module{self._module_type(type_, pad + _STEP)}))"
        return self._core_group("core type", "core rec", type_, pad)

    def _core_group(self, keyword: str, group: str, types: Iterable[Any], pad: str) -> str:
        members = [f"{self._scope.declare('core type')} {sub_type_text(type_)}" for type_ in types]
        if len(members) == 1:
            return f"({keyword}{members[0]})"
        return f"({group}{''.join(f'{chr(10)}{pad}{_STEP}(type{member})' for member in members)})"

    def _module_type(self, type_: M.ModuleTypeDef, pad: str) -> str:
        outside, self._scope = self._scope, _Scope(M.ComponentNames(), {})
        text = "".join(f"\n{pad}{self._module_decl(decl, pad)}" for decl in type_.decls)
        self._scope = outside
        return text

    def _module_decl(self, decl: CoreImport | M.CoreTypeDef | M.OuterAlias | M.CoreExportDecl, pad: str) -> str:
        if isinstance(decl, M.CoreTypeDef):
            assert isinstance(decl.type, tuple)
            return self._core_group("type", "rec", decl.type, pad)
        if isinstance(decl, M.OuterAlias):
            return f"(alias outer {decl.count} {decl.index} (type{self._scope.declare('core type')}))"
        desc = f"({decl.kind}{external_text(decl.kind, decl.desc)})"
        if isinstance(decl, CoreImport):
            return f"(import {name_string(decl.module)} {name_string(decl.name)} {desc})"
        return f"(export {name_string(decl.name)} {desc})"

    def instantiate(self, definition: M.Instantiate, pad: str) -> str:
        args = "".join(
            f"\n{pad}{_STEP * 2}(with {name_string(name)} ({sort} {self._scope.index(sort, index)}))"
            for name, sort, index in definition.args
        )
        component = self._scope.index("component", definition.component)
        return f"(instance{self._scope.declare('instance')} (instantiate {component}{args}))"

    def inline_exports(self, definition: M.InlineExports, pad: str) -> str:
        exports = "".join(
            f"\n{pad}{_STEP}(export {_extern_name(name)} ({sort} {self._scope.index(sort, index)}))"
            for name, sort, index in definition.exports
        )
        return f"(instance{self._scope.declare('instance')}{exports})"

    def export_alias(self, definition: M.ExportAlias, pad: str) -> str:
        sort = "core instance" if definition.core else "instance"
        target = f"{'core ' if definition.core else ''}export {self._scope.index(sort, definition.instance)}"
        made = f"({definition.sort}{self._scope.declare(definition.sort)})"
        return f"(alias {target} {name_string(definition.name)} {made})"

    def outer_alias(self, definition: M.OuterAlias, pad: str) -> str:
        made = f"({definition.sort}{self._scope.declare(definition.sort)})"
        return f"(alias outer {definition.count} {definition.index} {made})"

    # Types

    def type(self, definition: M.TypeDef, pad: str) -> str:
        text = self._defined_type(definition.type, pad)
        return f"(type{self._scope.declare('type')} {text})"

    def _defined_type(self, type_: Any, pad: str) -> str:
        if isinstance(type_, T.FuncType):
            return f"(func{self._func_type(type_)})"
        if isinstance(type_, M.ResourceDef):
            dtor = "" if type_.dtor is None else f" (dtor (core func {self._scope.index('core func', type_.dtor)}))"
            return f"(resource (rep {type_.rep}){dtor})"
        if isinstance(type_, M.ComponentTypeDef | M.InstanceTypeDef):
            keyword = "component" if isinstance(type_, M.ComponentTypeDef) else "instance"
            outside, self._scope = self._scope, _Scope(M.ComponentNames(), {})
            inner = pad + _STEP
            decls = "".join(f"\n{inner}{self._definition(decl, inner)}" for decl in type_.decls)
            self._scope = outside
            return f"({keyword}{decls})"
        return self._value_type(type_)

    def _func_type(self, type_: T.FuncType) -> str:
        params = "".join(f" (param {name_string(label)} {self._reference(part)})" for label, part in type_.params)
        result = "" if type_.result is None else f" (result {self._reference(type_.result)})"
        return f"{' async' if type_.is_async else ''}{params}{result}"

    def _reference(self, type_: T.ValType) -> str:
        if isinstance(type_, M.TypeRef):
            return self._scope.index("type", type_.index)
        return self._value_type(type_)

    def _optional(self, type_: T.ValType | None) -> str:
        return "" if type_ is None else f" {self._reference(type_)}"

    def _value_type(self, type_: T.ValType) -> str:
        match type_:
            case T.Primitive(name=name):
                return name
            case M.Handle(is_own=is_own, index=index):
                return f"({'own' if is_own else 'borrow'} {self._scope.index('type', index)})"
            case T.Record(fields=fields):
                texts = [f" (field {name_string(label)} {self._reference(part)})" for label, part in fields]
                return f"(record{''.join(texts)})"
            case T.Variant(cases=cases):
                texts = [f" (case {name_string(label)}{self._optional(part)})" for label, part in cases]
                return f"(variant{''.join(texts)})"
            case T.Flags(labels=labels) | T.Enum(labels=labels):
                return f"({type_.__class__.__name__.lower()}{''.join(f' {name_string(label)}' for label in labels)})"
            case T.Result(ok=ok, error=error):
                return f"(result{self._optional(ok)}{'' if error is None else f' (error{self._optional(error)})'})"
            case T.FixedList(element=element, length=length):
                return f"(list {self._reference(element)} {length})"
        parts = "".join(f" {self._reference(part)}" for part in type_.children())
        return f"({_KEYWORDS[type_.__class__]}{parts})"

    # Canonical definitions, imports and exports

    def canon(self, definition: M.Canon, pad: str) -> str:
        row = BY_NAME[definition.name]
        operands = "".join(map(self._operand, row.operands, definition.operands))
        options = "".join(map(self._option, definition.options))
        if row is LIFT:
            type_ = self._scope.index("type", definition.operands[-1])  # type: ignore[arg-type]
            made = f"(func{self._scope.declare('func')} (type {type_}))"
        else:
            made = f"(core func{self._scope.declare('core func')})"
        return f"(canon {row.name}{operands}{options} {made})"

    def _operand(self, kind: str, operand: Any) -> str:
        if kind in ("async", "cancellable", "shared"):
            return f" {kind}" if operand else ""
        if kind == "result":
            return "" if operand is None else f" (result {self._reference(operand)})"
        if kind in ("core valtype", "u32"):
            return f" {operand}"
        if kind == "memory":
            return f" (memory {self._scope.index('core memory', operand)})"
        index = self._scope.index(kind, operand)
        return f" {index}" if kind == "type" else f" ({kind} {index})"

    def _option(self, option: tuple[str, int | None]) -> str:
        name, index = option
        return f" {name}" if index is None else f" ({name} {self._scope.index(OPTION_SORTS[name], index)})"

    def _desc(self, desc: M.ExternDesc) -> str:
        if desc.index is None:
            return " (sub resource)"
        keyword = "eq" if desc.kind == "type" else "type"
        sort = "core type" if desc.kind == "core module" else "type"
        return f" ({keyword} {self._scope.index(sort, desc.index)})"

    def described(self, definition: M.Import | M.ExportDecl, pad: str) -> str:
        keyword = "import" if isinstance(definition, M.Import) else "export"
        desc = self._desc(definition.desc)
        kind = definition.desc.kind
        return f"({keyword} {_extern_name(definition.name)} ({kind}{self._scope.declare(kind)}{desc}))"

    def export(self, definition: M.Export, pad: str) -> str:
        sort = definition.sort
        what = f"({sort} {self._scope.index(sort, definition.index)})"
        if definition.desc is not None:
            what += f" ({sort}{self._desc(definition.desc)})"
        return f"(export{self._scope.declare(sort)} {_extern_name(definition.name)} {what})"


def _extern_name(name: M.ExternName) -> str:
    return "".join([name_string(name.name), *(f" ({kind} {name_string(value)})" for kind, value in name.attributes)])


def _indented(pieces: Iterable[str], pad: str) -> Iterator[str]:
    """Lines behind `pad`; no string of a text goes over a line's end."""
    starts = True
    for piece in pieces:
        text = pad + piece if starts else piece
        starts = text.endswith("\n")
        yield text[:-1].replace("\n", "\n" + pad) + text[-1:]


_KEYWORDS: Final[dict[type[T.ValType], str]] = {
    T.List: "list",
    T.Map: "map",
    T.Tuple: "tuple",
    T.Option: "option",
    T.Stream: "stream",
    T.Future: "future",
}
"""Types that are printed as their parts."""

_DEFINITIONS: Final[dict[type, Callable[[_Printer, Any, str], str]]] = {
    M.CoreInstantiate: _Printer.core_instantiate,
    M.CoreExports: _Printer.core_exports,
    M.CoreTypeDef: _Printer.core_type,
    M.Instantiate: _Printer.instantiate,
    M.InlineExports: _Printer.inline_exports,
    M.ExportAlias: _Printer.export_alias,
    M.OuterAlias: _Printer.outer_alias,
    M.TypeDef: _Printer.type,
    M.Canon: _Printer.canon,
    M.Import: _Printer.described,
    M.ExportDecl: _Printer.described,
    M.Export: _Printer.export,
}
