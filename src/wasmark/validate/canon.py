"""One identity for equal types of all modules of an engine (core §3.3.10).

Two defined types are equal when their recursion groups are, member by member, after references inside the group have
been replaced by positions in it and references to earlier types by *their* canonical identity: iso-recursive
equality. A group is looked up by that closed form; so equality of types is equality of small integers, and a subtype
check is one look into the chain of supertypes that is kept with every id. Ids are never given up or reused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from wasmark.core.record import Record
from wasmark.core.types import (
    ArrayType,
    CompositeType,
    FieldType,
    FuncType,
    HeapType,
    RefType,
    StorageType,
    StructType,
    SubType,
    ValType,
)
from wasmark.runtime.apart import unbroken
from wasmark.runtime.forks import RenewedLock
from wasmark.validate.subtyping import TOP_OF, kind_of, val_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from wasmark.core.model import ModuleModel

_Renaming = Callable[[int], int]


class _Entry(Record):
    """A canonical type, its line of declared supertypes (the topmost first, itself last), and FUNC, STRUCT or ARRAY."""

    __slots__ = ("chain", "kind", "type")

    def __init__(self, type: SubType, chain: tuple[int, ...], kind: HeapType) -> None:
        self.type = type
        self.chain = chain
        self.kind = kind


class TypeRegistry:
    """The canonical types of an engine. Ids count from 1; 0 is free for "no type".

    Registering takes a lock; all questions are answered without one, since what they read is only ever appended to,
    and is complete before an id is handed out. Only types of modules that passed `validate_module` may be registered.
    """

    def __init__(self) -> None:
        self._lock = RenewedLock(threading.Lock)
        self._groups: dict[tuple[SubType, ...], int] = {}  # closed form -> id of the first member
        nothing = _Entry(SubType(FuncType((), ())), (), HeapType.FUNC)
        self._entries = [nothing]  # by id

    def __len__(self) -> int:
        """How many types there are."""
        return len(self._entries) - 1

    def register(self, model: ModuleModel) -> tuple[int, ...]:
        """The canonical id of every type index of a validated module."""

        def register() -> tuple[int, ...]:
            ids: list[int] = []
            for first, count in model.rec_groups:
                closed = _closed(model.types[first : first + count], ids)
                first_id = self._groups.get(closed)
                if first_id is None:
                    first_id = self._enter(closed)
                ids += range(first_id, first_id + count)
            return tuple(ids)

        return unbroken(register)

    def register_group(self, group: Sequence[SubType], before: Sequence[int]) -> range:
        """The ids of the members of one recursion group, given those of all types before it in its module.

        Type indices in the group that reach beyond `before` mean the group's own members.
        """
        closed = _closed(group, before)
        first = self._groups.get(closed)
        if first is None:
            first = unbroken(lambda: self._enter(closed))
        return range(first, first + len(closed))

    def _enter(self, closed: tuple[SubType, ...]) -> int:
        with self._lock.held:
            first = self._groups.get(closed)
            if first is None:
                first = len(self._entries)
                for type_ in closed:
                    self._append(rename_type(type_, lambda i: i if i >= 0 else first - i - 1))
                self._groups[closed] = first
        return first

    def _append(self, type_: SubType) -> None:
        above = self._entries[type_.supertypes[0]].chain if type_.supertypes else ()
        self._entries.append(_Entry(type_, (*above, len(self._entries)), kind_of(type_.composite)))

    def canonical(self, type_: ValType, ids: Sequence[int]) -> ValType:
        """A module's value type with its type index replaced by the id from `ids` (what `register` returned)."""
        if isinstance(type_, RefType) and isinstance(type_.heap, int):
            return RefType.of(type_.nullable, ids[type_.heap])
        return type_

    def sub_type(self, id_: int) -> SubType:
        """The whole type; all type indices in it are canonical ids."""
        return self._entries[id_].type

    def func_type(self, id_: int) -> FuncType:
        """A function type in canonical space. TypeError if the id is that of another kind of type."""
        composite = self._entries[id_].type.composite
        if not isinstance(composite, FuncType):
            raise TypeError(f"type {id_} is not a function type")
        return composite

    def supertypes(self, id_: int) -> tuple[int, ...]:
        """The declared supertypes from the topmost down to the type itself, which is the last."""
        return self._entries[id_].chain

    def kind(self, id_: int) -> HeapType:
        """FUNC, STRUCT or ARRAY."""
        return self._entries[id_].kind

    def top(self, type_: RefType) -> HeapType:
        """The top of the hierarchy that a reference type in canonical space belongs to."""
        return TOP_OF[type_.heap if isinstance(type_.heap, HeapType) else self.kind(type_.heap)]

    def is_collected(self, type_: RefType) -> bool:
        """Whether references of this type, in canonical space, are of interest to a collector: all but functions."""
        return self.top(type_) is not HeapType.FUNC

    def is_subtype_id(self, sub: int, sup: int) -> bool:
        """Whether one canonical type is the other or declares it, directly or not, as its supertype. Constant time."""
        if sub == sup:
            return True
        # A type stands at the same place, its own depth, in the chains of all that is below it.
        depth = len(self._entries[sup].chain) - 1
        chain = self._entries[sub].chain
        return depth < len(chain) and chain[depth] == sup

    def is_subtype(self, sub: ValType, sup: ValType) -> bool:
        """Whether a value of type `sub` may stand where `sup` is expected; both in canonical space."""
        return sub is sup or val_matches(self, sub, sup)


def _closed(group: Sequence[SubType], before: Sequence[int]) -> tuple[SubType, ...]:
    """The closed form of a group. In it members of the group are the numbers -1, -2, ...: no id is negative."""
    size = len(before)
    return tuple(rename_type(type_, lambda i: before[i] if i < size else size - i - 1) for type_ in group)


def rename_type(type_: SubType, new: _Renaming) -> SubType:
    """The type with other type indices in it."""
    return SubType(_rename_composite(type_.composite, new), tuple(map(new, type_.supertypes)), type_.final)


def _rename_composite(composite: CompositeType, new: _Renaming) -> CompositeType:
    if isinstance(composite, FuncType):
        return FuncType(
            tuple(_rename_value(t, new) for t in composite.params),
            tuple(_rename_value(t, new) for t in composite.results),
        )
    if isinstance(composite, StructType):
        return StructType(tuple(_rename_field(f, new) for f in composite.fields))
    return ArrayType(_rename_field(composite.field, new))


def _rename_field(field: FieldType, new: _Renaming) -> FieldType:
    storage = field.storage
    renamed: StorageType = _rename_value(storage, new) if isinstance(storage, RefType) else storage
    return FieldType(renamed, field.mutable)


def _rename_value(type_: ValType, new: _Renaming) -> ValType:
    if isinstance(type_, RefType) and isinstance(type_.heap, int):
        return RefType.of(type_.nullable, new(type_.heap))
    return type_
