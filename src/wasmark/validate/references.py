"""Validity of the instructions on structures, arrays, i31 references and casts (core §3.4.6 to §3.4.9)."""

from __future__ import annotations

from wasmark.core.types import (
    ANYREF,
    I32,
    ArrayType,
    FieldType,
    HeapType,
    PackedType,
    RefType,
    StorageType,
    StructType,
    ValType,
    is_defaultable,
)
from wasmark.errors import InvalidError
from wasmark.validate.context import lookup
from wasmark.validate.subtyping import storage_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Final

    from wasmark.core.opcodes import Opcode
    from wasmark.validate.body import BodyValidator
else:
    Any = object

_NULLABLE_ARRAY: Final = RefType.of(True, HeapType.ARRAY)
_NULLABLE_EQ: Final = RefType.of(True, HeapType.EQ)
_NULLABLE_I31: Final = RefType.of(True, HeapType.I31)
_EXTERNS: Final = RefType.of(True, HeapType.EXTERN)


def unpacked(storage: StorageType) -> ValType:
    """What a field gives and takes (core §3.2.8)."""
    return I32 if isinstance(storage, PackedType) else storage


def _struct(body: BodyValidator, index: int) -> StructType:
    composite = body.types.composite(index)
    if not isinstance(composite, StructType):
        raise InvalidError(f"type mismatch: type {index} is no structure")
    return composite


def _array(body: BodyValidator, index: int) -> FieldType:
    composite = body.types.composite(index)
    if not isinstance(composite, ArrayType):
        raise InvalidError(f"type mismatch: type {index} is no array")
    return composite.field


def _field(body: BodyValidator, imm: tuple[int, int]) -> FieldType:
    return lookup(_struct(body, imm[0]).fields, imm[1], "field")


def _mutable(field: FieldType, what: str) -> FieldType:
    if not field.mutable:
        raise InvalidError(f"immutable {what}")
    return field


def _check_default(field: FieldType, what: str) -> None:
    if not isinstance(field.storage, PackedType) and not is_defaultable(field.storage):
        raise InvalidError(f"type mismatch: {what} of type {field.storage} has no default value")


def _check_packing(op: Opcode, field: FieldType) -> None:
    """`get` is for what is not packed, `get_s` and `get_u` for what is."""
    if isinstance(field.storage, PackedType) != (op.name[-2] == "_"):
        kind = "packed" if isinstance(field.storage, PackedType) else "not packed"
        raise InvalidError(f"type mismatch: {op.name} of {field.storage}, which is {kind}")


def struct_new(body: BodyValidator, op: Opcode, imm: int) -> None:
    fields = _struct(body, imm).fields
    body.pop_types(tuple(unpacked(field.storage) for field in fields), op)
    body.push(RefType.of(False, imm))


def struct_new_default(body: BodyValidator, op: Opcode, imm: int) -> None:
    for field in _struct(body, imm).fields:
        _check_default(field, "a field")
    body.push(RefType.of(False, imm))


