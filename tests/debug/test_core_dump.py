"""A core dump is a valid module, for us and for others, and tells of the trap's stack and the state of the store."""

from __future__ import annotations

import struct
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import wasmtime

import wasmark
from tests import ways
from tests.debug.programs import attempt
from wasmark import Config, Engine, Instance, Module, Store
from wasmark.binary import decode_module
from wasmark.binary.leb import read_u32

if TYPE_CHECKING:
    from pathlib import Path

LEDGER = """
(module $ledger
  (memory (export "memory") 3)
  (memory $wide (export "wide") i64 1)
  (global $i (mut i32) (i32.const -5))
  (global $l (mut i64) (i64.const 0x8000000000000000))
  (global $f (mut f32) (f32.const nan:0x200001))
  (global $d f64 (f64.const -0.5))
  (global $v v128 (v128.const i64x2 1 -1))
  (global $r (mut funcref) (ref.null func))
  (data (i32.const 65536) "second page")
  (func $divide (param i32 i64) (result i32) (local f32 f32)
    (i32.div_s (local.get 0) (i32.const 0)))
  (func (export "settle") (param i32) (result i32)
    (i32.add (call $divide (local.get 0) (i64.const 3)) (i32.const 1))))
"""


class Frame(NamedTuple):
    instance: int
    function: int
    offset: int
    locals: int


class Dump(NamedTuple):
    """A core dump, taken apart again."""

    program: str
    modules: list[str]
    instances: list[tuple[int, list[int], list[int]]]
    thread: str
    stack: list[Frame]
    model: Any


def read(data: bytes) -> Dump:
    model = decode_module(data)
    sections = {custom.name: data[custom.start : custom.end] for custom in model.customs}
    assert list(sections) == ["core", "coremodules", "coreinstances", "corestack"]
    core = Reader(sections["core"])
    core.expect(0)
    program = core.name()
    modules = Reader(sections["coremodules"])
    names = modules.vector(lambda: (modules.expect(0), modules.name())[1])
    instances = Reader(sections["coreinstances"])
    entries = instances.vector(
        lambda: (instances.expect(0), instances.u(), instances.vector(instances.u), instances.vector(instances.u))[1:]
    )
    stack = Reader(sections["corestack"])
    stack.expect(0)
    thread = stack.name()
    frames = stack.vector(lambda: frame(stack))
    assert all(reader.at == len(reader.data) for reader in (core, modules, instances, stack))
    return Dump(program, names, entries, thread, frames, model)


def frame(reader: Reader) -> Frame:
    reader.expect(0)
    instance, function, offset = reader.u(), reader.u(), reader.u()
    values = reader.vector(lambda: reader.expect(1))
    assert reader.vector(lambda: None) == []
    return Frame(instance, function, offset, len(values))


class Reader:
    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def u(self) -> int:
        value, self.at = read_u32(self.data, self.at)
        return value

    def expect(self, byte: int) -> None:
        assert self.data[self.at] == byte
        self.at += 1

    def name(self) -> str:
        size = self.u()
        self.at += size
        return self.data[self.at - size : self.at].decode()

    def vector(self, item: Any) -> list[Any]:
        return [item() for _ in range(self.u())]


def contents(dump: Dump, memory: int) -> bytearray:
    """What a memory of the dump starts with."""
    type_ = dump.model.memories[memory]
    out = bytearray(type_.limits.minimum << type_.page_size_log2)
    engine = Engine(Config(cache=False))
    # The segments are placed by our own instance of the dump, which is a module like others.
    instance = Instance(Module(with_exports(dump), engine), store=Store(engine))
    out[:] = memoryview(instance.exports[f"memory{memory}"])
    return out


def with_exports(dump: Dump) -> bytes:
    from wasmark.binary import encode_module
    from wasmark.core.model import Export

    dump.model.exports = [Export(f"memory{n}", "memory", n) for n in range(len(dump.model.memories))]
    dump.model.exports += [Export(f"global{n}", "global", n) for n in range(len(dump.model.globals))]
    return encode_module(dump.model)


def trapped(instance: Instance, *arguments: int) -> wasmark.Trap:
    with pytest.raises(wasmark.Trap) as caught:
        instance.exports.settle(*arguments)
    return caught.value


