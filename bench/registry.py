"""What it takes to find out what lies at an address, with a million functions registered, with a hundred, and in the
design that wasmtime has: a sorted list, searched under a lock.

The functions are not compiled: a hundred of 64 bytes make a code object of two pages, as the pieces of a lazy module
are. The look-up of the signal handler is its own IR, called in a loop over addresses in random order.
"""

from __future__ import annotations

import ctypes
import gc
import random
import statistics
import threading
from array import array
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

import wasmark
from measure import OURS, Goal, Row, timed
from wasmark.compile.image import runtime_image_ir
from wasmark.compile.llvm import compile_ir
from wasmark.registry import (
    CodeModule,
    CodeObject,
    FrameInfo,
    is_wasm_trap_pc,
    lookup_frame_info,
    register_code,
    unregister_code,
)
from wasmark.registry.stencil_lines import StencilLines
from wasmark.runtime.code_memory import CodeMemory
from wasmark.runtime.elf import make_image
from wasmark.runtime.image import load
from wasmark.runtime.native import image_symbol

if TYPE_CHECKING:
    from collections.abc import Callable

FEW: Final = "100 functions"
SORTED: Final = "sorted list"
PER_CODE: Final = 100
CODES: Final = 10_000
SIZE: Final = 64
ROW: Final = 8
"""Bytes of machine code that belong to an instruction."""

PYTHON_LOOKUPS: Final = 10_000
WARM: Final = 100
"""Addresses that Python asks about, again and again."""

NATIVE_LOOKUPS: Final = 1_000_000

_LOOP: Final = """
define i64 @look_up_all(ptr %pcs, i64 %count) {
entry:
  br label %next
next:
  %i = phi i64 [ 0, %entry ], [ %i1, %next ]
  %found = phi i64 [ 0, %entry ], [ %found1, %next ]
  %place = getelementptr i64, ptr %pcs, i64 %i
  %pc = load i64, ptr %place
  %is = call i1 @is_wasm(i64 %pc) noinline
  %one = zext i1 %is to i64
  %found1 = add i64 %found, %one
  %i1 = add i64 %i, 1
  %more = icmp ult i64 %i1, %count
  br i1 %more, label %next, label %done
done:
  ret i64 %found1
}
"""


