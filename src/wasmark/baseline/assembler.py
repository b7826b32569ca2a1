"""Puts stencils one after the other, and keeps book of where operands are.

A function's values live in 8-byte slots of its frame (a v128 in two): first the locals, then a place for each depth of
the operand stack (its *home*). The stack here is virtual: an entry is the slot in which a value is at present, as an
offset in bytes (its home, or a local's slot, as long as that local is not set), or `~i` for the constant
`constants[i]`. So `local.get` and constants emit nothing.
"""

from __future__ import annotations

import struct
from array import array

from wasmark.baseline.stencil import CALLEE, TAKEN
from wasmark.compile.abi import signature, slot_count
from wasmark.core.flavour import STANDARD
from wasmark.core.object_layout import StructLayouts
from wasmark.core.types import V128, FuncType
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any, Final

    from wasmark.baseline.library import Library
    from wasmark.baseline.stencil import Stencil
    from wasmark.core.flavour import Flavour
    from wasmark.core.model import ModuleModel
    from wasmark.core.types import ValType
    from wasmark.runtime.layout import VMLayout

M32: Final = 0xFFFFFFFF
DEEP: Final = 64
"""Below this depth an entry may stand for a local's slot or a constant; deeper ones are copied, so that looking for
them stays cheap."""

_pack: Final = struct.Struct("<i").pack_into


class Fragment:
    """A translated function: the code of its entry and of its body, which belongs right behind the entry.

    relocations: (offset, kind, target, addend) in the body, for distances to a function of the module (CALLEE, by
    index), to the library's constants (RODATA, by place) or to a function of the process (EXTERNAL, by name). starts,
    lines, marks: for each stencil of the body, its offset, its instruction's offset in the module, and the number of
    its marks. `line` and `mark` are those of the entry. callees: the functions of the module that are called directly.
    """

    __slots__ = ("body", "callees", "entry", "func_index", "line", "lines", "mark", "marks", "relocations", "starts")

    def __init__(
        self,
        func_index: int,
        entry: tuple[bytes, int, int],
        body: bytearray,
        relocations: list[tuple[int, int, Any, int]],
        rows: tuple[list[int], list[int], list[int]],
        callees: list[int],
    ) -> None:
        self.func_index = func_index
        self.entry, self.line, self.mark = entry
        self.body = body
        self.relocations = relocations
        self.starts = array("I", rows[0])
        self.lines = array("I", rows[1])
        self.marks = array("H", rows[2])
        self.callees = callees


class Label:
    """A structured control instruction that is open (core §4.2.8): `carried` is how many slots a branch to it takes
    along, `results` how many are there at its end, `height` the depth of the stack below them. `vectors` and
    `param_vectors` are the slots among the results, or the parameters of an `if`, where a v128 begins. `position` is
    known from the start for loops only; until then `fixups` are the fields (offset, addend) that want to know it."""

    __slots__ = (
        *("carried", "else_fixups", "fixups", "handler", "height", "is_loop", "own_handler", "param_vectors", "params"),
        *("position", "results", "vectors"),
    )

    def __init__(self, carried: int, results: int, height: int, *, is_loop: bool = False) -> None:
        self.carried = carried
        self.results = results
        self.height = height
        self.is_loop = is_loop
        self.position = -1
        self.fixups: list[tuple[int, int]] = []
        self.else_fixups: list[tuple[int, int]] | None = None  # of an `if` before its `else`
        self.params = 0
        self.vectors: tuple[int, ...] = ()
        self.param_vectors: tuple[int, ...] = ()
        self.handler: Handler | None = None  # where exceptions go that are thrown directly inside
        self.own_handler: Handler | None = None


class Handler:
    """A `try_table` or legacy `try` that is open: `fixups` are the fields of its guarded calls that lead to it."""

    __slots__ = ("clauses", "complete", "fixups", "is_open", "is_used")

    def __init__(self, clauses: tuple[tuple[int, int, int], ...] = ()) -> None:
        self.clauses = clauses  # of a `try_table`
        self.fixups: list[tuple[int, int]] = []
        self.is_used = False
        self.is_open = False  # whether the code of a legacy handler is being translated
        self.complete = False  # whether that is the one of all


def vector_places(types: Sequence[ValType]) -> tuple[int, ...]:
    """The slots, among those of values of these types, where a v128 begins."""
    if V128 not in types:
        return ()
    places = []
    at = 0
    for type_ in types:
        if type_ is V128:
            places.append(at)
            at += 1
        at += 1
    return tuple(places)


