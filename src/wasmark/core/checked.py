"""`Any` and `NamedTuple`: `typing`'s for type checkers, and at run time what does without the price of that module.

The modules that mypyc may compile (see `hatch_build.py`) take them from here. It holds the other branch of an `if`
about type checking to be unreachable, so that they cannot choose themselves.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NamedTuple
else:
    from wasmark.core.record import NamedTuple

    Any = object

__all__ = ["Any", "NamedTuple"]
