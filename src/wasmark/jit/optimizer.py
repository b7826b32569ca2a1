"""The second tier in the background: one thread, and behind it one compiler process, for all lazy modules.

Code that runs asks with `request` and goes on; the module hears of the result by `install`. Nothing here is needed for
a program to run: where no thread or process is to be had, or a compiler process dies, code stays in the first tier, and
`logging` is told why.
"""

from __future__ import annotations

import _thread
import atexit
import os
import threading
import weakref
from collections import deque
from queue import Empty, SimpleQueue

from wasmark.errors import Error
from wasmark.runtime.late_import import late_import

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Final, Protocol

    from wasmark.compile.hot import Hot
    from wasmark.compile.process import CompilerProcess
    from wasmark.core.flavour import Flavour
else:
    Protocol = object

_IDLE_SECONDS: Final = 20
"""After so long without work the compiler process is ended: it takes 100 MB."""

_BATCH_BYTES: Final = 12 << 10
"""Bytes of wasm that are compiled together, where so much is waiting."""

_MOST_DEATHS: Final = 3


class Client(Protocol):
    """A module that wants code."""

    number: int
    """Never that of another module of this process."""

    flavour: Flavour
    """What its code does."""

    @property
    def binary(self) -> bytes:
        """The module."""

    @property
    def escaping(self) -> Sequence[int]:
        """Its functions that can become references."""

    def size(self, hot: Hot) -> int:
        """Bytes of wasm of the function."""

    def install(self, wanted: Sequence[Hot], data: bytes) -> None:
        """Take the object code of these pieces."""


def _debug(message: str, *args: object) -> None:
    import logging

    logging.getLogger("wasmark.tiers").debug(message, *args)


class Optimizer:
    """The thread and its queue. It never raises into the code that asks."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[tuple[weakref.ref[Client], Hot, bool]] = SimpleQueue()
        self._urgent: deque[tuple[weakref.ref[Client], Hot]] = deque()
        self._later: deque[tuple[weakref.ref[Client], Hot]] = deque()
        self._alone = 0  # how many of the next are tried alone
        self._started = False
        # A finalizer may run while this is held, and call a hot function.
        self._starting = threading.RLock()
        self._process: CompilerProcess | None = None
        self._known: dict[int, None] = {}  # modules that the process was told of
        self._deaths = 0

    def request(self, client: Client, hot: Hot, *, urgent: bool) -> None:
        """Have something compiled, soon. What is urgent comes first."""
        if self._deaths >= _MOST_DEATHS:
            return
        self._queue.put((weakref.ref(client), hot, urgent))
        if not self._started:
            with self._starting:
                if not self._started:
                    self._started = True
                    try:
                        # A bare thread, as in `runtime.apart`: nothing can get lost while it is started.
                        _thread.start_new_thread(self._run, ())
                    except RuntimeError as error:  # no more threads, or the interpreter is about to end
                        _debug("nothing is optimized: %s", error)

    def _run(self) -> None:
        while True:
            self._fill()
            client, batch = self._next()
            if client is not None:
                self._serve(client, batch)
            del client

    def _serve(self, client: Client, batch: list[Hot]) -> None:
        try:
            client.install(batch, self._compile(client, batch))
        except (Error, OSError) as error:
            if len(batch) == 1:
                _debug("%r of %r stays as it is: %s", batch[0], client, error)
                return
            # Whose fault it is shows when each is tried alone.
            self._urgent.extendleft((weakref.ref(client), hot) for hot in reversed(batch))
            self._alone += len(batch)

    def _next(self) -> tuple[Client | None, list[Hot]]:
        """What to compile now: pieces of one module."""
        waiting = self._urgent or self._later
        reference, hot = waiting.popleft()
        client = reference()
        batch = [hot]
        if client is None:
            return None, batch
        if self._alone:
            self._alone -= 1
            return client, batch
        room = _BATCH_BYTES - client.size(hot)
        while waiting and waiting[0][0] == reference:
            hot = waiting[0][1]
            room -= client.size(hot)
            if room < 0:
                break
            waiting.popleft()
            if hot not in batch:
                batch.append(hot)
        return client, batch

    def _fill(self) -> None:
        """Wait until there is something to do, and sort what has come in."""
        while True:
            try:
                if self._urgent or self._later:
                    reference, hot, urgent = self._queue.get_nowait()
                elif self._process is None:
                    reference, hot, urgent = self._queue.get()
                else:
                    reference, hot, urgent = self._queue.get(timeout=_IDLE_SECONDS)
            except Empty:
                if self._urgent or self._later:
                    return
                self._end_process()
                continue
            (self._urgent if urgent else self._later).append((reference, hot))

    def _compile(self, client: Client, batch: Sequence[Hot]) -> bytes:
        process_module = late_import("wasmark.compile.process")
        unknown_module = late_import("wasmark.compile.worker").UNKNOWN_MODULE
        if self._deaths >= _MOST_DEATHS:
            raise Error("too many compiler processes have died")
        if not process_module.can_start():
            raise Error("this Python cannot be started again as a compiler process")
        try:
            if self._process is None:
                self._process = process_module.CompilerProcess()
                if not self._process.ready():
                    raise Error("the compiler process does not answer")
            process = self._process
            for _ in range(2):
                if client.number not in self._known:
                    process.learn(client.number, client.binary, client.escaping, client.flavour)
                    self._known[client.number] = None
                try:
                    return process.compile_hot(client.number, batch)
                except Error as error:
                    if str(error) != unknown_module:  # it keeps a few only
                        raise
                    del self._known[client.number]
            raise Error(unknown_module)
        except Error:
            if self._process is not None and not self._process.alive():
                self._deaths += 1
                self._end_process()
            raise

    def _end_process(self) -> None:
        process, self._process = self._process, None
        self._known.clear()
        if process is not None:
            process.end()
            process.close()

    def stop(self) -> None:
        """At the end of the process: nothing new is begun, and what is under way is not waited for."""
        self._deaths = _MOST_DEATHS
        process = self._process
        if process is not None:
            process.end()

    def leave(self) -> None:
        """In a forked child: the thread is not here, and the compiler process is the parent's."""
        if self._process is not None:
            self._process.close()


_optimizer = Optimizer()


def optimizer() -> Optimizer:
    """The one of this process: another one in a forked child, which knows of no request."""
    return _optimizer


def _after_fork_in_child() -> None:
    global _optimizer
    _optimizer.leave()
    _optimizer = Optimizer()


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(lambda: _optimizer.stop())
