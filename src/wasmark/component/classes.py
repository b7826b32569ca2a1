"""`Namer`: the Python classes for the types of a component, made when somebody needs them, once each.

What a type is called is what a component imports or exports it as. A type without a name is called by what it is.
"""

from __future__ import annotations

import enum

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.naming import pascal, pascals, snake, upper
from wasmark.component.values import Case, Err, Ok
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final


class Variant:
    """The root of the classes of one variant."""

    __slots__ = ()


class Namer:
    """The classes of one component's types. `name` tells what a type is called before its class is made."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._one: dict[int, T.ValType] = {}
        self._first: dict[tuple[str, T.ValType], T.ValType] = {}
        self._alike: dict[T.ValType, T.ValType] = {}
        self._classes: dict[int, Any] = {}
        self._cases: dict[int, tuple[type, ...]] = {}
        self._kept: list[T.ValType] = []  # so that the ids stay theirs

    def name(self, type_: T.ValType, label: str, module: str) -> None:
        """Say that a type is called by a label, in an interface; the first name counts. Where several interfaces have
        an equal type of the same name, one uses that of the other: they have one class."""
        first = self._first.setdefault((label, type_), type_)
        self._alike.setdefault(type_, first)
        if id(type_) not in self._one:
            self._one[id(type_)] = first
            self._kept.append(type_)
        if first is type_ and id(type_) not in self._names:
            self._names[id(type_)] = f"{module}.{pascal(label)}" if module else pascal(label)

    def the_one(self, type_: T.ValType) -> T.ValType:
        """The type whose class stands for this one."""
        return self._one.get(id(type_)) or self._alike.get(type_, type_)

    def class_of(self, type_: T.ValType) -> Any:
        """The class of a record, enum, flags or variant."""
        type_ = self.the_one(type_)
        found = self._classes.get(id(type_))
        if found is None:
            made = _MAKERS[type(type_)](self, type_)
            found = self._classes.setdefault(id(type_), made)
            self._kept.append(type_)
        return found

    def cases_of(self, type_: T.ValType) -> tuple[type, ...]:
        """The classes of the cases of a variant or result."""
        if isinstance(type_, T.Result):
            return Ok, Err
        assert isinstance(type_, T.Variant)
        class_ = self.class_of(type_)
        return tuple(getattr(class_, name) for name in pascals(label for label, _ in type_.cases))

    def _place(self, type_: T.ValType, otherwise: str) -> tuple[str, str]:
        """(name, module) of a class."""
        module, _, name = self._names.get(id(self.the_one(type_)), otherwise).rpartition(".")
        return name, module or "wasmark.component"

    def _record(self, type_: T.Record) -> Any:
        name, module = self._place(type_, "Record")
        fields = [(snake(label), self.annotation(part)) for label, part in type_.fields]
        # Not before: it loads `inspect`, and that half of the standard library.
        dataclasses = late_import("dataclasses")
        # Told to have no default, for `mro` is an attribute of every class.
        plain = [(field, each, dataclasses.field()) for field, each in fields]
        made: Any = dataclasses.make_dataclass(name, plain, slots=True)
        made.__module__ = module
        made.__doc__ = f"record {name}: {', '.join(f'{field}: {each}' for field, each in fields)}"
        made._names_by_label = {label: snake(label) for label, _ in type_.fields}
        return made

    def _enum(self, type_: T.Enum) -> Any:
        name, module = self._place(type_, "Enum")
        plain: Any = enum.Enum
        made = plain(name, [(upper(label), label) for label in type_.labels], module=module)
        made.__doc__ = f"enum {name}"
        return made

    def _flags(self, type_: T.Flags) -> Any:
        name, module = self._place(type_, "Flags")
        members = [(upper(label), 1 << bit) for bit, label in enumerate(type_.labels)]
        flag: Any = enum.Flag
        made = flag(name, members, module=module)
        made.__doc__ = f"flags {name}"
        made._names_by_label = {label: upper(label) for label in type_.labels}
        return made

    def _variant(self, type_: T.Variant) -> Any:
        name, module = self._place(type_, "Variant")
        root: Any = type(name, (Variant,), {"__slots__": (), "__module__": module, "__doc__": f"variant {name}"})
        names = pascals(label for label, _ in type_.cases)
        for case, (label, payload) in zip(names, type_.cases, strict=True):
            space: dict[str, Any] = {
                "__slots__": (),
                "__module__": module,
                "__qualname__": f"{name}.{case}",
                "__doc__": f"{name}, case {label}" + (f": {self.annotation(payload)}" if payload is not None else ""),
                "label": label,
            }
            if payload is None:
                space["__match_args__"] = ()
            setattr(root, case, type(case, (Case, root), space))
        return root

    # --- what signatures say -------------------------------------------------------------------------

    def annotation(self, type_: T.ValType | None) -> str:
        """The type of its Python values, as a type checker would write it."""
        if type_ is None:
            return "None"
        plain = _PLAIN.get(type(type_))
        if plain is not None:
            return plain
        write = _ANNOTATIONS.get(type(type_))
        if write is not None:
            return write(self, type_)
        return self._place(type_, type(type_).__name__)[0]


_PLAIN: Final[dict[type[T.ValType], str]] = {
    T.Bool: "bool",
    **dict.fromkeys((T.S8, T.U8, T.S16, T.U16, T.S32, T.U32, T.S64, T.U64), "int"),
    T.F32: "float",
    T.F64: "float",
    T.Char: "str",
    T.String: "str",
    T.ErrorContext: "ErrorContext",
}


def _option(namer: Namer, type_: T.Option) -> str:
    inner = namer.annotation(type_.some)
    return f"Some[{inner}] | None" if isinstance(type_.some, T.Option) else f"{inner} | None"


def _list(namer: Namer, type_: T.List) -> str:
    return "bytes" if isinstance(type_.element, T.U8) else f"list[{namer.annotation(type_.element)}]"


def _handle(namer: Namer, type_: T.HandleType) -> str:
    return pascal(type_.resource.name or "resource")


_ANNOTATIONS: Final[dict[type, Callable[[Namer, Any], str]]] = {
    T.List: _list,
    T.FixedList: _list,
    T.Map: lambda namer, type_: f"dict[{namer.annotation(type_.key)}, {namer.annotation(type_.value)}]",
    T.Tuple: lambda namer, type_: f"tuple[{', '.join(map(namer.annotation, type_.types))}]",
    T.Option: _option,
    T.Result: lambda namer, type_: f"Ok[{namer.annotation(type_.ok)}] | Err[{namer.annotation(type_.error)}]",
    T.Own: _handle,
    T.Borrow: _handle,
    T.Stream: lambda namer, type_: f"StreamReader[{namer.annotation(type_.element)}]",
    T.Future: lambda namer, type_: f"FutureReader[{namer.annotation(type_.element)}]",
}
_MAKERS: Final[dict[type, Callable[[Namer, Any], Any]]] = {
    T.Record: Namer._record,
    T.Enum: Namer._enum,
    T.Flags: Namer._flags,
    T.Variant: Namer._variant,
}
