"""Components that people publish: decoded, valid, encoded and printed without a byte's difference, and run."""

from __future__ import annotations

import importlib.util
import json
import os
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import wasmark
from wasmark.component.binary import decode_component, encode_component
from wasmark.component.text import parse_component
from wasmark.component.text.printer import print_component
from wasmark.component.types import FuncType, InstanceType
from wasmark.component.validate import validate_component
from wasmark.validate import TypeRegistry

CODECS = ("zlib", "zstd", "bit_round", "sz3")
INTERFACE = "numcodecs:abc/codec@0.1.1"


def file_of(codec: str) -> Path:
    spec = importlib.util.find_spec(f"numcodecs_wasm_{codec}")
    assert spec is not None, "the `test` extra brings it"
    assert spec.submodule_search_locations
    return Path(spec.submodule_search_locations[0]) / "codec.wasm"


def imports(errors: list[bytes]) -> dict[str, Any]:
    """What the codecs need of a host; what they write to the standard error goes to `errors`."""
    return {
        "wasi:logging/logging": {"log": lambda level, context, message: errors.append(message.encode())},
        "wasi:io/streams@0.2.6": {
            "[method]output-stream.blocking-write-and-flush": lambda stream, data: errors.append(data)
        },
        "wasi:cli/stderr@0.2.6": {"get-stderr": object},
        "wasi:random/random@0.2.6": {"get-random-bytes": os.urandom},
    }


@pytest.mark.parametrize("codec", CODECS)
def test_the_encoder_gives_back_every_byte(codec: str) -> None:
    binary = file_of(codec).read_bytes()
    assert encode_component(decode_component(binary)) == binary


@pytest.mark.parametrize("codec", CODECS)
def test_validation_finds_the_types_of_the_interface(codec: str) -> None:
    checked = validate_component(decode_component(file_of(codec).read_bytes()), TypeRegistry(), bodies=False)
    exported = checked.type.exports[INTERFACE]
    assert isinstance(exported, InstanceType)
    functions = {name: each for name, each in exported.exports.items() if isinstance(each, FuncType)}
    assert {"[static]codec.from-config", "[method]codec.encode", "codec-id"} <= functions.keys()
    assert [label for label, _ in functions["[method]codec.decode"].params] == ["self", "encoded"]


def test_the_bodies_of_its_modules_are_valid() -> None:
    wasmark.Component.validate(file_of("zlib").read_bytes())


def test_printing_says_every_byte() -> None:
    binary = file_of("zlib").read_bytes()
    text = "".join(print_component(decode_component(binary)))
    assert "(core module $wit-component-shim-module" in text
    assert encode_component(parse_component(text)) == binary


@pytest.mark.parametrize("codec", ["zlib", "zstd"])
def test_a_codec_gives_back_what_it_was_given(codec: str) -> None:
    errors: list[bytes] = []
    exports = wasmark.ComponentInstance(wasmark.Component.from_file(file_of(codec)), imports(errors)).exports.codec
    level = json.dumps({"level": 5})
    data = np.random.default_rng(1).integers(0, 9, 5_000, np.uint16)
    with exports.Codec.from_config(level) as made:
        assert json.loads(made.get_config())["level"] == 5
        encoded = made.encode({"data": ("u16", data.tolist()), "shape": [50, 100]})
        decoded = made.decode(encoded)
    assert (decoded.data.label, list(decoded.shape)) == ("u16", [50, 100])
    assert np.array_equal(decoded.data.value, data)
    assert exports.codec_id() == f"{codec}.rs"
    if codec == "zlib":
        packed = encoded.data.value
        at = packed.index(b"\x78")
        assert zlib.decompress(packed[at:]) == data.tobytes()
    assert not errors
