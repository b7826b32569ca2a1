"""Random components whose functions pass values on: to the host, to each other with other encodings, through memory.

A generated component is a chain. Its first member is what Python calls; each one calls the next; the last one is the
host, or a guest that gives back what it got. A hostile one makes up its core values, or what is in its memory: a sound
value some of whose bytes are damaged. Types and values are neutral ones, as in `tests.component.abi.model`.
"""

from __future__ import annotations

import struct
from random import Random
from typing import Any, Final, NamedTuple

from tests.component.abi import model
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.binary import encode_component
from wasmark.component.text import parse_component

ENCODINGS: Final = ("utf8", "utf16", "latin1+utf16")
MOST_PARAMS: Final = 16
HEAP: Final = 16384
"""Where the heap of a guest starts; what is damaged lies below."""

_PRIMITIVES: Final = tuple(type_ for type_ in T.PRIMITIVES if not isinstance(type_, T.ErrorContext))
_SCALARS: Final = tuple(type_ for type_ in _PRIMITIVES if not isinstance(type_, T.String))
_LABELS: Final = ("a", "b-c", "from", "self", "value", "x1", "a-b-c", "none", "mro", "HTTP-error", "d0")
_INTEGERS: Final = {T.U8: (0, 8), T.S8: (1, 8), T.U16: (0, 16), T.S16: (1, 16)}
_INTEGERS.update({T.U32: (0, 32), T.S32: (1, 32), T.U64: (0, 64), T.S64: (1, 64)})
_TELLING: Final = (0, 1, 2, 3, 0x7F, 0x80, 0xC3, 0xD8, 0xDF, 0xED, 0xF4, 0xFE, 0xFF)
"""Bytes that damage."""
_TELLING_WORDS: Final = (0, 1, 2, 3, 255, 256, 0xD800, 0xDFFF, 0x10FFFF, 0x110000, 65535, 65536, 1 << 28, 0x7FFFFFFF)
"""Core values that are at some border, or beyond it; the largest u32 is -1."""


class Call(NamedTuple):
    """The arguments of a call, what the host gives back where it is reached, and what comes out: ("value", value), or
    None where only the engines know."""

    arguments: tuple[Any, ...]
    answer: Any
    expected: Any


class Generated(NamedTuple):
    """A component: `params` and `result` are of what it exports as `f`, `host_params` and `host_result` of what it
    imports as `host`, None where it does not."""

    seed: int
    text: str
    params: tuple[T.ValType, ...]
    result: T.ValType | None
    host_params: tuple[T.ValType, ...] | None
    host_result: T.ValType | None
    calls: tuple[Call, ...]

    def binary(self) -> bytes:
        return encode_component(parse_component(self.text))


# --- types and values -----------------------------------------------------------------------------------


def random_type(random: Random, depth: int = 3) -> T.ValType:
    """A type without handles, fixed lists and maps: what the other engine knows."""
    if depth == 0 or random.random() < 0.35:
        return random.choice(_PRIMITIVES)
    return random.choice(_COMPOSITES)(random, depth - 1)


def _labels(random: Random, count: int) -> list[str]:
    return random.sample(_LABELS, count) if count <= len(_LABELS) else [f"l{number}" for number in range(count)]


def _maybe(random: Random, depth: int) -> T.ValType | None:
    return None if random.random() < 0.3 else random_type(random, depth)


_COMPOSITES: Final = (
    lambda random, depth: T.List(random_type(random, depth)),
    lambda random, depth: T.Record(
        tuple(
            (label, random_type(random, depth))
            for label in _labels(random, 45 if random.random() < 0.04 else random.randint(1, 5))
        )
    ),
    lambda random, depth: T.Tuple(tuple(random_type(random, depth) for _ in range(random.randint(1, 4)))),
    lambda random, depth: T.Variant(
        tuple((label, _maybe(random, depth)) for label in _labels(random, random.choice((1, 2, 3, 5))))
    ),
    lambda random, depth: T.Enum(tuple(_labels(random, random.choice((1, 2, 7, 256, 257))))),
    lambda random, depth: T.Option(random_type(random, depth)),
    lambda random, depth: T.Result(_maybe(random, depth), _maybe(random, depth)),
    lambda random, depth: T.Flags(tuple(_labels(random, random.choice((1, 5, 8, 9, 16, 17, 32))))),
)


