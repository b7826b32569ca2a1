"""What bulk instructions work on, and how wide their operands are: the same for both compilers."""

from __future__ import annotations

from abc import ABC, abstractmethod

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.core.model import ModuleModel
    from wasmark.core.opcodes import Opcode
    from wasmark.runtime.layout import VMLayout


class BulkInstructions(ABC):
    """The part of a translator that has a method for each bulk instruction; `_bulk` and `_drop` say it in code."""

    model: ModuleModel
    layout: VMLayout

    @abstractmethod
    def _bulk(self, row: Opcode, where: tuple[int, int], is64: tuple[bool, bool, bool]) -> None:
        """Pop length, source (or value) and destination, and go over them. `where` are the places in the vmctx of what
        is written and of what is read, `is64` is whether each operand has 64 bits, deepest first."""

    @abstractmethod
    def _drop(self, row: Opcode, where: int) -> None:
        """Give up the segment at a place in the vmctx."""

    def memory_fill(self, row: Opcode, imm: int) -> None:
        is64 = self.model.memory_types[imm].limits.is64
        self._bulk(row, (self.layout.memory_def(imm), 0), (is64, False, is64))

    def memory_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        to, from_ = (self.model.memory_types[index].limits.is64 for index in imm)
        where = (self.layout.memory_def(imm[0]), self.layout.memory_def(imm[1]))
        self._bulk(row, where, (to, from_, to and from_))

    def memory_init(self, row: Opcode, imm: tuple[int, int]) -> None:
        segment, memory = imm
        where = (self.layout.memory_def(memory), self.layout.data_segment(segment))
        self._bulk(row, where, (self.model.memory_types[memory].limits.is64, False, False))

    def data_drop(self, row: Opcode, imm: int) -> None:
        self._drop(row, self.layout.data_segment(imm))

    def table_fill(self, row: Opcode, imm: int) -> None:
        is64 = self.model.table_types[imm].limits.is64
        self._bulk(row, (self.layout.table_def(imm), 0), (is64, False, is64))

    def table_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        to, from_ = (self.model.table_types[index].limits.is64 for index in imm)
        where = (self.layout.table_def(imm[0]), self.layout.table_def(imm[1]))
        self._bulk(row, where, (to, from_, to and from_))

    def table_init(self, row: Opcode, imm: tuple[int, int]) -> None:
        segment, table = imm
        where = (self.layout.table_def(table), self.layout.element_segment(segment))
        self._bulk(row, where, (self.model.table_types[table].limits.is64, False, False))

    def elem_drop(self, row: Opcode, imm: int) -> None:
        self._drop(row, self.layout.element_segment(imm))
