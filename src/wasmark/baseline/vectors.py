"""The instructions on vectors in the first tier.

A v128 is in two slots that lie one behind the other, so it is two entries of the stack, which are brought somewhere
like any others. They are never of different kinds: both stand for the halves of a local, or for constants, or are at
home.
"""

from __future__ import annotations

from wasmark.baseline.assembler import DEEP
from wasmark.baseline.operations import Operations, signed
from wasmark.compile.vector import LANES, VECTORS, is_natural
from wasmark.compile.vector_access import LANE_LOADS, LANE_STORES
from wasmark.core.opcodes import BY_NAME, OPCODES, Imm, Opcode
from wasmark.core.types import V128

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.binary import Instr

    Method = Callable[["Vectors", Opcode, Any], None]

_OF_VECTORS: Final = {
    BY_NAME[name]: Opcode(0, BY_NAME[name].code, f"{name} v128", Imm.LOCAL, None, BY_NAME[name].feature)
    for name in ("local.get", "local.set", "local.tee")
}
"""The instructions on locals, and what stands for them where the local is a v128."""

_HALF: Final = (1 << 64) - 1
_VECTOR_SLOTS: Final = 2


class Vectors(Operations):
    """Instructions that take or give a v128."""

    # --- locals -----------------------------------------------------------------------------------

    def with_slots(self, instrs: list[Instr]) -> list[Instr]:
        """The body with slots instead of locals."""
        types = list(self.context.params(self.function.type_index))
        for count, type_ in self.function.locals:
            types += [type_] * count
        slots = []
        at = 0
        for type_ in types:
            slots.append(at)
            at += _VECTOR_SLOTS if type_ is V128 else 1
        return [
            (_OF_VECTORS[row] if types[imm] is V128 else row, slots[imm], offset)
            if row in _OF_VECTORS
            else (row, imm, offset)
            for row, imm, offset in instrs
        ]

    def vector_get(self, row: Opcode, imm: int) -> None:
        slot = 8 * imm
        if len(self.stack) + _VECTOR_SLOTS <= DEEP:
            self.vectors.append(len(self.stack))
            self.stack += (slot, slot + 8)
        else:
            self.emit(self.library["copy v128"], a=slot, d=self.push_vector())

    def vector_set(self, row: Opcode, imm: int) -> None:
        self.vector_tee(row, imm)
        self.drop(row, imm)

    def vector_tee(self, row: Opcode, imm: int) -> None:
        slot = 8 * imm
        low, high = self.stack[-2:]
        if low == slot:
            return
        self.save(slot)
        self.save(slot + 8)
        if low >= 0:
            self.emit(self.library["copy v128"], a=low, d=slot)
        else:
            self.put(low, slot)
            self.put(high, slot + 8)

    # --- what only computes -----------------------------------------------------------------------

    def vector_const(self, row: Opcode, imm: int) -> None:
        self.vectors.append(len(self.stack))
        self.push_constant(signed(imm & _HALF, 64))
        self.push_constant(signed(imm >> 64, 64))

    def _compute(self, row: Opcode, stencil: str) -> None:
        assert row.sig is not None
        params, results = row.sig.split(":")
        slots = [self.pop_vector() if letter == "v" else self.pop_slot() for letter in reversed(params)]
        a, b, c, *_ = (*reversed(slots), 0, 0)
        d = self.push_vector() if results == "v" else self.push_home()
        self.emit(self.library[stencil], a=a, b=b, c=c, d=d)

    def vector(self, row: Opcode, imm: Any) -> None:
        natural = is_natural(row.name, deterministic=self.context.flavour.deterministic)
        self._compute(row, f"{row.name} natural" if natural else row.name)

    def lane(self, row: Opcode, imm: int) -> None:
        self._compute(row, f"{row.name} {imm}")

    def shuffle(self, row: Opcode, imm: tuple[int, ...]) -> None:
        """Swizzle each of the two by the lanes that are its own: an index beyond 15 gives 0."""
        library = self.library
        b, a = self.pop_vector(), self.pop_vector()
        depth = len(self.stack)
        to, other, mask = (self.home_of(depth + _VECTOR_SLOTS * i) for i in range(3))
        self.home_of(depth + 5)
        lanes = bytes(imm), bytes((lane - 16) % 256 for lane in imm)
        for vector, indices, d in ((a, lanes[0], to), (b, lanes[1], other)):
            for half in (0, 8):
                self.constants.append(int.from_bytes(indices[half : half + 8], "little", signed=True))
                self.put(-len(self.constants), mask + half)
            self.emit(library["i8x16.swizzle"], a=vector, b=mask, d=d)
        self.emit(library["v128.or"], a=to, b=other, d=self.push_vector())

    # --- lanes in memory --------------------------------------------------------------------------

    def load_lane(self, row: Opcode, imm: tuple[int, int, int, int]) -> None:
        load, replace = LANE_LOADS[row.name]
        vector = self.pop_vector()
        self.access(BY_NAME[load], imm[:3])
        lane = self.pop_slot()
        self.emit(self.library[f"{replace} {imm[3]}"], a=vector, b=lane, d=self.push_vector())

    def store_lane(self, row: Opcode, imm: tuple[int, int, int, int]) -> None:
        extract, store = LANE_STORES[row.name]
        vector = self.pop_vector()
        self.emit(self.library[f"{extract} {imm[3]}"], a=vector, d=self.push_home())
        self.access(BY_NAME[store], imm[:3])


_BY_NAME: Final[dict[str, Method]] = {
    **dict.fromkeys(VECTORS, Vectors.vector),
    **dict.fromkeys(LANES, Vectors.lane),
    **dict.fromkeys(LANE_LOADS, Vectors.load_lane),
    **dict.fromkeys(LANE_STORES, Vectors.store_lane),
    "i8x16.shuffle": Vectors.shuffle,
    "v128.const": Vectors.vector_const,
    "local.get v128": Vectors.vector_get,
    "local.set v128": Vectors.vector_set,
    "local.tee v128": Vectors.vector_tee,
}

VECTOR_METHODS: Final[dict[Opcode, Method]] = {
    row: _BY_NAME[row.name] for row in (*OPCODES, *_OF_VECTORS.values()) if row.name in _BY_NAME
}
"""What translates a row; the instructions on locals as `with_slots` has them."""