class Context:
    """What the translation of all functions of a module has in common.

    lazy: whether functions are called through the module's table of functions, for they may not be there yet. counted:
    whether functions and loops count how often they run, in that table.
    """

    def __init__(
        self,
        model: ModuleModel,
        layout: VMLayout,
        library: Library,
        flavour: Flavour = STANDARD,
        *,
        lazy: bool = False,
        counted: bool = False,
    ) -> None:
        self.flavour = flavour
        self.lazy = lazy
        self.counted = counted
        self.model = model
        self.layout = layout
        self.library = library
        self.imported_functions = model.imported["func"]
        self.imported_globals = model.imported["global"]
        self.structs = StructLayouts(model.types)
        self._signatures: dict[int, tuple[int, int, str]] = {}

    def signature(self, type_index: int) -> tuple[int, int, str]:
        """(slots of the parameters, slots of the results, ABI string) of a function type."""
        found = self._signatures.get(type_index)
        if found is None:
            type_ = self.model.types[type_index].composite
            assert isinstance(type_, FuncType)
            text = signature(type_)
            found = self._signatures[type_index] = (slot_count(type_.params), slot_count(type_.results), text)
        return found

    def params(self, type_index: int) -> tuple[ValType, ...]:
        """The parameters of a function type."""
        type_ = self.model.types[type_index].composite
        assert isinstance(type_, FuncType)
        return type_.params


