"""The stencils of a signature, put together from *pieces* that are made once for all signatures.

Where the parameters of a function travel depends on few things (`abi.Places`): the vmctx and the first integers or
references are in registers, as are the first floats, and all others are on the stack, 8 bytes each. A slot has 8 bytes
too. So how wide a value is does not matter: what is above an i32 or f32, in a register or a slot, nobody looks at. For
every register there is a piece that loads it from a slot and one that stores it to one; a call is some of the former
and a piece that calls. See `signatures` for what each piece does. A v128 is in a register like a float, and in two
slots.

Only where there are more results than `is_composed` allows, or vectors on the stack, LLVM makes a signature's stencils
as a whole.
"""

from __future__ import annotations

from wasmark.baseline.stencil import StencilData
from wasmark.compile.abi import FLOAT_REGISTERS, INTEGER_REGISTERS, TRAMPOLINE_PREFIX

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Final

    Step = tuple[str, dict[str, tuple[str | None, int]]]
    """A piece, and what each of its holes is filled with: a hole of the whole plus a number, or (None) a number."""

_INTEGER_RESULTS: Final = 3
_FLOAT_RESULTS: Final = 2

_CLASSES: Final = str.maketrans("irfv", "IIFV")
_KINDS: Final = {"I": ("I", "int", 1), "F": ("F", "float", 1), "V": ("F", "vector", 2)}
"""Class -> (class of its registers, what they are called, how many slots it takes)."""

ENTRY, LEAF, LEAVING = "entry ", "entry leaf ", "entry leaving "
CALL, SLOT, THROUGH, GUARDED = "call ", "call slot ", "call through ", "call guarded "
TRAMPOLINE = TRAMPOLINE_PREFIX
_FORMS: Final = (LEAF, LEAVING, ENTRY, SLOT, THROUGH, GUARDED, CALL, TRAMPOLINE)  # no one is a prefix of a later one


def classes(signature: str) -> str:
    """A signature with the classes of its values only: I for integers and references, F for floats, V for vectors."""
    return signature.translate(_CLASSES)


def is_composed(signature: str) -> bool:
    """Whether the results of a signature are all in registers that keep them as they are, and no vector is on the
    stack, where it would have to be aligned. More integers go through memory, more floats through registers of another
    format."""
    params, _, results = classes(signature).partition(":")
    floats = results.count("F") + results.count("V")
    return (
        results.count("I") <= _INTEGER_RESULTS
        and floats <= _FLOAT_RESULTS
        and "V" not in params.replace("I", "")[FLOAT_REGISTERS:]
    )


def split_name(name: str) -> tuple[str, str] | None:
    """(form, signature) of the name of a stencil that belongs to a signature."""
    for form in _FORMS:
        if name.startswith(form) and ":" in name:
            return form, name.removeprefix(form)
    return None


def names(signature: str) -> Iterator[str]:
    """The stencils of a signature."""
    return (form + signature for form in _FORMS)


def on_stack(signature: str) -> list[int]:
    """The slots of the parameters that travel on the stack."""
    in_registers = {slot for slot, _ in _registers(classes(signature).partition(":")[0])}
    return [slot for slot, _ in _slots(classes(signature).partition(":")[0]) if slot not in in_registers]


def _slots(params: str) -> Iterator[tuple[int, str]]:
    """(first slot, class) of each parameter."""
    at = 0
    for class_ in params:
        yield at, class_
        at += _KINDS[class_][2]


def pieces(signatures: Iterable[str]) -> set[str]:
    """The pieces that these signatures need besides those that every library has (`signatures.registers`)."""
    found = set()
    for text in {classes(signature) for signature in signatures}:
        results = text.partition(":")[2]
        count = len(on_stack(text))
        found |= {f"piece {form}:{results}" for form in (ENTRY, LEAF, LEAVING)}
        found |= {f"piece {form} {count}:{results}" for form in ("call", "slot", "through", "guarded", "code")}
    return found


def compose(form: str, signature: str, piece: Callable[[str], StencilData]) -> StencilData:
    """The stencil of a form for a signature (in classes)."""
    whole = StencilData(form + signature, b"")
    code = bytearray()
    for name, holes in _steps(form, signature):
        _append(whole, code, piece(name), holes)
    whole.code = bytes(code)
    return whole


def _registers(params: str) -> Iterator[tuple[int, str]]:
    """(first slot, register) of the parameters that are in one."""
    left = {"I": list(range(INTEGER_REGISTERS)), "F": list(range(FLOAT_REGISTERS))}
    for slot, class_ in _slots(params):
        of, name, _ = _KINDS[class_]
        if left[of]:
            yield slot, f"{name} {left[of].pop(0)}"


def _steps(form: str, signature: str) -> Iterator[Step]:
    params, _, results = signature.partition(":")
    stacked = on_stack(signature)
    if form in (ENTRY, LEAF, LEAVING):
        yield f"piece {form}:{results}", {"X": ("X", 0), "D": ("D", 0)}
        for slot, register in _registers(params):
            yield f"piece store {register}", {"D": (None, 8 * slot)}
        for number, slot in enumerate(stacked):
            yield "piece store stacked", {"B": (None, 8 * number), "D": (None, 8 * slot)}
        return
    # Where the arguments are: from A on in the frame, or at the beginning of the buffer that the frame stands for.
    base = None if form == TRAMPOLINE else "A"
    if form == TRAMPOLINE:
        yield "piece trampoline", {}
    for slot, register in _registers(params):
        yield f"piece load {register}", {"A": (base, 8 * slot)}
    # Those for the stack are to lie one behind the other. The slots of the others are free by now.
    first = stacked[0] if stacked else 0
    if stacked != list(range(first, first + len(stacked))):
        first = 0
        for number, slot in enumerate(stacked):
            yield "piece move", {"A": (base, 8 * slot), "D": (base, 8 * number)}
    kind = {CALL: "call", SLOT: "slot", THROUGH: "through", GUARDED: "guarded", TRAMPOLINE: "code"}[form]
    results_at = (None, 0) if form == TRAMPOLINE else ("D", 0)
    yield (
        f"piece {kind} {len(stacked)}:{results}",
        {"A": (base, 8 * first), "B": ("B", 0), "D": results_at, "X": ("X", 0)},
    )
    if form == TRAMPOLINE:
        yield "return", {}


def _append(whole: StencilData, code: bytearray, part: StencilData, holes: dict[str, tuple[str | None, int]]) -> None:
    at = len(code)
    code += part.code
    for offset, hole, addend in part.holes:
        name, more = holes[hole]
        if name is None:
            code[at + offset : at + offset + 4] = (addend + more).to_bytes(4, "little")
        else:
            whole.holes.append((at + offset, name, addend + more))
    whole.taken += [(at + offset, addend) for offset, addend in part.taken]
    whole.callee += [(at + offset, addend) for offset, addend in part.callee]
    if part.marks:
        whole.marks += [(at + offset, column) for offset, column in part.marks]
        if part.marks[-1][1]:
            whole.marks.append((len(code), 0))
