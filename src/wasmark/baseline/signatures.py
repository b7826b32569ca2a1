"""The stencils that depend on a signature (an ABI string of `compile.abi`): how the two tiers meet.

`entry`       an ordinary function of the C convention: checks the stack, makes the frame, stores its arguments, runs
              the body, and loads the results. X is the size of the frame, D the slot of the first result. It alone
              keeps a frame pointer: a backtrace goes from entry to entry.
`entry leaf`  the same without the check, for a small frame from which nothing is called.
`entry leaving`  the same, checked, for a body that may end in a tail call: where it answers somebody to be called, the
              frame is given up, and what is in the store for the registers goes into them (`compile.tail_calls`).
`call`        calls `callee`, a function of the same module. Its arguments are in the slots from A on, its results go
              to those from D on.
`call slot`   the same with a function of the same module whose code is at X in the table of functions.
`call through`  the same with a {code, context} pair, whose address is in slot B.
`call guarded`  the same with the code in slot B and the context in the next one, where there is a handler for
              exceptions, to which it branches (`compile.exceptions`).
`trampoline`  the way in from outside, as in `compile.stubs`.

`compose` puts them together from pieces. A piece is a stencil that has, besides what all have, the registers of the C
convention as its parameters, and passes them on:

`piece load R`, `piece store R`  between a register and slot A or D. R is `int 0` to `int 4`, `float 0` to `float 7`, or
                       for all of one of the latter `vector 0` to `vector 7`.
`piece store stacked`  from the caller's stack, B bytes from the first argument there, to slot D.
`piece move`           from slot A to slot D.
`piece entry`, `piece entry leaf`, `piece entry leaving`  all of an entry but storing the arguments; the body begins
                       with that.
`piece call N`, `piece slot N`, `piece through N`, `piece guarded N`, `piece code N`  a call with the registers as they
                       are, and N arguments for the stack in the slots from A on; of `callee`, of what is at X in the
                       table of functions, of the pair in slot B, of what is in slot B and the next one, of the code
                       that the trampoline got.
`piece trampoline`     takes the buffer of a trampoline for its frame.

The last ones, but for the trampoline, are there for each kind of results, written `:` and their classes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.baseline.shape import DEBUG, PARAMETERS, constant, load_slot, store_slot
from wasmark.baseline.shapes import function_table
from wasmark.compile.abi import (
    FLOAT_REGISTERS,
    INTEGER_REGISTERS,
    Places,
    result_places,
    result_type,
    slot_places,
    split_signature,
)
from wasmark.compile.access import ACCESSORS
from wasmark.compile.exceptions import STEPS, guarded_arguments
from wasmark.compile.tail_calls import FIRST_STACKED, STORE_BLOCK
from wasmark.compile.vector import V128
from wasmark.registry.line_table import CATCHES
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


def _entry(go_on: str, results: list[str], *, leaf: bool, into: str = "") -> str:
    """`into`: where results are to be stored that are not returned."""
    returns = result_type(results)
    step = {"r": "%r", "n": "_", "d": DEBUG, "vm": "%vm", "o": constant("X")}
    body = "" if leaf else ACCESSORS["stack check"].format(**step) + "\n"
    body += f"%fp = alloca i8, i64 {constant('X')}, align 16\n"
    body += f"%mb.p = getelementptr i8, ptr %vm, i64 {VMLayout.MEMORY0_BASE}\n%mb = load ptr, ptr %mb.p\n"
    body += go_on
    value = "poison"
    for i, (type_, at) in enumerate(zip(results, slot_places(results), strict=False)):
        body += _slot(f"%o{i}", "D", at) + f"%v{i} = load {type_}, ptr %o{i}{_ALIGNED}\n"
        if into:
            place = result_places(results)[i]
            body += f"%w{i} = getelementptr i8, ptr {into}, i64 {place}\nstore {type_} %v{i}, ptr %w{i}\n"
        elif len(results) > 1:
            body += f"%w{i} = insertvalue {returns} {value}, {type_} %v{i}, {i}\n"
            value = f"%w{i}"
        else:
            value = f"%v{i}"
    if into:
        return body + "ret void\n"
    return body + (f"ret {returns} {value}\n" if results else "ret void\n")


def _leaving(places: Places, results: list[str], go_on: str) -> tuple[str, str]:
    """(header without name, body) of an entry of the wide type (see `compile.tail_calls`), which gets an answer from
    `go_on` as `%to`."""
    returns, into = ("void", "%into") if places.in_memory else (result_type(results), "")
    first = f"ptr {into}, " if into else ""
    integers = range(INTEGER_REGISTERS - places.in_memory)
    declared = "".join([*(f", i64 %i{k}" for k in integers), *(f", {V128} %f{k}" for k in range(FLOAT_REGISTERS))])
    body = f"{go_on}%done = icmp eq ptr %to, null\nbr i1 %done, label %end, label %leave\nleave:\n"
    body += STORE_BLOCK.format(n="s", vm="%vm")
    loads = [("ptr", "context", L.STORE_TAIL_CONTEXT), ("ptr", "words", L.STORE_TAIL_WORDS)]
    loads += [("i64", f"j{k}", L.STORE_TAIL_INTEGERS + 8 * k) for k in integers]
    loads += [(V128, f"g{k}", L.STORE_TAIL_FLOATS + 16 * k) for k in range(FLOAT_REGISTERS)]
    for type_, name, offset in loads:
        body += f"%{name}.p = getelementptr i8, ptr %sbs, i64 {offset}\n%{name} = load {type_}, ptr %{name}.p\n"
    arguments = "".join([*(f", i64 %j{k}" for k in integers), *(f", {V128} %g{k}" for k in range(FLOAT_REGISTERS))])
    body += (
        f"{'%left = ' if returns != 'void' else ''}musttail call {returns} %to(ptr nest %words, {first}ptr %context"
        f"{arguments}){DEBUG})\nret {returns}{' %left' if returns != 'void' else ''}\nend:\n"
    )
    header = f"define {returns} NAME(ptr nest %r10, {first}ptr %vm{declared}) #4"
    return header, _entry(body, results, leaf=False, into=into)


_CALLER: Final = (
    "%caller.f = call ptr @llvm.frameaddress.p0(i32 0)\n"
    f"%caller = getelementptr i8, ptr %caller.f, i64 {FIRST_STACKED}\n"
)


def entry_leaving(signature: str) -> tuple[str, str]:
    """(header without name, body) of the entry of a body that may end in a tail call."""
    places = Places(signature)
    stores = _CALLER if places.stacked else ""
    values = [("i64", f"%i{place.at}", place.slot) for place in places.integers]
    for place in places.floats:
        if place.letter == "v":
            values.append((V128, f"%f{place.at}", place.slot))
        else:
            stores += f"%low{place.at} = extractelement {V128} %f{place.at}, i32 0\n"
            values.append(("i64", f"%low{place.at}", place.slot))
    for number, place in enumerate(places.stacked):
        type_ = V128 if place.letter == "v" else "i64"
        stores += f"%c{number}.p = getelementptr i8, ptr %caller, i64 {place.at}\n"
        stores += f"%c{number} = load {type_}, ptr %c{number}.p{_ALIGNED}\n"
        values.append((type_, f"%c{number}", place.slot))
    for type_, value, slot in values:
        stores += f"%s{slot} = getelementptr i8, ptr %fp, i64 {SLOT_SIZE * slot}\n"
        stores += f"store {type_} {value}, ptr %s{slot}{_ALIGNED}\n"
    go_on = f"%to = call preserve_nonecc ptr @asked_narrow{PARAMETERS}\n"
    return _leaving(places, split_signature(signature)[1], stores + go_on)


def _call(signature: str, before: str, callee: str, context: str) -> str:
    params, results = split_signature(signature)
    body = before
    for i, (type_, at) in enumerate(zip(params, slot_places(params), strict=False)):
        body += _slot(f"%s{i}", "A", at) + f"%a{i} = load {type_}, ptr %s{i}{_ALIGNED}\n"
    arguments = "".join(f", {type_} %a{i}" for i, type_ in enumerate(params))
    body += _results_of(callee, f"ptr {context}{arguments}", results)
    return f"{body}musttail call preserve_nonecc void @next{PARAMETERS}\nret void\n"


def _results_of(callee: str, arguments: str, results: list[str], convention: str = "", behind: str = "") -> str:
    """A call, and its results stored to the slots from D on."""
    returns = result_type(results)
    call = f"call {convention}{returns} {callee}({arguments}){behind}\n"
    body = f"%r = {call}" if results else call
    for i, (type_, at) in enumerate(zip(results, slot_places(results), strict=False)):
        value = "%r"
        body += _slot(f"%o{i}", "D", at)
        if len(results) > 1:
            value = f"%v{i}"
            body += f"{value} = extractvalue {returns} %r, {i}\n"
        body += f"store {type_} {value}, ptr %o{i}{_ALIGNED}\n"
    return body


def _go_on_guarded(parameters: str, taken: str, next_: str) -> str:
    pending = STEPS["exception pending"].format(r="%pending", n="_", d=DEBUG, vm="%vm")
    return (
        f"{pending}\n%caught = icmp ne ptr %pending, null\nbr i1 %caught, label %go, label %go.on, !prof !2\n"
        f"go:\nmusttail call preserve_nonecc void @{taken}{parameters}\nret void\n"
        f"go.on:\nmusttail call preserve_nonecc void @{next_}{parameters}\nret void\n"
    )


_GUARDED: Final = f" nomerge{DEBUG}, column: {CATCHES})"


def call_guarded(signature: str) -> str:
    """The body of `call guarded`."""
    places = Places(signature)
    results = split_signature(signature)[1]
    body = _IN_SLOTS
    stacked = ["i64 poison"] * places.stack_words
    groups: dict[str, list[str]] = {"i64": [], V128: []}
    for place in (*places.integers, *places.floats):
        slot = place.slot
        body += _slot(f"%s{slot}", "A", slot)
        if place in places.integers or place.letter == "v":
            type_ = "i64" if place in places.integers else V128
            body += f"%a{slot} = load {type_}, ptr %s{slot}{_ALIGNED}\n"
        else:
            type_ = V128
            body += f"%low{slot} = load i64, ptr %s{slot}\n"
            body += f"%a{slot} = insertelement {V128} zeroinitializer, i64 %low{slot}, i32 0\n"
        groups[type_].append(f"{type_} %a{slot}")
    for place in places.stacked:
        for more in range(2 if place.letter == "v" else 1):
            slot = place.slot + more
            body += _slot(f"%s{slot}", "A", slot) + f"%a{slot} = load i64, ptr %s{slot}\n"
            stacked[place.at // 8 + more] = f"i64 %a{slot}"
    integers, floats = groups.values()
    if not places.in_memory:
        arguments = guarded_arguments("%context", integers, floats, stacked)
        body += _results_of("%code", arguments, results, "preserve_nonecc ", _GUARDED)
        return body + _go_on_guarded(PARAMETERS, "taken", "next")
    at = result_places(results)
    arguments = guarded_arguments("%context", integers, floats, stacked, into="%into")
    body += f"%into = alloca i8, i64 {at[-1]}, align 16\n"
    body += f"call preserve_nonecc void %code({arguments}){_GUARDED}\n"
    for i, (type_, offset, slot) in enumerate(zip(results, at, slot_places(results), strict=False)):
        body += f"%f{i} = getelementptr i8, ptr %into, i64 {offset}\n%v{i} = load {type_}, ptr %f{i}\n"
        body += _slot(f"%o{i}", "D", slot) + f"store {type_} %v{i}, ptr %o{i}{_ALIGNED}\n"
    return body + _go_on_guarded(PARAMETERS, "taken", "next")


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

_IN_SLOTS: Final = load_slot("%code", "ptr", "B") + load_slot("%context", "ptr", "B", SLOT_SIZE)

_SLOT: Final = f"{function_table('X')}%code = load ptr, ptr %at\n"

# --- pieces ---------------------------------------------------------------------------------------

_REGISTERS: Final = {f"int {k}": f"i64 %i{k}" for k in range(INTEGER_REGISTERS)} | {
    f"float {k}": f"{V128} %f{k}" for k in range(FLOAT_REGISTERS)
}
# A stencil has the parameters that all have in callee-saved registers; %caller takes the last of these, and then come
# those of the C convention.
ALL_PARAMETERS: Final = ", ".join(["(ptr %vm, ptr %fp, ptr %mb, ptr %caller, ptr %spare", *_REGISTERS.values()]) + ")"
PARAMETER_TYPES: Final = f"({', '.join(['ptr'] * 5 + ['i64'] * INTEGER_REGISTERS + [V128] * FLOAT_REGISTERS)})"
_CLASS_TYPES: Final = {"I": "i64", "F": "double", "V": V128}
_CALLS: Final = {
    "call": ("", "@callee", "%vm"),
    "through": (_PAIR, "%code", "%context"),
    "guarded": (_IN_SLOTS, "%code", "%context"),
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
    go_on = f"{_CALLER}call preserve_nonecc void @wide{ALL_PARAMETERS.replace('%spare', '%vm')}\n"
    parameters = ", ".join(["ptr %vm", *_REGISTERS.values()])
    return f"define {result_type(types)} NAME({parameters}) #4", _entry(go_on, types, leaf=leaf)


def piece_leaving(results: str, *, leaf: bool) -> tuple[str, str]:
    """The same for bodies that may end in a tail call."""
    assert not leaf
    go_on = f"{_CALLER}%to = call preserve_nonecc ptr @asked{ALL_PARAMETERS.replace('%spare', '%vm')}\n"
    return _leaving(Places(f":{results}"), [_CLASS_TYPES[class_] for class_ in results], go_on)


def piece_call(form: str, stacked: int, results: str) -> str:
    """The body of a piece that calls; `form` is a key of `_CALLS`."""
    before, callee, context = _CALLS[form]
    body = before
    words = []
    for i in range(stacked):
        body += _slot(f"%s{i}", "A", i) + f"%a{i} = load i64, ptr %s{i}\n"
        words.append(f"i64 %a{i}")
    types = [_CLASS_TYPES[class_] for class_ in results]
    registers = list(_REGISTERS.values())
    if form == "guarded":
        integers, floats = registers[:INTEGER_REGISTERS], registers[INTEGER_REGISTERS:]
        arguments = guarded_arguments(context, integers, floats, words)
        body += _results_of(callee, arguments, types, "preserve_nonecc ", _GUARDED)
        return body + _go_on_guarded(_unknown(ALL_PARAMETERS), "taken_wide", "wide")
    body += _results_of(callee, ", ".join([f"ptr {context}", *registers, *words]), types)
    return body + _go_on(_unknown(ALL_PARAMETERS))
