"""`CodeObject`: one piece of loaded code, and everything that is known about its addresses.

It owns its code memory, and lives as long as the modules that run on it: they hold it, it holds them only weakly.
Usually it is the code of one module; the code of a component is that of several.
"""

from __future__ import annotations

import ctypes
import weakref
from array import array
from bisect import bisect_left, bisect_right
from operator import itemgetter

from wasmark.core.record import Record
from wasmark.errors import TrapCode
from wasmark.registry import process_table
from wasmark.registry.line_table import MEMORY_ACCESS, decode_line_programs
from wasmark.runtime.image import LineSource

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Final, Protocol

    from wasmark.core.model import ModuleModel
    from wasmark.runtime.code_memory import CodeMemory
else:
    Protocol = object


THUNKS: Final = "thunk"
"""What a lazy module's functions are called through, and what has them compiled."""

FIRST_TIER: Final = "first"
OPTIMISED: Final = "optimised"


class Lines(Protocol):
    """A table of lines and columns, as `line_table` explains them."""

    @property
    def base(self) -> int:
        """The lowest address that it knows."""

    def find(self, address: int) -> tuple[int, int]:
        """(line, column) of an address; (0, 0) where the table says nothing."""

    def rows(self, start: int = 0, end: int = 1 << 64) -> list[tuple[int, int, int]]:
        """The rows as (start address, line, column) that hold somewhere in [start, end); the first may start before."""


class RegisteredModule(Protocol):
    """What the registry needs of a module; `wasmark.Module` is one."""

    @property
    def model(self) -> ModuleModel:
        """The decoded module."""

    @property
    def name(self) -> str | None:
        """What the module is called in messages, where its name section says nothing."""

    @property
    def wants_debug_info(self) -> bool:
        """Whether tracebacks of Python's are to have source positions out of its debug information."""

    def code_object(self) -> CodeObject | None:
        """Its code; None where it has no functions of its own."""

    def finished_functions(self) -> Iterable[tuple[int, int, int]]:
        """(function index, start, end exclusive) of its compiled functions."""


class GrowingModule(RegisteredModule, Protocol):
    """A module that is compiled bit by bit."""

    def code_objects(self) -> Sequence[CodeObject]:
        """All of its code by now; what comes later stands behind what was there before."""


def _trap_instruction(code: int) -> bytes:
    """`ud1l code(%eax), %eax`: what LLVM makes of `llvm.ubsantrap(code)`."""
    return bytes((0x67, 0x0F, 0xB9, 0x40, code))


_TRAP_INSTRUCTION_SIZE: Final = 5
_MOST_PLACES: Final = 1 << 12
_STACK_PROBE: Final = bytes.fromhex("48c7042400000000")
"""`mov qword ptr [rsp], 0`: with it, a function with a large frame touches each page of it before its first line."""
# By the column of the line table: the trap, and the instruction that has to be there (None: any).
_TRAPS: Final[list[tuple[TrapCode | None, bytes | None]]] = [(None, None)] * 256
for _code in TrapCode:
    _TRAPS[_code] = (_code, _trap_instruction(_code))
_TRAPS[MEMORY_ACCESS] = (TrapCode.MEMORY_OUT_OF_BOUNDS, None)


class CodeModule:
    """The part of a code object that belongs to one module.

    functions: (function index, start, end exclusive), absolute addresses, sorted here by address. A function may have
    several ranges. Where it is a callable, which answers them, it is called when they are asked for. tier: where the
    code comes from, THUNKS, FIRST_TIER or OPTIMISED.
    """

    __slots__ = ("_by_index", "_functions", "_module", "tier")

    def __init__(
        self,
        functions: Iterable[tuple[int, int, int]] | Callable[[], Iterable[tuple[int, int, int]]],
        tier: str = OPTIMISED,
    ) -> None:
        self._functions = functions if callable(functions) else _sorted(functions)
        self.tier = tier
        self._module: weakref.ref[RegisteredModule] | None = None
        self._by_index: dict[int, list[tuple[int, int]]] | None = None

    @property
    def functions(self) -> list[tuple[int, int, int]]:
        """(function index, start, end exclusive) by address."""
        functions = self._functions
        if not isinstance(functions, list):
            functions = self._functions = _sorted(functions())
        return functions

    @property
    def listed(self) -> bool:
        """Whether the functions are known without calling anything."""
        return isinstance(self._functions, list)

    def attach(self, module: RegisteredModule) -> None:
        """Say whose code this is. The module is held weakly; the first one that lives stays."""
        if self.module is None:
            self._module = weakref.ref(module)

    @property
    def module(self) -> RegisteredModule | None:
        """The module whose code this is, while it lives."""
        return self._module() if self._module is not None else None

    def __repr__(self) -> str:
        functions = f", {len(self.functions):,} functions" if self.listed else ""
        return f"<CodeModule {self.tier}{functions}, of {self.module!r}>"

    def ranges(self, func_index: int) -> list[tuple[int, int]]:
        """Every (start, end exclusive) of a function here; empty where it has none."""
        by_index = self._by_index
        if by_index is None:
            by_index = {}
            for index, start, end in self.functions:
                by_index.setdefault(index, []).append((start, end))
            self._by_index = by_index
        return list(by_index.get(func_index, ()))


