"""`Wasi`: what a program is given of the host, and the functions by which it asks for it."""

from __future__ import annotations

import os

from wasmark.wasi import functions
from wasmark.wasi.abi import ABIS, SNAPSHOT_PREVIEW1
from wasmark.wasi.args import argument_table, environment_table
from wasmark.wasi.clock import Clocks
from wasmark.wasi.context import Context
from wasmark.wasi.descriptors import DescriptorTable
from wasmark.wasi.preopens import normalise, open_directory
from wasmark.wasi.streams import input_stream, output_stream

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType
    from typing import Any

    from wasmark.wasi.descriptors import Directory
    from wasmark.wasi.functions import HostFunction, Row
    from wasmark.wasi.preopens import Preopens
    from wasmark.wasi.streams import Readable, Writable


class Wasi:
    """The world of one program: WASI preview 1, and WASI 0.2 for components.

    args: the arguments, the program's name first.
    env: environment variables; nothing is taken over from the process.
    stdin: None for that of the process, bytes, or a binary file object.
    stdout, stderr: None for those of the process, a `Capture`, or a binary file object. Objects are not closed.
    preopens: `Preopen` objects, or a mapping of guest paths to host paths; all that the program can reach of the file
        system.
    clocks: replaces the time; `Clocks()` is that of the host.
    random: returns as many random bytes as it is asked for.
    max_descriptors: most descriptors open at once, standard streams and preopens included.

    It holds host descriptors: use it as a context manager, or call `close`.
    Raises OSError if a preopen is not a directory that can be opened, ValueError and TypeError for what cannot be
    given to a program.
    """

    def __init__(
        self,
        args: Iterable[str | bytes] = (),
        env: Mapping[str, str] | None = None,
        stdin: Readable | bytes | bytearray | None = None,
        stdout: Writable | None = None,
        stderr: Writable | None = None,
        preopens: Preopens = (),
        *,
        clocks: Clocks | None = None,
        random: Callable[[int], bytes] = os.urandom,
        max_descriptors: int = 512,
    ) -> None:
        self._table = DescriptorTable(max_descriptors)
        self._context = Context(
            abi=SNAPSHOT_PREVIEW1,
            args=argument_table(args),
            environ=environment_table(env or {}),
            table=self._table,
            clocks=clocks or Clocks(),
            random=random,
        )
        self._contexts = {SNAPSHOT_PREVIEW1.module: self._context}
        self._streams = streams = (
            input_stream(stdin),
            output_stream(stdout, 1, "stdout"),
            output_stream(stderr, 2, "stderr"),
        )
        preopened = self._preopens = normalise(preopens)
        if max_descriptors < len(streams) + len(preopened):
            raise ValueError(f"max_descriptors={max_descriptors} leaves no room for the streams and preopens")
        for stream in streams:
            self._table.add(stream)
        self._directories: list[Directory] = []
        try:
            for preopen in preopened:
                self._directories.append(open_directory(preopen))
                self._table.add(self._directories[-1])
        except BaseException:
            self.close()
            raise

    def host_functions(
        self, get_memory: Callable[[], memoryview], module: str = SNAPSHOT_PREVIEW1.module
    ) -> dict[str, HostFunction]:
        """The functions to import from `module` ("wasi_snapshot_preview1" or its forerunner "wasi_unstable"), by name.

        get_memory: returns a writable view of the whole linear memory, of format "B". It is called once for each call
            of a function; the view is released before that returns.
        """
        return functions.host_functions(self._context_for(module), get_memory)

    def bind(self, row: Row, get_memory: Callable[[], memoryview], module: str) -> Callable[..., int | None]:
        """The `call` of one of those functions."""
        return functions.bind(row, self._context_for(module), get_memory)

    def interfaces(self) -> dict[str, Any]:
        """What components import of WASI 0.2: {name of an interface: its functions and classes}, as `ComponentInstance`
        takes them. The programs of one world have the same streams and directories."""
        from wasmark.wasi.p2.interfaces import interfaces

        return interfaces(self._context, self._streams, self._directories)

    def _context_for(self, module: str) -> Context:
        found = self._contexts.get(module)
        if found is None:
            abi = ABIS.get(module)
            if abi is None:
                raise ValueError(f"unknown WASI module {module!r}; known: {', '.join(ABIS)}")
            found = self._contexts[module] = self._context.with_abi(abi)
        return found

    def __repr__(self) -> str:
        """Without what the variables are: they may be secrets."""
        context = self._context
        paths = ", ".join(
            f"{preopen.guest_path!r}{' (read-only)' if preopen.readonly else ''}" for preopen in self._preopens
        )
        counts = f"arguments: {context.args.count}, variables: {context.environ.count}"
        return f"<wasmark.wasi.Wasi: {counts}, directories: {paths or 'none'}>"

    def close(self) -> None:
        """Close every descriptor, but not those of the process nor objects given as streams. May be called again."""
        self._table.close_all()

    def __enter__(self) -> Wasi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
