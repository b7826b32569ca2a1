"""Tail calls (core §4.6.10, "return_call"), in constant stack between any two signatures.

LLVM guarantees a tail call where caller and callee have the same type, and every argument is in a register. So a
function that leaves by a tail call is defined with one *wide* type for all of them: its parameters are all argument
registers of the C convention, of which its own are some. That is nothing to its callers: they put their arguments where
a function of its true signature has them, those beyond the registers on the stack, where it finds them above its own
frame. Results are the same for whoever is in such a chain, as validation makes sure of.

A tail call puts the arguments into the registers of the callee's true signature and jumps to its ordinary code. Where
there are more than fit, the others go where the function has got its own, if there is room. For as many words as it has
itself there always is, for they are the callee's to change; and for TAIL_ROOM words, where it was called from a frame
of `wasmark_spread` (`image/spread.ll`). Otherwise they go to words of the store, and the jump is to that.

Calling a function through another type than it is defined with is nothing that LLVM may see: it is not told then who is
called.
"""

from __future__ import annotations

from wasmark.compile.abi import FLOAT_REGISTERS, INTEGER_REGISTERS, Places, result_places, result_type
from wasmark.compile.templates import prepare
from wasmark.compile.vector import V128
from wasmark.core.opcodes import BY_NAME
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark.binary import Instr
    from wasmark.compile.function import FunctionTranslator, Operand
    from wasmark.core.model import Function
    from wasmark.core.opcodes import Opcode

RETURN_ADDRESS: Final = 8
"""Bytes from the frame address of a function to where it returns."""

FIRST_STACKED: Final = 16
"""Bytes from the frame address of a function to its first argument on the stack."""

STORE_BLOCK: Final = "%sbp{n} = getelementptr i8, ptr {vm}, i64 8\n%sb{n} = load ptr, ptr %sbp{n}, !invariant.load !0\n"
"""Load the address of the store block: `%sb{n}`."""

_WORDS: Final = (
    f"{STORE_BLOCK}%wsp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {L.STORE_TAIL_WORDS}\n"
    "%ws{n} = load ptr, ptr %wsp{n}\n"
)

STEPS: Final[dict[str, str]] = {
    name: prepare(text)
    for name, text in {
        # `{a}`: the frame address. An argument on the stack for who comes next; the function has read its own by now.
        "tail argument": "%ta{n} = getelementptr i8, ptr {a}, i64 {o}\nstore volatile i64 {b}, ptr %ta{n}@",
        # Whether there is room for TAIL_ROOM words of them: `%c{n}`.
        "tail room": f"{STORE_BLOCK}%srp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {L.STORE_SPREAD_RETURN}\n"
        "%sr{n} = load ptr, ptr %srp{n}, !invariant.load !0\n"
        f"%rap{{n}} = getelementptr i8, ptr {{a}}, i64 {RETURN_ADDRESS}\n%ra{{n}} = load ptr, ptr %rap{{n}}@\n"
        "%c{n} = icmp eq ptr %ra{n}, %sr{n}@",
        # What is at `{o}` of the store block.
        "tail register": STORE_BLOCK + "%to{n} = getelementptr i8, ptr %sb{n}, i64 {o}\nstore i64 {a}, ptr %to{n}@",
        # What is at `{o}` of the words for the stack.
        "tail word": _WORDS + "%to{n} = getelementptr i8, ptr %ws{n}, i64 {o}\nstore i64 {a}, ptr %to{n}@",
        # Who is called with `{o}` words on the stack, and how: `%code{n}`.
        "tail spread": _WORDS
        + f"%tc{{n}} = getelementptr i8, ptr %ws{{n}}, i64 {L.TAIL_CODE}\nstore ptr {{a}}, ptr %tc{{n}}@\n"
        f"%tn{{n}} = getelementptr i8, ptr %ws{{n}}, i64 {L.TAIL_COUNT}\nstore i64 {{o}}, ptr %tn{{n}}@\n"
        f"%tsp{{n}} = getelementptr i8, ptr %sb{{n}}, i64 {L.STORE_SPREAD}\n"
        "%code{n} = load ptr, ptr %tsp{n}, !invariant.load !0",
    }.items()
}
"""Steps of tail calls, as `access` has those of other instructions."""


def leaves_by_tail_call(data: bytes, function: Function, instrs: Sequence[Instr]) -> bool:
    """Whether there is a tail call in a body, of which `data` is the module."""
    # Most bodies do not even have the bytes.
    if all(data.find(code, function.start, function.end) < 0 for code in _CODES):
        return False
    return any(row.name in INSTRUCTIONS for row, _, _ in instrs)


_FRAME: Final = "%pr0"
"""The frame address of a function of the wide type."""


# --- the wide type --------------------------------------------------------------------------------


