"""`Flavour`: what an engine is told of what its code does, beside what the standard says; both compilers heed it."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from wasmark.core.record import NamedTuple


class Flavour(NamedTuple):
    """deterministic: relaxed instructions are those of the deterministic profile. fuel: code pays for what it does
    (see `compile.fuel`)."""

    deterministic: bool = False
    fuel: bool = False


STANDARD = Flavour()
"""That of an engine that is told nothing."""
