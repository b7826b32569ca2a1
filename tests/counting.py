"""Cost without a clock: how many lines of Python a call runs."""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def executed_lines(function: Callable[[], object], *, at_most: int | None = None) -> int:
    """How many lines run during `function()`; inside of it, an AssertionError when they become more than `at_most`. The
    garbage collector, whose finalizers would be counted, is off."""
    lines = 0

    def trace(frame: FrameType, event: str, argument: Any) -> Any:
        nonlocal lines
        if event == "line":
            lines += 1
            assert at_most is None or lines <= at_most, f"more than {at_most} lines"
        return trace

    before, collecting = sys.gettrace(), gc.isenabled()
    gc.disable()
    sys.settrace(trace)
    try:
        function()
    finally:
        sys.settrace(before)
        if collecting:
            gc.enable()
    return lines