class Assembler:
    """The code of one function while it is made."""

    def __init__(self, context: Context, defined_index: int) -> None:
        self.context = context
        self.library = context.library
        self.model = context.model
        self.layout = context.layout
        self.function = context.model.functions[defined_index]
        self.number = defined_index
        self.func_index = context.imported_functions + defined_index
        # Counters come behind the addresses in the table of functions, 4 bytes each.
        self.counter = 8 * len(context.model.functions) + 4 * defined_index
        self.out = bytearray()
        self.starts: list[int] = []
        self.lines: list[int] = []
        self.marks: list[int] = []
        self.relocations: list[tuple[int, int, Any, int]] = []
        self.callees: list[int] = []
        self.hot: list[tuple[int, list[tuple[int, int]], Label]] = []  # see `Control.count`
        self.stack: list[int] = []
        self.vectors: list[int] = []  # the depths of the stack where a v128 begins
        self.constants: list[int] = []  # signed
        self.labels: list[Label] = []
        self.dead = False
        self.calls = False  # whether anything that takes stack of its own is called
        self.leaves = False  # whether it may end in a tail call
        self.offset = self.function.entry
        self.home = 0  # of the stack's bottom
        self.high = 0  # the highest home in use

    # --- stencils ---------------------------------------------------------------------------------

    def emit(
        self,
        stencil: Stencil,
        a: int = 0,
        b: int = 0,
        c: int = 0,
        d: int = 0,
        x: int = 0,
        y: int = 0,
        z: int = 0,
        taken: Label | list[tuple[int, int]] | None = None,
        callee: int = 0,
    ) -> None:
        """Append a stencil with its holes filled in; `taken` is where its branch goes."""
        at = len(self.out)
        self.starts.append(at)
        self.lines.append(self.offset)
        self.marks.append(stencil.mark)
        s = stencil
        number = s.number + a * s.A + b * s.B + c * s.C + d * s.D + x * s.X + y * s.Y + z * s.Z
        self.out += number.to_bytes(s.size, "little")
        if s.relocations:
            self.relocate(at, s.relocations, taken, callee)

    def relocate(
        self,
        at: int,
        relocations: tuple[tuple[int, int, Any, int], ...],
        taken: Label | list[tuple[int, int]] | None = None,
        callee: int = 0,
    ) -> None:
        """Fill in, or note for later, the distances of a stencil that starts at `at`."""
        for offset, kind, target, addend in relocations:
            offset += at
            if kind == TAKEN:
                assert taken is not None
                if isinstance(taken, list):
                    taken.append((offset, addend))
                elif taken.position >= 0:
                    _pack(self.out, offset, taken.position - offset + addend)
                else:
                    taken.fixups.append((offset, addend))
            else:
                self.relocations.append((offset, kind, callee if kind == CALLEE else target, addend))

    def bind(self, fixups: list[tuple[int, int]]) -> None:
        """Let these fields lead here."""
        here = len(self.out)
        for offset, addend in fixups:
            _pack(self.out, offset, here - offset + addend)

    # --- operands ---------------------------------------------------------------------------------

    def home_of(self, depth: int) -> int:
        """The slot that belongs to a depth of the stack."""
        slot = self.home + SLOT_SIZE * depth
        if slot > self.high:
            self.high = slot
        return slot

    def put(self, entry: int, slot: int) -> None:
        """Bring the value of a stack entry into a slot."""
        if entry >= 0:
            if entry != slot:
                self.emit(self.library["copy"], a=entry, d=slot)
            return
        value = self.constants[~entry]
        if -0x80000000 <= value <= 0x7FFFFFFF:
            self.emit(self.library["constant"], d=slot, x=value & M32)
        else:
            self.emit(self.library["constant wide"], d=slot, x=value & M32, y=value >> 32 & M32)

    def slot_of(self, entry: int, depth: int) -> int:
        """A slot with the value of an entry; a constant gets the home of `depth`."""
        if entry >= 0:
            return entry
        home = self.home_of(depth)
        self.put(entry, home)
        return home

    def pop_slot(self) -> int:
        """Pop an operand; a slot with its value."""
        entry = self.stack.pop()
        return entry if entry >= 0 else self.slot_of(entry, len(self.stack))

    def pop_wide(self, *, is64: bool) -> int:
        """Pop an address, index or length; a slot with it as an i64."""
        entry = self.stack.pop()
        depth = len(self.stack)
        if entry < 0:
            if not is64:
                self.constants.append(self.constants[~entry] & M32)
                entry = -len(self.constants)
            return self.slot_of(entry, depth)
        if is64:
            return entry
        home = self.home_of(depth)
        self.emit(self.library["i64.extend_i32_u"], a=entry, d=home)
        return home

    def push_constant(self, value: int) -> None:
        """Push a signed constant."""
        entry = ~len(self.constants)
        self.constants.append(value)
        if len(self.stack) < DEEP:
            self.stack.append(entry)
        else:
            self.put(entry, self.push_home())

    def push_home(self) -> int:
        """Push a value that the next stencil writes; the slot to write it to."""
        slot = self.home_of(len(self.stack))
        self.stack.append(slot)
        return slot

    def push_vector(self) -> int:
        """Push a v128 that the next stencil writes; the first slot to write it to."""
        self.vectors.append(len(self.stack))
        slot = self.push_home()
        self.push_home()
        return slot

    def pop_vector(self) -> int:
        """Pop a v128; the first of the slots with its value."""
        self.vectors.pop()
        stack = self.stack
        high, low = stack.pop(), stack.pop()
        if low >= 0:
            return low
        depth = len(stack)
        self.slot_of(high, depth + 1)
        return self.slot_of(low, depth)

    def top_is_vector(self) -> bool:
        """Whether the operand on top is a v128."""
        return bool(self.vectors) and self.vectors[-1] == len(self.stack) - 2

    def cut(self, height: int) -> None:
        """Take away what is above a depth of the stack."""
        del self.stack[height:]
        vectors = self.vectors
        while vectors and vectors[-1] >= height:
            vectors.pop()

    def push_homes(self, count: int, vectors: Iterable[int]) -> None:
        """Push what is at home in so many slots; `vectors` are those among them where a v128 begins."""
        height = len(self.stack)
        for depth in range(height, height + count):
            self.stack.append(self.home_of(depth))
        self.vectors += [height + place for place in vectors]

    def settle(self, first: int) -> None:
        """Bring all entries from depth `first` on to their homes."""
        stack = self.stack
        for depth in range(first, len(stack)):
            slot = self.home_of(depth)
            self.put(stack[depth], slot)
            stack[depth] = slot

    def save(self, slot: int) -> None:
        """Bring the entries that stand for the local in `slot` to their homes: it is about to change."""
        stack = self.stack
        for depth, entry in enumerate(stack[:DEEP]):
            if entry == slot:
                stack[depth] = home = self.home_of(depth)
                self.put(entry, home)

    def save_all(self) -> None:
        """Bring all entries that stand for locals to their homes: what comes now may or may not run, or run again.
        Constants as well, where optimised code may want to find them."""
        stack = self.stack
        home = self.home
        least = -len(self.constants) if self.context.counted else 0
        # What is below the innermost label has been saved when that was opened.
        for depth in range(self.labels[-1].height if self.labels else 0, min(len(stack), DEEP)):
            entry = stack[depth]
            if least <= entry < home:
                stack[depth] = slot = self.home_of(depth)
                self.put(entry, slot)
