"""Objects that are native memory of this process: they can be neither copied nor pickled, and say so.

What copies objects by their attributes would make a second owner of the same memory.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn, SupportsIndex


class OfThisProcess:
    """What a class inherits whose objects stay in the process that made them."""

    __slots__ = ()

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        """Raises TypeError."""
        raise TypeError(f"a wasmark.{type(self).__name__} can be neither copied nor pickled: it is of this process")
