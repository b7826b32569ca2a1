"""128-bit arithmetic on pairs of i64 (wide-arithmetic proposal), as templates with two results.

Beside the operands of `templates`: `{e}` the fourth operand, `{s}` the second result. A pair is its low half, then its
high one.
"""

from __future__ import annotations

from wasmark.compile.templates import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.compile.function import FunctionTranslator
    from wasmark.core.opcodes import Opcode


def _pair(name: str, low: str, high: str) -> str:
    return (
        f"%{name}l{{n}} = zext i64 {low} to i128@\n%{name}h{{n}} = zext i64 {high} to i128@\n"
        f"%{name}s{{n}} = shl i128 %{name}h{{n}}, 64@\n%{name}{{n}} = or i128 %{name}s{{n}}, %{name}l{{n}}@\n"
    )


_HALVES = "{r} = trunc i128 %z{n} to i64@\n%zh{n} = lshr i128 %z{n}, 64@\n{s} = trunc i128 %zh{n} to i64@"

WIDE: Final[dict[str, str]] = {
    name: prepare(text + _HALVES)
    for name, text in {
        **{
            f"i64.{action}128": _pair("x", "{a}", "{b}")
            + _pair("y", "{c}", "{e}")
            + f"%z{{n}} = {action} i128 %x{{n}}, %y{{n}}@\n"
            for action in ("add", "sub")
        },
        **{
            f"i64.mul_wide_{sign}": f"%x{{n}} = {extension} i64 {{a}} to i128@\n"
            f"%y{{n}} = {extension} i64 {{b}} to i128@\n"
            "%z{n} = mul i128 %x{n}, %y{n}@\n"
            for sign, extension in (("s", "sext"), ("u", "zext"))
        },
    }.items()
}
"""Template of every instruction with two results, by its text name."""


def translate_wide(translator: FunctionTranslator, row: Opcode, imm: Any) -> None:
    """Translate one of them in the optimising tier."""
    assert row.sig is not None
    operands = translator.take(row.sig.index(":"))
    high = translator.fresh()
    translator.fill(WIDE[row.name], "i64", {"s": high} | dict(zip("abce", (v for _, v in operands), strict=False)))
    translator.stack.append(("i64", high))
