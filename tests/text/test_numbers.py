"""Number literals (core §6.3.2): exact values, exact rounding, and the borders of every range."""

from __future__ import annotations

import random
import struct
from fractions import Fraction

import pytest

from wasmark.text.numbers import NOT_A_NUMBER, OUT_OF_RANGE, parse_f32, parse_f64, parse_int, parse_uint


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0", 0),
        ("-0", 0),
        ("+7", 7),
        ("1_000_000", 1_000_000),
        ("0x0_Ff", 255),
        ("-0x8000_0000", -(1 << 31)),
        ("2147483648", -(1 << 31)),
        ("4294967295", -1),
        ("0xFFFFFFFF", -1),
        ("0" * 5000 + "12", 12),
    ],
)
def test_an_i32_is_read_in_any_spelling(text: str, value: int) -> None:
    assert parse_int(text, 32) == value


@pytest.mark.parametrize("text", ["4294967296", "-2147483649", "0x1_0000_0000", "9" * 5000, "-0x80000001"])
def test_i32_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=OUT_OF_RANGE):
        parse_int(text, 32)


@pytest.mark.parametrize(
    "text", ["", "_1", "1_", "1__2", "0x", "0x_1", "0xg", "1.0", "--1", "+ 1", "nan", "0X1", "1e3"]
)
def test_no_integers(text: str) -> None:
    with pytest.raises(ValueError, match=NOT_A_NUMBER):
        parse_int(text, 32)


def test_unsigned_integers_have_no_sign_and_no_negative_half() -> None:
    assert parse_uint("0xffff_ffff", 32) == 0xFFFF_FFFF
    with pytest.raises(ValueError, match=NOT_A_NUMBER):
        parse_uint("+1", 32)
    with pytest.raises(ValueError, match="i32 constant out of range"):
        parse_uint("4294967296", 32)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("0", 0),
        ("-0", 0x8000_0000),
        ("-0.0", 0x8000_0000),
        ("1", 0x3F80_0000),
        ("1.", 0x3F80_0000),
        ("1e0", 0x3F80_0000),
        ("0x1.8p1", 0x4040_0000),
        ("0x3", 0x4040_0000),
        ("0x0.8p1", 0x3F80_0000),
        ("1_0.2_5E+0_1", 0x42CD_0000),
        ("inf", 0x7F80_0000),
        ("-inf", 0xFF80_0000),
        ("nan", 0x7FC0_0000),
        ("-nan", 0xFFC0_0000),
        ("nan:0x1", 0x7F80_0001),
        ("nan:0x7f_ffff", 0x7FFF_FFFF),
        ("3.4028234e38", 0x7F7F_FFFF),
        # Halfway to 2**128 is out of range; the decimal just below it is not, although its nearest double is just that.
        ("340282356779733661637539395458142568447.9", 0x7F7F_FFFF),
        ("0x1.fffffeffffffp127", 0x7F7F_FFFF),
        ("0x1p-149", 1),
        ("0x1p-150", 0),
        ("0x1.000001p-150", 1),
        ("1.4e-45", 1),
        ("1e-99999999999999999999", 0),
        ("0x1p-" + "9" * 5000, 0),
        ("0x0p" + "9" * 5000, 0),
        ("0." + "0" * 6000 + "1e6001", 0x3F80_0000),
    ],
)
def test_an_f32_is_read_to_the_last_bit(text: str, bits: int) -> None:
    assert parse_f32(text) == bits


@pytest.mark.parametrize(
    "text",
    [
        "3.4028236e38",
        "340282356779733661637539395458142568448",
        "0x1p128",
        "0x1.ffffffp127",
        "1e99999999999999999999",
        "nan:0x0",
        "nan:0x80_0000",
    ],
)
def test_f32_out_of_range(text: str) -> None:
    with pytest.raises(ValueError, match=OUT_OF_RANGE):
        parse_f32(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".5",
        "1e",
        "e1",
        "0x",
        "0x.8",
        "0x1p",
        "1p3",
        "0x1e+3",
        "nan:1",
        "nan:canonical",
        "infinity",
        "1.e_1",
        "1._5",
    ],
)
def test_no_floats(text: str) -> None:
    with pytest.raises(ValueError, match=NOT_A_NUMBER):
        parse_f32(text)


@pytest.mark.parametrize(
    ("text", "bits"),
    [
        ("1", 0x3FF0_0000_0000_0000),
        ("0x1p-1074", 1),
        ("0x1p-1075", 0),
        ("0x1.8p-1075", 1),
        ("0x1.fffffffffffffp1023", 0x7FEF_FFFF_FFFF_FFFF),
        ("nan:0xfffffffffffff", 0x7FFF_FFFF_FFFF_FFFF),
        ("4.9406564584124654e-324", 1),
        ("2.2250738585072011e-308", 0x000F_FFFF_FFFF_FFFF),
    ],
)
def test_an_f64_is_read_to_the_last_bit(text: str, bits: int) -> None:
    assert parse_f64(text) == bits


def rounded(value: Fraction, precision: int, smallest: int) -> int:
    """Magnitude bits of the nearest float by the definition; `smallest` is the exponent of a subnormal's last bit."""
    exponent = value.numerator.bit_length() - value.denominator.bit_length()
    if Fraction(2) ** exponent > value:
        exponent -= 1
    unit = max(exponent + 1 - precision, smallest)
    mantissa = round(value / Fraction(2) ** unit)
    hidden = 1 << (precision - 1)
    return mantissa if mantissa < hidden else ((unit - smallest + 1) << (precision - 1)) + mantissa - hidden


def test_decimals_next_to_the_midpoint_of_two_singles_are_rounded_once() -> None:
    choose = random.Random(1)
    for _ in range(2000):
        bits = choose.randrange(1, 0x7F7F_FFFF)
        low, high = (Fraction(struct.unpack("<f", (bits + step).to_bytes(4, "little"))[0]) for step in (0, 1))
        midpoint = (low + high) / 2
        digits = 400
        for offset in (-1, 0, 1):
            scaled = int(midpoint * 10**digits) + offset  # at most 174 digits behind the point, so exact
            text = f"{scaled // 10**digits}.{scaled % 10**digits:0{digits}d}"
            assert parse_f32(text) == rounded(Fraction(scaled, 10**digits), 24, -149), text


@pytest.mark.parametrize(
    ("parse", "precision", "smallest", "mask"), [(parse_f32, 24, -149, 255), (parse_f64, 53, -1074, 2047)]
)
def test_hex_floats_are_rounded_by_the_definition(parse: object, precision: int, smallest: int, mask: int) -> None:
    choose = random.Random(2)
    for _ in range(2000):
        mantissa = choose.getrandbits(choose.randrange(1, 80)) | 1
        exponent = choose.randrange(smallest - 70, mask // 2 + 1 - 80)
        expected = rounded(mantissa * Fraction(2) ** exponent, precision, smallest)
        assert parse(f"0x{mantissa:x}p{exponent}") == expected  # type: ignore[operator]
