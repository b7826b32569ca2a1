"""What every instruction on vectors does (core §4.3.2, §4.3.3, §4.6), as templates like those of `numeric`; built
family by family over the shapes.

A v128 is a `<2 x i64>`. A template says as what it takes its operands and makes its result, which costs nothing. Some
name machine instructions that LLVM finds by no pattern: those of SSE2, which every x86-64 has, and, where the
processor is of `LEVEL`, later ones. Floats are exact as in `numeric`: a float instruction sees no constants, for its
operands come through a fence, and so does a float that leaves its vector.

`VECTORS` are instructions without an immediate, `NATURAL` relaxed ones as the processor likes them best, `LANES` those
that name a lane, as `{l}`. `SHUFFLE` has its lanes as `{l}`, the list of them as LLVM writes it.
"""

from __future__ import annotations

from wasmark.compile.templates import prepare
from wasmark.core.opcodes import BY_NAME
from wasmark.runtime.processor import description, has_level

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final

V128: Final = "<2 x i64>"

_INTEGERS: Final = {"i8x16": 8, "i16x8": 16, "i32x4": 32, "i64x2": 64}
_FLOATS: Final = {"f32x4": ("float", 32), "f64x2": ("double", 64)}
_NARROWER: Final = {"i16x8": "i8x16", "i32x4": "i16x8", "i64x2": "i32x4"}

TYPES: Final = {
    **{shape: f"<{128 // bits} x i{bits}>" for shape, bits in _INTEGERS.items()},
    **{shape: f"<{128 // bits} x {type_}>" for shape, (type_, bits) in _FLOATS.items()},
}
"""The LLVM type of each shape."""

_SUFFIXES: Final = {shape: f"v{shape[shape.index('x') + 1 :]}{shape.partition('x')[0]}" for shape in TYPES}


def _operand(letter: str, shape: str, *, fenced: bool = False) -> str:
    """Make `%<letter>v{n}`, the operand in a shape."""
    if not fenced:
        return f"%{letter}v{{n}} = bitcast {V128} {{{letter}}} to {TYPES[shape]}@\n"
    return (
        f"%{letter}u{{n}} = bitcast {V128} {{{letter}}} to {TYPES[shape]}@\n"
        f"%{letter}v{{n}} = call {TYPES[shape]} @llvm.arithmetic.fence.{_SUFFIXES[shape]}("
        f"{TYPES[shape]} %{letter}u{{n}})@\n"
    )


def _result(shape: str) -> str:
    """Make the result of `%rv{n}`, which has a shape."""
    return f"\n{{r}} = bitcast {TYPES[shape]} %rv{{n}} to {V128}@"


def _template(
    shape: str, text: str, names: dict[str, str] | None = None, *, result: str | None = "", fenced: bool = False
) -> str:
    """A whole template. `text` has `$a $b $c` for the operands as vectors, `$r` for the result (one of `result`, or of
    the operands' shape; None: it is made by `text`), `$T` for the type and `$S` for its part in names of intrinsics,
    and the given names."""
    for name, value in (names or {}).items():
        text = text.replace(f"${name}", value)
    operands = "".join(_operand(letter, shape, fenced=fenced) for letter in "abc" if f"${letter}" in text)
    for letter in "abcr":
        text = text.replace(f"${letter}", f"%{letter}v{{n}}")
    text = text.replace("$T", TYPES[shape]).replace("$S", _SUFFIXES[shape])
    return operands + text + ("" if result is None else _result(result or shape))


# --- integers -------------------------------------------------------------------------------------

_SHIFTS: Final = {"shl": "shl", "shr_s": "ashr", "shr_u": "lshr"}
_COMPARISONS: Final = {
    "eq": "eq",
    "ne": "ne",
    "lt_s": "slt",
    "lt_u": "ult",
    "gt_s": "sgt",
    "gt_u": "ugt",
    "le_s": "sle",
    "le_u": "ule",
    "ge_s": "sge",
    "ge_u": "uge",
}
_ORDERS: Final = {"min_s": "smin", "min_u": "umin", "max_s": "smax", "max_u": "umax"}
_SATURATING: Final = {"add_sat_s": "sadd", "add_sat_u": "uadd", "sub_sat_s": "ssub", "sub_sat_u": "usub"}


