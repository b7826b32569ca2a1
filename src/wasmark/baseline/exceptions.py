"""Exceptions in the first tier: the same as `compile.exceptions`, with stencils.

What is caught lies in a home above the values that it is to give. In the code of a legacy handler it is an entry of the
stack below all that this code has there, so that it can be thrown again.
"""

from __future__ import annotations

from wasmark.baseline.assembler import Handler, Label
from wasmark.baseline.tail_calls import TailCalls
from wasmark.compile.abi import slot_count
from wasmark.compile.exceptions import value_place
from wasmark.core.opcodes import BY_NAME, CATCH, CATCH_ALL, CATCH_ALL_REF, CATCH_REF
from wasmark.core.types import V128
from wasmark.runtime.layout import SLOT_SIZE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.core.opcodes import Opcode
    from wasmark.core.types import ValType

_BLOCK: Final = BY_NAME["block"]


class Exceptions(TailCalls):
    """The instructions that throw, and the blocks that catch."""

    # --- throwing ---------------------------------------------------------------------------------

    def throw(self, row: Opcode, imm: int) -> None:
        types = self._types(imm)
        height = len(self.stack) - slot_count(types)
        self.settle(height)
        exception = self.home_of(len(self.stack))
        self.calls = True
        self.emit(self.library["exception new"], d=exception, x=self.layout.tag(imm), y=len(types))
        put = self.library["exception put"]
        for number, type_ in enumerate(types):
            for half in range(slot_count((type_,))):
                self.emit(put, a=exception, b=self.stack[height], x=value_place(number) + SLOT_SIZE * half)
                height += 1
        self._throw(exception)

    def throw_ref(self, row: Opcode, imm: Any) -> None:
        exception = self.pop_slot()
        self.emit(self.library["throw_ref"], a=exception)
        self._throw(exception)

    def rethrow(self, row: Opcode, imm: int) -> None:
        self._throw(self.stack[self.labels[-1 - imm].height])

    def _throw(self, exception: int) -> None:
        handler = self.labels[-1].handler
        if handler is not None:
            self.emit(self.library["exception set"], a=exception)
            self._pass_on(handler)
        else:
            self.calls = True
            self.emit(self.library["throw"], a=exception)
        self.dead = True

    def _pass_on(self, handler: Handler | None) -> None:
        """Let the exception that is on its way go to a handler of this function, or to that of a caller."""
        if handler is not None:
            handler.is_used = True
            self.emit(self.library["jump"], taken=handler.fixups)
            return
        self.calls = True
        exception = self.home_of(len(self.stack))
        self.emit(self.library["exception pending"], d=exception)
        self.emit(self.library["exception clear"])
        self.emit(self.library["throw"], a=exception)

    def _types(self, tag: int) -> tuple[ValType, ...]:
        """The types of the values that exceptions of a tag have."""
        return self.context.params(self.model.tag_types[tag].type_index)

    # --- catching ---------------------------------------------------------------------------------

    def try_table(self, row: Opcode, imm: Any) -> None:
        block, clauses = imm
        self._try(block, Handler(clauses))

    def try_(self, row: Opcode, imm: Any) -> None:
        self._try(imm, Handler())

    def _try(self, block: Any, handler: Handler) -> None:
        self.block(_BLOCK, block)
        label = self.labels[-1]
        label.handler = label.own_handler = handler

    def _finish(self, label: Label) -> None:
        """The end of a body, or of the code of a handler: where it is reached it goes on behind the whole block."""
        if not self.dead:
            self.carry(label.height, label.carried)
            self.emit(self.library["jump"], taken=label)
        self.cut(label.height)

    def _arrive_at(self, handler: Handler) -> None:
        """Where guarded calls go, and what is thrown."""
        self.bind(handler.fixups)
        handler.fixups = []

    def _take_caught(self, exception: int, kind: int, tag: int) -> None:
        """Push what a clause gives."""
        self.emit(self.library["exception clear"])
        if kind < CATCH_ALL:
            word = self.library["word"]
            for number, type_ in enumerate(self._types(tag)):
                if type_ is V128:
                    slot = self.push_vector()
                    self.emit(word, a=exception, d=slot + SLOT_SIZE, x=value_place(number) + SLOT_SIZE)
                else:
                    slot = self.push_home()
                self.emit(word, a=exception, d=slot, x=value_place(number))
        if kind in (CATCH_REF, CATCH_ALL_REF):
            self.stack.append(exception)

    def end(self, row: Opcode, imm: Any) -> None:
        label = self.labels[-1]
        if label.own_handler is not None:
            self._close(label, label.own_handler)
        super().end(row, imm)

    def _close(self, label: Label, handler: Handler) -> None:
        """What comes before the `end` of a block that has a handler of its own."""
        if handler.is_open:
            self._finish(label)
            if handler.is_used and not handler.complete:
                self._arrive_at(handler)
                self._pass_on(self.labels[-2].handler)
            self.dead = True
        elif handler.is_used:
            self._finish(label)
            self._arrive_at(handler)
            self._clauses(label, handler)
            self.dead = True

    def _clauses(self, label: Label, handler: Handler) -> None:
        given = (slot_count(self._types(tag)) for kind, tag, _ in handler.clauses if kind < CATCH_ALL)
        most = max(given, default=0)
        exception = self.home_of(label.height + most)
        self.emit(self.library["exception pending"], d=exception)
        for kind, tag, target in handler.clauses:
            other: list[tuple[int, int]] = []
            if kind < CATCH_ALL:
                self.emit(self.library["exception unless"], a=exception, x=self.layout.tag(tag), taken=other)
            self._take_caught(exception, kind, tag)
            self.leave(self.labels[-2 - target])
            self.cut(label.height)
            if kind >= CATCH_ALL:
                return
            self.bind(other)
        self._pass_on(self.labels[-2].handler)

    def _begin_handler(self) -> tuple[Handler, int]:
        """The head of a `catch` or `catch_all`; what follows is dead where nothing can be caught."""
        label = self.labels[-1]
        handler = label.own_handler
        assert handler is not None
        self._finish(label)
        handler.is_open = True
        label.handler = self.labels[-2].handler
        self.dead = not handler.is_used
        exception = self.home_of(label.height)
        if handler.is_used:
            self._arrive_at(handler)
            self.stack.append(exception)
            self.emit(self.library["exception pending"], d=exception)
        return handler, exception

    def catch(self, row: Opcode, imm: int) -> None:
        handler, exception = self._begin_handler()
        if handler.is_used:
            tag = self.layout.tag(imm)
            self.emit(self.library["exception unless"], a=exception, x=tag, taken=handler.fixups)
            self._take_caught(exception, CATCH, imm)

    def catch_all(self, row: Opcode, imm: Any) -> None:
        handler, exception = self._begin_handler()
        handler.complete = True
        if handler.is_used:
            self._take_caught(exception, CATCH_ALL, 0)

    def delegate(self, row: Opcode, imm: int) -> None:
        label = self.labels[-1]
        handler = label.own_handler
        assert handler is not None
        label.own_handler = None
        if handler.is_used:
            self._finish(label)
            self._arrive_at(handler)
            self._pass_on(self.labels[-2 - imm].handler)
            self.dead = True
        self.end(row, None)
