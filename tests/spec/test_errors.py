"""What is wrong with a module, and where: every malformed and every invalid module of the official testsuite gets an
error with a position, which says more than the rule that is broken."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.spec.official import SCRIPTS, TESTSUITE, needs_testsuite
from wasmark import Module
from wasmark.core.opcodes import BY_NAME
from wasmark.errors import InvalidError, MalformedError, UnsupportedError
from wasmark.text.locate import located
from wasmark.text.script import AssertModule, ModuleSource, parse_script

_PLACES = frozenset(BY_NAME) | {"local"}
"""What an error in a function can be about."""

_CLOSING = frozenset({"end", "else", "catch", "catch_all", "delegate"})
"""Instructions that have the place of what stands before them."""

_GIVEN_UP = ("multiple memories", "multiple tables")
"""Rules of the standard before several memories and tables."""


def errors(name: str) -> Iterator[tuple[AssertModule, MalformedError | InvalidError]]:
    """The assertions of a script that a module is no good, each with the error that the module gets."""
    for command in parse_script((TESTSUITE / name).read_bytes().decode()):
        if not isinstance(command, AssertModule) or command.kind not in ("malformed", "invalid"):
            continue
        if command.message in _GIVEN_UP:
            continue
        assert isinstance(command.module, ModuleSource)
        try:
            Module.validate(command.module.binary())
        except UnsupportedError:  # a part of the standard that is not here yet
            continue
        except (MalformedError, InvalidError) as error:
            yield command, error
        else:
            raise AssertionError(f"line {command.line}: the module is accepted, expected: {command.message}")


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_error_says_where(name: str) -> None:
    for command, error in errors(name):
        if isinstance(error, MalformedError) and error.line is not None:
            source = command.module.data.decode(errors="replace") if command.module.kind == "quote" else None
            assert error.line >= 1
            assert error.column is not None
            assert error.column >= 1
            if source is not None:
                lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")
                assert error.column <= len(lines[error.line - 1]) + 1, f"line {command.line}: {error}"
        else:
            assert error.offset is not None, f"line {command.line}: {error}"
            assert 0 <= error.offset <= len(command.module.binary()), f"line {command.line}: {error}"


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_every_error_says_more_than_the_rule(name: str) -> None:
    for command, error in errors(name):
        assert len(error.message) > len(command.message.partition(": ")[0]), (
            f"line {command.line}: {error}, expected {command.message}"
        )
        assert error.message.split() != command.message.split(), f"line {command.line}: {error}"


def text_of(module: ModuleSource) -> list[str]:
    """The tokens of a module that a script has as text."""
    found, depth, pos = ["(", "module"], 1, module.pos
    while depth:
        token = module.tokens.list[pos]
        depth += (token == "(") - (token == ")")
        found.append(token)
        pos += 1
    return found


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_errors_in_functions_lead_to_the_instruction_in_the_text(name: str) -> None:
    for command, error in errors(name):
        assert isinstance(command.module, ModuleSource)
        if not isinstance(error, InvalidError) or error.func_index is None or command.module.kind != "text":
            continue
        tokens = text_of(command.module)
        found = located(error, "\n".join(tokens))  # so a line is a token
        assert found.line is not None
        assert str(found) == f"{found.line}:1: {error}"
        token = tokens[found.line - 1]
        word = tokens[found.line] if token == "(" else token
        about = {word for word in error.message.replace(":", " ").split() if word in BY_NAME}
        assert word in about or about & _CLOSING or "in a local" in error.message, f"line {command.line}: {found}"


@needs_testsuite
@pytest.mark.parametrize("name", SCRIPTS)
def test_errors_in_functions_name_function_and_instruction(name: str) -> None:
    for command, error in errors(name):
        if isinstance(error, InvalidError) and error.func_index is not None:
            words = error.message.replace(":", " ").split()
            assert any(word in _PLACES for word in words), f"line {command.line}: {error}"
