"""The validity of a module (core §3.5): every section but the code, whose bodies are checked one by one when asked for.

The order is that of the specification's own definition (core §3.5.13); so, where a module breaks several rules, the
first broken one in this order is reported. The wording of errors starts as in the official tests.
"""

from __future__ import annotations

from wasmark.binary.instructions import decode_body, decode_constant, is_short_i32_const
from wasmark.core.features import Feature
from wasmark.core.types import (
    I32,
    FuncType,
    GlobalType,
    HeapType,
    Limits,
    MemoryType,
    RefType,
    TableType,
    TagType,
    ValType,
)
from wasmark.errors import InvalidError
from wasmark.validate.body import BodyValidator
from wasmark.validate.context import Context, address_type, lookup, unknown
from wasmark.validate.quick import is_plainly_valid
from wasmark.validate.type_section import ModuleTypes, require_feature

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Final

    from wasmark.core.model import ConstExpr, ElementSegment, ModuleModel
    from wasmark.core.opcodes import Opcode
    from wasmark.validate.body import Instr

_MAX_PAGES: Final = {
    (False, 16): (1 << 16, "65536 pages (4 GiB)"),
    (True, 16): (1 << 48, "2^48 pages (2^64 bytes)"),
    (False, 0): ((1 << 32) - 1, "2^32 - 1 bytes"),
    (True, 0): ((1 << 64) - 1, "2^64 - 1 bytes"),
}
"""The largest sizes in pages, by whether addresses have 64 bits and the logarithm of the page size."""
_MAX_ELEMENTS: Final = {False: ((1 << 32) - 1, "2^32 - 1"), True: ((1 << 64) - 1, "2^64 - 1")}
_PAGE_SIZE_LOG2: Final = 16
_PAGE_SIZES_LOG2: Final = (0, 16)  # those of the custom page sizes proposal, too

_CONSTANT: Final = frozenset(("i32.const", "i64.const", "f32.const", "f64.const", "v128.const", "ref.null", "end"))
_CONSTANT_WITH_GC: Final = frozenset(
    (
        *("struct.new", "struct.new_default", "array.new", "array.new_default", "array.new_fixed"),
        *("ref.i31", "any.convert_extern", "extern.convert_any"),
    )
)
_EXTENDED_CONSTANT: Final = frozenset(("i32.add", "i32.sub", "i32.mul", "i64.add", "i64.sub", "i64.mul"))

_TYPE_SECTION: Final = 1
_MEMORY_SECTION: Final = 5
_START_SECTION: Final = 8
_TAG_SECTION: Final = 13

_FUNCTION_REF: Final = RefType.of(False, HeapType.FUNC)
"""The type of segments of function indices, also in modules that know no other typed reference (core §5.5.12)."""

ALL_FEATURES: Final = frozenset(Feature)


class ModuleValidator:
    """A module whose sections are valid, and what is needed to check its bodies. Made by `validate_module`.

    Bodies may be checked in any order, again, and by several threads at once.
    """

    def __init__(self, model: ModuleModel, context: Context) -> None:
        self._model = model
        self._context = context

    @property
    def declared_functions(self) -> frozenset[int]:
        """The functions that the module mentions outside of bodies: all that `ref.func` may name (core §3.4.6)."""
        return frozenset(self._context.declared)

    def check_body(self, defined_index: int) -> None:
        """Decode a body and check it; `defined_index` does not count imported functions.

        Raises as `decode_body` and `validate_body` do.
        """
        function = self._model.functions[defined_index]
        signature = self._context.signatures[self._model.imported["func"] + defined_index]
        if not is_plainly_valid(self._model, self._context, signature, function):
            self.validate_body(defined_index, decode_body(self._model, function.start, function.end))

    def validate_body(self, defined_index: int, instrs: Iterable[Instr]) -> None:
        """Check a body that `binary.decode_body` has decoded; `defined_index` does not count imported functions.

        Raises InvalidError with the function's index and the offset of the instruction (of the body's first byte, if
        its locals are at fault).
        """
        function = self._model.functions[defined_index]
        func_index = self._model.imported["func"] + defined_index
        try:
            body = BodyValidator(
                self._context, self._context.signatures[func_index], function.locals, func_index=func_index
            )
        except InvalidError as error:
            raise InvalidError(f"{error.message}, in a local", offset=function.entry, func_index=func_index) from None
        body.run(instrs)


def validate_module(model: ModuleModel, features: frozenset[Feature] = ALL_FEATURES) -> ModuleValidator:
    """Check everything but the function bodies. Raises InvalidError with the offset of the offending item."""
    return _Sections(model, features).check()


