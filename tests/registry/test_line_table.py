"""The line table against programs written by hand, by a generator, and by LLVM."""

from __future__ import annotations

import random
import struct

import pytest

from tests.registry.support import SEED_FUNCTIONS, build_image, build_module
from wasmark.errors import Error
from wasmark.registry.line_table import LineTable, decode_line_programs

BASE = 0x7F00_0000_0000
LIMIT = BASE + 0x100000
LINE_BASE, LINE_RANGE, OPCODE_BASE = -5, 14, 13
OPERAND_COUNTS = bytes([0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1])


def uleb(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def sleb(value: int) -> bytes:
    out = bytearray()
    while not -64 <= value < 64:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value & 0x7F])


def set_address(address: int) -> bytes:
    return b"\0\x09\x02" + struct.pack("<Q", address)


END = b"\0\x01\x01"


def unit(program: bytes, *, version: int = 5, least: int = 1, extra_header: bytes = b"\x01\x01\x00") -> bytes:
    """A line table unit around a program."""
    fixed = struct.pack("<BBBbBB", least, 1, 1, LINE_BASE, LINE_RANGE, OPCODE_BASE) + OPERAND_COUNTS + extra_header
    head = struct.pack("<H", version) + (b"\x08\0" if version == 5 else b"") + struct.pack("<I", len(fixed))
    body = head + fixed + program
    return struct.pack("<I", len(body)) + body


def encode(rows: list[tuple[int, int, int]], end: int, rng: random.Random) -> bytes:
    """A sequence with these rows, using at random every way there is to say it."""
    address, line, column = rows[0][0], 1, 0
    out = bytearray(set_address(address))
    for to_address, to_line, to_column in rows:
        if rng.random() < 0.2:
            out += rng.choice([b"\x06", b"\x07", b"\x0a", b"\x0b", b"\x04\x01", b"\x0c\x81\x01", b"\0\x03\x80ab"])
        if to_column != column:
            out += b"\x05" + uleb(to_column)
            column = to_column
        while address < to_address:
            gap = to_address - address
            way = rng.randrange(4)
            if way == 0 and gap >= 17:
                out += b"\x08"
                address += 17
            elif way == 1:
                step = rng.randint(1, min(gap, 0xFFFF))
                out += b"\x09" + struct.pack("<H", step)
                address += step
            elif way == 2 and gap <= (255 - OPCODE_BASE + LINE_BASE) // LINE_RANGE:
                break
            else:
                out += b"\x02" + uleb(gap)
                address = to_address
        change, gap = to_line - line, to_address - address
        if (
            not LINE_BASE <= change < LINE_BASE + LINE_RANGE
            or OPCODE_BASE + change - LINE_BASE + gap * LINE_RANGE > 255
        ):
            out += b"\x03" + sleb(change)
            change = 0
        if gap or change or rng.random() < 0.5:
            out.append(OPCODE_BASE + change - LINE_BASE + gap * LINE_RANGE)
        else:
            out += b"\x01"
        address, line = to_address, to_line
    out += b"\x02" + uleb(end - address) + END
    return bytes(out)


def answers(table: LineTable, addresses: list[int]) -> list[tuple[int, int]]:
    return [table.find(address) for address in addresses]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("seed", range(20))
def test_a_table_says_of_every_address_what_its_program_says(seed: int, version: int) -> None:
    rng = random.Random(seed)
    truth: dict[int, tuple[int, int]] = {}
    sequences = []
    start = BASE
    for _ in range(rng.randint(1, 6)):
        addresses = sorted(rng.sample(range(start, start + 3000), rng.randint(1, 200)))
        rows = [
            (address, rng.choice([0, rng.randint(1, 60), rng.randint(0, 2**32 - 1)]), rng.choice([0, 0, 2, 64, 200]))
            for address in addresses
        ]
        end = addresses[-1] + rng.randint(1, 300)
        sequences.append(encode(rows, end, rng))
        bounds = [*addresses[1:], end]
        for (address, line, column), until in zip(rows, bounds, strict=True):
            truth.update(dict.fromkeys(range(address, until), (line, column if line else 0)))
        start = end + rng.choice([0, 0, 10])
    rng.shuffle(sequences)
    split = rng.randint(0, len(sequences))
    section = b"".join(unit(b"".join(part), version=version) for part in (sequences[:split], sequences[split:]) if part)
    table = decode_line_programs(section, BASE, LIMIT)
    everywhere = list(range(BASE - 5, start + 600))
    assert answers(table, everywhere) == [truth.get(address, (0, 0)) for address in everywhere]