def random_value(random: Random, type_: T.ValType | None) -> Any:
    """A neutral value; often one at a border."""
    if type_ is None:
        return None
    if type(type_) in _INTEGERS:
        signed, bits = _INTEGERS[type(type_)]
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        return random.choice((low, high, 0, 1, random.randint(low, high)))
    cases = model.cases(type_)
    if cases is not None:
        label, payload = random.choice(cases)
        return label if isinstance(type_, T.Enum) else (label, random_value(random, payload))
    return _VALUES[type(type_)](random, type_)


_TEXTS: Final = ("", "a", "plain words", "é", "caf\xe9\xff", "\u20ac", "\U0001f600", "\0", "\ufeff", "\ud7ff\ue000")


def _text(random: Random) -> str:
    return "".join(random.choice(_TEXTS) for _ in range(random.choice((1, 1, 2, 5, 40))))


def _f32(random: Random) -> float:
    return float(
        struct.unpack("<f", struct.pack("<I", random.choice((0, 1 << 31, 0x7F800000, random.getrandbits(32)))))[0]
    )


def _f64(random: Random) -> float:
    return float(struct.unpack("<d", struct.pack("<Q", random.choice((0, 1 << 63, 1, random.getrandbits(64)))))[0])


_VALUES: Final[dict[type, Any]] = {
    T.Bool: lambda random, type_: random.random() < 0.5,
    T.F32: lambda random, type_: _f32(random),
    T.F64: lambda random, type_: _f64(random),
    T.Char: lambda random, type_: random.choice("a\0\x7f\x80\xff\u0100\ud7ff\ue000\uffff\U00010000\U0010ffff"),
    T.String: lambda random, type_: _text(random),
    T.List: lambda random, type_: [
        random_value(random, type_.element) for _ in range(random.choice((0, 1, 2, 3, 3, 30 if _is_flat(type_) else 4)))
    ],
    T.Record: lambda random, type_: {label: random_value(random, part) for label, part in type_.fields},
    T.Tuple: lambda random, type_: tuple(random_value(random, part) for part in type_.types),
    T.Flags: lambda random, type_: frozenset(label for label in type_.labels if random.random() < 0.5),
}


def _is_flat(type_: T.List) -> bool:
    return isinstance(type_.element, T.Primitive)


# --- the text of components -----------------------------------------------------------------------------


class _Names:
    """The types of one component that have to have names, and how all are written."""

    def __init__(self) -> None:
        self.named: dict[T.ValType, str] = {}
        self.lines: list[str] = []

    def write(self, type_: T.ValType) -> str:
        if isinstance(type_, T.Primitive):
            return type_.name
        if type_ in self.named:
            return self.named[type_]
        match type_:
            case T.List():
                return f"(list {self.write(type_.element)})"
            case T.Tuple():
                return f"(tuple {' '.join(map(self.write, type_.types))})"
            case T.Option():
                return f"(option {self.write(type_.some)})"
            case T.Result():
                ok = "" if type_.ok is None else f" {self.write(type_.ok)}"
                return f"(result{ok}{'' if type_.error is None else f' (error {self.write(type_.error)})'})"
            case T.Record():
                body = "record " + " ".join(f'(field "{label}" {self.write(part)})' for label, part in type_.fields)
            case T.Variant():
                body = "variant " + " ".join(
                    f'(case "{label}"{"" if part is None else " " + self.write(part)})' for label, part in type_.cases
                )
            case T.Enum():
                body = "enum " + " ".join(f'"{label}"' for label in type_.labels)
            case T.Flags():
                body = "flags " + " ".join(f'"{label}"' for label in type_.labels)
        number = len(self.named)
        self.named[type_] = f"$t{number}"
        self.lines.append(f'(type $d{number} ({body})) (import "t{number}" (type $t{number} (eq $d{number})))')
        return self.named[type_]

    def signature(self, params: tuple[T.ValType, ...], result: T.ValType | None) -> str:
        given = " ".join(f'(param "p{number}" {self.write(param)})' for number, param in enumerate(params))
        return given + ("" if result is None else f" (result {self.write(result)})")

    def arguments(self) -> str:
        return " ".join(f'(with "t{number}" (type $t{number}))' for number in range(len(self.named)))


