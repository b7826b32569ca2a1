"""A function that is entered in the middle, at one of its loops, with the frame that the first tier made of it.

The first tier keeps each local and each operand in an 8-byte slot of its own (a v128 in two), and at a loop all
operands are there (see `baseline.control`). The function made here loads them, goes on at the loop, and leaves its
results where the first tier has those of the body. Where it may end in a tail call it answers who is to be called, or
null.

It is the same translation, but control comes to the loop from two sides, so values from before it cannot be SSA names:
an operand below a label goes to an `alloca` of its depth when the label is opened, and is loaded again wherever control
joins. What of the function cannot be reached from the loop is for LLVM to throw away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.compile.abi import slot_places
from wasmark.compile.function import FunctionTranslator
from wasmark.compile.tail_calls import hand_over, leaves_by_tail_call
from wasmark.errors import Error
from wasmark.runtime.layout import SLOT_SIZE

if TYPE_CHECKING:
    from wasmark.binary import Instr
    from wasmark.compile.hot import Hot
    from wasmark.compile.writer import Frame, ModuleContext

_MOST_MOVES: Final = 200_000
"""Loads and stores of operands, beyond which it is not worth it: only a contrived function has so many below labels."""


class LoopEntryTranslator(FunctionTranslator):
    """Translates one body, to be entered at a loop."""

    def __init__(self, context: ModuleContext, hot: Hot, scope: int) -> None:
        super().__init__(context, hot.number, scope)
        self._hot = hot
        self._loop = hot.loop
        self._leaves = False  # whether it may end in a tail call
        self._moves = 0
        self._homes: dict[tuple[int, str], str] = {}
        self._entry = 0  # where in `out` the way to the loop belongs
        self._found = False

    def translate(self, instrs: list[Instr]) -> str:
        """As for a whole function. Raises Error where there is no such loop that can be reached, or it is beyond all
        measure."""
        self._leaves = leaves_by_tail_call(self.model.data, self.function, instrs)
        text = super().translate(instrs)
        if not self._found:
            raise Error(f"function {self.func_index} has no loop at {self._loop:#x}")
        return text

    def _header(self, params: list[str], returns: str) -> str:
        returns = "ptr" if self._leaves else "void"
        return f"{returns} @{self._hot.symbol(self.context.imported_functions)}(ptr %vm, ptr %fp, ptr %mb)"

    def _start(self, params: list[str]) -> None:
        self._entry = len(self.out)
        self.out.append("")

    def _from_frame(self, slot: int, type_: str, to: str) -> str:
        self.n += 1
        n = self.n
        return (
            f"%fp{n} = getelementptr i8, ptr %fp, i64 {SLOT_SIZE * slot}\n"
            f"%fv{n} = load {type_}, ptr %fp{n}, align {SLOT_SIZE}\nstore {type_} %fv{n}, ptr {to}"
        )

    def _home(self, depth: int, type_: str) -> str:
        home = self._homes.get((depth, type_))
        if home is None:
            home = self._homes[depth, type_] = f"%H{depth}.{len(self._homes)}"
            self.head.append(f"{home} = alloca {type_}")
        return home

    def _count(self, moves: int) -> None:
        self._moves += moves
        if self._moves > _MOST_MOVES:
            raise Error(f"function {self.func_index} has too many operands below its labels")

    def _open(self, frame: Frame) -> None:
        first = self.frames[-1].height if self.frames else 0  # what is below is in its home since that was opened
        self._count(frame.height - first)
        for depth in range(first, frame.height):
            type_, value = self.stack[depth]
            self.out.append(f"store {type_} {value}, ptr {self._home(depth, type_)}")
        super()._open(frame)
        if frame.is_loop and self.offset == self._loop:
            self._found = True
            homes = [self._home(depth, type_) for depth, (type_, _) in enumerate(self.stack[: frame.height])]
            ends = [*(f"%L{i}" for i in range(len(self.local_types))), *homes, *self._slots(frame)]
            types = [*self.local_types, *(type_ for type_, _ in self.stack[: frame.height]), *frame.types]
            way = [self._from_frame(*row) for row in zip(slot_places(types), types, ends, strict=False)]
            self.out[self._entry] = "\n".join([*way, f"br label %{frame.label}\nstart:"])

    def _rejoin(self) -> None:
        self._count(len(self.stack))
        for depth, (type_, _) in enumerate(self.stack):
            self.n += 1
            self.out.append(f"%v{self.n} = load {type_}, ptr {self._home(depth, type_)}")
            self.stack[depth] = (type_, f"%v{self.n}")

    def _return(self, results: list[str]) -> None:
        first = slot_places(self.local_types)[-1]
        for i, (type_, value) in zip(slot_places(results), self.take(len(results)), strict=False):
            self.n += 1
            self.out.append(
                f"%rp{self.n} = getelementptr i8, ptr %fp, i64 {SLOT_SIZE * (first + i)}\n"
                f"store {type_} {value}, ptr %rp{self.n}, align {SLOT_SIZE}"
            )
        self.out.append(f"ret {'ptr null' if self._leaves else 'void'}{self.d})")

    def leave(self, signature: str, code: str, context: str) -> None:
        hand_over(self, signature, code, context)
