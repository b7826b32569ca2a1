"""The stubs between Python and wasm that only depend on a signature (see `abi`), as LLVM IR.

A *trampoline* is called from outside with a buffer of 8-byte slots and calls a wasm function with them; its results
replace the arguments. A *host stub* is the other way round: a wasm-callable function that puts its arguments into such
a buffer and hands it to `wasmark_host_call`, which calls Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.compile.abi import host_stub_symbol, result_type, split_signature, trampoline_symbol
from wasmark.runtime.layout import SLOT_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterable

ATTRIBUTES: Final = 'attributes #2 = { nounwind "frame-pointer"="all" }\n'


def _slot(name: str, buffer: str, index: int) -> str:
    return f"{name} = getelementptr i8, ptr {buffer}, i64 {SLOT_SIZE * index}\n"


def _unpack(value: str, types: list[str], result: str, buffer: str) -> str:
    """Store the results of a call, packed in `value`, into the slots."""
    if len(types) == 1:
        return _slot("%r0", buffer, 0) + f"store {types[0]} {value}, ptr %r0\n"
    return "".join(
        _slot(f"%r{i}", buffer, i) + f"%x{i} = extractvalue {result} {value}, {i}\nstore {type_} %x{i}, ptr %r{i}\n"
        for i, type_ in enumerate(types)
    )


def trampoline(signature: str) -> str:
    """IR of `void trampoline(ptr context, ptr code, ptr slots)`."""
    params, results = split_signature(signature)
    body = "".join(_slot(f"%p{i}", "%slots", i) + f"%a{i} = load {t}, ptr %p{i}\n" for i, t in enumerate(params))
    arguments = "".join(f", {t} %a{i}" for i, t in enumerate(params))
    returns = result_type(results)
    call = f"call {returns} %code(ptr %context{arguments})\n"
    body += f"%value = {call}" + _unpack("%value", results, returns, "%slots") if results else call
    symbol = trampoline_symbol(signature)
    return f'define void @"{symbol}"(ptr %context, ptr %code, ptr %slots) #2 {{\n{body}ret void\n}}\n'


def host_stub(signature: str) -> str:
    """IR of `results host(ptr context, params...)`."""
    params, results = split_signature(signature)
    declared = "".join(f", {t} %a{i}" for i, t in enumerate(params))
    body = f"%slots = alloca [{max(len(params), len(results), 1)} x i64]\n"
    body += "".join(_slot(f"%p{i}", "%slots", i) + f"store {t} %a{i}, ptr %p{i}\n" for i, t in enumerate(params))
    body += "call void @wasmark_host_call(ptr %context, ptr %slots)\n"
    body += "".join(_slot(f"%r{i}", "%slots", i) + f"%x{i} = load {t}, ptr %r{i}\n" for i, t in enumerate(results))
    returns = result_type(results)
    if not results:
        body += "ret void\n"
    elif len(results) == 1:
        body += f"ret {returns} %x0\n"
    else:
        value = "poison"
        for i, type_ in enumerate(results):
            body += f"%y{i} = insertvalue {returns} {value}, {type_} %x{i}, {i}\n"
            value = f"%y{i}"
        body += f"ret {returns} {value}\n"
    return f'define {returns} @"{host_stub_symbol(signature)}"(ptr %context{declared}) #2 {{\n{body}}}\n'


def stubs_ir(signatures: Iterable[str]) -> str:
    """A whole IR module with both stubs of each signature."""
    ordered = list(signatures)
    return "".join(
        ["declare void @wasmark_host_call(ptr, ptr)\n", *map(trampoline, ordered), *map(host_stub, ordered), ATTRIBUTES]
    )