_BAD_ROOM: Final = (
    "",
    "(return (i32.const -4))",
    "(return (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.sub (local.get $new) (i32.const 1))))",
    """(global.set $next (i32.add (global.get $next) (i32.const 8)))
       (local.set $at (i32.add (local.get $at) (i32.const 2)))""",
    "(unreachable)",
)
"""What a hostile `realloc` does. No room overlaps with another one: the order of writes is not laid down."""
_ONCE: Final = "(if (local.get $old) (then (unreachable)))"
"""What a `realloc` does that gives room, and never more or less of it. Only strings of another guest ask for that."""


class _Guest:
    """What members of a chain have in common: a memory, and the options of their definitions."""

    def __init__(self, random: Random, *, is_hostile: bool = False, is_between: bool = False) -> None:
        self.encoding = random.choice(ENCODINGS)
        self.has_post_return = random.random() < 0.5
        self.grows = random.random() < 0.2
        self.data = b""
        self.room = random.choice(_BAD_ROOM) if is_hostile else ""
        if is_between:
            self.room = random.choice(("", _ONCE))
        self.post_return = "(unreachable)" if is_hostile and random.random() < 0.2 else ""

    def options(self) -> str:
        places = '(memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))'
        return f"{places} string-encoding={self.encoding}"

    def libc(self) -> str:
        data = "".join(f"\\{byte:02x}" for byte in self.data)
        grow = "(drop (memory.grow (i32.const 1)))" if self.grows else ""
        return f"""(core module $Libc (memory (export "memory") 1) (global $next (mut i32) (i32.const {HEAP}))
          (data (i32.const 64) "{data}")
          (func (export "realloc") (param $old i32) (param $size i32) (param $align i32) (param $new i32) (result i32)
            (local $at i32)
            {grow}
            (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                                    (i32.sub (i32.const 0) (local.get $align))))
            (global.set $next (i32.add (local.get $at) (local.get $new)))
            (block (loop
              (br_if 1 (i32.le_u (global.get $next) (i32.mul (memory.size) (i32.const 65536))))
              (drop (memory.grow (i32.const 1)))
              (br 0)))
            {self.room}
            (memory.copy (local.get $at) (local.get $old)
              (select (local.get $size) (local.get $new) (i32.lt_u (local.get $size) (local.get $new))))
            (local.get $at)))
          (core instance $libc (instantiate $Libc))"""

    def whole(
        self, names: _Names, signature: str, next_: str | None, core: tuple[str, str], size: int, import_: str = ""
    ) -> str:
        """The component. `core` are the core signature and the body of its function, `size` the bytes of its result in
        memory, 0 where it is not there; `next_` is the signature of what it calls, `import_` the core one."""
        imported = lowered = given = ""
        if next_ is not None:
            imported = f'(import "next" (func $next {next_}))'
            lowered = f"(core func $lowered (canon lower (func $next) {self.options()}))"
            given = '(with "" (instance (export "next" (func $lowered))))'
            import_ = f'(import "" "next" (func $next {import_}))'
        result = core[0].partition("(result")[2]
        given_back = f"(param {result}" if result else ""
        post = f'(func (export "post") {given_back} {_scratch(size)} {self.post_return})'
        options = self.options() + (' (post-return (core func $m "post"))' if self.has_post_return else "")
        return f"""
          {" ".join(names.lines)} {imported}
          {self.libc()}
          {lowered}
          (core module $M (import "libc" "memory" (memory 1))
            (import "libc" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32))) {import_}
            (func (export "f") {core[0]} {core[1]})
            {post})
          (core instance $m (instantiate $M (with "libc" (instance $libc)) {given}))
          (func (export "f") {signature} (canon lift (core func $m "f") {options}))"""


