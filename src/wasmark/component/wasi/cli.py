"""`wasi:cli`: arguments, environment, standard streams, terminals, and the end of a program."""

from __future__ import annotations

from wasmark.component.values import Ok
from wasmark.component.wasi.io import InputStream, OutputStream, Polling
from wasmark.errors import Exit
from wasmark.wasi.abi import FileType

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from wasmark.wasi.context import Context


class TerminalInput:
    """Standard input is a terminal."""


class TerminalOutput:
    """Standard output or error is a terminal."""


def _exit(status: Any) -> None:
    raise Exit(0 if isinstance(status, Ok) else 1)


def _exit_with_code(code: int) -> None:
    raise Exit(code)


def cli_interfaces(context: Context) -> dict[str, Any]:
    """The interfaces of the package."""
    polling = Polling(context.clocks)
    names = [os_string.decode("utf-8", "replace") for os_string in context.args.strings]
    pairs = [os_string.decode("utf-8", "replace").partition("=") for os_string in context.environ.strings]

    def terminal(number: int, class_: type) -> Any:
        is_terminal = context.table.get(number).filetype == FileType.CHARACTER_DEVICE
        return class_() if is_terminal else None

    found: dict[str, Any] = {
        "wasi:cli/environment": {
            "get_environment": lambda: [(name, value) for name, _, value in pairs],
            "get_arguments": lambda: names,
            "initial_cwd": lambda: None,
        },
        "wasi:cli/exit": {"exit": _exit, "exit_with_code": _exit_with_code},
        "wasi:cli/terminal-input": {"TerminalInput": TerminalInput},
        "wasi:cli/terminal-output": {"TerminalOutput": TerminalOutput},
        "wasi:cli/stdin": {"get_stdin": lambda: InputStream(polling, context.table.get(0))},
        "wasi:cli/terminal-stdin": {"get_terminal_stdin": lambda: terminal(0, TerminalInput)},
        "wasi:cli/stdout": {"get_stdout": lambda: OutputStream(polling, context.table.get(1))},
        "wasi:cli/terminal-stdout": {"get_terminal_stdout": lambda: terminal(1, TerminalOutput)},
        "wasi:cli/stderr": {"get_stderr": lambda: OutputStream(polling, context.table.get(2))},
        "wasi:cli/terminal-stderr": {"get_terminal_stderr": lambda: terminal(2, TerminalOutput)},
    }
    return found
