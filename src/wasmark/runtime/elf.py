"""Links relocatable ELF objects (System V ABI, chapters 4 and 5; x86-64 psABI §4.4) into one image.

The objects are what LLVM emits for x86-64 Linux with the small code model, `pic` or `static`. The image has all their
code, then veneers for functions of the process (libc is out of the reach of a rel32), and on pages of their own all
read-only data and the global offset table. Anything writable is refused: what changes belongs to an instance, not to
its code.
"""

from __future__ import annotations

import struct

from wasmark.errors import Error
from wasmark.runtime.image import ABSOLUTE, EXTERNAL, IMAGE, WEAK, Fixup, Image, LoadedImage, load, pages

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final

    from wasmark.runtime.image import Resolve

_HEADER: Final = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")
_RELA: Final = struct.Struct("<QQq")
_IDENT: Final = b"\x7fELF\x02\x01\x01"  # 64 bits, little-endian, version 1
_ET_REL: Final = 1
_EM_X86_64: Final = 62

_SHT_SYMTAB: Final = 2
_SHT_RELA: Final = 4
_SHT_NOBITS: Final = 8
_SHT_REL: Final = 9
_SHF_WRITE: Final = 0x1
_SHF_ALLOC: Final = 0x2
_SHF_EXECINSTR: Final = 0x4
_SHF_TLS: Final = 0x400
_SHF_COMPRESSED: Final = 0x800

_SHN_UNDEF: Final = 0
_SHN_LORESERVE: Final = 0xFF00
_SHN_ABS: Final = 0xFFF1
_STB_LOCAL: Final = 0
_STB_WEAK: Final = 2
_STT_FUNC: Final = 2

R_X86_64_64: Final = 1
R_X86_64_PC32: Final = 2
R_X86_64_PLT32: Final = 4
R_X86_64_GOTPCREL: Final = 9
R_X86_64_32: Final = 10
R_X86_64_32S: Final = 11
R_X86_64_PC64: Final = 24
R_X86_64_GOTPCRELX: Final = 41
R_X86_64_REX_GOTPCRELX: Final = 42

_GOT_TYPES: Final = frozenset({R_X86_64_GOTPCREL, R_X86_64_GOTPCRELX, R_X86_64_REX_GOTPCRELX})
# How a relocated field is stored, and whether it counts from its own place (psABI table 4.9).
_FIELDS: Final[dict[int, tuple[struct.Struct, bool]]] = {
    R_X86_64_64: (struct.Struct("<Q"), False),
    R_X86_64_PC32: (struct.Struct("<i"), True),
    R_X86_64_PLT32: (struct.Struct("<i"), True),
    R_X86_64_GOTPCREL: (struct.Struct("<i"), True),
    R_X86_64_32: (struct.Struct("<I"), False),
    R_X86_64_32S: (struct.Struct("<i"), False),
    R_X86_64_PC64: (struct.Struct("<q"), True),
    R_X86_64_GOTPCRELX: (struct.Struct("<i"), True),
    R_X86_64_REX_GOTPCRELX: (struct.Struct("<i"), True),
}

_VENEER: Final = struct.Struct("<HiH")  # jmp *disp32(%rip); ud2
_VENEER_JMP: Final = 0x25FF
_VENEER_STOP: Final = 0x0B0F
_JMP_SIZE: Final = 6
_FILL: Final = b"\xcc"  # int3: what lies between functions is not for running
_LARGEST_ALIGNMENT: Final = 4096


class Section:
    __slots__ = ("alignment", "flags", "info", "kind", "link", "name", "offset", "place", "size")

    def __init__(self, fields: tuple[int, ...], names: bytes) -> None:
        name, self.kind, self.flags, _, self.offset, self.size, self.link, self.info, alignment, _ = fields
        self.alignment = max(1, alignment)
        self.name = _string(names, name)
        self.place: int = -1  # in the image; -1: not loaded