def _scratch(size: int) -> str:
    """What has been returned is overwritten: by then it must have been read."""
    return f"(memory.fill (local.get 0) (i32.const 0xaa) (i32.const {size}))" if size else ""


def core_signature(
    params: tuple[T.ValType, ...], result: T.ValType | None, *, lowered: bool
) -> tuple[list[str], str | None]:
    """The core parameters and the core result."""
    flat = [core for param in params for core in model.flat(param)]
    if len(flat) > MOST_PARAMS:
        flat = ["i32"]
    returned = [] if result is None else model.flat(result)
    if len(returned) > 1:
        return ([*flat, "i32"], None) if lowered else (flat, "i32")
    return flat, returned[0] if returned else None


def _written(signature: tuple[list[str], str | None]) -> str:
    params, result = signature
    return f"(param {' '.join(params)})" + ("" if result is None else f" (result {result})")


def _result_size(result: T.ValType | None) -> tuple[int, int]:
    """(size, alignment) of a result that lies in memory, (0, 1) of others."""
    return model.size_align(result) if result is not None and len(model.flat(result)) > 1 else (0, 1)


def _place(result: T.ValType | None) -> str:
    size, align = _result_size(result)
    return f"(call $realloc (i32.const 0) (i32.const 0) (i32.const {align}) (i32.const {size}))" if size else ""


# --- members of a chain -----------------------------------------------------------------------------------


def _relay(random: Random, params: tuple[T.ValType, ...], result: T.ValType | None, **kind: bool) -> str:
    """Calls the next one with what it gets."""
    guest, names = _Guest(random, **kind), _Names()
    signature = names.signature(params, result)
    ours, below = (core_signature(params, result, lowered=lowered) for lowered in (False, True))
    args = " ".join(f"(local.get {number})" for number in range(len(ours[0])))
    size = _result_size(result)[0]
    if size:
        at = len(ours[0])
        body = f"(local i32) (local.set {at} {_place(result)}) (call $next {args} (local.get {at})) (local.get {at})"
    else:
        body = f"(call $next {args})"
    return guest.whole(names, signature, signature, (_written(ours), body), size, _written(below))


def _identity(random: Random, params: tuple[T.ValType, ...], result: T.ValType) -> str:
    """Returns what it gets as it is: one core value, or the address of all of it."""
    guest, names = _Guest(random), _Names()
    core = _written(core_signature(params, result, lowered=False))
    return guest.whole(names, names.signature(params, result), None, (core, "(local.get 0)"), _result_size(result)[0])


def _reverse(random: Random, type_: T.List) -> str:
    """Returns a list the other way round."""
    guest, names = _Guest(random), _Names()
    size = model.size_align(type_.element)[0]
    body = f"""(local $to i32) (local $i i32)
      (local.set $to (call $realloc (i32.const 0) (i32.const 0) (i32.const 8)
                                    (i32.mul (local.get 1) (i32.const {size}))))
      (i32.store (i32.const 8) (local.get $to))
      (i32.store (i32.const 12) (local.get 1))
      (block (loop
        (br_if 1 (i32.eq (local.get $i) (local.get 1)))
        (memory.copy (i32.add (local.get $to) (i32.mul (local.get $i) (i32.const {size})))
          (i32.add (local.get 0)
            (i32.mul (i32.sub (i32.sub (local.get 1) (local.get $i)) (i32.const 1)) (i32.const {size})))
          (i32.const {size}))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br 0)))
      (i32.const 8)"""
    return guest.whole(names, names.signature((type_,), type_), None, ("(param i32 i32) (result i32)", body), 8)