def _splat(type_: str, element: str, value: str, to: str) -> str:
    """Make `%<to>{n}`, a vector of one value."""
    count = type_[1:].partition(" ")[0]
    return (
        f"%{to}one{{n}} = insertelement {type_} poison, {element} {value}, i32 0@\n"
        f"%{to}{{n}} = shufflevector {type_} %{to}one{{n}}, {type_} poison, <{count} x i32> zeroinitializer@\n"
    )


def _integers() -> Iterator[tuple[str, str]]:
    for shape, bits in _INTEGERS.items():
        type_, count, element = TYPES[shape], 128 // bits, f"i{bits}"
        yield f"{shape}.abs", _template(shape, "$r = call $T @llvm.abs.$S($T $a, i1 false)@")
        yield f"{shape}.neg", _template(shape, "$r = sub $T zeroinitializer, $a@")
        for name in ("add", "sub", "mul"):
            yield f"{shape}.{name}", _template(shape, f"$r = {name} $T $a, $b@")
        for name, llvm in _ORDERS.items():
            yield f"{shape}.{name}", _template(shape, f"$r = call $T @llvm.{llvm}.$S($T $a, $T $b)@")
        for name, llvm in _SATURATING.items():
            yield f"{shape}.{name}", _template(shape, f"$r = call $T @llvm.{llvm}.sat.$S($T $a, $T $b)@")
        for name, llvm in _COMPARISONS.items():
            compare = f"%cv{{n}} = icmp {llvm} $T $a, $b@\n$r = sext <{count} x i1> %cv{{n}} to $T@"
            yield f"{shape}.{name}", _template(shape, compare)
        amount = f"%s{{n}} = and i32 {{b}}, {bits - 1}@\n"
        if bits == 32:
            amount = amount.replace("%s{n}", "%k{n}")
        else:
            amount += f"%k{{n}} = {'zext' if bits > 32 else 'trunc'} i32 %s{{n}} to {element}@\n"
        for name, llvm in _SHIFTS.items():
            text = amount + _splat(type_, element, "%k{n}", "amount") + f"$r = {llvm} $T $a, %amount{{n}}@"
            yield f"{shape}.{name}", _template(shape, text)
        all_true = (
            f"%t{{n}} = icmp ne $T $a, zeroinitializer@\n%m{{n}} = bitcast <{count} x i1> %t{{n}} to i{count}@\n"
            f"%c{{n}} = icmp eq i{count} %m{{n}}, -1@\n{{r}} = zext i1 %c{{n}} to i32@"
        )
        yield f"{shape}.all_true", _template(shape, all_true, result=None)
        bitmask = (
            f"%t{{n}} = icmp slt $T $a, zeroinitializer@\n%m{{n}} = bitcast <{count} x i1> %t{{n}} to i{count}@\n"
            f"{{r}} = zext i{count} %m{{n}} to i32@"
        )
        yield f"{shape}.bitmask", _template(shape, bitmask, result=None)
        value = "{a}"
        narrowed = ""
        if bits < 32:
            value, narrowed = "%k{n}", f"%k{{n}} = trunc i32 {{a}} to {element}@\n"
        yield f"{shape}.splat", narrowed + _splat(type_, element, value, "rv").rstrip("\n") + _result(shape)
    yield "i8x16.popcnt", _template("i8x16", "$r = call $T @llvm.ctpop.$S($T $a)@")
    for shape in ("i8x16", "i16x8"):
        bits = _INTEGERS[shape]
        wide = f"<{128 // bits} x i{2 * bits}>"
        average = (
            "%x{n} = zext $T $a to $W@\n%y{n} = zext $T $b to $W@\n%s{n} = add $W %x{n}, %y{n}@\n"
            f"%t{{n}} = add $W %s{{n}}, splat (i{2 * bits} 1)@\n%u{{n}} = lshr $W %t{{n}}, splat (i{2 * bits} 1)@\n"
            "$r = trunc $W %u{n} to $T@"
        )
        yield f"{shape}.avgr_u", _template(shape, average, {"W": wide})


