"""Every way in which code can come about, by a name: what the tests run under each of them, they pass under each."""

from __future__ import annotations

from typing import Any, Final

from wasmark import Config

_WAYS: Final[dict[str, dict[str, Any]]] = {
    "eager": {"strategy": "eager"},
    "baseline": {"strategy": "baseline"},
    "lazy": {"strategy": "lazy"},
    "first-tier": {"strategy": "lazy", "tier_up": None},
    # At the first call of a function, and before the first turn of each loop.
    "tier-up-at-once": {"strategy": "lazy", "tier_up": 0, "tier_up_in_background": False},
    # In the middle of loops, at a turn that is not the first.
    "tier-up-in-loops": {"strategy": "lazy", "tier_up": 2, "tier_up_in_background": False},
}

WAYS: Final = tuple(_WAYS)


def config(way: str, **more: Any) -> Config:
    """The configuration of a way."""
    return Config(**_WAYS[way], **more)
