"""The library of stencils: where the translator looks them up.

A library starts empty or from the rows that another one had (`rows`), and grows when something is asked for that is
not there: only then LLVM is needed. A stencil is made of its row when it is looked up first, and that of a signature is
composed then.
"""

from __future__ import annotations

import marshal
import threading

from wasmark.baseline.compose import classes, compose, is_composed, names, pieces, split_name
from wasmark.baseline.stencil import Stencil, StencilData
from wasmark.jit.artefact import Artefact
from wasmark.jit.identity import make_key
from wasmark.jit.shipped import LIBRARY, shipped
from wasmark.runtime.apart import unbroken
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Final

    from wasmark.jit.cache import CodeCache
    from wasmark.runtime.image import Buffer
else:
    Any = object

Row = tuple[Any, ...]

_MARSHAL_VERSION: Final = 4
"""Every supported Python reads it, whichever wrote it."""


class Library:
    """Stencils by name. Safe to use from several threads."""

    def __init__(self, rows: dict[str, Row] | None = None, rodata: bytes = b"") -> None:
        self._lock = RenewedLock(threading.Lock)
        self._rows: dict[str, Row] = {} if rows is None else rows
        self._stencils: dict[str, Stencil] = {}
        self._marks: dict[tuple[tuple[int, int], ...], int] = {(): 0}
        self.marks: list[tuple[tuple[int, int], ...]] = [()]
        """By the number that a stencil has for its marks."""
        self.rodata = rodata
        """The constants, to be laid out 16-aligned in reach of the code. They only ever grow at the end."""
        self.grown = False
        """Whether there is something in it that was not there when it was made."""

    def __getitem__(self, name: str) -> Stencil:
        found = self._stencils.get(name)
        return found if found is not None else self._make(name)

    def get(self, name: str) -> Stencil | None:
        """The stencil of this name, if there is one."""
        return self[name] if name in self._rows else None

    def names(self) -> list[str]:
        """The names of all that it was given or has had made; what can be composed of that is not among them."""
        return [*self._rows]

    def _make(self, name: str) -> Stencil:
        row = self._rows.get(name)
        if row is not None:
            return self._keep(name, StencilData.from_row(name, row))
        found = split_name(name)
        if found is None:
            raise KeyError(name)
        form, signature = found
        general = classes(signature)
        if general != signature:
            stencil = self._stencils[name] = self[form + general]
            return stencil
        return self._keep(name, compose(form, signature, lambda piece: StencilData.from_row(piece, self._rows[piece])))

    def _keep(self, name: str, data: StencilData) -> Stencil:
        marks = tuple(data.marks)
        number = self._marks.get(marks)
        if number is None:
            number = unbroken(lambda: self._number(marks))
        return self._stencils.setdefault(name, Stencil(data, number))

    def _number(self, marks: tuple[tuple[int, int], ...]) -> int:
        with self._lock.held:
            if marks not in self._marks:
                self.marks.append(marks)
                self._marks[marks] = len(self.marks) - 1
            return self._marks[marks]

    def require(self, signatures: Iterable[str]) -> None:
        """Make sure that there are the stencils of these signatures, and all that depend on none."""
        signatures = set(signatures)
        whole = {name for s in signatures if not is_composed(s) for name in names(s)}
        wanted = whole | pieces(s for s in signatures if is_composed(s))
        if self._rows and wanted <= self._rows.keys():
            return
        builder = late_import("wasmark.baseline.builder")
        unbroken(lambda: self._build(builder, wanted))

    def _build(self, builder: Any, wanted: set[str]) -> None:
        with self._lock.held:
            sources = [] if self._rows else builder.base_sources()
            missing = sorted(wanted - self._rows.keys())
            sources += builder.sources_of(missing)
            if not sources:  # another thread was faster
                return
            stencils, rodata = builder.build(sources, len(self.rodata))
            self.rodata += rodata
            self._rows.update({name: data.row() for name, data in stencils.items()})
            self.grown = True

    def to_bytes(self) -> bytes:
        """What `from_bytes` makes a library like this one of."""
        return marshal.dumps(self.rows(), _MARSHAL_VERSION)

    @classmethod
    def from_bytes(cls, data: Buffer) -> Library:
        """The library that `to_bytes` was asked for these bytes."""
        return cls(*marshal.loads(data))

    def rows(self) -> tuple[dict[str, Row], bytes]:
        """What a library like this one is made from; plain values."""

        def rows() -> tuple[dict[str, Row], bytes]:
            with self._lock.held:
                return dict(self._rows), self.rodata

        return unbroken(rows)


_shared: Library | None = None
_shared_lock = RenewedLock(threading.Lock)


def shared_library(cache: CodeCache | None) -> Library:
    """The library of this process; at the first call, as the cache or else the package has it."""

    def find() -> Library:
        global _shared
        with _shared_lock.held:
            if _shared is None:
                _shared = _stored(cache) or _ready_made() or Library()
            return _shared

    return _shared if _shared is not None else unbroken(find)


def _ready_made() -> Library | None:
    found = shipped()
    return Library.from_bytes(found.artefact.blobs[LIBRARY]) if found is not None else None


def _stored(cache: CodeCache | None) -> Library | None:
    if cache is None:
        return None
    stored = cache.get(make_key("stencils", ()))
    if stored is None:
        return None
    try:
        return Library.from_bytes(stored.artefact.blobs[LIBRARY])
    finally:
        stored.close()


def keep_library(library: Library, cache: CodeCache | None) -> None:
    """Put the library into the cache, if it has grown since it was there."""
    if cache is not None and library.grown:
        cache.put(Artefact(make_key("stencils", ()), {"kind": "stencils"}, {}, {LIBRARY: library.to_bytes()}))
        library.grown = False
