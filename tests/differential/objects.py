"""The part of the bodies that makes structures, arrays and i31 references, and does with them what there is to do.

Every row of the table that belongs to garbage collection has a method here, by its name. Only numbers come out of
objects into what is compared; but they depend on the right object, its type, and all of its fields.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from wasmark.core.features import Feature
from wasmark.core.opcodes import OPCODES, Imm, Opcode
from wasmark.core.types import (
    ANYREF,
    EXTERNREF,
    F32,
    F64,
    FUNCREF,
    I32,
    I64,
    ArrayType,
    FieldType,
    HeapType,
    PackedType,
    RefType,
    StorageType,
    StructType,
    SubType,
    ValType,
)

if TYPE_CHECKING:
    import random
    from collections.abc import Callable

    from tests.differential.plan import Plan

EQREF: Final = RefType.of(True, HeapType.EQ)
I31REF: Final = RefType.of(True, HeapType.I31)
STRUCTREF: Final = RefType.of(True, HeapType.STRUCT)
ARRAYREF: Final = RefType.of(True, HeapType.ARRAY)


def _fields(*storages: StorageType, mutable: bool = True) -> tuple[FieldType, ...]:
    return tuple(FieldType(storage, mutable) for storage in storages)


_BASE: Final = _fields(I32, PackedType.I8)
_MORE: Final = _BASE + _fields(F64, PackedType.I16, RefType.of(True, 1), ANYREF, I64, F32)
_STRUCTS: Final = (
    SubType(StructType(_BASE), (), final=False),
    SubType(StructType(_MORE), (0,), final=False),
    SubType(StructType(_MORE + _fields(EQREF)), (1,)),
    SubType(StructType(_fields(I32, I31REF, mutable=False)), ()),
)
_ELEMENTS: Final = (PackedType.I8, PackedType.I16, I32, I64, F32, F64, ANYREF, RefType.of(True, 0), FUNCREF)
OBJECT_TYPES: Final = (*_STRUCTS, *(SubType(ArrayType(FieldType(element, True))) for element in _ELEMENTS))
"""The first types of every module."""

STRUCTS: Final = range(len(_STRUCTS))
ARRAYS: Final = range(len(_STRUCTS), len(OBJECT_TYPES))
REFERENCES: Final = (
    ANYREF,
    EQREF,
    I31REF,
    STRUCTREF,
    ARRAYREF,
    *(RefType.of(True, i) for i in range(len(OBJECT_TYPES))),
)
"""Types of references to objects."""

ROWS: Final = [op for op in OPCODES if op.feature is Feature.GC]


def unpacked(storage: StorageType) -> ValType:
    """What a field gives."""
    return I32 if isinstance(storage, PackedType) else storage


def is_object(type_: ValType) -> bool:
    """Whether a type is one of references to objects."""
    return isinstance(type_, RefType) and RefType.of(True, type_.heap) in REFERENCES


class ObjectSteps:
    """Steps of a body with objects."""

    if TYPE_CHECKING:
        plan: Plan
        rng: random.Random
        stack: list[ValType]

        def emit(self, name: str | Opcode, imm: Any = None) -> None: ...
        def push(self, type_: ValType, name: str | Opcode, imm: Any = None) -> None: ...
        def value(self, type_: ValType, depth: int = 2) -> None: ...
        def want(self, types: list[ValType]) -> None: ...
        def chance(self, percent: float) -> bool: ...
        def local(self, type_: ValType) -> int: ...
        def _pop(self, count: int) -> None: ...
        def _small(self, type_: ValType, mask: int, *, wild: int = 2) -> None: ...

    def object_step(self) -> None:
        """One of the rows."""
        op = self.rng.choice(ROWS)
        _EMITTERS[op.name](self, op)

    def object_value(self, type_: RefType) -> None:
        """Push a new object of a type, an i31, or null."""
        heap = type_.heap
        if type_.nullable and self.chance(4):
            self.push(type_, "ref.null", heap)
            return
        if heap in (HeapType.ANY, HeapType.EQ):
            heap = self.rng.choice((HeapType.I31, HeapType.STRUCT, HeapType.ARRAY))
        if heap is HeapType.I31:
            self.value(I32, 1)
            self.emit("ref.i31")
        else:
            if heap is HeapType.STRUCT:
                heap = self.rng.choice(STRUCTS)
            elif heap is HeapType.ARRAY:
                heap = self.rng.choice(ARRAYS)
            assert isinstance(heap, int)
            self._make(self.rng.choice(_BELOW[heap]))
        self.stack[-1] = type_

    def _operand(self, type_: RefType) -> None:
        """Push a reference for an instruction that traps where it is null: mostly a new one."""
        if self.chance(70):
            self.object_value(type_)
        else:
            self.value(type_)

    def _make(self, index: int) -> None:
        """Push a new structure or array of exactly this type."""
        composite = OBJECT_TYPES[index].composite
        if isinstance(composite, StructType):
            if self.chance(60):
                self.push(RefType.of(False, index), "struct.new_default", index)
                return
            for field in composite.fields:
                self._cheap(unpacked(field.storage))
            self.emit("struct.new", index)
            self._pop(len(composite.fields))
        else:
            assert isinstance(composite, ArrayType)
            if self.chance(50):
                count = self.rng.choice((0, 2, 2, 3, 5))
                for _ in range(count):
                    self._cheap(unpacked(composite.field.storage))
                self.emit("array.new_fixed", (index, count))
                self._pop(count)
            else:
                self.emit("i32.const", self.rng.choice((1, 2, 4, 9)))
                self.emit("array.new_default", index)
        self.stack.append(RefType.of(False, index))

    def _cheap(self, type_: ValType) -> None:
        """Push a value that takes no more objects, most of the time."""
        if isinstance(type_, RefType) and self.chance(85):
            self.push(type_, "ref.null", type_.heap)
        else:
            self.value(type_, 0)

    def _array(self, elements: tuple[type, ...] = (object,)) -> tuple[int, StorageType]:
        found = [i for i in ARRAYS if isinstance(_storage(i), elements)]
        index = self.rng.choice(found)
        return index, _storage(index)

    # --- one a row ---------------------------------------------------------------------------------

    def struct_new(self, op: Opcode) -> None:
        index = self.rng.choice(STRUCTS)
        composite = OBJECT_TYPES[index].composite
        assert isinstance(composite, StructType)
        for field in composite.fields:
            self._cheap(unpacked(field.storage))
        self.emit(op, index)
        self._pop(len(composite.fields))
        self.stack.append(RefType.of(True, index))

    def new_default(self, op: Opcode) -> None:
        index = self.rng.choice(STRUCTS if op.name.startswith("struct") else ARRAYS)
        if index in ARRAYS:
            self._small(I32, 15, wild=0)
            self._pop(1)
        self.push(RefType.of(True, index), op, index)

    def _field(self, kinds: tuple[type, ...], *, mutable: bool = False) -> tuple[int, int, ValType]:
        places = [
            (index, number, unpacked(field.storage))
            for index in STRUCTS
            for number, field in enumerate(OBJECT_TYPES[index].composite.fields)  # type: ignore[union-attr]
            if isinstance(field.storage, kinds) and (field.mutable or not mutable)
        ]
        return self.rng.choice(places)

    def struct_get(self, op: Opcode) -> None:
        index, number, type_ = self._field((PackedType,) if op.name[-2] == "_" else _WHOLE)
        self._operand(RefType.of(True, index))
        self.emit(op, (index, number))
        self.stack[-1] = type_

    def struct_set(self, op: Opcode) -> None:
        index, number, type_ = self._field((object,), mutable=True)
        self._operand(RefType.of(True, index))
        self.value(type_)
        self.emit(op, (index, number))
        self._pop(2)

    def array_new(self, op: Opcode) -> None:
        index, storage = self._array()
        self.value(unpacked(storage))
        self._small(I32, 15, wild=0)
        self.emit(op, index)
        self._pop(2)
        self.stack.append(RefType.of(True, index))

    def array_new_fixed(self, op: Opcode) -> None:
        index, storage = self._array()
        count = self.rng.randrange(6)
        for _ in range(count):
            self._cheap(unpacked(storage))
        self.emit(op, (index, count))
        self._pop(count)
        self.stack.append(RefType.of(True, index))

    def array_new_segment(self, op: Opcode) -> None:
        index, segment = self._segment(op)
        self._small(I32, 1)
        self._small(I32, 1)
        self.emit(op, (index, segment))
        self._pop(2)
        self.stack.append(RefType.of(True, index))

    def _segment(self, op: Opcode) -> tuple[int, int]:
        """(array type, segment): mostly one that is not dropped."""
        if op.imm is Imm.TYPE_DATA:
            count = self.plan.data_segments
            return self._array(_NUMERIC)[0], self.rng.randrange(count) if self.chance(5) else count - 1
        segments = [i for i, type_ in enumerate(self.plan.elements) if type_.heap is HeapType.FUNC]
        return ARRAYS[-1], self.rng.choice(segments) if self.chance(5) else segments[-1]

    def array_get(self, op: Opcode) -> None:
        index, storage = self._array((PackedType,) if op.name[-2] == "_" else _WHOLE)
        self._operand(RefType.of(True, index))
        self._small(I32, 1)
        self.emit(op, index)
        self._pop(2)
        self.stack.append(unpacked(storage))

    def array_set(self, op: Opcode) -> None:
        index, storage = self._array()
        self._operand(RefType.of(True, index))
        self._small(I32, 1)
        self.value(unpacked(storage))
        self.emit(op, index)
        self._pop(3)

    def array_len(self, op: Opcode) -> None:
        self._operand(RefType.of(True, self.rng.choice(ARRAYS)))
        self.emit(op)
        self.stack[-1] = I32

    def array_fill(self, op: Opcode) -> None:
        index, storage = self._array()
        self._operand(RefType.of(True, index))
        self._small(I32, 1)
        self.value(unpacked(storage))
        self._small(I32, 1)
        self.emit(op, index)
        self._pop(4)

    def array_copy(self, op: Opcode) -> None:
        index, _ = self._array()
        for _ in range(2):
            self._operand(RefType.of(True, index))
            # Where the source is null and the destination too short, engines do not agree on what comes first.
            self.emit("ref.as_non_null")
            self._small(I32, 1)
        self._small(I32, 1)
        self.emit(op, (index, index))
        self._pop(5)

    def array_init(self, op: Opcode) -> None:
        index, segment = self._segment(op)
        self._operand(RefType.of(True, index))
        for _ in range(3):
            self._small(I32, 1)
        self.emit(op, (index, segment))
        self._pop(4)

    def _some(self) -> RefType:
        """Push a reference of a type of its own hierarchy; its type."""
        top = self.stack[-1] if self.stack else None
        if isinstance(top, RefType) and is_object(top) and self.chance(60):
            self.want([top])
            return top
        type_ = self.rng.choice(REFERENCES)
        self.value(type_)
        return type_

    def _target(self, *, nullable: bool) -> RefType:
        type_ = self.rng.choice(REFERENCES)
        return RefType.of(nullable, type_.heap)

    def ref_test(self, op: Opcode) -> None:
        self._some()
        self.emit(op, self._target(nullable=op.imm is Imm.REF_NULL))
        self.stack[-1] = I32

    def ref_cast(self, op: Opcode) -> None:
        """Mostly to what the value can be."""
        type_ = self._some()
        target = RefType.of(op.imm is Imm.REF_NULL, type_.heap if self.chance(90) else self._target(nullable=True).heap)
        self.emit(op, target)
        self.stack[-1] = RefType.of(True, target.heap)

    def br_on_cast(self, op: Opcode) -> None:
        """In a block of its own, whose result tells the way that was taken."""
        target = self._target(nullable=self.chance(50))
        source = ANYREF
        self.emit("block", ((), (ANYREF,)))
        self.value(source)
        self.emit(op, (0, source, target))
        self.emit("drop")
        self._pop(1)
        self.object_value(I31REF)
        self.emit("end")
        self.stack[-1] = ANYREF

    def convert(self, op: Opcode) -> None:
        """There and back: the other type would be of no use here."""
        if op.name.startswith("extern"):
            self.value(ANYREF)
            self.emit(op)
            self.emit("any.convert_extern")
        else:
            self.value(EXTERNREF)
            self.emit(op)
        self.stack[-1] = ANYREF

    def ref_i31(self, op: Opcode) -> None:
        self.want([I32])
        self.emit(op)
        self.stack[-1] = I31REF

    def i31_get(self, op: Opcode) -> None:
        self._operand(I31REF)
        self.emit(op)
        self.stack[-1] = I32

    def ref_eq(self, op: Opcode) -> None:
        type_ = self.rng.choice([type_ for type_ in REFERENCES if type_ is not ANYREF])
        self.value(type_)
        if self.chance(50):
            scratch = self.local(type_)
            self.emit("local.tee", scratch)
            self.push(type_, "local.get", scratch)
        else:
            self.value(type_)
        self.emit(op)
        self._pop(2)
        self.stack.append(I32)


def _storage(index: int) -> StorageType:
    composite = OBJECT_TYPES[index].composite
    assert isinstance(composite, ArrayType)
    return composite.field.storage


_NUMERIC: Final = (type(I32), PackedType)
_WHOLE: Final = (type(I32), RefType)


def _is_below(index: int, above: int) -> bool:
    while index != above:
        if not OBJECT_TYPES[index].supertypes:
            return False
        (index,) = OBJECT_TYPES[index].supertypes
    return True


_BELOW: Final = [
    [index for index in range(len(OBJECT_TYPES)) if _is_below(index, above)] for above in range(len(OBJECT_TYPES))
]
"""For each type, those that may stand for it."""

_EMITTERS: Final[dict[str, Callable[[ObjectSteps, Opcode], None]]] = {
    "struct.new": ObjectSteps.struct_new,
    "struct.new_default": ObjectSteps.new_default,
    "struct.get": ObjectSteps.struct_get,
    "struct.get_s": ObjectSteps.struct_get,
    "struct.get_u": ObjectSteps.struct_get,
    "struct.set": ObjectSteps.struct_set,
    "array.new": ObjectSteps.array_new,
    "array.new_default": ObjectSteps.new_default,
    "array.new_fixed": ObjectSteps.array_new_fixed,
    "array.new_data": ObjectSteps.array_new_segment,
    "array.new_elem": ObjectSteps.array_new_segment,
    "array.get": ObjectSteps.array_get,
    "array.get_s": ObjectSteps.array_get,
    "array.get_u": ObjectSteps.array_get,
    "array.set": ObjectSteps.array_set,
    "array.len": ObjectSteps.array_len,
    "array.fill": ObjectSteps.array_fill,
    "array.copy": ObjectSteps.array_copy,
    "array.init_data": ObjectSteps.array_init,
    "array.init_elem": ObjectSteps.array_init,
    "ref.test": ObjectSteps.ref_test,
    "ref.cast": ObjectSteps.ref_cast,
    "br_on_cast": ObjectSteps.br_on_cast,
    "br_on_cast_fail": ObjectSteps.br_on_cast,
    "any.convert_extern": ObjectSteps.convert,
    "extern.convert_any": ObjectSteps.convert,
    "ref.i31": ObjectSteps.ref_i31,
    "i31.get_s": ObjectSteps.i31_get,
    "i31.get_u": ObjectSteps.i31_get,
    "ref.eq": ObjectSteps.ref_eq,
}
