"""What a lazy module has compiled, on its way to the cache, and in the next process from there.

An artefact of kind "lazy" grows: each process that compiled something worth it adds an image of the first tier, one of
the second, or both. An image knows neither where it lies nor where anything else does, for code of lazy modules calls
through the table of functions; so it is mapped as it is, and what it has is entered into that table.

    image "first <n>", "second <n>"   code of the first tier, and of the second
    blob "places <image>"             numbers of functions, where they start, where they end: 32 bits each
    blob "loops second <n>"           for each of them the loop that it is entered at, or 0
    blobs "starts <image>", "lines <image>", "marks <image>"   of the first tier: the rows of its `StencilLines`
    info "columns"                    by image, the columns that the marks of those rows stand for
    blob "about"                      what `About` has but its name, as plain values (`marshal`)

Writing happens at the end of the process, or when another module is made after the module itself is gone.
"""

from __future__ import annotations

import atexit
import marshal
import weakref
from array import array

from wasmark.compile.hot import Hot
from wasmark.jit.artefact import Artefact
from wasmark.jit.artefact import numbers as read_numbers
from wasmark.registry.code_object import FIRST_TIER, OPTIMISED, CodeModule, CodeObject
from wasmark.registry.stencil_lines import StencilLines
from wasmark.runtime.elf import make_image
from wasmark.runtime.forks import RenewedLock
from wasmark.runtime.image import load
from wasmark.runtime.late_import import late_import
from wasmark.runtime.symbols import process_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any, Final, NamedTuple

    from wasmark.baseline.assembler import Fragment
    from wasmark.baseline.library import Library
    from wasmark.jit.cache import CodeCache, StoredArtefact
    from wasmark.runtime.image import Buffer, Image
else:
    from wasmark.core.record import NamedTuple


class About(NamedTuple):
    """What is known of a lazy module without looking into it: its name, whether all bodies have been validated (also
    those that no code is there of), the functions that can become references, and what its thunks are made of."""

    name: str | None
    validated: bool
    escaping: list[int]
    contexts: bytes
    trampolines: dict[str, bytes]


_LEAST: Final = 4 << 10
_LEAST_SHARE: Final = 16
"""What is worth a new file: so many bytes of code, and at least one sixteenth of what there is already."""
_SMALL_ONES: Final = 8
"""How many modules of a process are worth their first file however little code there is of them. Loading the compiler
takes longer than a small program; where there are many modules, that is done once for all."""
_small_ones: Final = [0]  # how many there have been


class Stored(NamedTuple):
    """A piece of code out of the cache: published, not registered. places: what it has, and where."""

    code: CodeObject
    places: list[tuple[Hot, int]]
    second: bool


def stored_about(stored: StoredArtefact) -> About:
    """What an artefact says of its module. Whoever wrote it has validated that, but for the bodies."""
    artefact = stored.artefact
    return About(artefact.info["name"], *marshal.loads(artefact.blobs["about"]))


def stored_pieces(stored: StoredArtefact, first: int) -> Iterator[Stored]:
    """The code in an artefact of a module whose first defined function has the index `first`.

    Raises OutOfCodeMemoryError.
    """
    artefact = stored.artefact
    for name, image in artefact.images.items():
        second = name.startswith("second")
        contents = _contents(artefact, name)
        places = read_numbers(artefact.blobs[f"places {name}"])
        count = len(contents)
        numbers, starts, ends = places[:count], places[count : 2 * count], places[2 * count :]
        file = None if stored.descriptor is None else (stored.descriptor, artefact.offsets[name])
        loaded = load(image, process_symbol, file)
        base = loaded.text_start

        def rows(
            base: int = base, numbers: array[int] = numbers, starts: array[int] = starts, ends: array[int] = ends
        ) -> list[tuple[int, int, int]]:
            return [
                (first + number, base + start, base + end)
                for number, start, end in zip(numbers, starts, ends, strict=True)
            ]

        lines = [] if second else [_stencil_lines(base, artefact, name)]
        code = CodeObject(
            *(loaded.code_memory, base, loaded.text_end, [CodeModule(rows, OPTIMISED if second else FIRST_TIER)]),
            line_sources=loaded.line_sources,
            lines=lines,
        )
        yield Stored(code, [(piece, base + start) for piece, start in zip(contents, starts, strict=True)], second)


