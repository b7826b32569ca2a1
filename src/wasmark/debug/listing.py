"""The text of a function as the source that Python's tools show for a wasm frame without a source of its own.

A `Listing` is the `__loader__` of such frames, and enters itself into `linecache`. The text is made when somebody
wants to see it; only the number of the line has to be known before.
"""

from __future__ import annotations

import builtins
import functools
import itertools
import sys
import weakref
from array import array
from bisect import bisect_right

from wasmark.binary.instructions import decode_body
from wasmark.registry.names import printable
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.core.model import ModuleModel
    from wasmark.registry.code_object import RegisteredModule


class _Label:
    """What the file names of a module have of it. No other module has the same at the same time."""

    __slots__ = ("__weakref__", "text")

    def __init__(self, name: str) -> None:
        self.text = name
        while _labels.setdefault(self.text, self) is not self:
            self.text = f"{name}-{next(_numbers)}"


_labels: Final[weakref.WeakValueDictionary[str, _Label]] = weakref.WeakValueDictionary()
_numbers: Final = itertools.count(2)


class ModuleListings:
    """The listings of one module. (They do not know it: all of this ends with the last reference.)"""

    __slots__ = ("_functions", "_label", "_model")

    def __init__(self, model: ModuleModel, name: str) -> None:
        self._model = model
        self._label = _Label(name)
        self._functions: dict[int, tuple[Listing, dict[str, Any]]] = {}

    def function(self, index: int) -> tuple[Listing, dict[str, Any]]:
        """The listing of a defined function, and what is global in its frames."""
        found = self._functions.get(index)
        if found is None:
            listing = Listing(self._model, index, self._label)
            scope = {"__name__": self._label.text, "__builtins__": builtins, "__loader__": listing}
            found = self._functions.setdefault(index, (listing, scope))
        return found


_modules: Final[weakref.WeakKeyDictionary[RegisteredModule, ModuleListings]] = weakref.WeakKeyDictionary()


def listings_of(module: RegisteredModule) -> ModuleListings:
    """The listings of a module; the same ones as long as it lives."""
    found = _modules.get(module)
    if found is None:
        name = module.model.names.module or module.name or "wasm"
        found = _modules.setdefault(module, ModuleListings(module.model, printable(name)))
    return found


class Listing:
    """A function, one line for its head, one for its locals if it has any, and then one for each instruction."""

    __slots__ = ("__weakref__", "_function", "_index", "_label", "_model", "_offsets", "file_name")

    def __init__(self, model: ModuleModel, index: int, label: _Label) -> None:
        self._model = model
        self._index = index
        self._label = label  # so that nobody else gets it
        self._function = model.functions[index - model.imported["func"]]
        self._offsets: array[int] | None = None
        self.file_name = f"wasm://{label.text}/func[{index}]"
        linecache = sys.modules.get("linecache")
        if linecache is not None:  # who imports it later finds the loader, or shows no text
            linecache.cache[self.file_name] = (functools.partial(_text, weakref.ref(self)),)

    def __del__(self, modules: dict[str, Any] = sys.modules) -> None:
        linecache = modules.get("linecache")
        if linecache is not None:
            linecache.cache.pop(getattr(self, "file_name", None), None)

    def line(self, offset: int) -> int:
        """The line of the instruction at a module offset, from 1 on; the first one for what is before them all."""
        offsets = self._offsets
        function = self._function
        if offsets is None:
            instrs = decode_body(self._model, function.start, function.end)
            offsets = self._offsets = array("Q", [offset for _, _, offset in instrs])
        number = bisect_right(offsets, offset)
        return number + 1 + bool(function.locals) if number else 1

    @property
    def get_source(self) -> Callable[[str], str | None]:
        """What `linecache` asks a loader for, and keeps: it does not keep the listing."""
        reference = weakref.ref(self)
        return lambda name: _text(reference)

    def text(self) -> str:
        """All lines, the instructions with their module offsets."""
        late_import("wasmark.text.printer")
        from wasmark.text.printer import print_function

        lines = print_function(self._model, self._index)
        first = 1 + bool(self._function.locals)
        offsets = [offset for _, _, offset in decode_body(self._model, self._function.start, self._function.end)]
        for number, offset in enumerate(offsets[:-1], first):
            lines[number] = f"{lines[number]:<50} ;; {offset:#x}"
        return "\n".join(lines) + "\n"


def _text(reference: weakref.ref[Listing]) -> str | None:
    listing = reference()
    return listing.text() if listing is not None else None