def struct_get(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    field = _field(body, imm)
    _check_packing(op, field)
    body.pop(RefType.of(True, imm[0]), op)
    body.push(unpacked(field.storage))


def struct_set(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    field = _mutable(_field(body, imm), f"field {imm[1]}")
    body.pop(unpacked(field.storage), op)
    body.pop(RefType.of(True, imm[0]), op)


def array_new(body: BodyValidator, op: Opcode, imm: int) -> None:
    field = _array(body, imm)
    body.pop_types((unpacked(field.storage), I32), op)
    body.push(RefType.of(False, imm))


def array_new_default(body: BodyValidator, op: Opcode, imm: int) -> None:
    _check_default(_array(body, imm), "an element")
    body.pop(I32, op)
    body.push(RefType.of(False, imm))


def array_new_fixed(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    element = unpacked(_array(body, imm[0]).storage)
    for _ in range(imm[1]):
        if body.is_polymorphic():  # any number of operands is there: do not take them one by one
            break
        body.pop(element, op)
    body.push(RefType.of(False, imm[0]))


def _check_bytes(body: BodyValidator, field: FieldType, imm: tuple[int, int]) -> None:
    if isinstance(field.storage, RefType):
        raise InvalidError("array type is not numeric or vector")
    body.context.check_data(imm[1])


def _check_elements(body: BodyValidator, op: Opcode, field: FieldType, imm: tuple[int, int]) -> None:
    segment = lookup(body.context.elements, imm[1], "elem segment")
    storage = field.storage
    if not isinstance(storage, RefType) or not body.types.ref_matches(segment, storage):
        raise InvalidError(f"type mismatch: {op.name} expected a segment of {storage}, found one of {segment}")


def array_new_data(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    _check_bytes(body, _array(body, imm[0]), imm)
    body.pop_types((I32, I32), op)
    body.push(RefType.of(False, imm[0]))


def array_new_elem(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    _check_elements(body, op, _array(body, imm[0]), imm)
    body.pop_types((I32, I32), op)
    body.push(RefType.of(False, imm[0]))


def array_get(body: BodyValidator, op: Opcode, imm: int) -> None:
    field = _array(body, imm)
    _check_packing(op, field)
    body.pop_types((RefType.of(True, imm), I32), op)
    body.push(unpacked(field.storage))


def array_set(body: BodyValidator, op: Opcode, imm: int) -> None:
    field = _mutable(_array(body, imm), "array")
    body.pop_types((RefType.of(True, imm), I32, unpacked(field.storage)), op)


def array_len(body: BodyValidator, op: Opcode, imm: None) -> None:
    body.pop(_NULLABLE_ARRAY, op)
    body.push(I32)


def array_fill(body: BodyValidator, op: Opcode, imm: int) -> None:
    field = _mutable(_array(body, imm), "array")
    body.pop_types((RefType.of(True, imm), I32, unpacked(field.storage), I32), op)


def array_copy(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    destination, source = (_array(body, index) for index in imm)
    _mutable(destination, "array")
    if not storage_matches(body.types, source.storage, destination.storage):
        raise InvalidError("array types do not match")
    body.pop_types((RefType.of(True, imm[0]), I32, RefType.of(True, imm[1]), I32, I32), op)


def array_init_data(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    field = _mutable(_array(body, imm[0]), "array")
    _check_bytes(body, field, imm)
    body.pop_types((RefType.of(True, imm[0]), I32, I32, I32), op)


def array_init_elem(body: BodyValidator, op: Opcode, imm: tuple[int, int]) -> None:
    field = _mutable(_array(body, imm[0]), "array")
    _check_elements(body, op, field, imm)
    body.pop_types((RefType.of(True, imm[0]), I32, I32, I32), op)


def _top(body: BodyValidator, type_: RefType) -> RefType:
    return RefType.of(True, body.types.top(type_.heap))


def ref_test(body: BodyValidator, op: Opcode, imm: RefType) -> None:
    body.types.check_ref_type(imm)
    body.pop(_top(body, imm), op)
    body.push(I32)


def ref_cast(body: BodyValidator, op: Opcode, imm: RefType) -> None:
    body.types.check_ref_type(imm)
    body.pop(_top(body, imm), op)
    body.push(imm)


def _cast_types(body: BodyValidator, op: Opcode, source: RefType, target: RefType) -> RefType:
    """What is left of the source where the cast fails (core §3.1.3, the difference of reference types)."""
    body.types.check_ref_type(source)
    body.types.check_ref_type(target)
    if not body.types.ref_matches(target, source):
        raise InvalidError(f"type mismatch: {op.name} expected a part of {source}, found {target}")
    return RefType.of(source.nullable and not target.nullable, source.heap)


def _branch(body: BodyValidator, op: Opcode, label: int, taken: RefType, source: RefType, left: RefType) -> None:
    types = body.label(label)
    last = types[-1] if types else None
    if not isinstance(last, RefType) or not body.types.ref_matches(taken, last):
        raise InvalidError(
            f"type mismatch: {op.name} expected a label that ends in {taken}, found [{' '.join(map(str, types))}]"
        )
    body.pop(source, op)
    body.pop_types(types[:-1], op)
    body.push(*types[:-1], left)


def br_on_cast(body: BodyValidator, op: Opcode, imm: tuple[int, RefType, RefType]) -> None:
    label, source, target = imm
    left = _cast_types(body, op, source, target)
    _branch(body, op, label, target, source, left)


def br_on_cast_fail(body: BodyValidator, op: Opcode, imm: tuple[int, RefType, RefType]) -> None:
    label, source, target = imm
    left = _cast_types(body, op, source, target)
    _branch(body, op, label, left, source, target)


def any_convert_extern(body: BodyValidator, op: Opcode, imm: None) -> None:
    found = body.pop(_EXTERNS, op)
    body.push(RefType.of(body.may_be_null(found), HeapType.ANY))


def extern_convert_any(body: BodyValidator, op: Opcode, imm: None) -> None:
    found = body.pop(ANYREF, op)
    body.push(RefType.of(body.may_be_null(found), HeapType.EXTERN))


def ref_i31(body: BodyValidator, op: Opcode, imm: None) -> None:
    body.pop(I32, op)
    body.push(RefType.of(False, HeapType.I31))


def i31_get(body: BodyValidator, op: Opcode, imm: None) -> None:
    body.pop(_NULLABLE_I31, op)
    body.push(I32)


def ref_eq(body: BodyValidator, op: Opcode, imm: None) -> None:
    body.pop_types((_NULLABLE_EQ, _NULLABLE_EQ), op)
    body.push(I32)


REFERENCE_RULES: Final[dict[str, Any]] = {
    "struct.new": struct_new,
    "struct.new_default": struct_new_default,
    "struct.get": struct_get,
    "struct.get_s": struct_get,
    "struct.get_u": struct_get,
    "struct.set": struct_set,
    "array.new": array_new,
    "array.new_default": array_new_default,
    "array.new_fixed": array_new_fixed,
    "array.new_data": array_new_data,
    "array.new_elem": array_new_elem,
    "array.get": array_get,
    "array.get_s": array_get,
    "array.get_u": array_get,
    "array.set": array_set,
    "array.len": array_len,
    "array.fill": array_fill,
    "array.copy": array_copy,
    "array.init_data": array_init_data,
    "array.init_elem": array_init_elem,
    "ref.test": ref_test,
    "ref.cast": ref_cast,
    "br_on_cast": br_on_cast,
    "br_on_cast_fail": br_on_cast_fail,
    "any.convert_extern": any_convert_extern,
    "extern.convert_any": extern_convert_any,
    "ref.i31": ref_i31,
    "i31.get_s": i31_get,
    "i31.get_u": i31_get,
    "ref.eq": ref_eq,
}
"""What checks an instruction, by its name: called with the validator of the body, the row and the immediate."""
