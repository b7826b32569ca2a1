"""The canonical ABI once more, by recursion over types and without any of the package's code for it: what the written
functions are compared with.

Values here are neutral: a record is a dict, a variant, option or result a pair (label, payload), an enum a label, flags
a frozenset of labels, lists and tuples are themselves.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table

NUMBERS = {
    T.Bool: "B",
    T.S8: "b",
    T.U8: "B",
    T.S16: "h",
    T.U16: "H",
    T.S32: "i",
    T.U32: "I",
    T.S64: "q",
    T.U64: "Q",
    T.F32: "f",
    T.F64: "d",
    T.Char: "I",
}
FLAT = {T.S64: "i64", T.U64: "i64", T.F32: "f32", T.F64: "f64"}


def cases(t: T.ValType) -> list[tuple[str, T.ValType | None]] | None:
    match t:
        case T.Variant():
            return list(t.cases)
        case T.Enum():
            return [(label, None) for label in t.labels]
        case T.Option():
            return [("none", None), ("some", t.some)]
        case T.Result():
            return [("ok", t.ok), ("error", t.error)]
    return None


def fields(t: T.ValType) -> list[tuple[str, T.ValType]] | None:
    match t:
        case T.Record():
            return list(t.fields)
        case T.Tuple():
            return [(str(i), each) for i, each in enumerate(t.types)]
        case T.FixedList():
            return [(str(i), t.element) for i in range(t.length)]
    return None


def up(at: int, to: int) -> int:
    return -(-at // to) * to


def disc(count: int) -> str:
    return "BBH"[(count > 1) + (count > 256)]


def size_align(t: T.ValType) -> tuple[int, int]:
    if type(t) in NUMBERS:
        size = struct.calcsize("<" + NUMBERS[type(t)])
        return size, size
    if isinstance(t, T.Flags):
        size = 1 if len(t.labels) <= 8 else 2 if len(t.labels) <= 16 else 4
        return size, size
    parts = fields(t)
    if parts is not None:
        at, most = 0, 1
        for _, part in parts:
            size, align = size_align(part)
            at, most = up(at, align) + size, max(most, align)
        return up(at, most), most
    options = cases(t)
    if options is not None:
        head = struct.calcsize("<" + disc(len(options)))
        payloads = [size_align(p) for _, p in options if p is not None]
        align = max([1, *(a for _, a in payloads)])
        total = up(head, align) + max([0, *(s for s, _ in payloads)])
        whole = max(align, head)
        return up(total, whole), whole
    return 8, 4


def flat(t: T.ValType) -> list[str]:
    if type(t) in NUMBERS or isinstance(t, T.Flags):
        return [FLAT.get(type(t), "i32")]
    parts = fields(t)
    if parts is not None:
        return [core for _, part in parts for core in flat(part)]
    options = cases(t)
    if options is None:
        return ["i32", "i32"]
    found: list[str] = []
    for _, payload in options:
        for i, core in enumerate(flat(payload) if payload is not None else []):
            if i == len(found):
                found.append(core)
            elif found[i] != core:
                found[i] = "i32" if {found[i], core} == {"i32", "f32"} else "i64"
    return ["i32", *found]


class Memory:
    """Bytes of a guest, and how it makes room."""

    def __init__(self, data: Any, allocate: Callable[[int, int], int], encoding: str = "utf8") -> None:
        self.data = data
        self.allocate = allocate
        self.encoding = encoding

    def text(self, at: int, units: int) -> str:
        if self.encoding == "utf8":
            return bytes(self.data[at : at + units]).decode()
        if self.encoding == "latin1+utf16":
            if not units >> 31:
                return bytes(self.data[at : at + units]).decode("latin-1")
            units &= (1 << 31) - 1
        return bytes(self.data[at : at + 2 * units]).decode("utf-16-le")

    def put_text(self, text: str) -> tuple[int, int]:
        tag = 0
        if self.encoding == "utf8":
            raw, units = text.encode(), len(text.encode())
        elif self.encoding == "latin1+utf16" and all(ord(c) < 256 for c in text):
            raw, units = text.encode("latin-1"), len(text)
        else:
            raw = text.encode("utf-16-le")
            units, tag = len(raw) // 2, (1 << 31) * (self.encoding != "utf16")
        at = self.allocate(2, len(raw))
        self.data[at : at + len(raw)] = raw
        return at, units | tag

    def load(self, t: T.ValType, at: int) -> Any:
        if type(t) in NUMBERS:
            (raw,) = struct.unpack_from("<" + NUMBERS[type(t)], self.data, at)
            return _value(t, raw)
        if isinstance(t, T.Flags):
            raw = int.from_bytes(self.data[at : at + size_align(t)[0]], "little")
            return frozenset(label for i, label in enumerate(t.labels) if raw >> i & 1)
        parts = fields(t)
        if parts is not None:
            found = []
            for _, part in parts:
                size, align = size_align(part)
                at = up(at, align)
                found.append(self.load(part, at))
                at += size
            return _whole(t, parts, found)
        options = cases(t)
        if options is not None:
            head = struct.calcsize("<" + disc(len(options)))
            label, payload = options[int.from_bytes(self.data[at : at + head], "little")]
            align = max([1, *(size_align(p)[1] for _, p in options if p is not None)])
            value = None if payload is None else self.load(payload, at + up(head, align))
            return label if isinstance(t, T.Enum) else (label, value)
        return self.elsewhere(t, *struct.unpack_from("<II", self.data, at))

    def elsewhere(self, t: T.ValType, at: int, count: int) -> Any:
        if isinstance(t, T.String):
            return self.text(at, count)
        element = _element(t)
        size, align = size_align(element)
        assert at % align == 0
        found = [self.load(element, at + i * size) for i in range(count)]
        return dict(found) if isinstance(t, T.Map) else found

    def store(self, t: T.ValType, v: Any, at: int) -> None:
        if type(t) in NUMBERS:
            struct.pack_into("<" + NUMBERS[type(t)], self.data, at, _raw(t, v))
        elif isinstance(t, T.Flags):
            size = size_align(t)[0]
            self.data[at : at + size] = _bits(t, v).to_bytes(size, "little")
        elif (parts := fields(t)) is not None:
            for (_, part), value in zip(parts, _values(t, v), strict=True):
                size, align = size_align(part)
                at = up(at, align)
                self.store(part, value, at)
                at += size
        elif (options := cases(t)) is not None:
            number, payload, value = _case(t, options, v)
            head = struct.calcsize("<" + disc(len(options)))
            self.data[at : at + head] = number.to_bytes(head, "little")
            align = max([1, *(size_align(p)[1] for _, p in options if p is not None)])
            if payload is not None:
                self.store(payload, value, at + up(head, align))
        else:
            struct.pack_into("<II", self.data, at, *self.put_elsewhere(t, v))

    def put_elsewhere(self, t: T.ValType, v: Any) -> tuple[int, int]:
        if isinstance(t, T.String):
            return self.put_text(v)
        element = _element(t)
        values = list(v.items()) if isinstance(t, T.Map) else v
        size, align = size_align(element)
        at = self.allocate(align, size * len(values))
        for i, value in enumerate(values):
            self.store(element, value, at + i * size)
        return at, len(values)

    def lift(self, t: T.ValType, core: list[Any]) -> Any:
        """Takes what it needs from the front of `core`: signed integers, and floats."""
        if type(t) in NUMBERS:
            raw = core.pop(0)
            format_ = NUMBERS[type(t)]
            if format_ not in "fd":
                size = struct.calcsize("<" + format_)
                whole = (
                    raw & 0xFFFFFFFFFFFFFFFF if size == 8 or not isinstance(t, T.Bool | T.Char) else raw & 0xFFFFFFFF
                )
                (raw,) = struct.unpack_from("<" + format_, whole.to_bytes(8, "little"))
            return _value(t, raw)
        if isinstance(t, T.Flags):
            raw = core.pop(0)
            return frozenset(label for i, label in enumerate(t.labels) if raw >> i & 1)
        parts = fields(t)
        if parts is not None:
            return _whole(t, parts, [self.lift(part, core) for _, part in parts])
        options = cases(t)
        if options is None:
            return self.elsewhere(t, core.pop(0) & 0xFFFFFFFF, core.pop(0) & 0xFFFFFFFF)
        label, payload = options[core.pop(0)]
        have = flat(t)[1:]
        mine = [core.pop(0) for _ in have]
        value = None
        if payload is not None:
            wanted = flat(payload)
            value = self.lift(payload, [_narrow(x, h, w) for x, h, w in zip(mine, have, wanted, strict=False)])
        return label if isinstance(t, T.Enum) else (label, value)

    def lower(self, t: T.ValType, v: Any) -> list[Any]:
        if type(t) in NUMBERS:
            return [_raw(t, v)]
        if isinstance(t, T.Flags):
            return [_bits(t, v)]
        parts = fields(t)
        if parts is not None:
            return [x for (_, part), each in zip(parts, _values(t, v), strict=True) for x in self.lower(part, each)]
        options = cases(t)
        if options is None:
            return list(self.put_elsewhere(t, v))
        number, payload, value = _case(t, options, v)
        have = flat(t)[1:]
        found: list[Any] = [0 if core[0] == "i" else 0.0 for core in have]
        if payload is not None:
            for i, (x, want) in enumerate(zip(self.lower(payload, value), flat(payload), strict=True)):
                found[i] = _widen(x, want, have[i])
        return [number, *found]


def _narrow(x: Any, have: str, want: str) -> Any:
    if have == want:
        return x
    raw = (x & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
    return struct.unpack_from({"i32": "<i", "f32": "<f", "f64": "<d"}[want], raw)[0]


def _widen(x: Any, have: str, want: str) -> Any:
    if have == want:
        return x
    raw = struct.pack({"i32": "<I", "f32": "<f", "f64": "<d"}[have], x & 0xFFFFFFFF if have == "i32" else x)
    return int.from_bytes(raw, "little")


def _value(t: T.ValType, raw: Any) -> Any:
    return bool(raw) if isinstance(t, T.Bool) else chr(raw) if isinstance(t, T.Char) else raw


def _raw(t: T.ValType, v: Any) -> Any:
    return ord(v) if isinstance(t, T.Char) else int(v) if isinstance(t, T.Bool) else v


def _bits(t: T.Flags, v: Any) -> int:
    return sum(1 << i for i, label in enumerate(t.labels) if label in v)


def _whole(t: T.ValType, parts: Any, found: list[Any]) -> Any:
    if isinstance(t, T.Record):
        return {label: value for (label, _), value in zip(parts, found, strict=True)}
    return tuple(found) if isinstance(t, T.Tuple) else found


def _values(t: T.ValType, v: Any) -> list[Any]:
    return list(v.values()) if isinstance(t, T.Record) else list(v)


def _case(t: T.ValType, options: Any, v: Any) -> tuple[int, T.ValType | None, Any]:
    label, value = (v, None) if isinstance(t, T.Enum) else v
    number = [each for each, _ in options].index(label)
    return number, options[number][1], value


def _element(t: T.ValType) -> T.ValType:
    if isinstance(t, T.Map):
        return T.Tuple((t.key, t.value))
    assert isinstance(t, T.List)
    return t.element
