"""Machine code as text, by way of capstone, which is an extra: `pip install 'wasmark[objdump]'`."""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any, Final

from wasmark.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator

_TRAP: Final = bytes((0x67, 0x0F, 0xB9, 0x40))
"""`ud1l code(%eax), %eax` without its last byte, the code; disassemblers differ in what they make of it."""


class Disassembler:
    """Reads the code of this process. Raises Error where capstone is not installed."""

    def __init__(self) -> None:
        try:
            import capstone
        except ImportError:
            raise Error("disassembling needs the package capstone: pip install 'wasmark[objdump]'") from None
        self._capstone: Any = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_64)
        self._capstone.skipdata = True

    def instructions(self, start: int, end: int) -> Iterator[tuple[int, int, str, str]]:
        """(address, size in bytes, mnemonic, operands) of the code at [start, end)."""
        text = ctypes.string_at(start, end - start)
        position = 0
        while position < len(text):
            for address, size, mnemonic, operands in self._capstone.disasm_lite(text[position:], start + position):
                position = address - start
                if text.startswith(_TRAP, position):
                    position += len(_TRAP) + 1
                    yield address, len(_TRAP) + 1, "ud1", str(text[position - 1])
                    break
                position += size
                yield address, size, mnemonic, operands