def _contents(artefact: Artefact, name: str) -> list[Hot]:
    """What an image has."""
    places = read_numbers(artefact.blobs[f"places {name}"])
    numbers = places[: len(places) // 3]
    loops = artefact.blobs.get(f"loops {name}")
    return list(map(Hot, numbers, read_numbers(loops) if loops is not None else bytes(len(numbers))))


def _stencil_lines(base: int, artefact: Artefact, name: str) -> StencilLines:
    blobs = artefact.blobs
    marks = array("H")
    marks.frombytes(blobs[f"marks {name}"])
    starts, lines = read_numbers(blobs[f"starts {name}"]), read_numbers(blobs[f"lines {name}"])
    return StencilLines(base, starts, lines, marks, artefact.info["columns"][name])


class Ledger:
    """What one lazy module has compiled in this process and the cache does not have yet."""

    def __init__(self, key: bytes, cache: CodeCache, first: int, about: About) -> None:
        """first: index of the module's first defined function."""
        self._key = key
        self._cache = cache
        self._first = first
        self._about = about
        self._library: Library | None = None
        self._fragments: list[Fragment] = []
        self._hot: list[tuple[list[Hot], bytes]] = []
        self._noted: set[Hot] = set()  # all that was in `_hot`

    def add_fragments(self, fragments: Sequence[Fragment], library: Library) -> None:
        """Note functions of the first tier, which are made of the stencils of `library`."""
        self._library = library
        self._fragments += fragments

    def add_hot(self, wanted: Sequence[Hot], data: bytes) -> None:
        """Note the object code of these pieces in the second tier. What was asked for twice may come twice: an image
        can have it only once."""
        if self._noted.isdisjoint(wanted):
            self._noted.update(wanted)
            self._hot.append((list(wanted), data))

    def save(self) -> None:
        """Add what is new to the module's artefact, if that is worth it."""
        fragments, self._fragments = self._fragments, []
        hot, self._hot = self._hot, []
        size = sum(len(fragment.body) for fragment in fragments) + sum(len(data) for _, data in hot)
        small = size < _LEAST
        if not size or (small and _small_ones[0] >= _SMALL_ONES):
            return
        with self._cache.lock(self._key):
            stored = self._cache.get(self._key)
            try:
                if small:
                    if stored is not None:
                        return
                    _small_ones[0] += 1
                artefact = self._extended(stored.artefact if stored is not None else None, fragments, hot, size)
                if artefact is not None:
                    self._cache.put(artefact)
            finally:
                if stored is not None:
                    stored.close()

    def _extended(
        self, old: Artefact | None, fragments: list[Fragment], hot: list[tuple[list[Hot], bytes]], size: int
    ) -> Artefact | None:
        images: dict[str, Image] = {}
        blobs: dict[str, Buffer] = {"about": marshal.dumps(self._about[1:])}
        info: dict[str, Any] = {"kind": "lazy", "name": self._about.name, "columns": {}}
        if old is not None:
            if size * _LEAST_SHARE < sum(len(image.content) for image in old.images.values()):
                return None
            images, blobs = dict(old.images), {**old.blobs, **blobs}
            info["columns"] = dict(old.info["columns"])
            # Another process may have added the same meanwhile.
            there = {name: _contents(old, name) for name in images}
            first = set().union(*(pieces for name, pieces in there.items() if not name.startswith("second")))
            second = set().union(*(pieces for name, pieces in there.items() if name.startswith("second")))
            fragments = [f for f in fragments if Hot(f.func_index - self._first, 0) not in first]
            hot = [(wanted, data) for wanted, data in hot if not second.issuperset(wanted)]
            if not fragments and not hot:
                return None
        number = len(images)
        if fragments:
            late_import("wasmark.baseline.image")
            from wasmark.baseline.image import FragmentImage

            assert self._library is not None
            name = f"first {number}"
            made = FragmentImage([fragments], self._library)
            images[name] = made.image
            (rows,) = made.functions
            blobs[f"places {name}"] = _places([(index - self._first, start, end) for index, start, end in rows])
            blobs[f"starts {name}"] = made.starts.tobytes()
            blobs[f"lines {name}"] = made.lines.tobytes()
            blobs[f"marks {name}"] = made.marks.tobytes()
            info["columns"][name] = list(self._library.marks)
        if hot:
            name = f"second {number}"
            image = images[name] = make_image([data for _, data in hot])
            pieces = [piece for wanted, _ in hot for piece in wanted]
            found = [image.symbols[piece.symbol(self._first)] for piece in pieces]
            image.symbols = {}
            blobs[f"places {name}"] = _places(
                [(piece.number, at, at + length) for piece, (at, length) in zip(pieces, found, strict=True)]
            )
            blobs[f"loops {name}"] = array("I", [piece.loop for piece in pieces]).tobytes()
        return Artefact(self._key, info, images, blobs)


def _places(rows: list[tuple[int, int, int]]) -> bytes:
    return array("I", [row[column] for column in range(3) for row in rows]).tobytes()


_open: dict[Ledger, weakref.ref[object]] = {}
_lock = RenewedLock()


def open_ledger(ledger: Ledger, owner: object) -> None:
    """Have a ledger saved when its owner is gone, or at the end. Those whose owners are gone are saved now."""
    with _lock.held:
        gone = [other for other, reference in _open.items() if reference() is None]
        for other in gone:
            del _open[other]
        _open[ledger] = weakref.ref(owner)
    for other in gone:
        other.save()


@atexit.register
def save_all() -> None:
    """Save every ledger."""
    with _lock.held:
        ledgers = list(_open)
        _open.clear()
    for ledger in ledgers:
        ledger.save()
