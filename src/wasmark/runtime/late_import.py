"""Imports that come late: in the middle of a call, where a Python signal handler may raise at any step.

CPython loses the lock of a module whose import is cut short like that, and then every thread that imports it waits for
ever. Signal handlers run in the main thread only, so the import is done in another one. A forked child would have half
a module, and its lock: so a fork waits until nothing is being imported here.
"""

from __future__ import annotations

import sys

from wasmark.runtime.apart import run_apart
from wasmark.runtime.forks import Passage

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

_importing: Final = Passage()


def late_import(name: str) -> Any:
    """The module of this name. Raises what importing it raises."""
    module = sys.modules.get(name)
    if module is None or getattr(module.__spec__, "_initializing", False):
        if sys.is_finalizing():  # no other thread runs any more, and no signal handler
            _import(name)
        else:
            run_apart(lambda: _import(name))
        module = sys.modules[name]
    return module


def _import(name: str) -> None:
    with _importing:
        __import__(name)
