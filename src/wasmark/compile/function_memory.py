"""The translation of instructions on memories, tables, globals and references: which template of `access` each is, and
with what operands. Bulk instructions are in `bulk_instructions`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmark.compile.abi import llvm_type
from wasmark.compile.access import ACCESS, ADDRESS_32, ADDRESS_32_OFFSET, ADDRESS_CHECKED, LOADS
from wasmark.compile.bulk_instructions import BulkInstructions
from wasmark.compile.templates import MEMORY_ACCESS_COLUMN
from wasmark.compile.writer import BodyWriter
from wasmark.runtime.layout import OFFSET_GUARD

if TYPE_CHECKING:
    from wasmark.compile.writer import ModuleContext
    from wasmark.core.opcodes import Opcode


class MemoryInstructions(BulkInstructions, BodyWriter):
    """The part of the translator that knows what an instance has."""

    def __init__(self, context: ModuleContext, defined_index: int, scope: int) -> None:
        super().__init__(context, defined_index, scope)
        self.bases: dict[int, str] = {}  # of the memories that are in use
        self.loaded: dict[str, tuple[int, str]] = {}  # loaded float, not used yet -> (place in `out`, location)

    # --- globals ----------------------------------------------------------------------------------

    def _global(self, action: str, index: int, **operands: object) -> str:
        type_ = llvm_type(self.model.global_types[index].value)
        if index < self.context.imported_globals:
            return self._step(f"{action} imported", o=self.layout.global_pointer(index), type=type_, **operands)
        return self._step(action, o=self.layout.global_cell(index), type=type_, **operands)

    def global_get(self, row: Opcode, imm: int) -> None:
        self.stack.append((llvm_type(self.model.global_types[imm].value), self._global("global.get", imm)))

    def global_set(self, row: Opcode, imm: int) -> None:
        self._global("global.set", imm, a=self.stack.pop()[1])

    # --- memory -----------------------------------------------------------------------------------

    def address(self, row: Opcode, imm: tuple[int, int, int], address: str) -> None:
        """Emit the address of an access as `%p<self.n>`."""
        _, memory, offset = imm
        base = self.bases[memory]
        type_ = self.model.memory_types[memory]
        if type_.is_guarded and offset + row.access <= OFFSET_GUARD:
            self.n += 1
            template = ADDRESS_32_OFFSET if offset else ADDRESS_32
            self.out.append(template.format(a=address, base=base, o=offset, n=self.n, d=self.d))
            return
        address = self._widen(address, is64=type_.limits.is64)
        extent = offset + row.access
        if extent >= 1 << 63:  # beyond every possible memory: fails the check, and stays a valid constant
            offset, extent = 0, (1 << 63) - 1
        self._step("memory.length", o=self.layout.memory_def(memory))
        length = f"%len{self.n}"
        self.n += 1
        self.out.append(
            ADDRESS_CHECKED.format(a=address, base=base, o=offset, extent=extent, length=length, n=self.n, d=self.d)
        )

    def load(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        self.address(row, imm, self.stack.pop()[1])
        result = f"%v{self.n}"
        self.out.append(ACCESS[row.name].format(r=result, n=self.n, d=self.d))
        type_ = LOADS[row.name][2]
        if type_[0] != "i":
            self.loaded[result] = (len(self.out) - 1, f"{self.d}, column: {MEMORY_ACCESS_COLUMN}")
        self.stack.append((type_, result))

    def store(self, row: Opcode, imm: tuple[int, int, int]) -> None:
        value = self.stack.pop()[1]
        self.address(row, imm, self.stack.pop()[1])
        self.out.append(ACCESS[row.name].format(b=value, n=self.n, d=self.d))

    def memory_size(self, row: Opcode, imm: int) -> None:
        type_ = self.model.memory_types[imm]
        pages = self._step("memory.size", o=self.layout.memory_def(imm), shift=type_.page_size_log2)
        self.stack.append(self._narrow(pages, is64=type_.limits.is64))

    def memory_grow(self, row: Opcode, imm: int) -> None:
        is64 = self.model.memory_types[imm].limits.is64
        delta = self._widen(self.stack.pop()[1], is64=is64)
        pages = self._step("memory.grow", o=self.layout.memory_def(imm), a=delta)
        self.stack.append(self._narrow(pages, is64=is64))

    def _bulk(self, row: Opcode, where: tuple[int, int], is64: tuple[bool, bool, bool]) -> None:
        c = self._widen(self.stack.pop()[1], is64=is64[2])
        b = self.stack.pop()[1] if row.name.endswith("fill") else self._widen(self.stack.pop()[1], is64=is64[1])
        a = self._widen(self.stack.pop()[1], is64=is64[0])
        self._step(row.name, a=a, b=b, c=c, o=where[0], o2=where[1])

    def _drop(self, row: Opcode, where: int) -> None:
        self._step(row.name, o=where)

    # --- tables and references --------------------------------------------------------------------

    def table_get(self, row: Opcode, imm: int) -> None:
        index = self._widen(self.stack.pop()[1], is64=self.model.table_types[imm].limits.is64)
        self.stack.append(("ptr", self._step(row.name, o=self.layout.table_def(imm), a=index)))

    def table_set(self, row: Opcode, imm: int) -> None:
        value = self.stack.pop()[1]
        index = self._widen(self.stack.pop()[1], is64=self.model.table_types[imm].limits.is64)
        self._step(row.name, o=self.layout.table_def(imm), a=index, b=value)

    def table_size(self, row: Opcode, imm: int) -> None:
        size = self._step(row.name, o=self.layout.table_def(imm))
        self.stack.append(self._narrow(size, is64=self.model.table_types[imm].limits.is64))

    def table_grow(self, row: Opcode, imm: int) -> None:
        is64 = self.model.table_types[imm].limits.is64
        delta = self._widen(self.stack.pop()[1], is64=is64)
        size = self._step(row.name, o=self.layout.table_def(imm), a=self.stack.pop()[1], b=delta)
        self.stack.append(self._narrow(size, is64=is64))

    def ref_null(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("ptr", "null"))

    def ref_is_null(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("i32", self._step(row.name, a=self.stack.pop()[1])))

    def ref_as_non_null(self, row: Opcode, imm: Any) -> None:
        self._step(row.name, a=self.stack[-1][1])

    def ref_func(self, row: Opcode, imm: int) -> None:
        if imm < self.context.imported_functions:
            value = self._step("ref.func imported", o=self.layout.imported_function(imm) + 16)
        else:
            value = self._step("ref.func", o=self.layout.funcref(imm))
        self.stack.append(("ptr", value))
