"""Exceptions at every place where a Python signal handler may raise one: at the start of a function, behind a call, and
where a loop goes back (CPython looks for signals there, and nowhere else)."""

from __future__ import annotations

import dis
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from types import FrameType

_LEAVES = ("CALL", "JUMP_BACKWARD", "RESUME")


class Interruption(BaseException):
    """What is raised."""


def interrupt(action: Callable[[], object], step: int, files: Collection[str]) -> bool:
    """Run `action`, and raise at the `step`-th such place in code of the given files; whether it came that far."""
    left = step
    before: dict[FrameType, str] = {}

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal left
        if not frame.f_code.co_filename.endswith(tuple(files)):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            last = before.get(frame, "")
            before[frame] = dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if last.startswith(_LEAVES):
                left -= 1
                if left == 0:
                    raise Interruption
        return trace

    old = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    except Interruption:
        return True
    finally:
        sys.settrace(old)
    assert left > 0, "the interruption got lost"
    return False
