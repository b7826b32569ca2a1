"""Stencils of what leads out of a function in other ways than by returning: tail calls and exceptions."""

from __future__ import annotations

from wasmark.baseline.shape import COMMON, NEXT, PARAMETERS, TAKEN, constant, load_slot, operands, plain, store_slot
from wasmark.baseline.shapes import function_table, tier_up_steps
from wasmark.compile.exceptions import STEPS as EXCEPTIONS
from wasmark.compile.tail_calls import STEPS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Final


def tail_call_shapes() -> Iterator[tuple[str, str]]:
    """What a tail call needs before the body is left.

    `own code`, `own code slot`: the code of a function of the module, itself or what is at X in the table of functions.
    `word`: what is X bytes from where slot A points. `vmctx`: the function's own.
    """
    for name in ("tail register", "tail word", "tail spread"):
        type_ = "ptr" if name == "tail spread" else "i64"
        body = load_slot("%a", type_, "A") + STEPS[name].format(**COMMON, o=constant("X"))
        yield name, f"{body}\n{NEXT if name != 'tail spread' else store_slot('%code_', 'ptr') + NEXT}"
    here = '%r = call ptr asm "leaq callee(%rip), $0", "=r"()\n'
    yield "own code", here + store_slot("%r", "ptr") + NEXT
    yield "own code slot", f"{function_table('X')}%r = load ptr, ptr %at\n{store_slot('%r', 'ptr')}{NEXT}"
    at = f"{load_slot('%a', 'ptr', 'A')}%at = getelementptr i8, ptr %a, i64 {constant('X')}\n"
    yield "word", f"{at}%r = load i64, ptr %at\n{store_slot('%r', 'i64')}{NEXT}"
    yield "vmctx", store_slot("%vm", "ptr") + NEXT


# Steps of exceptions: the types of their operands and of their result.
_EXCEPTIONS: Final[dict[str, tuple[str, str]]] = {
    "exception new": ("", "ptr"),
    "exception put": ("rI", ""),
    "throw_ref": ("r", ""),
    "exception pending": ("", "ptr"),
    "exception set": ("r", ""),
    "exception clear": ("", ""),
}


def exception_shapes() -> Iterator[tuple[str, str]]:
    """`exception unless` branches where the exception in slot A does not have the tag at X."""
    holes = {"o": constant("X"), "o2": constant("Y"), "type": "i64"}
    for name, (letters, result) in _EXCEPTIONS.items():
        yield name, plain(operands(letters) + EXCEPTIONS[name].format(**COMMON, **holes), result)
    exception = operands("r")
    yield "throw", f"{exception}{EXCEPTIONS['throw'].format(**COMMON)}\n"
    asks = EXCEPTIONS["exception is"].format(**COMMON, o=constant("X"))
    yield (
        "exception unless",
        f"{exception}{asks}\nbr i1 %c_, label %go.on, label %go\ngo:\n{TAKEN}go.on:\n{NEXT}",
    )


def answers() -> dict[str, str]:
    """The bodies of the stencils that end the body of a function which may end in a tail call: they answer who is to be
    called, or null. `leave` has that in slot A; `tier up leaving` asks the code in which the function goes on."""
    ask, run = tier_up_steps()
    return {
        "leave": load_slot("%a", "ptr", "A") + "ret ptr %a\n",
        "return leaving": "ret ptr null\n",
        "tier up leaving": f"{ask}go:\n%to = musttail call preserve_nonecc ptr @took{PARAMETERS}\nret ptr %to\n"
        f"run:\n%next = call ptr {run}ret ptr %next\n",
    }


def leaving_shapes() -> dict[str, str]:
    """The bodies of the others that do not depend on a signature, by name."""
    return dict([*tail_call_shapes(), *exception_shapes()])