class _At:
    """Around a check: errors that do not know better happened at `offset`."""

    __slots__ = ("_offset",)

    def __init__(self, offset: int | None) -> None:
        self._offset = offset

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, InvalidError) and error.offset is None:
            raise InvalidError(error.message, offset=self._offset, func_index=error.func_index) from None


class _Sections:
    """One method a section; the index spaces in `_context` grow on the way."""

    def __init__(self, model: ModuleModel, features: frozenset[Feature]) -> None:
        self._model = model
        self._features = features
        self._section_starts = {id_: start for id_, start, _ in reversed(model.sections)}
        with self._at_section(_TYPE_SECTION):
            types = ModuleTypes(model.types, model.rec_groups, features)
        self._types = types
        self._context = Context(types, features)

    def check(self) -> ModuleValidator:
        self._check_imports()
        self._check_definitions()
        self._check_tables()
        self._check_globals()
        self._check_data_segments()
        self._check_element_segments()
        self._check_start()
        self._check_exports()
        return ModuleValidator(self._model, self._context)

    def _at_section(self, id_: int) -> _At:
        return _At(self._section_starts.get(id_))

    # Imports and definitions

    def _check_imports(self) -> None:
        for import_ in self._model.imports:
            with _At(import_.offset):
                match import_.desc:
                    case int() as type_index:
                        self._add_function(type_index)
                    case TableType() as table:
                        self._add_table(table)
                    case MemoryType() as memory:
                        self._add_memory(memory)
                    case GlobalType() as global_:
                        self._add_global(global_)
                    case TagType() as tag:
                        self._check_tag(tag)

    def _check_definitions(self) -> None:
        with self._at_section(_TAG_SECTION):
            for tag in self._model.tags:
                self._check_tag(tag)
        known: dict[int, FuncType] = {}
        for function in self._model.functions:
            index = function.type_index
            if index not in known:
                with _At(function.entry):
                    known[index] = self._types.func_type(index)
        indices = [function.type_index for function in self._model.functions]
        self._context.func_types += indices
        self._context.signatures += map(known.__getitem__, indices)
        with self._at_section(_MEMORY_SECTION):
            for memory in self._model.memories:
                self._add_memory(memory)

    def _check_tables(self) -> None:
        for table in self._model.tables:
            with _At(table.offset):
                element = table.type.element
                self._types.check_ref_type(element)
                if table.init is not None:
                    require_feature(Feature.FUNCTION_REFERENCES, self._features, "a table with an initial value")
                    self._check_constant(table.init, element)
                elif not element.nullable:
                    raise InvalidError(f"type mismatch: a table of {element} expected an initial value, found none")
                self._add_table(table.type)

    def _check_globals(self) -> None:
        for global_ in self._model.globals:
            with _At(global_.offset):
                # Its own initialiser does not see it yet (core §3.5.3).
                self._types.check_value_type(global_.type.value)
                self._check_constant(global_.init, global_.type.value)
                self._add_global(global_.type)

    def _add_function(self, type_index: int) -> None:
        signature: FuncType = self._types.func_type(type_index)
        self._context.func_types.append(type_index)
        self._context.signatures.append(signature)

    def _add_table(self, type_: TableType) -> None:
        self._types.check_ref_type(type_.element)
        self._check_limits(type_.limits, *_MAX_ELEMENTS[type_.limits.is64], "table")
        self._context.tables.append(type_)
        if len(self._context.tables) > 1:
            require_feature(Feature.REFERENCE_TYPES, self._features, "multiple tables")

    def _add_memory(self, type_: MemoryType) -> None:
        if type_.page_size_log2 not in _PAGE_SIZES_LOG2:
            raise InvalidError(f"invalid custom page size: {1 << type_.page_size_log2} bytes, expected 1 or 65536")
        if type_.page_size_log2 != _PAGE_SIZE_LOG2:
            require_feature(Feature.CUSTOM_PAGE_SIZES, self._features, "a custom page size")
        if type_.limits.shared:
            require_feature(Feature.THREADS, self._features, "a shared memory")
            if type_.limits.maximum is None:
                raise InvalidError(f"shared memory must have maximum, not only the minimum {type_.limits.minimum}")
        self._check_limits(type_.limits, *_MAX_PAGES[type_.limits.is64, type_.page_size_log2], "memory")
        self._context.memories.append(type_)
        if len(self._context.memories) > 1:
            require_feature(Feature.MULTI_MEMORY, self._features, "multiple memories")

    def _add_global(self, type_: GlobalType) -> None:
        self._types.check_value_type(type_.value)
        self._context.globals.append(type_)

    def _check_tag(self, tag: TagType) -> None:
        signature = self._types.func_type(tag.type_index)
        if signature.results:
            raise InvalidError(f"non-empty tag result type: type {tag.type_index} has results")
        self._context.tags.append(signature)

    def _check_limits(self, limits: Limits, largest: int, largest_text: str, what: str) -> None:
        if limits.is64:
            require_feature(Feature.MEMORY64, self._features, f"a 64-bit {what}")
        if max(limits.minimum, limits.maximum or 0) > largest:
            found = max(limits.minimum, limits.maximum or 0)
            raise InvalidError(f"{what} size must be at most {largest_text}, not {found}")
        if limits.maximum is not None and limits.minimum > limits.maximum:
            bounds = f"{limits.minimum} > {limits.maximum}"
            raise InvalidError(f"size minimum must not be greater than maximum: {bounds}")

    # Constant expressions (core §3.4.13)

    def _check_constant(self, expression: ConstExpr, expected: ValType) -> None:
        data, start, end = self._model.data, expression.start, expression.end
        if expected is I32 and is_short_i32_const(data, start, end):
            return
        instrs = decode_constant(self._model, start, end)
        for op, imm, offset in instrs:
            if op.name in _CONSTANT:
                continue
            with _At(offset):
                self._check_conditionally_constant(op, imm)
        BodyValidator(self._context, FuncType((), (expected,))).run(instrs)

    def _check_conditionally_constant(self, op: Opcode, imm: int) -> None:
        if op.name == "ref.func":
            self._context.declared.add(imm)
        elif op.name in _EXTENDED_CONSTANT:
            require_feature(Feature.EXTENDED_CONST, self._features, f"{op.name} in a constant expression")
        elif op.name in _CONSTANT_WITH_GC:
            require_feature(Feature.GC, self._features, f"{op.name} in a constant expression")
        elif op.name != "global.get" or lookup(self._context.globals, imm, "global").mutable:
            raise InvalidError(f"constant expression required, found {op.name}")

    # Segments

    def _check_data_segments(self) -> None:
        for segment in self._model.data_segments:
            with _At(segment.offset):
                if segment.offset_expr is None:
                    require_feature(Feature.BULK_MEMORY, self._features, "a passive data segment")
                    continue
                memory = lookup(self._context.memories, segment.memory or 0, "memory")
                self._check_constant(segment.offset_expr, address_type(memory))
        self._context.data_count = len(self._model.data_segments)

    def _check_element_segments(self) -> None:
        for segment in self._model.elements:
            with _At(segment.offset):
                if segment.type is not _FUNCTION_REF:
                    self._types.check_ref_type(segment.type)
                self._check_elements(segment)
                if segment.offset_expr is not None:
                    table = lookup(self._context.tables, segment.table, "table")
                    if not self._types.ref_matches(segment.type, table.element):
                        raise InvalidError(
                            f"type mismatch: the table expected elements of {table.element}, found {segment.type}"
                        )
                    self._check_constant(segment.offset_expr, address_type(table))
                else:
                    require_feature(Feature.BULK_MEMORY, self._features, f"a {segment.mode} element segment")
                self._context.elements.append(segment.type)

    def _check_elements(self, segment: ElementSegment) -> None:
        for item in segment.items:
            if isinstance(item, int):
                self._check_function_element(item, segment.type)
            else:
                self._check_constant(item, segment.type)

    def _check_function_element(self, index: int, expected: RefType) -> None:
        found = self._context.function_reference(index)
        if not self._types.ref_matches(found, expected):
            raise InvalidError(
                f"type mismatch: the segment expected {expected}, found function {index} of type {found}"
            )
        self._context.declared.add(index)

    # Start and exports

    def _check_start(self) -> None:
        if self._model.start is None:
            return
        with self._at_section(_START_SECTION):
            signature = lookup(self._context.signatures, self._model.start, "function")
            if signature.params or signature.results:
                raise InvalidError(f"start function must not have parameters or results, but its type is {signature}")

    def _check_exports(self) -> None:
        sizes = {
            "func": ("function", len(self._context.signatures)),
            "table": ("table", len(self._context.tables)),
            "memory": ("memory", len(self._context.memories)),
            "global": ("global", len(self._context.globals)),
            "tag": ("tag", len(self._model.tag_types)),
        }
        names = set()
        for export in self._model.exports:
            with _At(export.offset):
                what, size = sizes[export.kind]
                if export.index >= size:
                    error = unknown(what, export.index, size)
                    raise InvalidError(f"{error.message}, and it is exported as {export.name!r}")
                if export.name in names:
                    raise InvalidError(f"duplicate export name {export.name!r}")
                names.add(export.name)
                if export.kind == "func":
                    self._context.declared.add(export.index)
