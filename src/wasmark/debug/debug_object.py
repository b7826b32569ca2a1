"""A code object as a debugger wants it: an ELF file without the code itself, with symbols, DWARF for functions and
lines (version 4), and how to find the caller of each function.

All code keeps a frame pointer once its function has begun, so the frame of the caller is two words above it; in the
instructions before, it is where the stack pointer says.
"""

from __future__ import annotations

import ctypes
import struct
from typing import TYPE_CHECKING, Final

from wasmark.binary.leb import write_s, write_u
from wasmark.debug.elf_writer import (
    ET_EXEC,
    SHF_ALLOC,
    SHF_EXECINSTR,
    SHT_NOBITS,
    SHT_PROGBITS,
    Section,
    Symbol,
    symbol_section,
    write_file,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.debug.code_names import NativeFunction, SourceLine

_ADDRESS: Final = struct.Struct("<Q")
_PUSH: Final = b"\x55\x48\x89\xe5"  # push rbp; mov rbp, rsp
_PUSH_WITHIN: Final = 64
"""How far into a function its frame is made at the latest: what comes before needs no stack."""

# DWARF 4: §7.5.3, §7.5.4, §7.5.5, §7.12
_COMPILE_UNIT, _SUBPROGRAM = 0x11, 0x2E
_AT_NAME, _AT_STMT_LIST, _AT_LOW_PC, _AT_HIGH_PC, _AT_LANGUAGE, _AT_EXTERNAL = 0x03, 0x10, 0x11, 0x12, 0x13, 0x3F
_FORM_ADDR, _FORM_DATA2, _FORM_DATA8, _FORM_STRING, _FORM_SEC_OFFSET, _FORM_FLAG_PRESENT = 1, 5, 7, 8, 0x17, 0x19
_LANGUAGE_C99: Final = 0x0C
_ABBREVIATIONS: Final = bytes(
    (
        *(1, _COMPILE_UNIT, 1, _AT_NAME, _FORM_STRING, _AT_LANGUAGE, _FORM_DATA2, _AT_STMT_LIST, _FORM_SEC_OFFSET),
        *(_AT_LOW_PC, _FORM_ADDR, _AT_HIGH_PC, _FORM_DATA8, 0, 0),
        *(2, _SUBPROGRAM, 0, _AT_NAME, _FORM_STRING, _AT_EXTERNAL, _FORM_FLAG_PRESENT),
        *(_AT_LOW_PC, _FORM_ADDR, _AT_HIGH_PC, _FORM_DATA8, 0, 0),
        0,
    )
)
# §6.2: of the standard opcodes, and the extended ones
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE = 1, 2, 3, 4
_END_SEQUENCE, _SET_ADDRESS = b"\0\1\1", b"\0\x09\2"
_OPERANDS: Final = bytes((0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1))
# §6.4.2, and the registers of the x86-64 psABI, figure 3.36
_DEF_CFA, _DEF_CFA_OFFSET, _DEF_CFA_REGISTER, _OFFSET, _ADVANCE = 0x0C, 0x0E, 0x0D, 0x80, 0x02
_RBP, _RSP, _RETURN = 6, 7, 16


def debug_object(
    text: tuple[int, int], name: str, functions: Sequence[NativeFunction], lines: Sequence[SourceLine]
) -> bytes:
    """The file for the code [start, end) of `text`, which is called `name`."""
    start, end = text
    symbols = [Symbol(function.name, 1, function.start, function.end - function.start) for function in functions]
    sections = [
        Section(".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, start, b"", end - start),
        Section(".debug_abbrev", SHT_PROGBITS, 0, 0, _ABBREVIATIONS),
        Section(".debug_info", SHT_PROGBITS, 0, 0, _info(start, end, name, functions)),
        Section(".debug_line", SHT_PROGBITS, 0, 0, _line(end, lines)),
        Section(".debug_frame", SHT_PROGBITS, 0, 0, _frames(functions)),
        *symbol_section(symbols, 7),
    ]
    return write_file(ET_EXEC, sections)


def _text(name: str) -> bytes:
    return name.replace("\0", "?").encode("utf-8", "replace") + b"\0"


def _range(start: int, end: int) -> bytes:
    return _ADDRESS.pack(start) + _ADDRESS.pack(end - start)


def _info(start: int, end: int, name: str, functions: Sequence[NativeFunction]) -> bytes:
    unit = b"\1" + _text(name) + struct.pack("<HI", _LANGUAGE_C99, 0) + _range(start, end)
    entries = b"".join(b"\2" + _text(function.name) + _range(function.start, function.end) for function in functions)
    body = struct.pack("<HIB", 4, 0, 8) + unit + entries + b"\0"
    return struct.pack("<I", len(body)) + body


def _line(end: int, lines: Sequence[SourceLine]) -> bytes:
    files = {file: number for number, file in enumerate(dict.fromkeys(line.file for line in lines), 1)}
    tables = b"\0" + b"".join(_text(file) + b"\0\0\0" for file in files) + b"\0"
    head = struct.pack("<BBBbBB", 1, 1, 1, -5, 14, 1 + len(_OPERANDS)) + _OPERANDS + tables
    program = bytearray()
    if lines:
        address, number, file = lines[0].address, 1, 1
        program += _SET_ADDRESS + _ADDRESS.pack(address)
        for line in lines:
            if files[line.file] != file:
                file = files[line.file]
                program += bytes((_SET_FILE,)) + write_u(file)
            program += bytes((_ADVANCE_PC,)) + write_u(line.address - address)
            program += bytes((_ADVANCE_LINE,)) + write_s(line.line - number) + bytes((_COPY,))
            address, number = line.address, line.line
        program += bytes((_ADVANCE_PC,)) + write_u(end - address) + _END_SEQUENCE
    body = struct.pack("<HI", 4, len(head)) + head + program
    return struct.pack("<I", len(body)) + body


def _frames(functions: Sequence[NativeFunction]) -> bytes:
    """An entry for all functions, and one for each (§6.4.1)."""
    rules = bytes((_DEF_CFA, _RSP, 8, _OFFSET | _RETURN, 1))
    common = struct.pack("<IB", 0xFFFFFFFF, 4) + b"\0" + bytes((8, 0, 1, 0x78, _RETURN)) + rules
    parts = [_padded(common)]
    for function in functions:
        code = ctypes.string_at(function.start, min(function.end - function.start, _PUSH_WITHIN))
        at = code.find(_PUSH)
        moves = b""
        if at >= 0:
            moves = bytes(
                (_ADVANCE, at + 1, _DEF_CFA_OFFSET, 16, _OFFSET | _RBP, 2, _ADVANCE, 3, _DEF_CFA_REGISTER, _RBP)
            )
        parts.append(_padded(struct.pack("<I", 0) + _range(function.start, function.end) + moves))
    return b"".join(parts)


def _padded(entry: bytes) -> bytes:
    entry += bytes(-(len(entry) + 4) % 8)
    return struct.pack("<I", len(entry)) + entry
