"""Writes 64-bit ELF files (System V ABI, chapters 4 and 5): sections, symbols, and for a shared object what the dynamic
linker needs. Only what is used here: nothing is relocated."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_PROGRAM: Final = struct.Struct("<IIQQQQQQ")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_DYNAMIC: Final = struct.Struct("<QQ")
_IDENT: Final = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
_EM_X86_64: Final = 62
ET_EXEC: Final = 2
ET_DYN: Final = 3

SHT_PROGBITS: Final = 1
SHT_SYMTAB: Final = 2
SHT_STRTAB: Final = 3
SHT_HASH: Final = 5
SHT_DYNAMIC: Final = 6
SHT_NOBITS: Final = 8
SHT_DYNSYM: Final = 11
SHF_WRITE: Final = 1
SHF_ALLOC: Final = 2
SHF_EXECINSTR: Final = 4

_STT_OBJECT: Final = 1
_STT_FUNC: Final = 2
_GLOBAL: Final = 1 << 4
_PT_LOAD: Final = 1
_PT_DYNAMIC: Final = 2
_PT_GNU_STACK: Final = 0x6474E551
_R, _W, _X = 4, 2, 1
_DT_HASH, _DT_STRTAB, _DT_SYMTAB, _DT_STRSZ, _DT_SYMENT = 4, 5, 6, 10, 11
_PAGE: Final = 4096


class Section(NamedTuple):
    """A section. size: of one without contents (SHT_NOBITS). link: the number of another one, counted from 1."""

    name: str
    kind: int
    flags: int
    address: int
    contents: bytes
    size: int = 0
    link: int = 0
    entry_size: int = 0
    first_global: int = 0


class Symbol(NamedTuple):
    """A global symbol in a section, which is counted from 1."""

    name: str
    section: int
    address: int
    size: int
    is_function: bool = True


def symbol_tables(symbols: Sequence[Symbol]) -> tuple[bytes, bytes]:
    """(symbol table, string table)."""
    strings = bytearray(1)
    rows = bytearray(_SYMBOL.size)
    for name, section, address, size, is_function in symbols:
        kind = _GLOBAL | (_STT_FUNC if is_function else _STT_OBJECT)
        rows += _SYMBOL.pack(len(strings), kind, 0, section, address, size)
        strings += name.replace("\0", "?").encode("utf-8", "replace") + b"\0"
    return bytes(rows), bytes(strings)


def write_file(
    kind: int, sections: Sequence[Section], programs: Sequence[tuple[int, int, int, int, int]] = (), start: int = 0
) -> bytes:
    """A file. programs: (kind, flags, offset, address, size). start: the offset of the first section's contents; those
    of sections that have an address lie at `address`, where the file is a shared object."""
    names = bytearray(1)
    rows = [_SECTION.pack(*(0,) * 10)]
    end = _HEADER.size + len(programs) * _PROGRAM.size
    body = bytearray(max(0, start - end))
    strings = Section(".shstrtab", SHT_STRTAB, 0, 0, b"")
    for section in (*sections, strings):
        name = len(names)
        names += section.name.encode() + b"\0"
        contents = bytes(names) if section is strings else section.contents
        place = section.address if kind == ET_DYN and section.address else (end + len(body) + 7) & ~7
        if section.kind != SHT_NOBITS:
            body += bytes(place - end - len(body)) + contents
        size = section.size if section.kind == SHT_NOBITS else len(contents)
        fields = section.kind, section.flags, section.address, place, size, section.link, section.first_global
        rows.append(_SECTION.pack(name, *fields, 16 if section.flags & SHF_EXECINSTR else 8, section.entry_size))
    table = (end + len(body) + 7) & ~7
    body += bytes(table - end - len(body))
    header = _HEADER.pack(
        *(_IDENT, kind, _EM_X86_64, 1, 0, _HEADER.size if programs else 0, table, 0, _HEADER.size),
        *(_PROGRAM.size, len(programs), _SECTION.size, len(rows), len(rows) - 1),
    )
    segments = b"".join(
        _PROGRAM.pack(what, flags, offset, address, address, size, size, _PAGE if what == _PT_LOAD else 8)
        for what, flags, offset, address, size in programs
    )
    return header + segments + bytes(body) + b"".join(rows)


def symbol_section(symbols: Sequence[Symbol], link: int) -> tuple[Section, Section]:
    """The section of a symbol table, and that of its strings, whose number is `link`."""
    rows, strings = symbol_tables(symbols)
    return (
        Section(".symtab", SHT_SYMTAB, 0, 0, rows, link=link, entry_size=_SYMBOL.size, first_global=1),
        Section(".strtab", SHT_STRTAB, 0, 0, strings),
    )


def shared_object(code: bytes, function: str, data: bytes, variable: str) -> bytes:
    """A shared object with one function and one variable, which it exports."""
    text_at, data_at = _PAGE, 2 * _PAGE
    symbols = [Symbol(function, 1, text_at, len(code)), Symbol(variable, 5, data_at, len(data), False)]
    rows, strings = symbol_tables(symbols)
    # One bucket: a chain of all symbols (gABI, chapter 5, "Hash Table").
    count = 1 + len(symbols)
    chain = [0, *range(2, count), 0]
    hashes = struct.pack(f"<{3 + count}I", 1, count, 1, *chain)
    symbols_at = text_at + 64
    strings_at = symbols_at + len(rows)
    hashes_at = (strings_at + len(strings) + 7) & ~7
    dynamic_at = data_at + ((len(data) + 15) & ~15)
    tags = (
        *((_DT_HASH, hashes_at), (_DT_STRTAB, strings_at), (_DT_SYMTAB, symbols_at)),
        *((_DT_STRSZ, len(strings)), (_DT_SYMENT, _SYMBOL.size), (0, 0)),
    )
    dynamic = b"".join(_DYNAMIC.pack(*tag) for tag in tags)
    sections = [
        Section(".text", SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, text_at, code),
        Section(".dynsym", SHT_DYNSYM, SHF_ALLOC, symbols_at, rows, link=3, entry_size=_SYMBOL.size, first_global=1),
        Section(".dynstr", SHT_STRTAB, SHF_ALLOC, strings_at, strings),
        Section(".hash", SHT_HASH, SHF_ALLOC, hashes_at, hashes, link=2, entry_size=4),
        Section(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, data_at, data),
        Section(".dynamic", SHT_DYNAMIC, SHF_ALLOC | SHF_WRITE, dynamic_at, dynamic, link=3, entry_size=_DYNAMIC.size),
        *symbol_section(symbols, 8),
    ]
    programs = [
        (_PT_LOAD, _R | _X, text_at, text_at, hashes_at + len(hashes) - text_at),
        (_PT_LOAD, _R | _W, data_at, data_at, dynamic_at + len(dynamic) - data_at),
        (_PT_DYNAMIC, _R | _W, dynamic_at, dynamic_at, len(dynamic)),
        (_PT_GNU_STACK, _R | _W, 0, 0, 0),  # without it the stack would have to be executable: newer C libraries refuse
    ]
    return write_file(ET_DYN, sections, programs, text_at)
