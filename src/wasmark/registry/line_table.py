"""The map from machine addresses to wasm bytes and traps, as it comes out of the compiler: DWARF line programs (§6.2).

In compiled code a *line* is the offset of an instruction in the wasm binary (0: not known, it belongs to the function
as a whole), and a *column* says what may go wrong at that place:

    0        nothing
    1..63    the `TrapCode` of an explicit trap instruction
    64       an access to a linear memory that may fault
    65       a call that goes on with the same activation of the same function in other code: not a frame of its own
    66       a call that has a handler for exceptions
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_left, bisect_right
from operator import itemgetter

from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MEMORY_ACCESS: Final = 64
SAME_ACTIVATION: Final = 65
CATCHES: Final = 66

# Standard opcodes (DWARF 5 §6.2.5.2) and extended ones (§6.2.5.3).
_COPY, _ADVANCE_PC, _ADVANCE_LINE, _SET_FILE, _SET_COLUMN = 1, 2, 3, 4, 5
_CONST_ADD_PC, _FIXED_ADVANCE_PC = 8, 9
_END_SEQUENCE, _SET_ADDRESS = 1, 2
_ADDRESS: Final = struct.Struct("<Q")

_NOTHING: Final = (0, 0)
_BLOCK_SHIFT: Final = 7


class LineTable:
    """Rows (start address, line, column), sorted; a row holds until the next one starts.

    Addresses are kept as 32-bit distances from `base`. `_blocks` says for each block of addresses how many rows start
    up to its first byte: a look-up searches a block and not the whole table.
    """

    __slots__ = ("_blocks", "_columns", "_lines", "_starts", "base")

    def __init__(self, base: int, rows: list[tuple[int, int, int]]) -> None:
        """`rows` are (absolute address, line, column), sorted by address; of several at one address the last counts."""
        self.base = base
        self._starts = array("I", [row[0] - base for row in rows])
        self._lines = array("I", [row[1] for row in rows])
        # LLVM lets the column of the row before stand where the line is not known: there it means nothing.
        self._columns = array("B", [row[2] if row[1] else 0 for row in rows])
        last = self._starts[-1] if rows else 0
        self._blocks = array("I", [bisect_right(self._starts, start) for start in range(0, last, 1 << _BLOCK_SHIFT)])
        self._blocks.append(len(rows))

    def __len__(self) -> int:
        return len(self._starts)

    def find(self, address: int) -> tuple[int, int]:
        """(line, column) of an address; (0, 0) where the table says nothing."""
        offset = address - self.base
        if offset < 0:
            return _NOTHING
        blocks = self._blocks
        block = offset >> _BLOCK_SHIFT
        if block + 1 < len(blocks):
            position = bisect_right(self._starts, offset, blocks[block], blocks[block + 1]) - 1
        else:
            position = bisect_right(self._starts, offset) - 1
        return (self._lines[position], self._columns[position]) if position >= 0 else _NOTHING

    def rows(self, start: int = 0, end: int = 1 << 64) -> list[tuple[int, int, int]]:
        """The rows as (start address, line, column) that hold somewhere in [start, end); the first may start before."""
        base = self.base
        first = max(0, bisect_right(self._starts, start - base) - 1)
        chosen = slice(first, bisect_left(self._starts, end - base))
        return [
            (base + at, line, column)
            for at, line, column in zip(self._starts[chosen], self._lines[chosen], self._columns[chosen], strict=True)
        ]


def decode_line_programs(section: bytes | bytearray | memoryview, base: int, limit: int, bias: int = 0) -> LineTable:
    """The table of one object's `.debug_line`. Its addresses, plus `bias`, lie in [base, limit].

    Raises Error for programs that are damaged or of a kind that LLVM does not write for this machine.
    """
    rows: list[tuple[int, int, int]] = []
    ends: list[tuple[int, int, int]] = []
    position = 0
    program = bytes(section)
    try:
        while position < len(program):
            position = _decode_unit(program, position, rows, ends)
        # Where one sequence ends and the next one starts, the start counts: sorting is stable, and it comes behind.
        rows = ends + rows
        rows.sort(key=itemgetter(0))
        if rows and (rows[0][0] + bias < base or rows[-1][0] + bias > limit):
            raise Error("damaged line table: it names addresses outside of its code")
        table = LineTable(base - bias, rows)
        table.base = base
        return table
    except (IndexError, struct.error):
        raise Error("damaged line table: it ends too early") from None
    except OverflowError:
        raise Error("damaged line table: a line or column is out of range") from None


def _decode_unit(
    section: bytes, position: int, rows: list[tuple[int, int, int]], ends: list[tuple[int, int, int]]
) -> int:
    """Decode the unit at `position`; answers where the next one starts."""
    length, version = struct.unpack_from("<IH", section, position)
    if length >= 0xFFFFFFF0 or version not in (4, 5):
        raise Error(f"line table of an unknown form (version {version})")
    end: int = position + 4 + length
    if end > len(section):
        raise Error("damaged line table: a unit is longer than its section")
    # After the version: in DWARF 5 the sizes of an address and of a segment selector; then the header's length.
    position += 6 if version == 4 else 8
    (header_length,) = struct.unpack_from("<I", section, position)
    position += 4
    program = position + header_length
    least, most_operations, _, line_base, line_range, opcode_base = struct.unpack_from("<BBBbBB", section, position)
    if least != 1 or most_operations != 1 or not line_range or not opcode_base or program > end:
        raise Error("line table of an unknown form")
    operand_counts = section[position + 6 : position + 5 + opcode_base]
    _run(section[program:end], rows, ends, line_base, line_range, opcode_base, operand_counts)
    return end


def _run(
    code: bytes,
    rows: list[tuple[int, int, int]],
    ends: list[tuple[int, int, int]],
    line_base: int,
    line_range: int,
    opcode_base: int,
    operand_counts: bytes,
) -> None:
    """The state machine of §6.2.2, reduced to the registers that matter here. `ends` gets the ends of sequences."""
    emit = rows.append
    special = [divmod(opcode - opcode_base, line_range) for opcode in range(256)]
    const_add_pc = special[255][0]
    address, line, column = 0, 1, 0
    position, size = 0, len(code)
    while position < size:
        opcode = code[position]
        position += 1
        if opcode >= opcode_base:
            advance, change = special[opcode]
            address += advance
            line += line_base + change
            emit((address, line, column))
        elif opcode == _SET_COLUMN:
            column = code[position]
            position += 1
            if column >= 0x80:
                column, position = _unsigned(code, position - 1)
        elif opcode == _ADVANCE_LINE:
            change, position = _signed(code, position)
            line += change
        elif opcode == _ADVANCE_PC:
            change, position = _unsigned(code, position)
            address += change
        elif opcode == _CONST_ADD_PC:
            address += const_add_pc
        elif opcode == _COPY:
            emit((address, line, column))
        elif opcode == _FIXED_ADVANCE_PC:
            address += code[position] | code[position + 1] << 8
            position += 2
        elif opcode == 0:
            length, position = _unsigned(code, position)
            extended = code[position]
            if extended == _SET_ADDRESS:
                (address,) = _ADDRESS.unpack_from(code, position + 1)
            elif extended == _END_SEQUENCE:
                ends.append((address, 0, 0))
                address, line, column = 0, 1, 0
            position += length
        else:
            # The rest changes no register that is kept: skip its operands, as the header counts them.
            for _ in range(operand_counts[opcode - 1]):
                _, position = _unsigned(code, position)


def _unsigned(code: bytes, position: int) -> tuple[int, int]:
    byte = code[position]
    position += 1
    if byte < 0x80:
        return byte, position
    value = byte & 0x7F
    shift = 7
    while True:
        byte = code[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def _signed(code: bytes, position: int) -> tuple[int, int]:
    start = position
    value, position = _unsigned(code, position)
    bits = 7 * (position - start)
    return (value - (1 << bits) if value >> (bits - 1) else value), position
