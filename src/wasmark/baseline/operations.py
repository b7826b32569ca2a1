"""The instructions on memories, tables, globals and references in the first tier, but for the frequent loads and stores
(those are in the translator's loop) and for bulk instructions (`compile.bulk_instructions`)."""

from __future__ import annotations

from wasmark.baseline.exceptions import Exceptions
from wasmark.compile.access import LOADS, STORES
from wasmark.compile.atomics import HOSTED, WAITS
from wasmark.compile.bulk_instructions import BulkInstructions
from wasmark.compile.vector import V128
from wasmark.core.types import F32, I32
from wasmark.core.types import V128 as V128_TYPE
from wasmark.runtime.layout import OFFSET_GUARD

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.core.opcodes import Opcode

_WIDTHS: Final[dict[object, str]] = {I32: "i32", F32: "i32", V128_TYPE: "v128"}
"""How the stencils of globals are called; "i64" for all other types."""


def signed(bits: int, width: int) -> int:
    """The signed number of so many bits."""
    return bits - (1 << width) if bits >> (width - 1) else bits


class Operations(BulkInstructions, Exceptions):
    """Instructions with a method each."""

    # --- parametric and constants -----------------------------------------------------------------

    def drop(self, row: Opcode, imm: Any) -> None:
        if self.top_is_vector():
            self.vectors.pop()
            self.stack.pop()
        self.stack.pop()

    def select(self, row: Opcode, imm: Any) -> None:
        stack = self.stack
        condition = self.pop_slot()
        if self.top_is_vector():
            b, a = self.pop_vector(), self.pop_vector()
            self.emit(self.library["select v128"], a=a, b=b, c=condition, d=self.push_vector())
            return
        # The homes of the three are different ones: each constant goes to that of its own depth.
        second, first = stack.pop(), stack.pop()
        depth = len(stack)
        b = self.slot_of(second, depth + 1)
        a = self.slot_of(first, depth)
        self.emit(self.library["select"], a=a, b=b, c=condition, d=self.push_home())

    def f32_const(self, row: Opcode, imm: int) -> None:
        self.push_constant(signed(imm, 32))

    def f64_const(self, row: Opcode, imm: int) -> None:
        self.push_constant(signed(imm, 64))

    # --- globals and references -------------------------------------------------------------------

    def _global(self, index: int) -> tuple[str, int]:
        """(end of the stencil's name, vmctx offset)"""
        width = _WIDTHS.get(self.model.global_types[index].value, "i64")
        if index < self.context.imported_globals:
            return f" imported {width}", self.layout.global_pointer(index)
        return f" {width}", self.layout.global_cell(index)

    def global_get(self, row: Opcode, imm: int) -> None:
        kind, at = self._global(imm)
        d = self.push_vector() if kind.endswith("v128") else self.push_home()
        self.emit(self.library[f"global.get{kind}"], d=d, x=at)

    def global_set(self, row: Opcode, imm: int) -> None:
        kind, at = self._global(imm)
        a = self.pop_vector() if kind.endswith("v128") else self.pop_slot()
        self.emit(self.library[f"global.set{kind}"], a=a, x=at)

    def ref_null(self, row: Opcode, imm: Any) -> None:
        self.push_constant(0)

    def ref_as_non_null(self, row: Opcode, imm: Any) -> None:
        slot = self.pop_slot()
        self.emit(self.library[row.name], a=slot)
        self.stack.append(slot)

    def ref_func(self, row: Opcode, imm: int) -> None:
        if imm < self.context.imported_functions:
            at = self.layout.imported_function(imm) + 16
            self.emit(self.library["ref.func imported"], d=self.push_home(), x=at)
        else:
            self.emit(self.library["ref.func"], d=self.push_home(), x=self.layout.funcref(imm))

    # --- memory -----------------------------------------------------------------------------------

    def access(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        """Any load or store but the frequent ones: of a vector, of another memory, with a 64-bit address, or far from
        it."""
        is_load = row.name in LOADS
        of_vector = (LOADS[row.name][2] if is_load else STORES[row.name][0]) == V128
        value = 0 if is_load else self.pop_vector() if of_vector else self.pop_slot()
        kind, a, c, x, y, z = self._address(row, imm)
        d = 0 if not is_load else self.push_vector() if of_vector else self.push_home()
        self.emit(self.library[row.name + kind], a=a, b=value, c=c, d=d, x=x, y=y, z=z)

    def _address(self, row: Opcode, imm: tuple[int, int, int]) -> tuple[str, int, int, int, int, int]:
        """Pop the address of an access: (end of the stencil's name, what belongs in its holes A, C, X, Y and Z)."""
        _, memory, offset = imm
        type_ = self.model.memory_types[memory]
        extent = offset + row.access
        if type_.is_guarded and extent <= OFFSET_GUARD:
            kind = " memory" if memory else ""
            return kind, self.pop_slot(), 0, offset, self.layout.memory_base(memory), 0
        address, definition = self.pop_wide(is64=type_.limits.is64), self.layout.memory_def(memory)
        if extent <= 0x7FFFFFFF:
            return " checked", address, 0, offset, definition, extent
        if extent >= 1 << 63:  # beyond every possible memory: fails the check, and stays a valid constant
            offset, extent = 0, (1 << 63) - 1
        depth = len(self.stack) + 4  # behind the homes of the address and the operands
        for i, number in enumerate((offset, extent)):
            self.constants.append(signed(number, 64))
            self.put(-len(self.constants), self.home_of(depth + i))
        return " checked wide", address, self.home_of(depth), 0, definition, 0

    def atomic(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        """An atomic access; its operands are at home, one behind the other."""
        assert row.sig is not None
        params, result = row.sig.split(":")
        count = len(params) - 1
        if row.name in HOSTED:
            self.calls = True
        first = len(self.stack) - count
        self.settle(first)
        del self.stack[first:]
        operands = self.home_of(first)
        kind, a, c, x, y, z = self._address(row, imm)
        self.dead = row.name in WAITS and not self.model.memory_types[imm[1]].limits.shared
        stencil = self.library[f"{row.name}{' unshared' if self.dead else ''}{kind}"]
        self.emit(stencil, a=a, b=operands, c=c, d=self.push_home() if result else 0, x=x, y=y, z=z)

    def atomic_fence(self, row: Opcode, imm: None) -> None:
        self.emit(self.library[row.name])

    def wide(self, row: Opcode, imm: None) -> None:
        """Operands and results are at home, one behind the other."""
        assert row.sig is not None
        first = len(self.stack) - row.sig.index(":")
        self.settle(first)
        del self.stack[first:]
        self.emit(self.library[row.name], a=self.home_of(first), d=self.push_home())
        self.push_home()

    def memory_size(self, row: Opcode, imm: int) -> None:
        shift = self.model.memory_types[imm].page_size_log2
        self.emit(self.library[row.name], d=self.push_home(), x=self.layout.memory_def(imm), z=shift)

    def memory_grow(self, row: Opcode, imm: int) -> None:
        self.calls = True
        delta = self.pop_wide(is64=self.model.memory_types[imm].limits.is64)
        self.emit(self.library[row.name], a=delta, d=self.push_home(), x=self.layout.memory_def(imm))

    def _bulk(self, row: Opcode, where: tuple[int, int], is64: tuple[bool, bool, bool]) -> None:
        c = self.pop_wide(is64=is64[2])
        b = self.pop_slot() if row.name.endswith("fill") else self.pop_wide(is64=is64[1])
        a = self.pop_wide(is64=is64[0])
        self.emit(self.library[row.name], a=a, b=b, c=c, x=where[0], y=where[1])

    def _drop(self, row: Opcode, where: int) -> None:
        self.emit(self.library[row.name], x=where)

    # --- tables -----------------------------------------------------------------------------------

    def table_get(self, row: Opcode, imm: int) -> None:
        index = self.pop_wide(is64=self.model.table_types[imm].limits.is64)
        self.emit(self.library[row.name], a=index, d=self.push_home(), x=self.layout.table_def(imm))

    def table_set(self, row: Opcode, imm: int) -> None:
        value = self.pop_slot()
        index = self.pop_wide(is64=self.model.table_types[imm].limits.is64)
        self.emit(self.library[row.name], a=index, b=value, x=self.layout.table_def(imm))

    def table_size(self, row: Opcode, imm: int) -> None:
        self.emit(self.library[row.name], d=self.push_home(), x=self.layout.table_def(imm))

    def table_grow(self, row: Opcode, imm: int) -> None:
        self.calls = True
        delta = self.pop_wide(is64=self.model.table_types[imm].limits.is64)
        initial = self.pop_slot()
        self.emit(self.library[row.name], a=initial, b=delta, d=self.push_home(), x=self.layout.table_def(imm))
