"""A guest with a real memory, types and values of every kind, and neutral values as Python has them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

import wasmark
from tests.component.abi import model
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.abi.functions import Options, guest_calls_host, host_calls_guest
from wasmark.component.abi.guest import Guest
from wasmark.component.abi.handles import InstanceState
from wasmark.component.abi.layout import core_signature
from wasmark.component.classes import Namer
from wasmark.component.naming import pascal, upper
from wasmark.component.values import Err, Ok, Some

GUEST = """(module (memory (export "memory") 1) (global $next (mut i32) (i32.const 64))
  (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                            (i32.sub (i32.const 0) (local.get $align))))
    (global.set $next (i32.add (local.get $at) (local.get $new)))
    (block (loop
      (br_if 1 (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
      (drop (memory.grow (i32.const 1)))
      (br 0)))
    (memory.copy (local.get $at) (local.get $old)
      (select (local.get $size) (local.get $new) (i32.lt_u (local.get $size) (local.get $new))))
    (local.get $at)))"""

P = {type_.name: type_ for type_ in T.PRIMITIVES}


@functools.cache
def guest_module() -> wasmark.Module:
    return wasmark.Module(GUEST)


class World:
    """One guest. `core` is called in the place of its core function."""

    def __init__(self, encoding: str = "utf8", store: wasmark.Store | None = None) -> None:
        module = guest_module()
        self.instance = wasmark.Instance(module, {}, store)
        self.memory = self.instance.exports.memory
        self.realloc = self.instance.exports.realloc
        self.state = InstanceState(self.instance.store)
        self.options = Options(encoding=encoding)
        self.namer = Namer()

    def guest(self) -> Guest:
        return Guest(self.state, self.memory, self.realloc, self.options.encoding)

    def model(self) -> model.Memory:
        """The memory as it is now; to be asked for again where it may have grown."""
        return model.Memory(
            memoryview(self.memory),
            lambda align, size: self.realloc(0, 0, align, size),
            self.options.encoding,
        )

    def allocate(self, align: int, size: int) -> int:
        return int(self.realloc(0, 0, align, size))

    def function(self, type_: T.FuncType, core: Callable[..., Any], name: str = "f") -> Any:
        """A function of the guest for Python, whose core function is `core`."""
        maker = host_calls_guest(type_, self.options, self.namer, name)
        return maker.make(self.guest(), core, None, self.state.chain)

    def import_(self, type_: T.FuncType, host: Callable[..., Any], name: str = "f") -> Any:
        """The core function that the guest gets for a Python function."""
        return guest_calls_host(type_, self.options, self.namer, name).make(self.guest(), host)

    def call_result(self, type_: T.ValType, value: Any) -> Any:
        """What Python gets of a guest's function that returns a neutral value."""

        def core() -> Any:
            if len(model.flat(type_)) <= 1:
                return self.model().lower(type_, value)[0]
            size, align = model.size_align(type_)
            at = self.allocate(align, size)
            self.store(type_, value, at)
            return at

        return self.function(T.FuncType((), type_), core)()

    def store(self, type_: T.ValType, value: Any, at: int) -> None:
        """Put a neutral value into the memory, which may grow meanwhile."""
        while True:
            size = len(self.memory)
            self.model().store(type_, value, at)
            if len(self.memory) == size:
                return

    def lift_params(self, types: list[T.ValType], core: tuple[Any, ...]) -> list[Any]:
        """The neutral values of core parameters."""
        memory = self.model()
        if len([each for type_ in types for each in model.flat(type_)]) > 16:
            (at,) = core
            return list(memory.load(T.Tuple(tuple(types)), at & 0xFFFFFFFF))
        rest = list(core)
        found = [memory.lift(type_, rest) for type_ in types]
        assert rest == []
        return found


