"""Makes the artefact that `jit.shipped` finds in the package: needs LLVM, and half a minute at most.

Which signatures there are in the world is not known, but what most of them look like is. Pieces serve any signature, so
there is one for each number of arguments on the stack up to a good many. Stubs, which convert values, are by
signature: all of few values, and of more where they are of the types that most functions have.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from wasmark.baseline.compose import pieces
from wasmark.baseline.library import Library
from wasmark.compile.images import runtime_image, stubs_image
from wasmark.jit.artefact import Artefact, encode
from wasmark.jit.shipped import LIBRARY, shipped_key
from wasmark.jit.stubs import BASIC_SIGNATURES, RUNTIME, STUBS
from wasmark.wasi.functions import ROWS

if TYPE_CHECKING:
    from collections.abc import Iterator

_WASI_LETTERS: Final = {"i32": "i", "i64": "I"}
# (letters of the parameters, how many of them at most, letters of the result)
_STUBS: Final = (
    ("iIfF", 2, "iIfF"),
    ("v", 3, "iv"),
    ("iv", 2, "iv"),
    ("iI", 4, "iI"),
    ("iF", 4, "iF"),
    ("i", 10, "iIF"),
    ("F", 8, "iF"),
    ("f", 4, "f"),
)
_PIECES: Final = (
    ("", 40),
    ("I", 40),
    ("F", 40),
    ("II", 8),
    ("IF", 8),
    ("FI", 8),
    ("FF", 8),
    ("V", 8),
    ("IV", 8),
    ("VI", 8),
    ("VV", 8),
)
"""(classes of the results, how many arguments on the stack at most)"""


def _several(letters: str, most: int) -> Iterator[str]:
    for count in range(most + 1):
        yield from map("".join, itertools.product(letters, repeat=count))


def stub_signatures() -> list[str]:
    """The signatures that there are stubs for."""
    found = dict.fromkeys(BASIC_SIGNATURES)
    for row in ROWS:
        params, results = ("".join(_WASI_LETTERS[t] for t in text.split()) for text in (row.params, row.results))
        found[f"{params}:{results}"] = None
    for letters, most, results in _STUBS:
        found |= dict.fromkeys(f"{p}:{r}" for p in _several(letters, most) for r in ("", *results))
    return list(found)


def piece_signatures() -> list[str]:
    """Signatures that together need all the pieces that there are to be."""
    return [f"{'I' * count}:{results}" for results, most in _PIECES for count in range(5, 5 + most + 1)]


def make() -> bytes:
    """The artefact."""
    library = Library()
    library.require(piece_signatures())
    assert pieces(piece_signatures()) <= set(library.names())
    images = {RUNTIME: runtime_image(), STUBS: stubs_image(stub_signatures())}
    return encode(Artefact(shipped_key(), {"kind": "shipped"}, images, {LIBRARY: library.to_bytes()}))
