"""Types of components as people write them (WIT.md): for messages, `help`, and what is shown at a prompt."""

from __future__ import annotations

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


_LONGEST: Final = 400


def written(type_: T.ValType | None) -> str:
    """A value type: `list<u8>`, `result<_, string>`; None is `_`. Records and their like are written out, resources
    have their names."""
    if type_ is None:
        return "_"
    write = _WRITERS.get(type(type_))
    return str(type_) if write is None else write(type_)


def written_function(type_: T.FuncType) -> str:
    """The type of a function: `func(a: u32) -> string`; of a very long one the beginning."""
    params = ", ".join(f"{label}: {written(part)}" for label, part in type_.params)
    result = "" if type_.result is None else f" -> {written(type_.result)}"
    return _short(f"{'async ' if type_.is_async else ''}func({params}){result}")


def sort_of(extern: T.ExternType) -> str:
    """The sort of what is imported or exported."""
    return _SORTS[extern.__class__]


def written_extern(extern: T.ExternType) -> str:
    """What is imported or exported: a function or a type in full, of anything else what it is."""
    if isinstance(extern, T.FuncType):
        return written_function(extern)
    if isinstance(extern, T.TypeExtern) and isinstance(extern.type, T.ValType):
        return _short(written(extern.type))
    if isinstance(extern, T.TypeExtern) and isinstance(extern.type, T.ResourceType):
        return "resource"
    if isinstance(extern, T.InstanceType):
        return _short(f"interface {{{', '.join(extern.exports)}}}")
    return sort_of(extern)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _parts(*parts: T.ValType | None) -> str:
    return ", ".join(map(written, parts))


def _result(type_: T.Result) -> str:
    if type_.error is not None:
        return f"result<{_parts(type_.ok, type_.error)}>"
    return "result" if type_.ok is None else f"result<{written(type_.ok)}>"


def _element(word: str) -> Callable[[T.ChannelType], str]:
    return lambda type_: word if type_.element is None else f"{word}<{written(type_.element)}>"


def _case(label: str, payload: T.ValType | None) -> str:
    return label if payload is None else f"{label}({written(payload)})"


_SORTS: Final[dict[type, str]] = {
    T.CoreModuleType: "core module",
    T.FuncType: "func",
    T.InstanceType: "instance",
    T.ComponentType: "component",
    T.TypeExtern: "type",
}
_WRITERS: Final[dict[type, Callable[[Any], str]]] = {
    T.List: lambda type_: f"list<{written(type_.element)}>",
    T.FixedList: lambda type_: f"list<{written(type_.element)}, {type_.length}>",
    T.Map: lambda type_: f"map<{_parts(type_.key, type_.value)}>",
    T.Tuple: lambda type_: f"tuple<{_parts(*type_.types)}>",
    T.Record: lambda type_: f"record {{{', '.join(f'{label}: {written(part)}' for label, part in type_.fields)}}}",
    T.Variant: lambda type_: f"variant {{{', '.join(_case(*case) for case in type_.cases)}}}",
    T.Enum: lambda type_: f"enum {{{', '.join(type_.labels)}}}",
    T.Flags: lambda type_: f"flags {{{', '.join(type_.labels)}}}",
    T.Option: lambda type_: f"option<{written(type_.some)}>",
    T.Result: _result,
    T.Own: lambda type_: type_.resource.name or "resource",
    T.Borrow: lambda type_: f"borrow<{type_.resource.name or 'resource'}>",
    T.Stream: _element("stream"),
    T.Future: _element("future"),
}
