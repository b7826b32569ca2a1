"""`Hot`: a piece of a lazy module that is worth LLVM's time. Who asks for it and who makes it share this name."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from wasmark.core.record import NamedTuple


class Hot(NamedTuple):
    """A function by its number (imported ones not counted): as a whole, or, where `loop` is not 0, to be entered at
    that loop, by its byte in the module, with the frame of the first tier."""

    number: int
    loop: int

    def symbol(self, imported: int) -> str:
        """What its code is called in an image of a module with so many imported functions."""
        name = f"f{imported + self.number}"
        return f"{name}.{self.loop}" if self.loop else name