def _half(letter: str, shape: str, half: str, sign: str) -> str:
    """Extend one half of the operand's lanes, which are of a shape, to `%<letter>w{n}`."""
    count = int(shape.partition("x")[2]) // 2
    first = count if half == "high" else 0
    lanes = ", ".join(f"i32 {i}" for i in range(first, first + count))
    bits = _INTEGERS[shape]
    return (
        f"%{letter}h{{n}} = shufflevector $T ${letter}, $T poison, <{count} x i32> <{lanes}>@\n"
        f"%{letter}w{{n}} = {sign}ext <{count} x i{bits}> %{letter}h{{n}} to <{count} x i{2 * bits}>@\n"
    )


def _widening() -> Iterator[tuple[str, str]]:
    for wide, shape in _NARROWER.items():
        for sign, extension in (("s", "s"), ("u", "z")):
            for half in ("low", "high"):
                text = _half("a", shape, half, extension).replace("%aw{n}", "$r").rstrip("\n")
                yield f"{wide}.extend_{half}_{shape}_{sign}", _template(shape, text, result=wide)
                text = _half("a", shape, half, extension) + _half("b", shape, half, extension)
                text += f"$r = mul {TYPES[wide]} %aw{{n}}, %bw{{n}}@"
                yield f"{wide}.extmul_{half}_{shape}_{sign}", _template(shape, text, result=wide)
    for wide, bits in (("i16x8", 8), ("i32x4", 16)):
        # The lanes of both halves of a wide lane, in place.
        element = f"i{2 * bits}"
        signed = (
            f"%x{{n}} = shl $T $a, splat ({element} {bits})@\n%y{{n}} = ashr $T %x{{n}}, splat ({element} {bits})@\n"
            f"%z{{n}} = ashr $T $a, splat ({element} {bits})@\n$r = add $T %y{{n}}, %z{{n}}@"
        )
        unsigned = (
            f"%y{{n}} = and $T $a, splat ({element} {(1 << bits) - 1})@\n"
            f"%z{{n}} = lshr $T $a, splat ({element} {bits})@\n$r = add $T %y{{n}}, %z{{n}}@"
        )
        for sign, text in (("s", signed), ("u", unsigned)):
            yield f"{wide}.extadd_pairwise_{_NARROWER[wide]}_{sign}", _template(wide, text)
    dot = f"$r = call {TYPES['i32x4']} @llvm.x86.sse2.pmadd.wd($T $a, $T $b)@"
    yield "i32x4.dot_i16x8_s", _template("i16x8", dot, result="i32x4")


# It gives -1 for -1 times -1, as the machine's instruction does.
_Q15_PRODUCT: Final = (
    "%x{n} = sext $T $a to <8 x i32>@\n%y{n} = sext $T $b to <8 x i32>@\n%p{n} = mul <8 x i32> %x{n}, %y{n}@\n"
    "%s{n} = add <8 x i32> %p{n}, splat (i32 16384)@\n%t{n} = lshr <8 x i32> %s{n}, splat (i32 15)@\n"
    "%product{n} = trunc <8 x i32> %t{n} to $T@\n"
)
_MACHINE_Q15_PRODUCT: Final = "%product{n} = call $T @llvm.x86.ssse3.pmul.hr.sw.128($T $a, $T $b)@\n"
_Q15_SATURATED: Final = (
    "%o{n} = icmp eq $T %product{n}, splat (i16 -32768)@\n%m{n} = sext <8 x i1> %o{n} to $T@\n"
    "$r = xor $T %product{n}, %m{n}@"
)


