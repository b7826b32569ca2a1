"""WASI 0.2 for components: the interfaces of `wasi:cli`, `clocks`, `random`, `io`, `filesystem` and `logging`, made of
the same host side as preview 1 (`wasmark.wasi`), its sandbox included; sockets are refused.

What is here are plain Python functions and classes under the names of the interfaces. Their types come from the
component that imports them: a record is given as a tuple, an enum or flags as labels.
"""

from __future__ import annotations

from wasmark.component.wasi.cli import cli_interfaces
from wasmark.component.wasi.filesystem import filesystem_interfaces
from wasmark.component.wasi.io import Polling, io_interfaces
from wasmark.component.wasi.small import clock_interfaces, logging_interfaces, random_interfaces, socket_interfaces

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.wasi import Wasi


def interfaces(wasi: Wasi) -> dict[str, Any]:
    """What a component can import of a program's world, by the names of the interfaces, without versions."""
    context = wasi.context
    polling = Polling(context.clocks)
    return {
        **io_interfaces(polling),
        **cli_interfaces(context),
        **clock_interfaces(context.clocks),
        **random_interfaces(context.random),
        **filesystem_interfaces(context),
        **logging_interfaces(),
        **socket_interfaces(),
    }
