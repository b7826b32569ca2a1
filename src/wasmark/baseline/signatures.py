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

`compose` puts them together from pieces. A piece is a stencil that has, besides what all have, the registers of the C
convention as its parameters, and passes them on:

`piece load R`, `piece store R`  between a register and slot A or D. R is `int 0` to `int 4`, `float 0` to `float 7`, or
                       for all of one of the latter `vector 0` to `vector 7`.
`piece store stacked`  from the caller's stack, B bytes from the first argument there, to slot D.
`piece move`           from slot A to slot D.
`piece entry`, `piece entry leaf`  all of an entry but storing the arguments; the body begins with that.
`piece call N`, `piece slot N`, `piece through N`, `piece code N`  a call with the registers as they are, and N
                       arguments for the stack in the slots from A on; of `callee`, of what is at X in the table of
                       functions, of the pair in slot B, of the code that the trampoline got.
`piece trampoline`     takes the buffer of a trampoline for its frame.

The last ones, but for the trampoline, are there for each kind of results, written `:` and their classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.baseline.compose import FLOATS, INTEGERS
from wasmark.baseline.shape import DEBUG, PARAMETERS, constant, load_slot, store_slot
from wasmark.baseline.shapes import function_table
from wasmark.compile.abi import result_type, slot_places, split_signature
from wasmark.compile.access import ACCESSORS
from wasmark.compile.vector import V128
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table
from wasmark.runtime.layout import SLOT_SIZE, VMLayout

if TYPE_CHECKING:
    from collections.abc import Iterator


_ALIGNED: Final = f", align {SLOT_SIZE}"


def _slot(name: str, hole: str, index: int) -> str:
    return (
        f"{name}.b = getelementptr i8, ptr %fp, i64 {constant(hole)}\n"
        f"{name} = getelementptr i8, ptr {name}.b, i64 {SLOT_SIZE * index}\n"
    )


def entry(signature: str, *, leaf: bool = False) -> tuple[str, str]:
    """(header without name, body) of the entry."""
    params, results = split_signature(signature)
    declared = "".join(f", {type_} %p{i}" for i, type_ in enumerate(params))
    stores = "".join(
        f"%s{i} = getelementptr i8, ptr %fp, i64 {SLOT_SIZE * at}\nstore {type_} %p{i}, ptr %s{i}{_ALIGNED}\n"
        for i, (type_, at) in enumerate(zip(params, slot_places(params), strict=False))
    )
    go_on = f"call preserve_nonecc void @next{PARAMETERS}\n"
    return f"define {result_type(results)} NAME(ptr %vm{declared}) #4", _entry(stores + go_on, results, leaf=leaf)


def _entry(go_on: str, results: list[str], *, leaf: bool) -> str:
    returns = result_type(results)
    step = {"r": "%r", "n": "_", "d": DEBUG, "vm": "%vm", "o": constant("X")}
    body = "" if leaf else ACCESSORS["stack check"].format(**step) + "\n"
    body += f"%fp = alloca i8, i64 {constant('X')}, align 16\n"
    body += f"%mb.p = getelementptr i8, ptr %vm, i64 {VMLayout.MEMORY0_BASE}\n%mb = load ptr, ptr %mb.p\n"
    body += go_on
    value = "poison"
    for i, (type_, at) in enumerate(zip(results, slot_places(results), strict=False)):
        body += _slot(f"%o{i}", "D", at) + f"%v{i} = load {type_}, ptr %o{i}{_ALIGNED}\n"
        if len(results) > 1:
            body += f"%w{i} = insertvalue {returns} {value}, {type_} %v{i}, {i}\n"
            value = f"%w{i}"
        else:
            value = f"%v{i}"
    return body + (f"ret {returns} {value}\n" if results else "ret void\n")


def _call(signature: str, before: str, callee: str, context: str) -> str:
    params, results = split_signature(signature)
    body = before
    for i, (type_, at) in enumerate(zip(params, slot_places(params), strict=False)):
        body += _slot(f"%s{i}", "A", at) + f"%a{i} = load {type_}, ptr %s{i}{_ALIGNED}\n"
    arguments = "".join(f", {type_} %a{i}" for i, type_ in enumerate(params))
    body += _results_of(callee, f"ptr {context}{arguments}", results)
    return f"{body}musttail call preserve_nonecc void @next{PARAMETERS}\nret void\n"


def _results_of(callee: str, arguments: str, results: list[str]) -> str:
    """A call, and its results stored to the slots from D on."""
    returns = result_type(results)
    call = f"call {returns} {callee}({arguments})\n"
    body = f"%r = {call}" if results else call
    for i, (type_, at) in enumerate(zip(results, slot_places(results), strict=False)):
        value = "%r"
        body += _slot(f"%o{i}", "D", at)
        if len(results) > 1:
            value = f"%v{i}"
            body += f"{value} = extractvalue {returns} %r, {i}\n"
        body += f"store {type_} {value}, ptr %o{i}{_ALIGNED}\n"
    return body


def call(signature: str) -> str:
    """The body of `call`."""
    return _call(signature, "", "@callee", "%vm")


def call_slot(signature: str) -> str:
    """The body of `call slot`."""
    return _call(signature, _SLOT, "%code", "%vm")


def call_through(signature: str) -> str:
    """The body of `call through`."""
    return _call(signature, _PAIR, "%code", "%context")


