from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmark.binary.leb import read_count, read_s, read_u, read_u32, read_u32_vector, write_s, write_u
from wasmark.errors import MalformedError

UNSIGNED = [(bits, value) for bits in (8, 32, 64) for value in (0, 1, 63, 64, 127, 128, (1 << bits) - 1)]
SIGNED = [
    (bits, value)
    for bits in (32, 33, 64)
    for value in (0, 1, -1, 63, 64, -64, -65, (1 << (bits - 1)) - 1, -(1 << (bits - 1)))
]


@pytest.mark.parametrize(("bits", "value"), UNSIGNED)
def test_unsigned_integers_come_back(bits: int, value: int) -> None:
    encoded = write_u(value)
    assert read_u(b"\xff" + encoded + b"\xff", 1, bits) == (value, 1 + len(encoded))


@pytest.mark.parametrize(("bits", "value"), SIGNED)
def test_signed_integers_come_back(bits: int, value: int) -> None:
    encoded = write_s(value)
    assert read_s(b"\xff" + encoded + b"\xff", 1, bits) == (value, 1 + len(encoded))


@given(st.integers(0, (1 << 64) - 1))
def test_any_u64_comes_back_in_the_fewest_bytes(value: int) -> None:
    encoded = write_u(value)
    assert read_u(encoded, 0, 64) == (value, len(encoded))
    assert len(encoded) == max(1, -(-value.bit_length() // 7))


@given(st.lists(st.integers(0, 0x7F), min_size=1, max_size=4), st.binary(max_size=4))
def test_a_short_signed_integer_is_what_its_bits_say_whatever_follows(groups: list[int], behind: bytes) -> None:
    size = 7 * len(groups)
    bits = sum(group << 7 * place for place, group in enumerate(groups))
    encoded = bytes([*(group | 0x80 for group in groups[:-1]), groups[-1]])
    value = bits - (bits >> (size - 1) << size)
    for width in (32, 33, 64):
        assert read_s(encoded + behind, 0, width) == (value, len(encoded))


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_any_s64_comes_back(value: int) -> None:
    assert read_s(write_s(value), 0, 64)[0] == value


@pytest.mark.parametrize(
    ("encoded", "bits", "value"),
    [("80 80 80 80 00", 32, 0), ("83 80 80 80 00", 32, 3), ("ff ff ff ff 0f", 32, 0xFFFF_FFFF), ("82 00", 8, 2)],
)
def test_an_unsigned_integer_may_be_longer_than_needed(encoded: str, bits: int, value: int) -> None:
    data = bytes.fromhex(encoded)
    assert read_u(data, 0, bits) == (value, len(data))


@pytest.mark.parametrize(
    ("encoded", "bits", "value"),
    [("ff ff ff ff 7f", 32, -1), ("80 80 80 80 78", 32, -(1 << 31)), ("fe 7f", 33, -2), ("80 7f", 64, -128)],
)
def test_a_signed_integer_may_be_longer_than_needed(encoded: str, bits: int, value: int) -> None:
    data = bytes.fromhex(encoded)
    assert read_s(data, 0, bits) == (value, len(data))


@pytest.mark.parametrize(
    ("encoded", "bits", "message", "offset"),
    [
        ("80 80 80 80 80 00", 32, "integer representation too long", 5),
        ("80 80 80 80 10", 32, "integer too large", 4),
        ("80 80 80 80 80 80 80 80 80 80 00", 64, "integer representation too long", 10),
        ("80 80 80 80 80 80 80 80 80 02", 64, "integer too large", 9),
        ("80 02", 8, "integer too large", 1),
        ("", 32, "unexpected end", 0),
        ("80 80", 32, "unexpected end", 2),
    ],
)
def test_malformed_unsigned_integers(encoded: str, bits: int, message: str, offset: int) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        read_u(bytes.fromhex(encoded), 0, bits)
    assert caught.value.offset == offset


@pytest.mark.parametrize(
    ("encoded", "bits", "message", "offset"),
    [
        ("80 80 80 80 80 00", 32, "integer representation too long", 5),
        ("ff ff ff ff ff 7f", 32, "integer representation too long", 5),
        ("80 80 80 80 70", 32, "integer too large", 4),
        ("ff ff ff ff 0f", 32, "integer too large", 4),
        ("80 80 80 80 40", 33, "integer too large", 4),
        ("80 80 80 80 80 80 80 80 80 7e", 64, "integer too large", 9),
        ("ff", 33, "unexpected end", 1),
    ],
)
def test_malformed_signed_integers(encoded: str, bits: int, message: str, offset: int) -> None:
    with pytest.raises(MalformedError, match=message) as caught:
        read_s(bytes.fromhex(encoded), 0, bits)
    assert caught.value.offset == offset


def test_a_count_is_bounded_by_what_is_left() -> None:
    assert read_count(b"\x02ab", 0) == (2, 1)
    with pytest.raises(MalformedError, match="length out of bounds"):
        read_count(b"\xff\xff\xff\xff\x0fab", 0)


@given(st.lists(st.integers(0, (1 << 32) - 1), max_size=40))
def test_vectors_of_short_and_long_integers_are_read_alike(values: list[int]) -> None:
    encoded = write_u(len(values)) + b"".join(map(write_u, values))
    assert read_u32_vector(encoded, 0) == (tuple(values), len(encoded))


def test_a_vector_that_stops_early_is_malformed() -> None:
    with pytest.raises(MalformedError, match="unexpected end"):
        read_u32_vector(b"\x03\x01\x02", 0)


def test_u32_at_the_very_end_of_the_data() -> None:
    assert read_u32(b"\x05", 0) == (5, 1)
    with pytest.raises(MalformedError, match="unexpected end"):
        read_u32(b"\x05", 1)


def test_a_negative_number_has_no_unsigned_encoding() -> None:
    with pytest.raises(ValueError, match="-1"):
        write_u(-1)
