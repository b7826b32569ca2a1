"""`wasmark run FILE [OPTIONS] [ARGS...]`: a WASI program from its `_start`, a command component from its
`wasi:cli/run`, or one exported function with `--invoke`.

Our options may stand before or behind FILE; the first word behind FILE that is none of ours, and all after it, belongs
to the program. `--` ends our options by force.
"""

from __future__ import annotations

import os
import sys

from wasmark.cli._input import InputError, naming, read_binary
from wasmark.cli._progress import load_program
from wasmark.config import STRATEGIES
from wasmark.core.types import F32, F64, I32, I64, V128, NumType
from wasmark.errors import Trap, WasmException
from wasmark.wasi import Preopen

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence
    from typing import Any, Final

    from wasmark import Component, Module, Store
    from wasmark.core.types import FuncType, ValType
    from wasmark.wasi import Wasi


def seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError
    return value


def amount(text: str) -> int:
    value = int(text)
    if not 0 <= value < 1 << 63:
        raise ValueError
    return value


PERF: Final = {"map": "perf-map", "jitdump": "jitdump"}
"""What `--perf` can be, and what that enables (see `debug.tools`)."""

WITH_VALUE: Final[dict[str, dict[str, Any]]] = {
    "--strategy": {
        "choices": STRATEGIES,
        "help": "lazy (the default) starts at once, compiles a function when it is called, and what is hot again, for "
        "the fastest code; eager compiles all of it for the fastest code first; baseline compiles all of it quickly",
    },
    "--invoke": {
        "metavar": "NAME",
        "help": "call this export with ARGS, parsed by its types, and print the results; of a component NAME may be "
        "INTERFACE#FUNCTION, and values are written as in 'some([1, 2])', '{x: 1, y: 2}', 'circle(2.5)'",
    },
    "--dir": {
        "metavar": "HOST::GUEST",
        "action": "append",
        "default": [],
        "help": "let the program use directory HOST as GUEST (as HOST if GUEST is left out)",
    },
    "--dir-ro": {
        "metavar": "HOST::GUEST",
        "action": "append",
        "default": [],
        "help": "the same, for reading only",
    },
    "--env": {
        "metavar": "K=V",
        "action": "append",
        "default": [],
        "help": "set an environment variable (K alone: with the value that it has here); the program sees no others",
    },
    "--timeout": {
        "metavar": "S",
        "type": seconds,
        "help": "stop the program after so many seconds (it may take longer to compile), show where it was, and end "
        "with status 124",
    },
    "--fuel": {
        "metavar": "N",
        "type": amount,
        "help": "let the program execute N instructions, and trap before it would execute more",
    },
    "--coredump": {
        "metavar": "FILE",
        "help": "where the program traps, write a core dump to FILE: a module with the stack, memories and globals",
    },
    "--profile": {
        "metavar": "FILE",
        "help": "write a profile of wasm and Python code to FILE (JSON, for speedscope and the Firefox profiler)",
    },
    "--perf": {
        "choices": tuple(PERF),
        "help": "let Linux perf know the functions: map writes /tmp/perf-PID.map, jitdump jit-PID.dump (which "
        "perf record -k mono and perf inject --jit use)",
    },
}
"""The options of this command. All of them take a value, which is what `split` relies on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.usage = "wasmark run [OPTIONS] FILE [OPTIONS] [ARGS...]"
    parser.add_argument("file", metavar="FILE", help="a module, binary or text, or a component; - is standard input")
    for name, settings in WITH_VALUE.items():
        parser.add_argument(name, **settings)


def split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Divide `run`'s words into our own (the command, options, FILE) and the program's."""
    own: list[str] = []
    positionals = 0
    index = 0
    while index < len(words):
        word = words[index]
        if word == "--":
            index += 1
            if positionals == 2:
                break
            continue
        if word in WITH_VALUE:
            own += words[index : index + 2]
            index += 2
        elif word.split("=", 1)[0] in WITH_VALUE or (positionals < 2 and word.startswith("-") and word != "-"):
            own.append(word)
            index += 1
        elif positionals < 2:
            positionals += 1
            own.append(word)
            index += 1
        else:
            break
    return own, list(words[index:])


def execute(args: argparse.Namespace) -> int:
    """Compile, link with WASI, and run. Raises what the module raises; a program's status comes as `Exit`."""
    from wasmark import Config, Engine, Module, Store, deadline
    from wasmark.wasi import Wasi

    if args.profile is not None:
        return _profiled(args)
    if args.perf is not None:
        from wasmark.debug.tools import enable

        enable(PERF[args.perf])
    given = {"strategy": args.strategy} if args.strategy is not None else {}
    engine = Engine(Config(**given, fuel=args.fuel is not None))
    data = read_binary(args.file)
    wasi = Wasi(
        args=[os.path.basename(args.file), *(args.program_args if args.invoke is None else ())],
        env=dict(map(_environment, args.env)),
        preopens=[*(_directory(text, False) for text in args.dir), *(_directory(text, True) for text in args.dir_ro)],
    )
    with naming(args.file):
        program = load_program(data, args.file, engine)
    store = Store(engine)
    if args.fuel is not None:
        store.fuel = args.fuel
    try:
        with deadline(args.timeout):
            if isinstance(program, Module):
                return _run(args, program, store, wasi)
            return _run_component(args, program, store, wasi)
    except (Trap, WasmException) as error:
        if args.coredump is not None:
            _dump(args, error, store)
        raise


