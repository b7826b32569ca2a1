"""Fuel: what instructions cost, and where they are paid for.

A run of instructions that can only be left at its end is paid for before its first one; where the store has not enough,
it traps there, and has what it had. Most instructions cost 1. What only gives code its structure costs nothing; nor
does `drop`. A run ends with an instruction that may go elsewhere, and at every label; a call ends one, so that the
callee finds what is left when it is called.

Both compilers see the same list of instructions, with one of ours before each run, so they count alike, and code may
change from one to the other at any loop: there, too, a run begins.
"""

from __future__ import annotations

from wasmark.compile.templates import prepare
from wasmark.core.features import Feature
from wasmark.core.opcodes import OPCODES, Imm, Opcode
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

    from wasmark.binary import Instr

FUEL: Final = Opcode(-1, 0, "fuel", Imm.NONE, None, Feature.MVP)
"""Not an instruction of the standard: its immediate is the cost of the run that it stands before."""

_MARKS: Final = frozenset({"loop", "else", "end", "catch", "catch_all", "delegate"})
_FREE: Final = _MARKS | {"nop", "drop", "block", "try", "try_table"}
_LAST: Final = _MARKS | {"if", "unreachable", "return", "rethrow"}
_LAST_PREFIXES: Final = ("br", "call", "return_call", "throw")

_ROWS: Final = {
    op: (int(op.name not in _FREE), op.name in _LAST or op.name.startswith(_LAST_PREFIXES)) for op in OPCODES
}
"""Of each row, what it costs and whether a run ends with it."""


def with_fuel(instrs: list[Instr]) -> list[Instr]:
    """A decoded body with a FUEL before each run that costs something."""
    found: list[Instr] = []
    run: list[Instr] = []
    cost = 0
    for instr in instrs:
        run.append(instr)
        price, last = _ROWS[instr[0]]
        cost += price
        if last:
            if cost:
                found.append((FUEL, cost, run[0][2]))
            found += run
            run = []
            cost = 0
    return found + run


_WHERE: Final = (
    "%sbp{n} = getelementptr i8, ptr {vm}, i64 8\n%sb{n} = load ptr, ptr %sbp{n}, !invariant.load !0\n"
    f"%tank{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {L.STORE_FUEL}\n"
)
_PAY: Final = (
    "%left{n} = sub i64 %fuel{n}, {o}@\n%out{n} = icmp slt i64 %left{n}, 0@\n"
    "br i1 %out{n}, label %t{n}, label %k{n}, !prof !2\nt{n}:\n@TOUT_OF_FUEL\nk{n}:\n"
    "store volatile i64 %left{n}, ptr %tank{n}@"
)

PAY: Final = prepare(_WHERE + "%fuel{n} = load volatile i64, ptr %tank{n}@\n" + _PAY)
"""The template of FUEL; `{o}` is its cost. In memory, and in order with what may trap: what is left is always exact."""

KEPT: Final = "%kept0"
"""Where optimised code knows what is left, beside the store: a run need not wait for what the one before has stored.
After a call it asks the store again."""

STEPS: Final[dict[str, str]] = {
    "fuel": PAY,
    "fuel kept": prepare(_WHERE + "%fuel{n} = load i64, ptr {known}\n" + _PAY + "\nstore i64 %left{n}, ptr {known}"),
    "fuel again": _WHERE + "%fuel{n} = load volatile i64, ptr %tank{n}\nstore i64 %fuel{n}, ptr {known}",
}
"""What the translator for LLVM fills in; `{known}` is KEPT."""


def is_left_to_handlers(instrs: list[Instr]) -> bool:
    """Whether control may come to a label of the body out of a callee that has thrown: what is left there, the store
    alone knows."""
    return any(row.name in ("try", "try_table") for row, _, _ in instrs)
