"""Stencils as plain data, and the libraries they are kept in.

A library starts empty or is loaded from what `dump` wrote, and grows when something is asked for that is not there:
only then LLVM is needed. It belongs to one kind of processor: whoever stores a dump has to keep that with it.
"""

from __future__ import annotations

import base64
import json
import threading
from typing import TYPE_CHECKING, Any, Final

from wasmark.errors import Error
from wasmark.jit.artefact import Artefact
from wasmark.jit.identity import make_key

if TYPE_CHECKING:
    from collections.abc import Iterable

    from wasmark.jit.cache import CodeCache

HOLES: Final = "ABCDXYZ"
_FORMAT: Final = 1
_M32: Final = 0xFFFFFFFF


class StencilData:
    """What there is to know of a stencil.

    holes: (offset, hole, addend) of 4-byte fields that hold a number. taken, callee: (offset, addend) of 4-byte
    fields that hold a distance. rodata: (offset, place, addend) likewise to the library's constants; external: (offset,
    name, addend) to a function of the process. marks: (offset, column), where the column of the line table changes (it
    starts as 0). unsigned: the constants whose holes do not extend their sign.
    """

    __slots__ = ("callee", "code", "external", "holes", "marks", "name", "rodata", "taken", "unsigned")

    def __init__(self, name: str, code: bytes) -> None:
        self.name = name
        self.code = code
        self.holes: list[tuple[int, str, int]] = []
        self.taken: list[tuple[int, int]] = []
        self.callee: list[tuple[int, int]] = []
        self.rodata: list[tuple[int, int, int]] = []
        self.external: list[tuple[int, str, int]] = []
        self.marks: list[tuple[int, int]] = []
        self.unsigned: set[str] = set()


class Stencil:
    """A stencil, ready to be copied: `(number + a * A + ... + z * Z).to_bytes(size, "little")` is its code with all
    holes of numbers filled in.

    A hole's factor is the sum of 256 ** offset over its fields, or 0 where the stencil has no such hole. Values are
    below 2 ** 32, so that nothing is carried from one field into what follows. `mark` numbers its marks in the
    library. `relocations` are the fields that hold distances: (offset, kind, target, addend), where the kind is an
    index into RELOCATIONS.
    """

    __slots__ = ("A", "B", "C", "D", "X", "Y", "Z", "data", "mark", "number", "relocations", "size", "unsigned")

    def __init__(self, data: StencilData, mark: int) -> None:
        self.data = data
        self.size = len(data.code)
        self.mark = mark
        self.unsigned = frozenset(data.unsigned)
        self.number = int.from_bytes(data.code, "little")
        factors = dict.fromkeys(HOLES, 0)
        for offset, hole, addend in data.holes:
            if addend and hole in "XYZ" and "const" in data.name:
                raise Error(f"stencil {data.name!r} adds to a constant that may be of any size")
            factors[hole] += 1 << 8 * offset
            self.number += addend << 8 * offset
        self.A, self.B, self.C, self.D, self.X, self.Y, self.Z = (factors[hole] for hole in HOLES)
        rows: list[tuple[int, int, Any, int]] = [(at, TAKEN, None, add) for at, add in data.taken]
        rows += [(at, CALLEE, None, add) for at, add in data.callee]
        rows += [(at, RODATA, place, add) for at, place, add in data.rodata]
        rows += [(at, EXTERNAL, name, add) for at, name, add in data.external]
        self.relocations = tuple(rows)


TAKEN, CALLEE, RODATA, EXTERNAL = range(4)


