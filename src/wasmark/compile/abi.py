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
    from typing import Final

    from wasmark.core.types import FuncType, ValType

LETTER_TO_LLVM: Final = {"i": "i32", "I": "i64", "f": "float", "F": "double", "v": "<2 x i64>", "r": "ptr"}
TRAMPOLINE_PREFIX: Final = "trampoline "
HOST_STUB_PREFIX: Final = "host "
CALL_STUB_PREFIX: Final = "call "
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


def is_plain(signature: str) -> bool:
    """Whether stubs convert all values of a signature themselves: numbers only, and not so many that a stub with their
    conversions in a row takes LLVM long."""
    return "r" not in signature and len(signature) <= _MOST_PLAIN


def result_type(results: Sequence[str]) -> str:
    """The LLVM return type for results given as LLVM types."""
    if not results:
        return "void"
    return results[0] if len(results) == 1 else f"{{{', '.join(results)}}}"


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