@pytest.mark.parametrize("way", ways.WAYS)
def test_a_dump_has_the_stack_the_memories_and_the_globals(way: str) -> None:
    engine = Engine(ways.config(way, cache=False))
    store = Store(engine)
    instance = Instance(Module(LEDGER, engine), store=store)
    memoryview(instance.exports.memory)[70_000:70_004] = b"mark"
    memoryview(instance.exports.wide)[5] = 7
    trap = trapped(instance, 9)
    data = wasmark.core_dump(trap, store, "the ledger")
    Module.validate(data)
    dump = read(data)
    assert (dump.program, dump.modules, dump.thread) == ("the ledger", ["ledger"], "main")
    assert dump.instances == [(0, [0, 1], [0, 1, 2, 3, 4, 5])]
    divide, settle = trap.frames
    assert dump.stack == [Frame(0, 0, divide.func_offset, 4), Frame(0, 1, settle.func_offset, 1)]
    assert divide.func_offset > 0
    assert contents(dump, 0) == bytearray(memoryview(instance.exports.memory))
    assert contents(dump, 1) == bytearray(memoryview(instance.exports.wide))
    # Zeros are left out.
    assert len(dump.model.data_segments) == 2
    assert len(data) < 2 * 65536 + 1000


def test_wasmtime_takes_a_dump_and_finds_the_globals_in_it() -> None:
    engine = Engine(Config(cache=False))
    store = Store(engine)
    instance = Instance(Module(LEDGER, engine), store=store)
    trap = trapped(instance, 1)
    data = wasmark.core_dump(trap, store)
    config = wasmtime.Config()
    config.wasm_memory64 = True
    config.wasm_multi_memory = True
    other = wasmtime.Engine(config)
    wasmtime.Module.validate(other, data)
    other_store = wasmtime.Store(other)
    exports = wasmtime.Instance(other_store, wasmtime.Module(other, with_exports(read(data))), []).exports(other_store)
    values = [exports[f"global{number}"].value(other_store) for number in (0, 1, 3, 5)]
    assert values == [-5, -(1 << 63), -0.5, 0]
    memory = exports["memory0"]
    assert memory.read(other_store, 65536, 65547) == b"second page"


def test_a_vector_and_a_nan_are_written_bit_by_bit() -> None:
    engine = Engine(Config(cache=False))
    store = Store(engine)
    instance = Instance(Module(LEDGER, engine), store=store)
    dump = read(wasmark.core_dump(trapped(instance, 1), store))
    exports = Instance(Module(with_exports(dump), engine), store=Store(engine)).exports
    assert exports["global4"].value == struct.pack("<qq", 1, -1)
    expression = dump.model.globals[2].init
    assert dump.model.data[expression.start : expression.end] == b"\x43" + struct.pack("<I", 0x7FA00001) + b"\x0b"


def test_instances_share_what_they_share() -> None:
    engine = Engine(Config(cache=False))
    store = Store(engine)
    owner = Instance(Module(LEDGER, engine), store=store)
    user = Module(
        """
        (module $user
          (import "ledger" "memory" (memory 1))
          (import "ledger" "settle" (func $settle (param i32) (result i32)))
          (global i32 (i32.const 1))
          (func (export "settle") (result i32) (call $settle (i32.const 2))))
        """,
        engine,
    )
    instance = Instance(user, {"ledger": {"memory": owner.exports.memory, "settle": owner.exports.settle}}, store)
    trap = trapped(instance)
    dump = read(wasmark.core_dump(trap, store))
    assert dump.modules == ["ledger", "user"]
    assert dump.instances == [(0, [0, 1], [0, 1, 2, 3, 4, 5]), (1, [0], [6])]
    assert [(frame.instance, frame.function) for frame in dump.stack] == [(0, 0), (0, 1), (1, 1)]


def test_a_frame_of_one_of_several_instances_names_none_of_them() -> None:
    engine = Engine(Config(cache=False))
    store = Store(engine)
    module = Module(LEDGER, engine)
    first, second = Instance(module, store=store), Instance(module, store=store)
    trap = trapped(second, 1)
    del first
    dump = read(wasmark.core_dump(trap, store))
    assert [entry[0] for entry in dump.instances] == [0, 0, 0]
    assert dump.instances[2] == (0, [], [])
    assert {frame.instance for frame in dump.stack} == {2}


def test_exceptions_can_be_dumped_too() -> None:
    engine = Engine(Config(cache=False))
    store = Store(engine)
    text = '(module $thrower (tag $t) (func (export "settle") (throw $t)))'
    instance = Instance(Module(text, engine), store=store)
    with pytest.raises(wasmark.WasmException) as caught:
        instance.exports.settle()
    dump = read(wasmark.core_dump(caught.value, store))
    assert dump.modules == ["thrower"]
    assert [(frame.instance, frame.function) for frame in dump.stack] == [(0, 0)]


def test_run_writes_a_dump_where_the_program_traps(tmp_path: Path) -> None:
    (tmp_path / "ledger.wat").write_text(LEDGER)
    words = [sys.executable, "-m", "wasmark", "run", "--coredump", "core.wasm", "ledger.wat", "--invoke", "settle", "1"]
    done = attempt(words, tmp_path)
    assert done.returncode == 134
    dump = read((tmp_path / "core.wasm").read_bytes())
    assert dump.program == "ledger.wat"
    assert [frame.function for frame in dump.stack] == [0, 1]