class ObjectFile:
    """One parsed object."""

    __slots__ = ("data", "debug_line", "loaded", "number", "sections", "strings", "symbols", "values")

    def __init__(self, number: int, data: bytes) -> None:
        self.number = number
        self.data = data
        self.sections = self._read_sections()
        tables = [section for section in self.sections if section.kind == _SHT_SYMTAB]
        if len(tables) > 1:
            raise Error(f"object {number}: more than one symbol table")
        # (name offset, info, other, section, value, size) of every symbol
        self.symbols: list[tuple[int, int, int, int, int, int]] = []
        self.strings = b""
        if tables:
            if tables[0].size % _SYMBOL.size or tables[0].link >= len(self.sections):
                raise Error(f"object {number}: damaged symbol table")
            self.symbols = list(_SYMBOL.iter_unpack(self.contents(tables[0])))
            self.strings = bytes(self.contents(self.sections[tables[0].link]))
        self.loaded = [section for section in self.sections if self._is_loaded(section)]
        self.debug_line = next((s for s in self.sections if s.name == ".debug_line"), None)
        self.values: list[tuple[int, int]] = []  # by symbol number: (what it counts from, value)

    def _read_sections(self) -> list[Section]:
        data = self.data
        if len(data) < _HEADER.size or not data.startswith(_IDENT):
            raise Error(f"object {self.number}: not a 64-bit little-endian ELF file")
        _, kind, machine, _, _, _, offset, _, _, _, _, entry_size, count, names = _HEADER.unpack_from(data)
        if kind != _ET_REL or machine != _EM_X86_64:
            raise Error(f"object {self.number}: not a relocatable object for x86-64 (type {kind}, machine {machine})")
        if count == 0 or names >= count or entry_size != _SECTION.size:
            raise Error(f"object {self.number}: no section table that can be read (too many sections?)")
        if offset + count * _SECTION.size > len(data):
            raise Error(f"object {self.number}: the section table lies outside of the file")
        table = data[offset : offset + count * _SECTION.size]
        rows = list(_SECTION.iter_unpack(table))
        _, _, _, _, start, size, *_ = rows[names]
        strings = data[start : start + size]
        sections = [Section(row, strings) for row in rows]
        for section in sections:
            if section.kind != _SHT_NOBITS and section.offset + section.size > len(data):
                raise Error(f"object {self.number}: section {section.name!r} lies outside of the file")
        return sections

    def contents(self, section: Section) -> memoryview:
        """The bytes of a section."""
        return memoryview(self.data)[section.offset : section.offset + section.size]

    def _is_loaded(self, section: Section) -> bool:
        flags = section.flags
        # Nothing unwinds through wasm frames by tables: frames are walked by their frame pointers.
        if not flags & _SHF_ALLOC or not section.size or section.name == ".eh_frame":
            return False
        where = f"object {self.number}: section {section.name!r}"
        if flags & _SHF_TLS:
            raise Error(f"{where} is thread-local")
        if flags & _SHF_WRITE and not section.name.startswith(".data.rel.ro"):
            raise Error(f"{where} is writable data")
        if section.kind == _SHT_NOBITS or flags & _SHF_COMPRESSED:
            raise Error(f"{where} has no plain contents")
        if section.alignment & (section.alignment - 1) or section.alignment > _LARGEST_ALIGNMENT:
            raise Error(f"{where} asks for an alignment of {section.alignment}")
        return True

    def symbol_name(self, number: int) -> str:
        """The name of a symbol, for the linker and for messages."""
        return _string(self.strings, self.symbols[number][0])

    def relocations(self) -> list[tuple[Section, Section]]:
        """(relocation section, section it changes) for all that is loaded, and for the line table."""
        wanted = {id(section) for section in self.loaded}
        if self.debug_line is not None:
            wanted.add(id(self.debug_line))
        found = []
        for section in self.sections:
            if section.kind in (_SHT_RELA, _SHT_REL) and section.info < len(self.sections):
                target = self.sections[section.info]
                if id(target) in wanted:
                    if section.kind == _SHT_REL or section.size % _RELA.size:
                        raise Error(f"object {self.number}: section {section.name!r} has an unknown form")
                    found.append((section, target))
        return found


def _string(table: bytes, offset: int) -> str:
    end = table.find(b"\0", offset)
    if offset >= len(table) or end < 0:
        raise Error("ELF object: a name lies outside of its string table")
    return table[offset:end].decode("utf-8", "replace")


def _align(value: int, alignment: int) -> int:
    return (value + alignment - 1) & -alignment


def link(objects: Sequence[bytes], resolve: Resolve) -> LoadedImage:
    """`make_image`, and `load` it.

    Raises what they raise.
    """
    return load(make_image(objects), resolve)


def make_image(objects: Sequence[bytes]) -> Image:
    """Lay out and relocate `objects` as one image.

    Raises Error for objects that are damaged, have writable data, or define a symbol twice.
    """
    return _Linker(objects).run()


