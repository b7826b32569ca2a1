"""DWARF out of a module's custom sections: from an offset in the module to functions, files and lines of its source.

Addresses in it count from the first byte of the code section's contents (tool conventions, "DWARF for WebAssembly").
It is read with `pyelftools` when somebody asks, one compilation unit at a time. Nobody promises that it is whole: a
damaged part answers nothing, as code without debug information does, and `damage` says what was found.

What `pyelftools` has read is changed by reading on, so each reader serves one question at a time; there are as many as
questions came at once. One that an exception came out of is given up.
"""

from __future__ import annotations

import functools
import posixpath
from bisect import bisect_right
from io import BytesIO
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo

from wasmark.binary.leb import read_u
from wasmark.registry.frames import Symbol
from wasmark.registry.names import demangled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from elftools.dwarf.compileunit import CompileUnit
    from elftools.dwarf.die import DIE
    from elftools.dwarf.typeunit import TypeUnit

    from wasmark.core.model import ModuleModel

_CODE_SECTION: Final = 10
_FIRST_ADDRESS: Final = 2
"""No function begins before: there are a count and a size. Linkers leave 0 or 1 where what they dropped was."""

_SECTIONS: Final = (
    *("info", "aranges", "abbrev", "frame", "eh_frame", "str", "loc", "ranges", "line", "pubtypes", "pubnames", "addr"),
    *("str_offsets", "line_str", "loclists", "rnglists", "sup", "gnu_debugaltlink", "types"),
)
"""In the order in which `DWARFInfo` takes them."""

_SCOPES: Final = ("DW_TAG_subprogram", "DW_TAG_inlined_subroutine")
_MOST_HOPS: Final = 16
_LINKAGE_NAMES: Final = ("DW_AT_linkage_name", "DW_AT_MIPS_linkage_name")
_ORIGINS: Final = ("DW_AT_abstract_origin", "DW_AT_specification")

_Row = tuple[int, int, int, int]  # address, file, line, column; file -1 behind the end of a sequence


class DebugInfo:
    """The DWARF of one module."""

    def __init__(self, model: ModuleModel) -> None:
        self._data = model.data
        self._places = {custom.name: (custom.start, custom.end) for custom in reversed(model.customs)}
        code = [(start, end) for id_, start, end in model.sections if id_ == _CODE_SECTION]
        self._start, self._end = code[0] if code else (0, 0)
        self._answers: dict[int, tuple[Symbol, ...]] = {}
        self._readers: list[_Reader] = []
        self.damage: str | None = None

    def symbols(self, offset: int) -> tuple[Symbol, ...]:
        """The functions at a module offset, the innermost inlined one first; none where nothing is known. A name or
        position that is not known is None in it."""
        answer = self._answers.get(offset)
        if answer is None:
            answer = self._answers.setdefault(offset, self._look(offset))
        return answer

    def _look(self, offset: int) -> tuple[Symbol, ...]:
        if not self._start <= offset < self._end:
            return ()
        try:
            reader = self._readers.pop() if self._readers else self._reader()
            answer = reader.symbols(offset - self._start)
        except Exception as error:  # the library raises what it happens to, where something is damaged
            self.damage = f"{type(error).__name__}: {error}"
            return ()
        self.damage = self.damage or reader.damage
        self._readers.append(reader)
        return answer

    def _reader(self) -> _Reader:
        sections = []
        for name in _SECTIONS:
            start, end = self._places.get(f".debug_{name}", (0, 0))
            sections.append(
                DebugSectionDescriptor(BytesIO(self._data[start:end]), name, 0, end - start, 0) if end else None
            )
        config = DwarfConfig(little_endian=True, machine_arch="wasm32", default_address_size=4)
        return _Reader(DWARFInfo(config, *sections), self._end - self._start)


