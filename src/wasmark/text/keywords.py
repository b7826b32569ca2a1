"""Which words the text format knows, so that a token in the wrong place is told from one that means nothing anywhere.

The instructions' words come from the opcode table and the types' from `core.types`. Those of the standard's parts that
are not here yet follow a pattern for each part: they are answered with UnsupportedError and the part's name, and all
other words with "unknown operator".
"""

from __future__ import annotations

import re
from typing import Final

from wasmark.core.opcodes import BY_NAME
from wasmark.core.types import HeapType, NumType, PackedType, RefType

_STRUCTURE: Final = (
    "module definition instance binary quote type rec sub final func param result local global table memory tag data "
    "elem declare offset item start import export mut field struct array ref null shared pagesize then do catch_ref "
    "catch_all_ref i8x16 i16x8 i32x4 i64x2 f32x4 f64x2 nan:canonical nan:arithmetic"
)
_WORDS: Final = frozenset(
    (
        *_STRUCTURE.split(),
        *map(str, (*NumType, *PackedType, *HeapType)),
        *(str(RefType.of(True, heap)) for heap in HeapType),
    )
)

_find_parts: Final = re.compile(r"[^./_]+").findall
_PLAIN_NAMES: Final = [name for name in BY_NAME if "." not in name]
_ALIKE: Final = 0.8
"""How alike words are of which one may be a slip of the other, from 0 to 1."""

_PARTS: Final = tuple(
    (re.compile(pattern).fullmatch, part)
    for pattern, part in (
        (
            r"exact|descriptor|describes|ref\.(?:get_desc|cast_desc_eq)|struct\.new(?:_default)?_desc",
            "custom descriptors",
        ),
        (r"br_on_cast_desc_eq(?:_fail)?", "custom descriptors"),
    )
)


def is_keyword(token: str) -> bool:
    """Whether this word means something somewhere in a module."""
    return token in BY_NAME or token in _WORDS or token.startswith(("offset=", "align="))


def similar_instruction(token: str) -> str | None:
    """The instruction that somebody may have meant who wrote this word: one of the same parts in another order, as old
    texts have them (`get_local`, `i32.wrap/i64`), or one that is nearly spelled like it. None where there is none.
    """
    from difflib import get_close_matches

    parts = sorted(_find_parts(token))
    reordered = next((name for name in BY_NAME if sorted(_find_parts(name)) == parts), None)
    if reordered is not None:
        return reordered
    family, dot, _ = token.partition(".")
    candidates = [name for name in BY_NAME if name.partition(".")[:2] == (family, dot)] if dot else _PLAIN_NAMES
    return next(iter(get_close_matches(token, candidates, 1, _ALIKE)), None)


def missing_part(token: str) -> str | None:
    """The part of the standard to which a word belongs that is not here yet; None for other words."""
    if token in BY_NAME:
        return None
    return next((part for matches, part in _PARTS if matches(token)), None)
