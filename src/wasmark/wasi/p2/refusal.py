"""`refuse`: the trap of a program that asks the host for what an interface forbids to ask for."""

from __future__ import annotations

from wasmark.component.traps import ComponentTrap, ComponentTrapCode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def refuse(sentence: str) -> NoReturn:
    """Trap, and say why."""
    raise ComponentTrap(ComponentTrapCode.REFUSED_BY_HOST, sentence)