def test_an_empty_table_knows_nothing() -> None:
    table = decode_line_programs(b"", BASE, LIMIT)
    assert len(table) == 0
    assert answers(table, [-1, 0, BASE, 2**64]) == [(0, 0)] * 4


def test_the_last_row_at_an_address_counts() -> None:
    program = set_address(BASE) + b"\x03\x06\x01\x03\x01\x01\x02\x04" + END
    assert decode_line_programs(unit(program), BASE, LIMIT).find(BASE) == (8, 0)


def test_the_start_of_a_sequence_counts_more_than_the_end_of_another() -> None:
    first = set_address(BASE) + b"\x01\x02\x08" + END
    second = set_address(BASE + 8) + b"\x03\x06\x01\x02\x08" + END
    for program in (first + second, second + first):
        table = decode_line_programs(unit(program), BASE, LIMIT)
        assert answers(table, [BASE, BASE + 7, BASE + 8, BASE + 15, BASE + 16]) == [
            (1, 0),
            (1, 0),
            (7, 0),
            (7, 0),
            (0, 0),
        ]


GOOD = unit(set_address(BASE) + b"\x05\x81\x01\x03\xe4\x00\x01\x02\x08" + END)


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (unit(b"", version=3), "unknown form"),
        (unit(b"", version=6), "unknown form"),
        (unit(b"", least=4), "unknown form"),
        (b"\xff\xff\xff\xff" + GOOD, "unknown form"),
        (GOOD[:-1], "longer than its section"),
        (GOOD + b"\x01", "too early"),
        (unit(b"\x02\x80"), "too early"),
        (unit(b"\0\x09\x02\x01"), "too early"),
        (unit(set_address(BASE - 1) + b"\x01" + END), "outside of its code"),
        (unit(set_address(LIMIT) + b"\x02\x01\x01" + END), "outside of its code"),
        (unit(set_address(BASE) + b"\x03\x40\x01" + END), "out of range"),
        (unit(set_address(BASE) + b"\x05\x80\x02\x01" + END), "out of range"),
    ],
)
def test_damaged_tables_are_clear_errors(section: bytes, message: str) -> None:
    assert decode_line_programs(GOOD, BASE, LIMIT).find(BASE) == (101, 129)
    with pytest.raises(Error, match=message):
        decode_line_programs(section, BASE, LIMIT)


def test_damage_anywhere_is_an_error_or_a_table() -> None:
    image = build_image([SEED_FUNCTIONS])
    (source,) = image.line_sources
    rng = random.Random(3)
    outcomes = set()
    for _ in range(3000):
        program = bytearray(source.program)
        for _ in range(rng.randint(1, 4)):
            program[rng.randrange(len(program))] = rng.randrange(256)
        if rng.random() < 0.2:
            del program[rng.randrange(len(program)) :]
        try:
            outcomes.add(type(decode_line_programs(bytes(program), source.start, source.end)))
        except Error:
            outcomes.add(Error)
    assert outcomes == {LineTable, Error}


def test_what_llvm_wrote_covers_all_of_the_code() -> None:
    module = build_module()
    assert module.code is not None
    (table,) = module.code.line_tables()
    rows = table.rows()
    assert rows == sorted(rows)
    assert len(rows) == len(table)
    assert rows[0][0] == module.code.text_start
    assert rows[-1] == (module.functions[-1][2], 0, 0)
    lines = {line for _, line, _ in rows if line}
    assert lines == {0x40 + 0x20 * number + 5 for number in range(7)}
