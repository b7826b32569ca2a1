"""What every numeric instruction does (core §4.3), as templates; built family by family over the two widths.

The traps of division and conversion are explicit. Floats are exact: LLVM may fold `x * 1.0` or a promote-demote pair to
`x`, which would let a signalling NaN through unquieted (core §4.3.3). So it gets to know no float: constants, and what
comes out of integers or of a promotion, pass through `llvm.arithmetic.fence`, which costs no instruction. Only where a
constant meets a value, and the two cannot make a no-operation, the translator writes it as it is.
"""

from __future__ import annotations

import math
import struct

from wasmark.compile.templates import prepare

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final

_BITS: Final = {"i32": 32, "i64": 64}
_LLVM_FLOAT: Final = {"f32": "float", "f64": "double"}

_INT_UNARY: Final = {
    "clz": "{r} = call T @llvm.ctlz.T(T {a}, i1 false)@",
    "ctz": "{r} = call T @llvm.cttz.T(T {a}, i1 false)@",
    "popcnt": "{r} = call T @llvm.ctpop.T(T {a})@",
    "eqz": "%c{n} = icmp eq T {a}, 0@\n{r} = zext i1 %c{n} to i32@",
}

_INT_BINARY: Final = {
    **{name: f"{{r}} = {name} T {{a}}, {{b}}@" for name in ("add", "sub", "mul", "and", "or", "xor")},
    **{
        name: f"%s{{n}} = and T {{b}}, MASK@\n{{r}} = {llvm} T {{a}}, %s{{n}}@"
        for name, llvm in (("shl", "shl"), ("shr_s", "ashr"), ("shr_u", "lshr"))
    },
    "rotl": "{r} = call T @llvm.fshl.T(T {a}, T {a}, T {b})@",
    "rotr": "{r} = call T @llvm.fshr.T(T {a}, T {a}, T {b})@",
    "div_u": "DIVISOR{r} = udiv T {a}, {b}@",
    "rem_u": "DIVISOR{r} = urem T {a}, {b}@",
    "div_s": (
        "DIVISOR%x{n} = icmp eq T {a}, MINIMUM@\n%y{n} = icmp eq T {b}, -1@\n%w{n} = and i1 %x{n}, %y{n}@\n"
        "br i1 %w{n}, label %u{n}, label %d{n}, !prof !2\nu{n}:\n@TINTEGER_OVERFLOW\nd{n}:\n{r} = sdiv T {a}, {b}@"
    ),
    # The remainder by -1 is 0 also for the minimum, where the machine's division would fault.
    "rem_s": "DIVISOR%y{n} = icmp eq T {b}, -1@\n%w{n} = select i1 %y{n}, T 1, T {b}@\n{r} = srem T {a}, %w{n}@",
    **{
        name: f"%c{{n}} = icmp {llvm} T {{a}}, {{b}}@\n{{r}} = zext i1 %c{{n}} to i32@"
        for name, llvm in (
            ("eq", "eq"),
            ("ne", "ne"),
            ("lt_s", "slt"),
            ("lt_u", "ult"),
            ("gt_s", "sgt"),
            ("gt_u", "ugt"),
            ("le_s", "sle"),
            ("le_u", "ule"),
            ("ge_s", "sge"),
            ("ge_u", "uge"),
        )
    },
}

_CHECK_DIVISOR: Final = (
    "%z{n} = icmp eq T {b}, 0@\nbr i1 %z{n}, label %t{n}, label %k{n}, !prof !2\n"
    "t{n}:\n@TINTEGER_DIVISION_BY_ZERO\nk{n}:\n"
)

_FLOAT_UNARY: Final = {
    "abs": "{r} = call T @llvm.fabs.S(T {a})@",
    "neg": "{r} = fneg T {a}@",
    "ceil": "{r} = call T @llvm.ceil.S(T {a})@",
    "floor": "{r} = call T @llvm.floor.S(T {a})@",
    "trunc": "{r} = call T @llvm.trunc.S(T {a})@",
    "nearest": "{r} = call T @llvm.roundeven.S(T {a})@",
    "sqrt": "{r} = call T @llvm.sqrt.S(T {a})@",
}

_FLOAT_BINARY: Final = {
    **{name: f"{{r}} = f{name} T {{a}}, {{b}}@" for name in ("add", "sub", "mul", "div")},
    # The machine's sequence for these hands a signalling NaN on as it is; adding -0 quiets it and changes nothing else.
    **{
        name: f"%m{{n}} = call T @llvm.{name}imum.S(T {{a}}, T {{b}})@\n"
        "%z{n} = call T @llvm.arithmetic.fence.S(T -0.0)\n{r} = fadd T %m{n}, %z{n}@"
        for name in ("min", "max")
    },
    "copysign": "{r} = call T @llvm.copysign.S(T {a}, T {b})@",
    **{
        name: f"%c{{n}} = fcmp {llvm} T {{a}}, {{b}}@\n{{r}} = zext i1 %c{{n}} to i32@"
        for name, llvm in (("eq", "oeq"), ("ne", "une"), ("lt", "olt"), ("gt", "ogt"), ("le", "ole"), ("ge", "oge"))
    },
}