def _registers(places: Places) -> list[tuple[str, str]]:
    """(type, name) of the registers, as parameters."""
    integers = [("i64", f"%I{k}") for k in range(INTEGER_REGISTERS - places.in_memory)]
    return [*integers, *((V128, f"%F{k}") for k in range(FLOAT_REGISTERS))]


def wide_header(places: Places, returns: str, symbol: str) -> str:
    """The header of a function of the wide type. What is in r10 is for `wasmark_spread` alone."""
    declared = "".join(f", {type_} {name}" for type_, name in _registers(places))
    into = "ptr %into, " if places.in_memory else ""
    return f"{'void' if into else returns} @{symbol}(ptr nest %words, {into}ptr %vm{declared})"


_LANES: Final = {"f": ("<4 x float>", "float"), "F": ("<2 x double>", "double")}


def take_parameters(t: FunctionTranslator, places: Places, params: Sequence[str]) -> None:
    """Give the parameters of a function of the wide type to their locals."""
    out = t.out
    for place in places.integers:
        type_ = params[place.position]
        convert = {"i32": "trunc", "ptr": "inttoptr"}.get(type_)
        value = f"%I{place.at}"
        if convert is not None:
            value = f"%pi{place.at}"
            out.append(f"{value} = {convert} i64 %I{place.at} to {type_}")
        out.append(f"store {type_} {value}, ptr %L{place.position}")
    for place in places.floats:
        type_, value = params[place.position], f"%F{place.at}"
        if place.letter in _LANES:
            lanes, _ = _LANES[place.letter]
            value = f"%pf{place.at}"
            out.append(
                f"%pv{place.at} = bitcast {V128} %F{place.at} to {lanes}\n"
                f"{value} = extractelement {lanes} %pv{place.at}, i64 0"
            )
        out.append(f"store {type_} {value}, ptr %L{place.position}")
    out.append(f"{_FRAME} = call ptr @llvm.frameaddress.p0(i32 0)")
    for number, place in enumerate(places.stacked):
        type_ = params[place.position]
        out.append(
            f"%pp{number} = getelementptr i8, ptr {_FRAME}, i64 {FIRST_STACKED + place.at}\n"
            f"%ps{number} = load {type_}, ptr %pp{number}, align 8\nstore {type_} %ps{number}, ptr %L{place.position}"
        )


def return_in_memory(t: FunctionTranslator, operands: Sequence[Operand]) -> None:
    """Return from a function of the wide type whose results go through memory."""
    for place, (type_, value) in zip(result_places([type_ for type_, _ in operands]), operands, strict=False):
        t.n += 1
        t.out.append(f"%ip{t.n} = getelementptr i8, ptr %into, i64 {place}\nstore {type_} {value}, ptr %ip{t.n}{t.d})")
    t.out.append(f"ret void{t.d})")


def hidden(t: FunctionTranslator, symbol: str) -> str:
    """A function by its symbol, of which LLVM does not know who it is."""
    t.n += 1
    t.out.append(f'%hidden{t.n} = call ptr asm "", "=r,0"(ptr @{symbol})')
    return f"%hidden{t.n}"


# --- the call -------------------------------------------------------------------------------------


def bits(t: FunctionTranslator, operand: Operand) -> str:
    """An operand as an i64 whose upper half, where it is none of its own, may be anything."""
    type_, value = operand
    if type_ == "i64":
        return value
    t.n += 1
    n = t.n
    if type_ == "float":
        t.out.append(f"%bf{n} = bitcast float {value} to i32{t.d})\n%b{n} = zext i32 %bf{n} to i64{t.d})")
    else:
        convert = {"i32": "zext", "ptr": "ptrtoint", "double": "bitcast"}[type_]
        t.out.append(f"%b{n} = {convert} {type_} {value} to i64{t.d})")
    return f"%b{n}"


def _vector(t: FunctionTranslator, letter: str, operand: Operand) -> str:
    if letter not in _LANES:
        return operand[1]
    lanes, type_ = _LANES[letter]
    t.n += 1
    n = t.n
    t.out.append(
        f"%wf{n} = insertelement {lanes} poison, {type_} {operand[1]}, i64 0{t.d})\n"
        f"%w{n} = bitcast {lanes} %wf{n} to {V128}{t.d})"
    )
    return f"%w{n}"


def words(t: FunctionTranslator, operand: Operand) -> list[str]:
    """An operand as the one or two words of its slots."""
    type_, value = operand
    if type_ != V128:
        return [bits(t, operand)]
    found = []
    for lane in range(2):
        t.n += 1
        t.out.append(f"%lane{t.n} = extractelement {V128} {value}, i64 {lane}{t.d})")
        found.append(f"%lane{t.n}")
    return found


