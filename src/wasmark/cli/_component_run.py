"""What `wasmark run` does with a component: the `run` of a command, or one exported function with `--invoke`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from wasmark.cli._input import InputError
from wasmark.component import ComponentInstance, Err, Ok, ResultError
from wasmark.component import types as T  # noqa: N812 - a page of names, read like a table
from wasmark.component.instance import Exports
from wasmark.component.naming import snake
from wasmark.component.notation import NotationError, read, write
from wasmark.component.wit import written_function

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import Any

COMMAND: Final = "wasi:cli/run@0.2.0"
"""The interface that makes a component a command; versions that can stand in for it will do."""
EXIT_FAILED: Final = 1
"""The status of a function that returns an error."""


def run(instance: ComponentInstance, args: argparse.Namespace) -> int:
    """Run the command, or call the function that `--invoke` names. Raises InputError, and what the call raises."""
    if args.invoke is not None:
        return _invoke(instance.exports, args.invoke, args.program_args, args.file)
    exports = instance.exports
    command = exports.get(COMMAND)
    if command is None:
        offered = f"it exports {', '.join(exports)}" if len(exports) else "it exports nothing"
        raise InputError(f"{args.file}: no {COMMAND} to run; {offered}")
    try:
        command.run()
    except ResultError:
        return EXIT_FAILED
    return 0


def _functions(exports: Exports) -> Iterator[tuple[str, Exports, str]]:
    """The functions that can be called by name: their whole names, what has them, and how they are called there."""
    for name in exports:
        found = exports.type_of(name)
        if isinstance(found, T.FuncType):
            yield name, exports, name
        elif isinstance(found, T.InstanceType):
            yield from ((f"{name}#{each}", exports[name], label) for each, _, label in _functions(exports[name]))


def _names(name: str) -> tuple[str, ...]:
    """What a function may be called: `[static]codec.make` is `codec.make`, too."""
    plain = name.rpartition("]")[2]
    return name, plain, snake(plain)


def _find(exports: Exports, name: str, file: str) -> tuple[Exports, str]:
    """What has the function called `name`, and how it is called there: `function`, `interface#function`, the interface
    with its package and version or without."""
    interface, separator, label = name.rpartition("#")
    within = exports.get(interface)
    functions = list(_functions(exports))
    found = [
        (whole, owner, full)
        for whole, owner, full in functions
        if whole == name or (label in _names(full) and (owner is within or not separator))
    ]
    # A function of the component itself comes before those of its interfaces.
    found = [each for each in found if each[1] is exports] or found
    if len(found) == 1:
        return found[0][1:]
    if found:
        raise InputError(f"{file}: {name!r} could be {', or '.join(whole for whole, _, _ in found)}")
    names = ", ".join(whole for whole, _, _ in functions)
    offered = f"exported functions: {names}" if names else "it exports no function"
    raise InputError(f"{file}: no exported function {name!r}; {offered}")


def _invoke(exports: Exports, name: str, words: Sequence[str], file: str) -> int:
    owner, label = _find(exports, name, file)
    type_ = owner.type_of(label)
    assert isinstance(type_, T.FuncType)
    values = arguments(type_, words)
    try:
        value = owner[label](*values)
    except ResultError as error:
        if not isinstance(type_.result, T.Result):  # it is not this function's
            raise
        print(write(Err(error.payload), type_.result))
        return EXIT_FAILED
    if isinstance(type_.result, T.Result):
        value = Ok(value)
    if type_.result is not None:
        print(write(value, type_.result))
    return 0


def arguments(type_: T.FuncType, words: Sequence[str]) -> list[Any]:
    """The values for a call from words of the command line. A string or char may stand there without its quotation
    marks; options at the end may be left out. Raises InputError."""
    needed = len(type_.params)
    while needed and isinstance(type_.params[needed - 1][1], T.Option):
        needed -= 1
    most = len(type_.params)
    if not needed <= len(words) <= most:
        raise InputError(f"the function takes {most} arguments, not {len(words)}: {written_function(type_)}")
    try:
        values = [
            _argument(word, part, f"arg {label!r}") for word, (label, part) in zip(words, type_.params, strict=False)
        ]
    except NotationError as error:
        raise InputError(str(error)) from None
    return values + [None] * (most - len(words))


def _argument(word: str, type_: T.ValType, path: str) -> Any:
    is_plain = (isinstance(type_, T.String) and not word.startswith('"')) or (
        isinstance(type_, T.Char) and len(word) == 1
    )
    return word if is_plain else read(word, type_, path)