class _Reader:
    """Reads on as it is asked."""

    def __init__(self, dwarf: DWARFInfo, size: int) -> None:
        self._dwarf = dwarf
        self._size = size
        self._range_lists: Any = dwarf.range_lists()
        self._units: dict[int, _Unit] = {}  # by place in .debug_info
        self.damage: str | None = None
        # (first address, end, unit), and the highest end up to each of them: for what lies within another one
        found = sorted(self._unit_ranges(), key=itemgetter(0))
        self._starts = [low for low, _, _ in found]
        self._found = found
        self._highest: list[int] = []
        for _, high, _ in found:
            self._highest.append(max(high, self._highest[-1] if self._highest else 0))

    def _unit_ranges(self) -> Iterator[tuple[int, int, CompileUnit]]:
        try:
            for unit in self._dwarf.iter_CUs():
                for low, high in self.ranges(unit.get_top_DIE()):
                    yield low, high, unit
        except Exception as error:  # see above; the units before are good
            self.damage = f"{type(error).__name__}: {error}"

    def symbols(self, address: int) -> tuple[Symbol, ...]:
        position = bisect_right(self._starts, address) - 1
        while position >= 0 and self._highest[position] > address:
            low, high, unit = self._found[position]
            if low <= address < high:
                known = self._units.get(unit.cu_offset)
                if known is None:
                    known = self._units[unit.cu_offset] = _Unit(self, self._dwarf, unit)
                return known.symbols(address)
            position -= 1
        return ()

    def ranges(self, die: DIE) -> list[tuple[int, int]]:
        """[first address, end) of each piece of code that belongs to an entry, without what the linker dropped."""
        attributes = die.attributes
        if "DW_AT_ranges" in attributes:
            found = self._listed(die.cu, attributes["DW_AT_ranges"].value)
        elif "DW_AT_low_pc" in attributes and "DW_AT_high_pc" in attributes:
            low, high = attributes["DW_AT_low_pc"].value, attributes["DW_AT_high_pc"]
            is_address = high.form.startswith(("DW_FORM_addr", "DW_FORM_GNU_addr"))
            found = [(low, high.value if is_address else low + high.value)]
        else:
            return []
        return [(low, high) for low, high in found if _FIRST_ADDRESS <= low < high <= self._size]

    def _listed(self, unit: CompileUnit | TypeUnit, place: int) -> list[tuple[int, int]]:
        if self._range_lists is None:
            return []
        base_attribute = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        base = base_attribute.value if base_attribute is not None else 0
        found = []
        for entry in self._range_lists.get_range_list_at_offset(place, cu=unit):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                origin = 0 if entry.is_absolute else base
                found.append((origin + entry.begin_offset, origin + entry.end_offset))
        return found


class _Unit:
    """A compilation unit: its lines, and which functions are where."""

    def __init__(self, reader: _Reader, dwarf: DWARFInfo, unit: CompileUnit) -> None:
        self._size = reader._size
        self._unit = unit
        self._program: Any = None
        self._rows: list[_Row] = []
        self._scopes: list[tuple[int, int, int, DIE]] = []  # first address, end, depth, entry
        parts: tuple[Callable[[], None], ...] = (
            functools.partial(self._read_lines, dwarf),
            functools.partial(self._read_scopes, reader),
        )
        for read in parts:
            try:
                read()
            except Exception as error:  # as in DebugInfo; one of them may be good without the other
                reader.damage = f"{type(error).__name__}: {error}"
        self._addresses = [row[0] for row in self._rows]

    def _read_lines(self, dwarf: DWARFInfo) -> None:
        place = self._unit.get_top_DIE().attributes.get("DW_AT_stmt_list")
        if place is None or dwarf.debug_line_sec is None:
            return
        stream = dwarf.debug_line_sec.stream
        stream.seek(0)
        _check_line_header(stream.read(), place.value)
        program = self._program = dwarf.line_program_for_CU(self._unit)
        if program is None:
            return
        sequence: list[_Row] = []
        sequences = []
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if not state.end_sequence:
                sequence.append((state.address, state.file, state.line, state.column))
                continue
            if sequence and _FIRST_ADDRESS <= sequence[0][0] < state.address <= self._size:
                sequences.append([*sequence, (state.address, -1, 0, 0)])
            sequence = []
        sequences.sort(key=itemgetter(0))
        self._rows = sorted((row for sequence in sequences for row in sequence), key=lambda row: (row[0], row[1] >= 0))

    def _read_scopes(self, reader: _Reader) -> None:
        depth = 0
        for die in self._unit.iter_DIEs():
            if die.is_null():
                depth -= 1
                continue
            if die.tag in _SCOPES:
                self._scopes += [(low, high, depth, die) for low, high in reader.ranges(die)]
            depth += bool(die.has_children)

    def symbols(self, address: int) -> tuple[Symbol, ...]:
        position = self._position(address)
        around = sorted((scope for scope in self._scopes if scope[0] <= address < scope[1]), key=itemgetter(2))
        if not around:
            return (Symbol(None, *position),) if position is not None else ()
        found = []
        for _, _, _, die in reversed(around):
            found.append(Symbol(_name(die), *(position or (None, None, None))))
            position = self._call_position(die)
        return tuple(found)

    def _position(self, address: int) -> tuple[str | None, int | None, int | None] | None:
        number = bisect_right(self._addresses, address) - 1
        if number < 0 or self._rows[number][1] < 0:
            return None
        _, file, line, column = self._rows[number]
        return self._file(file), line or None, column or None

    def _call_position(self, die: DIE) -> tuple[str | None, int | None, int | None] | None:
        """Where an inlined function was called."""
        values = [die.attributes.get(f"DW_AT_call_{what}") for what in ("file", "line", "column")]
        file, line, column = (None if value is None else value.value for value in values)
        return None if file is None else (self._file(file), line, column)

    def _file(self, number: int) -> str | None:
        """The path of a file by its number in the line program."""
        if self._program is None:
            return None
        header = self._program.header
        files, folders = header["file_entry"], header["include_directory"]
        # From version 5 on both count from 0, before that from 1, and folder 0 is where the compiler ran.
        first = 0 if header["version"] >= 5 else 1
        if not first <= number < first + len(files):
            return None
        entry = files[number - first]
        parts = [_text(entry["name"])]
        folder = (entry["dir_index"] or 0) - first
        if 0 <= folder < len(folders):
            parts.insert(0, _text(folders[folder]))
        home = self._unit.get_top_DIE().attributes.get("DW_AT_comp_dir")
        if home is not None:
            parts.insert(0, _text(home.value))
        while any(_is_absolute(part) for part in parts[1:]):
            parts.pop(0)
        path = posixpath.join(*parts)
        return path if "://" in path else posixpath.normpath(path)


