"""Translated functions -> one image, and an image -> a code object.

All functions first, each at a place divisible by 16, then the trampolines, then veneers for functions of the process;
on pages of their own the library's constants and the veneers' targets. The text is the same wherever it lies.
"""

from __future__ import annotations

import struct
from array import array

from wasmark.baseline.stencil import CALLEE, EXTERNAL, RODATA
from wasmark.compile.abi import trampoline_symbol
from wasmark.registry.code_object import FIRST_TIER, CodeModule, CodeObject
from wasmark.registry.stencil_lines import StencilLines
from wasmark.runtime import image as I  # noqa: N812 - a page of names
from wasmark.runtime.symbols import process_symbol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Final

    from wasmark.baseline.assembler import Fragment
    from wasmark.baseline.library import Library

_FILL: Final = b"\xcc"  # int3: what lies between functions is not for running
_pack: Final = struct.Struct("<i").pack_into
_VENEER: Final = struct.Struct("<HiH")  # jmp *disp32(%rip); ud2
_VENEER_JMP: Final = 0x25FF
_VENEER_STOP: Final = 0x0B0F
_JMP_SIZE: Final = 6


class FragmentImage:
    """The image of the fragments of several modules (usually one).

    functions: (function index, start, end) by module, as places in the image. trampolines: the place of each
    signature's. starts, lines, marks: the rows of all code, as `StencilLines` has them.
    """

    def __init__(
        self,
        parts: Sequence[Sequence[Fragment]],
        library: Library,
        signatures: Iterable[str] = (),
    ) -> None:
        self.functions: list[list[tuple[int, int, int]]] = []
        self.trampolines: dict[str, int] = {}
        self.starts, self.lines, self.marks = array("I"), array("I"), array("H")
        self._library = library
        self._text = bytearray()
        for part in parts:
            self._place(part)
        for signature in signatures:
            self._place_trampoline(signature)
        self.image = self._finish(parts)

    def _align(self) -> int:
        self._text += _FILL * (-len(self._text) % 16)
        return len(self._text)

    def _place(self, part: Sequence[Fragment]) -> None:
        placed = []
        for fragment in part:
            at = self._align()
            self._text += fragment.entry
            self.starts.append(at)
            self.lines.append(fragment.line)
            self.marks.append(fragment.mark)
            body = len(self._text)
            self._text += fragment.body
            placed.append((fragment.func_index, at, len(self._text)))
            self.starts.extend([body + start for start in fragment.starts])
            self.lines.extend(fragment.lines)
            self.marks.extend(fragment.marks)
        self.functions.append(placed)

    def _place_trampoline(self, signature: str) -> None:
        at = self.trampolines[signature] = self._align()
        self.starts.append(at)
        self.lines.append(0)
        self.marks.append(0)
        self._text += self._library[trampoline_symbol(signature)].data.code

    def _finish(self, parts: Sequence[Sequence[Fragment]]) -> I.Image:
        external: dict[str, int] = {}
        for part in parts:
            for fragment in part:
                for _, kind, target, _ in fragment.relocations:
                    if kind == EXTERNAL:
                        external.setdefault(target, len(external))
        text = self._text
        veneers_at = self._align()
        text += bytes(_VENEER.size * len(external))
        rodata = bytearray(self._library.rodata)
        targets_at = len(rodata)
        rodata += bytes(8 * len(external))
        rodata_at = I.pages(len(text))
        fixups = []
        veneers = {}
        for name, slot in external.items():
            place = veneers_at + slot * _VENEER.size
            target = rodata_at + targets_at + slot * 8
            _VENEER.pack_into(text, place, _VENEER_JMP, target - (place + _JMP_SIZE), _VENEER_STOP)
            veneers[name] = (place, _VENEER.size)
            fixups.append((target, "<Q", False, I.EXTERNAL, name, 0))
        for part, functions in zip(parts, self.functions, strict=True):
            places = {func_index: start for func_index, start, _ in functions}
            for fragment in part:
                start = places[fragment.func_index] + len(fragment.entry)
                for offset, kind, target, addend in fragment.relocations:
                    offset += start
                    if kind == CALLEE:
                        place = places[target]
                    elif kind == RODATA:
                        place = rodata_at + target
                    else:
                        place = veneers[target][0]
                    _pack(text, offset, place - offset + addend)
        size = len(text)
        content = text + _FILL * (rodata_at - size) + rodata
        symbols = {
            trampoline_symbol(signature): (at, len(self._library[trampoline_symbol(signature)].data.code))
            for signature, at in self.trampolines.items()
        }
        return I.Image(content, size, len(rodata), fixups, symbols, veneers)

    def load(self) -> CodeObject:
        """The code object: in code memory, executable, not yet registered."""
        loaded = I.load(self.image, process_symbol)
        base = loaded.text_start
        return CodeObject(
            loaded.code_memory,
            base,
            loaded.text_end,
            [
                CodeModule(((index, base + start, base + end) for index, start, end in part), FIRST_TIER)
                for part in self.functions
            ],
            {signature: base + at for signature, at in self.trampolines.items()},
            lines=[StencilLines(base, self.starts, self.lines, self.marks, self._library.marks)],
        )
