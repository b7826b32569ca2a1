"""The source lines that a function comes from, where the module has DWARF.

What DWARF calls a file is a path that the module's author chose, so not every file that is there is shown: only those
in the folders that the user names.
"""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

from wasmark.debug.dwarf import DebugInfo

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from wasmark.core.model import ModuleModel

_LARGEST: Final = 8 << 20
_GAP: Final = 8
"""Lines between two that have code are shown, too, if they are no more than this."""


class Sources:
    """folders: where source files may be; a path of DWARF is looked for there as it is, and by its last parts."""

    def __init__(self, model: ModuleModel, folders: Sequence[str | os.PathLike[str]] = ()) -> None:
        self._info = DebugInfo(model)
        self._folders = [Path(folder).resolve() for folder in folders]
        self._texts: dict[str, list[str]] = {}

    def of(self, offsets: Sequence[int]) -> dict[str, Any]:
        """The lines of the instructions at these module offsets.

        l: the text, a line each, which begins with the path where a file begins. n: the number of each line, 0 for
        a path and for what was left out between lines. k: lists of lines that belong together, the innermost first:
        that of an instruction, and those of the calls that were inlined. s: for each offset, which of `k`; -1 for none.
        """
        places: dict[str, set[int]] = {}
        chains: list[list[tuple[str, int]]] = []
        for offset in offsets:
            symbols = self._info.symbols(offset)
            chain = [(symbol.file, symbol.line) for symbol in symbols if symbol.file and symbol.line]
            chains.append(chain)
            for file, line in chain:
                places.setdefault(file, set()).add(line)
        texts: list[str] = []
        numbers: list[int] = []
        at: dict[tuple[str, int], int] = {}
        for file, lines in places.items():
            texts.append(file)
            numbers.append(0)
            for number, text in self._lines(file, sorted(lines)):
                at[file, number] = len(texts)
                texts.append(text)
                numbers.append(number)
        kinds: dict[tuple[int, ...], int] = {}
        chosen = [
            kinds.setdefault(tuple(at[place] for place in chain), len(kinds)) if chain else -1 for chain in chains
        ]
        return {"l": "\n".join(texts), "n": numbers, "k": [list(kind) for kind in kinds], "s": chosen}

    def _lines(self, file: str, wanted: list[int]) -> Iterator[tuple[int, str]]:
        """(number, text) of lines of a file. Without its text, those that are wanted; with it, those between, too."""
        text = self._text(file)
        before = wanted[0]
        for number in wanted:
            if text and number - before > _GAP:
                yield 0, "⋯"
            elif text:
                yield from ((between, text[between - 1]) for between in range(before + 1, min(number, len(text) + 1)))
            yield number, text[number - 1] if number <= len(text) else f"line {number}"
            before = number

    def _text(self, file: str) -> list[str]:
        found = self._texts.get(file)
        if found is None:
            path = self._find(PurePosixPath(file))
            text = path.read_text(encoding="utf-8", errors="replace") if path is not None else ""
            # A line that `splitlines` would cut would be two in the page.
            found = self._texts[file] = text.replace("\r", "").split("\n") if text else []
        return found

    def _find(self, file: PurePosixPath) -> Path | None:
        """The file, if it is in one of the folders: at its own place, or behind as many of its last parts as lead to
        one."""
        parts = [part for part in file.parts if part not in ("/", "..")]
        for folder in self._folders:
            candidates = [Path(file), *(folder.joinpath(*parts[first:]) for first in range(len(parts)))]
            for candidate in candidates:
                try:
                    path = candidate.resolve()
                    if path.is_relative_to(folder) and path.is_file() and path.stat().st_size <= _LARGEST:
                        return path
                except (OSError, ValueError):  # a name that no file can have
                    continue
        return None
