"""A compiler process: another Python that gets work through its pipes and answers object code (see `worker`).

LLVM, as llvmlite has it, compiles one thing at a time and takes a while to load; a process of its own has neither
problem, and can be ended at any moment.
"""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
import tempfile
from typing import IO, TYPE_CHECKING, Any, Final

from wasmark.compile.worker import FINE, GREETING, read_block, write_block
from wasmark.errors import Error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from wasmark.compile.hot import Hot
    from wasmark.core.flavour import Flavour

_STDERR_KEPT: Final = 2000

# Who compiles needs a few rooms of the package, and not its public face: that would import all of them.
_START: Final = (
    "import sys; wasmark = type(sys)('wasmark'); wasmark.__path__ = [{path!r}]; sys.modules['wasmark'] = wasmark; "
    "from wasmark.compile.worker import main; main()"
)


def can_start() -> bool:
    """Whether `sys.executable` is a Python: a frozen application is its own, and would start itself again."""
    return bool(sys.executable) and not getattr(sys, "frozen", False)


class CompilerProcess:
    """The process. It does not see Ctrl-C: this process does, and ends it. Making one raises OSError where there are no
    more processes to be had."""

    def __init__(self) -> None:
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        # -P: what lies in the working directory is not to be imported. -S: where modules are is said below.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-S", "-c", _START.format(path=os.path.dirname(os.path.dirname(__file__)))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._in: IO[bytes] = self._process.stdin
        self._out: IO[bytes] = self._process.stdout

    def ready(self) -> bool:
        """Whether it is there and answers."""
        try:
            return read_block(self._out) == GREETING
        except (EOFError, OSError):
            return False

    def alive(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    def compile(self, ir: str) -> bytes:
        """The object code of an IR module. Raises Error where the process dies of it."""
        return self._ask("ir", ir)

    def learn(self, number: int, binary: bytes, escaping: Sequence[int], flavour: Flavour) -> None:
        """Tell it of a module, by a number, with the functions that can become references. Raises as
        `compile`."""
        self._ask("module", number, binary, list(escaping), list(flavour))

    def compile_hot(self, number: int, wanted: Sequence[Hot]) -> bytes:
        """The object code of these pieces of a module that it knows. Raises as `compile`, or Error where one of them
        cannot be made."""
        return self._ask("hot", number, [tuple(hot) for hot in wanted])

    def _ask(self, *request: Any) -> bytes:
        try:
            write_block(self._in, marshal.dumps(request))
            answer = read_block(self._out)
        except (EOFError, OSError):
            raise Error(f"a compiler process has died ({self._last_words()})") from None
        if answer[:1] != FINE:
            raise Error(answer[1:].decode("utf-8", "replace"))
        return answer[1:]

    def _last_words(self) -> str:
        status = self._process.wait()
        self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, self._stderr.tell() - _STDERR_KEPT))
        words = " ".join(self._stderr.read().decode("utf-8", "replace").split())
        return f"status {status}: {words}" if words else f"status {status}"

    def end(self) -> None:
        """End it, whatever it is doing."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Close what belongs to an ended one, or to one that a forked process leaves to its parent; nobody may be using
        it any more."""
        self._in.close()
        self._out.close()
        self._stderr.close()
