"""The process-wide registry of code: what lies at an address, for the whole process and for the signal handler.

Code memory consists of a few large arenas, so a page number is an index. Each arena has two arrays with a 32-bit word
a page:

    index   the id of the code object whose code is on the page, as long as that object lives; read by Python
    owners  the same id while the code is *registered*, else 0; read by the signal handler

The handler finds the second one through a table of fixed layout (little-endian, at `process_table_address()`):

    u64 count                                   arenas published so far
    8 x { u64 base; u64 size; u64 owners }      an arena, and the address of its `owners` array

An entry is complete before `count` is stored, a page's word changes in one store, and neither the table nor the
arrays are ever freed or moved: a reader needs no lock, whatever it interrupts. Neither finding an address nor
registering code depends on how many code objects there are.

Who makes code known or forgets it holds a lock. Registering does without: CPython changes threads, and calls signal
handlers, only where a function starts, behind a call, and where a loop goes back, so a look at a word and the store
that depends on it, with none of these in between, are one step.

Two tables are Python's own: for a page of registered code that somebody asked `is_wasm_trap_pc` about, a byte for each
address on it that says whether a trap can happen there; and the answers of late, by address.
"""

from __future__ import annotations

import ctypes
import itertools
import weakref
from array import array

from wasmark.registry.line_table import CATCHES
from wasmark.registry.watchers import announce, announce_end
from wasmark.runtime.catch_sites import forget_catch_sites, note_use
from wasmark.runtime.code_memory import MAX_ARENAS, PAGE_SHIFT, PAGE_SIZE, map_zeroed
from wasmark.runtime.retirement import Retirement

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Final, Literal

    from wasmark.registry.code_object import CodeObject
    from wasmark.runtime.code_memory import Arena, CodeMemory

_LARGEST_ID: Final = (1 << 32) - 1
_ENTRY_WORDS: Final = 3
_IN_PAGE: Final = PAGE_SIZE - 1


def _words(address: int, count: int, format_: Literal["I", "Q"]) -> memoryview[int]:
    """`count` native words at an address that stays mapped, as something that can be indexed."""
    size = count * array(format_).itemsize
    return memoryview((ctypes.c_char * size).from_address(address)).cast("B").cast(format_)


_table_address: Final = map_zeroed(8 * (1 + MAX_ARENAS * _ENTRY_WORDS))
_table: Final = _words(_table_address, 1 + MAX_ARENAS * _ENTRY_WORDS, "Q")
_retirement: Final = Retirement()

# (base, size, index, owners) of each published arena, in the order of the table. Replaced as a whole, never changed.
_arenas: tuple[tuple[int, int, memoryview[int], memoryview[int]], ...] = ()
_codes: Final[dict[int, weakref.ref[CodeObject]]] = {}
_lines: Final[dict[int, Callable[[int], tuple[int, int]]]] = {}  # what finds lines, which outlives the code object
_memories: Final[dict[int, CodeMemory]] = {}
"""What keeps the memory of code that the index knows: a finalizer that an exception ends before it has done anything is
lost, and then the pages have to stay somebody's."""

_traps: Final[dict[int, bytes]] = {}  # by page number: 1 for each address of registered code where a trap can happen
_answers: Final[dict[int, bool]] = {}  # by address: what `_traps` says of some of those on its pages
_MOST_ANSWERS: Final = 1 << 14
_ids = itertools.count(1)
_untrack = ctypes.pythonapi.PyObject_GC_UnTrack
_untrack.argtypes = [ctypes.py_object]


class Lease:
    """Held by a code object alone: when it goes, the code's memory is freed.

    The garbage collector does not know it. In a cycle it takes apart, it runs the callbacks of all weak references
    first, then `__del__` methods, which may still call the code (PEP 442), and only then are references given up: that
    is when this object goes.
    """

    __slots__ = ("__weakref__",)

    def __init__(self) -> None:
        _untrack(self)


def process_table_address() -> int:
    """Where the signal handler finds its table; the layout is at the head of this file."""
    return _table_address


