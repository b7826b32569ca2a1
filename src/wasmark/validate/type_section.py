"""The types of one module: their validity (core §3.2), and all questions about them that the rest of validation asks.

Also the implementation limits on types (core, appendix "Implementation Limitations"). They are those of the JavaScript
embedding; without them, a small module could make each of its blocks carry a huge type.
"""

from __future__ import annotations

from wasmark.core.features import Feature
from wasmark.core.types import (
    EXTERNREF,
    FUNCREF,
    V128,
    ArrayType,
    CompositeType,
    FieldType,
    FuncType,
    HeapType,
    RefType,
    StructType,
    SubType,
    ValType,
)
from wasmark.errors import InvalidError, UnsupportedError
from wasmark.validate.canon import TypeRegistry
from wasmark.validate.subtyping import TOP_OF, composite_matches, field_matches, kind_of, ref_matches

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Final

MAX_PARAMS: Final = 1000
MAX_RESULTS: Final = 1000
MAX_FIELDS: Final = 10_000
MAX_SUBTYPE_DEPTH: Final = 63

_KINDS: Final = {FuncType: "function", StructType: "structure", ArrayType: "array"}

_FEATURE_OF: Final[dict[HeapType | int, Feature]] = {
    heap: Feature.GC
    for heap in HeapType
    if TOP_OF[heap] is HeapType.ANY or heap in (HeapType.NOFUNC, HeapType.NOEXTERN)
}
"""Heap types that came with another feature than typed function references did."""

BlockType = tuple[tuple[ValType, ...], tuple[ValType, ...]]


def require_feature(feature: Feature, features: frozenset[Feature], what: str) -> None:
    """Raises InvalidError that names the feature unless it is enabled."""
    if feature not in features:
        raise InvalidError(f"{what} is part of the {feature.value!r} feature, which is not enabled")


def _field_text(field: FieldType) -> str:
    return f"{'mut ' if field.mutable else ''}{field.storage}"


