"""Damaged modules that can still be decoded, and random valid ones, are the same after a way through their text."""

from __future__ import annotations

from random import Random

import pytest

from tests.differential.generator import generate
from tests.fuzz.corpus import corpus
from tests.fuzz.mutate import damage
from wasmark.binary import decode_body, decode_module, encode_module
from wasmark.core.model import ModuleModel
from wasmark.errors import Error
from wasmark.text import parse_module
from wasmark.text.printer import print_module

CHUNK = 1_000


def bodies(model: ModuleModel) -> list[object]:
    """What all functions consist of."""
    return [[(row, imm) for row, imm, _ in decode_body(model, f.start, f.end)] for f in model.functions]


def assert_same(model: ModuleModel, expected: list[object]) -> None:
    text = "".join(print_module(model))
    binary = encode_module(parse_module(text))
    again = decode_module(binary)
    assert bodies(again) == expected, text
    assert again.types == model.types
    assert (again.imported, again.func_types) == (model.imported, model.func_types)
    assert encode_module(parse_module("".join(print_module(again)))) == binary


@pytest.mark.parametrize("chunk", range(4))
def test_damaged_modules_that_can_be_decoded_can_be_printed(chunk: int) -> None:
    modules = corpus()
    printed = 0
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        random = Random(seed)
        damaged = damage(random.choice(modules)[1], random, random.choice(modules)[1])
        try:
            model = decode_module(damaged)
            expected = bodies(model)
        except Error:
            continue
        assert_same(model, expected)
        printed += 1
    assert printed > CHUNK // 20


def test_random_valid_modules_can_be_printed() -> None:
    for seed in range(60):
        model = decode_module(generate(seed).binary)
        assert_same(model, bodies(model))
