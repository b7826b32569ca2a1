"""Artefacts: what goes in comes out, and damage anywhere is noticed."""

from __future__ import annotations

import pytest

from wasmark.jit.artefact import FORMAT, MAGIC, Artefact, ArtefactError, decode, encode, is_artefact
from wasmark.runtime.code_memory import PAGE_SIZE
from wasmark.runtime.image import EXTERNAL, IMAGE, Image

KEY = bytes(range(32))


def sample() -> Artefact:
    fixups = [(PAGE_SIZE, "<Q", False, EXTERNAL, "abs", 0), (PAGE_SIZE + 8, "<Q", False, IMAGE, "", 3)]
    first = Image(
        b"\xc3" * PAGE_SIZE + bytes(16), 5, 16, fixups, {"f": (0, 1), "g ü": (1, 4)}, lines=[(0, 5, b"program")]
    )
    second = Image(b"\xcc" * PAGE_SIZE * 2 + b"constants", PAGE_SIZE + 1, 9)
    info = {"kind": "test", "name": None, "numbers": [1, 2], "options": ["a"]}
    return Artefact(KEY, info, {"first": first, "second": second}, {"blob": b"12345", "empty": b""})


def test_what_is_encoded_is_decoded() -> None:
    artefact = sample()
    data = encode(artefact)
    found = decode(memoryview(data), KEY)
    assert (found.key, found.info) == (KEY, artefact.info)
    assert {name: bytes(blob) for name, blob in found.blobs.items()} == {"blob": b"12345", "empty": b""}
    sizes = [(name, image.text_size, image.rodata_size) for name, image in found.images.items()]
    assert sizes == [("first", 5, 16), ("second", PAGE_SIZE + 1, 9)]
    for name, image in artefact.images.items():
        other = found.images[name]
        assert bytes(other.content) == image.content
        assert (list(other.fixups), other.symbols) == (list(image.fixups), image.symbols)
        assert [(a, b, bytes(c)) for a, b, c in other.lines] == list(image.lines)
        offset = found.offsets[name]
        assert offset % PAGE_SIZE == 0
        assert data[offset : offset + len(image.content)] == image.content


def test_equal_artefacts_are_equal_bytes() -> None:
    assert encode(sample()) == encode(sample())


def test_a_flipped_bit_anywhere_is_noticed() -> None:
    data = bytearray(encode(sample()))
    for position in [*range(600), *range(600, len(data), 97), len(data) - 1]:
        data[position] ^= 1 << position % 8
        with pytest.raises(ArtefactError):
            decode(memoryview(data))
        data[position] ^= 1 << position % 8
    decode(memoryview(data))


def test_a_cut_or_extended_artefact_is_noticed() -> None:
    data = encode(sample())
    for size in [*range(200), *range(200, len(data), 313), len(data) - 1]:
        with pytest.raises(ArtefactError):
            decode(memoryview(data)[:size])
    with pytest.raises(ArtefactError, match="damaged"):
        decode(memoryview(data + b"\0"))


def test_another_key_another_format_and_other_files_are_refused() -> None:
    data = bytearray(encode(sample()))
    with pytest.raises(ArtefactError, match="something else"):
        decode(memoryview(data), bytes(32))
    data[8] = FORMAT + 1
    with pytest.raises(ArtefactError, match=f"format {FORMAT + 1}"):
        decode(memoryview(data))
    with pytest.raises(ArtefactError, match="not an artefact"):
        decode(memoryview(b"\x7fELF" + bytes(200)))
    assert is_artefact(MAGIC)
    assert not is_artefact(b"\0asm\1\0\0\0")
    assert not is_artefact(b"")
