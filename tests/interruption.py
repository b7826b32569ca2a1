"""What a Python signal handler does, at every place where one may run: at the start of a function, behind a call, and
where a loop goes back (CPython looks for signals there, and nowhere else)."""

from __future__ import annotations

import dis
import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

_LEAVES = frozenset(
    name
    for name in dis.opmap
    if name in ("CALL", "CALL_KW", "CALL_FUNCTION_EX", "JUMP_BACKWARD", "RESUME")
    or name.startswith("POP_JUMP_BACKWARD")
)
"""The instructions behind which CPython looks, of those that this version has: keywords have a call of their own from
3.13 on, conditional jumps lead back in 3.11 only."""


class Interruption(BaseException):
    """What is raised."""


def interrupt(action: Callable[[], object], step: int, files: Collection[str]) -> bool:
    """Run `action`, and raise at the `step`-th such place in code of the given files; whether it came that far. The
    garbage collector is off: what is raised in a finalizer is lost."""

    def strike() -> None:
        raise Interruption

    collecting = gc.isenabled()
    gc.disable()
    try:
        reached = call_at(action, step, files, strike)
    except Interruption:
        return True
    finally:
        if collecting:
            gc.enable()
    assert not reached, "the interruption got lost"
    return False


def call_at(action: Callable[[], object], step: int, files: Collection[str], handler: Callable[[], object]) -> bool:
    """Run `action`, and call `handler` at the `step`-th such place in code whose file name has one of `files` in it;
    whether it came that far."""
    left = step
    before: dict[int, tuple[str, int]] = {}  # by the identity of the frame: frames die as they do without this

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not any(name in frame.f_code.co_filename for name in files):
            return None
        frame.f_trace_opcodes = True
        if event in ("call", "opcode"):  # a function's RESUME is its call
            last, at = before.get(id(frame), ("", 0))
            before[id(frame)] = dis.opname[frame.f_code.co_code[frame.f_lasti]], frame.f_lasti
            # A conditional jump that is not taken is no such place: behind it may be the end of a `with` block.
            not_taken = last.startswith("POP_JUMP") and frame.f_lasti > at
            if event == "opcode" and last in _LEAVES and not not_taken:
                left -= 1
                if left == 0:
                    handler()
        return trace

    old = sys.gettrace()
    # CPython 3.12 has opcodes traced only where some frame had asked for it before tracing started.
    sys._getframe().f_trace_opcodes = True
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(old)
    return left <= 0