def _sorted(functions: Iterable[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    return sorted(functions, key=itemgetter(1))


class _Index(Record):
    """All functions of a code object by address. `starts` is a list because it is searched: an array would make a new
    number at each step."""

    __slots__ = ("ends", "func_indices", "module_numbers", "starts")

    def __init__(
        self, starts: list[int], ends: array[int], func_indices: array[int], module_numbers: array[int]
    ) -> None:
        self.starts = starts
        self.ends = ends
        self.func_indices = func_indices
        self.module_numbers = module_numbers


class CodeLines:
    """The line tables of a code object; it knows nothing of that, and may be asked when it can no longer be found."""

    __slots__ = ("_starts", "_tables")

    def __init__(self, sources: Iterable[LineSource], lines: Iterable[Lines]) -> None:
        tables: list[tuple[int, LineSource | Lines]] = [(source.start, source) for source in sources]
        tables += [(table.base, table) for table in lines]
        tables.sort(key=itemgetter(0))
        self._starts = [start for start, _ in tables]
        self._tables = [table for _, table in tables]

    def find(self, pc: int) -> tuple[int, int]:
        """(line, column) of `pc` as `line_table` explains them; (0, 0) where nothing is known."""
        position = bisect_right(self._starts, pc) - 1
        if position < 0:
            return 0, 0
        return self._table(position).find(pc)

    def _table(self, position: int) -> Lines:
        table = self._tables[position]
        if isinstance(table, LineSource):
            table = decode_line_programs(table.program, table.start, table.end, table.bias)
            self._tables[position] = table
        return table

    def tables(self) -> list[Lines]:
        """The decoded line tables, in the order of their addresses."""
        return [self._table(position) for position in range(len(self._starts))]

    def stretches(self, start: int, end: int) -> list[tuple[int, int, int, int]]:
        """All of [start, end) as (start, end exclusive, line, column), in the order of addresses: what `find` says of
        every byte in it."""
        first = max(0, bisect_right(self._starts, start) - 1)
        last = bisect_left(self._starts, end)
        borders = [*self._starts[first + 1 : last], end]
        found = []
        at = start
        for position, border in enumerate(borders, first):
            rows = self._table(position).rows(at, border) if self._tables else []
            line = column = 0
            for begins, next_line, next_column in rows:
                if begins > at:
                    found.append((at, begins, line, column))
                    at = begins
                line, column = next_line, next_column
            if border > at:
                found.append((at, border, line, column))
                at = border
        return found


class CodeObject:
    """Loaded code: [text_start, text_end) inside `code_memory`, which belongs to this object from now on.

    modules: what belongs to whom. trampolines: signature string -> address of the code that calls such functions from
    outside. line_sources: line programs by address range, as `runtime.image` makes them; decoded at the first look.
    lines: tables that need no decoding. places: what `place` found of late, by address. `owners` and
    `has_traps_written_down` belong to `process_table`.
    Raises AssertionError where functions overlap or leave the text, or where the text overlaps that of another code
    object. A module that lists its functions when they are asked for is checked then.
    """

    __slots__ = (
        "__weakref__",
        "_index",
        "_lease",
        "_text",
        "code_memory",
        "has_traps_written_down",
        "id",
        "lines",
        "modules",
        "owners",
        "places",
        "text_end",
        "text_start",
        "trampolines",
    )

    def __init__(
        self,
        code_memory: CodeMemory,
        text_start: int,
        text_end: int,
        modules: Sequence[CodeModule] = (),
        trampolines: Mapping[str, int] | None = None,
        line_sources: Iterable[LineSource] = (),
        lines: Iterable[Lines] = (),
    ) -> None:
        if not code_memory.base <= text_start <= text_end <= code_memory.base + code_memory.size:
            raise AssertionError(f"the text [{text_start:#x}, {text_end:#x}) leaves its code memory")
        self.code_memory = code_memory
        self.text_start = text_start
        self.text_end = text_end
        self.modules = tuple(modules)
        self.trampolines = dict(trampolines or {})
        self.lines = CodeLines(line_sources, lines)
        self._index = self._index_functions() if all(module.listed for module in self.modules) else None
        self.places: dict[int, tuple[int, int, int, int] | None] = {}
        size = text_end - text_start
        self._text = memoryview((ctypes.c_ubyte * size).from_address(text_start)).cast("B")
        self.id, self._lease, self.owners = process_table.adopt(self)
        self.has_traps_written_down = False

    def _index_functions(self) -> _Index:
        rows = [
            (start, end, func_index, number)
            for number, module in enumerate(self.modules)
            for func_index, start, end in module.functions
        ]
        rows.sort()
        previous = self.text_start
        for start, end, func_index, _ in rows:
            if not previous <= start <= end <= self.text_end:
                raise AssertionError(f"function {func_index} at {start:#x} overlaps another one or leaves the text")
            previous = end
        return _Index(
            [row[0] for row in rows],
            array("Q", [row[1] for row in rows]),
            array("I", [row[2] for row in rows]),
            array("I", [row[3] for row in rows]),
        )

    def __repr__(self) -> str:
        parts = ", ".join(map(repr, self.modules)) if len(self.modules) < 4 else f"{len(self.modules)} modules"
        where = f"[{self.text_start:#x}, {self.text_end:#x})"
        return (
            f"<CodeObject {self.id} at {where}: {parts or 'no module'}{'' if self.is_registered else ', unregistered'}>"
        )

    @property
    def is_registered(self) -> bool:
        """Whether the signal handler knows this code; True where there is none."""
        return self.owners[0] == self.id

    @property
    def text(self) -> bytes:
        """A copy of the code."""
        return bytes(self._text)

    def find_function(self, pc: int) -> tuple[int, int] | None:
        """(number of the module in `modules`, function index) at `pc`; None between functions and outside."""
        index = self._index
        if index is None:
            index = self._index = self._index_functions()
        position = bisect_right(index.starts, pc) - 1
        if position < 0 or pc >= index.ends[position]:
            return None
        return index.module_numbers[position], index.func_indices[position]

    def place(self, pc: int) -> tuple[int, int, int, int] | None:
        """What `find_function` and `find_line` say of `pc`, in one tuple, and are not asked a second time: for frames,
        which are at the same few places again and again. None where no function is."""
        try:
            return self.places[pc]
        except KeyError:
            found = self.find_function(pc)
            if len(self.places) >= _MOST_PLACES:
                self.places.clear()
            return self.places.setdefault(pc, None if found is None else (*found, *self.find_line(pc)))

    def find_line(self, pc: int) -> tuple[int, int]:
        """(line, column) of `pc` as `line_table` explains them; (0, 0) where nothing is known."""
        return self.lines.find(pc)

    def line_tables(self) -> list[Lines]:
        """The decoded line tables, in the order of their addresses."""
        return self.lines.tables()

    def trap_code(self, pc: int) -> TrapCode | None:
        """Why the instruction at exactly `pc` would stop with a wasm trap, or None where it would not."""
        if not self.text_start <= pc < self.text_end:
            return None
        line, column = self.find_line(pc)
        code, instruction = _TRAPS[column]
        offset = pc - self.text_start
        if instruction is not None:
            if self._text[offset : offset + _TRAP_INSTRUCTION_SIZE] != instruction:
                return None
        elif not line and self._text[offset : offset + len(_STACK_PROBE)] == _STACK_PROBE:
            return TrapCode.STACK_OVERFLOW if self.find_function(pc) is not None else None
        return code

    def trap_map(self, start: int, end: int) -> bytes:
        """A byte for each address of [start, end): 1 where `trap_code` has an answer, else 0."""
        found = bytearray(end - start)
        first = max(start, self.text_start)
        for begin, behind, line, column in self.lines.stretches(first, max(first, min(end, self.text_end))):
            code, instruction = _TRAPS[column]
            if code is not None and instruction is None:
                found[begin - start : behind - start] = b"\1" * (behind - begin)
            elif wanted := instruction or (None if line else _STACK_PROBE):
                for pc in self._occurrences(wanted, begin, behind):
                    found[pc - start] = instruction is not None or self.find_function(pc) is not None
        return bytes(found)

    def trap_sites(self, start: int, end: int) -> int:
        """How many instructions of wasm, or parts of them, have machine code in [start, end) that may trap."""
        traps = self.trap_map(start, end)
        return sum(
            1 in traps[begin - start : behind - start] for begin, behind, _, _ in self.lines.stretches(start, end)
        )

    def _occurrences(self, instruction: bytes, start: int, end: int) -> Iterator[int]:
        """Where in [start, end) an instruction starts."""
        base = self.text_start
        text = bytes(self._text[start - base : end - base + len(instruction) - 1])
        at = text.find(instruction)
        while at >= 0:
            yield start + at
            at = text.find(instruction, at + 1)
