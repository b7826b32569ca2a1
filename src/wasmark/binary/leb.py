"""LEB128 integers (core §5.2.2), both ways; the only place that knows how they may be malformed.

Readers take `(data, position)` and return `(value, position behind it)`; they raise MalformedError at the byte that is
wrong. An encoding may be longer than needed, but not longer than ceil(N/7) bytes, and its unused bits must be sign or
zero bits.
"""

from __future__ import annotations

from wasmark.errors import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

UNEXPECTED_END = "unexpected end of section or function: the binary stops in the middle of it"


def unexpected_end(data: bytes) -> NoReturn:
    """Raise the error for bytes that stop too early."""
    raise MalformedError(UNEXPECTED_END, offset=len(data))


def _too_long(pos: int, bits: int) -> NoReturn:
    most = -(-bits // 7)
    raise MalformedError(f"integer representation too long: {bits} bits take at most {most} bytes", offset=pos)


def _too_large(pos: int, bits: int) -> NoReturn:
    raise MalformedError(f"integer too large: it has more than {bits} bits", offset=pos)


def read_u(data: bytes, pos: int, bits: int) -> tuple[int, int]:
    """An unsigned integer of `bits` bits."""
    value = shift = 0
    while True:
        if shift >= bits:
            _too_long(pos, bits)
        if pos >= len(data):
            unexpected_end(data)
        byte = data[pos]
        low = byte & 0x7F
        if low >> (bits - shift):
            _too_large(pos, bits)
        value |= low << shift
        pos += 1
        if byte < 0x80:
            return value, pos
        shift += 7


def read_s(data: bytes, pos: int, bits: int) -> tuple[int, int]:
    """A signed integer of `bits` bits (32 or more), quick where it takes at most four bytes."""
    chunk = data[pos : pos + 4]
    if len(chunk) == 4:
        first, second, third, fourth = chunk
        if first < 0x80:
            return first - (first << 1 & 0x80), pos + 1
        if second < 0x80:
            return (first & 0x7F | second << 7) - (second << 8 & 0x4000), pos + 2
        if third < 0x80:
            return (first & 0x7F | (second & 0x7F) << 7 | third << 14) - (third << 15 & 0x20_0000), pos + 3
        if fourth < 0x80:
            value = first & 0x7F | (second & 0x7F) << 7 | (third & 0x7F) << 14 | fourth << 21
            return value - (fourth << 22 & 0x1000_0000), pos + 4
    value = shift = 0
    while True:
        left = bits - shift
        if left <= 0:
            _too_long(pos, bits)
        if pos >= len(data):
            unexpected_end(data)
        byte = data[pos]
        low = byte & 0x7F
        if left < 7:
            # All bits from the sign bit upwards must be equal.
            upper = (0x7F << (left - 1)) & 0x7F
            if low & upper not in (0, upper):
                _too_large(pos, bits)
        value |= low << shift
        pos += 1
        shift += 7
        if byte < 0x80:
            return (value - (1 << shift) if byte & 0x40 else value), pos


def read_u32(data: bytes, pos: int) -> tuple[int, int]:
    """`read_u` for 32 bits, quick where the integer takes at most three bytes."""
    chunk = data[pos : pos + 3]
    if len(chunk) == 3:
        first, second, third = chunk
        if first < 0x80:
            return first, pos + 1
        if second < 0x80:
            return first & 0x7F | second << 7, pos + 2
        if third < 0x80:
            return first & 0x7F | (second & 0x7F) << 7 | third << 14, pos + 3
    return read_u(data, pos, 32)


def read_count(data: bytes, pos: int) -> tuple[int, int]:
    """The length of a vector, name or section, all of whose elements take a byte or more.

    The rest of `data` bounds it, so nobody has to trust it before the elements have been read.
    """
    count, behind = read_u32(data, pos)
    if count > len(data) - pos:
        raise MalformedError(f"length out of bounds: {count} of {len(data) - behind} bytes that are left", offset=pos)
    return count, behind


def read_u32_vector(data: bytes, pos: int) -> tuple[tuple[int, ...], int]:
    """A vector of u32."""
    count, pos = read_count(data, pos)
    return read_u32_items(data, pos, count)


def read_u32_items(data: bytes, pos: int, count: int) -> tuple[tuple[int, ...], int]:
    """`count` times a u32. The caller has bounded `count`."""
    chunk = data[pos : pos + count]
    # Bytes below 0x80 are whole integers; most vectors of indices consist of nothing else.
    if len(chunk) == count and chunk.isascii():
        return tuple(chunk), pos + count
    items = []
    for _ in range(count):
        item, pos = read_u32(data, pos)
        items.append(item)
    return tuple(items), pos


def write_u(value: int) -> bytes:
    """The shortest encoding of a non-negative integer."""
    if value < 0x80:
        if value < 0:
            raise ValueError(f"not an unsigned integer: {value}")
        return _ONE_BYTE[value]
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def write_s(value: int) -> bytes:
    """The shortest encoding of a signed integer."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value & 0x7F)
    return bytes(out)


_ONE_BYTE = tuple(bytes([value]) for value in range(0x80))
