"""Which stencil serves which instruction, as tuples that the translator's loop takes apart.

A rule starts with its kind. Kinds below METHOD are handled in the loop; a METHOD rule names what does the rest.
"""

from __future__ import annotations

from wasmark.compile.access import LOADS, STORES
from wasmark.compile.numeric import NUMERIC
from wasmark.compile.vector import V128
from wasmark.core.opcodes import OPCODES, Opcode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.baseline.library import Library
    from wasmark.baseline.stencil import Stencil
else:
    Any = object

GET, CONST, UNARY, BINARY, SET, TEE, LOAD, STORE, NOTHING, METHOD = range(10)

_COMMUTATIVE: Final = frozenset({"add", "mul", "and", "or", "xor", "eq", "ne"})

Rule = tuple[Any, ...]


def _limit(const: Stencil | None, hole: str) -> int:
    """The largest number that a hole for a 64-bit constant takes as it is."""
    return 0xFFFFFFFF if const is not None and hole in const.unsigned else 0x7FFFFFFF


def _unary(library: Library, name: str) -> Rule:
    """(UNARY, stencil's number, size, mark, A, D, relocations, `if` stencil, `unless` stencil)"""
    s = library[name]
    return (
        *(UNARY, s.number, s.size, s.mark, s.A, s.D, s.relocations),
        library.get(f"{name} if"),
        library.get(f"{name} unless"),
    )


def _binary(library: Library, op: Opcode) -> Rule:
    """(BINARY, number, size, mark, A, B, D, relocations, `const` stencil, the largest constant that it takes (0: any),
    is commutative, `if` stencil, `unless`, `const if`, `const unless`)"""
    s = library[op.name]
    const = library.get(f"{op.name} const")
    assert op.sig is not None
    return (
        *(BINARY, s.number, s.size, s.mark, s.A, s.B, s.D, s.relocations),
        const,
        _limit(const, "X") if op.sig[1] == "I" else 0,
        op.sig[1] in "iI" and op.name.partition(".")[2] in _COMMUTATIVE,
        library.get(f"{op.name} if"),
        library.get(f"{op.name} unless"),
        library.get(f"{op.name} const if"),
        library.get(f"{op.name} const unless"),
    )


def _load(library: Library, op: Opcode) -> Rule:
    """(LOAD, number, size, mark, A, X, D, relocations, `static` stencil, bytes accessed)"""
    s = library[op.name]
    return (
        *(LOAD, s.number, s.size, s.mark, s.A, s.X, s.D, s.relocations),
        library[f"{op.name} static"],
        op.access,
    )


def _store(library: Library, op: Opcode) -> Rule:
    """(STORE, number, size, mark, A, B, X, relocations, `static` stencil, bytes accessed, `const` stencil, the largest
    constant that it takes (0: any))"""
    s = library[op.name]
    const = library.get(f"{op.name} const")
    return (
        *(STORE, s.number, s.size, s.mark, s.A, s.B, s.X, s.relocations),
        library[f"{op.name} static"],
        op.access,
        const,
        _limit(const, "Z") if op.name.startswith("i64") else 0,
    )


_PLAIN: Final = {
    "local.get": GET,
    "local.set": SET,
    "local.tee": TEE,
    "i32.const": CONST,
    "i64.const": CONST,
    "nop": NOTHING,
}


RARE_ACCESSES: Final = frozenset(
    [name for name, row in LOADS.items() if row[2] == V128] + [name for name, row in STORES.items() if row[0] == V128]
)
"""Loads and stores that are not handled in the loop."""

_ACCESSES: Final = (LOADS.keys() | STORES.keys()) - RARE_ACCESSES


def has_method(op: Opcode) -> bool:
    """Whether the translator has a method for this row: it is neither handled in the loop nor only a template."""
    name = op.name
    return not (name in _PLAIN or name in NUMERIC or name == "ref.is_null" or name in _ACCESSES)


def rules(library: Library, methods: dict[Opcode, Any]) -> dict[Opcode, Rule]:
    """The rule of every row; `methods` has what a METHOD rule names.

    Raises KeyError for a row that nobody serves.
    """
    found: dict[Opcode, Rule] = {op: (METHOD, method) for op, method in methods.items()}
    for op in OPCODES:
        name = op.name
        if op in found:
            continue
        if name in _PLAIN:
            found[op] = (_PLAIN[name],)
        elif name in NUMERIC:
            assert op.sig is not None
            found[op] = _unary(library, name) if op.sig.index(":") == 1 else _binary(library, op)
        elif name == "ref.is_null":
            found[op] = _unary(library, name)
        elif name in LOADS:
            found[op] = _load(library, op)
        else:
            found[op] = _store(library, op)
    return found
