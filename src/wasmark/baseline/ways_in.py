"""What the thunks of a module take from the library of stencils. A module in the cache has it with its code, and so
needs no library.

The vmctx is the first argument of a function: in rdi, or in rsi where results that fit no registers go through memory.
"""

from __future__ import annotations

from wasmark.baseline.compose import is_composed
from wasmark.compile.abi import trampoline_symbol
from wasmark.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from wasmark.baseline.library import Library

_FIRST: Final = b"\x4c\x89\xe7"  # mov rdi, r12: how a `call` stencil passes its own vmctx on
_SECOND: Final = b"\x4c\x89\xe6"  # mov rsi, r12


def contexts(library: Library, signatures: Sequence[str]) -> bytes:
    """For each function, by its signature, a byte: 0 where its vmctx is in rdi, 1 where it is in rsi."""
    by_signature = {signature: _context(library, signature) for signature in dict.fromkeys(signatures)}
    return bytes(map(by_signature.__getitem__, signatures))


def trampolines(library: Library, signatures: Iterable[str]) -> dict[str, bytes]:
    """The code of the trampoline of each signature."""
    names = {signature: trampoline_symbol(signature) for signature in signatures}
    return {signature: bytes(library[name].data.code) for signature, name in names.items()}


def _context(library: Library, signature: str) -> int:
    """Which argument register it is: for stencils that LLVM made as a whole, as it is in the code of a call."""
    if is_composed(signature):
        return 0
    code = library[f"call {signature}"].data.code
    found = [_FIRST in code, _SECOND in code]
    if sum(found) != 1:
        raise Error(f"the call of {signature!r} does not show where its context is")
    return found.index(True)
