"""THE table of WASI 0.2: what a program's world offers for each interface, by the names that the interface has.

All versions that can stand in for 0.2.0 get the same. Functions and classes are looked up by name when a component
imports them, so that what a later version does not have costs nothing, and what is missing here is a LinkError.
"""

from __future__ import annotations

from wasmark.component.values import Err, ResultError
from wasmark.errors import Exit
from wasmark.runtime.late_import import late_import
from wasmark.wasi.p2.filesystem import Descriptor, DirectoryEntryStream
from wasmark.wasi.p2.pollables import Pollable, poll
from wasmark.wasi.p2.refusal import refuse
from wasmark.wasi.p2.streams import InputStream, OutputStream, StreamFailure, filesystem_error_code
from wasmark.wasi.p2.world import World

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any, Final, NoReturn

    from wasmark.wasi.context import Context
    from wasmark.wasi.descriptors import Directory
    from wasmark.wasi.streams import Stream

_NANOSECONDS: Final = 10**9
_LAST_MOMENT: Final = (1 << 64) - 1
_MOST_RANDOM: Final = (1 << 28) - 1
"""Most random bytes at once: the longest list there is."""
_REALTIME, _MONOTONIC = 0, 1
"""Places in `Clocks.resolution`."""
_UTC: Final = {"utc-offset": 0, "name": "UTC", "in-daylight-saving-time": False}
"""The time zone of every program: where the host is, is the host's own affair."""
_LEVELS: Final = {
    "trace": "DEBUG",
    "debug": "DEBUG",
    "info": "INFO",
    "warn": "WARNING",
    "error": "ERROR",
    "critical": "CRITICAL",
}
"""What a level is called in `logging`."""


class Terminal:
    """Resources `terminal-input` and `terminal-output`, which tell no more than that there is a terminal."""

    __slots__ = ()


class Refused:
    """Interfaces that are there to be linked with: each function returns an error, and no resource ever comes about."""

    def __init__(self, code: str) -> None:
        self._code = code

    def keys(self) -> Refused:
        """All names there are."""
        return self

    def __contains__(self, name: object) -> bool:
        return True

    def __getitem__(self, name: str) -> Callable[..., NoReturn]:
        return self._refuse

    def _refuse(self, *args: Any) -> NoReturn:
        raise ResultError(self._code)


class Network:
    """Resource `network`: it leads nowhere."""

    __slots__ = ()


def interfaces(ctx: Context, streams: Sequence[Stream], directories: Sequence[Directory]) -> dict[str, Any]:
    """{name of an interface: its functions and classes} for one program. `streams` are its standard input, output and
    error."""
    clocks = ctx.clocks
    world = World(ctx)

    def monotonic() -> int:
        return min(max(clocks.monotonic(), 0), _LAST_MOMENT)

    def random_bytes(length: int) -> bytes:
        if length > _MOST_RANDOM:
            refuse(f"wasi:random: {length} bytes at once, {_MOST_RANDOM} are the most")
        return ctx.random(length)

    def random_u64() -> int:
        return int.from_bytes(ctx.random(8), "little")

    def terminal(number: int) -> Callable[[], Terminal | None]:
        return lambda: Terminal() if streams[number].is_terminal else None

    table = {
        "wasi:cli/environment": {
            "get-environment": lambda: [_text(each).partition("=")[::2] for each in ctx.environ.items],
            "get-arguments": lambda: [_text(each) for each in ctx.args.items],
            "initial-cwd": lambda: None,
        },
        "wasi:cli/exit": {"exit": _exit, "exit-with-code": _exit_with_code},
        "wasi:cli/stdin": {"get-stdin": lambda: InputStream(world, streams[0])},
        "wasi:cli/stdout": {"get-stdout": lambda: OutputStream(world, streams[1])},
        "wasi:cli/stderr": {"get-stderr": lambda: OutputStream(world, streams[2])},
        "wasi:cli/terminal-input": {"terminal-input": Terminal},
        "wasi:cli/terminal-output": {"terminal-output": Terminal},
        "wasi:cli/terminal-stdin": {"get-terminal-stdin": terminal(0)},
        "wasi:cli/terminal-stdout": {"get-terminal-stdout": terminal(1)},
        "wasi:cli/terminal-stderr": {"get-terminal-stderr": terminal(2)},
        "wasi:clocks/monotonic-clock": {
            "now": monotonic,
            "resolution": lambda: clocks.resolution[_MONOTONIC],
            "subscribe-instant": lambda when: Pollable(clocks, moment=when),
            "subscribe-duration": lambda time: Pollable(clocks, moment=min(monotonic() + time, _LAST_MOMENT)),
        },
        "wasi:clocks/timezone": {"display": lambda when: _UTC, "utc-offset": lambda when: 0},
        "wasi:clocks/wall-clock": {
            "now": lambda: _datetime(max(clocks.realtime(), 0)),
            "resolution": lambda: _datetime(clocks.resolution[_REALTIME]),
        },
        "wasi:filesystem/preopens": {
            "get-directories": lambda: [
                (Descriptor(world, each, None), _text(each.preopen_name or b"")) for each in directories
            ],
        },
        "wasi:filesystem/types": {
            "descriptor": Descriptor,
            "directory-entry-stream": DirectoryEntryStream,
            "filesystem-error-code": filesystem_error_code,
        },
        "wasi:io/error": {"error": StreamFailure},
        "wasi:io/poll": {"pollable": Pollable, "poll": lambda pollables: poll(clocks, pollables)},
        "wasi:io/streams": {"input-stream": InputStream, "output-stream": OutputStream},
        "wasi:random/random": {"get-random-bytes": random_bytes, "get-random-u64": random_u64},
        "wasi:random/insecure": {"get-insecure-random-bytes": random_bytes, "get-insecure-random-u64": random_u64},
        "wasi:random/insecure-seed": {"insecure-seed": lambda: (random_u64(), random_u64())},
        "wasi:sockets/instance-network": {"instance-network": Network},
        "wasi:sockets/ip-name-lookup": Refused("access-denied"),
        "wasi:sockets/network": {"network": Network, "network-error-code": lambda error: None},
        "wasi:sockets/tcp": Refused("access-denied"),
        "wasi:sockets/tcp-create-socket": Refused("access-denied"),
        "wasi:sockets/udp": Refused("access-denied"),
        "wasi:sockets/udp-create-socket": Refused("access-denied"),
    }
    # Logging has no stable version: any will do.
    return {f"{name}@0.2.0": offered for name, offered in table.items()} | {"wasi:logging/logging": {"log": _log}}


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _datetime(nanoseconds: int) -> dict[str, int]:
    seconds, rest = divmod(nanoseconds, _NANOSECONDS)
    return {"seconds": seconds, "nanoseconds": rest}


def _exit(status: Any) -> NoReturn:
    raise Exit(1 if isinstance(status, Err) else 0)


def _exit_with_code(code: int) -> NoReturn:
    raise Exit(code)


def _log(level: Any, context: str, message: str) -> None:
    """To Python's logger `wasmark.wasi`."""
    logging = late_import("logging")
    logging.getLogger("wasmark.wasi").log(getattr(logging, _LEVELS[level.value]), "%s: %s", context, message)