class _Linker:
    def __init__(self, objects: Sequence[bytes]) -> None:
        try:
            self.objects = [ObjectFile(number, data) for number, data in enumerate(objects)]
        except struct.error as error:
            raise Error(f"damaged ELF object: {error}") from None
        self.defined: dict[str, tuple[ObjectFile, int]] = {}  # global symbols: where each is defined
        self.external: dict[str, int] = {}  # undefined symbols of the whole image -> EXTERNAL or WEAK
        self.veneer_slots: dict[str, int] = {}  # external function -> number of its veneer
        self.got_slots: dict[object, int] = {}  # symbol -> number of its slot
        self.text_size = self.rodata_size = 0
        self.veneers_at = self.got_at = 0  # places in the image
        self.content = bytearray()
        self.fixups: list[Fixup] = []

    def run(self) -> Image:
        """The whole of it, in the order in which sizes and then places become known."""
        self._find_definitions()
        self._collect_slots()
        self._place_sections()
        return self._fill()

    def _place_sections(self) -> None:
        text = 0
        for section in self._sections(executable=True):
            section.place = _align(text, section.alignment)
            text = section.place + section.size
        if self.veneer_slots:
            self.veneers_at = _align(text, 16)
            text = self.veneers_at + len(self.veneer_slots) * _VENEER.size
        start = rodata = pages(text)
        for section in self._sections(executable=False):
            section.place = _align(rodata, section.alignment)
            rodata = section.place + section.size
        if self.got_slots:
            self.got_at = _align(rodata, 8)
            rodata = self.got_at + len(self.got_slots) * 8
        self.text_size, self.rodata_size = text, rodata - start

    def _sections(self, *, executable: bool) -> list[Section]:
        return [
            section
            for object_ in self.objects
            for section in object_.loaded
            if bool(section.flags & _SHF_EXECINSTR) == executable
        ]

    def _find_definitions(self) -> None:
        defined = self.defined
        undefined: dict[str, bool] = {}  # name -> whether every reference is weak
        for object_ in self.objects:
            for number, (_, info, _, section, _, _) in enumerate(object_.symbols):
                binding = info >> 4
                if binding == _STB_LOCAL or not number:
                    continue
                name = object_.symbol_name(number)
                if section == _SHN_UNDEF:
                    undefined[name] = undefined.get(name, True) and binding == _STB_WEAK
                elif name not in defined:
                    defined[name] = (object_, number)
                elif binding != _STB_WEAK:
                    first, first_number = defined[name]
                    if first.symbols[first_number][1] >> 4 != _STB_WEAK:
                        raise Error(f"symbol {name!r} is defined twice, in objects {first.number} and {object_.number}")
                    defined[name] = (object_, number)
        self.external = {name: WEAK if weak else EXTERNAL for name, weak in undefined.items() if name not in defined}

    def _key(self, object_: ObjectFile, number: int) -> object:
        """What tells a symbol apart in the whole image: the name of a global one, the place of a local one."""
        if object_.symbols[number][1] >> 4 == _STB_LOCAL:
            return (object_.number, number)
        return object_.symbol_name(number)

    def _collect_slots(self) -> None:
        """Give each symbol that goes through the offset table, and each external function that is called, its slot."""
        got, veneers = self.got_slots, self.veneer_slots
        for object_ in self.objects:
            symbols = object_.symbols
            external = [
                not symbol[3] and number > 0 and object_.symbol_name(number) in self.external
                for number, symbol in enumerate(symbols)
            ]
            needed: set[tuple[int, bool]] = set()
            for rela, _ in object_.relocations():
                for _, info, _ in _RELA.iter_unpack(object_.contents(rela)):
                    kind = info & 0xFFFFFFFF
                    if kind in _GOT_TYPES:
                        needed.add((info >> 32, True))
                    elif kind == R_X86_64_PLT32:
                        number = info >> 32
                        if number < len(external) and external[number]:
                            needed.add((number, False))
            for number, through_got in sorted(needed):
                if number >= len(symbols):
                    raise Error(f"object {object_.number}: a relocation names symbol {number} of {len(symbols)}")
                if through_got:
                    got.setdefault(self._key(object_, number), len(got))
                else:
                    name = object_.symbol_name(number)
                    veneers.setdefault(name, len(veneers))
                    got.setdefault(name, len(got))

    def _fill(self) -> Image:
        rodata_at = pages(self.text_size)
        content = self.content = bytearray(_FILL) * rodata_at  # the rest of the last page included
        content.extend(bytes(self.rodata_size))
        for object_ in self.objects:
            for section in object_.loaded:
                content[section.place : section.place + section.size] = object_.contents(section)
        for object_ in self.objects:
            object_.values = self._symbol_values(object_)
        image = Image(content, self.text_size, self.rodata_size, self.fixups)
        for name, slot in self.veneer_slots.items():
            place = self.veneers_at + slot * _VENEER.size
            distance = self.got_at + self.got_slots[name] * 8 - (place + _JMP_SIZE)
            _VENEER.pack_into(content, place, _VENEER_JMP, distance, _VENEER_STOP)
            image.veneers[name] = (place, _VENEER.size)
        line_tables = []
        for object_ in self.objects:
            lines = bytearray()
            for rela, target in object_.relocations():
                if target is object_.debug_line:
                    lines = bytearray(object_.contents(target))
                    self._relocate(object_, rela, target, lines, 0)
                else:
                    self._relocate(object_, rela, target, content, target.place)
            code = [section for section in object_.loaded if section.flags & _SHF_EXECINSTR]
            if code and lines:
                end = max(section.place + section.size for section in code)
                line_tables.append((min(section.place for section in code), end, lines))
            self._name_functions(object_, image)
        image.lines = line_tables
        for key, slot in self.got_slots.items():
            place = self.got_at + slot * 8
            origin, value, name = self._slot_value(key)
            if origin == ABSOLUTE:
                struct.pack_into("<Q", content, place, value)
            else:
                self.fixups.append((place, "<Q", False, origin, name, value))
        return image

    def _symbol_values(self, object_: ObjectFile) -> list[tuple[int, int]]:
        """What every symbol stands for; those of sections that are not loaded count from their section's start."""
        bases = [(IMAGE, s.place) if s.place >= 0 else (ABSOLUTE, 0) for s in object_.sections]
        count = len(bases)
        values: list[tuple[int, int]] = []
        add = values.append
        for number, (_, info, _, section, value, _) in enumerate(object_.symbols):
            if not section:
                add(self._undefined_value(object_.symbol_name(number)) if number and info >> 4 else (ABSOLUTE, 0))
            elif section < count:
                origin, base = bases[section]
                add((origin, base + value))
            elif section == _SHN_ABS:
                add((ABSOLUTE, value))
            else:
                kind = "reserved" if section >= _SHN_LORESERVE else "missing"
                raise Error(f"object {object_.number}: symbol {number} lies in the {kind} section {section:#x}")
        return values

    def _undefined_value(self, name: str) -> tuple[int, int]:
        found = self.defined.get(name)
        if found is None:
            return self.external[name], 0
        object_, number = found
        _, _, _, section, value, _ = object_.symbols[number]
        if section >= len(object_.sections):
            return ABSOLUTE, value
        place = object_.sections[section].place
        return (IMAGE, place + value) if place >= 0 else (ABSOLUTE, value)

    def _slot_value(self, key: object) -> tuple[int, int, str]:
        if isinstance(key, str):
            return (*self._undefined_value(key), key)
        assert isinstance(key, tuple)
        object_ = self.objects[key[0]]
        return (*object_.values[key[1]], object_.symbol_name(key[1]))

    def _relocate(self, object_: ObjectFile, rela: Section, target: Section, into: bytearray, start: int) -> None:
        """Apply one relocation section: its target starts at `start` in `into`, the image or a line program.

        What cannot be known yet becomes a fixup.
        """
        values = object_.values
        limit = target.size
        fields = {kind: (form.pack_into, form.size, relative) for kind, (form, relative) in _FIELDS.items()}
        got, plt = _GOT_TYPES, R_X86_64_PLT32
        veneers = {
            number: (IMAGE, self.veneers_at + self.veneer_slots[object_.symbol_name(number)] * _VENEER.size)
            for number, symbol in enumerate(object_.symbols)
            if number and not symbol[3] and object_.symbol_name(number) in self.veneer_slots
        }
        in_image = into is self.content
        offset = info = 0
        try:
            for offset, info, addend in _RELA.iter_unpack(object_.contents(rela)):
                kind = info & 0xFFFFFFFF
                number = info >> 32
                pack, size, relative = fields[kind]
                if offset + size > limit:
                    raise Error(f"object {object_.number}: a relocation lies outside of section {target.name!r}")
                if kind in got:
                    origin, value = IMAGE, self.got_at + self.got_slots[self._key(object_, number)] * 8
                elif kind == plt and number in veneers:
                    origin, value = veneers[number]
                else:
                    origin, value = values[number]
                offset += start
                # Inside of the image a distance is known, an address is not; an absolute value is the other way round.
                if not in_image or origin == (IMAGE if relative else ABSOLUTE):
                    pack(into, offset, value + addend - (offset if relative else 0))
                else:
                    name = object_.symbol_name(number)
                    self.fixups.append((offset, _FIELDS[kind][0].format, relative, origin, name, value + addend))
        except KeyError:
            raise Error(f"object {object_.number}: unknown relocation type {info & 0xFFFFFFFF}") from None
        except IndexError:
            raise Error(f"object {object_.number}: a relocation names the missing symbol {info >> 32}") from None
        except struct.error:
            name = object_.symbol_name(info >> 32) or "a section"
            raise Error(
                f"object {object_.number}: relocation {info & 0xFFFFFFFF} in {target.name!r} does not reach {name!r}"
            ) from None

    def _name_functions(self, object_: ObjectFile, image: Image) -> None:
        symbols = image.symbols
        sections = object_.sections
        defined = self.defined
        for number, (_, info, _, section, _, size) in enumerate(object_.symbols):
            if info & 0xF == _STT_FUNC and 0 < section < len(sections) and sections[section].place >= 0:
                name = object_.symbol_name(number)
                # A weak definition that gave way has no name, and a local symbol does not hide a global one.
                if defined.get(name, (object_, number)) == (object_, number):
                    symbols[name] = (object_.values[number][1], size)