class ModuleTypes:
    """A module's type section; raises InvalidError (without an offset: the caller knows where it is) if it is not
    valid.

    It is a `TypeSpace` over the module's type indices.
    """

    def __init__(
        self, types: list[SubType], rec_groups: Iterable[tuple[int, int]], features: frozenset[Feature]
    ) -> None:
        self._types = types
        self._features = features
        self._registry = TypeRegistry()
        self._ids: list[int] = []
        self._known = 0  # type indices below this one may be used
        self._depths: list[int] = []
        self._matches: dict[tuple[RefType, RefType], bool] = {}
        self.checked_block_types: set[BlockType] = {((), ())}
        for first, count in rec_groups:
            self.check_group(first, count)

    # The type section

    def check_group(self, first: int, count: int) -> None:
        """The members of the next recursion group, which are there already."""
        group = self._types[first : first + count]
        self._known = first + count
        if count != 1:
            require_feature(Feature.GC, self._features, "a recursion group")
        for index, type_ in enumerate(group, first):
            self._check_members(index, type_)
        # Matching needs the identities of the group's members, and those need all its references to be in range.
        self._ids += self._registry.register_group(group, self._ids)
        for index, type_ in enumerate(group, first):
            for above in type_.supertypes:
                self._check_supertype(index, type_, above)

    def _check_members(self, index: int, type_: SubType) -> None:
        composite = type_.composite
        if isinstance(composite, FuncType):
            self._check_func_type(index, composite)
        else:
            require_feature(Feature.GC, self._features, "a structure or array type")
            fields = (composite.field,) if isinstance(composite, ArrayType) else composite.fields
            if len(fields) > MAX_FIELDS:
                raise UnsupportedError(f"type {index} has {len(fields)} fields, and the limit is {MAX_FIELDS}")
            for field in fields:
                self._check_field(field)
        if type_.supertypes or not type_.final:
            require_feature(Feature.GC, self._features, "a sub type")
        if len(type_.supertypes) > 1:
            raise InvalidError(f"sub type {index} has more than one super type")
        depth = 0
        for above in type_.supertypes:
            self.check_index(above)
            if above >= index:
                raise InvalidError(f"forward use of type {above} in sub type {index}")
            depth = self._depths[above] + 1
        if depth > MAX_SUBTYPE_DEPTH:
            raise UnsupportedError(f"type {index} has more than {MAX_SUBTYPE_DEPTH} super types above each other")
        self._depths.append(depth)

    def _check_func_type(self, index: int, type_: FuncType) -> None:
        for count, limit, what in (
            (len(type_.params), MAX_PARAMS, "parameters"),
            (len(type_.results), MAX_RESULTS, "results"),
        ):
            if count > limit:
                raise UnsupportedError(f"type {index} has {count} {what}, and the limit is {limit}")
        if len(type_.results) > 1:
            require_feature(Feature.MULTI_VALUE, self._features, "a function type with more than one result")
        for value in (*type_.params, *type_.results):
            self.check_value_type(value)

    def _check_field(self, field: FieldType) -> None:
        if isinstance(field.storage, RefType):
            self.check_ref_type(field.storage)

    def _check_supertype(self, index: int, type_: SubType, above: int) -> None:
        super_type = self._types[above]
        if super_type.final:
            raise InvalidError(f"sub type {index} has the final super type {above}")
        if not composite_matches(self, type_.composite, super_type.composite):
            why = self._mismatch(type_.composite, super_type.composite)
            raise InvalidError(f"sub type {index} does not match its super type {above}: {why}")

    def _mismatch(self, sub: CompositeType, sup: CompositeType) -> str:
        """Why one is no subtype of the other (core §3.3.8)."""
        if isinstance(sub, StructType) and isinstance(sup, StructType):
            if len(sub.fields) < len(sup.fields):
                return f"it has {len(sub.fields)} of {len(sup.fields)} fields"
            pairs = enumerate(zip(sub.fields, sup.fields, strict=False))
            number, (a, b) = next(pair for pair in pairs if not field_matches(self, *pair[1]))
            return f"field {number} is {_field_text(a)}, and not {_field_text(b)}"
        if isinstance(sub, ArrayType) and isinstance(sup, ArrayType):
            return f"its elements are {_field_text(sub.field)}, and not {_field_text(sup.field)}"
        if isinstance(sub, FuncType) and isinstance(sup, FuncType):
            return f"it is {sub}, and not {sup}"
        return f"a {_KINDS[type(sub)]} is no {_KINDS[type(sup)]}"

    # The type space

    def kind(self, index: int) -> HeapType:
        """FUNC, STRUCT or ARRAY."""
        return kind_of(self._types[index].composite)

    def is_subtype_id(self, sub: int, sup: int) -> bool:
        """Whether type index `sub` is equal to `sup` or declares it as a supertype (core §3.3.10)."""
        return self._registry.is_subtype_id(self._ids[sub], self._ids[sup])

    def ref_matches(self, sub: RefType, sup: RefType) -> bool:
        """Core §3.3.4. Answers are kept: code asks the same few pairs again and again."""
        if sub is sup:
            return True
        key = (sub, sup)
        found = self._matches.get(key)
        if found is None:
            found = self._matches[key] = ref_matches(self, sub, sup)
        return found

    # Uses of types

    def check_index(self, index: int) -> None:
        """Raises InvalidError unless there is such a type."""
        if index >= self._known:
            raise InvalidError(f"unknown type {index}: {self._known} are known here")

    def check_value_type(self, type_: ValType) -> None:
        """Core §3.2.6."""
        if isinstance(type_, RefType):
            require_feature(Feature.REFERENCE_TYPES, self._features, f"the type {type_}")
            self.check_ref_type(type_)
        elif type_ is V128:
            require_feature(Feature.SIMD, self._features, "the type v128")

    def check_ref_type(self, type_: RefType) -> None:
        """Core §3.2.5. `funcref` belongs to the first version of the standard, where tables have it."""
        if type_ is FUNCREF:
            return
        if type_ is EXTERNREF:
            require_feature(Feature.REFERENCE_TYPES, self._features, "the type externref")
            return
        require_feature(_FEATURE_OF.get(type_.heap, Feature.FUNCTION_REFERENCES), self._features, f"the type {type_}")
        if isinstance(type_.heap, int):
            self.check_index(type_.heap)

    def check_heap_type(self, heap: HeapType | int) -> None:
        """Core §3.2.4."""
        self.check_ref_type(RefType.of(True, heap))

    def check_block_type(self, block: BlockType) -> None:
        """Core §3.2.8. A type that was fine once is not looked at again."""
        if block in self.checked_block_types:
            return
        params, results = block
        if params or len(results) > 1:
            require_feature(Feature.MULTI_VALUE, self._features, "a block with parameters or several results")
        for type_ in (*params, *results):
            self.check_value_type(type_)
        self.checked_block_types.add(block)

    def composite(self, index: int) -> CompositeType:
        """What a type index stands for; InvalidError unless there is such a type."""
        self.check_index(index)
        return self._types[index].composite

    def top(self, heap: HeapType | int) -> HeapType:
        """The top of the hierarchy that a valid heap type belongs to."""
        return TOP_OF[heap if isinstance(heap, HeapType) else self.kind(heap)]

    def func_type(self, index: int) -> FuncType:
        """The signature at a type index; InvalidError unless there is one and it is a function type."""
        composite = self.composite(index)
        if not isinstance(composite, FuncType):
            raise InvalidError(f"non-function type {index}")
        return composite
