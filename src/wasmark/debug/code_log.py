"""What was at an address when a sample was taken, for samples that are looked at later.

Code comes and goes while samples wait. A sample has a position in the ring; code is known from the position that the
ring had when it was announced to the one when it ended, and until all samples before that have been looked at. Of the
code object itself nothing is kept, so its memory can be freed and used again meanwhile.
"""

from __future__ import annotations

import weakref
from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from wasmark.registry.frames import FrameInfo
from wasmark.registry.line_table import SAME_ACTIVATION
from wasmark.registry.process_table import registered_codes
from wasmark.registry.watchers import unwatch, watch
from wasmark.runtime.code_memory import PAGE_SHIFT
from wasmark.runtime.sampler import head

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from wasmark.core.model import ModuleModel
    from wasmark.registry.code_object import CodeModule, CodeObject, RegisteredModule


class ModuleNames:
    """What is kept of a module: it is enough for a frame, and keeps no code alive."""

    __slots__ = ("__weakref__", "model", "name", "wants_debug_info")

    def __init__(self, module: RegisteredModule) -> None:
        self.model: ModuleModel = module.model
        self.name = module.name
        self.wants_debug_info = module.wants_debug_info

    def code_object(self) -> None:
        """None."""

    def finished_functions(self) -> tuple[()]:
        """Nothing."""
        return ()


class Site:
    """A place in a wasm function; one object for each. `frame` is made when the profile is over."""

    __slots__ = ("func_index", "line", "module", "same_activation")

    def __init__(self, module: ModuleNames, func_index: int, line: int, column: int) -> None:
        self.module = module
        self.func_index = func_index
        self.line = line
        self.same_activation = column == SAME_ACTIVATION

    @property
    def frame(self) -> FrameInfo:
        """The frame in wasm's terms."""
        return FrameInfo(self.module, self.func_index, self.line, 0)


class _Piece:
    """The code of one code object, between two positions of the ring."""

    def __init__(self, code: CodeObject, names: MutableMapping[int, ModuleNames], born: int) -> None:
        self.id = code.id
        self.start, self.end = code.text_start, code.text_end
        self.born = born
        self.died: int | None = None
        self._parts: list[tuple[CodeModule, ModuleNames]] = []
        for part in code.modules:
            module = part.module
            if module is not None:
                kept = names.get(id(module.model))
                if kept is None:
                    kept = names[id(module.model)] = ModuleNames(module)
                self._parts.append((part, kept))
        self._lines = code.lines
        self._index: tuple[list[int], list[tuple[int, int, ModuleNames]]] | None = None
        self._sites: dict[int, Site | None] = {}

    def site(self, pc: int) -> Site | None:
        """The place at `pc`, where there is a function of a module."""
        try:
            return self._sites[pc]
        except KeyError:
            found = self._sites[pc] = self._find(pc)
            return found

    def _find(self, pc: int) -> Site | None:
        if self._index is None:
            rows = sorted(
                (start, end, func_index, number)
                for number, (part, _) in enumerate(self._parts)
                for func_index, start, end in part.functions
            )
            self._index = (
                [row[0] for row in rows],
                [(end, func_index, self._parts[number][1]) for _, end, func_index, number in rows],
            )
        starts, functions = self._index
        position = bisect_right(starts, pc) - 1
        if position < 0 or pc >= functions[position][0]:
            return None
        _, func_index, module = functions[position]
        return Site(module, func_index, *self._lines.find(pc))


_ARRIVED: Final = 1
_LEFT: Final = 2


class CodeLog:
    """Watches code from `start` to `stop`. `arrived` and `left` may be called by anybody at any time; the other methods
    by one thread at a time."""

    def __init__(self) -> None:
        self._news: deque[tuple[int, Any, int]] = deque()
        self._pieces: dict[int, _Piece] = {}  # those that live, by the id of the code object
        self._by_page: dict[int, list[_Piece]] = {}
        self._dead: list[_Piece] = []
        # By the identity of the model, which they keep alive.
        self._names: MutableMapping[int, ModuleNames] = weakref.WeakValueDictionary()

    def start(self) -> None:
        """All code that there is, and what comes."""
        watch(self)
        for code in registered_codes():
            self.arrived(code)

    def stop(self) -> None:
        """No more of it."""
        unwatch(self)

    def arrived(self, code: CodeObject) -> None:
        """For the registry."""
        self._news.append((_ARRIVED, _Piece(code, self._names, head()), code.id))

    def left(self, id_: int) -> None:
        """For the registry."""
        self._news.append((_LEFT, head(), id_))

    def settle(self) -> None:
        """Take in what has been told. To be called after the samples in question have been taken out of the ring."""
        news = self._news
        while news:
            what, of_it, id_ = news.popleft()
            if what == _ARRIVED and id_ not in self._pieces:
                self._pieces[id_] = of_it
                for page in _pages(of_it):
                    self._by_page.setdefault(page, []).append(of_it)
            elif what == _LEFT and id_ in self._pieces:
                piece = self._pieces.pop(id_)
                piece.died = of_it
                self._dead.append(piece)

    def forget(self, position: int) -> None:
        """All samples before this position have been looked at: what had gone by then is not needed any more."""
        waiting = []
        for piece in self._dead:
            assert piece.died is not None
            if piece.died > position:
                waiting.append(piece)
                continue
            for page in _pages(piece):
                left = [other for other in self._by_page[page] if other is not piece]
                if left:
                    self._by_page[page] = left
                else:
                    del self._by_page[page]
        self._dead = waiting

    def __len__(self) -> int:
        """How many pieces of code are known, those that are gone included."""
        return len(self._pieces) + len(self._dead)

    def site(self, pc: int, position: int) -> Site | None:
        """The place that was at `pc` when the sample at `position` was taken; None where no wasm function was."""
        for piece in self._by_page.get(pc >> PAGE_SHIFT, ()):
            if (
                piece.start <= pc < piece.end
                and piece.born <= position
                and (piece.died is None or position < piece.died)
            ):
                return piece.site(pc)
        return None


def _pages(piece: _Piece) -> Iterable[int]:
    return range(piece.start >> PAGE_SHIFT, ((piece.end - 1) >> PAGE_SHIFT) + 1)
