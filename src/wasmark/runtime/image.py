"""`Image`: linked code that does not know yet where it will lie, and how it gets into code memory.

An image is a run of bytes: all code, then, from the next page on, all read-only data. Places in it count from its
first byte. What depends on where it comes to lie, or on where the process has its functions, is listed as *fixups*;
position-independent code has them in its read-only data only (the slots of the offset table), so that its text can be
mapped from a file as it is and be shared between processes.
"""

from __future__ import annotations

import ctypes
import struct

from wasmark.core.record import Record
from wasmark.errors import Error
from wasmark.runtime.code_memory import PAGE_SIZE, CodeMemory

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Final

    Resolve = Callable[[str], int | None]
    Buffer = bytes | bytearray | memoryview

# What the value of a fixup counts from.
ABSOLUTE: Final = 0
IMAGE: Final = 1  # the first byte of the image
EXTERNAL: Final = 2  # the address of something in the process
WEAK: Final = 3  # the same, or 0 where the process has no such thing


Fixup = tuple[int, str, bool, int, str, int]
"""(place, format, relative, origin, name, value): a field at `place` whose value is `value` plus what `origin` says,
less its own address where it is relative. format: as `struct` writes it. name: of the symbol; for messages, where it is
not an external one."""


class LineSource(Record):
    """The line table of one object: `program` is its `.debug_line`, whose addresses are `bias` less than the real
    ones; its code is [start, end)."""

    __slots__ = ("bias", "end", "program", "start")

    def __init__(self, start: int, end: int, program: Buffer, bias: int = 0) -> None:
        self.start = start
        self.end = end
        self.program = program
        self.bias = bias


def pages(size: int) -> int:
    """A size rounded up to whole pages."""
    return (size + PAGE_SIZE - 1) & -PAGE_SIZE


class Image:
    """Linked code.

    content: `text_size` bytes of code, padded to whole pages, and `rodata_size` bytes of read-only data. symbols:
    (place, size) of each function by name; veneers: the same of the jumps to external ones. lines: (first place of
    code, end, line program whose addresses are places).
    """

    __slots__ = ("content", "fixups", "lines", "rodata_size", "symbols", "text_size", "veneers")

    def __init__(
        self,
        content: Buffer,
        text_size: int,
        rodata_size: int,
        fixups: Sequence[Fixup] = (),
        symbols: dict[str, tuple[int, int]] | None = None,
        veneers: dict[str, tuple[int, int]] | None = None,
        lines: Sequence[tuple[int, int, Buffer]] = (),
    ) -> None:
        self.content = content
        self.text_size = text_size
        self.rodata_size = rodata_size
        self.fixups = fixups
        self.symbols = {} if symbols is None else symbols
        self.veneers = {} if veneers is None else veneers
        self.lines = lines

    @property
    def rodata_place(self) -> int:
        """Where the read-only data starts."""
        return pages(self.text_size)

    @property
    def position_independent(self) -> bool:
        """Whether the text is the same wherever it lies."""
        text = self.rodata_place
        return all(place >= text for place, *_ in self.fixups)


class LoadedImage:
    """An image in code memory.

    `code_memory` is published: executable, and constant. `text_start` and `text_end` (exclusive) bound all code,
    veneers included. `symbols` has (address, size) of every function by name; `veneers` likewise of the jumps to
    external ones.
    """

    __slots__ = ("_image", "code_memory", "line_sources", "symbols", "text_end", "text_start", "veneers")

    def __init__(self, image: Image, code_memory: CodeMemory) -> None:
        base = code_memory.base
        self._image = Image(
            b"", image.text_size, image.rodata_size, image.fixups, image.symbols, image.veneers, image.lines
        )
        self.code_memory = code_memory
        self.text_start = base
        self.text_end = base + image.text_size
        self.symbols = {name: (base + place, size) for name, (place, size) in image.symbols.items()}
        self.veneers = {name: (base + place, size) for name, (place, size) in image.veneers.items()}
        self.line_sources = [LineSource(base + start, base + end, program, base) for start, end, program in image.lines]

    def recover(self) -> Image:
        """The image that was loaded, read back from code memory."""
        image, memory = self._image, self.code_memory
        content = bytearray(ctypes.string_at(memory.base, image.rodata_place + image.rodata_size))
        for fixup in image.fixups:
            place, format_, *_ = fixup
            size = struct.calcsize(format_)
            content[place : place + size] = bytes(size)
        return Image(
            content, image.text_size, image.rodata_size, image.fixups, image.symbols, image.veneers, image.lines
        )


def load(image: Image, resolve: Resolve, file: tuple[int, int] | None = None) -> LoadedImage:
    """Bring an image into code memory and publish it.

    resolve: the address of a function or variable of the process, or None. file: (descriptor, offset) of a file that
    holds `content`, to be mapped instead of copied where the system allows it. Raises Error where a symbol is missing
    or out of reach, OutOfCodeMemoryError where there is no room.
    """
    memory = None
    if file is not None and image.position_independent:
        memory = CodeMemory.map_file(file[0], file[1], image.text_size, image.rodata_size)
    mapped = memory is not None
    if memory is None:
        memory = CodeMemory.allocate(image.text_size, image.rodata_size)
    try:
        if not mapped:
            memory.write(memory.base, image.content)
        _fix(image, memory, resolve)
        memory.publish()
    except BaseException:
        memory.free()
        raise
    return LoadedImage(image, memory)


def _fix(image: Image, memory: CodeMemory, resolve: Resolve) -> None:
    base = memory.base
    known: dict[str, int] = {}
    for place, format_, relative, origin, name, value in image.fixups:
        if origin == IMAGE:
            value += base
        elif origin != ABSOLUTE:
            address = known.get(name)
            if address is None:
                found = resolve(name)
                if found is None and origin != WEAK:
                    raise Error(f"symbol {name!r} is not defined")
                address = known[name] = found or 0
            value += address
        if relative:
            value -= base + place
        try:
            field = struct.pack(format_, value)
        except struct.error:
            raise Error(f"the field at {place:#x} does not reach {name!r}") from None
        memory.write(base + place, field)
