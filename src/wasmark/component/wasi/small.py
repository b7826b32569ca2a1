"""The small packages of WASI 0.2: `wasi:clocks`, `wasi:random`, `wasi:logging`, and `wasi:sockets`, which refuses."""

from __future__ import annotations

import logging

from wasmark.component.values import ResultError
from wasmark.component.wasi.io import Pollable, Polling

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, Final

    from wasmark.wasi.clock import Clocks

_SECOND: Final = 10**9
_MAX_U64: Final = (1 << 64) - 1
_LEVELS: Final = {
    "trace": logging.DEBUG,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
    "critical": logging.CRITICAL,
}
_SOCKET_INTERFACES: Final = (
    "network",
    "instance-network",
    "tcp",
    "tcp-create-socket",
    "udp",
    "udp-create-socket",
    "ip-name-lookup",
)


def clock_interfaces(clocks: Clocks) -> dict[str, Any]:
    """`wasi:clocks`."""
    polling = Polling(clocks)
    wall, monotonic = clocks.resolution[:2]
    return {
        "wasi:clocks/monotonic-clock": {
            "now": clocks.monotonic,
            "resolution": lambda: monotonic,
            "subscribe_instant": lambda when: Pollable(polling, instant=when),
            "subscribe_duration": lambda length: Pollable(polling, instant=min(clocks.monotonic() + length, _MAX_U64)),
        },
        "wasi:clocks/wall-clock": {
            "now": lambda: divmod(max(0, clocks.realtime()), _SECOND),
            "resolution": lambda: divmod(wall, _SECOND),
        },
    }


def random_interfaces(random: Callable[[int], bytes]) -> dict[str, Any]:
    """`wasi:random`."""

    def number() -> int:
        return int.from_bytes(random(8), "little")

    return {
        "wasi:random/random": {"get_random_bytes": random, "get_random_u64": number},
        "wasi:random/insecure": {"get_insecure_random_bytes": random, "get_insecure_random_u64": number},
        "wasi:random/insecure-seed": {"insecure_seed": lambda: (number(), number())},
    }


def logging_interfaces() -> dict[str, Any]:
    """`wasi:logging`: goes to Python's logger `wasmark.wasi`."""
    logger = logging.getLogger("wasmark.wasi")

    def log(level: Any, context: str, message: str) -> None:
        logger.log(_LEVELS[level.value], "%s: %s", context, message)

    return {"wasi:logging/logging": {"log": log}}


class Network:
    """All that there is of a network: somebody may ask for it."""


class Refusing:
    """An interface whose every function is refused, and whose resources nobody gets."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__") or not (name[:1].islower() or name.startswith("[")):
            raise AttributeError(name)

        def refused(*_: object) -> Any:
            raise ResultError("access-denied")

        return refused


def socket_interfaces() -> dict[str, Any]:
    """`wasi:sockets`."""
    found: dict[str, Any] = {f"wasi:sockets/{name}": Refusing() for name in _SOCKET_INTERFACES}
    found["wasi:sockets/instance-network"] = {"instance_network": Network}
    return found
