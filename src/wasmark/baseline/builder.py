"""LLVM IR -> stencils: compiles bodies with the static relocation model and takes the object apart.

Holes are symbols; what the object says of their uses becomes the data of a `Stencil`. Trap instructions and accesses
that may fault are found in its line table, as in optimised code. The jump to the next stencil is cut off where it comes
last.
"""

from __future__ import annotations

import re
import struct
from bisect import bisect_left
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from wasmark.baseline import signatures as forms
from wasmark.baseline.compose import CALL, ENTRY, GUARDED, LEAF, LEAVING, SLOT, THROUGH, TRAMPOLINE, split_name
from wasmark.baseline.leaving_shapes import answers, leaving_shapes
from wasmark.baseline.shape import PARAMETERS, SCOPE
from wasmark.baseline.shapes import shapes
from wasmark.baseline.stencil import HOLES, StencilData
from wasmark.compile import stubs
from wasmark.compile.llvm import compile_ir
from wasmark.compile.prelude import ATTRIBUTES, INTRINSICS, METADATA, SCOPE_BASE
from wasmark.errors import Error
from wasmark.registry.line_table import decode_line_programs
from wasmark.runtime import elf

if TYPE_CHECKING:
    from collections.abc import Iterable

_RELA: Final = struct.Struct("<QQq")
_ABSOLUTE: Final = {elf.R_X86_64_32: False, elf.R_X86_64_32S: True}
_RELATIVE: Final = frozenset({elf.R_X86_64_PC32, elf.R_X86_64_PLT32})
_JMP: Final = 0xE9  # jmp rel32
_JCC, _JCC_CONDITION = 0x0F, 0x80  # jcc rel32; the low 4 bits of the second byte are the condition, bit 0 inverts it
_SHF_EXECINSTR: Final = 0x4
_STT_FUNC: Final = 2

# The frame pointer is that of the function's entry: a trap in the middle of a stencil must find it in its place.
_STENCIL_ATTRIBUTES: Final = """\
attributes #3 = { nounwind optsize "frame-pointer"="reserved" }
attributes #4 = { nounwind optsize "frame-pointer"="all" }
"""
_SYMBOLS: Final = "".join(
    [*(f"@{hole} = external dso_local global i8\n" for hole in HOLES)]
    + [f"declare dso_local preserve_nonecc void @{name}(ptr, ptr, ptr)\n" for name in ("next", "taken")]
    + [
        *(
            f"declare dso_local preserve_nonecc void @{name}{forms.PARAMETER_TYPES}\n"
            for name in ("wide", "taken_wide")
        ),
        f"declare dso_local preserve_nonecc ptr @asked{forms.PARAMETER_TYPES}\n",
        *(f"declare dso_local preserve_nonecc ptr @{name}(ptr, ptr, ptr)\n" for name in ("asked_narrow", "took")),
    ]
    + ["declare dso_local void @callee()\n"]
)


_TAKEN: Final = frozenset({"taken", "took", "taken_wide"})
_NEXT: Final = frozenset({"next", "wide", "asked", "asked_narrow"})
"""What comes behind a stencil, by the types that it may have."""


def _stencil(name: str, body: str, parameters: str = PARAMETERS, returns: str = "void") -> tuple[str, str]:
    return name, f'define preserve_nonecc {returns} @"{name}"{parameters} #3 !dbg {SCOPE} {{\n{body}}}\n'


def _function(name: str, header: str, body: str) -> tuple[str, str]:
    header = header.replace("NAME", f'@"{name}"')
    return name, f"{header} !dbg {SCOPE} {{\n{body}}}\n"


def base_sources() -> list[tuple[str, str]]:
    """(name, IR) of every stencil that does not depend on a signature."""
    found = [_stencil(name, body) for name, body in {**shapes(), **leaving_shapes()}.items()]
    found += [_stencil(name, body, returns="ptr") for name, body in answers().items()]
    found += [_stencil(name, body, forms.ALL_PARAMETERS) for name, body in forms.registers()]
    return [*found, _function("piece trampoline", *forms.piece_trampoline())]


_PIECE: Final = re.compile(r"piece (entry leaf|entry leaving|entry|call|slot|through|guarded|code) ?(\d*):([IFV]*)")


def sources_of(names: Iterable[str]) -> list[tuple[str, str]]:
    """(name, IR) of pieces for some kind of results, and of stencils of signatures that are made as a whole."""
    found: list[tuple[str, str]] = []
    for name in names:
        piece = _PIECE.fullmatch(name)
        if piece is not None:
            form, stacked, results = piece.groups()
            if stacked:
                found.append(_stencil(name, forms.piece_call(form, int(stacked), results), forms.ALL_PARAMETERS))
            else:
                make = forms.piece_leaving if form == "entry leaving" else forms.piece_entry
                found.append(_function(name, *make(results, leaf=form == "entry leaf")))
            continue
        whole = split_name(name)
        assert whole is not None
        found.append(_WHOLE[whole[0]](name, whole[1]))
    return found


_WHOLE: Final[dict[str, Callable[[str, str], tuple[str, str]]]] = {
    ENTRY: lambda name, signature: _function(name, *forms.entry(signature)),
    LEAF: lambda name, signature: _function(name, *forms.entry(signature, leaf=True)),
    LEAVING: lambda name, signature: _function(name, *forms.entry_leaving(signature)),
    CALL: lambda name, signature: _stencil(name, forms.call(signature)),
    SLOT: lambda name, signature: _stencil(name, forms.call_slot(signature)),
    THROUGH: lambda name, signature: _stencil(name, forms.call_through(signature)),
    GUARDED: lambda name, signature: _stencil(name, forms.call_guarded(signature)),
    TRAMPOLINE: lambda name, signature: (name, stubs.trampoline(signature)),
}