class SortedList:
    """Wasmtime's registry, in Python: code by its start, in order; readers and writers take a lock."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._starts: list[int] = []
        self._codes: list[CodeObject] = []

    def register(self, code: CodeObject) -> None:
        with self._lock:
            position = bisect_left(self._starts, code.text_start)
            self._starts.insert(position, code.text_start)
            self._codes.insert(position, code)

    def unregister(self, code: CodeObject) -> None:
        with self._lock:
            position = bisect_left(self._starts, code.text_start)
            assert self._codes[position] is code
            del self._starts[position], self._codes[position]

    def _find(self, pc: int) -> CodeObject | None:
        with self._lock:
            position = bisect_right(self._starts, pc) - 1
            code = self._codes[position] if position >= 0 else None
        return code if code is not None and pc < code.text_end else None

    def is_wasm_trap_pc(self, pc: int) -> bool:
        code = self._find(pc)
        return code is not None and code.trap_code(pc) is not None

    def lookup_frame_info(self, pc: int) -> FrameInfo | None:
        code = self._find(pc)
        found = code.find_function(pc) if code is not None else None
        if code is None or found is None:
            return None
        module = code.modules[found[0]].module
        return FrameInfo(module, found[1], None, pc, code) if module is not None else None


class Population:
    """A million functions, all or few of them registered."""

    def __init__(self) -> None:
        self.module = wasmark.Module("(module (func))", wasmark.Engine(wasmark.Config(strategy="eager")))
        instructions = PER_CODE * SIZE // ROW
        starts = array("I", range(0, PER_CODE * SIZE, ROW))
        lines = array("I", range(1, instructions + 1))
        marks = array("H", (number % 8 == 0 for number in range(instructions)))
        columns = ((), ((0, 64),))  # one in eight is an access to memory
        self.codes = []
        for _ in range(CODES):
            memory = CodeMemory.allocate(PER_CODE * SIZE)
            memory.publish()
            part = CodeModule(partial(self._functions, memory.base))
            part.attach(self.module)
            table = StencilLines(memory.base, starts, lines, marks, columns)
            end = memory.base + PER_CODE * SIZE
            self.codes.append(CodeObject(memory, memory.base, end, [part], lines=[table]))
        self.sorted = SortedList()
        for code in self.codes:
            self.sorted.register(code)
            register_code(code)
        gc.freeze()  # what is going to be here to the end is not to be looked at by each collection

    def pcs(self, few: bool, count: int) -> list[int]:
        """Addresses in functions, chosen at random: in one code object, or in all."""
        rng = random.Random(5)
        codes = self.codes[:1] if few else self.codes
        return [rng.choice(codes).text_start + rng.randrange(PER_CODE * SIZE) for _ in range(count)]

    def only_few(self) -> None:
        """Leave a hundred functions."""
        for code in self.codes[1:]:
            unregister_code(code)

    def all_again(self) -> None:
        """Register the others again."""
        for code in self.codes[1:]:
            register_code(code)

    @staticmethod
    def _functions(base: int) -> list[tuple[int, int, int]]:
        return [(number, base + SIZE * number, base + SIZE * (number + 1)) for number in range(PER_CODE)]


population: Final = cache(Population)


@cache
def _native_loop() -> Callable[[Any, int], int]:
    image = make_image([compile_ir(runtime_image_ir() + _LOOP, portable=True)])
    loaded = load(image, image_symbol)
    kept.append(loaded)
    function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p, ctypes.c_uint64)
    return function(loaded.symbols["look_up_all"][0])


kept: Final[list[object]] = []


@dataclass
class Case:
    """`work` takes `count` addresses, of which `distinct` differ, and answers what is measured: with all functions
    registered, and with few."""

    kind = "registry"
    name: str
    goals: tuple[Goal, ...]
    count: int
    distinct: int
    work: Callable[[list[int]], Callable[[], object]]
    sorted_work: Callable[[list[int]], Callable[[], object]] | None = None

    def measure(self, rounds: int) -> list[Row]:
        """One row."""
        people = population()
        everywhere, in_few = (people.pcs(few, self.distinct) * (self.count // self.distinct) for few in (False, True))
        many, few = self.work(everywhere), self.work(in_few)
        samples: dict[str, list[float]] = {OURS: [], FEW: []}
        in_order = None
        if self.sorted_work is not None:
            in_order = self.sorted_work(everywhere)
            samples[SORTED] = []
        for _ in range(min(rounds, 9)):
            many()  # the pages that were unregistered are looked at anew
            samples[OURS].append(timed(many))
            if in_order is not None:
                samples[SORTED].append(timed(in_order))
            people.only_few()
            few()
            samples[FEW].append(timed(few))
            people.all_again()
        values = {side: statistics.median(times) / self.count for side, times in samples.items()}
        return [Row(self.kind, self.name, "s", values, self.goals, note=f"{CODES * PER_CODE:,} functions")]


def _in_the_handler(pcs: list[int]) -> Callable[[], object]:
    loop = _native_loop()
    places = (ctypes.c_uint64 * len(pcs))(*pcs)

    def run() -> None:
        found = loop(places, len(pcs))
        assert found == len(pcs), "all of it is registered"

    return run


def _frames(look_up: Callable[[int], FrameInfo | None], pcs: list[int]) -> Callable[[], object]:
    def run() -> None:
        for pc in pcs:
            frame = look_up(pc)
            assert frame is not None
            frame.module_offset  # noqa: B018 - it is found out when it is asked for

    return run


def _traps(look_up: Callable[[int], bool], pcs: list[int]) -> Callable[[], object]:
    def run() -> int:
        return sum(map(look_up, pcs))

    return run


def _comings_and_goings(
    register: Callable[[CodeObject], None], unregister: Callable[[CodeObject], None], pcs: list[int]
) -> Callable[[], object]:
    codes = {code.text_start: code for code in population().codes}
    starts = sorted(codes)
    chosen = [codes[starts[bisect_right(starts, pc) - 1]] for pc in pcs]

    def run() -> None:
        for code in chosen:
            unregister(code)
            register(code)

    return run


def _sorted(name: str) -> Callable[[Any], Any]:
    return getattr(population().sorted, name)  # type: ignore[no-any-return]


CASES: Final = (
    Case(
        "look-up in the signal handler",
        (Goal(None, 100e-9), Goal(FEW, 1.2)),
        NATIVE_LOOKUPS,
        NATIVE_LOOKUPS,
        _in_the_handler,
    ),
    Case(
        "lookup_frame_info",
        (Goal(None, 2e-6), Goal(FEW, 1.2)),
        PYTHON_LOOKUPS,
        WARM,
        partial(_frames, lookup_frame_info),
        lambda pcs: _frames(_sorted("lookup_frame_info"), pcs),
    ),
    Case(
        "is_wasm_trap_pc",
        (Goal(None, 200e-9), Goal(FEW, 1.2)),
        PYTHON_LOOKUPS,
        WARM,
        partial(_traps, is_wasm_trap_pc),
        lambda pcs: _traps(_sorted("is_wasm_trap_pc"), pcs),
    ),
    Case(
        "unregister and register",
        (Goal(None, 5e-6), Goal(SORTED, 1)),
        PYTHON_LOOKUPS,
        WARM,
        partial(_comings_and_goings, register_code, unregister_code),
        lambda pcs: _comings_and_goings(_sorted("register"), _sorted("unregister"), pcs),
    ),
)
"""All that is measured, in the order of the table."""
