"""The instructions on structures, arrays, i31 references and casts in the first tier."""

from __future__ import annotations

from wasmark.baseline.vectors import Vectors
from wasmark.compile.objects import memory_type, target_of
from wasmark.core.object_layout import ARRAY_ELEMENTS, size_log2

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.core.opcodes import Opcode
    from wasmark.core.types import RefType, StorageType

_WIDTH: Final = {"float": "i32", "double": "i64", "ptr": "i64"}
"""Stencils move bits: what is as wide as an integer goes as one."""


def _width(storage: StorageType) -> str:
    memory = memory_type(storage)
    return _WIDTH.get(memory, memory)


class Objects(Vectors):
    """Instructions with a method each."""

    def _pop_value(self, width: str) -> int:
        """Pop an operand; the slot, or the first slot, with its value."""
        return self.pop_vector() if width == "v128" else self.pop_slot()

    def _push_value(self, width: str) -> int:
        return self.push_vector() if width == "v128" else self.push_home()

    def _unary(self, name: str, x: int = 0, y: int = 0) -> None:
        a = self.pop_slot()
        self.emit(self.library[name], a=a, d=self.push_home(), x=x, y=y)

    def _two(self, width: str = "") -> tuple[int, int]:
        """Pop two operands, of which the upper one is as wide as this."""
        b = self._pop_value(width)
        return self.pop_slot(), b

    def _binary(self, name: str, x: int = 0, y: int = 0) -> None:
        a, b = self._two()
        self.emit(self.library[name], a=a, b=b, d=self.push_home(), x=x, y=y)

    def _successive(self, name: str, count: int, y: int = 0) -> None:
        """An instruction whose operands are in so many successive slots."""
        depth = len(self.stack) - count
        self.settle(depth)
        self.cut(depth)
        self.emit(self.library[name], a=self.home_of(depth), y=y)

    def _initialize(self, new: int, values: list[tuple[int, str]]) -> None:
        """Store the topmost operands, one for each (offset, width), to the object in slot `new`, and push that."""
        first = depth = len(self.stack) - sum(2 if width == "v128" else 1 for _, width in values)
        for offset, width in values:
            value = self.slot_of(self.stack[depth], depth)
            if width == "v128":  # both halves are constants, or neither is
                depth += 1
                self.slot_of(self.stack[depth], depth)
            depth += 1
            self.emit(self.library[f"initial {width}"], a=new, b=value, x=offset)
        self.cut(first)
        self.put(new, self.push_home())

    # --- structures -------------------------------------------------------------------------------

    def struct_new(self, row: Opcode, imm: int) -> None:
        self.calls = True
        storages, offsets, size = self.context.objects.struct(imm)
        new = self.home_of(len(self.stack))
        self.emit(self.library["struct.new"], d=new, x=self.layout.type_descriptor(imm), y=size)
        self._initialize(new, list(zip(offsets, map(_width, storages), strict=True)))

    def struct_new_default(self, row: Opcode, imm: int) -> None:
        self.calls = True
        _, _, size = self.context.objects.struct(imm)
        self.emit(self.library["struct.new"], d=self.push_home(), x=self.layout.type_descriptor(imm), y=size)

    def _field(self, imm: tuple[int, int]) -> tuple[str, int]:
        storage, offset = self.context.objects.field(imm)
        return _width(storage), offset

    def struct_get(self, row: Opcode, imm: tuple[int, int]) -> None:
        width, offset = self._field(imm)
        a = self.pop_slot()
        self.emit(self.library[f"{row.name} {width}"], a=a, d=self._push_value(width), x=offset)

    def struct_set(self, row: Opcode, imm: tuple[int, int]) -> None:
        width, offset = self._field(imm)
        a, b = self._two(width)
        self.emit(self.library[f"{row.name} {width}"], a=a, b=b, x=offset)

    # --- arrays -----------------------------------------------------------------------------------

    def array_new(self, row: Opcode, imm: int) -> None:
        self.calls = True
        width = _width(self.context.objects.element(imm))
        b = self.pop_slot()
        a = self._pop_value(width)
        stencil = self.library[f"{row.name} {width}"]
        self.emit(stencil, a=a, b=b, d=self.push_home(), x=self.layout.type_descriptor(imm))

    def array_new_default(self, row: Opcode, imm: int) -> None:
        self.calls = True
        self._unary(f"{row.name} {size_log2(self.context.objects.element(imm))}", x=self.layout.type_descriptor(imm))

    def array_new_fixed(self, row: Opcode, imm: tuple[int, int]) -> None:
        self.calls = True
        index, count = imm
        element = self.context.objects.element(index)
        shift, width = size_log2(element), _width(element)
        new = self.home_of(len(self.stack))
        x, size = self.layout.type_descriptor(index), ARRAY_ELEMENTS + (count << shift)
        self.emit(self.library[row.name], d=new, x=x, y=size, z=count)
        self._initialize(new, [(ARRAY_ELEMENTS + (number << shift), width) for number in range(count)])

    def array_new_data(self, row: Opcode, imm: tuple[int, int]) -> None:
        self.calls = True
        index, data = imm
        y = self.layout.data_segment(data)
        self._binary(
            f"{row.name} {size_log2(self.context.objects.element(index))}", x=self.layout.type_descriptor(index), y=y
        )

    def array_new_elem(self, row: Opcode, imm: tuple[int, int]) -> None:
        self.calls = True
        index, segment = imm
        self._binary(row.name, x=self.layout.type_descriptor(index), y=self.layout.element_segment(segment))

    def array_get(self, row: Opcode, imm: int) -> None:
        width = _width(self.context.objects.element(imm))
        a, b = self._two()
        self.emit(self.library[f"{row.name} {width}"], a=a, b=b, d=self._push_value(width))

    def array_set(self, row: Opcode, imm: int) -> None:
        width = _width(self.context.objects.element(imm))
        c = self._pop_value(width)
        a, b = self._two()
        self.emit(self.library[f"{row.name} {width}"], a=a, b=b, c=c)

    def array_len(self, row: Opcode, imm: Any) -> None:
        self._unary(row.name)

    def array_fill(self, row: Opcode, imm: int) -> None:
        width = _width(self.context.objects.element(imm))
        self._successive(f"{row.name} {width}", 5 if width == "v128" else 4)

    def array_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        self._successive(f"{row.name} {size_log2(self.context.objects.element(imm[0]))}", 5)

    def array_init_data(self, row: Opcode, imm: tuple[int, int]) -> None:
        y = self.layout.data_segment(imm[1])
        self._successive(f"{row.name} {size_log2(self.context.objects.element(imm[0]))}", 4, y)

    def array_init_elem(self, row: Opcode, imm: tuple[int, int]) -> None:
        self._successive(row.name, 4, self.layout.element_segment(imm[1]))

    # --- other references -------------------------------------------------------------------------

    def ref_eq(self, row: Opcode, imm: Any) -> None:
        self._binary(row.name)

    def ref_i31(self, row: Opcode, imm: Any) -> None:
        self._unary(row.name)

    def i31_get(self, row: Opcode, imm: Any) -> None:
        self._unary(row.name)

    def convert(self, row: Opcode, imm: Any) -> None:
        """The reference stays what it is."""

    # --- casts ------------------------------------------------------------------------------------

    def ref_test(self, row: Opcode, imm: RefType) -> None:
        target = target_of(imm, self.model, self.layout)
        self._unary(f"{row.name} {target.kind}", x=target.o, y=target.place)

    def ref_cast(self, row: Opcode, imm: RefType) -> None:
        target = target_of(imm, self.model, self.layout)
        slot = self.pop_slot()
        self.emit(self.library[f"{row.name} {target.kind}"], a=slot, x=target.o, y=target.place)
        self.stack.append(slot)

    def br_on_cast(self, row: Opcode, imm: tuple[int, RefType, RefType]) -> None:
        label, _, type_ = imm
        target = target_of(type_, self.model, self.layout)
        slot = self.pop_slot()
        self.stack.append(slot)
        outcome = self.home_of(len(self.stack))
        test = self.library[f"ref.test {target.kind}"]
        self.emit(test, a=slot, d=outcome, x=target.o, y=target.place)
        ways = ("if", "unless") if row.name == "br_on_cast" else ("unless", "if")
        self.branch(self.labels[-1 - label], *(self.library[way] for way in ways), a=outcome)
