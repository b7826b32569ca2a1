"""Bodies of extreme shapes: the first tier neither recurses nor does what takes forever."""

from __future__ import annotations

import pytest

import wasmark
from wasmark.binary.leb import write_u as number

MANY = 100_000
TARGETS = 20_000
ENGINE = wasmark.Engine(wasmark.Config(strategy="baseline", cache=False))


def section(id_: int, contents: bytes) -> bytes:
    return bytes([id_]) + number(len(contents)) + contents


def call(body: bytes, argument: int, locals_: bytes = b"\0") -> object:
    """The result of a function i32 -> i32 with this body."""
    code = locals_ + body + b"\x0b"
    binary = b"".join(
        [
            b"\0asm\1\0\0\0",
            section(1, b"\x01\x60\x01\x7f\x01\x7f"),
            section(3, b"\x01\0"),
            section(7, b"\x01\x01f\0\0"),
            section(10, b"\x01" + number(len(code)) + code),
        ]
    )
    return wasmark.Instance(wasmark.Module(binary, ENGINE)).exports.f(argument)


GET, SET, ADD, END = b"\x20\0", b"\x21\0", b"\x6a", b"\x0b"


@pytest.mark.parametrize("opener", [b"\x02\x40", b"\x03\x40", GET + b"\x04\x40"], ids=["block", "loop", "if"])
def test_any_depth_of_nesting_is_translated(opener: bytes) -> None:
    assert call(opener * MANY + END * MANY + GET, 5) == 5


def test_a_branch_out_of_everything() -> None:
    assert call(b"\x02\x40" * MANY + b"\x0c" + number(MANY - 1) + END * MANY + GET, 5) == 5


def test_a_table_of_branches_each_to_a_block_of_its_own() -> None:
    table = b"\x0e" + number(TARGETS - 1) + b"".join(map(number, range(TARGETS)))
    assert call(b"\x02\x40" * TARGETS + GET + table + END * TARGETS + GET, 7) == 7


def test_a_local_that_is_set_below_a_deep_stack() -> None:
    assert call(GET * MANY + (GET + SET) * MANY + ADD * (MANY - 1), 5) == 5 * MANY


def test_any_number_of_constants_is_translated() -> None:
    assert call(b"\x41\x01" * MANY + ADD * (MANY - 1), 0) == MANY


def test_any_number_of_locals_is_translated() -> None:
    assert call(b"\x20" + number(49_999), 5, b"\x01" + number(49_999) + b"\x7f") == 0