class _Damage:
    """The memory of a hostile guest: sound values, some bytes of which are damaged."""

    def __init__(self, random: Random, encoding: str) -> None:
        self.random = random
        self.data = bytearray(HEAP)
        self.end = 64
        self.memory = model.Memory(self.data, self._allocate, encoding)

    def _allocate(self, align: int, size: int) -> int:
        at = model.up(self.end, align)
        self.end = at + size
        return at

    def place(self, type_: T.ValType) -> int:
        """Where a value lies; seldom a place where it cannot be."""
        size, align = model.size_align(type_)
        at = self._allocate(align, size)
        self.memory.store(type_, random_value(self.random, type_), at)
        return self.random.choice((*[at] * 12, at + 1, 65536 - size, 65536 - size + align, -align))

    def core(self, types: tuple[T.ValType, ...]) -> list[Any]:
        """Core values, one or two of them changed."""
        found = [core for type_ in types for core in self.memory.lower(type_, random_value(self.random, type_))]
        for _ in range(self.random.choice((0, 1, 1, 2)) if found else 0):
            place = self.random.randrange(len(found))
            if not isinstance(found[place], float):
                found[place] = self.random.choice((*_TELLING_WORDS, -1, found[place] + 1))
        return found

    def bytes(self) -> bytes:
        """What is in memory from 64 on."""
        used = max(65, self.end)
        for _ in range(self.random.choice((0, 1, 1, 2, 4))):
            self.data[self.random.randrange(64, used)] = self.random.choice(_TELLING)
        return bytes(self.data[64:used])


def _constant(core: str, value: Any) -> str:
    if core[0] == "i":
        return f"({core}.const {value & ((1 << int(core[1:])) - 1)})"
    bits = int.from_bytes(struct.pack("<f" if core == "f32" else "<d", value), "little")
    return f"({core}.reinterpret_i{core[1:]} (i{core[1:]}.const {bits}))"


def _hostile_result(random: Random, result: T.ValType) -> str:
    """Returns what is damaged."""
    guest, names = _Guest(random), _Names()
    damage = _Damage(random, guest.encoding)
    _, core = core_signature((), result, lowered=False)
    assert core is not None
    body = _constant(core, damage.place(result) if len(model.flat(result)) > 1 else damage.core((result,))[0])
    guest.data = damage.bytes()
    return guest.whole(names, names.signature((), result), None, (f"(result {core})", body), 0)


def _hostile_call(random: Random, params: tuple[T.ValType, ...], result: T.ValType | None) -> str:
    """Calls the next one with what is damaged. Its own function takes and returns nothing."""
    guest, names = _Guest(random), _Names()
    below = core_signature(params, result, lowered=True)
    damage = _Damage(random, guest.encoding)
    is_flat = sum(len(model.flat(param)) for param in params) <= MOST_PARAMS
    values = damage.core(params) if is_flat else [damage.place(T.Tuple(params))]
    if len(values) < len(below[0]):
        size, align = model.size_align(result) if result is not None else (0, 1)
        values.append(random.choice((*[8192] * 8, 8193, 65536, 65536 - size + align)))
    args = " ".join(_constant(core, value) for core, value in zip(below[0], values, strict=True))
    guest.data = damage.bytes()
    drop = f"(drop (call $next {args}))" if below[1] is not None else f"(call $next {args})"
    return guest.whole(names, "", names.signature(params, result), ("", drop), 0, _written(below))


# --- whole components ---------------------------------------------------------------------------------------


def generate(seed: int) -> Generated:
    """The component of a seed."""
    random = Random(seed)
    end = random.choice(_ENDS)
    return end(seed, random)


def _params(random: Random) -> tuple[T.ValType, ...]:
    return tuple(random_type(random) for _ in range(random.choice((0, 1, 1, 2, 3, 6))))


def _values(random: Random, types: tuple[T.ValType, ...]) -> tuple[Any, ...]:
    return tuple(random_value(random, type_) for type_ in types)