_PAIR: Final = (
    f"{load_slot('%pair', 'ptr', 'B')}"
    f"%code.p = getelementptr i8, ptr %pair, i64 {L.FUNCREF_CODE}\n%code = load ptr, ptr %code.p\n"
    f"%context.p = getelementptr i8, ptr %pair, i64 {L.FUNCREF_CONTEXT}\n%context = load ptr, ptr %context.p\n"
)

_SLOT: Final = f"{function_table('X')}%code = load ptr, ptr %at\n"

# --- pieces ---------------------------------------------------------------------------------------

_REGISTERS: Final = {f"int {k}": f"i64 %i{k}" for k in range(INTEGERS)} | {
    f"float {k}": f"{V128} %f{k}" for k in range(FLOATS)
}
# A stencil has the parameters that all have in callee-saved registers; %caller takes the last of these, and then come
# those of the C convention.
ALL_PARAMETERS: Final = ", ".join(["(ptr %vm, ptr %fp, ptr %mb, ptr %caller, ptr %spare", *_REGISTERS.values()]) + ")"
PARAMETER_TYPES: Final = f"({', '.join(['ptr'] * 5 + ['i64'] * INTEGERS + [V128] * FLOATS)})"
_CLASS_TYPES: Final = {"I": "i64", "F": "double", "V": V128}
_FIRST_STACKED: Final = 16  # bytes from the frame address of a function to its first argument on the stack
_CALLS: Final = {
    "call": ("", "@callee", "%vm"),
    "through": (_PAIR, "%code", "%context"),
    "code": ("", "%mb", "%vm"),
    "slot": (_SLOT, "%code", "%vm"),
}


def _unknown(parameters: str) -> str:
    """The arguments of a call where nobody looks at those of the C convention any more."""
    kept = {"%vm", "%fp", "%mb"}
    split = (parameter.rsplit(" ", 1) for parameter in parameters.strip("()").split(", "))
    return "(" + ", ".join(f"{type_} {name if name in kept else 'poison'}" for type_, name in split) + ")"


def _go_on(parameters: str = ALL_PARAMETERS) -> str:
    return f"musttail call preserve_nonecc void @wide{parameters}\nret void\n"


_LOW_INTO: Final = f"%r = insertelement {V128} zeroinitializer, i64 %low, i32 0\n"


def registers() -> Iterator[tuple[str, str]]:
    """(name, body) of the pieces that do not depend on results."""
    for name, register in _REGISTERS.items():
        type_, value = register.rsplit(" ", 1)
        with_loaded = _go_on(ALL_PARAMETERS.replace(value, "%r"))
        if type_ != V128:
            yield f"piece load {name}", load_slot("%r", type_, "A") + with_loaded
            yield f"piece store {name}", store_slot(value, type_) + _go_on()
            continue
        vector = name.replace("float", "vector")
        yield f"piece load {vector}", load_slot("%r", V128, "A") + with_loaded
        yield f"piece store {vector}", store_slot(value, V128) + _go_on()
        yield f"piece load {name}", load_slot("%low", "i64", "A") + _LOW_INTO + with_loaded
        yield (
            f"piece store {name}",
            f"%low = extractelement {V128} {value}, i32 0\n" + store_slot("%low", "i64") + _go_on(),
        )
    stacked = f"%from.p = getelementptr i8, ptr %caller, i64 {constant('B')}\n%r = load i64, ptr %from.p\n"
    yield "piece store stacked", stacked + store_slot("%r", "i64") + _go_on()
    yield "piece move", load_slot("%r", "i64", "A") + store_slot("%r", "i64") + _go_on()


def piece_trampoline() -> tuple[str, str]:
    """(header without name, body) of the piece."""
    given = _unknown(ALL_PARAMETERS).replace("%fp", "%slots").replace("%mb", "%code")
    body = f"call preserve_nonecc void @wide{given}\nret void\n"
    return "define void NAME(ptr %vm, ptr %code, ptr %slots) #4", body


def piece_entry(results: str, *, leaf: bool) -> tuple[str, str]:
    """(header without name, body) of the piece for these classes of results."""
    types = [_CLASS_TYPES[class_] for class_ in results]
    go_on = (
        "%caller.f = call ptr @llvm.frameaddress.p0(i32 0)\n"
        f"%caller = getelementptr i8, ptr %caller.f, i64 {_FIRST_STACKED}\n"
        f"call preserve_nonecc void @wide{ALL_PARAMETERS.replace('%spare', '%vm')}\n"
    )
    parameters = ", ".join(["ptr %vm", *_REGISTERS.values()])
    return f"define {result_type(types)} NAME({parameters}) #4", _entry(go_on, types, leaf=leaf)


def piece_call(form: str, stacked: int, results: str) -> str:
    """The body of a piece that calls; `form` is a key of `_CALLS`."""
    before, callee, context = _CALLS[form]
    body = before
    arguments = [f"ptr {context}", *_REGISTERS.values()]
    for i in range(stacked):
        body += _slot(f"%s{i}", "A", i) + f"%a{i} = load i64, ptr %s{i}\n"
        arguments.append(f"i64 %a{i}")
    body += _results_of(callee, ", ".join(arguments), [_CLASS_TYPES[class_] for class_ in results])
    return body + _go_on(_unknown(ALL_PARAMETERS))
