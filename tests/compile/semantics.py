"""What the numeric instructions mean (core §4.3), in exact arithmetic: integers and fractions, no floats of Python's.

A value is its unsigned bits, or a `Nan` where the standard leaves the bits of a NaN open.
"""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from wasmark.errors import TrapCode


class Nan(enum.Enum):
    """A NaN of some sign (core §4.3.3): canonical ones have the top bit of their payload and no other, arithmetic ones
    have at least the top bit."""

    CANONICAL = "canonical"
    ARITHMETIC = "arithmetic"


Value = int | Nan
Result = Value | TrapCode


@dataclass(frozen=True)
class Format:
    """A binary format of IEEE 754: its sizes in bits, the sign not counted."""

    width: int
    mantissa: int

    @property
    def sign(self) -> int:
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        return self.sign - (1 << self.mantissa)

    @property
    def canonical(self) -> int:
        return self.infinity | 1 << (self.mantissa - 1)

    @property
    def least_exponent(self) -> int:
        """Of the last bit of a subnormal number."""
        bias = (1 << (self.width - 2 - self.mantissa)) - 1
        return 1 - bias - self.mantissa

    def is_nan(self, value: Value) -> bool:
        return isinstance(value, Nan) or value & (self.sign - 1) > self.infinity

    def is_canonical(self, value: Value) -> bool:
        return value is Nan.CANONICAL or (isinstance(value, int) and value & (self.sign - 1) == self.canonical)

    def is_infinite(self, value: int) -> bool:
        return value & (self.sign - 1) == self.infinity

    def is_zero(self, value: int) -> bool:
        return value & (self.sign - 1) == 0

    def fraction(self, value: int) -> Fraction:
        """The number of finite bits."""
        exponent = (value & self.infinity) >> self.mantissa
        mantissa = value & ((1 << self.mantissa) - 1)
        if exponent:
            mantissa |= 1 << self.mantissa
        number = Fraction(mantissa) * Fraction(2) ** (max(exponent, 1) - 1 + self.least_exponent)
        return -number if value & self.sign else number

    def order(self, value: int) -> Fraction | float:
        """Something that compares as the number does, infinities included."""
        if self.is_infinite(value):
            return -math.inf if value & self.sign else math.inf
        return self.fraction(value)

    def rounded(self, number: Fraction, *, zero: int = 0) -> int:
        """The bits nearest to a number, ties to even; `zero` are the bits where it is zero."""
        if not number:
            return zero
        sign = self.sign if number < 0 else 0
        number = abs(number)
        exponent = max(_floor_log2(number) - self.mantissa, self.least_exponent)
        digits = round(number / Fraction(2) ** exponent)  # half to even
        # A carry out of the mantissa goes into the exponent, and out of the largest exponent to infinity.
        bits = digits + ((exponent - self.least_exponent) << self.mantissa)
        return sign | min(bits, self.infinity)

    def nan_of(self, *inputs: Value) -> Nan:
        """The NaN that an operation on these operands gives."""
        canonical = all(self.is_canonical(value) for value in inputs if self.is_nan(value))
        return Nan.CANONICAL if canonical else Nan.ARITHMETIC

    def matches(self, expected: Value, bits: int) -> bool:
        """Whether bits are a result as it is expected."""
        if not isinstance(expected, Nan):
            return bits == expected
        payload = bits & (self.sign - 1)
        return payload == self.canonical if expected is Nan.CANONICAL else payload & self.canonical == self.canonical


F32: Final = Format(32, 23)
F64: Final = Format(64, 52)
FORMATS: Final = {"f32": F32, "f64": F64}


def _floor_log2(number: Fraction) -> int:
    guess = number.numerator.bit_length() - number.denominator.bit_length()
    return guess if Fraction(2) ** guess <= number else guess - 1


def signed(value: int, bits: int) -> int:
    """The signed reading of unsigned bits."""
    return value - (1 << bits) if value >> (bits - 1) else value


# --- integers -------------------------------------------------------------------------------------


def _divided(a: int, b: int, bits: int, *, is_signed: bool) -> Result:
    if b == 0:
        return TrapCode.INTEGER_DIVISION_BY_ZERO
    if not is_signed:
        return a // b
    x, y = signed(a, bits), signed(b, bits)
    quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
    return TrapCode.INTEGER_OVERFLOW if quotient == 1 << (bits - 1) else quotient % (1 << bits)


def _remainder(a: int, b: int, bits: int, *, is_signed: bool) -> Result:
    if b == 0:
        return TrapCode.INTEGER_DIVISION_BY_ZERO
    if not is_signed:
        return a % b
    x, y = signed(a, bits), signed(b, bits)
    return abs(x) % abs(y) * (-1 if x < 0 else 1) % (1 << bits)


