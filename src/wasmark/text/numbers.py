"""Number literals (core §6.3.2) to the bits they stand for, exactly rounded.

Integers come back as Python ints, floats as the bits of their IEEE 754 encoding, so that NaN payloads and signed zeros
survive. Every function raises ValueError with the official phrase: NOT_A_NUMBER where the spelling is wrong,
OUT_OF_RANGE where there is no such value.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Final

NOT_A_NUMBER: Final = "unexpected token"
OUT_OF_RANGE: Final = "constant out of range"

_NUM: Final = r"[0-9]++(?:_[0-9]++)*+"
_HEX: Final = r"[0-9A-Fa-f]++(?:_[0-9A-Fa-f]++)*+"

_match_int: Final = re.compile(rf"([+-]?)(?:0x({_HEX})|({_NUM}))").fullmatch
_match_float: Final = re.compile(
    rf"""([+-]?)(?:
        0x(?P<hex>{_HEX})(?:\.(?P<hexfrac>{_HEX})?)?(?:[pP](?P<exp>[+-]?{_NUM}))?
      | (?P<dec>{_NUM}(?:\.(?:{_NUM})?)?(?:[eE][+-]?{_NUM})?)
      | (?P<inf>inf)
      | nan(?::0x(?P<payload>{_HEX}))?
    )""",
    re.VERBOSE,
).fullmatch

_pack_f32: Final = struct.Struct("<f").pack
_pack_f64: Final = struct.Struct("<d").pack
_MAX_DIGITS: Final = 40  # more than any value in range has; Python refuses to convert thousands of them


def parse_uint(text: str, bits: int) -> int:
    """An unsigned integer literal without a sign (`uN`)."""
    if text.isdecimal() and len(text) < _MAX_DIGITS:
        value = int(text)
    else:
        match = _match_int(text)
        if match is None or match[1]:
            raise ValueError(NOT_A_NUMBER)
        value = _magnitude(match)
    if value >> bits:
        raise ValueError(f"i{bits} {OUT_OF_RANGE}")
    return value


def parse_int(text: str, bits: int) -> int:
    """An integer literal of either signedness (`iN`), as a signed int."""
    match = _match_int(text)
    if match is None:
        raise ValueError(NOT_A_NUMBER)
    value = _magnitude(match)
    if match[1] == "-":
        value = -value
    if not -(1 << (bits - 1)) <= value < 1 << bits:
        raise ValueError(f"{OUT_OF_RANGE} of i{bits}")
    return value - (1 << bits) if value >> (bits - 1) > 0 else value


def _magnitude(match: re.Match[str]) -> int:
    if match[2]:
        return int(match[2], 16)
    digits = match[3].replace("_", "")
    if len(digits) > _MAX_DIGITS:
        digits = digits.lstrip("0") or "0"
        if len(digits) > _MAX_DIGITS:
            raise ValueError(OUT_OF_RANGE)
    return int(digits)


def parse_f32(text: str) -> int:
    """A float literal as the 32 bits of the nearest single, ties to even."""
    return _parse_float(text, 24, 0xFF)


def parse_f64(text: str) -> int:
    """A float literal as the 64 bits of the nearest double, ties to even."""
    return _parse_float(text, 53, 0x7FF)


SHAPES: Final[dict[str, tuple[int, int, Callable[[str], int]]]] = {
    **{f"i{bits}x{128 // bits}": (128 // bits, bits, partial(parse_int, bits=bits)) for bits in (8, 16, 32, 64)},
    "f32x4": (4, 32, parse_f32),
    "f64x2": (2, 64, parse_f64),
}
"""The words for how a v128 is made of lanes: how many there are, their bits, and what parses one."""


def join_lanes(lanes: Sequence[int]) -> int:
    """The bits of a v128 with these lanes (numbers, signed or not), the first one lowest."""
    width = 128 // len(lanes)
    mask = (1 << width) - 1
    return sum((lane & mask) << width * i for i, lane in enumerate(lanes))


def _parse_float(text: str, precision: int, exponent_mask: int) -> int:
    match = _match_float(text)
    if match is None:
        raise ValueError(NOT_A_NUMBER)
    infinity = exponent_mask << (precision - 1)
    if match["dec"]:
        bits = (_decimal_f64 if precision == 53 else _decimal_f32)(match["dec"].replace("_", ""))
        if bits >= infinity:
            raise ValueError(OUT_OF_RANGE)
    elif match["hex"]:
        bits = _hex_float(match, precision, exponent_mask)
        if bits >= infinity:
            raise ValueError(OUT_OF_RANGE)
    elif match["inf"]:
        bits = infinity
    else:
        payload = int(match["payload"], 16) if match["payload"] else 1 << (precision - 2)
        if not 0 < payload < 1 << (precision - 1):
            raise ValueError(OUT_OF_RANGE)
        bits = infinity | payload
    if match[1] == "-":
        bits |= (exponent_mask + 1) << (precision - 1)
    return bits


def _decimal_f64(text: str) -> int:
    return int.from_bytes(_pack_f64(float(text)), "little")  # float() rounds exactly


def _decimal_f32(text: str) -> int:
    """By way of the nearest double, which is on the right side of every midpoint of singles unless it *is* one."""
    double = float(text)
    try:
        bits = int.from_bytes(_pack_f32(double), "little")
    except OverflowError:  # beyond the midpoint of the largest single and the next power of two, or on it
        if double == _F32_OVERFLOW and Decimal(text) < Decimal(double):
            return 0x7F7F_FFFF
        raise ValueError(OUT_OF_RANGE) from None
    single = struct.unpack("<f", _pack_f32(double))[0]
    if single == double:
        # An exact single may still stand for something a little off, but that is nearer to it than to its neighbours.
        return bits
    other = bits + (1 if double > single else -1)
    neighbour = struct.unpack("<f", other.to_bytes(4, "little"))[0]
    if abs(double - single) != abs(neighbour - double):
        return bits
    exact = Decimal(text)
    midpoint = Decimal(double)
    if exact == midpoint:
        return bits
    return max(bits, other) if exact > midpoint else min(bits, other)


_F32_OVERFLOW: Final = float((1 << 128) - (1 << 103))  # the midpoint of the largest single and 2 to the 128


def _hex_float(match: re.Match[str], precision: int, exponent_mask: int) -> int:
    """Magnitude bits of `mantissa * 2**exponent`, rounded once; infinity or more where it is too large."""
    fraction = (match["hexfrac"] or "").replace("_", "")
    mantissa = int(match["hex"].replace("_", "") + fraction, 16)
    if not mantissa:
        return 0
    exponent = _clamped_exponent(match["exp"]) - 4 * len(fraction)
    smallest = 2 - exponent_mask // 2 - precision  # exponent of the last bit of a subnormal
    unit = max(mantissa.bit_length() + exponent - precision, smallest)
    shift = unit - exponent
    if shift <= 0:
        rounded = mantissa << -shift
    elif shift > mantissa.bit_length() + 1:
        return 0
    else:
        rounded = mantissa >> shift
        rest = mantissa & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        if rest > half or (rest == half and rounded & 1):
            rounded += 1
    hidden = 1 << (precision - 1)
    if rounded < hidden:
        return rounded
    biased = unit - smallest + 1
    if biased >= exponent_mask:
        return exponent_mask << (precision - 1)
    return (biased << (precision - 1)) + rounded - hidden


def _clamped_exponent(text: str | None) -> int:
    if not text:
        return 0
    digits = text.lstrip("+-").replace("_", "").lstrip("0") or "0"
    # Far beyond what a literal of any length could make up for, and small enough to compute with.
    value = int(digits) if len(digits) < _MAX_DIGITS else 10**_MAX_DIGITS
    return -value if text[0] == "-" else value
