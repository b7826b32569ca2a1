"""Damage: take a sound module's bytes and a source of chance, leave bytes that may mean anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

CODE_SECTION = 10
NESTED_SECTIONS = (1, 4)
"""Where a component has modules and components."""

# Bytes that mean something almost everywhere: limits of LEB128, the edges of signed ranges, types, `end`, prefixes.
TELLING_BYTES = bytes.fromhex("00 01 02 03 04 05 0b 0f 3f 40 41 60 6f 70 7c 7d 7e 7f 80 81 c0 d0 fb fc fd fe ff")
TELLING_RUNS = (
    b"\xff\xff\xff\xff\x0f",  # the largest u32
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # the largest u64
    b"\x80\x80\x80\x80\x00",  # zero, as long as it may be
    b"\x80\x80\x80\x80\x80\x00",  # and longer
    b"\xff\xff\xff\xff\x7f",
    b"\x02\x40" * 40,  # nested blocks
    b"\x0b" * 8,
    b"\x00asm\x01\x00\x00\x00",
    b"\xc0\x80\xe0\x80\x80",  # no UTF-8
)


def flip_bit(data: bytearray, random: Random, _other: bytes) -> None:
    position = random.randrange(len(data))
    data[position] ^= 1 << random.randrange(8)


def set_byte(data: bytearray, random: Random, _other: bytes) -> None:
    data[random.randrange(len(data))] = random.choice(TELLING_BYTES)


def any_byte(data: bytearray, random: Random, _other: bytes) -> None:
    data[random.randrange(len(data))] = random.randrange(256)


def insert_byte(data: bytearray, random: Random, _other: bytes) -> None:
    data.insert(random.randrange(len(data) + 1), random.randrange(256))


def insert_run(data: bytearray, random: Random, _other: bytes) -> None:
    position = random.randrange(len(data) + 1)
    data[position:position] = random.choice(TELLING_RUNS)


def overwrite_run(data: bytearray, random: Random, _other: bytes) -> None:
    run = random.choice(TELLING_RUNS)
    position = random.randrange(len(data))
    data[position : position + len(run)] = run


def cut_out(data: bytearray, random: Random, _other: bytes) -> None:
    start, end = _range(data, random)
    del data[start:end]


def cut_off(data: bytearray, random: Random, _other: bytes) -> None:
    del data[random.randrange(len(data)) :]


def repeat(data: bytearray, random: Random, _other: bytes) -> None:
    start, end = _range(data, random)
    data[end:end] = data[start:end] * random.choice((1, 1, 2, 50))


def swap(data: bytearray, random: Random, _other: bytes) -> None:
    a, b, c, d = sorted(random.randrange(len(data) + 1) for _ in range(4))
    data[a:d] = data[c:d] + data[b:c] + data[a:b]


def splice(data: bytearray, random: Random, other: bytes) -> None:
    """A piece of another module in the place of a piece of this one."""
    start, end = _range(data, random)
    source, stop = _range(other, random)
    data[start:end] = other[source:stop]


def bump(data: bytearray, random: Random, _other: bytes) -> None:
    """A number one higher or lower: counts, sizes and indices that just do not fit."""
    position = random.randrange(len(data))
    data[position] = (data[position] + random.choice((-1, 1))) & 0xFF


DAMAGES: tuple[Callable[[bytearray, Random, bytes], None], ...] = (
    flip_bit,
    flip_bit,
    set_byte,
    set_byte,
    any_byte,
    bump,
    bump,
    insert_byte,
    insert_run,
    overwrite_run,
    cut_out,
    cut_off,
    repeat,
    swap,
    splice,
)


def damage(data: bytes, random: Random, other: bytes) -> bytes:
    """`data` with one to eight damages; the same `random` gives the same bytes.

    Half of the time they lie inside of one section, or of one function body, and the sizes around it are put right:
    bytes at random break a size so often that few would get beyond the decoder.
    """
    if random.random() < 0.5:
        return _any_damage(data, random, other)
    return _inside_a_section(data, random, other)


def _any_damage(data: bytes, random: Random, other: bytes) -> bytes:
    result = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 1, 2, 2, 3, 5, 8))):
        if result:
            random.choice(DAMAGES)(result, random, other)
    return bytes(result)


def _inside_a_section(data: bytes, random: Random, other: bytes) -> bytes:
    sections = []
    position = 8
    while position < len(data):
        size, start = _read_leb(data, position + 1)
        sections.append((data[position], data[start : start + size]))
        position = start + size
    if not sections:
        return _any_damage(data, random, other)
    chosen = random.randrange(len(sections))
    number, contents = sections[chosen]
    change: Callable[[bytes, Random, bytes], bytes] = _any_damage
    if data[6]:  # the layer of a component
        if number in NESTED_SECTIONS:
            change = damage
    elif number == CODE_SECTION:
        change = _inside_a_body
    sections[chosen] = (number, change(contents, random, other))
    return data[:8] + b"".join(bytes([number]) + _leb(len(body)) + body for number, body in sections)


def _inside_a_body(contents: bytes, random: Random, other: bytes) -> bytes:
    count, position = _read_leb(contents, 0)
    bodies = []
    for _ in range(count):
        size, start = _read_leb(contents, position)
        bodies.append(contents[start : start + size])
        position = start + size
    if not bodies:
        return _any_damage(contents, random, other)
    chosen = random.randrange(count)
    bodies[chosen] = _any_damage(bodies[chosen], random, other)
    return _leb(count) + b"".join(_leb(len(body)) + body for body in bodies)


def _read_leb(data: bytes, position: int) -> tuple[int, int]:
    """(value, position behind it) of an unsigned LEB128 number in a sound module."""
    value = shift = 0
    while True:
        byte = data[position]
        value |= (byte & 0x7F) << shift
        shift += 7
        position += 1
        if byte < 0x80:
            return value, position


def _leb(value: int) -> bytes:
    result = bytearray()
    while value >= 0x80:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*result, value])


def _range(data: bytes | bytearray, random: Random) -> tuple[int, int]:
    start = random.randrange(len(data))
    return start, min(len(data), start + random.choice((1, 2, 4, 8, 16, 64)))
