"""How wasm types and signatures look in LLVM IR and in machine code: the calling convention, in one place.

A wasm function is a C function `results f(ptr vmctx, params...)`; several results are a struct. A signature is written
as a string of one letter a value, `params:results` (`i` i32, `I` i64, `f` f32, `F` f64, `r` any reference); functions
with equal strings are called alike, so stubs are shared by that string.
"""

from __future__ import annotations

from wasmark.core.types import F32, F64, I32, I64, RefType
from wasmark.errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from wasmark.core.types import FuncType, ValType

LETTER_TO_LLVM: Final = {"i": "i32", "I": "i64", "f": "float", "F": "double", "r": "ptr"}
TRAMPOLINE_PREFIX: Final = "trampoline "
HOST_STUB_PREFIX: Final = "host "
CALL_STUB_PREFIX: Final = "call "
_MOST_PLAIN: Final = 40
_LETTERS: Final[dict[object, str]] = {I32: "i", I64: "I", F32: "f", F64: "F"}


def letter(type_: ValType) -> str:
    """The letter of a value type.

    Raises UnsupportedError for v128.
    """
    if isinstance(type_, RefType):
        return "r"
    found = _LETTERS.get(type_)
    if found is None:
        raise UnsupportedError(f"values of type {type_} are not supported yet", part="SIMD")
    return found


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


def split_signature(text: str) -> tuple[list[str], list[str]]:
    """The LLVM types of the parameters and of the results of an ABI string."""
    params, results = text.split(":")
    return [LETTER_TO_LLVM[c] for c in params], [LETTER_TO_LLVM[c] for c in results]
