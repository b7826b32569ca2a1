"""Writes small relocatable ELF objects, also wrong ones, for the tests of the loader."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

PROGBITS, SYMTAB, STRTAB, RELA, NOBITS, REL = 1, 2, 3, 4, 8, 9
WRITE, ALLOC, EXEC, TLS, COMPRESSED = 1, 2, 4, 0x400, 0x800
LOCAL, GLOBAL, WEAK = 0, 1, 2
NOTYPE, OBJECT, FUNC, SECTION = 0, 1, 2, 3
UNDEF, ABS, COMMON = 0, 0xFFF1, 0xFFF2


@dataclass
class Section:
    name: str
    data: bytes
    flags: int = ALLOC
    alignment: int = 1
    kind: int = PROGBITS
    # (offset, type, symbol name, addend)
    relocations: list[tuple[int, int, str, int]] = field(default_factory=list)
    rela_kind: int = RELA


@dataclass
class Symbol:
    name: str
    section: str | int = UNDEF
    value: int = 0
    size: int = 0
    binding: int = GLOBAL
    kind: int = FUNC


def write_object(
    sections: list[Section],
    symbols: list[Symbol] = [],  # noqa: B006 - never changed
    *,
    kind: int = 1,
    machine: int = 62,
) -> bytes:
    """The object's bytes. Symbols that relocations name and that are not in `symbols` are added as undefined ones."""
    named = {symbol.name for symbol in symbols}
    symbols = list(symbols)
    for section in sections:
        for _, _, name, _ in section.relocations:
            if name not in named:
                named.add(name)
                symbols.append(Symbol(name, kind=NOTYPE))
    symbols.sort(key=lambda symbol: symbol.binding != LOCAL)
    section_numbers = {section.name: number for number, section in enumerate(sections, 1)}
    symbol_numbers = {symbol.name: number for number, symbol in enumerate(symbols, 1)}

    strings = bytearray(b"\0")

    def intern(text: str) -> int:
        strings.extend(text.encode() + b"\0")
        return len(strings) - len(text.encode()) - 1

    table = bytearray(24)
    for symbol in symbols:
        place = section_numbers[symbol.section] if isinstance(symbol.section, str) else symbol.section
        info = symbol.binding << 4 | symbol.kind
        table += struct.pack("<IBBHQQ", intern(symbol.name), info, 0, place, symbol.value, symbol.size)
    rows: list[tuple[int, int, int, bytes, int, int, int, int]] = [
        (intern(section.name), section.kind, section.flags, section.data, 0, 0, section.alignment, 0)
        for section in sections
    ]
    symtab_number = 1 + len(sections) + sum(1 for section in sections if section.relocations)
    for section in sections:
        if section.relocations:
            data = b"".join(
                struct.pack("<QQq", offset, symbol_numbers[name] << 32 | type_, addend)
                for offset, type_, name, addend in section.relocations
            )
            name = intern(".rela" + section.name)
            rows.append((name, section.rela_kind, 0, data, symtab_number, section_numbers[section.name], 8, 24))
    first_global = 1 + sum(symbol.binding == LOCAL for symbol in symbols)
    rows.append((intern(".symtab"), SYMTAB, 0, bytes(table), symtab_number + 1, first_global, 8, 24))
    name = intern(".strtab")
    rows.append((name, STRTAB, 0, bytes(strings), 0, 0, 1, 0))

    body = bytearray(64)
    headers = bytearray(64)
    for name_offset, type_, flags, data, link, info, alignment, entry in rows:
        body += bytes(-len(body) % 8)
        size = len(data)
        headers += struct.pack(
            "<IIQQQQIIQQ", name_offset, type_, flags, 0, len(body), size, link, info, alignment, entry
        )
        if type_ != NOBITS:
            body += data
    body += bytes(-len(body) % 8)
    offset = len(body)
    count = len(rows) + 1
    body[:64] = struct.pack(
        "<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", kind, machine, 1, 0, 0, offset, 0, 64, 0, 0, 64, count, count - 1
    )
    return bytes(body + headers)
