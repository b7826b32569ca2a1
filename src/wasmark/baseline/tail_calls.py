"""Tail calls in the first tier.

The frame belongs to the entry, so the body cannot leave it: it puts the arguments into the store, from where the entry
takes them into the registers (see `signatures`), and answers who is to be called. All other ways out of such a body
answer nobody.
"""

from __future__ import annotations

from wasmark.baseline.control import Control
from wasmark.compile.abi import Places
from wasmark.runtime import layout as L  # noqa: N812 - a page of names, read like a table

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.core.opcodes import Opcode


class TailCalls(Control):
    """The instructions that leave a function by calling another one."""

    def return_call(self, row: Opcode, imm: int) -> None:
        self._leave_by(self.model.func_types[imm], *self.find_function(imm))

    def return_call_indirect(self, row: Opcode, imm: tuple[int, int]) -> None:
        self.find_element(imm)
        self._leave_by(imm[0], *self.open_reference())

    def return_call_ref(self, row: Opcode, imm: int) -> None:
        self.find_reference()
        self._leave_by(imm, *self.open_reference())

    def _leave_by(self, type_index: int, code: int, context: int) -> None:
        self.calls = True
        count, _, text = self.context.signature(type_index)
        height = len(self.stack) - count
        slots = [self.slot_of(entry, depth) for depth, entry in enumerate(self.stack[height:], height)]
        places = Places(text)
        register = self.library["tail register"]
        self.emit(register, a=context, x=L.STORE_TAIL_CONTEXT)
        for place in places.integers:
            self.emit(register, a=slots[place.slot], x=L.STORE_TAIL_INTEGERS + 8 * place.at)
        for stencil, group, first, step in (
            (register, places.floats, L.STORE_TAIL_FLOATS, 16),
            (self.library["tail word"], places.stacked, L.TAIL_FIRST, 1),
        ):
            for place in group:
                at = first + step * place.at
                self.emit(stencil, a=slots[place.slot], x=at)
                if place.letter == "v":
                    self.emit(stencil, a=slots[place.slot + 1], x=at + 8)
        if places.stacked:
            self.emit(self.library["tail spread"], a=code, d=code, x=places.stack_words)
        self.emit(self.library["leave"], a=code)
        self.dead = True
