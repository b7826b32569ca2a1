"""Runs a generated component under Wasmark and under wasmtime-py, and says where they differ.

Of each call it compares what comes out, a value or a trap and which one, and what the host was called with. Values are
compared as neutral ones, by their text: NaNs are one as good as another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

import wasmtime
import wasmtime.component as other
from wasmtime.component._types import VariantLikeType

import wasmark
from tests.differential.components import Call, Generated
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.naming import snake
from wasmark.component.traps import ComponentTrapCode as C
from wasmark.component.values import Err, Ok, Some
from wasmark.errors import TrapCode

Outcome = tuple[str, str]
"""("value", its text) or ("trap", which)."""

TRAPS: Final = (
    ("cannot enter component instance", C.CANNOT_ENTER),
    ("not aligned", C.UNALIGNED_POINTER),
    ("unaligned pointer", C.UNALIGNED_POINTER),
    ("invalid utf", C.INVALID_STRING),
    ("incomplete utf", C.INVALID_STRING),
    ("unpaired surrogate", C.INVALID_STRING),
    ("invalid `char` bit pattern", C.INVALID_CHAR),
    ("converted integer out of range for `char`", C.INVALID_CHAR),
    ("discriminant", C.INVALID_DISCRIMINANT),
    ("string pointer/length out of bounds", C.STRING_OUT_OF_BOUNDS),
    ("string content out-of-bounds", C.STRING_OUT_OF_BOUNDS),
    ("list pointer/length out of bounds", C.LIST_OUT_OF_BOUNDS),
    ("list content out-of-bounds", C.LIST_OUT_OF_BOUNDS),
    ("beyond end of memory", C.LIST_OUT_OF_BOUNDS),
    ("out of bounds", C.POINTER_OUT_OF_BOUNDS),
    ("unknown handle index", C.UNKNOWN_HANDLE),
    ("used with the wrong type", C.WRONG_HANDLE_TYPE),
    ("cannot remove owned resource while borrowed", C.HANDLE_LENT),
    ("cannot lift own resource from a borrow", C.NOT_OWNED),
    ("borrow handles still remain", C.BORROWS_REMAIN),
    ("unreachable", TrapCode.UNREACHABLE),
)
"""What the other engine says of a trap, and which one it is."""

_PLACES: Final = {
    each.name: "A PLACE"
    for each in (
        C.UNALIGNED_POINTER,
        C.POINTER_OUT_OF_BOUNDS,
        C.STRING_OUT_OF_BOUNDS,
        C.LIST_OUT_OF_BOUNDS,
        C.TOO_LONG,
    )
}
"""Where a value cannot be, often for several reasons: which of them comes first is not laid down."""


def text_of(value: Any) -> str:
    """A neutral value as text. Sets are in order."""
    match value:
        case frozenset():
            return f"{{{', '.join(sorted(value))}}}"
        case dict():
            return f"{{{', '.join(f'{key}: {text_of(each)}' for key, each in value.items())}}}"
        case tuple():
            return f"({', '.join(map(text_of, value))})"
        case list():
            return f"[{', '.join(map(text_of, value))}]"
    return repr(value)


class Engine(Protocol):
    """A running instance in one of the engines. `seen` is what the host was called with."""

    seen: list[str]

    def call(self, call: Call) -> Outcome: ...


# --- Wasmark ------------------------------------------------------------------------------------------------


def to_ours(type_: T.ValType | None, value: Any) -> Any:
    """A neutral value as Wasmark takes it."""
    match type_:
        case None:
            return None
        case T.List(element=T.U8()):
            return bytes(value)
        case T.List():
            return [to_ours(type_.element, each) for each in value]
        case T.Record():
            return {label: to_ours(part, value[label]) for label, part in type_.fields}
        case T.Tuple():
            return tuple(to_ours(part, each) for part, each in zip(type_.types, value, strict=True))
        case T.Option():
            if value[0] == "none":
                return None
            some = to_ours(type_.some, value[1])
            return Some(some) if isinstance(type_.some, T.Option) else some
        case T.Result():
            return Ok(to_ours(type_.ok, value[1])) if value[0] == "ok" else Err(to_ours(type_.error, value[1]))
        case T.Variant():
            part = dict(type_.cases)[value[0]]
            return value[0] if part is None else (value[0], to_ours(part, value[1]))
        case T.Flags():
            return sorted(value)
    return value


def from_ours(type_: T.ValType | None, value: Any) -> Any:
    """The neutral value of what Wasmark gives."""
    match type_:
        case None:
            return None
        case T.List():
            return [from_ours(type_.element, each) for each in value]
        case T.Record():
            return {label: from_ours(part, getattr(value, snake(label))) for label, part in type_.fields}
        case T.Tuple():
            return tuple(from_ours(part, each) for part, each in zip(type_.types, value, strict=True))
        case T.Option():
            if value is None:
                return "none", None
            return "some", from_ours(type_.some, value.value if isinstance(type_.some, T.Option) else value)
        case T.Result():
            return value.label, from_ours(type_.ok if isinstance(value, Ok) else type_.error, value.value)
        case T.Variant():
            return value.label, from_ours(dict(type_.cases)[value.label], value.value)
        case T.Enum():
            return value.value
        case T.Flags():
            return frozenset(label for number, label in enumerate(type_.labels) if value.value >> number & 1)
    return value


class Ours:
    """Wasmark."""

    def __init__(self, generated: Generated, binary: bytes, engine: wasmark.Engine) -> None:
        self.seen: list[str] = []
        self.generated = generated
        self.answer: Any = None
        component = wasmark.Component(binary, engine)
        imports = {"host": self._host} if generated.host_params is not None else {}
        self.instance = wasmark.ComponentInstance(component, imports, wasmark.Store(engine))
        self.function = self.instance.exports.f

    def _host(self, *args: Any) -> Any:
        assert self.generated.host_params is not None
        self.seen.append(text_of(tuple(map(from_ours, self.generated.host_params, args))))
        return to_ours(self.generated.host_result, self.answer)

    def call(self, call: Call) -> Outcome:
        self.answer = call.answer
        type_ = self.generated.result
        try:
            value = self.function(*map(to_ours, self.generated.params, call.arguments))
        except wasmark.Trap as trap:
            return "trap", trap.code.name
        except wasmark.ResultError as error:
            assert isinstance(type_, T.Result)
            return "value", text_of(("error", from_ours(type_.error, error.payload)))
        if isinstance(type_, T.Result):
            return "value", text_of(("ok", from_ours(type_.ok, value)))
        return "value", text_of(from_ours(type_, value))


# --- wasmtime -----------------------------------------------------------------------------------------------


def with_tags() -> None:
    """Have wasmtime-py name the case of each variant: it cannot tell a `u8` from a `bool` otherwise."""
    VariantLikeType._tagged = lambda self: True  # type: ignore[method-assign]


def to_theirs(type_: T.ValType | None, value: Any) -> Any:
    """A neutral value as wasmtime-py takes it."""
    match type_:
        case None:
            return None
        case T.List(element=T.U8()):
            return bytes(value)
        case T.List():
            return [to_theirs(type_.element, each) for each in value]
        case T.Record():
            record = other.Record()
            for label, part in type_.fields:
                setattr(record, label, to_theirs(part, value[label]))
            return record
        case T.Tuple():
            return tuple(to_theirs(part, each) for part, each in zip(type_.types, value, strict=True))
        case T.Option():
            return other.Variant(value[0], to_theirs(type_.some, value[1]) if value[0] == "some" else None)
        case T.Result():
            if value[0] == "ok":
                return other.Variant("ok", to_theirs(type_.ok, value[1]))
            return other.Variant("err", to_theirs(type_.error, value[1]))
        case T.Variant():
            return other.Variant(value[0], to_theirs(dict(type_.cases)[value[0]], value[1]))
        case T.Flags():
            return set(value)
    return value


def from_theirs(type_: T.ValType | None, value: Any) -> Any:
    """The neutral value of what wasmtime-py gives."""
    match type_:
        case None:
            return None
        case T.List():
            return [from_theirs(type_.element, each) for each in value]
        case T.Record():
            return {label: from_theirs(part, getattr(value, label)) for label, part in type_.fields}
        case T.Tuple():
            return tuple(from_theirs(part, each) for part, each in zip(type_.types, value, strict=True))
        case T.Option():
            return value.tag, from_theirs(type_.some, value.payload) if value.tag == "some" else None
        case T.Result():
            if value.tag == "ok":
                return "ok", from_theirs(type_.ok, value.payload)
            return "error", from_theirs(type_.error, value.payload)
        case T.Variant():
            return value.tag, from_theirs(dict(type_.cases)[value.tag], value.payload)
        case T.Flags():
            return frozenset(value)
    return value


class Theirs:
    """wasmtime-py."""

    def __init__(self, generated: Generated, binary: bytes, engine: wasmtime.Engine) -> None:
        self.seen: list[str] = []
        self.generated = generated
        self.answer: Any = None
        self.store = wasmtime.Store(engine)
        linker = other.Linker(engine)
        if generated.host_params is not None:
            with linker.root() as root:
                root.add_func("host", self._host)
        instance = linker.instantiate(self.store, other.Component(engine, binary))
        function = instance.get_func(self.store, "f")
        assert function is not None
        self.function = function

    def _host(self, _: Any, *args: Any) -> Any:
        assert self.generated.host_params is not None
        self.seen.append(text_of(tuple(map(from_theirs, self.generated.host_params, args))))
        return to_theirs(self.generated.host_result, self.answer)

    def call(self, call: Call) -> Outcome:
        self.answer = call.answer
        try:
            value = self.function(self.store, *map(to_theirs, self.generated.params, call.arguments))
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            return "trap", trap_of(str(error))
        return "value", text_of(from_theirs(self.generated.result, value))


def trap_of(message: str) -> str:
    """Which of our traps this is."""
    for part, code in TRAPS:
        if part in message:
            return _PLACES.get(code.name, code.name)
    return message


# --- both ---------------------------------------------------------------------------------------------------


def difference(
    generated: Generated, ours: wasmark.Engine, theirs: wasmtime.Engine, count: Callable[[str], object]
) -> str | None:
    """What the engines disagree about, or in what both are wrong; None where all is well."""
    binary = generated.binary()
    engines: tuple[Engine, Engine] = Ours(generated, binary, ours), Theirs(generated, binary, theirs)
    has_trapped = False
    for number, call in enumerate(generated.calls):
        kind, what = engines[0].call(call)
        count(kind if kind == "value" else what)
        outcomes = [(kind, _PLACES.get(what, what)), engines[1].call(call)]
        places = f"seed {generated.seed}, call {number}"
        if outcomes[0] != outcomes[1]:
            return f"{places}: {outcomes[0]} here, {outcomes[1]} there"
        if engines[0].seen != engines[1].seen:
            return f"{places}: the host saw {engines[0].seen} here, {engines[1].seen} there"
        if call.expected is not None and outcomes[0] != ("value", text_of(call.expected[1])):
            return f"{places}: {outcomes[0]}, not {text_of(call.expected[1])}"
        if has_trapped and what != C.CANNOT_ENTER.name:
            return f"{places}: an instance that has trapped can be entered"
        has_trapped = kind == "trap"
    return None
