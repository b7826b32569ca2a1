"""Small binaries by hand, so that a test shows the bytes it is about and nothing else."""

from __future__ import annotations

from wasmark.binary import decode_body, decode_module
from wasmark.binary.decoder import MAGIC, VERSION
from wasmark.binary.instructions import Instr
from wasmark.binary.leb import write_u
from wasmark.core.model import ModuleModel

HEADER = MAGIC + VERSION
HEADER_SIZE = len(HEADER)

TYPE, IMPORT, FUNCTION, TABLE, MEMORY, GLOBAL, EXPORT, START, ELEMENT, CODE, DATA, DATA_COUNT, TAG = range(1, 14)

NO_TYPE = bytes.fromhex("60 00 00")  # [] -> []


def section(id_: int, contents: bytes | str) -> bytes:
    """A section; `contents` may be given in hexadecimal."""
    if isinstance(contents, str):
        contents = bytes.fromhex(contents)
    return bytes([id_]) + write_u(len(contents)) + contents


def vector(*items: bytes) -> bytes:
    return write_u(len(items)) + b"".join(items)


def module(*sections: bytes) -> bytes:
    return HEADER + b"".join(sections)


def custom(name: bytes, contents: bytes) -> bytes:
    return section(0, write_u(len(name)) + name + contents)


def code_entry(body: bytes, locals_: bytes = b"\x00") -> bytes:
    contents = locals_ + body
    return write_u(len(contents)) + contents


def function_module(body: bytes, *, before: tuple[bytes, ...] = (), types: bytes = vector(NO_TYPE)) -> bytes:
    """A module of one function of type 0; `before` are sections between the function and the code section."""
    return module(
        section(TYPE, types), section(FUNCTION, vector(b"\x00")), *before, section(CODE, vector(code_entry(body)))
    )


def decode_function(binary: bytes) -> tuple[ModuleModel, list[Instr]]:
    """The model and the instructions of the first function."""
    model = decode_module(binary)
    function = model.functions[0]
    return model, decode_body(model, function.start, function.end)
