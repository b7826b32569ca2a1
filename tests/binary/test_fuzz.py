"""Bytes from nowhere: whatever they are, decoding ends with a model or an error of Wasmark's own."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wasmark.binary import decode_body, decode_module, encode_module
from wasmark.core.model import ModuleModel
from wasmark.errors import Error

from .build import HEADER, MAGIC
from .test_encoder import EVERYTHING

ROUNDS = 4000


def decode_all(binary: bytes) -> ModuleModel | None:
    try:
        model = decode_module(binary)
        for function in model.functions:
            decode_body(model, function.start, function.end)
    except Error:
        return None
    return model


def damaged(source: random.Random, binary: bytes) -> bytes:
    data = bytearray(binary)
    for _ in range(source.randint(1, 3)):
        place = source.randrange(len(MAGIC), len(data))
        match source.randrange(5):
            case 0:
                data[place] ^= 1 << source.randrange(8)
            case 1:
                data[place] = source.choice([0x00, 0x0B, 0x7F, 0x80, 0xFF, source.randrange(256)])
            case 2:
                del data[place : place + source.randint(1, 4)]
            case 3:
                data[place:place] = source.randbytes(source.randint(1, 4))
            case 4:
                other = source.randrange(len(MAGIC), len(data))
                data[place : place + 4], data[other : other + 4] = data[other : other + 4], data[place : place + 4]
        if len(data) <= len(HEADER):
            break
    return bytes(data)


def test_damaged_modules_decode_or_end_in_an_error_of_ours_and_survivors_come_back() -> None:
    source = random.Random(20)
    survivors = 0
    for _ in range(ROUNDS):
        model = decode_all(damaged(source, EVERYTHING))
        if model is not None:
            survivors += 1
            binary = encode_module(model)
            again = decode_all(binary)
            assert again is not None
            assert encode_module(again) == binary
            assert again.types == model.types
            assert again.imports == [
                type(old)(old.module, old.name, old.kind, old.desc, new.offset)
                for old, new in zip(model.imports, again.imports, strict=True)
            ]
    assert 0 < survivors < ROUNDS


def test_every_cut_of_a_module_is_an_error_or_ends_where_a_section_ends() -> None:
    ends = {end for _, _, end in decode_module(EVERYTHING).sections} | {len(HEADER)}
    for size in range(len(EVERYTHING)):
        assert decode_all(EVERYTHING[:size]) is None or size in ends


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_sections_decode_or_end_in_an_error_of_ours(contents: bytes) -> None:
    decode_all(contents)
    decode_all(HEADER + contents)


@given(st.integers(1, 13), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_random_contents_of_one_section(section: int, contents: bytes) -> None:
    decode_all(HEADER + bytes([section, len(contents)]) + contents)


@pytest.mark.parametrize("seed", range(3))
def test_random_bodies_decode_or_end_in_an_error_of_ours(seed: int) -> None:
    source = random.Random(seed)
    ended = 0
    for _ in range(2000):
        # Few bytes end a body by chance; one that is closed in the end gets further.
        data = source.randbytes(source.randint(0, 30)) + b"\x0b" * source.randint(0, 4)
        model = ModuleModel(data=data, data_count=source.choice([None, 1]))
        try:
            instrs = decode_body(model, 0, len(data))
        except Error:
            continue
        ended += 1
        assert instrs[-1][0].name == "end"
    assert ended
