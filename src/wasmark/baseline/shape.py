"""What the bodies of all stencils are made of: holes, slots of the frame, and the way on (see `shapes`)."""

from __future__ import annotations

from wasmark.compile.abi import LETTER_TO_LLVM
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

SCOPE: Final = "!SCOPE"
"""Stands for the number of the stencil's debug scope."""

DEBUG: Final = f", !dbg !DILocation(line: 1, scope: {SCOPE}"

PARAMETERS: Final = "(ptr %vm, ptr %fp, ptr %mb)"
NEXT: Final = f"musttail call preserve_nonecc void @next{PARAMETERS}\nret void\n"
TAKEN: Final = f"musttail call preserve_nonecc void @taken{PARAMETERS}\nret void\n"

COMPARISON_END: Final = "zext i1 %c{n} to i32{d})"
"""How the templates of comparisons end."""

COMMON: Final = {"r": "%r", "n": "_", "d": DEBUG, "vm": "%vm", "a": "%a", "b": "%b", "c": "%c"}


def constant(hole: str, type_: str = "i64") -> str:
    """A hole as a constant expression."""
    return f"ptrtoint (ptr @{hole} to {type_})"


def load_slot(value: str, type_: str, hole: str, more: int = 0) -> str:
    """Load `value` from the slot at a hole, plus `more` bytes."""
    address = f"{value}.p = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
    if more:
        address += f"{value}.q = getelementptr i8, ptr {value}.p, i64 {more}\n"
    return f"{address}{value} = load {type_}, ptr {value}.{'q' if more else 'p'}, align {SLOT_SIZE}{DEBUG})\n"


def store_slot(value: str, type_: str, hole: str = "D") -> str:
    """Store `value` to the slot at a hole."""
    address = f"%to.p = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
    return f"{address}store {type_} {value}, ptr %to.p, align {SLOT_SIZE}{DEBUG})\n"


def operands(letters: str, *, const_last: bool = False) -> str:
    """Load `%a`, `%b`, `%c` from the slots at A, B and C, one letter each; the last one may be the constant at X."""
    text = ""
    for i, letter in enumerate(letters):
        type_ = LETTER_TO_LLVM[letter]
        if const_last and i == len(letters) - 1:
            text += f"%{'abc'[i]} = add {type_} {constant('X', type_)}, 0\n"
        else:
            text += load_slot(f"%{'abc'[i]}", type_, "ABC"[i])
    return text


def plain(body: str, result: str = "") -> str:
    """A whole stencil: the body, its result `%r` of an LLVM type stored to D, and on."""
    return f"{body}\n{store_slot('%r', result) if result else ''}{NEXT}"
