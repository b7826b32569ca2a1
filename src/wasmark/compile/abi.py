"""How wasm types and signatures look in LLVM IR and in machine code: the calling convention, in one place.

A wasm function is a C function `results f(ptr vmctx, params...)`; several results are a struct. A signature is written
as a string of one letter a value, `params:results` (`i` i32, `I` i64, `f` f32, `F` f64, `v` v128, `r` any reference);
functions with equal strings are called alike, so stubs are shared by that string.

Where values lie in memory between the two worlds, each has a slot, and a v128 has two.
"""

from __future__ import annotations

from wasmark.core.types import F32, F64, I32, I64, V128, RefType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, NamedTuple

    from wasmark.core.types import FuncType, ValType
else:
    from wasmark.core.record import NamedTuple

LETTER_TO_LLVM: Final = {"i": "i32", "I": "i64", "f": "float", "F": "double", "v": "<2 x i64>", "r": "ptr"}
TRAMPOLINE_PREFIX: Final = "trampoline "
HOST_STUB_PREFIX: Final = "host "
CALL_STUB_PREFIX: Final = "call "
INTEGER_REGISTERS: Final = 5
"""Registers for integers and references, besides the one of the vmctx (System V ABI, "Parameter Passing")."""
FLOAT_REGISTERS: Final = 8
_INTEGER_RESULTS: Final = 3
_FLOAT_RESULTS: Final = 2
_VECTOR_RESULTS: Final = 4
_X87_RESULTS: Final = 2
_FLOATS: Final = frozenset("fFvV")
_RESULT_SIZES: Final = {"i32": 4, "float": 4, LETTER_TO_LLVM["v"]: 16}
_MOST_PLAIN: Final = 40
_LETTERS: Final[dict[object, str]] = {I32: "i", I64: "I", F32: "f", F64: "F", V128: "v"}


def letter(type_: ValType) -> str:
    """The letter of a value type."""
    return "r" if isinstance(type_, RefType) else _LETTERS[type_]


def llvm_type(type_: ValType) -> str:
    """The LLVM type of a value."""
    return LETTER_TO_LLVM[letter(type_)]


def signature(type_: FuncType) -> str:
    """The ABI string of a function type."""
    return f"{''.join(map(letter, type_.params))}:{''.join(map(letter, type_.results))}"


def trampoline_symbol(signature: str) -> str:
    """Name of the trampoline for a signature, as an image has it."""
    return f"{TRAMPOLINE_PREFIX}{signature}"


def host_stub_symbol(signature: str) -> str:
    """Name of the host stub for a signature, as an image has it."""
    return f"{HOST_STUB_PREFIX}{signature}"


def call_stub_symbol(signature: str) -> str:
    """Name of the call stub for a signature, as an image has it."""
    return f"{CALL_STUB_PREFIX}{signature}"


class Place(NamedTuple):
    """Where a parameter is: `position` among the parameters, `slot` among their slots, `letter` its type, and `at`
    which register it is in, or how many bytes from the first argument on the stack."""

    position: int
    slot: int
    letter: str
    at: int


class Places:
    """Where the values of a signature travel (System V ABI, "Parameter Passing").

    integers, floats, stacked: the parameters in registers of either kind, and those on the stack, which has
    `stack_words` words of them. in_memory: whether LLVM returns the results through memory, whose address is an
    argument of its own before the vmctx.
    """

    __slots__ = ("floats", "in_memory", "integers", "stack_words", "stacked")

    def __init__(self, signature: str) -> None:
        params, _, results = signature.partition(":")
        self.in_memory = _return_in_memory(results)
        self.integers: list[Place] = []
        self.floats: list[Place] = []
        self.stacked: list[Place] = []
        slot = size = 0
        for position, letter_ in enumerate(params):
            is_float = letter_ in _FLOATS
            taken = self.floats if is_float else self.integers
            room = FLOAT_REGISTERS if is_float else INTEGER_REGISTERS - self.in_memory
            width = 16 if letter_ == "v" else 8
            if len(taken) < room:
                taken.append(Place(position, slot, letter_, len(taken)))
            else:
                size = -(-size // width) * width
                self.stacked.append(Place(position, slot, letter_, size))
                size += width
            slot += width // 8
        self.stack_words = size // 8


def _return_in_memory(results: str) -> bool:
    """Whether there are more results than registers: two vector registers for floats, then two of the x87, and four
    vector registers for vectors. (Letters, or the classes of `baseline.compose`.)"""
    integers = vectors = x87 = 0
    for letter_ in results:
        if letter_ not in _FLOATS:
            integers += 1
        elif letter_ in "vV" or vectors < _FLOAT_RESULTS:
            vectors += 1
        else:
            x87 += 1
    return integers > _INTEGER_RESULTS or vectors > _VECTOR_RESULTS or x87 > _X87_RESULTS


def is_plain(signature: str) -> bool:
    """Whether stubs convert all values of a signature themselves: numbers only, and not so many that a stub with their
    conversions in a row takes LLVM long."""
    return "r" not in signature and len(signature) <= _MOST_PLAIN


def result_type(results: Sequence[str]) -> str:
    """The LLVM return type for results given as LLVM types."""
    if not results:
        return "void"
    return results[0] if len(results) == 1 else f"{{{', '.join(results)}}}"


def result_places(results: Sequence[str]) -> list[int]:
    """Where in memory results are that are returned through it, in bytes (those of a C struct), and last how many bytes
    they take."""
    places = []
    at = 0
    for type_ in results:
        size = _RESULT_SIZES.get(type_, 8)
        at = -(-at // size) * size
        places.append(at)
        at += size
    return [*places, at]


def slot_count(types: Sequence[ValType]) -> int:
    """How many slots values of these types take."""
    return len(types) + types.count(V128)


def slot_places(types: Sequence[str]) -> list[int]:
    """The first slot of each of the values, whose types are LLVM types; and last, how many there are in all."""
    places = [0]
    for type_ in types:
        places.append(places[-1] + (2 if type_ == LETTER_TO_LLVM["v"] else 1))
    return places


def vector_slots(letters: str) -> list[int]:
    """The first slots of the v128 among values, which are given by their letters."""
    places = slot_places([LETTER_TO_LLVM[letter] for letter in letters])
    return [place for place, letter in zip(places, letters, strict=False) if letter == "v"]


def split_signature(text: str) -> tuple[list[str], list[str]]:
    """The LLVM types of the parameters and of the results of an ABI string."""
    params, results = text.split(":")
    return [LETTER_TO_LLVM[c] for c in params], [LETTER_TO_LLVM[c] for c in results]