def _rotated(a: int, count: int, bits: int) -> int:
    count %= bits
    return (a << count | a >> (bits - count)) % (1 << bits)


def _extended(a: int, from_: int, bits: int) -> int:
    return signed(a % (1 << from_), from_) % (1 << bits)


_INTEGER: Final[dict[str, Callable[..., Result]]] = {
    "clz": lambda n, a: n - a.bit_length(),
    "ctz": lambda n, a: (a & -a).bit_length() - 1 if a else n,
    "popcnt": lambda n, a: bin(a).count("1"),
    "eqz": lambda n, a: int(a == 0),
    "add": lambda n, a, b: (a + b) % (1 << n),
    "sub": lambda n, a, b: (a - b) % (1 << n),
    "mul": lambda n, a, b: (a * b) % (1 << n),
    "div_s": lambda n, a, b: _divided(a, b, n, is_signed=True),
    "div_u": lambda n, a, b: _divided(a, b, n, is_signed=False),
    "rem_s": lambda n, a, b: _remainder(a, b, n, is_signed=True),
    "rem_u": lambda n, a, b: _remainder(a, b, n, is_signed=False),
    "and": lambda n, a, b: a & b,
    "or": lambda n, a, b: a | b,
    "xor": lambda n, a, b: a ^ b,
    "shl": lambda n, a, b: (a << b % n) % (1 << n),
    "shr_s": lambda n, a, b: (signed(a, n) >> b % n) % (1 << n),
    "shr_u": lambda n, a, b: a >> b % n,
    "rotl": lambda n, a, b: _rotated(a, b, n),
    "rotr": lambda n, a, b: _rotated(a, n - b % n, n),
    "eq": lambda n, a, b: int(a == b),
    "ne": lambda n, a, b: int(a != b),
    "lt_s": lambda n, a, b: int(signed(a, n) < signed(b, n)),
    "lt_u": lambda n, a, b: int(a < b),
    "gt_s": lambda n, a, b: int(signed(a, n) > signed(b, n)),
    "gt_u": lambda n, a, b: int(a > b),
    "le_s": lambda n, a, b: int(signed(a, n) <= signed(b, n)),
    "le_u": lambda n, a, b: int(a <= b),
    "ge_s": lambda n, a, b: int(signed(a, n) >= signed(b, n)),
    "ge_u": lambda n, a, b: int(a >= b),
    "extend8_s": lambda n, a: _extended(a, 8, n),
    "extend16_s": lambda n, a: _extended(a, 16, n),
    "extend32_s": lambda n, a: _extended(a, 32, n),
    "wrap_i64": lambda n, a: a % (1 << 32),
    "extend_i32_s": lambda n, a: _extended(a, 32, n),
    "extend_i32_u": lambda n, a: a,
}


# --- floats ---------------------------------------------------------------------------------------


def _add(f: Format, a: int, b: int) -> Value:
    if f.is_infinite(a) or f.is_infinite(b):
        if f.is_infinite(a) and f.is_infinite(b):
            return a if a == b else Nan.CANONICAL
        return a if f.is_infinite(a) else b
    if f.is_zero(a) and f.is_zero(b):
        return a & b  # -0 only where both are
    return f.rounded(f.fraction(a) + f.fraction(b))


def _multiply(f: Format, a: int, b: int) -> Value:
    sign = (a ^ b) & f.sign
    if f.is_infinite(a) or f.is_infinite(b):
        return Nan.CANONICAL if f.is_zero(a) or f.is_zero(b) else sign | f.infinity
    return f.rounded(f.fraction(a) * f.fraction(b), zero=sign) | sign


def _divide(f: Format, a: int, b: int) -> Value:
    sign = (a ^ b) & f.sign
    if f.is_infinite(a) or f.is_zero(b):
        undefined = f.is_infinite(b) if f.is_infinite(a) else f.is_zero(a)
        return Nan.CANONICAL if undefined else sign | f.infinity
    if f.is_infinite(b):
        return sign
    return f.rounded(f.fraction(a) / f.fraction(b), zero=sign) | sign


def _least(f: Format, a: int, b: int) -> int:
    if f.is_zero(a) and f.is_zero(b):
        return a | b
    return a if f.order(a) < f.order(b) else b


def _greatest(f: Format, a: int, b: int) -> int:
    if f.is_zero(a) and f.is_zero(b):
        return a & b
    return a if f.order(a) > f.order(b) else b


def _square_root(f: Format, a: int) -> Value:
    if f.is_zero(a):
        return a
    if a & f.sign:
        return Nan.CANONICAL
    if f.is_infinite(a):
        return a
    # Digits enough that what is cut off only says on which side of a tie the root lies.
    number, scale = f.fraction(a), 4 * f.mantissa + 2 * abs(f.least_exponent)
    scaled = number * Fraction(4) ** scale
    assert scaled.denominator == 1
    root = math.isqrt(scaled.numerator)
    rest = Fraction(1, 2) if root * root != scaled else Fraction(0)
    return f.rounded((root + rest) / Fraction(2) ** scale)