def _stacked(t: FunctionTranslator, places: Places, operands: Sequence[Operand]) -> list[tuple[int, str]]:
    """The words for the stack: where each is, in bytes from the first, and its value."""
    return [
        (place.at + L.SLOT_SIZE * number, word)
        for place in places.stacked
        for number, word in enumerate(words(t, operands[place.position]))
    ]


def _to_spread(t: FunctionTranslator, places: Places, stacked: Sequence[tuple[int, str]], code: str) -> str:
    """Where there are arguments for the stack, put them into their words of the store; the code to go on in."""
    if not stacked:
        return code
    for at, word in stacked:
        t._step("tail word", a=word, o=L.TAIL_FIRST + at)
    t._step("tail spread", a=code, o=places.stack_words)
    return f"%code{t.n}"


def leave(t: FunctionTranslator, signature: str, code: str, context: str) -> None:
    """A tail call out of a function of the wide type."""
    assert t.places is not None
    places = Places(signature)
    operands = t.take(signature.index(":"))
    integers = [bits(t, operands[place.position]) for place in places.integers]
    vectors = [_vector(t, place.letter, operands[place.position]) for place in places.floats]
    stacked = _stacked(t, places, operands)
    if places.stack_words > t.places.stack_words:
        if places.stack_words > L.TAIL_ROOM:
            _jump(t, places, (_to_spread(t, places, stacked, code), context), integers, vectors, f"%ws{t.n}")
            return
        t._step("tail room", a=_FRAME)
        n = t.n
        t.out.append(f"br i1 %c{n}, label %room{n}, label %narrow{n}{t.d})\nnarrow{n}:")
        spread = _to_spread(t, places, stacked, code)
        _jump(t, places, (spread, context), integers, vectors, f"%ws{t.n}")
        t.out.append(f"room{n}:")
    for at, word in stacked:
        t._step("tail argument", a=_FRAME, b=word, o=FIRST_STACKED + at)
    _jump(t, places, (code, context), integers, vectors, "poison")


def _jump(
    t: FunctionTranslator,
    places: Places,
    callee: tuple[str, str],
    integers: Sequence[str],
    vectors: Sequence[str],
    at: str,
) -> None:
    """Go to a (code, context) with the registers as they are to be; `at` is for r10."""
    code, context = callee
    integers = [*integers, *["poison"] * (INTEGER_REGISTERS - places.in_memory - len(integers))]
    vectors = [*vectors, *["poison"] * (FLOAT_REGISTERS - len(vectors))]
    arguments = "".join(f", i64 {value}" for value in integers) + "".join(f", {V128} {value}" for value in vectors)
    into = "ptr %into, " if places.in_memory else ""
    returns = "void" if places.in_memory else result_type(t.results)
    t.n += 1
    result = "" if returns == "void" else f"%v{t.n} = "
    t.out.append(
        f"{result}musttail call {returns} {code}(ptr nest {at}, {into}ptr {context}{arguments}) nomerge{t.d})\n"
        f"ret {returns}{f' %v{t.n}' if result else ''}{t.d})"
    )


def hand_over(t: FunctionTranslator, signature: str, code: str, context: str) -> None:
    """A tail call out of a loop that is entered with the frame of the first tier: the code of that makes it, when the
    arguments are in the store."""
    places = Places(signature)
    operands = t.take(signature.index(":"))
    t._step("tail register", a=bits(t, ("ptr", context)), o=L.STORE_TAIL_CONTEXT)
    for place in places.integers:
        t._step("tail register", a=bits(t, operands[place.position]), o=L.STORE_TAIL_INTEGERS + 8 * place.at)
    for place in places.floats:
        for number, word in enumerate(words(t, operands[place.position])):
            t._step("tail register", a=word, o=L.STORE_TAIL_FLOATS + 16 * place.at + 8 * number)
    t.out.append(f"ret ptr {_to_spread(t, places, _stacked(t, places, operands), code)}{t.d})")


def return_call(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """A tail call of a function of the module."""
    _leave_by(t, t.model.func_types[imm], *t.callee(imm, tail=True))


def return_call_indirect(t: FunctionTranslator, row: Opcode, imm: tuple[int, int]) -> None:
    """A tail call through a table."""
    _leave_by(t, imm[0], *t.indirect_callee(imm))


def return_call_ref(t: FunctionTranslator, row: Opcode, imm: int) -> None:
    """A tail call of a reference."""
    _leave_by(t, imm, *t.referenced_callee())


def _leave_by(t: FunctionTranslator, type_index: int, code: str, context: str) -> None:
    t.leave(t.context.abi_string(type_index), code, context)
    t.dead = True


INSTRUCTIONS: Final[dict[str, Callable[[FunctionTranslator, Opcode, Any], None]]] = {
    "return_call": return_call,
    "return_call_indirect": return_call_indirect,
    "return_call_ref": return_call_ref,
}
"""What translates each instruction."""

_CODES: Final = tuple(BY_NAME[name].code for name in INSTRUCTIONS)
