"""The stencils that depend on a signature (an ABI string of `compile.abi`): how the two tiers meet.

`entry`       an ordinary function of the C convention: checks the stack, makes the frame, stores its arguments, runs
              the body, and loads the results. X is the size of the frame, D the slot of the first result. It alone
              keeps a frame pointer: a backtrace goes from entry to entry.
`entry leaf`  the same without the check, for a small frame from which nothing is called.
`call`        calls `callee`, a function of the same module. Its arguments are in the slots from A on, its results go
              to those from D on.
`call slot`   the same with a function of the same module whose code is at X in the table of functions.
`call through`  the same with a {code, context} pair, whose address is in slot B.
`trampoline`  the way in from outside, as in `compile.stubs`.
"""

from __future__ import annotations

from wasmark.baseline.shapes import DEBUG, PARAMETERS, constant, function_table, load_slot
from wasmark.compile.abi import result_type, split_signature
from wasmark.compile.access import ACCESSORS
from wasmark.compile.stubs import trampoline
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.layout import SLOT_SIZE, VMLayout


def _slot(name: str, hole: str, index: int) -> str:
    return (
        f"{name}.b = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
        f"{name} = getelementptr i8, ptr {name}.b, i64 {SLOT_SIZE * index}\n"
    )


def entry(signature: str, *, leaf: bool = False) -> tuple[str, str]:
    """(header without name, body) of the entry."""
    params, results = split_signature(signature)
    returns = result_type(results)
    declared = "".join(f", {type_} %p{i}" for i, type_ in enumerate(params))
    step = {"r": "%r", "n": "_", "d": DEBUG, "vm": "%vm", "o": constant("X")}
    body = "" if leaf else ACCESSORS["stack check"].format(**step) + "\n"
    body += f"%fp = alloca i8, i64 {constant('X')}, align 16\n"
    for i, type_ in enumerate(params):
        body += f"%s{i} = getelementptr i8, ptr %fp, i64 {SLOT_SIZE * i}\nstore {type_} %p{i}, ptr %s{i}\n"
    body += f"%mb.p = getelementptr i8, ptr %vm, i64 {VMLayout.MEMORY0_BASE}\n%mb = load ptr, ptr %mb.p\n"
    body += f"call preserve_nonecc void @next{PARAMETERS}\n"
    value = "poison"
    for i, type_ in enumerate(results):
        body += _slot(f"%o{i}", "D", i) + f"%v{i} = load {type_}, ptr %o{i}\n"
        if len(results) > 1:
            body += f"%w{i} = insertvalue {returns} {value}, {type_} %v{i}, {i}\n"
            value = f"%w{i}"
        else:
            value = f"%v{i}"
    body += f"ret {returns} {value}\n" if results else "ret void\n"
    return f"define {returns} NAME(ptr %vm{declared}) #4", body


def _call(signature: str, before: str, callee: str, context: str) -> str:
    params, results = split_signature(signature)
    returns = result_type(results)
    body = before
    for i, type_ in enumerate(params):
        body += _slot(f"%s{i}", "A", i) + f"%a{i} = load {type_}, ptr %s{i}\n"
    arguments = "".join(f", {type_} %a{i}" for i, type_ in enumerate(params))
    call = f"call {returns} {callee}(ptr {context}{arguments})\n"
    body += f"%r = {call}" if results else call
    for i, type_ in enumerate(results):
        value = "%r"
        body += _slot(f"%o{i}", "D", i)
        if len(results) > 1:
            value = f"%v{i}"
            body += f"{value} = extractvalue {returns} %r, {i}\n"
        body += f"store {type_} {value}, ptr %o{i}\n"
    return f"{body}musttail call preserve_nonecc void @next{PARAMETERS}\nret void\n"


def call(signature: str) -> str:
    """The body of `call`."""
    return _call(signature, "", "@callee", "%vm")


def call_slot(signature: str) -> str:
    """The body of `call slot`."""
    return _call(signature, f"{function_table('X')}%code = load ptr, ptr %at\n", "%code", "%vm")


def call_through(signature: str) -> str:
    """The body of `call through`."""
    before = (
        f"{load_slot('%pair', 'ptr', 'B')}"
        f"%code.p = getelementptr i8, ptr %pair, i64 {L.FUNCREF_CODE}\n%code = load ptr, ptr %code.p\n"
        f"%context.p = getelementptr i8, ptr %pair, i64 {L.FUNCREF_CONTEXT}\n%context = load ptr, ptr %context.p\n"
    )
    return _call(signature, before, "%code", "%context")


__all__ = ["call", "call_slot", "call_through", "entry", "trampoline"]
