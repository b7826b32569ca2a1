"""The `wasmark` command: finds the command's file, runs it, and turns what it raises into an exit status.

A command is a file of this package with `add_arguments(parser)` and `execute(args) -> int`; only the one asked for is
imported. A command reports failure by raising; the statuses are decided here and nowhere else:

    0    done                       (a WASI program's own status passes through)
    1    bad input: one line on stderr; or a command component that says it failed, without a word
    2    wrong usage (argparse)
    124  its time was over: a traceback of where it was on stderr
    130  interrupted
    134  a trap, or an exception that nobody caught: its traceback on stderr
"""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys

from wasmark.errors import Error, Exit, Timeout, Trap, WasmException

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Final

COMMANDS: Final[dict[str, str]] = {
    "run": "run a WASI program, or call one exported function",
    "compile": "write a module or component and its machine code into one file, which `run` starts at once",
    "validate": "check modules, binary or text",
    "wat2wasm": "translate the text format to the binary format",
    "wasm2wat": "translate the binary format to the text format",
    "bindgen": "write the types of a component as a Python stub file",
    "objdump": "show sections, functions, and the machine code beside its wasm instructions",
    "explore": "write a page that shows wasm text and machine code side by side",
    "addr2line": "say which function, file and line a byte of a module belongs to",
    "wast": "run scripts in the format of the official test suite",
    "cache": "show or clear the cache of compiled code",
}
"""Command -> what it does; the file of the same name has the rest."""

EXIT_BAD_INPUT: Final = 1
EXIT_TIMEOUT: Final = 124
EXIT_INTERRUPTED: Final = 130
EXIT_TRAP: Final = 134


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line (`sys.argv[1:]` if None) and return the exit status; argparse itself leaves with 0 or 2."""
    if argv is None:
        # A process of our own: what is here by now stays to the end, and no collection, the last ones included, needs
        # to look at it.
        gc.freeze()
    try:
        status = _dispatch(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return status
    except Exit as exit_:
        return exit_.code & 0xFF
    except (Trap, WasmException) as error:
        print(error.format(sources=True), file=sys.stderr)
        return EXIT_TIMEOUT if isinstance(error, Timeout) else EXIT_TRAP
    except BrokenPipeError:
        # The reader of our output has gone (`| head`). Nothing to say, and nothing more to flush when Python ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BAD_INPUT
    except (Error, OSError) as error:
        print(f"wasmark: {_one_line(error)}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


def _dispatch(words: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="wasmark", description="A WebAssembly runtime for Python, in Python.", formatter_class=_Formatter
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="show the version and stop")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    wanted = next((word for word in words if not word.startswith("-")), None)
    module: Any = None
    only = [wanted] if wanted in COMMANDS and words[0] == wanted else COMMANDS
    for name in only:
        summary = COMMANDS[name]
        description = summary[0].upper() + summary[1:] + "."
        subparser = commands.add_parser(name, help=summary, description=description, formatter_class=_Formatter)
        if name == wanted:
            module = importlib.import_module(f"wasmark.cli.{name}")
            module.add_arguments(subparser)
    # A command that hands words on to a program says itself which ones are its own.
    own, program = module.split(words) if hasattr(module, "split") else (words, [])
    args = parser.parse_args(own)
    args.program_args = program
    return int(module.execute(args))


class _Formatter(argparse.HelpFormatter):
    """Finds the width of the terminal without `shutil`, for one is made with every option: that takes long to load."""

    def __init__(self, prog: str) -> None:
        width = os.environ.get("COLUMNS", "")
        try:
            columns = int(width) if width.isdecimal() else os.get_terminal_size().columns
        except OSError:
            columns = 0
        super().__init__(prog, width=(columns or 80) - 2)


class _Version(argparse.Action):
    """Looks the version up only when it is asked for: that reads the installed package's metadata."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        from importlib.metadata import version

        print(f"wasmark {version('wasmark')}")
        parser.exit()


def _one_line(error: Error | OSError) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return " ".join(str(error).split())
