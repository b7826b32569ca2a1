"""Writes what a component imports and exports as Python types, for type checkers and people: a stub file (`.pyi`).

The classes are those that `ComponentInstance` makes when it runs. Each interface is a class with its types and
functions in it; `Exports` is the type of `instance.exports`, `Imports` that of what the component wants.
"""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.naming import module_name, parse_interface, parse_name, pascal, pascals, snake, upper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from typing import Any, Final

    from wasmark.component.component import Component

_HEAD: Final = """from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, Flag
from typing import Any, Protocol, TypeAlias, TypedDict

from wasmark.component import Err, ErrorContext, FutureReader, Ok, ResourceObject, Some, StreamReader
from wasmark.component.values import Case
"""


def stub(component: Component, title: str) -> str:
    """The text of the stub file; `title` says what it is of."""
    return "\n".join(_Writer(component).lines(title)) + "\n"


class _Writer:
    """One stub file."""

    def __init__(self, component: Component) -> None:
        self._component = component
        self._classes: dict[tuple[str, str], str] = {}  # ("import" or "export", interface): its class
        self._types: dict[int, str] = {}  # by the id of a type: its name, from outside
        self._resources: dict[T.ResourceType, str] = {}
        self._taken: set[str] = {"Exports", "Imports"}

    def lines(self, title: str) -> Iterator[str]:
        """The lines of the file."""
        type_ = self._component.checked.type
        sides = (("import", type_.imports), ("export", type_.exports))
        for side, externs in sides:
            self._name_all(side, externs)
        yield f'"""The types of {title}, as `wasmark bindgen` writes them."""'
        yield ""
        yield from _HEAD.splitlines()
        for side, externs in sides:
            for name, extern in externs.items():
                if isinstance(extern, T.InstanceType):
                    yield ""
                    yield f"class {self._classes[side, name]}:"
                    yield f'    """{name}"""'
                    yield from _indented(self._interface(extern.exports))
            yield from self._types_of(externs, "")
        yield ""
        yield from self._imports(type_.imports)
        yield ""
        yield "class Exports(Protocol):"
        yield from _indented(self._whole(type_.exports))

    def _name_all(self, side: str, externs: Mapping[str, T.ExternType]) -> None:
        for name, extern in externs.items():
            if isinstance(extern, T.InstanceType):
                class_ = self._classes[side, name] = self._free(name)
                self._name_types(extern.exports, f"{class_}.")
        self._name_types(externs, "")

    def _free(self, name: str) -> str:
        """A class for an interface that nothing else has."""
        interface = parse_interface(name)
        wanted = pascal(interface.interface if interface else name)
        if f"{wanted}Interface" in self._taken and interface is not None:
            wanted = "".join(map(pascal, interface.package.replace(":", "-").split("-"))) + wanted
        while f"{wanted}Interface" in self._taken:
            wanted += "_"
        self._taken.add(f"{wanted}Interface")
        return f"{wanted}Interface"

    def _name_types(self, externs: Mapping[str, T.ExternType], prefix: str) -> None:
        for label, extern in externs.items():
            if not isinstance(extern, T.TypeExtern):
                continue
            if isinstance(extern.type, T.ResourceType):
                self._resources.setdefault(extern.type, prefix + pascal(label))
            elif isinstance(extern.type, _CLASSES):
                the_one = self._component.namer.the_one(extern.type)
                self._types.setdefault(id(the_one), prefix + pascal(label))

    # --- types --------------------------------------------------------------------------------------

    def annotation(self, type_: T.ValType | None, *, given: bool = False) -> str:
        """The type of a value; `given` where a program gives it, which may be more than what it gets."""
        if type_ is None:
            return "None"
        plain = _PLAIN.get(type(type_))
        if plain is not None:
            return plain
        write = _ANNOTATIONS.get(type(type_))
        if write is not None:
            return write(self, type_, given)
        return self._types.get(id(self._component.namer.the_one(type_)), "Any")

    def resource(self, type_: T.ResourceType) -> str:
        """The class of a resource."""
        return self._resources.get(type_, "ResourceObject")

    def _types_of(self, externs: Mapping[str, T.ExternType], prefix: str) -> Iterator[str]:
        for label, extern in externs.items():
            if not isinstance(extern, T.TypeExtern):
                continue
            type_, name = extern.type, pascal(label)
            if isinstance(type_, T.ResourceType):
                if self._resources[type_] == prefix + name:
                    yield from self._resource_class(name, label, externs)
                else:
                    yield f"{name}: TypeAlias = {self._resources[type_]}"
            elif isinstance(type_, _CLASSES):
                whole = self._types[id(self._component.namer.the_one(type_))]
                if whole == prefix + name:
                    yield from _WRITERS[type(type_)](self, name, type_, prefix)
                else:
                    yield f"{name}: TypeAlias = {whole}"
            elif isinstance(type_, T.ValType):
                yield f"{name}: TypeAlias = {self.annotation(type_)}"

    def record(self, name: str, type_: T.Record, prefix: str) -> Iterator[str]:
        """A dataclass."""
        yield "@dataclass"
        yield f"class {name}:"
        for label, part in type_.fields:
            yield f"    {snake(label)}: {self.annotation(part)}"

    def enum(self, name: str, type_: T.Enum, prefix: str) -> Iterator[str]:
        """An enum."""
        yield f"class {name}(Enum):"
        for label in type_.labels:
            yield f"    {upper(label)} = {label!r}"

    def flags(self, name: str, type_: T.Flags, prefix: str) -> Iterator[str]:
        """A flag."""
        yield f"class {name}(Flag):"
        for bit, label in enumerate(type_.labels):
            yield f"    {upper(label)} = {1 << bit}"

    def variant(self, name: str, type_: T.Variant, prefix: str) -> Iterator[str]:
        """A class with one for each case in it."""
        yield f"class {name}:"
        names = pascals(label for label, _ in type_.cases)
        for case, (_, payload) in zip(names, type_.cases, strict=True):
            yield f"    class {case}(Case, {prefix}{name}):"
            if payload is None:
                yield "        def __init__(self) -> None: ..."
            else:
                annotation = self.annotation(payload)
                yield f"        value: {annotation}"
                yield f"        def __init__(self, value: {self.annotation(payload, given=True)}) -> None: ..."

    def _resource_class(self, name: str, label: str, externs: Mapping[str, T.ExternType]) -> Iterator[str]:
        yield f"class {name}(ResourceObject):"
        yield f'    """resource {label}"""'
        for full, extern in externs.items():
            kind, of, function = parse_name(full)
            if of == label and isinstance(extern, T.FuncType):
                if kind == "constructor":
                    params = ", ".join(["self", *self._params(extern.params)])
                    yield f"    def __init__({params}) -> None: ..."
                elif kind == "static":
                    yield "    @staticmethod"
                    yield f"    def {snake(function)}({self._signature(extern.params, extern)}"
                else:
                    yield f"    def {snake(function)}({self._signature(extern.params[1:], extern, 'self')}"

    # --- functions ----------------------------------------------------------------------------------

    def _params(self, params: Any) -> list[str]:
        return [f"{snake(label)}: {self.annotation(part, given=True)}" for label, part in params]

    def _signature(self, params: Any, type_: T.FuncType, *first: str) -> str:
        """What comes behind the opening bracket."""
        result = type_.result
        head = f"{', '.join([*first, *self._params(params)])}) -> "
        if isinstance(result, T.Result):
            return f"{head}{self.annotation(result.ok)}: ...  # ResultError: {self.annotation(result.error)}"
        return f"{head}{self.annotation(result)}: ..."

    def _interface(self, externs: Mapping[str, T.ExternType]) -> Iterator[str]:
        """The types and the functions of an interface, without its name."""
        class_ = next(name for name in self._classes.values() if self._is_of(name, externs))
        yield from self._types_of(externs, f"{class_}.")
        for label, extern in externs.items():
            if isinstance(extern, T.FuncType) and not parse_name(label).kind:
                yield f"def {snake(label)}({self._signature(extern.params, extern, 'self')}"
        yield "..."

    def _is_of(self, class_: str, externs: Mapping[str, T.ExternType]) -> bool:
        type_ = self._component.checked.type
        for (side, name), each in self._classes.items():
            if each == class_:
                found = (type_.imports if side == "import" else type_.exports)[name]
                return isinstance(found, T.InstanceType) and found.exports is externs
        return False

    def _whole(self, externs: Mapping[str, T.ExternType]) -> Iterator[str]:
        """What a component itself exports."""
        for name, extern in externs.items():
            if isinstance(extern, T.InstanceType):
                yield f"{module_name(name)}: {self._classes['export', name]}"
            elif isinstance(extern, T.FuncType):
                yield f"def {snake(name)}({self._signature(extern.params, extern, 'self')}"
        yield "def __getitem__(self, name: str) -> Any: ..."

    def _imports(self, externs: Mapping[str, T.ExternType]) -> Iterator[str]:
        yield "Imports = TypedDict("
        yield '    "Imports",'
        yield "    {"
        for name, extern in externs.items():
            if isinstance(extern, T.InstanceType):
                yield f'        "{name}": {self._classes["import", name]} | dict[str, Any],'
            elif isinstance(extern, T.FuncType):
                yield f'        "{name}": Callable[..., Any],'
        yield "    },"
        yield ")"


