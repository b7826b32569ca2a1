"""Which words the text format knows, so that a token in the wrong place is told from one that means nothing anywhere.

The instructions' words come from the opcode table. Those of the standard's parts that the table does not have yet follow a
pattern for each part: they are answered with UnsupportedError and the part's name, everything else with "unknown operator".
"""

from __future__ import annotations

import re
from typing import Final

from wasmark.core.opcodes import BY_NAME

_STRUCTURE: Final = frozenset(
    """
    module definition instance binary quote type rec sub final func param result local global table memory tag data elem
    declare offset item start import export mut field struct array ref null shared pagesize then catch catch_ref catch_all
    catch_all_ref i8 i16 i32 i64 f32 f64 v128 i8x16 i16x8 i32x4 i64x2 f32x4 f64x2 any none eq i31 nofunc exn noexn extern
    noextern anyref nullref eqref i31ref structref arrayref funcref nullfuncref exnref nullexnref externref nullexternref
    """.split()
)

_PARTS: Final = tuple(
    (re.compile(pattern).fullmatch, part)
    for pattern, part in (
        (r"v128\.[a-z0-9_]+|[if](?:8x16|16x8|32x4|64x2)\.[a-z0-9_]+", "SIMD"),
        (r"(?:struct|array|i31)\.[a-z_]+|(?:any|extern)\.convert_[a-z]+|ref\.(?:eq|test|cast|i31)", "garbage collection"),
        (r"br_on_cast(?:_fail)?", "garbage collection"),
        (r"return_call(?:_indirect|_ref)?", "tail calls"),
        (r"try_table|throw|throw_ref", "exception handling"),
        (r"try|delegate|rethrow", "legacy exception handling"),
        (r"i(?:32|64)\.atomic\.[a-z0-9_.]+|memory\.atomic\.[a-z0-9]+|atomic\.fence", "threads"),
        (r"i64\.(?:add128|sub128|mul_wide_[su])", "wide arithmetic"),
    )
)


def is_keyword(token: str) -> bool:
    """Whether this word means something somewhere in a module."""
    return token in BY_NAME or token in _STRUCTURE or token.startswith(("offset=", "align="))


def missing_part(token: str) -> str | None:
    """The part of the standard to which an instruction belongs that the opcode table does not have; None for no instruction."""
    if token in BY_NAME:
        return None
    return next((part for matches, part in _PARTS if matches(token)), None)