def _narrowing(level: bool) -> Iterator[tuple[str, str]]:
    for name, machine in (("i8x16.narrow_i16x8_s", "packsswb"), ("i16x8.narrow_i32x4_s", "packssdw")):
        yield name, _pack(name, f"sse2.{machine}.128")
    yield "i8x16.narrow_i16x8_u", _pack("i8x16.narrow_i16x8_u", "sse2.packuswb.128")
    if level:
        yield "i16x8.narrow_i32x4_u", _pack("i16x8.narrow_i32x4_u", "sse41.packusdw")
        return
    halves = "".join(
        f"%x{k}{{n}} = call $T @llvm.smax.$S($T ${k}, $T zeroinitializer)@\n"
        f"%y{k}{{n}} = call $T @llvm.smin.$S($T %x{k}{{n}}, $T splat (i32 65535))@\n"
        f"%z{k}{{n}} = trunc $T %y{k}{{n}} to <4 x i16>@\n"
        for k in "ab"
    )
    lanes = ", ".join(f"i32 {i}" for i in range(8))
    text = f"{halves}$r = shufflevector <4 x i16> %za{{n}}, <4 x i16> %zb{{n}}, <8 x i32> <{lanes}>@"
    yield "i16x8.narrow_i32x4_u", _template("i32x4", text, result="i16x8")


def _pack(name: str, machine: str) -> str:
    result, _, rest = name.partition(".")
    text = f"$r = call {TYPES[result]} @llvm.x86.{machine}($T $a, $T $b)@"
    return _template(rest.split("_")[1], text, result=result)


# --- bits and bytes -------------------------------------------------------------------------------


def _bitwise() -> Iterator[tuple[str, str]]:
    yield "v128.not", f"{{r}} = xor {V128} {{a}}, splat (i64 -1)@"
    for name in ("and", "or", "xor"):
        yield f"v128.{name}", f"{{r}} = {name} {V128} {{a}}, {{b}}@"
    yield "v128.andnot", f"%x{{n}} = xor {V128} {{b}}, splat (i64 -1)@\n{{r}} = and {V128} {{a}}, %x{{n}}@"
    yield "v128.bitselect", _BITSELECT
    any_true = (
        f"%w{{n}} = bitcast {V128} {{a}} to i128@\n%c{{n}} = icmp ne i128 %w{{n}}, 0@\n{{r}} = zext i1 %c{{n}} to i32@"
    )
    yield "v128.any_true", any_true


_BITSELECT: Final = (
    f"%x{{n}} = and {V128} {{a}}, {{c}}@\n%y{{n}} = xor {V128} {{c}}, splat (i64 -1)@\n"
    f"%z{{n}} = and {V128} {{b}}, %y{{n}}@\n{{r}} = or {V128} %x{{n}}, %z{{n}}@"
)

_MACHINE_SHUFFLE: Final = "$r = call $T @llvm.x86.ssse3.pshuf.b.128($T $a, $T %i{n})@"


def _swizzle(level: bool) -> str:
    if level:  # the machine takes bit 7 for "zero", and looks at the low four bits otherwise
        return _template("i8x16", "%i{n} = call $T @llvm.uadd.sat.$S($T $b, $T splat (i8 112))@\n" + _MACHINE_SHUFFLE)
    text = "%inside{n} = icmp ult $T $b, splat (i8 16)@\n%low{n} = and $T $b, splat (i8 15)@\n"
    made = "poison"
    for i in range(16):
        text += (
            f"%i{i}.{{n}} = extractelement $T %low{{n}}, i32 {i}@\n"
            f"%e{i}.{{n}} = extractelement $T $a, i8 %i{i}.{{n}}@\n"
            f"%s{i}.{{n}} = insertelement $T {made}, i8 %e{i}.{{n}}, i32 {i}@\n"
        )
        made = f"%s{i}.{{n}}"
    return _template("i8x16", f"{text}$r = select <16 x i1> %inside{{n}}, $T {made}, $T zeroinitializer@")


# --- floats ---------------------------------------------------------------------------------------

_FLOAT_COMPARISONS: Final = {"eq": "oeq", "ne": "une", "lt": "olt", "gt": "ogt", "le": "ole", "ge": "oge"}
_ROUNDING: Final = {"ceil": "ceil", "floor": "floor", "trunc": "trunc", "nearest": "roundeven", "sqrt": "sqrt"}


