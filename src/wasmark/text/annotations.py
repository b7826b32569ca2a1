"""The annotations (core §6.3.6 and appendix "Custom Sections") that mean something here; all others are skipped.

`(@name "n")`                            the name of what is being defined, where it is not its identifier
`(@custom "n" (after func)? "bytes"*)`   a custom section
`(@metadata.code.* "bytes"*)`            metadata of the instruction behind it, such as a branch hint
`(@datacount)`                           this project's own: the section is there, though no instruction needs it
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from wasmark.binary.decoder import SECTION_ORDER
from wasmark.binary.metadata import BRANCH_HINT, CODE_METADATA, LIKELY, UNLIKELY
from wasmark.core.model import LAST_SECTION
from wasmark.errors import MalformedError

NAME: Final = "name"
CUSTOM: Final = "custom"
DATA_COUNT: Final = "datacount"

_SECTION_NAMES: Final = {
    "type": 1,
    "import": 2,
    "func": 3,
    "table": 4,
    "memory": 5,
    "tag": 13,
    "global": 6,
    "export": 7,
    "start": 8,
    "elem": 9,
    "datacount": 12,
    "code": 10,
    "data": 11,
}
_FIRST: Final = 0

Item = tuple[str, bytes | None, int]
"""What stands in an annotation: a spelling, the bytes if it is a string, and its offset in the source."""

ErrorAt = Callable[[int, str], MalformedError]


class Annotation(NamedTuple):
    """`kind` is the word behind the `@`; `text` a name, of whatever it is about or of a custom section; `after` the id
    of the section that a custom section follows."""

    kind: str
    text: str = ""
    data: bytes = b""
    after: int = LAST_SECTION


def is_known(kind: str) -> bool:
    """Whether an annotation is looked at at all."""
    return kind in (NAME, CUSTOM, DATA_COUNT) or kind.startswith(CODE_METADATA)


def place_text(after: int) -> str:
    """` (after section)`: the place of a custom section behind the section with this id, 0 for the beginning."""
    if after == _FIRST:
        return " (before first)"
    return next(f" (after {name})" for name, section in _SECTION_NAMES.items() if section == after)


def read_annotation(kind: str, items: Sequence[Item], end: int, error_at: ErrorAt) -> Annotation:
    """The annotation of a known kind with these items, closed at the offset `end`. Raises what `error_at` makes."""
    reader = _Reader(kind, items, end, error_at)
    if kind == NAME:
        annotation = Annotation(kind, reader.name("missing name"))
    elif kind == CUSTOM:
        name = reader.name("missing section name")
        annotation = Annotation(kind, name, after=reader.place())
        annotation = annotation._replace(data=reader.strings())
    elif kind == DATA_COUNT:
        annotation = Annotation(kind)
    else:
        annotation = Annotation(kind, data=reader.strings())
        if kind == BRANCH_HINT and annotation.data not in (UNLIKELY, LIKELY):
            raise reader.error('malformed hint, expected "\\00" or "\\01"', at=0)
    reader.end()
    return annotation


class _Reader:
    def __init__(self, kind: str, items: Sequence[Item], end: int, error_at: ErrorAt) -> None:
        self._kind = kind
        self._items = items
        self._end = end
        self._error_at = error_at
        self._pos = 0

    def error(self, message: str, at: int | None = None) -> MalformedError:
        pos = self._pos if at is None else at
        offset = self._items[pos][2] if pos < len(self._items) else self._end
        return self._error_at(offset, f"@{self._kind} annotation: {message}")

    def _spelling(self) -> str:
        return self._items[self._pos][0] if self._pos < len(self._items) else ""

    def name(self, missing: str) -> str:
        """A string that is a name."""
        value = self._items[self._pos][1] if self._pos < len(self._items) else None
        if value is None:
            raise self.error(missing)
        try:
            name = value.decode()
        except UnicodeDecodeError:
            raise self.error("malformed UTF-8 encoding") from None
        self._pos += 1
        return name

    def strings(self) -> bytes:
        """Any number of strings, joined."""
        parts = []
        while self._pos < len(self._items):
            value = self._items[self._pos][1]
            if value is None:
                break
            parts.append(value)
            self._pos += 1
        return b"".join(parts)

    def place(self) -> int:
        """`(before section)` or `(after section)`, the end of the module where there is none: what section it is
        behind."""
        if self._spelling() != "(":
            return LAST_SECTION
        self._pos += 1
        direction = self._spelling()
        if direction not in ("before", "after"):
            raise self.error(f"malformed placement {direction!r}, expected 'before' or 'after'")
        self._pos += 1
        kind = self._spelling()
        section = _SECTION_NAMES.get(kind)
        if (direction, kind) == ("before", "first"):
            after = _FIRST
        elif (direction, kind) == ("after", "last"):
            after = LAST_SECTION
        elif section is None:
            raise self.error(f"malformed section kind {kind!r}")
        elif direction == "after":
            after = section
        else:
            rank = SECTION_ORDER.index(section)
            after = SECTION_ORDER[rank - 1] if rank else _FIRST
        self._pos += 1
        if self._spelling() != ")":
            raise self.error(f"malformed placement: unexpected token {self._spelling()}, expected ')'")
        self._pos += 1
        return after

    def end(self) -> None:
        """Nothing more."""
        if self._pos < len(self._items):
            raise self.error(f"unexpected token {self._spelling()}")