class Library:
    """Stencils by name. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stencils: dict[str, Stencil] = {}
        self._marks: dict[tuple[tuple[int, int], ...], int] = {(): 0}
        self.marks: list[tuple[tuple[int, int], ...]] = [()]
        """By the number that a stencil has for its marks."""
        self.rodata = b""
        """The constants, to be laid out 16-aligned in reach of the code. They only ever grow at the end."""
        self.signatures: set[str] = set()
        self.grown = False
        """Whether there is something in it that was not dumped."""

    def __getitem__(self, name: str) -> Stencil:
        return self._stencils[name]

    def get(self, name: str) -> Stencil | None:
        """The stencil of this name, if there is one."""
        return self._stencils.get(name)

    def __len__(self) -> int:
        return len(self._stencils)

    def require(self, signatures: Iterable[str]) -> None:
        """Make sure that there are the stencils of these signatures, and all that depend on none."""
        wanted = set(signatures)
        if self._stencils and wanted <= self.signatures:
            return
        with self._lock:
            missing = sorted(wanted - self.signatures)
            if self._stencils and not missing:
                return
            from wasmark.baseline import builder

            sources = [] if self._stencils else builder.base_sources()
            stencils, rodata = builder.build(sources + builder.signature_sources(missing), len(self.rodata))
            self.rodata += rodata
            self._add(stencils.values())
            self.signatures |= wanted
            self.grown = True

    def _add(self, stencils: Iterable[StencilData]) -> None:
        for data in stencils:
            marks = tuple(data.marks)
            number = self._marks.get(marks)
            if number is None:
                number = self._marks[marks] = len(self.marks)
                self.marks.append(marks)
            self._stencils[data.name] = Stencil(data, number)

    def dump(self) -> bytes:
        """Everything, as data that `load` reads."""
        with self._lock:
            rows = []
            for stencil in self._stencils.values():
                d = stencil.data
                code = base64.b64encode(d.code).decode()
                rows.append(
                    [d.name, code, d.holes, d.taken, d.callee, d.rodata, d.external, d.marks, sorted(d.unsigned)]
                )
            contents = {
                "format": _FORMAT,
                "signatures": sorted(self.signatures),
                "rodata": base64.b64encode(self.rodata).decode(),
                "stencils": rows,
            }
            return json.dumps(contents, separators=(",", ":")).encode()

    @staticmethod
    def load(dump: bytes) -> Library:
        """The library that was dumped. Raises Error where it was made by another version or is damaged."""
        library = Library()
        try:
            contents = json.loads(dump)
            if contents["format"] != _FORMAT:
                raise Error("the stencils were made by another version")
            library.rodata = base64.b64decode(contents["rodata"], validate=True)
            library.signatures = set(contents["signatures"])
            library._add(map(_read_row, contents["stencils"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise Error(f"damaged stencil library: {error}") from None
        return library


def _read_row(row: list[Any]) -> StencilData:
    name, code, holes, taken, callee, rodata, external, marks, unsigned = row
    data = StencilData(name, base64.b64decode(code, validate=True))
    data.holes = [(at, hole, add) for at, hole, add in holes]
    data.taken = [(at, add) for at, add in taken]
    data.callee = [(at, add) for at, add in callee]
    data.rodata = [(at, place, add) for at, place, add in rodata]
    data.external = [(at, symbol, add) for at, symbol, add in external]
    data.marks = [(at, column) for at, column in marks]
    data.unsigned = set(unsigned)
    return data


_shared: Library | None = None
_shared_lock = threading.Lock()
_BLOB: Final = "library"


def shared_library(cache: CodeCache | None) -> Library:
    """The library of this process; at the first call, as the cache has it."""
    global _shared
    with _shared_lock:
        if _shared is None:
            _shared = _stored(cache) or Library()
        return _shared


def _stored(cache: CodeCache | None) -> Library | None:
    if cache is None:
        return None
    stored = cache.get(make_key("stencils", ()))
    if stored is None:
        return None
    try:
        library = Library.load(bytes(stored.artefact.blobs[_BLOB]))
    except (Error, KeyError):
        return None
    finally:
        stored.close()
    return library


def keep_library(library: Library, cache: CodeCache | None) -> None:
    """Put the library into the cache, if it has grown since it was there."""
    if cache is not None and library.grown:
        cache.put(Artefact(make_key("stencils", ()), {"kind": "stencils"}, {}, {_BLOB: library.dump()}))
        library.grown = False
