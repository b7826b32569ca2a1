"""Core dumps in the format of the WebAssembly tool conventions: a module that is not meant to be instantiated, with the
stack of a trap in custom sections, and the memories and globals of a store as they are now.

    core            the name of the program
    coremodules     the names of the modules
    coreinstances   for each instance its module, and which memories and globals of this file are its
    corestack       for each frame its instance, function, and offset in the function

Values of locals and operands are missing: optimised code does not keep them. A frame tells its module; where a store
has several instances of one, or none, the frame refers to an entry without memories and globals. A global that holds a
reference is written as its bits, an i64.
"""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Final

from wasmark.binary.encoder import encode_instruction, encode_module
from wasmark.binary.leb import write_u
from wasmark.binary.names import write_name
from wasmark.core.model import ConstExpr, CustomSection, DataSegment, Global, ModuleModel
from wasmark.core.opcodes import BY_NAME
from wasmark.core.types import F32, F64, I32, I64, V128, GlobalType, Limits, MemoryType, NumType
from wasmark.values import value_size

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmark.core.types import ValType
    from wasmark.errors import Trap, WasmException
    from wasmark.instance_state import InstanceState
    from wasmark.registry.code_object import RegisteredModule
    from wasmark.registry.frames import FrameInfo
    from wasmark.runtime.linear_memory import LinearMemory
    from wasmark.store import Store

_PLAIN: Final = b"\0"  # in front of each record
_MISSING: Final = b"\x01"
_CHUNK: Final = 1 << 16
"""Zeros are left out in pieces of this size."""
_CONST: Final[dict[NumType, str]] = {
    I32: "i32.const",
    I64: "i64.const",
    F32: "f32.const",
    F64: "f64.const",
    V128: "v128.const",
}
_SIGNED: Final = {I32: 32, I64: 64}


def core_dump(error: Trap | WasmException, store: Store, name: str = "wasm") -> bytes:
    """The core dump of what came out of a call into `store`, to be taken before wasm changes the store again.

    name: of the program. A debugger for such files reads it; it is as large as the memories are, without their zeros.
    """
    return _Dump(error.frames, store, name).encode()


class _Dump:
    def __init__(self, frames: Iterable[FrameInfo], store: Store, name: str) -> None:
        self.data = bytearray()
        self.model = ModuleModel()
        self.modules: dict[int, tuple[int, RegisteredModule]] = {}  # by identity: the number of the module, and itself
        self.instances: list[bytes] = []
        self.memories: dict[int, int] = {}  # by the address of the definition
        self.globals: dict[int, int] = {}  # by the address of the cell
        self.of_module: dict[int, list[int]] = {}  # the instances of a module, by its number
        states = store.instances()
        for state in states:
            number = self.module(state.module)
            self.of_module.setdefault(number, []).append(self.instance(number, *self.contents(state)))
        stack = [self.frame(frame) for frame in frames]
        self.custom("core", _PLAIN + write_name(name))
        names = [_PLAIN + write_name(module.name or "") for _, module in self.modules.values()]
        self.custom("coremodules", _vector(names))
        self.custom("coreinstances", _vector(self.instances))
        self.custom("corestack", _PLAIN + write_name("main") + _vector(stack))

    def encode(self) -> bytes:
        """The file."""
        self.model.data = bytes(self.data)
        return encode_module(self.model)

    def put(self, contents: bytes | memoryview) -> tuple[int, int]:
        """Where it lies in the data of the model: (start, end)."""
        start = len(self.data)
        self.data += contents
        return start, len(self.data)

    def custom(self, name: str, contents: bytes) -> None:
        self.model.customs.append(CustomSection(name, *self.put(contents)))

    def module(self, module: RegisteredModule) -> int:
        """Its number."""
        return self.modules.setdefault(id(module), (len(self.modules), module))[0]

    def instance(self, module: int, memories: list[int], globals_: list[int]) -> int:
        """The number of a new entry."""
        lists = (_vector(map(write_u, numbers)) for numbers in (memories, globals_))
        self.instances.append(_PLAIN + write_u(module) + b"".join(lists))
        return len(self.instances) - 1

    def frame(self, frame: FrameInfo) -> bytes:
        number = self.module(frame.module)
        instances = self.of_module.get(number, ())
        if len(instances) != 1:
            # Nobody knows which one it is: an entry that stands for it, once for each module.
            key = -1 - number
            if key not in self.of_module:
                self.of_module[key] = [self.instance(number, [], [])]
            instances = self.of_module[key]
        head = write_u(instances[0]) + write_u(frame.func_index) + write_u(frame.func_offset)
        return _PLAIN + head + _vector(_MISSING for _ in range(_count_locals(frame))) + _vector(())

    def contents(self, state: InstanceState) -> tuple[list[int], list[int]]:
        """The numbers of an instance's memories and globals."""
        model = state.module.model
        memories = [self.memory(*pair) for pair in zip(state.memories, model.memory_types, strict=True)]
        globals_ = [
            self.global_(state.global_address(index), type_.value) for index, type_ in enumerate(model.global_types)
        ]
        return memories, globals_

    def memory(self, memory: LinearMemory, type_: MemoryType) -> int:
        """Its number."""
        if memory.definition in self.memories:
            return self.memories[memory.definition]
        number = self.memories[memory.definition] = len(self.model.memories)
        is64 = type_.limits.is64
        self.model.memories.append(MemoryType(Limits(memory.size, is64=is64), type_.page_size_log2))
        contents = memoryview((ctypes.c_ubyte * memory.length).from_address(memory.base)).cast("B")
        zeros = bytes(_CHUNK)
        for start in range(0, len(contents), _CHUNK):
            chunk = contents[start : start + _CHUNK]
            if chunk != zeros[: len(chunk)]:
                offset = self.constant(I64 if is64 else I32, start)
                self.model.data_segments.append(DataSegment(*self.put(chunk), number, offset))
        return number

    def global_(self, address: int, type_: ValType) -> int:
        """Its number."""
        if address in self.globals:
            return self.globals[address]
        number = self.globals[address] = len(self.model.globals)
        bits = int.from_bytes(ctypes.string_at(address, value_size(type_)), "little")
        written = type_ if isinstance(type_, NumType) else I64
        if written in (I32, F32):
            bits &= 0xFFFFFFFF
        self.model.globals.append(Global(GlobalType(written, False), self.constant(written, bits)))
        return number

    def constant(self, type_: NumType, bits: int) -> ConstExpr:
        """An expression for the value with these bits."""
        width = _SIGNED.get(type_)
        if width is not None and bits >> (width - 1):
            bits -= 1 << width
        code = encode_instruction(BY_NAME[_CONST[type_]], bits) + encode_instruction(BY_NAME["end"], None)
        return ConstExpr(*self.put(code))


def _vector(items: Iterable[bytes]) -> bytes:
    written = list(items)
    return write_u(len(written)) + b"".join(written)


def _count_locals(frame: FrameInfo) -> int:
    """How many locals the function of a frame has, its parameters among them."""
    model = frame.module.model
    function = model.functions[frame.func_index - model.imported["func"]]
    return len(model.func_type(frame.func_index).params) + sum(count for count, _ in function.locals)


def write_core_dump(path: str | os.PathLike[str], error: Trap | WasmException, store: Store, name: str) -> None:
    """`core_dump` into a file. Raises OSError."""
    contents = core_dump(error, store, name)
    with open(path, "wb") as file:
        file.write(contents)