def _to_host(seed: int, random: Random) -> Generated:
    params, result = _params(random), _maybe(random, 3)
    members = [_relay(random, params, result) for _ in range(random.choice((1, 2, 3)))]
    answers = [random_value(random, result) for _ in range(3)]
    calls = tuple(Call(_values(random, params), answer, ("value", answer)) for answer in answers)
    return Generated(seed, _chain(members, (params, result), True), params, result, params, result, calls)


def _through_memory(seed: int, random: Random) -> Generated:
    scalar = random.choice((*_SCALARS, random_type(random)))
    params: tuple[T.ValType, ...] = (scalar,)
    result: T.ValType = scalar
    if len(model.flat(scalar)) > 1:
        params = (*_params(random), *[random.choice(_SCALARS)] * (MOST_PARAMS + 1))
        result = T.Tuple(params)
    members = [_relay(random, params, result) for _ in range(random.choice((0, 1)))]
    members.append(_identity(random, params, result))
    given = [_values(random, params) for _ in range(3)]
    calls = tuple(Call(args, None, ("value", args[0] if result is scalar else args)) for args in given)
    return Generated(seed, _chain(members, (params, result), False), params, result, None, None, calls)


def _turned(seed: int, random: Random) -> Generated:
    type_ = T.List(random_type(random, 2))
    members = [_relay(random, (type_,), type_) for _ in range(random.choice((0, 1, 2)))]
    members.append(_reverse(random, type_))
    given = [random_value(random, type_) for _ in range(3)]
    calls = tuple(Call((value,), None, ("value", value[::-1])) for value in given)
    return Generated(seed, _chain(members, ((type_,), type_), False), (type_,), type_, None, None, calls)


def _damaged_result(seed: int, random: Random) -> Generated:
    result = random_type(random)
    members = [_relay(random, (), result) for _ in range(random.choice((0, 0, 1)))]
    members.append(_hostile_result(random, result))
    again = (Call((), None, None),) * 2
    return Generated(seed, _chain(members, ((), result), False), (), result, None, None, again)


def _damaged_arguments(seed: int, random: Random) -> Generated:
    params, result = (random_type(random), *_params(random)), _maybe(random, 2)
    members = [_hostile_call(random, params, result)]
    members += [_relay(random, params, result) for _ in range(random.choice((0, 0, 1)))]
    again = (Call((), random_value(random, result), None),) * 2
    return Generated(seed, _chain(members, (params, result), True), (), None, params, result, again)


def _no_room(seed: int, random: Random) -> Generated:
    params, result = (T.List(random_type(random, 2)), *_params(random)), _maybe(random, 3)
    members = [_relay(random, params, result, is_hostile=random.random() < 0.5) for _ in range(2)]
    members.insert(1, _relay(random, params, result, is_between=True))
    calls = tuple(Call(_values(random, params), random_value(random, result), None) for _ in range(3))
    return Generated(seed, _chain(members, (params, result), True), params, result, params, result, calls)


_ENDS: Final = (_to_host, _through_memory, _turned, _damaged_result, _damaged_arguments, _no_room)


def _chain(members: list[str], type_: tuple[tuple[T.ValType, ...], T.ValType | None], is_to_host: bool) -> str:
    """The component whose `f` is that of the first member; each one's `next` is the `f` of the one behind it."""
    names = _Names()
    signature = names.signature(*type_)
    text = [" ".join(names.lines)]
    behind = None
    if is_to_host:
        text.append(f'(import "host" (func $host {signature}))')
        behind = "$host"
    for number, member in reversed(list(enumerate(members))):
        given = "" if behind is None else f'(with "next" (func {behind}))'
        text.append(f"(component $C{number} {member})")
        text.append(f"(instance $i{number} (instantiate $C{number} {names.arguments()} {given}))")
        text.append(f'(alias export $i{number} "f" (func $f{number}))')
        behind = f"$f{number}"
    text.append('(export "f" (func $f0))')
    return "(component\n" + "\n".join(text) + ")"