_CONVERSIONS: Final = {
    "i32.wrap_i64": "{r} = trunc i64 {a} to i32@",
    "i64.extend_i32_s": "{r} = sext i32 {a} to i64@",
    "i64.extend_i32_u": "{r} = zext i32 {a} to i64@",
    "f32.demote_f64": "{r} = fptrunc double {a} to float@",
    "f64.promote_f32": "%e{n} = fpext float {a} to double@\n"
    "{r} = call double @llvm.arithmetic.fence.f64(double %e{n})@",
    "i32.reinterpret_f32": "{r} = bitcast float {a} to i32@",
    "i64.reinterpret_f64": "{r} = bitcast double {a} to i64@",
    "f32.reinterpret_i32": "%e{n} = bitcast i32 {a} to float@\n"
    "{r} = call float @llvm.arithmetic.fence.f32(float %e{n})@",
    "f64.reinterpret_i64": "%e{n} = bitcast i64 {a} to double@\n"
    "{r} = call double @llvm.arithmetic.fence.f64(double %e{n})@",
}

_TRUNCATION: Final = (
    "%g{n} = fcmp LOWER F {a}, MINIMUM@\n%h{n} = fcmp olt F {a}, MAXIMUM@\n%i{n} = and i1 %g{n}, %h{n}@\n"
    "br i1 %i{n}, label %k{n}, label %s{n}, !prof !1\ns{n}:\n%u{n} = fcmp uno F {a}, 0.0@\n"
    "br i1 %u{n}, label %x{n}, label %y{n}\nx{n}:\n@TBAD_CONVERSION_TO_INTEGER\ny{n}:\n@TINTEGER_OVERFLOW\n"
    "k{n}:\n{r} = CONVERT F {a} to I@"
)


def float_literal(value: float) -> str:
    """LLVM's spelling of a float constant that loses nothing; for `float` the value must be exact in 32 bits."""
    return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"


def float_constant(type_: str, bits: int) -> str:
    """An LLVM constant for the bits of an f32 (`type_` "float") or f64 ("double"), NaN payloads kept."""
    if type_ == "float":
        value = struct.unpack("<f", struct.pack("<I", bits))[0]
        return f"bitcast (i32 {bits} to float)" if math.isnan(value) else float_literal(value)
    return f"0x{bits:016X}"


ARITHMETIC: Final = frozenset({"add", "sub", "mul", "div"})
NEUTRAL: Final = {
    "float": frozenset({0, 0x80000000, 0x3F800000, 0xBF800000}),
    "double": frozenset({0, 1 << 63, 0x3FF0000000000000, 0xBFF0000000000000}),
}
"""Bits of the constants with which this arithmetic can be no operation, or a change of sign: ±0 and ±1."""


def _truncation_bounds(bits: int, signed: bool, source: str) -> tuple[str, str, str]:
    """(comparison, lower bound, upper bound) of the values that convert (core §4.3.3, trunc_u and trunc_s)."""
    upper = float_literal(float(1 << (bits - 1 if signed else bits)))
    if not signed:
        return "ogt", "-1.0", upper
    lowest = -(1 << (bits - 1))
    if bits == 32 and source == "f64":  # the one case where the next value below the minimum is representable
        return "ogt", float_literal(float(lowest - 1)), upper
    return "oge", float_literal(float(lowest)), upper


def _build() -> dict[str, str]:
    found: dict[str, str] = {}
    for int_type, bits in _BITS.items():
        for name, text in {**_INT_UNARY, **_INT_BINARY}.items():
            text = text.replace("DIVISOR", _CHECK_DIVISOR)
            text = text.replace("MASK", str(bits - 1)).replace("MINIMUM", str(-(1 << (bits - 1))))
            found[f"{int_type}.{name}"] = _typed(text, T=int_type)
        for narrow in (8, 16, 32):
            if narrow < bits:
                found[f"{int_type}.extend{narrow}_s"] = (
                    f"%t{{n}} = trunc {int_type} {{a}} to i{narrow}@\n{{r}} = sext i{narrow} %t{{n}} to {int_type}@"
                )
        for source, llvm in _LLVM_FLOAT.items():
            for sign, convert, back in (("s", "fptosi", "sitofp"), ("u", "fptoui", "uitofp")):
                lower, minimum, maximum = _truncation_bounds(bits, sign == "s", source)
                text = _TRUNCATION.replace("LOWER", lower).replace("MINIMUM", minimum).replace("MAXIMUM", maximum)
                text = text.replace("CONVERT", convert)
                found[f"{int_type}.trunc_{source}_{sign}"] = _typed(text, F=llvm, I=int_type)
                found[f"{int_type}.trunc_sat_{source}_{sign}"] = (
                    f"{{r}} = call {int_type} @llvm.{convert}.sat.{int_type}.{source}({llvm} {{a}})@"
                )
                found[f"{source}.convert_{int_type}_{sign}"] = (
                    f"%e{{n}} = {back} {int_type} {{a}} to {llvm}@\n"
                    f"{{r}} = call {llvm} @llvm.arithmetic.fence.{source}({llvm} %e{{n}})@"
                )
    for source, llvm in _LLVM_FLOAT.items():
        for name, text in {**_FLOAT_UNARY, **_FLOAT_BINARY}.items():
            found[f"{source}.{name}"] = _typed(text, T=llvm, S=source)
    found.update(_CONVERSIONS)
    return {name: prepare(text) for name, text in found.items()}


def _typed(text: str, **names: str) -> str:
    """Replace the stand-alone capital letters that stand for types."""
    out = []
    for i, char in enumerate(text):
        alone = not (text[i - 1 : i].isalnum() or text[i - 1 : i] == "_" or text[i + 1 : i + 2].isalnum())
        out.append(names[char] if char in names and alone and text[i + 1 : i + 2] != "_" else char)
    return "".join(out)


NUMERIC: Final[dict[str, str]] = _build()
"""Template of every instruction that only computes, by its text name."""
