"""The notation in which instructions are lowered: LLVM IR text with named operands.

A template is filled in with `str.format`:
`{r}` result, `{a} {b} {c}` operands (deepest first), `{n}` a number unique in the function, `{d}` the start of a debug
location. Before that, `prepare` expands two abbreviations:

`@`        the location of a plain instruction (its wasm offset as the line)
`@M`       the location of an access to a 32-bit memory, which may fault
`@T<code>` a whole trap: the trap instruction with its code and location; nothing can follow it in a block

The column of a location tells trap sites apart, see `registry.line_table`. A template knows nothing of where its
operands come from, so it serves every tier.
"""

from __future__ import annotations

import re

from wasmark.errors import TrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

MEMORY_ACCESS_COLUMN: Final = 64
"""Column of instructions that may fault on a guard page; trap instructions have their code (1 to 63) there."""

_ABBREVIATION: Final = re.compile(r"@(M|T[A-Z_0-9]+)?(?![a-z])")


def _expand(match: re.Match[str]) -> str:
    kind = match.group(1)
    if kind is None:
        return "{d})"
    if kind == "M":
        return f"{{d}}, column: {MEMORY_ACCESS_COLUMN})"
    code = TrapCode[kind[1:]].value
    return f"call void @llvm.ubsantrap(i8 {code}) #1{{d}}, column: {code})\nunreachable"


def prepare(text: str) -> str:
    """Expand the abbreviations; intrinsics such as `@llvm.fabs` are left alone (a small letter follows the `@`)."""
    return _ABBREVIATION.sub(_expand, text)


def location(offset: int, scope: int) -> str:
    """What `{d}` stands for: a debug location without its closing parenthesis."""
    return f", !dbg !DILocation(line: {offset}, scope: !{scope}"
