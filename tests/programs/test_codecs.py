"""Codecs that people publish as components, against wasmtime-py's component API: the same bytes, both ways."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import pytest

import wasmark
from wasmark import Component, ComponentInstance, ComponentLinker, ResultError

numpy = pytest.importorskip("numpy", reason="numpy is not installed: there are no arrays to encode")
wasmtime = pytest.importorskip("wasmtime", reason="wasmtime is not installed: there is nothing to compare with")

CONFIGS: dict[str, dict[str, Any]] = {
    "zlib": {"level": 6},
    "zstd": {"level": 3},
    "bit_round": {"mode": "keepbits", "keepbits": 6},
    "sz3": {"eb_mode": "abs", "eb_abs": 0.01},
}
# The other engine takes half a minute to compile this one.
COMPARED = [name for name in CONFIGS if name != "sz3" or os.environ.get("WASMARK_LONG")]
INTERFACE = "numcodecs:abc/codec@0.1.1"


def path_of(name: str) -> Path:
    spec = importlib.util.find_spec(f"numcodecs_wasm_{name}")
    if spec is None or spec.origin is None:
        pytest.skip(f"numcodecs-wasm-{name} is not installed")
    return Path(spec.origin).with_name("codec.wasm")


def numbers() -> Any:
    points = numpy.linspace(0, 20, 600, dtype="f4").reshape(30, 20)
    return numpy.sin(points) + points / 7


class Peer:
    """A codec under wasmtime-py."""

    def __init__(self, name: str) -> None:
        from wasmtime import component as wc

        self._record, self._variant = wc.Record, wc.Variant
        engine = wasmtime.Engine()
        self._store = wasmtime.Store(engine)
        self._store.set_wasi(wasmtime.WasiConfig())
        linker = wc.Linker(engine)
        linker.add_wasip2()
        with linker.root() as root, root.add_instance("wasi:logging/logging") as logging:
            logging.add_func("log", lambda *_: None)
        component = wc.Component(engine, path_of(name).read_bytes())
        self._instance = linker.instantiate(self._store, component)
        self._index = self._instance.get_export_index(self._store, INTERFACE)
        self._codec = self._call("[static]codec.from-config", json.dumps(CONFIGS[name]))

    def _call(self, name: str, *args: Any) -> Any:
        index = self._instance.get_export_index(self._store, name, self._index)
        function = self._instance.get_func(self._store, index)
        result = function(self._store, *args)
        function.post_return(self._store)
        return result.payload if isinstance(result, self._variant) and result.tag == "ok" else result

    def call(self, method: str, tag: str, data: Any, shape: list[int]) -> tuple[str, Any, list[int]]:
        record = self._record()
        record.data, record.shape = self._variant(tag, data), shape
        found = self._call(f"[method]codec.{method}", self._codec, record)
        return found.data.tag, found.data.payload, list(found.shape)


def instance_of(name: str) -> ComponentInstance:
    linker = ComponentLinker()
    linker.define_wasi()
    return linker.instantiate(Component(path_of(name).read_bytes(), name=name))


@pytest.mark.parametrize("name", COMPARED)
def test_a_codec_makes_the_same_bytes(name: str) -> None:
    array = numbers()
    api = instance_of(name).exports.codec
    with api.Codec.from_config(json.dumps(CONFIGS[name])) as codec:
        encoded = codec.encode(api.AnyArray(api.AnyArrayData.F32(array.ravel()), array.shape))
        decoded = codec.decode(encoded)
        assert json.loads(codec.get_config())["id"] == api.codec_id()
    peer = Peer(name)
    theirs = peer.call("encode", "f32", array.ravel().tolist(), list(array.shape))
    assert (encoded.data.label, encoded.data.value, encoded.shape) == (theirs[0], _same_kind(theirs[1]), theirs[2])
    back = peer.call("decode", encoded.data.label, encoded.data.value, encoded.shape)
    assert (decoded.data.label, decoded.data.value, decoded.shape) == (back[0], _same_kind(back[1]), back[2])
    assert decoded.shape == list(array.shape)
    assert numpy.abs(numpy.array(decoded.data.value, "f4") - array.ravel()).max() < 0.05


def _same_kind(data: Any) -> Any:
    return data if isinstance(data, bytes) else list(data)


def test_a_codec_that_imports_most_of_wasi_keeps_its_bound() -> None:
    array = numbers()
    instance = instance_of("sz3")
    assert sum(name.startswith("wasi:") for name in instance.component.checked.type.imports) > 15
    api = instance.exports.codec
    with api.Codec.from_config(json.dumps(CONFIGS["sz3"])) as codec:
        encoded = codec.encode(api.AnyArray(api.AnyArrayData.F32(array.ravel()), array.shape))
        decoded = numpy.array(codec.decode(encoded).data.value, "f4")
    assert len(encoded.data.value) < array.nbytes / 2
    assert 0 < numpy.abs(decoded - array.ravel()).max() <= 0.01 + 1e-6


def test_an_error_of_a_codec_is_a_record() -> None:
    api = instance_of("zlib").exports.codec
    with pytest.raises(ResultError) as caught:
        api.Codec.from_config('{"level": 99}')
    assert isinstance(caught.value.payload, api.Error)
    assert "99" in caught.value.payload.message
    assert caught.value.payload.chain == []


def test_decoding_damaged_bytes_raises_and_the_codec_goes_on() -> None:
    api = instance_of("zlib").exports.codec
    codec = api.Codec.from_config('{"level": 1}')
    good = codec.encode({"data": ("u8", b"wasm " * 20), "shape": [100]})
    with pytest.raises(ResultError):
        codec.decode(api.AnyArray(api.AnyArrayData.U8(good.data.value[:9]), [9]))
    assert codec.decode(good).data == api.AnyArrayData.U8(b"wasm " * 20)


def test_a_level_that_is_no_type_of_an_array_is_named() -> None:
    api = instance_of("zlib").exports.codec
    codec = api.Codec.from_config('{"level": 1}')
    with pytest.raises(TypeError, match=r"arg 'data'\.data\.u8\[1\]: expected u8, got 300"):
        codec.encode({"data": ("u8", [1, 300]), "shape": [2]})
    with pytest.raises(TypeError, match=r"arg 'data'\.shape: expected list\[int\], got None"):
        codec.encode(api.AnyArray(api.AnyArrayData.U8(b""), None))


def test_a_component_of_the_world_is_a_module_registry_s_too() -> None:
    instance = instance_of("zlib")
    instance.exports.codec.codec_id()
    names = {frame.component_name for frame in _frames(instance)}
    assert names == {"zlib"}


def _frames(instance: ComponentInstance) -> list[wasmark.FrameInfo]:
    registry = instance.store.registry
    found = []
    for module in instance.component.modules:
        for _, start, _ in list(module.finished_functions())[:20]:
            frame = registry.lookup_frame_info(start)
            assert frame is not None
            assert frame.module is module
            found.append(frame)
    assert len(found) > 3
    return found
