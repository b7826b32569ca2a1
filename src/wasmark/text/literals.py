"""Strings, identifiers and floating-point numbers as the text format writes them (core §6.3): the inverse of what the
lexer and `numbers` read, exact to the bit."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Final

from wasmark.text.numbers import parse_f32, parse_f64

_is_plain_id: Final = re.compile(r"[0-9A-Za-z!#$%&'*+\-./:<=>?@\\^_`|~]+").fullmatch

_BYTES: Final = tuple(
    chr(byte) if 0x20 <= byte < 0x7F and chr(byte) not in '"\\' else f"\\{byte:02x}" for byte in range(256)
)
_BYTES_A_STRING: Final = 64


def byte_strings(data: bytes) -> list[str]:
    """Bytes as string literals of a length that fits a line; one empty string for none."""
    starts = range(0, len(data), _BYTES_A_STRING) or (0,)
    return [f'"{"".join(map(_BYTES.__getitem__, data[start : start + _BYTES_A_STRING]))}"' for start in starts]


def name_string(name: str) -> str:
    """A name as a string literal; what cannot be seen is escaped."""
    if name.isascii():
        return f'"{"".join(map(_BYTES.__getitem__, name.encode()))}"'
    return f'"{"".join(map(_char, name))}"'


def _char(char: str) -> str:
    if char < "\x80":
        return _BYTES[ord(char)]
    return char if char.isprintable() else f"\\u{{{ord(char):x}}}"


def identifier(name: str) -> str:
    """`$name`, quoted where it has other characters than those of §6.3.5. The name is not empty."""
    return f"${name}" if _is_plain_id(name) else f"${name_string(name)}"


def f32_literal(bits: int) -> str:
    """A short decimal number that is read as these 32 bits."""
    return _float(bits, 24, 0xFF, "<I", "<f", parse_f32)


def f64_literal(bits: int) -> str:
    """A short decimal number that is read as these 64 bits."""
    return _float(bits, 53, 0x7FF, "<Q", "<d", parse_f64)


def _float(bits: int, precision: int, exponent_mask: int, integer: str, real: str, parse: Callable[[str], int]) -> str:
    sign = "-" if bits >> (precision + exponent_mask.bit_length() - 1) else ""
    mantissa = bits & ((1 << (precision - 1)) - 1)
    if bits >> (precision - 1) & exponent_mask == exponent_mask:
        if not mantissa:
            return f"{sign}inf"
        return f"{sign}nan" if mantissa == 1 << (precision - 2) else f"{sign}nan:{mantissa:#x}"
    value = struct.unpack(real, struct.pack(integer, bits))[0]
    enough = precision // 3 + 1  # digits tell any two numbers apart
    return next(
        text
        for text in (f"{value:.{digits}g}" for digits in range(enough - 3, enough + 1))
        if _is_read_as(text, bits, parse)
    )


def _is_read_as(text: str, bits: int, parse: Callable[[str], int]) -> bool:
    try:
        return parse(text) == bits
    except ValueError:  # rounded up, the largest number is out of range
        return False
