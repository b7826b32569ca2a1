"""Modules in the binary format (core §5.5): bytes -> `ModuleModel`, bodies left as bytes.

Every size and count comes from outside. Nothing is allocated for one before the elements have been read, and as in the
grammar of the specification an element may be read beyond its section, whose size is compared when it is through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmark.binary.instructions import decode_body, skip_expression
from wasmark.binary.leb import read_count, read_u32, read_u32_vector, unexpected_end
from wasmark.binary.names import NAME_SECTION, read_name, read_names
from wasmark.binary.typecodes import (
    MAX_TYPES,
    read_byte,
    read_global_type,
    read_memory_type,
    read_rec_type,
    read_ref_type,
    read_table_type,
    read_table_with_init,
    read_tag_type,
    read_value_type,
)
from wasmark.core.model import (
    EXTERN_KINDS,
    ConstExpr,
    CustomSection,
    DataSegment,
    ElementSegment,
    Export,
    Function,
    Global,
    Import,
    ModuleModel,
    Table,
)
from wasmark.core.types import FUNCREF, HeapType, RefType, ValType
from wasmark.errors import InvalidError, MalformedError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Final, TypeVar

    _T = TypeVar("_T")


MAGIC: Final = b"\0asm"
VERSION: Final = b"\x01\0\0\0"

COMPONENT_VERSION: Final = b"\x0d\0\x01\0"
"""What stands there in a component."""

SECTION_ORDER: Final = (1, 2, 3, 4, 5, 13, 6, 7, 8, 9, 12, 10, 11)
"""Section ids as they must follow each other (core §5.5.2); custom sections (0) may stand anywhere."""

MAX_LOCALS: Final = 50_000
"""How many locals a function may declare, the limit of the JavaScript interface (js-api, "Limits")."""

_RANK: Final = {section: rank for rank, section in enumerate(SECTION_ORDER)}
_ACTIVE_I32_CONST: Final = b"\0\x41"  # a data segment of memory 0, and the first opcode of its place
_FUNCTION_REF: Final = RefType.of(False, HeapType.FUNC)


def is_component(data: bytes) -> bool:
    """Whether a binary starts as a component does."""
    return data[:8] == MAGIC + COMPONENT_VERSION


def decode_module(data: bytes) -> ModuleModel:
    """Decode a module.

    Raises MalformedError with the offset; UnsupportedError for constant expressions that use instructions without a row
    and for modules beyond an implementation limit; InvalidError for type indices that no module can have.
    """
    return _ModuleDecoder(bytes(data)).decode()


class _ModuleDecoder:
    """A cursor over the bytes and the model that is being filled."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._pos = 0
        self._model = ModuleModel(data=data)
        self._type_indices: tuple[int, ...] = ()
        self._bodies: list[Function] = []
        self._name_section: CustomSection | None = None
        self._section_end = len(data)
        self._after = 0  # the id of the last section that is no custom one
        self._sections: dict[int, Callable[[], None]] = {
            1: self._type_section,
            2: self._import_section,
            3: self._function_section,
            4: self._table_section,
            5: self._memory_section,
            6: self._global_section,
            7: self._export_section,
            8: self._start_section,
            9: self._element_section,
            10: self._code_section,
            11: self._data_section,
            12: self._data_count_section,
            13: self._tag_section,
        }
        self._import_descs: tuple[Callable[[bytes, int], tuple[object, int]], ...] = (
            read_u32,
            read_table_type,
            read_memory_type,
            read_global_type,
            read_tag_type,
        )

    def decode(self) -> ModuleModel:
        try:
            self._module()
        except MalformedError:
            # The first error of a module counts, and bodies have only been skipped so far.
            for body in self._bodies:
                try:
                    decode_body(self._model, body.start, body.end)
                except (UnsupportedError, InvalidError):
                    continue
            raise
        return self._model

    def _module(self) -> None:
        self._header()
        data = self._data
        model = self._model
        last_rank = -1
        while self._pos < len(data):
            at = self._pos
            section = data[at]
            if section and section not in _RANK:
                raise MalformedError(f"malformed section id {section}", offset=at)
            rank = _RANK.get(section, last_rank)
            if section and rank <= last_rank:
                message = f"unexpected content after last section: section {section} behind section {self._after}"
                raise MalformedError(message, offset=at)
            last_rank = rank
            size, start = read_count(data, at + 1)
            end = start + size
            if end > len(data):
                unexpected_end(data)
            self._pos = start
            self._section_end = end
            if section:
                self._after = section
                self._sections[section]()
            else:
                self._custom_section(end)
            if self._pos != end:
                message = f"section size mismatch: section {section} has {size} bytes, and {self._pos - start} are used"
                raise MalformedError(message, offset=start)
            model.sections.append((section, start, end))
        self._finish()

    def _header(self) -> None:
        for expected, at, message in ((MAGIC, 0, "magic header not detected"), (VERSION, 4, "unknown binary version")):
            found = self._data[at : at + 4]
            if len(found) < 4:
                raise MalformedError("unexpected end: a module has 8 bytes at least", offset=len(self._data))
            if found == COMPONENT_VERSION and at:
                raise MalformedError(f"{message}: this is a component, which `wasmark.Component` takes", offset=at)
            if found != expected:
                raise MalformedError(f"{message}: found {found.hex(' ')}, not {expected.hex(' ')}", offset=at)
        self._pos = 8

    def _finish(self) -> None:
        """What relates sections to each other (core §5.5.17)."""
        model = self._model
        end = len(self._data)
        if len(self._type_indices) != len(self._bodies):
            message = "function and code section have inconsistent lengths"
            counts = f"{len(self._type_indices)} functions and {len(self._bodies)} bodies"
            raise MalformedError(f"{message}: {counts}", offset=end)
        if model.data_count is not None and model.data_count != len(model.data_segments):
            message = "data count and data section have inconsistent lengths"
            counts = f"{model.data_count} segments announced, {len(model.data_segments)} there"
            raise MalformedError(f"{message}: {counts}", offset=end)
        for function, type_index in zip(self._bodies, self._type_indices, strict=True):
            function.type_index = type_index
        model.functions = self._bodies
        if self._name_section is not None:
            start, end = self._name_section.start, self._name_section.end
            model.names = lambda: read_names(model.data[start:end])
        model.index()

    # Primitives

    def _read(self, read: Callable[[bytes, int], tuple[_T, int]]) -> _T:
        value, self._pos = read(self._data, self._pos)
        return value

    def _u32(self) -> int:
        value, self._pos = read_u32(self._data, self._pos)
        return value

    def _count(self) -> int:
        value, self._pos = read_count(self._data, self._pos)
        return value

    def _kind(self, message: str) -> str:
        at = self._pos
        byte = self._read(read_byte)
        if byte >= len(EXTERN_KINDS):
            raise MalformedError(f"{message} {byte:02x}", offset=at)
        return EXTERN_KINDS[byte]

    def _const_expr(self) -> ConstExpr:
        start = self._pos
        self._pos = skip_expression(self._model, start, self._section_end)
        return ConstExpr(start, self._pos)

    # Sections, in their order

    def _custom_section(self, end: int) -> None:
        # The name must lie within the section; its contents are nobody's business here.
        start = self._pos
        name = self._read(read_name)
        if self._pos > end:
            message = f"unexpected end of section or function: the custom section ends in its name, at {end:#x}"
            raise MalformedError(message, offset=start)
        custom = CustomSection(name, self._pos, end, self._after)
        self._model.customs.append(custom)
        if name == NAME_SECTION and self._name_section is None:
            self._name_section = custom
        self._pos = end

    def _type_section(self) -> None:
        types = self._model.types
        for _ in range(self._count()):
            at = self._pos
            group = self._read(read_rec_type)
            self._model.rec_groups.append((len(types), len(group)))
            types.extend(group)
            if len(types) > MAX_TYPES:
                raise UnsupportedError(f"more than {MAX_TYPES} types in a module (at offset {at:#x})")

    def _import_section(self) -> None:
        for _ in range(self._count()):
            at = self._pos
            module = self._read(read_name)
            name = self._read(read_name)
            kind = self._kind("malformed import kind")
            desc = self._read(self._import_descs[EXTERN_KINDS.index(kind)])
            self._model.imports.append(Import(module, name, kind, desc, at))  # type: ignore[arg-type]

    def _function_section(self) -> None:
        self._type_indices = self._read(read_u32_vector)

    def _table_section(self) -> None:
        for _ in range(self._count()):
            at = self._pos
            has_init = self._read(read_table_with_init)
            type_ = self._read(read_table_type)
            init = self._const_expr() if has_init else None
            self._model.tables.append(Table(type_, init, at))

    def _memory_section(self) -> None:
        for _ in range(self._count()):
            self._model.memories.append(self._read(read_memory_type))

    def _tag_section(self) -> None:
        for _ in range(self._count()):
            self._model.tags.append(self._read(read_tag_type))

    def _global_section(self) -> None:
        for _ in range(self._count()):
            at = self._pos
            type_ = self._read(read_global_type)
            self._model.globals.append(Global(type_, self._const_expr(), at))

    def _export_section(self) -> None:
        for _ in range(self._count()):
            at = self._pos
            name = self._read(read_name)
            kind = self._kind("malformed export kind")
            self._model.exports.append(Export(name, kind, self._u32(), at))

    def _start_section(self) -> None:
        self._model.start = self._u32()

    def _element_section(self) -> None:
        for _ in range(self._count()):
            self._model.elements.append(self._element())

    def _element(self) -> ElementSegment:
        """Core §5.5.12. Bit 0: not active; bit 1: an explicit table, or declarative; bit 2: expressions."""
        at = self._pos
        flags = self._u32()
        if flags > 7:
            raise MalformedError(f"malformed elements segment kind {flags}", offset=at)
        table = 0
        offset_expr = None
        if flags & 1:
            mode = "declarative" if flags & 2 else "passive"
        else:
            mode = "active"
            if flags & 2:
                table = self._u32()
            offset_expr = self._const_expr()
        items: list[int] | list[ConstExpr]
        if flags & 4:
            type_ = self._read(read_ref_type) if flags & 3 else FUNCREF
            items = [self._const_expr() for _ in range(self._count())]
        else:
            type_ = _FUNCTION_REF
            if flags & 3:
                kind_at = self._pos
                kind = self._read(read_byte)
                if kind:
                    raise MalformedError(f"malformed element kind {kind:02x}", offset=kind_at)
            items = list(self._read(read_u32_vector))
        return ElementSegment(mode, type_, items, table, offset_expr, at)

    def _data_count_section(self) -> None:
        self._model.data_count = self._u32()

    def _code_section(self) -> None:
        data = self._data
        # Most declarations of locals have been seen before: they are known by their bytes, if a run takes two of them.
        known: dict[bytes, Sequence[tuple[int, ValType]]] = {}
        for _ in range(self._count()):
            size, entry = read_count(data, self._pos)
            end = entry + size
            if end > len(data):
                unexpected_end(data)
            key = data[entry : entry + 1 + 2 * data[entry]] if size else b""
            locals_ = known.get(key)
            if locals_ is not None and len(key) <= size:
                start = entry + len(key)
            else:
                self._pos = entry
                locals_ = self._locals()
                start = self._pos
                if start > end:
                    message = f"section size mismatch: the locals of a function go beyond its {size} bytes"
                    raise MalformedError(message, offset=entry)
                if start - entry == len(key):
                    known[key] = locals_
            self._bodies.append(Function(0, locals_, start, end, entry))
            self._pos = end

    def _locals(self) -> Sequence[tuple[int, ValType]]:
        at = self._pos
        runs = []
        total = 0
        for _ in range(self._count()):
            count = self._u32()
            runs.append((count, self._read(read_value_type)))
            total += count
        if total > 0xFFFF_FFFF:
            raise MalformedError(f"too many locals: {total}", offset=at)
        if total > MAX_LOCALS:
            raise UnsupportedError(f"too many locals: {total}, and the limit is {MAX_LOCALS} (at offset {at:#x})")
        return tuple(runs)

    def _data_section(self) -> None:
        model, data, size = self._model, self._data, len(self._data)
        segments = model.data_segments
        for _ in range(self._count()):
            at = self._pos
            if data[at : at + 2] == _ACTIVE_I32_CONST:  # as nearly all begin, and there may be a hundred thousand
                behind = skip_expression(model, at + 1, self._section_end)
                count, start = read_count(data, behind)
                end = self._pos = start + count
                if end > size:
                    unexpected_end(data)
                segments.append(DataSegment(start, end, 0, ConstExpr(at + 1, behind), at))
            else:
                segments.append(self._data_segment())

    def _data_segment(self) -> DataSegment:
        at = self._pos
        flags = self._u32()
        if flags > 2:
            raise MalformedError(f"malformed data segment kind {flags}", offset=at)
        memory = None
        offset_expr = None
        if flags != 1:
            memory = self._u32() if flags == 2 else 0
            offset_expr = self._const_expr()
        size = self._count()
        start = self._pos
        if start + size > len(self._data):
            unexpected_end(self._data)
        self._pos = start + size
        return DataSegment(start, self._pos, memory, offset_expr, at)