def _indented(lines: Iterator[str]) -> Iterator[str]:
    return (f"    {line}" for line in lines)


def _list(writer: _Writer, type_: T.List | T.FixedList, given: bool) -> str:
    if isinstance(type_.element, T.U8):
        return "bytes | bytearray | memoryview" if given else "bytes"
    return f"{'Sequence' if given else 'list'}[{writer.annotation(type_.element, given=given)}]"


def _option(writer: _Writer, type_: T.Option, given: bool) -> str:
    inner = writer.annotation(type_.some, given=given)
    return f"Some[{inner}] | None" if isinstance(type_.some, T.Option) else f"{inner} | None"


def _tuple(writer: _Writer, type_: T.Tuple, given: bool) -> str:
    return f"tuple[{', '.join(writer.annotation(part, given=given) for part in type_.types)}]"


def _map(writer: _Writer, type_: T.Map, given: bool) -> str:
    return f"dict[{writer.annotation(type_.key)}, {writer.annotation(type_.value)}]"


def _result(writer: _Writer, type_: T.Result, given: bool) -> str:
    return f"Ok[{writer.annotation(type_.ok)}] | Err[{writer.annotation(type_.error)}]"


def _carrier(writer: _Writer, type_: T.ChannelType, given: bool) -> str:
    of = f"[{writer.annotation(type_.element, given=given)}]"
    if isinstance(type_, T.Stream):
        return f"StreamReader{of} | Iterable{of}" if given else f"StreamReader{of}"
    return f"FutureReader{of} | {of[1:-1]}" if given else f"FutureReader{of}"


def _handle(writer: _Writer, type_: T.HandleType, given: bool) -> str:
    return writer.resource(type_.resource)


_CLASSES: Final = (T.Record, T.Variant, T.Enum, T.Flags)
_WRITERS: Final[dict[type, Callable[[_Writer, str, Any, str], Iterator[str]]]] = {
    T.Record: _Writer.record,
    T.Variant: _Writer.variant,
    T.Enum: _Writer.enum,
    T.Flags: _Writer.flags,
}
_PLAIN: Final[dict[type[T.ValType], str]] = {
    T.Bool: "bool",
    **dict.fromkeys((T.S8, T.U8, T.S16, T.U16, T.S32, T.U32, T.S64, T.U64), "int"),
    T.F32: "float",
    T.F64: "float",
    T.Char: "str",
    T.String: "str",
    T.ErrorContext: "ErrorContext",
}
_ANNOTATIONS: Final[dict[type, Callable[[_Writer, Any, bool], str]]] = {
    T.List: _list,
    T.FixedList: _list,
    T.Map: _map,
    T.Tuple: _tuple,
    T.Option: _option,
    T.Result: _result,
    T.Own: _handle,
    T.Borrow: _handle,
    T.Stream: _carrier,
    T.Future: _carrier,
}