def _arrays(arena: Arena) -> tuple[memoryview[int], memoryview[int]]:
    """The index and the owners of an arena; publishes it at its first use. Under the lock."""
    global _arenas
    for base, _, index, owners in _arenas:
        if base == arena.base:
            return index, owners
    pages = arena.size >> PAGE_SHIFT
    owners_address = map_zeroed(4 * pages)
    index, owners = _words(map_zeroed(4 * pages), pages, "I"), _words(owners_address, pages, "I")
    count = len(_arenas)
    entry = 1 + count * _ENTRY_WORDS
    _table[entry], _table[entry + 1], _table[entry + 2] = arena.base, arena.size, owners_address
    _arenas = (*_arenas, (arena.base, arena.size, index, owners))
    _table[0] = count + 1
    return index, owners


def _pages(code: CodeObject) -> slice:
    """The pages of a code object's text, as a slice of its arena's arrays."""
    base = code.code_memory.arena.base
    return slice((code.text_start - base) >> PAGE_SHIFT, (code.text_end - base + (1 << PAGE_SHIFT) - 1) >> PAGE_SHIFT)


def _same(value: int, count: int) -> memoryview[int]:
    """The words of so many pages."""
    return memoryview(array("I", [value]) * count)


def _new_id() -> int:
    global _ids
    while True:
        candidate = next(_ids)
        if candidate > _LARGEST_ID:
            _ids = itertools.count(1)
        elif candidate not in _codes:
            return candidate


def adopt(code: CodeObject) -> tuple[int, Lease, memoryview[int]]:
    """Enter a new code object into the index and answer its id, and the words of its pages that are its id while it is
    registered. `CodeObject` does this for itself.

    Its memory belongs to it from now on: when the code object goes, and with it the lease that only it may hold, it is
    unregistered, and then its memory is freed. Raises AssertionError where its code overlaps that of another one.
    """
    pages = _pages(code)
    lease = Lease()
    if pages.start == pages.stop:
        weakref.finalize(lease, code.code_memory.free).atexit = False
        return 0, lease, memoryview(array("I", [0]))

    def enter() -> tuple[int, memoryview[int]]:
        index, owners = _arrays(code.code_memory.arena)
        if any(index[pages]):
            raise AssertionError(f"code at {code.text_start:#x} overlaps other code")
        id_ = _new_id()
        # Before anything is entered: a signal handler may raise at every step, and the memory must not be freed while
        # the index still says whose it was.
        forget = (_forget, id_, index, owners, pages, code.code_memory)
        finalizer = weakref.finalize(lease, _retirement.retire, *forget)
        # At the end of the process other threads may still be running this code.
        finalizer.atexit = False
        _memories[id_] = code.code_memory
        _codes[id_] = weakref.ref(code)
        _lines[id_] = code.lines.find
        index[pages] = _same(id_, pages.stop - pages.start)
        return id_, owners[pages]

    id_, words = _retirement.locked(enter)
    return id_, lease, words


_listeners: list[Callable[[], None]] = []


def when_code_goes(forget: Callable[[], None]) -> None:
    """Have a function called whenever a code object goes, before other code can come to be at its addresses. It may be
    called in any thread and at any moment, and must not raise."""
    _listeners.append(forget)


def _forget(id_: int, index: memoryview[int], owners: memoryview[int], pages: slice, memory: CodeMemory) -> None:
    # In this order: no signal may be taken for ours when the pages already belong to nobody, or to somebody else.
    if index[pages.start] == id_:
        nothing = _same(0, pages.stop - pages.start)
        _forget_traps(memory.base, memory.base + memory.size)
        owners[pages] = nothing
        index[pages] = nothing
    _codes.pop(id_, None)
    _lines.pop(id_, None)
    announce_end(id_)
    forget_catch_sites()
    for forget in _listeners:
        forget()
    memory.free()
    _memories.pop(id_, None)


def find_id(pc: int) -> int:
    """The id of the code object whose pages `pc` is in; 0 for everything else, whatever `pc` is.

    It is still known when the object itself can no longer be found: in a garbage cycle that is being taken apart.
    """
    try:
        for base, size, index, _ in _arenas:
            offset = pc - base
            if 0 <= offset < size:
                return index[offset >> PAGE_SHIFT]
    except TypeError:
        pass
    return 0


def find_code(pc: int) -> CodeObject | None:
    """The code object whose code is at `pc`, registered or not. None for everything else, whatever `pc` is."""
    try:
        for base, size, index, _ in _arenas:
            offset = pc - base
            if 0 <= offset < size:
                code = _codes[index[offset >> PAGE_SHIFT]]()
                # A page may be longer than the code on it.
                return code if code is not None and code.text_start <= pc < code.text_end else None
    except (KeyError, TypeError):
        pass
    return None