def _integral(round_: Callable[[Fraction], int]) -> Callable[[Format, int], int]:
    def apply(f: Format, a: int) -> int:
        if f.is_infinite(a):
            return a
        sign = a & f.sign
        return f.rounded(Fraction(round_(f.fraction(a))), zero=sign) | sign

    return apply


_ARITHMETIC: Final[dict[str, Callable[..., Value]]] = {
    "add": _add,
    "sub": lambda f, a, b: _add(f, a, b ^ f.sign),
    "mul": _multiply,
    "div": _divide,
    "min": _least,
    "max": _greatest,
    "sqrt": _square_root,
    "ceil": _integral(math.ceil),
    "floor": _integral(math.floor),
    "trunc": _integral(math.trunc),
    "nearest": _integral(round),
}
"""Operations on numbers; a NaN among the operands gives a NaN."""

_COMPARISONS: Final[dict[str, Callable[..., bool]]] = {
    "eq": lambda a, b: a == b,
    "ne": lambda a, b: a != b,
    "lt": lambda a, b: a < b,
    "gt": lambda a, b: a > b,
    "le": lambda a, b: a <= b,
    "ge": lambda a, b: a >= b,
}


def _bitwise(f: Format, action: str, operands: tuple[Value, ...]) -> Value:
    """Operations on the sign alone, which treat NaNs as anything else."""
    if any(isinstance(value, Nan) for value in operands):
        first = operands[0]
        if isinstance(first, Nan):
            return first
        raise ValueError("the sign of such a NaN is not determined")
    a, *rest = operands
    assert isinstance(a, int)
    if action == "neg":
        return a ^ f.sign
    sign = rest[0] if rest else 0
    assert isinstance(sign, int)
    return a & ~f.sign | sign & f.sign


def _float(f: Format, action: str, operands: tuple[Value, ...]) -> Value:
    if action in ("neg", "abs", "copysign"):
        return _bitwise(f, action, operands)
    nan = any(map(f.is_nan, operands))
    if action in _COMPARISONS:
        return int(action == "ne") if nan else int(_COMPARISONS[action](*map(f.order, operands)))  # type: ignore[arg-type]
    return f.nan_of(*operands) if nan else _ARITHMETIC[action](f, *operands)


# --- conversions ----------------------------------------------------------------------------------


def _to_integer(bits: int, source: Format, value: Value, *, is_signed: bool, saturating: bool) -> Result:
    least, most = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if is_signed else (0, (1 << bits) - 1)
    if source.is_nan(value):
        return 0 if saturating else TrapCode.BAD_CONVERSION_TO_INTEGER
    assert isinstance(value, int)
    if source.is_infinite(value):
        number = least - 1 if value & source.sign else most + 1
    else:
        number = math.trunc(source.fraction(value))
    if saturating:
        number = min(max(number, least), most)
    return number % (1 << bits) if least <= number <= most else TrapCode.INTEGER_OVERFLOW


def _between_floats(target: Format, source: Format, value: Value) -> Value:
    if source.is_nan(value):
        return source.nan_of(value)
    assert isinstance(value, int)
    sign = target.sign if value & source.sign else 0
    return sign | (target.infinity if source.is_infinite(value) else target.rounded(abs(source.fraction(value))))


_TRUNC: Final = re.compile(r"trunc_(sat_)?(f\d\d)_([su])")
_CONVERT: Final = re.compile(r"convert_i(\d\d)_([su])")


def apply(name: str, *operands: Value) -> Result:
    """The result of a numeric instruction."""
    type_, _, action = name.partition(".")
    if action.startswith("reinterpret_"):
        return operands[0]
    trunc, convert = _TRUNC.fullmatch(action), _CONVERT.fullmatch(action)
    if trunc is not None:
        saturating, source, sign = trunc.groups()
        (value,) = operands
        bits = int(type_[1:])
        return _to_integer(bits, FORMATS[source], value, is_signed=sign == "s", saturating=bool(saturating))
    if convert is not None:
        (value,) = operands
        assert isinstance(value, int)
        number = signed(value, int(convert[1])) if convert[2] == "s" else value
        return FORMATS[type_].rounded(Fraction(number))
    if action in ("promote_f32", "demote_f64"):
        return _between_floats(FORMATS[type_], FORMATS[action[-3:]], *operands)
    if type_ in FORMATS:
        return _float(FORMATS[type_], action, operands)
    return _INTEGER[action](int(type_[1:]), *operands)
