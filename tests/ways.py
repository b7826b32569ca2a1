"""Every way in which code can come about, by a name: what the tests run under each of them, they pass under each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from wasmark import Config
from wasmark.jit import ledger

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

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

CACHED: Final = "cached"
"""One more: see `run_cached`."""

STRESSED: Final = tuple(f"{way} stressed" for way in WAYS)
"""The ways with a collection before every allocation of an object."""


def config(way: str, **more: Any) -> Config:
    """The configuration of a way, also of one that is STRESSED."""
    name, _, stressed = way.partition(" ")
    return Config(**_WAYS[name], **{"collect_always": bool(stressed), **more})


def run_cached(run: Callable[[Config], _T], directory: str, **more: Any) -> _T:
    """What `run` gives the second time, when all code of the first time is in the cache, however little it is."""
    chosen = Config(strategy="lazy", tier_up=3, tier_up_in_background=False, cache=directory, **more)
    least, ledger._LEAST = ledger._LEAST, 0
    try:
        run(chosen)
        ledger.save_all()
        return run(chosen)
    finally:
        ledger._LEAST = least