def signature(type_: T.FuncType, *, lowered: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return core_signature(type_, Options().layout, lowered=lowered)


def python(namer: Namer, t: T.ValType, v: Any) -> Any:
    """A neutral value as Python programs have it."""

    def inner(t: T.ValType | None, v: Any) -> Any:
        return None if t is None else python(namer, t, v)

    match t:
        case T.Record():
            return namer.class_of(t)(*[inner(part, each) for (_, part), each in zip(t.fields, v.values(), strict=True)])
        case T.Tuple():
            return tuple(inner(part, each) for part, each in zip(t.types, v, strict=True))
        case T.List(element=T.U8()) | T.FixedList(element=T.U8()):
            return bytes(v)
        case T.List() | T.FixedList():
            return [inner(t.element, each) for each in v]
        case T.Map():
            return {inner(t.key, key): inner(t.value, each) for key, each in v.items()}
        case T.Option():
            if v[0] == "none":
                return None
            some = inner(t.some, v[1])
            return Some(some) if isinstance(t.some, T.Option) else some
        case T.Result():
            return Ok(inner(t.ok, v[1])) if v[0] == "ok" else Err(inner(t.error, v[1]))
        case T.Variant():
            return getattr(namer.class_of(t), pascal(v[0]))(inner(dict(t.cases)[v[0]], v[1]))
        case T.Enum():
            return namer.class_of(t)[upper(v)]
        case T.Flags():
            found = namer.class_of(t)(0)
            for label in v:
                found |= namer.class_of(t)[upper(label)]
            return found
    return v


# --- strategies ---------------------------------------------------------------------------------------

_INTEGERS = {T.U8: (0, 8), T.S8: (1, 8), T.U16: (0, 16), T.S16: (1, 16)}
_INTEGERS |= {T.U32: (0, 32), T.S32: (1, 32), T.U64: (0, 64), T.S64: (1, 64)}
_CHARS = st.characters(exclude_categories=["Cs"])


def _labels(count: int) -> list[str]:
    return [f"{'abcdefghijklmnopqrstuvwxyz'[i % 26]}-{i}x" for i in range(count)]


def _composite(inner: st.SearchStrategy[T.ValType]) -> st.SearchStrategy[T.ValType]:
    maybe = st.none() | inner
    return st.one_of(
        inner.map(T.List),
        st.tuples(inner, st.integers(1, 3)).map(lambda pair: T.FixedList(*pair)),
        st.lists(inner, min_size=1, max_size=5).map(
            lambda types: T.Record(tuple(zip(_labels(len(types)), types, strict=True)))
        ),
        st.lists(inner, min_size=1, max_size=4).map(lambda types: T.Tuple(tuple(types))),
        st.lists(maybe, min_size=1, max_size=4).map(
            lambda types: T.Variant(tuple(zip(_labels(len(types)), types, strict=True)))
        ),
        inner.map(T.Option),
        st.tuples(maybe, maybe).map(lambda pair: T.Result(*pair)),
        st.tuples(st.sampled_from([P["string"], P["u32"], P["char"], P["bool"]]), inner).map(lambda p: T.Map(*p)),
    )


_SIMPLE = st.one_of(
    st.sampled_from([type_ for name, type_ in P.items() if name != "error-context"]),
    st.sampled_from([1, 2, 8, 9, 16, 17, 32]).map(lambda count: T.Flags(tuple(_labels(count)))),
    st.sampled_from([1, 2, 255, 256, 257, 300]).map(lambda count: T.Enum(tuple(_labels(count)))),
)
TYPES: st.SearchStrategy[T.ValType] = st.recursive(_SIMPLE, _composite, max_leaves=7)


def values(t: T.ValType) -> st.SearchStrategy[Any]:
    """Neutral values of a type."""

    def inner(t: T.ValType | None) -> st.SearchStrategy[Any]:
        return st.none() if t is None else values(t)

    if type(t) in _INTEGERS:
        signed, bits = _INTEGERS[type(t)]
        return st.integers(-(1 << bits - 1) if signed else 0, (1 << bits - signed) - 1)
    match t:
        case T.Bool():
            return st.booleans()
        case T.F32():
            return st.floats(width=32, allow_nan=False)
        case T.F64():
            return st.floats(allow_nan=False)
        case T.Char():
            return _CHARS
        case T.String():
            return st.text(_CHARS, max_size=8)
        case T.Flags():
            return st.frozensets(st.sampled_from(t.labels))
        case T.Enum():
            return st.sampled_from(t.labels)
        case T.Record():
            labels = [label for label, _ in t.fields]
            parts = st.tuples(*[values(part) for _, part in t.fields])
            return parts.map(lambda found: dict(zip(labels, found, strict=True)))
        case T.Tuple():
            return st.tuples(*map(values, t.types))
        case T.List():
            return st.lists(values(t.element), max_size=4)
        case T.FixedList():
            return st.lists(values(t.element), min_size=t.length, max_size=t.length)
        case T.Map():
            return st.dictionaries(values(t.key), values(t.value), max_size=3)
        case T.Option():
            return st.just(("none", None)) | values(t.some).map(lambda v: ("some", v))
        case T.Result():
            return inner(t.ok).map(lambda v: ("ok", v)) | inner(t.error).map(lambda v: ("error", v))
    assert isinstance(t, T.Variant)
    return st.one_of([inner(part).map(functools.partial(_pair, label)) for label, part in t.cases])


def _pair(label: str, value: Any) -> tuple[str, Any]:
    return label, value