def is_catch_site(return_address: int) -> bool:
    """Whether the call that returns there has a handler for exceptions. It is known of all code that can be running."""
    note_use()
    find = _lines.get(find_id(return_address - 1))
    return find is not None and find(return_address - 1)[1] == CATCHES


def lookup_code(pc: int) -> CodeObject | None:
    """The *registered* code object at `pc`: what the signal handler sees. None for everything else."""
    try:
        for base, size, _, owners in _arenas:
            offset = pc - base
            if 0 <= offset < size:
                code = _codes[owners[offset >> PAGE_SHIFT]]()
                return code if code is not None and code.text_start <= pc < code.text_end else None
    except (KeyError, TypeError):
        pass
    return None


def registered_codes() -> list[CodeObject]:
    """All code objects that the signal handler knows."""
    found = [reference() for reference in tuple(_codes.values())]
    return [code for code in found if code is not None and code.is_registered]


_WHOLE: Final = slice(None)


def register_code(code: CodeObject) -> None:
    """Make code known to the signal handler: from now on a fault in it is a wasm trap.

    Raises AssertionError where it is registered already. Code without any bytes is nothing to register.
    """
    if not ensure_registered(code) and code.id:
        raise AssertionError(f"code at {code.text_start:#x} is registered already")


def ensure_registered(code: CodeObject) -> bool:
    """Register code unless somebody did so before; whether nobody had."""
    announce(code)
    owners = code.owners
    words = _same(code.id, len(owners))
    # One step: see the head of this file.
    if owners[0] == 0:
        owners[_WHOLE] = words
        return code.id != 0
    return False


def unregister_code(code: CodeObject) -> None:
    """Take code out of the signal handler's sight again. Raises AssertionError where it is not registered."""
    owners, id_ = code.owners, code.id
    nothing = _same(0, len(owners))
    # One step: see the head of this file.
    if owners[0] == id_ and not code.has_traps_written_down:
        owners[_WHOLE] = nothing
    elif not _retirement.locked(lambda: _unregister(code, nothing)):
        raise AssertionError(f"code at {code.text_start:#x} is not registered")


def _unregister(code: CodeObject, nothing: memoryview[int]) -> bool:
    """The same under the lock; whether it was registered."""
    _forget_traps(code.text_start, code.text_end)
    code.has_traps_written_down = False
    registered = code.owners[0] == code.id
    code.owners[_WHOLE] = nothing
    return registered


def _forget_traps(start: int, end: int) -> None:
    for page in range(start >> PAGE_SHIFT, (end + _IN_PAGE) >> PAGE_SHIFT):
        _traps.pop(page, None)
    _answers.clear()  # also where no page was found: an exception may have come here the last time


def is_wasm_trap_pc(pc: int) -> bool:
    """Whether an instruction of registered code at exactly this address may stop with a wasm trap. False for everything
    else, whatever `pc` is."""
    if type(pc) is int:  # what only equals an address, as a float may, is none
        answer = _answers.get(pc)
        if answer is not None:
            return answer
    return _look_at(pc)


def _look_at(pc: int) -> bool:
    """The same of an address that was not asked about of late."""
    try:
        page = pc >> PAGE_SHIFT
        traps = _traps.get(page)
    except TypeError:
        return False
    if traps is None:
        code = lookup_code(pc)
        if code is None:
            return False
        traps = _write_down_traps(code, page)
    answer = traps[pc & _IN_PAGE] == 1
    if type(pc) is int:
        if len(_answers) >= _MOST_ANSWERS:
            _answers.clear()
        # One step: see the head of this file.
        if page in _traps and _traps[page] is traps:
            _answers[pc] = answer
    return answer


def _write_down_traps(code: CodeObject, page: int) -> bytes:
    """What `_traps` has for a page of registered code from now on."""
    traps = code.trap_map(page << PAGE_SHIFT, (page + 1) << PAGE_SHIFT)

    def enter() -> None:
        # Nobody unregisters it in the middle: see the head of this file.
        if code.owners[0] == code.id:
            code.has_traps_written_down = True
            _traps[page] = traps

    _retirement.locked(enter)
    return traps