def _check_line_header(section: bytes, place: int) -> None:
    """Raises ValueError, IndexError or MalformedError where a line program of version 5 or later has more folders or
    files than bytes: the library would make as many as it says, and there is nothing that they have to consist of."""
    wide = section[place : place + 4] == b"\xff\xff\xff\xff"
    at = place + (12 if wide else 4)
    if int.from_bytes(section[at : at + 2], "little") < 5:
        return
    at += 2 + 2 + (8 if wide else 4) + 5  # version, sizes, length of the header, what comes before opcode_base
    at += section[at]  # that, and a length for each opcode below it
    for _ in ("folders", "files"):
        number = section[at]
        at += 1
        forms = []
        for _ in range(number):
            _, at = read_u(section, at, 64)
            form, at = read_u(section, at, 64)
            forms.append(form)
        count, at = read_u(section, at, 64)
        if count > len(section) or (count and not forms):
            raise ValueError("a line program has more files than bytes")
        for _ in range(count):
            for form in forms:
                at = _skip(section, at, form, wide)


_FORM_SIZES: Final = {0x05: 2, 0x06: 4, 0x07: 8, 0x0B: 1, 0x1E: 16}  # DW_FORM_data*
_OFFSET_FORMS: Final = (0x0E, 0x1F)  # DW_FORM_strp, DW_FORM_line_strp
_STRING_FORM: Final = 0x08
_BLOCK_FORM: Final = 0x09
_NUMBER_FORM: Final = 0x0F


def _skip(section: bytes, at: int, form: int, wide: bool) -> int:
    """Where a field of a file ends: of the forms that it may have (DWARF 5, §6.2.4.1). Raises ValueError for others."""
    if form in _FORM_SIZES:
        end = at + _FORM_SIZES[form]
    elif form in _OFFSET_FORMS:
        end = at + (8 if wide else 4)
    elif form == _STRING_FORM:
        end = section.index(b"\0", at) + 1
    elif form == _BLOCK_FORM:
        size, start = read_u(section, at, 64)
        end = start + size
    elif form == _NUMBER_FORM:
        end = read_u(section, at, 64)[1]
    else:
        raise ValueError(f"a file of a line program has form {form:#x}")
    if end > len(section):
        raise ValueError("a line program ends in the middle")
    return end


def _is_absolute(path: str) -> bool:
    return path.startswith("/") or "://" in path or path[1:3] in (":\\", ":/")


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


def _name(die: DIE) -> str | None:
    """What a function is called, by itself or by the entry that it stands for."""
    name = linkage = None
    for _ in range(_MOST_HOPS):
        attributes = die.attributes
        if linkage is None:
            linkage = next((_text(attributes[key].value) for key in _LINKAGE_NAMES if key in attributes), None)
        if name is None and "DW_AT_name" in attributes:
            name = _text(attributes["DW_AT_name"].value)
        origin = next((key for key in _ORIGINS if key in attributes), None)
        if origin is None:
            break
        die = die.get_DIE_from_attribute(origin)
    if linkage is not None:
        plain = demangled(linkage)
        return plain if plain != linkage or name is None else name
    return name