def _dump(args: argparse.Namespace, error: Trap | WasmException, store: Store) -> None:
    """Write the core dump. Where that cannot be done the trap is still what the user has to hear of."""
    from wasmark.debug.core_dump import write_core_dump

    try:
        write_core_dump(args.coredump, error, store, os.path.basename(args.file))
    except OSError as failure:
        print(f"wasmark: no core dump: {args.coredump}: {failure.strerror}", file=sys.stderr)


def _run_component(args: argparse.Namespace, component: Component, store: Store, wasi: Wasi) -> int:
    from wasmark import ComponentLinker
    from wasmark.cli import _component_run

    linker = ComponentLinker(store.engine)
    linker.define_wasi(wasi)
    with naming(args.file):
        instance = linker.instantiate(component, store)
    return _component_run.run(instance, args)


def _run(args: argparse.Namespace, module: Module, store: Store, wasi: Wasi) -> int:
    from wasmark import Linker

    linker = Linker(store.engine)
    linker.define_wasi(wasi)
    with naming(args.file):
        exports = linker.instantiate(module, store).exports
    if args.invoke is None:
        if "_start" not in exports:
            raise InputError(f"{args.file}: no _start to run; {_callable_exports(exports)}")
        exports["_start"]()
        return 0
    if args.invoke not in exports or not callable(exports[args.invoke]):
        raise InputError(f"{args.file}: no exported function {args.invoke!r}; {_callable_exports(exports)}")
    func = exports[args.invoke]
    try:
        values = parse_arguments(func.type, args.program_args)
    except InputError as error:
        raise InputError(f"{args.file}: {args.invoke}: {error}") from None
    if "_initialize" in exports:
        exports["_initialize"]()
    result = func(*values)
    for type_, value in zip(func.type.results, _as_tuple(result), strict=True):
        print(format_value(type_, value))
    return 0


def _profiled(args: argparse.Namespace) -> int:
    """`execute`, with the profile written whatever comes of it."""
    from wasmark import profile

    path, args.profile = args.profile, None
    with open(path, "a"):  # what cannot be written is better known before the program has run
        pass
    taken = profile()
    try:
        with taken:
            return execute(args)
    finally:
        taken.save(path)


def _callable_exports(exports: Any) -> str:
    names = [name for name in exports if callable(exports[name])]
    return f"exported functions: {', '.join(names)}" if names else "it exports no function"


def _as_tuple(result: Any) -> tuple[Any, ...]:
    if result is None:
        return ()
    return result if isinstance(result, tuple) else (result,)


def _directory(text: str, readonly: bool) -> Preopen:
    host, separator, guest = text.partition("::")
    if not host or (separator and not guest):
        raise InputError(f"--dir wants HOST::GUEST, not {text!r}")
    return Preopen(host, guest or host, readonly)


def _environment(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not name:
        raise InputError(f"--env wants K=V, not {text!r}")
    return name, value if separator else os.environ.get(name, "")


def _integer(bits: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        value = int(text, 0)
        if not -(1 << (bits - 1)) <= value < 1 << bits:
            raise ValueError
        return value - (1 << bits) if value >= 1 << (bits - 1) else value

    return parse


def _float(text: str) -> float:
    return float.fromhex(text) if "0x" in text.lower() else float(text)


def _vector(text: str) -> bytes:
    try:
        return int(text, 0).to_bytes(16, "little")
    except OverflowError:
        raise ValueError from None


PARSERS: Final[dict[NumType, Callable[[str], int | float | bytes]]] = {
    I32: _integer(32),
    I64: _integer(64),
    F32: _float,
    F64: _float,
    V128: _vector,
}
"""How the word for a parameter is read: integers signed or unsigned, in any of Python's bases; floats also in hex;
vectors as an unsigned integer, the first lane in its lowest bits."""


def parse_arguments(type_: FuncType, words: Sequence[str]) -> list[int | float | bytes]:
    """The values for a call from words of the command line. Raises InputError."""
    if len(words) != len(type_.params):
        count = len(type_.params)
        raise InputError(f"it takes {count} argument{'' if count == 1 else 's'} {type_}, not {len(words)}")
    return [
        _parse(number, param, word) for number, (param, word) in enumerate(zip(type_.params, words, strict=True), 1)
    ]


def _parse(number: int, type_: ValType, word: str) -> int | float | bytes:
    parser = PARSERS.get(type_) if isinstance(type_, NumType) else None
    if parser is None:
        raise InputError(f"argument {number}: no {type_} can be given on the command line")
    try:
        return parser(word)
    except ValueError:
        article = "a" if type_ is V128 else "an"
        raise InputError(f"argument {number}: {word!r} is not {article} {type_}") from None


def format_value(type_: ValType, value: object) -> str:
    """One result as a line."""
    if isinstance(value, bytes):
        return f"0x{int.from_bytes(value, 'little'):032x}"
    return "null" if value is None else str(value)
