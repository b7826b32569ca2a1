"""The translation of instructions on structures, arrays, i31 references and casts: which template of `objects` each is,
and with what operands."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wasmark.compile.function_memory import MemoryInstructions
from wasmark.compile.objects import OBJECTS, memory_type, target_of, value_type
from wasmark.core.object_layout import ARRAY_ELEMENTS, size_log2

if TYPE_CHECKING:
    from wasmark.core.opcodes import Opcode
    from wasmark.core.types import RefType


class ObjectInstructions(MemoryInstructions):
    """The part of the translator that knows objects."""

    def _object(self, key: str, **operands: object) -> str:
        """Emit a template of `objects`; returns the name of its result."""
        self.n += 1
        result = f"%v{self.n}"
        self.out.append(OBJECTS[key].format(r=result, vm="%vm", n=self.n, d=self.d, **operands))
        return result

    def _operands(self, count: int) -> list[str]:
        return [value for _, value in self.take(count)]

    # --- structures -------------------------------------------------------------------------------

    def struct_new(self, row: Opcode, imm: int) -> None:
        storages, offsets, size = self.context.objects.struct(imm)
        values = self._operands(len(storages))
        new = self._object("struct.new", o=self.layout.type_descriptor(imm), size=size)
        for storage, offset, value in zip(storages, offsets, values, strict=True):
            self._object(f"initial {memory_type(storage)}", a=new, b=value, o=offset)
        self.stack.append(("ptr", new))

    def struct_new_default(self, row: Opcode, imm: int) -> None:
        _, _, size = self.context.objects.struct(imm)
        self.stack.append(("ptr", self._object("struct.new", o=self.layout.type_descriptor(imm), size=size)))

    def _field(self, imm: tuple[int, int]) -> tuple[str, int]:
        storage, offset = self.context.objects.field(imm)
        return memory_type(storage), offset

    def struct_get(self, row: Opcode, imm: tuple[int, int]) -> None:
        memory, offset = self._field(imm)
        value = self._object(f"{row.name} {memory}", a=self.stack.pop()[1], o=offset)
        self.stack.append((value_type(memory), value))

    def struct_set(self, row: Opcode, imm: tuple[int, int]) -> None:
        memory, offset = self._field(imm)
        a, b = self._operands(2)
        self._object(f"{row.name} {memory}", a=a, b=b, o=offset)

    # --- arrays -----------------------------------------------------------------------------------

    def array_new(self, row: Opcode, imm: int) -> None:
        a, b = self._operands(2)
        key = f"{row.name} {memory_type(self.context.objects.element(imm))}"
        self.stack.append(("ptr", self._object(key, a=a, b=b, o=self.layout.type_descriptor(imm))))

    def array_new_default(self, row: Opcode, imm: int) -> None:
        key = f"{row.name} {size_log2(self.context.objects.element(imm))}"
        new = self._object(key, a=self.stack.pop()[1], o=self.layout.type_descriptor(imm))
        self.stack.append(("ptr", new))

    def array_new_fixed(self, row: Opcode, imm: tuple[int, int]) -> None:
        index, count = imm
        element = self.context.objects.element(index)
        shift = size_log2(element)
        values = self._operands(count)
        size = ARRAY_ELEMENTS + (count << shift)
        new = self._object(row.name, o=self.layout.type_descriptor(index), size=size, length=count)
        for number, value in enumerate(values):
            self._object(f"initial {memory_type(element)}", a=new, b=value, o=ARRAY_ELEMENTS + (number << shift))
        self.stack.append(("ptr", new))

    def array_new_data(self, row: Opcode, imm: tuple[int, int]) -> None:
        index, data = imm
        a, b = self._operands(2)
        key = f"{row.name} {size_log2(self.context.objects.element(index))}"
        o2 = self.layout.data_segment(data)
        self.stack.append(("ptr", self._object(key, a=a, b=b, o=self.layout.type_descriptor(index), o2=o2)))

    def array_new_elem(self, row: Opcode, imm: tuple[int, int]) -> None:
        index, segment = imm
        a, b = self._operands(2)
        o2 = self.layout.element_segment(segment)
        self.stack.append(("ptr", self._object(row.name, a=a, b=b, o=self.layout.type_descriptor(index), o2=o2)))

    def array_get(self, row: Opcode, imm: int) -> None:
        memory = memory_type(self.context.objects.element(imm))
        a, b = self._operands(2)
        self.stack.append((value_type(memory), self._object(f"{row.name} {memory}", a=a, b=b)))

    def array_set(self, row: Opcode, imm: int) -> None:
        a, b, c = self._operands(3)
        self._object(f"{row.name} {memory_type(self.context.objects.element(imm))}", a=a, b=b, c=c)

    def array_len(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("i32", self._object(row.name, a=self.stack.pop()[1])))

    def array_fill(self, row: Opcode, imm: int) -> None:
        a, b, c, c2 = self._operands(4)
        self._object(f"{row.name} {memory_type(self.context.objects.element(imm))}", a=a, b=b, c=c, c2=c2)

    def array_copy(self, row: Opcode, imm: tuple[int, int]) -> None:
        a, b, c, c2, c3 = self._operands(5)
        self._object(f"{row.name} {size_log2(self.context.objects.element(imm[0]))}", a=a, b=b, c=c, c2=c2, c3=c3)

    def array_init_data(self, row: Opcode, imm: tuple[int, int]) -> None:
        a, b, c, c2 = self._operands(4)
        o2 = self.layout.data_segment(imm[1])
        self._object(f"{row.name} {size_log2(self.context.objects.element(imm[0]))}", a=a, b=b, c=c, c2=c2, o2=o2)

    def array_init_elem(self, row: Opcode, imm: tuple[int, int]) -> None:
        a, b, c, c2 = self._operands(4)
        self._object(row.name, a=a, b=b, c=c, c2=c2, o2=self.layout.element_segment(imm[1]))

    # --- other references -------------------------------------------------------------------------

    def ref_eq(self, row: Opcode, imm: Any) -> None:
        a, b = self._operands(2)
        self.stack.append(("i32", self._object(row.name, a=a, b=b)))

    def ref_i31(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("ptr", self._object(row.name, a=self.stack.pop()[1])))

    def i31_get(self, row: Opcode, imm: Any) -> None:
        self.stack.append(("i32", self._object(row.name, a=self.stack.pop()[1])))

    def convert(self, row: Opcode, imm: Any) -> None:
        """The reference stays what it is."""

    # --- casts ------------------------------------------------------------------------------------

    def ref_test(self, row: Opcode, imm: RefType) -> None:
        target = target_of(imm, self.model, self.layout)
        key = f"{row.name} {target.kind}"
        self.stack.append(("i32", self._object(key, a=self.stack.pop()[1], o=target.o, place=target.place)))

    def ref_cast(self, row: Opcode, imm: RefType) -> None:
        target = target_of(imm, self.model, self.layout)
        self._object(f"{row.name} {target.kind}", a=self.stack[-1][1], o=target.o, place=target.place)

    def br_on_cast(self, row: Opcode, imm: tuple[int, RefType, RefType]) -> None:
        label, _, type_ = imm
        target = target_of(type_, self.model, self.layout)
        test = self._object(f"ref.test {target.kind}", a=self.stack[-1][1], o=target.o, place=target.place)
        to, go_on = self._carry(self.frames[-1 - label]), self._label("next")
        taken, other = (to, go_on) if row.name == "br_on_cast" else (go_on, to)
        self.out.append(
            f"%c{self.n} = icmp ne i32 {test}, 0{self.d})\n"
            f"br i1 %c{self.n}, label %{taken}, label %{other}{self.d})\n{go_on}:"
        )