def _smaller(test: str, to: str, first: str, second: str) -> str:
    """The machine's minimum or maximum: the second operand where they are equal or one is a NaN."""
    return (
        f"%{to}c{{n}} = fcmp {test} $T {first}, {second}@\n"
        f"%{to}{{n}} = select <$N x i1> %{to}c{{n}}, $T {first}, $T {second}@\n"
    )


# Of two zeros the minimum has both signs, the maximum their common one. A NaN becomes the canonical one: all bits set,
# but for those of the payload.
_EXTREME: Final = (
    "$ONE$OTHER%i{n} = bitcast $T %one{n} to $I@\n%j{n} = bitcast $T %other{n} to $I@\n"
    "%both{n} = $JOIN $I %i{n}, %j{n}@\n%uno{n} = fcmp uno $T $a, $b@\n%all{n} = sext <$N x i1> %uno{n} to $I@\n"
    "%with{n} = or $I %both{n}, %all{n}@\n%payload{n} = lshr $I %all{n}, splat ($E $P)@\n"
    "%rest{n} = xor $I %payload{n}, splat ($E -1)@\n%bits{n} = and $I %with{n}, %rest{n}@\n"
    "$r = bitcast $I %bits{n} to $T@"
)


def _floats() -> Iterator[tuple[str, str]]:
    for shape, (element, bits) in _FLOATS.items():
        count = str(128 // bits)
        same = {"N": count, "I": f"<{count} x i{bits}>", "E": f"i{bits}"}
        yield f"{shape}.abs", _template(shape, "$r = call $T @llvm.fabs.$S($T $a)@")
        yield f"{shape}.neg", _template(shape, "$r = fneg $T $a@")
        for name, llvm in _ROUNDING.items():
            yield f"{shape}.{name}", _template(shape, f"$r = call $T @llvm.{llvm}.$S($T $a)@", fenced=True)
        for name in ("add", "sub", "mul", "div"):
            yield f"{shape}.{name}", _template(shape, f"$r = f{name} $T $a, $b@", fenced=True)
        for name, llvm in _FLOAT_COMPARISONS.items():
            text = f"%cv{{n}} = fcmp {llvm} $T $a, $b@\n%m{{n}} = sext <$N x i1> %cv{{n}} to $I@\n"
            text += "$r = bitcast $I %m{n} to $T@"
            yield f"{shape}.{name}", _template(shape, text, same)
        for name, test, join in (("min", "olt", "or"), ("max", "ogt", "and")):
            text = _EXTREME.replace("$ONE", _smaller(test, "one", "$a", "$b"))
            text = text.replace("$OTHER", _smaller(test, "other", "$b", "$a")).replace("$JOIN", join)
            payload = "10" if bits == 32 else "13"
            yield f"{shape}.{name}", _template(shape, text, same | {"P": payload})
            text = _smaller(test, "rv", "$b", "$a").rstrip("\n")
            yield f"{shape}.p{name}", _template(shape, text, same)
        yield f"{shape}.splat", _splat(TYPES[shape], element, "{a}", "rv").rstrip("\n") + _result(shape)


def _conversions() -> Iterator[tuple[str, str]]:
    low = "%low{n} = shufflevector $T $a, $T poison, <2 x i32> <i32 0, i32 1>@\n"
    for sign, llvm in (("s", "sitofp"), ("u", "uitofp")):
        text = f"$r = {llvm} $T $a to {TYPES['f32x4']}@"
        yield f"f32x4.convert_i32x4_{sign}", _template("i32x4", text, result="f32x4")
        text = f"{low}$r = {llvm} <2 x i32> %low{{n}} to {TYPES['f64x2']}@"
        yield f"f64x2.convert_low_i32x4_{sign}", _template("i32x4", text, result="f64x2")
        yield f"i32x4.trunc_sat_f32x4_{sign}", _template("f32x4", _TRUNC_SAT_F32[sign], result="i32x4")
        yield f"i32x4.trunc_sat_f64x2_{sign}_zero", _template("f64x2", _TRUNC_SAT_F64[sign], result="i32x4")
    text = f"{low}$r = fpext <2 x float> %low{{n}} to {TYPES['f64x2']}@"
    yield "f64x2.promote_low_f32x4", _template("f32x4", text, result="f64x2", fenced=True)
    text = (
        "%half{n} = fptrunc $T $a to <2 x float>@\n$r = shufflevector <2 x float> %half{n}, "
        "<2 x float> zeroinitializer, <4 x i32> <i32 0, i32 1, i32 2, i32 3>@"
    )
    yield "f32x4.demote_f64x2_zero", _template("f64x2", text, result="f32x4", fenced=True)


# The machine's conversion gives the least integer for everything that has no value.
_TRUNC_SAT_F32: Final = {
    "s": "%ord{n} = fcmp ord $T $a, zeroinitializer@\n%x{n} = select <4 x i1> %ord{n}, $T $a, $T zeroinitializer@\n"
    "%over{n} = fcmp oge $T %x{n}, splat (float 0x41E0000000000000)@\n%m{n} = sext <4 x i1> %over{n} to <4 x i32>@\n"
    "%y{n} = call <4 x i32> @llvm.x86.sse2.cvttps2dq($T %x{n})@\n$r = xor <4 x i32> %y{n}, %m{n}@",
    "u": "%pos{n} = fcmp ogt $T $a, zeroinitializer@\n%x{n} = select <4 x i1> %pos{n}, $T $a, $T zeroinitializer@\n"
    "%big{n} = fcmp oge $T %x{n}, splat (float 0x41E0000000000000)@\n"
    "%less{n} = select <4 x i1> %big{n}, $T splat (float 0x41E0000000000000), $T zeroinitializer@\n"
    "%rest{n} = fsub $T %x{n}, %less{n}@\n%y{n} = call <4 x i32> @llvm.x86.sse2.cvttps2dq($T %rest{n})@\n"
    "%more{n} = select <4 x i1> %big{n}, <4 x i32> splat (i32 -2147483648), <4 x i32> zeroinitializer@\n"
    "%z{n} = xor <4 x i32> %y{n}, %more{n}@\n%over{n} = fcmp oge $T %x{n}, splat (float 0x41F0000000000000)@\n"
    "%all{n} = sext <4 x i1> %over{n} to <4 x i32>@\n$r = or <4 x i32> %z{n}, %all{n}@",
}
_TRUNC_SAT_F64: Final = {
    "s": "%ord{n} = fcmp ord $T $a, zeroinitializer@\n%x{n} = select <2 x i1> %ord{n}, $T $a, $T zeroinitializer@\n"
    "%in{n} = fcmp olt $T %x{n}, splat (double 2147483647.0)@\n"
    "%y{n} = select <2 x i1> %in{n}, $T %x{n}, $T splat (double 2147483647.0)@\n"
    "$r = call <4 x i32> @llvm.x86.sse2.cvttpd2dq($T %y{n})@",
    # Added to 2 to the 52, an integer is in the low bits of the sum.
    "u": "%pos{n} = fcmp ogt $T $a, zeroinitializer@\n%x{n} = select <2 x i1> %pos{n}, $T $a, $T zeroinitializer@\n"
    "%in{n} = fcmp olt $T %x{n}, splat (double 4294967295.0)@\n"
    "%y{n} = select <2 x i1> %in{n}, $T %x{n}, $T splat (double 4294967295.0)@\n"
    "%z{n} = call $T @llvm.trunc.$S($T %y{n})@\n%sum{n} = fadd $T %z{n}, splat (double 4503599627370496.0)@\n"
    "%bits{n} = bitcast $T %sum{n} to <4 x i32>@\n"
    "$r = shufflevector <4 x i32> %bits{n}, <4 x i32> zeroinitializer, <4 x i32> <i32 0, i32 2, i32 4, i32 5>@",
}


# --- lanes ----------------------------------------------------------------------------------------


def _lanes() -> Iterator[tuple[str, str]]:
    for shape, type_ in TYPES.items():
        element = type_.split()[-1].rstrip(">")
        if shape in _FLOATS:
            take = "%e{n} = extractelement $T $a, i32 {l}@\n"
            take += f"{{r}} = call {element} @llvm.arithmetic.fence.{shape[:3]}({element} %e{{n}})@"
            yield f"{shape}.extract_lane", _template(shape, take, result=None)
        elif element in ("i32", "i64"):
            yield f"{shape}.extract_lane", _template(shape, "{r} = extractelement $T $a, i32 {l}@", result=None)
        else:
            for sign, extension in (("s", "sext"), ("u", "zext")):
                take = "%e{n} = extractelement $T $a, i32 {l}@\n"
                take += f"{{r}} = {extension} {element} %e{{n}} to i32@"
                yield f"{shape}.extract_lane_{sign}", _template(shape, take, result=None)
        put = f"$r = insertelement $T $a, {element} {{b}}, i32 {{l}}@"
        if element in ("i8", "i16"):
            put = f"%k{{n}} = trunc i32 {{b}} to {element}@\n" + put.replace("{b}", "%k{n}")
        yield f"{shape}.replace_lane", _template(shape, put)


# --- relaxed --------------------------------------------------------------------------------------

_FUSED: Final = {
    "madd": "$r = call $T @llvm.fma.$S($T $a, $T $b, $T $c)@",
    "nmadd": "%x{n} = fneg $T $a@\n$r = call $T @llvm.fma.$S($T %x{n}, $T $b, $T $c)@",
}
_UNFUSED: Final = {
    "madd": "%p{n} = fmul $T $a, $b@\n$r = fadd $T %p{n}, $c@",
    "nmadd": "%x{n} = fneg $T $a@\n%p{n} = fmul $T %x{n}, $b@\n$r = fadd $T %p{n}, $c@",
}
_TOP_BIT: Final = (
    "%t{n} = icmp slt $T $c, zeroinitializer@\n$r = select <$N x i1> %t{n}, $T $a, $T $b@"  # with a mask that is none
)
_DOT: Final = (
    "%x{n} = sext $T $a to <16 x i16>@\n%y{n} = sext $T $b to <16 x i16>@\n%p{n} = mul <16 x i16> %x{n}, %y{n}@\n"
    "%e{n} = shufflevector <16 x i16> %p{n}, <16 x i16> poison, <8 x i32> $EVEN@\n"
    "%o{n} = shufflevector <16 x i16> %p{n}, <16 x i16> poison, <8 x i32> $ODD@\n"
    "%dot{n} = call <8 x i16> @llvm.sadd.sat.v8i16(<8 x i16> %e{n}, <8 x i16> %o{n})@\n"
)
_MACHINE_DOT: Final = "%dot{n} = call <8 x i16> @llvm.x86.ssse3.pmadd.ub.sw.128($T $b, $T $a)@\n"
_ADD_PAIRS: Final = (
    "%pairs{n} = call <4 x i32> @llvm.x86.sse2.pmadd.wd(<8 x i16> %dot{n}, <8 x i16> splat (i16 1))@\n"
    f"%cw{{n}} = bitcast {V128} {{c}} to <4 x i32>@\n$r = add <4 x i32> %pairs{{n}}, %cw{{n}}@"
)


def _dots(dot: str) -> Iterator[tuple[str, str]]:
    dot = dot.replace("$EVEN", f"<{', '.join(f'i32 {i}' for i in range(0, 16, 2))}>")
    dot = dot.replace("$ODD", f"<{', '.join(f'i32 {i}' for i in range(1, 16, 2))}>")
    yield (
        "i16x8.relaxed_dot_i8x16_i7x16_s",
        _template("i8x16", dot.rstrip("\n").replace("%dot{n}", "$r"), result="i16x8"),
    )
    yield "i32x4.relaxed_dot_i8x16_i7x16_add_s", _template("i8x16", dot + _ADD_PAIRS, result="i32x4")


def _deterministic(strict: dict[str, str]) -> Iterator[tuple[str, str]]:
    """As the deterministic profile has them (core, appendix "Profiles"): the first of all choices each."""
    yield "i8x16.relaxed_swizzle", strict["i8x16.swizzle"]
    for kind in ("f32x4_s", "f32x4_u", "f64x2_s_zero", "f64x2_u_zero"):
        yield f"i32x4.relaxed_trunc_{kind}", strict[f"i32x4.trunc_sat_{kind}"]
    for shape in _FLOATS:
        for name, text in _UNFUSED.items():
            yield f"{shape}.relaxed_{name}", _template(shape, text, fenced=True)
        for name in ("min", "max"):
            yield f"{shape}.relaxed_{name}", strict[f"{shape}.{name}"]
    for shape in _INTEGERS:
        yield f"{shape}.relaxed_laneselect", _BITSELECT
    yield "i16x8.relaxed_q15mulr_s", strict["i16x8.q15mulr_sat_s"]
    yield from _dots(_DOT)


def _natural(level: bool) -> Iterator[tuple[str, str]]:
    """What this machine does in one instruction, or a few."""
    if level:
        text = "%i{n} = bitcast $T $b to $T@\n" + _MACHINE_SHUFFLE
        yield "i8x16.relaxed_swizzle", _template("i8x16", text)
        text = _MACHINE_Q15_PRODUCT.rstrip("\n").replace("%product{n}", "$r")
        yield "i16x8.relaxed_q15mulr_s", _template("i16x8", text)
        yield from _dots(_MACHINE_DOT)
    for kind, machine in (("f32x4_s", "cvttps2dq"), ("f64x2_s_zero", "cvttpd2dq")):
        text = f"$r = call <4 x i32> @llvm.x86.sse2.{machine}($T $a)@"
        yield f"i32x4.relaxed_trunc_{kind}", _template(kind[:5], text, result="i32x4")
    for shape, (_, bits) in _FLOATS.items():
        for name, text in _FUSED.items():
            yield f"{shape}.relaxed_{name}", _template(shape, text, fenced=True)
        for name, test in (("min", "olt"), ("max", "ogt")):
            text = _smaller(test, "rv", "$a", "$b").rstrip("\n")
            yield f"{shape}.relaxed_{name}", _template(shape, text, {"N": str(128 // bits)})
    for shape, bits in _INTEGERS.items():
        yield f"{shape}.relaxed_laneselect", _template(shape, _TOP_BIT, {"N": str(128 // bits)})


def is_natural(name: str, *, deterministic: bool) -> bool:
    """Whether the instruction of this name is done in the machine's way, which `NATURAL` has, and not in that of the
    deterministic profile, which `VECTORS` has. (Without a fused instruction, two are natural.)"""
    if deterministic or name not in NATURAL:
        return False
    return "madd" not in name or b"fma" in description().get(b"flags", b"").split()


def _build(level: bool) -> dict[str, str]:
    found = dict(_integers()) | dict(_widening()) | dict(_narrowing(level)) | dict(_bitwise())
    found |= dict(_floats()) | dict(_conversions())
    found["i8x16.swizzle"] = _swizzle(level)
    product = _MACHINE_Q15_PRODUCT if level else _Q15_PRODUCT
    found["i16x8.q15mulr_sat_s"] = _template("i16x8", product + _Q15_SATURATED)
    found |= dict(_deterministic(found))
    return {name: prepare(text) for name, text in found.items() if name in BY_NAME}  # not all shapes have all of them


VECTORS: Final[dict[str, str]] = _build(has_level())
"""Template of every instruction on vectors that only computes and names no lane, by its text name."""

NATURAL: Final[dict[str, str]] = {name: prepare(text) for name, text in _natural(has_level())}
"""Templates of relaxed instructions as this machine likes them best."""

LANES: Final[dict[str, str]] = {name: prepare(text) for name, text in _lanes()}
"""Templates of the instructions that read or write one lane."""

SHUFFLE: Final = prepare(
    _template("i8x16", "$r = shufflevector $T $a, $T $b, <16 x i32> <{l}>@"),
)


def shuffle_lanes(lanes: tuple[int, ...]) -> str:
    """What `{l}` is in `SHUFFLE`."""
    return ", ".join(f"i32 {lane}" for lane in lanes)


def v128_constant(bits: int) -> str:
    """A v128 constant as LLVM writes it."""
    mask = (1 << 64) - 1
    return f"<i64 {bits & mask}, i64 {bits >> 64}>"