def stencils_ir(sources: Iterable[tuple[str, str]]) -> str:
    """The IR module of these stencils."""
    parts = [INTRINSICS, _SYMBOLS]
    metadata = [METADATA]
    for scope, (_, text) in enumerate(sources, SCOPE_BASE):
        parts.append(text.replace(SCOPE, f"!{scope}"))
        metadata.append(
            f'!{scope} = distinct !DISubprogram(name: "s", scope: !6, file: !6, line: 0, type: !7, unit: !5, '
            "spFlags: DISPFlagDefinition)\n"
        )
    return "".join([*parts, ATTRIBUTES, stubs.ATTRIBUTES, _STENCIL_ATTRIBUTES, *metadata])


def build(
    sources: list[tuple[str, str]], rodata_at: int, *, verify: bool = False
) -> tuple[dict[str, StencilData], bytes]:
    """Compile: (stencils by name, the constants that they refer to, which will lie at `rodata_at`)."""
    return _Extractor(
        compile_ir(stencils_ir(sources), relocation="static", portable=True, verify=verify), rodata_at
    ).run()


class _Extractor:
    def __init__(self, data: bytes, rodata_at: int) -> None:
        self.object = elf.ObjectFile(0, data)
        self.text = next(s for s in self.object.loaded if s.flags & _SHF_EXECINSTR)
        self.rodata = bytearray()
        self.places: dict[int, int] = {}  # number of a read-only section -> where it will lie
        for number, section in enumerate(self.object.sections):
            if section in self.object.loaded and section is not self.text:
                self.rodata += bytes(-len(self.rodata) % 16)
                self.places[number] = rodata_at + len(self.rodata)
                self.rodata += self.object.contents(section)
        self.rodata += bytes(-len(self.rodata) % 16)
        self.rows = self._lines()

    def _lines(self) -> list[tuple[int, int, int]]:
        section = self.object.debug_line
        assert section is not None
        program = bytearray(self.object.contents(section))
        for rela, target in self.object.relocations():
            if target is section:
                for offset, info, addend in _RELA.iter_unpack(self.object.contents(rela)):
                    if info & 0xFFFFFFFF == elf.R_X86_64_64:
                        struct.pack_into("<Q", program, offset, self.object.symbols[info >> 32][4] + addend)
        return decode_line_programs(bytes(program), 0, self.text.size).rows()

    def run(self) -> tuple[dict[str, StencilData], bytes]:
        object_ = self.object
        relocations = sorted(
            row
            for rela, target in object_.relocations()
            if target is self.text
            for row in _RELA.iter_unpack(object_.contents(rela))
        )
        starts = [row[0] for row in relocations]
        line_starts = [row[0] for row in self.rows]
        code = bytes(object_.contents(self.text))
        found: dict[str, StencilData] = {}
        for number, (_, info, _, _, start, size) in enumerate(object_.symbols):
            if info & 0xF == _STT_FUNC and size:
                own = relocations[bisect_left(starts, start) : bisect_left(starts, start + size)]
                lines = self.rows[bisect_left(line_starts, start) : bisect_left(line_starts, start + size)]
                name = object_.symbol_name(number)
                found[name] = self._one(name, code[start : start + size], start, own, lines)
        return found, bytes(self.rodata)

    def _one(
        self,
        name: str,
        code: bytes,
        start: int,
        relocations: list[tuple[int, int, int]],
        lines: list[tuple[int, int, int]],
    ) -> StencilData:
        found = StencilData(name, code)
        size = len(code)
        symbols = [
            (offset - start, *self._symbol(info >> 32), info & 0xFFFFFFFF, add) for offset, info, add in relocations
        ]
        patched = bytearray(code)
        if symbols and code[size - 5] == _JMP and symbols[-1][0] == size - 4:
            if symbols[-1][1] == "next":
                symbols.pop()
                size -= 5
            elif (
                [symbol[:2] for symbol in symbols[-2:]] == [(size - 9, "next"), (size - 4, "taken")]
                and code[size - 11] == _JCC
                and code[size - 10] & 0xF0 == _JCC_CONDITION
            ):
                # A conditional jump to the next stencil over the jump that comes last: one with the opposite condition.
                symbols[-2:] = [(size - 9, *symbols[-1][1:])]
                size -= 5
                patched[size - 5] ^= 1
        del patched[size:]
        for offset, symbol, place, kind, addend in symbols:
            if symbol in HOLES and kind in _ABSOLUTE:
                found.holes.append((offset, symbol, addend))
                if symbol not in "ABCD" and not _ABSOLUTE[kind]:
                    found.unsigned.add(symbol)
            elif kind not in _RELATIVE:
                raise Error(f"stencil {name!r}: relocation {kind} against {symbol or 'a section'} is of no known use")
            elif symbol == "next":
                struct.pack_into("<i", patched, offset, size - offset + addend)
            elif symbol in _TAKEN:
                found.taken.append((offset, addend))
            elif symbol == "callee":
                found.callee.append((offset, addend))
            elif place is not None:
                found.rodata.append((offset, place, addend))
            else:
                found.external.append((offset, symbol, addend))
        found.code = bytes(patched)
        column = 0
        for address, line, at in lines:
            at = at if line else 0
            if at != column:
                found.marks.append((address - start, at))
                column = at
        return found

    def _symbol(self, number: int) -> tuple[str, int | None]:
        """(name, place in the constants or None) of a symbol."""
        _, _, _, section, value, _ = self.object.symbols[number]
        if section in self.places:
            return "", self.places[section] + value
        name = self.object.symbol_name(number)
        return ("next" if name in _NEXT else name), None
