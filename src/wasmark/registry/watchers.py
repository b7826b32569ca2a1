"""Who wants to hear of code that comes and goes: profilers and debuggers, which have to know an address's name before
anybody runs there, and must not use it when somebody else's code is there.

Code is announced before it is registered, perhaps more than once. That it has gone is told under the lock of the
process-wide table, maybe by the garbage collector, and before its memory is anybody else's: a watcher then takes no
lock, and only makes a note. What a watcher raises comes out where the code was made.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from wasmark.registry.code_object import CodeObject
else:
    Protocol = object


class Watcher(Protocol):
    """What is told."""

    def arrived(self, code: CodeObject) -> None:
        """The code is about to be registered, or has been already; it may be told again."""

    def left(self, id_: int) -> None:
        """The code object with this id is no more. The watcher may never have heard of it."""


_watchers: tuple[Watcher, ...] = ()  # replaced as a whole, never changed


def watch(watcher: Watcher) -> None:
    """Tell `watcher` from now on."""
    global _watchers
    _watchers = (*_watchers, watcher)


def unwatch(watcher: Watcher) -> None:
    """Tell it no longer."""
    global _watchers
    _watchers = tuple(other for other in _watchers if other is not watcher)


def announce(code: CodeObject) -> None:
    """For the process-wide table: `code` is about to be registered."""
    for watcher in _watchers:
        watcher.arrived(code)


def announce_end(id_: int) -> None:
    """For the process-wide table: the code object with this id is no more."""
    for watcher in _watchers:
        watcher.left(id_)
